"""Bill of materials: what this installation is made of, as CycloneDX 1.6 in JSON.

The package, what it needs at run time and what of its extras is installed, with versions and
licences as their metadata say; the built engine, the bundled networks and pairs with the SHA-256 of
their files.  Nothing is asked from a network, and the same installation gives the same text.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

#: What the package needs at run time, and what it uses where it is installed.
NEEDED = ("numpy", "cffi", "pillow", "scipy")
OPTIONAL = ("av", "tqdm", "pillow-heif", "pillow-jxl-plugin")
_REQUIREMENT = re.compile(r"[A-Za-z0-9._-]+")
#: SPDX identifiers as they stand in the cards of networks, and of what is bundled beside them.
_SPDX = re.compile(
    r"\b(?:MIT|Apache-2\.0|BSD-[23]-Clause|CC0-1\.0|CC-BY(?:-SA)?-[1-4]\.0)(?![\w.-])"
)
_LONGEST_LICENCE = 100

Part = dict[str, Any]


def bill_of_materials() -> dict[str, Any]:
    """The document, JSON-able."""
    from .. import __version__

    package = Path(__file__).parent.parent
    files = [*_engine(package), *_networks(), *_pairs(), *_samples(package)]
    packages, needs = _packages()
    root = {
        "type": "library",
        "bom-ref": "minimeso",
        "name": "minimeso",
        "version": __version__,
        "purl": f"pkg:pypi/minimeso@{__version__}",
        **_licence("MIT"),
    }
    own = [part["bom-ref"] for part in files] + [_key(name) for name in NEEDED]
    depends = {"minimeso": own, **needs, **_parts_of_pairs()}
    known = {"minimeso", *(part["bom-ref"] for part in (*files, *packages))}
    document: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": root},
        "components": [*files, *packages],
        "dependencies": [
            {"ref": ref, "dependsOn": sorted(known.intersection(others))}
            for ref, others in sorted(depends.items())
            if ref in known
        ],
    }
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).digest()
    return {**document, "serialNumber": f"urn:uuid:{uuid.UUID(bytes=digest[:16], version=4)}"}


# --- files --------------------------------------------------------------------------------


def _file(kind: str, path: Path, name: str, **more: Any) -> Part:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {
        "type": kind,
        "bom-ref": f"minimeso/{name}",
        "name": name,
        "hashes": [{"alg": "SHA-256", "content": digest}],
        **more,
    }


def _engine(package: Path) -> Iterator[Part]:
    for pattern in ("_cffi*.so", "_cffi*.pyd"):
        for path in sorted((package / "engine").glob(pattern)):
            yield _file("file", path, f"engine/{path.name}", **_licence("MIT"))


def _networks() -> Iterator[Part]:
    from ..engine import bundled_models, find_model

    for name, path in bundled_models().items():
        meta = find_model(path).meta
        about = ", ".join(str(meta[key]) for key in ("architecture", "activation") if key in meta)
        part = _file("machine-learning-model", Path(path), f"models/{Path(path).name}")
        part["description"] = about or name
        if "date" in meta:
            part["version"] = str(meta["date"])
        part.update(_licence(str(meta.get("licence", ""))))
        origin = str(meta.get("origin", ""))
        if origin.startswith("https://"):
            reference: Part = {"type": "distribution", "url": origin.split(",")[0].split()[0]}
            reference["comment"] = origin
            if re.fullmatch("[0-9a-f]{64}", str(meta.get("sha256", ""))):
                reference["hashes"] = [{"alg": "SHA-256", "content": meta["sha256"]}]
            part["externalReferences"] = [reference]
        yield part


def _pairs() -> Iterator[Part]:
    from ..detect.pair import bundled_pairs, load_pair

    for name, path in bundled_pairs().items():
        about = f"the pair of networks {name!r}"
        licence = _licence(str(load_pair(path).meta.get("licence", "")))
        yield _file("file", Path(path), f"models/{Path(path).name}", description=about, **licence)


def _parts_of_pairs() -> dict[str, list[str]]:
    from ..detect.pair import bundled_pairs, load_pair

    found = {}
    for path in bundled_pairs().values():
        pair = load_pair(path)
        parts = [f"minimeso/models/{one.name}.npz" for one in (pair.fast, pair.thorough)]
        found[f"minimeso/models/{Path(path).name}"] = parts
    return found


def _samples(package: Path) -> Iterator[Part]:
    for path in sorted((package / "samples").glob("*.jpg")):
        licences = [{"license": {"name": "public domain"}}]  # samples/README.md
        yield _file("file", path, f"samples/{path.name}", licenses=licences)


# --- packages -----------------------------------------------------------------------------


def _packages() -> tuple[list[Part], dict[str, list[str]]]:
    """What is installed of what is needed, and of what that needs; who needs whom."""
    found: dict[str, Part] = {}
    needs: dict[str, list[str]] = {}
    left = [(name, "required") for name in NEEDED] + [(name, "optional") for name in OPTIONAL]
    while left:
        name, scope = left.pop(0)
        key = _key(name)
        if key in found:
            continue
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        found[key] = _package(distribution, scope)
        wanted = [
            match[0]
            for text in distribution.requires or ()
            if "extra" not in text.partition(";")[2] and (match := _REQUIREMENT.match(text))
        ]
        needs[key] = [_key(one) for one in wanted]
        left += [(one, scope) for one in wanted]
    return [found[key] for key in sorted(found)], needs


def _key(name: str) -> str:
    """The name as the Python Package Index writes it in addresses."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _package(distribution: metadata.Distribution, scope: str) -> Part:
    # a Message, which has the methods of a Mapping and is not declared as one
    told: Mapping[str, Any] = distribution.metadata  # type: ignore[assignment]
    name, version = _key(str(told["Name"])), distribution.version
    return {
        "type": "library",
        "bom-ref": name,
        "name": name,
        "version": version,
        "scope": scope,
        "purl": f"pkg:pypi/{name}@{version}",
        **_licence_of_package(told),
    }


def _licence_of_package(told: Mapping[str, Any]) -> Part:
    expression = told.get("License-Expression")
    if expression:
        return {"licenses": [{"expression": str(expression)}]}
    text = str(told.get("License") or "").strip()
    if text and "\n" not in text and len(text) <= _LONGEST_LICENCE:
        return {"licenses": [{"license": {"name": text}}]}
    listed: Any = told
    names = [
        line.rpartition(" :: ")[2]
        for line in listed.get_all("Classifier") or ()
        if line.startswith("License :: ")
    ]
    return {"licenses": [{"license": {"name": name}} for name in names]} if names else {}


def _licence(text: str) -> Part:
    """The SPDX identifiers in a text; all of them hold."""
    names = list(dict.fromkeys(_SPDX.findall(text)))
    return {"licenses": [{"expression": " AND ".join(names)}]} if names else {}
