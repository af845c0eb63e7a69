"""Programs of ``torch.export``: read without PyTorch, compared with it; files that are refused."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minimeso import Session
from minimeso.cli import main
from minimeso.convert import convert_file, convert_module
from minimeso.errors import ConvertError

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

from tools import files  # noqa: E402

ROOT = Path(__file__).parent.parent.parent


class Everything(nn.Module):
    """A bit of what networks do: changes in place, halves, joins, shuffles, pixels as rows."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, 2, 1, bias=False)
        self.bn = nn.BatchNorm2d(8)
        self.prelu = nn.PReLU(8)
        self.dense = nn.Linear(8, 8)
        self.up = nn.ConvTranspose2d(8, 4, 2, 2)
        self.last = nn.Linear(4, 5)
        self.register_buffer("scale", torch.linspace(0.5, 1.5, 8))

    def forward(self, x: Any) -> Any:
        x = F.relu(self.bn(self.conv(x)), inplace=True) * self.scale[:, None, None]
        one, other = self.prelu(x - 0.5).chunk(2, 1)
        x = torch.cat([other, one], 1)
        batch, channels, height, width = x.shape
        x = x.view(batch, 2, channels // 2, height, width).transpose(1, 2).reshape(x.shape)
        x = F.gelu(self.dense(F.layer_norm(x.permute(0, 2, 3, 1), (8,)))).permute(0, 3, 1, 2)
        x = F.interpolate(F.pad(x, (1, 0, 0, 1)), scale_factor=2.0, mode="bilinear")
        x = F.hardswish(self.up(x))
        return F.dropout(self.last(x.mean((2, 3))), 0.2, self.training).softmax(1)


@pytest.fixture(scope="module")
def module() -> nn.Module:
    torch.manual_seed(0)
    return Everything().eval()


@pytest.fixture(scope="module")
def program(module: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("programs") / "everything.pt2"
    torch.export.save(torch.export.export(module, (torch.rand(1, 3, 16, 16),)), str(path))
    return path


def test_a_module_becomes_a_model(module: nn.Module) -> None:
    model = convert_module(module, (torch.rand(1, 3, 16, 16),))
    assert model.name == "Everything" and "conv.weight" in model.weights
    x = torch.rand(3, 3, 16, 16)
    with torch.inference_mode():
        wanted = module(x).numpy()
    np.testing.assert_allclose(Session(model).run(x.numpy()), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("affine", [False, True])
def test_a_layer_norm_of_channels_moves_nothing(affine: bool) -> None:
    """Between convolutions, as ConvNeXt has it."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.depthwise = nn.Conv2d(6, 6, 7, padding=3, groups=6)
            self.norm = nn.LayerNorm(6, elementwise_affine=affine)
            self.wide, self.narrow = nn.Linear(6, 24), nn.Linear(24, 6)

        def forward(self, x: Any) -> Any:
            y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
            return x + self.narrow(F.gelu(self.wide(y))).permute(0, 3, 1, 2)

    torch.manual_seed(0)
    block, x = Block().eval(), torch.rand(2, 6, 9, 11)
    model = convert_module(block, (x[:1],))
    assert {node.op for node in model.graph.nodes} == {"conv2d", "layer_norm2d", "gelu", "add"}
    with torch.inference_mode():
        wanted = block(x).numpy()
    np.testing.assert_allclose(Session(model).run(x.numpy()), wanted, rtol=1e-5, atol=1e-6)


OTHERS: dict[str, Callable[..., Any]] = {
    "gated": lambda x: F.glu(x, 1),
    "one minus": lambda x: 1 - x,
    "largest": lambda x: x.max(1, keepdim=True)[0] + x.mean(1, keepdim=True),
    "smallest": lambda x: x.amin((2, 3), keepdim=True) + x - x.min(1, keepdim=True)[0],
    "stacked": lambda x: torch.stack([x, x * 2], 1).flatten(1, 2),
    "unbound": lambda x: x.unbind(1)[1].unsqueeze(1),
    "unflattened": lambda x: x.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2),
    "weighed places": lambda x: x * torch.sigmoid(x.mean(1, keepdim=True)),
    "pixels to channels at once": lambda x: F.pixel_unshuffle(x, 2),
    "pooled to a size": lambda x: F.adaptive_avg_pool2d(x, (2, 4)),
    "largest, with places": lambda x: F.adaptive_max_pool2d(x, (2, 4)),
    "pixels to channels": lambda x: (
        x.reshape(1, 4, 4, 2, 4, 2).permute(0, 1, 3, 5, 2, 4).reshape(1, 16, 4, 4)
    ),
    "line by line": lambda x: F.avg_pool1d(x.flatten(2), 3, 2, 1),
    "in float64": lambda x: x.softmax(1, dtype=torch.float64) + x.sum(1, True, dtype=torch.float64),
    "cut": lambda x: F.pad(x[..., 1:-1], (0, 0, -1, 0)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_operators(name: str) -> None:
    class Other(nn.Module):
        def forward(self, x: Any) -> Any:
            return OTHERS[name](x)

    x = torch.rand(1, 4, 8, 8)
    model = convert_module(Other().eval(), (x,))
    found = Session(model, threads=1).run(x.numpy())
    np.testing.assert_allclose(found.reshape(-1), OTHERS[name](x).reshape(-1), rtol=1e-5)


def test_the_command_and_every_layer(program: Path, tmp_path: Path) -> None:
    target, reference = str(tmp_path / "model.npz"), str(tmp_path / "reference.npz")
    assert main(["convert", str(program), target, "--reference", reference]) == 0
    assert main(["verify", target, reference]) == 0


def test_reading_needs_no_framework(program: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = sys.modules['onnx'] = None\n"
        "from minimeso.convert import convert_file\n"
        f"print(len(convert_file({str(program)!r}).graph.nodes))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0 and int(done.stdout) > 10, done.stderr


def test_what_cannot_be_is_told(module: nn.Module) -> None:
    class Odd(nn.Module):
        def __init__(self, function: Callable[..., Any]) -> None:
            super().__init__()
            self.function = function

        def forward(self, x: Any) -> Any:
            return self.function(x)

    example = (torch.rand(1, 3, 8, 8),)
    with pytest.raises(ConvertError, match=r"node 'sin' \(sin.default\): no such operator"):
        convert_module(Odd(torch.sin).eval(), example)
    with pytest.raises(ConvertError, match="changes a value of which a view is read"):
        convert_module(Odd(lambda x: _changed_view(x * 2)).eval(), example)
    with pytest.raises(ConvertError, match=r"casts to int64; .*: leave the cast out"):
        convert_module(Odd(lambda x: x.long().float()).eval(), example)
    with pytest.raises(ConvertError, match=r"'ord' is 1; .* leave it to your program"):
        convert_module(Odd(lambda x: torch.linalg.vector_norm(x, 1, 1)).eval(), example)
    with pytest.raises(ConvertError, match="its second result is used"):
        convert_module(Odd(lambda x: x.max(1)[1] * 1.0).eval(), example)
    with pytest.raises(ConvertError, match="training mode"):
        convert_module(nn.Sequential(nn.ReLU()).train(), example)
    with pytest.raises(ConvertError, match="cannot export"):
        convert_module(Odd(lambda x: x if x.sum() > 0 else -x).eval(), example)


def test_a_program_in_training_mode_is_told_so(tmp_path: Path) -> None:
    """The first that shows it is no batch norm, but the integer that counts its batches."""
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).train()
    torch.export.save(
        torch.export.export(module, (torch.rand(2, 3, 8, 8),)), tmp_path / "trains.pt2"
    )
    with pytest.raises(ConvertError, match=r"is in training mode: .*\.eval\(\)"):
        convert_file(tmp_path / "trains.pt2")


def _changed_view(x: Any) -> Any:
    half = x[:, :1]
    x.relu_()
    return half + 1


def test_a_change_in_place_is_seen_by_who_reads_it_later() -> None:
    class Twice(nn.Module):
        def forward(self, x: Any) -> Any:
            y = x - 0.5
            z = F.relu(y, inplace=True)
            return y + z  # y was changed, too

    model = convert_module(Twice().eval(), (torch.rand(1, 3, 4, 4),))
    x = np.random.default_rng(0).random((1, 3, 4, 4), np.float32)
    np.testing.assert_allclose(Session(model).run(x), 2 * np.maximum(x - 0.5, 0), rtol=1e-6)


# --- files that nobody should trust --------------------------------------------------------


def changed(program: Path, folder: Path, name: str, change: Callable[[Any], None]) -> Path:
    """A copy with another JSON file in it."""
    path = folder / "changed.pt2"
    with zipfile.ZipFile(program) as source, zipfile.ZipFile(path, "w") as target:
        for entry in source.namelist():
            content = source.read(entry)
            if entry.endswith(name):
                data = json.loads(content)
                change(data)
                content = json.dumps(data).encode()
            target.writestr(entry, content)
    return path


CONFIG, MODEL = "model_weights_config.json", "models/model.json"


def _weight(data: Any) -> Any:
    return data["config"]["conv.weight"]


CHANGES: dict[str, tuple[str, Callable[[Any], Any], str]] = {
    "pickled": (CONFIG, lambda d: _weight(d).update(use_pickle=True), "pickled"),
    "too large": (
        CONFIG, lambda d: _weight(d)["tensor_meta"]["sizes"][0].update(as_int=1 << 40), "longer"
    ),
    "beyond its file": (
        CONFIG, lambda d: _weight(d)["tensor_meta"]["storage_offset"].update(as_int=99), "longer"
    ),
    "stride": (
        CONFIG, lambda d: _weight(d)["tensor_meta"]["strides"][0].update(as_int=-9), "below 0"
    ),
    "elsewhere": (CONFIG, lambda d: _weight(d).update(path_name="../../x"), "missing or damaged"),
    "no array": (CONFIG, lambda d: d["config"].pop("conv.weight"), "missing"),
    "no graph": (MODEL, lambda d: d.pop("graph_module"), "no exported program"),
    "another operator": (
        MODEL,
        lambda d: d["graph_module"]["graph"]["nodes"][0].update(target="os.system"),
        "no such operator",
    ),
    "half a node": (
        MODEL, lambda d: d["graph_module"]["graph"]["nodes"][0].pop("inputs"), "damaged"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_program_is_refused(name: str, program: Path, tmp_path: Path) -> None:
    file, change, message = CHANGES[name]
    with pytest.raises(ConvertError, match=message):
        convert_file(changed(program, tmp_path, file, change))


def test_a_cut_program_is_refused(program: Path, tmp_path: Path) -> None:
    data, path = program.read_bytes(), tmp_path / "cut.pt2"
    for end in range(0, len(data), len(data) // 20):
        path.write_bytes(data[:end])
        with pytest.raises(ConvertError):
            convert_file(path)


def test_packed_entries_that_are_damaged(tmp_path: Path) -> None:
    """`zipfile` has an error of its own for each way of packing."""
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", method) as archive:
            for name in ("a/models/model.json", "a/data.pkl"):
                archive.writestr(name, bytes(range(256)) * 9)
        data = bytearray(file.getvalue())
        for name in (b"model.json", b"data.pkl"):
            at = data.index(name) + len(name)
            data[at : at + 40] = b"\xff" * 40
        (tmp_path / "program").write_bytes(data)
        assert "damaged" in _refused(tmp_path / "program")
        at = data.rindex(b"a/models/model.json")
        data[at : at + 8] = b"a/nothing"[:8]
        (tmp_path / "program").write_bytes(data)
        assert "damaged" in _refused(tmp_path / "program")


def test_other_files_of_pytorch_are_named(module: nn.Module, tmp_path: Path) -> None:
    def told(write: Callable[[io.BytesIO], Any]) -> str:
        file = io.BytesIO()
        write(file)
        path = tmp_path / "file.pt"
        path.write_bytes(file.getvalue())
        with pytest.raises(ConvertError) as caught:
            convert_file(path)
        return str(caught.value)

    whole = told(lambda file: torch.save(module, file))
    assert "pickled whole module" in whole and "Everything" in whole and "torch.export" in whole
    legacy = told(lambda f: torch.save(module, f, _use_new_zipfile_serialization=False))
    assert "pickled whole module" in legacy
    with pytest.raises(ValueError, match="pickled whole module"):
        files.read_checkpoint(tmp_path / "file.pt")
    assert "state_dict" in told(lambda file: torch.save(module.state_dict(), file))
    assert "folder" in _refused(tmp_path)
    for start, what in ((b"\x89HDF\r\n\x1a\n", "HDF5"), (b"\0\0\0\0TFL3", "Lite"), (b"", "ONNX")):
        (tmp_path / "other").write_bytes(start)
        assert what in _refused(tmp_path / "other")


def _refused(path: Path) -> str:
    with pytest.raises(ConvertError) as caught:
        convert_file(path)
    return str(caught.value)
