"""The networks for MNIST and CIFAR-10: their graphs, and the engine against PyTorch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from minimeso import Session, load_model  # noqa: E402
from minimeso.cli import main  # noqa: E402
from tools.convert import __main__ as convert_command  # noqa: E402
from tools.convert import checkpoints, reference, source  # noqa: E402
from tools.train import classifiers  # noqa: E402

BOUND = 2e-5  # of a layer's largest value, as for the MesoNets
FOUR = ("relu", "swish", "mish", "pish")  # those of the paper
DUMPED = [f"{name}-{activation}" for name in classifiers.PICTURES for activation in FOUR]
DUMPED += ["mnist15-pish"]


def fire(inputs: int, squeeze: int, outputs: int) -> int:
    convolutions = (inputs + 1) * squeeze + (squeeze + 1) * outputs + (9 * squeeze + 1) * outputs
    return convolutions + 2 * (squeeze + 2 * outputs)


def norm_conv(inputs: int, outputs: int, kernel: int, groups: int = 1) -> int:
    return inputs // groups * outputs * kernel**2 + 2 * outputs


def inverted(inputs: int, outputs: int, widening: int = 6) -> int:
    wide = widening * inputs
    expand = norm_conv(inputs, wide, 1) if widening > 1 else 0
    return expand + norm_conv(wide, wide, 3, wide) + norm_conv(wide, outputs, 1)


COUNTS = {
    "resnet20": norm_conv(3, 16, 3)
    + 6 * norm_conv(16, 16, 3)
    + sum(norm_conv(c // 2, c, 3) + 5 * norm_conv(c, c, 3) for c in (32, 64))
    + 65 * 10,
    "mobilenetv2_0.5": norm_conv(3, 16, 3)
    + inverted(16, 8, 1)
    + sum(
        inverted(inputs, outputs) + (count - 1) * inverted(outputs, outputs)
        for inputs, outputs, count in (
            *((8, 16, 2), (16, 16, 3), (16, 32, 4), (32, 48, 3), (48, 80, 3), (80, 160, 1)),
        )
    )
    + norm_conv(160, 1280, 1)
    + 1281 * 10,
    "squeezenet": (3 * 9 + 1 + 2) * 96
    + sum(
        fire(*sizes)
        for sizes in (
            *((96, 16, 64), (128, 16, 64), (128, 32, 128), (256, 32, 128)),
            *((256, 48, 192), (384, 48, 192), (384, 64, 256), (512, 64, 256)),
        )
    )
    + 513 * 10,
    "mnist15": 26 * 20 + 501 * 50 + 5003 * 500 + 14 * 503 * 500 + 501 * 10,
    "mnist25": 26 * 20 + 501 * 50 + 5003 * 500 + 24 * 503 * 500 + 501 * 10,
}


@pytest.mark.parametrize("architecture", classifiers.ARCHITECTURES)
def test_graphs_are_the_modules(architecture: str) -> None:
    with torch.device("meta"):
        network = classifiers.build(architecture, "pish")
    graph = classifiers.graph_of(network, architecture)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == COUNTS.get(architecture, count)
    arrays = {
        name: tuple(array.shape)
        for name, array in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    assert graph.parameters() == arrays
    modules = {name for name, _ in network.named_modules()}
    assert {node.name for node in graph.nodes} - modules == {"probabilities"}
    assert graph.shapes()["image"] == network.input_shape
    assert graph.shapes()["probabilities"] == (10,)
    activations = [node.name for node in graph.nodes if node.op == "pish"]
    others = {"squeezenet": 1 + 8 * 3, "resnet20": 19, "mobilenetv2_0.5": 2 + 17 * 2 - 1}
    if architecture in others:
        assert len(activations) == others[architecture]
    else:
        assert len(activations) == int(architecture.removeprefix("mnist")) + 2


def test_shapes_on_the_way() -> None:
    shapes = source.graph_of("squeezenet", "relu", 1e-5).shapes()
    assert shapes["pool1"] == (96, 16, 16) and shapes["fire4.concat"] == (256, 16, 16)
    assert shapes["fire8.concat"] == (512, 8, 8) and shapes["fire9.concat"] == (512, 4, 4)
    bypasses = [name for name in shapes if name.endswith("bypass")]
    assert bypasses == ["fire3.bypass", "fire5.bypass", "fire7.bypass"]
    assert source.graph_of("mnist15", "relu", 1e-5).shapes()["pool"] == (50, 10, 10)
    shapes = source.graph_of("resnet20", "relu", 1e-5).shapes()
    assert [shapes[f"block{n}.add"] for n in (3, 6, 9)] == [(16, 32, 32), (32, 16, 16), (64, 8, 8)]
    assert [n for n in shapes if n.endswith("pad")] == ["block4.short.pad", "block7.short.pad"]
    shapes = source.graph_of("mobilenetv2_0.5", "relu", 1e-5).shapes()
    assert shapes["block3.add"] == (16, 32, 32) and shapes["head.conv"] == (1280, 4, 4)
    assert len([name for name in shapes if name.endswith("add")]) == 10


def test_unknown_names() -> None:
    for architecture, activation in (("squeezenet", "original"), ("squeezenet", "gelu")):
        with pytest.raises(ValueError, match=activation):
            classifiers.build(architecture, activation)
    for name in ("mnist14", "mnist26", "resnet18", ""):
        with pytest.raises(ValueError, match="mnist15 to mnist25"):
            classifiers.build(name, "relu")


def test_module_without_a_node() -> None:
    network = classifiers.build("squeezenet", "relu")
    network.activation1 = torch.nn.GELU()
    with pytest.raises(ValueError, match="GELU 'activation1'"):
        classifiers.graph_of(network, "squeezenet")


class Dumps:
    """Model file and reference file of random networks, made by the tool when first asked for: each
    process of the suite makes those of its own tests."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __getitem__(self, name: str) -> tuple[str, str]:
        model, dump = self._folder / f"{name}.npz", self._folder / f"{name}-reference.npz"
        if not dump.exists():
            assert reference.main([*name.split("-"), str(dump), "--model", str(model)]) == 0
        return str(model), str(dump)


