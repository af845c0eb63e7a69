"""``minimeso info --sbom``: a bill of materials that is true, and valid CycloneDX."""

from __future__ import annotations

import hashlib
import json
import re
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

import minimeso
from minimeso.cli import main, sbom
from minimeso.engine import bundled_models

PACKAGE = Path(minimeso.__file__).parent


@pytest.fixture
def text(capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["info", "--sbom"]) == 0
    return capsys.readouterr().out


@pytest.fixture
def bill(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    return found


def by_name(bill: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {part["name"]: part for part in bill["components"]}


def test_it_is_valid(text: str) -> None:
    """By the schema of CycloneDX, which its own library brings along."""
    reason = "cyclonedx-python-lib[json-validation] is not installed"
    validation = pytest.importorskip("cyclonedx.validation.json", reason=reason)
    schema = pytest.importorskip("cyclonedx.schema", reason=reason)
    validator = validation.JsonStrictValidator(schema.SchemaVersion.V1_6)
    try:
        assert validator.validate_str(text) is None
    except validation.MissingOptionalDependencyException:
        pytest.skip(reason)


def test_the_essentials(bill: dict[str, Any]) -> None:
    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", bill["serialNumber"])
    root = bill["metadata"]["component"]
    assert (root["name"], root["version"]) == ("minimeso", minimeso.__version__)
    refs = [root["bom-ref"], *(part["bom-ref"] for part in bill["components"])]
    assert len(set(refs)) == len(refs)
    for entry in bill["dependencies"]:
        assert entry["ref"] in refs and set(entry["dependsOn"]) <= set(refs)


def test_every_model_is_there_with_its_hash(bill: dict[str, Any]) -> None:
    parts = by_name(bill)
    for path in bundled_models().values():
        part = parts[f"models/{Path(path).name}"]
        assert part["type"] == "machine-learning-model"
        digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        assert part["hashes"] == [{"alg": "SHA-256", "content": digest}]
        assert part["licenses"], "a network without a licence"
    assert parts["models/yunet-n.npz"]["licenses"] == [{"expression": "Apache-2.0"}]
    yunet = parts["models/yunet-s.npz"]
    assert yunet["licenses"] == [{"expression": "MIT AND Apache-2.0"}]
    (origin,) = yunet["externalReferences"]
    assert origin["hashes"][0]["content"] in (PACKAGE / "models" / "yunet.md").read_text()


def test_every_file_that_is_shipped_and_no_text_is_there(bill: dict[str, Any]) -> None:
    """Cards, licences and drawings are of the package itself."""
    named = set(by_name(bill))
    for folder in ("models", "samples"):
        for path in (PACKAGE / folder).iterdir():
            if path.suffix in (".npz", ".json", ".jpg"):
                assert f"{folder}/{path.name}" in named
    assert any(name.startswith("engine/_cffi") for name in named)


def test_run_time_packages_are_those_of_the_project(bill: dict[str, Any]) -> None:
    project = (PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8")
    wanted = re.search(r"(?m)^dependencies = \[(.*)\]$", project)
    assert wanted
    assert re.findall(r'"([a-z0-9-]+)', wanted[1]) == list(sbom.NEEDED)
    parts = by_name(bill)
    for name in sbom.NEEDED:
        part = parts[name]
        assert part["version"] == metadata.version(name) and part["scope"] == "required"
        assert part["purl"] == f"pkg:pypi/{name}@{part['version']}" and part["licenses"]
    assert parts["pycparser"]["scope"] == "required"  # of cffi


def test_the_same_installation_gives_the_same_text() -> None:
    first, second = (json.dumps(sbom.bill_of_materials()) for _ in range(2))
    assert first == second


def test_not_of_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "default", "--sbom"]) == 2
    assert "--sbom" in capsys.readouterr().err
