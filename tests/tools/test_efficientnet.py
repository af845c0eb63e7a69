"""EfficientNet-Lite0: its graph, its conversion, and the engine against PyTorch, layer by layer."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("efficientnet_lite_pytorch", reason="the extra 'teacher' is not installed")

from minimeso import Session, load_model  # noqa: E402
from minimeso.cli import main  # noqa: E402
from tools.convert import __main__ as convert_command  # noqa: E402
from tools.convert import efficientnet, reference  # noqa: E402
from tools.train import faces, teacher, weights  # noqa: E402
from tools.train.trainer import TrainError  # noqa: E402

BOUND = 2e-5  # of a layer's largest value, as for the MesoNets


@pytest.fixture(scope="module")
def network() -> Any:
    torch.manual_seed(0)
    return teacher.Teacher(efficientnet.ARCHITECTURE).eval()


@pytest.fixture(scope="module")
def dump(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Model file and reference file of random weights, made by the tool."""
    folder = tmp_path_factory.mktemp("lite0")
    model, dump = str(folder / "model.npz"), str(folder / "reference.npz")
    arguments = [efficientnet.ARCHITECTURE, efficientnet.ACTIVATION, dump, "--model", model]
    assert reference.main(arguments) == 0
    return model, dump


def half(network: Any) -> dict[str, Any]:
    """Its state as the shared one is kept: float16, counters as they are."""
    return {
        name: array.half() if array.is_floating_point() else array
        for name, array in network.state_dict().items()
    }


def test_graph_is_the_module(network: Any) -> None:
    graph = efficientnet.efficientnet_lite0()
    arrays = {
        name: tuple(array.shape)
        for name, array in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    scaling = {name: array.shape for name, array in efficientnet.SCALING.items()}
    assert graph.parameters() == {**arrays, **scaling}
    assert sum(parameter.numel() for parameter in network.parameters()) == 3_372_289
    assert [node.name for node in graph.nodes][-2:] == ["body._fc", "p_fake"]
    calibrated = efficientnet.efficientnet_lite0(calibrated=True)
    assert [node.name for node in calibrated.nodes][-3:] == ["body._fc", "calibration", "p_fake"]


def test_scaling_is_exact() -> None:
    mean, variance = (efficientnet.SCALING[f"scaled.running_{part}"] for part in ("mean", "var"))
    eps = efficientnet.efficientnet_lite0().nodes[0].attributes["eps"]
    assert (np.sqrt(variance.astype(np.float64) + eps) == 1).all() and (mean == 0).all()


def test_layers_equal_pytorch(dump: tuple[str, str], isa: str) -> None:
    """All layers from one run, as they are where nothing is fused across them; then fused."""
    model, path = dump
    stored = np.load(path)
    session = Session(model, isa=isa)
    names = [node.name for node in session.graph.nodes]
    results = session.run(stored["input"], outputs=names)
    for node, scale in zip(names, stored["scale"], strict=True):
        result = results[node].ravel()
        if f"index/{node}" in stored.files:
            result = result[stored[f"index/{node}"]]
        worst = float(np.abs(result - stored[f"output/{node}"].ravel()).max() / scale)
        assert worst <= BOUND, f"{node}: {worst:.2e} of its scale"
    x = stored["input"].transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
    whole = session.run(np.concatenate([x, x[..., ::-1]]))
    assert abs(whole[0] - stored["output/p_fake"][0, 0]) <= BOUND


def test_verify(dump: tuple[str, str]) -> None:
    assert main(["verify", *dump]) == 0


@pytest.mark.parametrize("whole", [True, False], ids=["checkpoint", "bare"])
def test_weights_become_a_detector(whole: bool, network: Any, tmp_path: Path) -> None:
    """Of `best.pt` of a training run, and of bare float16 arrays."""
    state = network.state_dict() if whole else half(network)
    saved = {
        "architecture": efficientnet.ARCHITECTURE,
        "activation": "mish",  # of the recipe: no network of this kind has one
        "state_dict": state,
        "recipe": {"seed": 0},
    }
    torch.save(saved if whole else state, tmp_path / "best.pt")
    target = tmp_path / "thorough.npz"
    assert convert_command.main([str(tmp_path / "best.pt"), str(target)]) == 0
    model = load_model(target)
    assert model.is_detector  # who says nothing of the framing is older than that of today
    assert model.framing == {"resample": "bilinear", "side": faces.FRAME_SIDE}
    assert model.meta["architecture"] == efficientnet.ARCHITECTURE
    assert model.meta["activation"] == "relu6"
    twin = teacher.Teacher(efficientnet.ARCHITECTURE).eval()
    twin.load_state_dict({name: array.float() for name, array in state.items()}, strict=False)
    pictures = np.random.default_rng(0).integers(0, 256, (2, 256, 256, 3), np.uint8)
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        wanted = twin(x).numpy()
    got = Session(model).run(pictures, outputs=["body._fc"])["body._fc"]
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-4)