@pytest.fixture(scope="module")
def dumps(tmp_path_factory: pytest.TempPathFactory) -> Dumps:
    return Dumps(tmp_path_factory.mktemp("dumps"))


@pytest.mark.parametrize("name", DUMPED)
def test_layers_equal_pytorch(name: str, dumps: Dumps, isa: str) -> None:
    """All layers from one run, as they are where nothing is fused across them."""
    model, dump = dumps[name]
    stored = np.load(dump)
    session = Session(model, isa=isa)
    assert stored["input"].shape[1:] == (
        *session.graph.inputs["image"][1:],
        session.graph.inputs["image"][0],
    )
    names = [node.name for node in session.graph.nodes]
    results = session.run(stored["input"], outputs=names)
    for node, scale in zip(names, stored["scale"], strict=True):
        result = results[node].ravel()
        if f"index/{node}" in stored.files:
            result = result[stored[f"index/{node}"]]
        worst = float(np.abs(result - stored[f"output/{node}"].ravel()).max() / scale)
        assert worst <= BOUND, f"{node}: {worst:.2e} of its scale"
    # and with all that is fused, in a batch, from float32
    x = stored["input"].transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
    whole = session.run(np.concatenate([x, x[..., ::-1]]))
    assert whole.shape == (2, 10)
    np.testing.assert_allclose(whole[0], stored["output/probabilities"][0], rtol=0, atol=BOUND)


@pytest.mark.parametrize("name", [f"{name}-pish" for name in (*classifiers.PICTURES, "mnist15")])
def test_verify(name: str, dumps: Dumps, capsys: pytest.CaptureFixture[str]) -> None:
    model, dump = dumps[name]
    assert main(["verify", "--json", model, dump]) == 0
    report: Any = json.loads(capsys.readouterr().out)
    assert report["ok"]
    nodes = [node.name for node in load_model(model).graph.nodes]
    assert [layer["node"] for layer in report["layers"]] == nodes
    assert nodes[-1] == "probabilities"


