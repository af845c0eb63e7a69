"""Files behind addresses: in memory, and on a server that speaks S3, started here."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("distributed")
pytest.importorskip("pyarrow")

import fsspec
from PIL import Image
from support.detectors import constant_detector, photo, saved
from support.scans import rows

from minimeso.errors import InputError
from minimeso.scan import Scan, Settings
from minimeso.scan.dataset import Dataset

pytest_plugins = ["support.leftovers"]
pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # of the packages that speak to the server
    pytest.mark.usefixtures("no_leftovers"),
]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(saved(constant_detector(3.0), tmp_path), crops=True)


@pytest.fixture
def pictures(tmp_path: Path) -> dict[str, bytes]:
    """Name -> content."""
    image = Image.fromarray(photo())
    for name in ("a.png", "b.jpg"):
        image.save(tmp_path / name)
    return {
        "a.png": (tmp_path / "a.png").read_bytes(),
        "below/b.jpg": (tmp_path / "b.jpg").read_bytes(),
        "below/bad.jpg": b"no picture",
        "below/empty.jpg": b"",
        "notes.txt": b"no picture, not judged",
    }


STATUSES = {"a.png": "ok", "b.jpg": "ok", "bad.jpg": "unreadable", "empty.jpg": "unreadable"}


def statuses(out: object) -> dict[str, str]:
    found = rows(out) if isinstance(out, Path) else _rows(str(out))
    return {str(row["path"]).rpartition("/")[2]: str(row["status"]) for row in found}


def _rows(address: str) -> list[dict[str, object]]:
    columns = ["path", "status"]
    return [
        row for table in Dataset(address).batches("files", columns) for row in table.to_pylist()
    ]


def test_memory(tmp_path: Path, settings: Settings, pictures: dict[str, bytes]) -> None:
    """Which no other process sees, so the workers are threads of this one."""
    fs = fsspec.filesystem("memory")
    for name, data in pictures.items():
        fs.pipe_file(f"/scanned/{name}", data)
    state = Scan("memory://scanned", "memory://verdicts", settings, workers=2).run()
    assert state.done == 4 and state.skipped == {".txt": 1}
    assert statuses("memory://verdicts") == STATUSES
    assert Scan("memory://scanned", "memory://verdicts", settings).run().total == 0
    fs.pipe_file("/scanned/below/bad.jpg", pictures["a.png"])
    assert Scan("memory://scanned", "memory://verdicts", settings).run().total == 1
    assert statuses("memory://verdicts") == {**STATUSES, "bad.jpg": "ok"}
    with pytest.raises(InputError, match="this process's own"):
        Scan("memory://scanned", str(tmp_path / "o"), settings, scheduler="tcp://127.0.0.1:1").run()


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, pictures: dict[str, bytes]) -> Iterator[str]:
    """The address of a bucket with the pictures, on a server of this machine."""
    for module in ("moto", "s3fs", "flask"):
        if importlib.util.find_spec(module) is None:
            warnings.warn(f"no {module}: S3 IS NOT TESTED", stacklevel=1)
            pytest.skip(f"no {module}: pip install 'moto[server]' s3fs: S3 IS NOT TESTED")
    import s3fs
    from fsspec.config import conf
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1", "FSSPEC_S3_ENDPOINT_URL": endpoint,
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)  # for the workers
    monkeypatch.setitem(conf, "s3", {"endpoint_url": endpoint})  # read when fsspec is imported
    fs = s3fs.S3FileSystem()
    fs.mkdir("archive")
    for name, data in pictures.items():
        fs.pipe_file(f"archive/in/{name}", data)
    yield "s3://archive"
    server.stop()


def test_s3(bucket: str, tmp_path: Path, settings: Settings) -> None:
    state = Scan(f"{bucket}/in", f"{bucket}/out", settings, workers=2).run()
    assert state.done == 4 and state.skipped == {".txt": 1}
    assert statuses(f"{bucket}/out") == STATUSES
    assert Scan(f"{bucket}/in", f"{bucket}/out", settings).run().total == 0
    listed = tmp_path / "list.txt"
    listed.write_text(f"{bucket}/in/a.png\n{bucket}/in/gone.png\n{tmp_path}/a.png\n")
    Scan(str(listed), str(tmp_path / "out"), settings, workers=1).run()
    found = {str(row["path"]): row for row in rows(tmp_path / "out")}
    assert found[f"{bucket}/in/gone.png"]["status"] == "unreadable"
    one, other = (found[f"{place}/a.png"] for place in (f"{bucket}/in", tmp_path))
    for key in ("status", "sha256", "bytes", "verdict", "p_fake", "low", "high", "note"):
        assert one[key] == other[key]
    again = Scan(str(listed), str(tmp_path / "out"), settings, workers=1).run()
    assert again.results["unchanged"] == again.total - 1 == 1  # gone.png is looked for again