def test_pruned_network(network: Any, tmp_path: Path) -> None:
    """Channels that a block has less between its 1x1 convolutions are read off the arrays."""
    state, kept = dict(network.state_dict()), 40
    prefix = "body._blocks.2."
    for name, array in state.items():
        if name.startswith((f"{prefix}_expand", f"{prefix}_depthwise", f"{prefix}_bn0")) or (
            name.startswith(f"{prefix}_bn1") and array.ndim
        ):
            state[name] = array[:kept].clone() if array.ndim else array
    project = f"{prefix}_project_conv.weight"
    state[project] = state[project][:, :kept].clone()
    torch.save(state, tmp_path / "pruned.pt")
    assert convert_command.main([str(tmp_path / "pruned.pt"), str(tmp_path / "pruned.npz")]) == 0
    assert load_model(tmp_path / "pruned.npz").graph.shapes()[f"{prefix}_swish1"][0] == kept
    dump = str(tmp_path / "reference.npz")
    assert reference.main([str(tmp_path / "pruned.pt"), dump]) == 0
    assert main(["verify", str(tmp_path / "pruned.npz"), dump]) == 0


def test_what_is_refused(network: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = network.state_dict()
    depthwise = "body._blocks.3._depthwise_conv.weight"
    cases: list[tuple[Any, str]] = [
        ({name: state[name] for name in state if name != "body._fc.bias"}, "'body._fc.bias'"),
        ({**state, "body.more": torch.zeros(3)}, "'body.more' belongs to no node"),
        ({**state, "body.more": torch.zeros(3, 2, 1, 1)}, "'body.more' belongs to no node"),
        ({**state, depthwise: state[depthwise][:, :, 1:]}, "is (144, 1, 4, 5)"),
        ({**state, depthwise: state[depthwise][1:]}, "cannot be split"),
        ({**state, "body._fc.bias": torch.zeros(1).double()}, "torch.float64"),
        ({**state, "body._bn0.bias": torch.full((32,), torch.nan)}, "not finite"),
        ({"architecture": "efficientnet_lite1", "state_dict": state}, "efficientnet_lite0 alone"),
    ]
    for saved, part in cases:
        path = tmp_path / "hostile.pt"
        torch.save(saved, path)
        assert convert_command.main([str(path), str(tmp_path / "model.npz")]) == 2
        error = capsys.readouterr().err
        assert part in error and str(path) in error and error.count("\n") == 1
    assert not (tmp_path / "model.npz").exists()


def test_shared_weights(isa: str, tmp_path: Path) -> None:
    """MINIMESO_DATA/teachers holds a trained one."""
    folder = os.environ.get("MINIMESO_DATA", "")
    path = Path(folder) / "teachers" / "efficientnet_lite0_broad.pt"
    if not folder or not path.is_file():
        pytest.skip("MINIMESO_DATA does not name a folder with teachers/")
    model, dump = str(tmp_path / "model.npz"), str(tmp_path / "reference.npz")
    assert reference.main([str(path), dump, "--model", model]) == 0
    assert main(["verify", model, dump, "--isa", isa]) == 0


def test_teachers_named_twice_count_twice(network: Any, tmp_path: Path) -> None:
    torch.manual_seed(1)
    other = teacher.Teacher(efficientnet.ARCHITECTURE).eval()
    paths = [tmp_path / "one.pt", tmp_path / "other.pt"]
    for path, of in zip(paths, (network, other), strict=True):
        torch.save(of.state_dict(), path)
    x = torch.rand(2, 3, 256, 256)
    with torch.inference_mode():
        asked = weights.teachers_of([paths[0], paths[1], paths[0]], torch.device("cpu"))
        torch.testing.assert_close(asked(x), (2 * network(x) + other(x)) / 3)
        alone = weights.teachers_of(paths[:1], torch.device("cpu"))
        torch.testing.assert_close(alone(x), network(x))


def test_a_model_file_is_asked_by_the_engine(dump: tuple[str, str], tmp_path: Path) -> None:
    path = Path(dump[0])
    network = teacher.Teacher(efficientnet.ARCHITECTURE).eval()
    network.load_state_dict(weights.with_counts(weights.read(path), network))
    x = torch.rand(2, 3, 256, 256)
    with torch.no_grad():
        asked = weights.teachers_of([path], torch.device("cpu"))
        said = asked(x.to(memory_format=torch.channels_last))
        torch.testing.assert_close(said, network(x), rtol=1e-4, atol=1e-4)


def test_a_model_file_that_is_no_detector_teaches_nothing(tmp_path: Path) -> None:
    finder = Path(str(resources.files("minimeso") / "models" / "yunet-s.npz"))
    with pytest.raises(TrainError, match="no detector of faces; name another file"):
        weights.teachers_of([finder], torch.device("cpu"))
    damaged = tmp_path / "damaged.npz"
    damaged.write_bytes(finder.read_bytes()[:1000])
    with pytest.raises(TrainError, match=r"damaged\.npz"):
        weights.teachers_of([damaged], torch.device("cpu"))