@pytest.mark.parametrize("extents", [(28, 28, 3), (28, 29, 1), (28, 28), (0, 0, 1), (3, 28, 28)])
def test_verify_refuses_other_pictures(
    extents: tuple[int, ...],
    dumps: Dumps,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model, dump = dumps["mnist15-pish"]
    entries = dict(np.load(dump))
    entries["input"] = np.zeros((1, *extents), np.uint8)
    np.savez(tmp_path / "other.npz", **entries)
    assert main(["verify", model, str(tmp_path / "other.npz")]) == 2
    output = capsys.readouterr()
    assert output.out == "" and "input 'image'" in output.err and "Traceback" not in output.err


def checkpoint(path: Path, network: Any, **more: Any) -> Path:
    torch.save({"activation": "swish", "state_dict": network.state_dict(), **more}, path)
    return path


@pytest.mark.parametrize("architecture", [*classifiers.PICTURES, "mnist15"])
def test_checkpoints_become_plain_models(architecture: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = classifiers.build(architecture, "swish").eval()
    source = checkpoint(tmp_path / "last.pt", network, recipe={"seed": 0})
    target = tmp_path / "digits.npz"
    assert convert_command.main([str(source), str(target)]) == 0
    model = load_model(target)
    assert model.framing is None and model.thresholds is None and not model.is_detector
    assert model.meta["architecture"] == architecture and model.meta["activation"] == "swish"
    channels, height, width = network.input_shape
    pictures = np.random.default_rng(0).integers(0, 256, (3, height, width, channels), np.uint8)
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        wanted = torch.softmax(network(x), 1).numpy()
    np.testing.assert_allclose(Session(model).run(pictures), wanted, rtol=0, atol=1e-5)
    # its reference needs no architecture either
    dump = tmp_path / "reference.npz"
    assert reference.main([str(source), str(dump)]) == 0
    assert main(["verify", str(target), str(dump)]) == 0


def test_every_depth_is_recognised(tmp_path: Path) -> None:
    for depth in (16, 25):
        with torch.device("meta"):
            state = classifiers.build(f"mnist{depth}", "relu").state_dict()
        arrays = {
            name: np.broadcast_to(np.float32(0), tuple(array.shape))
            for name, array in state.items()
            if not name.endswith("num_batches_tracked")
        }
        assert checkpoints._recognise(tmp_path, arrays, "relu") == f"mnist{depth}"


def test_hostile_checkpoints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = classifiers.build("squeezenet", "swish")
    state = network.state_dict()
    shallow = classifiers.MnistNet(3, "swish").state_dict()
    cases = [
        ({key: value for key, value in state.items() if key != "bn1.weight"}, "'bn1.weight' of"),
        ({**state, "conv10.bias": torch.zeros(9)}, "'conv10.bias' is (9,)"),
        ({**state, "conv11.bias": torch.zeros(9)}, "'conv11.bias' (9,) belongs to no network"),
        ({**state, "conv10.bias": torch.zeros(10).double()}, "torch.float64"),
        ({**state, "conv10.bias": torch.full((10,), torch.nan)}, "not finite"),
        ({**state, "bn1.running_var": torch.full((96,), -1.0)}, "negative variance"),
        (shallow, "of mnist15 is missing"),
    ]
    for arrays, part in cases:
        path = tmp_path / "hostile.pt"
        torch.save({"activation": "swish", "state_dict": arrays}, path)
        assert convert_command.main([str(path), str(tmp_path / "model.npz")]) == 2
        error = capsys.readouterr().err
        assert part in error and str(path) in error and error.count("\n") == 1
    path = checkpoint(tmp_path / "original.pt", network, activation="original")
    assert convert_command.main([str(path), str(tmp_path / "model.npz")]) == 2
    assert "belongs to no network" in capsys.readouterr().err
    assert not (tmp_path / "model.npz").exists()


def test_reference_refuses_unknown_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for names in (["mnist14", "relu"], ["squeezenet", "original"], ["meso4", "gelu"]):
        assert reference.main([*names, str(tmp_path / "dump.npz")]) == 2
        error = capsys.readouterr().err
        assert error.startswith("reference: unknown") and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_pictures_of_the_committed_dumps_are_made_again() -> None:
    """The network's size decides; that of the MesoNets gives the bytes that their dumps hold."""
    stored = np.load(Path(__file__).parents[1] / "data" / "reference" / "meso4-pish.npz")
    assert np.array_equal(reference.picture(0), stored["input"])
    assert reference.picture(0, (1, 28, 28)).shape == (1, 28, 28, 1)
    assert reference.picture(0, (3, 33, 64)).shape == (1, 33, 64, 3)
