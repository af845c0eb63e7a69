"""Is Pish worth it? Training side by side, times in turns, and what the page makes of them."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pd = pytest.importorskip("pandas")
pytest.importorskip("tqdm")
pytest.importorskip("kornia")
pytest.importorskip("matplotlib")

from support.cifar import write_cifar  # noqa: E402
from support.paper_runs import paper_main, rows_of  # noqa: E402

from minimeso import Model  # noqa: E402
from minimeso.engine.graph import Graph  # noqa: E402
from tools.convert import source  # noqa: E402
from tools.paper import activation_times, classify, elsewhere, worth  # noqa: E402
from tools.paper.results import Budget  # noqa: E402

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "cifar10"
    folder.mkdir()
    write_cifar(folder)
    return folder.parent


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """One epoch of a few pictures, one round, and a thorough network of one convolution."""
    monkeypatch.setitem(elsewhere.BUDGETS, "smoke", Budget(1, 1, 20))
    monkeypatch.setitem(activation_times.ROUNDS, "smoke", 1)
    graph = Graph("few")
    x = graph.node("conv2d", graph.input("image", (3, 8, 8)), name="conv", out_channels=2,
                   kernel_size=1)  # fmt: skip
    x = graph.node("clamp", x, name="clamp", min=0, max=6)
    graph.output(graph.node("batch_norm", x, name="bn", eps=1e-3))
    weights = {name: np.ones(shape, np.float32) for name, shape in graph.parameters().items()}
    monkeypatch.setattr(activation_times, "thorough", lambda: Model("few", graph, weights))


# --- the experiment --------------------------------------------------------------------------


def test_trains_side_by_side_and_measures(
    small: None, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elsewhere, "NETWORKS", ("resnet20",))
    monkeypatch.setattr(activation_times, "ACTIVATIONS", ("relu", "pish"))
    assert paper_main("elsewhere", data, tmp_path) == 0
    folder = tmp_path / "elsewhere"
    rows = rows_of(tmp_path, "elsewhere")
    assert [(row["network"], row["activation"], row["seed"]) for row in rows] == [
        ("resnet20", "relu", "0"),
        ("resnet20", "pish", "0"),
    ]
    text = (folder / "elsewhere.md").read_text()
    assert "smoke run" in text and "time was not measured yet" in text
    assert "Not measured yet: `python -m tools.paper elsewhere" in text
    # the draws of both, the order and the changes of the pictures, were the same
    saved = [
        torch.load(folder / "checkpoints" / f"resnet20-{name}-0" / "last.pt", weights_only=True)
        for name in ("relu", "pish")
    ]
    assert torch.equal(saved[0]["random"], saved[1]["random"])
    # a seed more leaves what there is
    assert paper_main("elsewhere", data, tmp_path, "--seed", "1") == 0
    assert rows_of(tmp_path, "elsewhere")[:2] == rows
    text = (folder / "elsewhere.md").read_text()
    assert "| ResNet-20 | ReLU |" in text and "2 runs of a setting" in text

    monkeypatch.setattr(activation_times, "ACTIVATIONS", ("relu", "swish", "mish", "pish"))
    assert paper_main("elsewhere", None, tmp_path) == 0
    with (folder / "times.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    times = [name for name in row if name.endswith("_ms")]
    assert all(float(row[name]) > 0 for name in times)
    assert any(name.startswith("efficientnet_lite0_") for name in times)
    made = {path: path.read_bytes() for path in folder.glob("elsewhere*")}
    assert {path.name for path in made} == {
        *("elsewhere.csv", "elsewhere.md", "elsewhere.png", "elsewhere-times.png"),
    }
    for path in made:
        path.unlink()
    monkeypatch.setattr(activation_times, "write_models", None)  # nothing is left to measure
    assert paper_main("elsewhere", None, tmp_path) == 0
    assert {path: path.read_bytes() for path in made} == made


def test_nothing_there_yet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert paper_main("elsewhere", None, tmp_path, "--render") == 2
    assert "runs.csv: no such file" in capsys.readouterr().err
    assert paper_main("elsewhere", tmp_path, tmp_path) == 2
    assert "--data must be" in capsys.readouterr().err


# --- how it trains ---------------------------------------------------------------------------


def test_pictures_are_shifted_and_mirrored() -> None:
    torch.manual_seed(0)
    x = torch.zeros(600, 2, 32, 32)
    x[:, 0, 10, 20] = 1
    x[:, 1] = 1
    changed = classify.shift_and_flip(x)
    assert changed.shape == x.shape
    (pictures, rows, columns) = torch.nonzero(changed[:, 0], as_tuple=True)
    assert pictures.tolist() == list(range(600))  # never lost, never twice
    assert set((rows - 10).tolist()) == set(range(-4, 5))
    plain = columns >= 16
    assert set((columns[plain] - 20).tolist()) == set(range(-4, 5))
    assert set((columns[~plain] - 11).tolist()) == set(range(-4, 5))
    assert 0.4 < plain.float().mean() < 0.6
    # what comes in is black: as many rows as the picture was moved by
    black = (changed[:, 1].amax(2) == 0).sum(1)
    assert torch.equal(black, (rows - 10).abs())


def test_the_rate_rises_and_falls(tmp_path: Path) -> None:
    recipe = classify.Recipe("resnet20", "relu", "adam", 1e-3, 1, 0, "shift", "fp32", 0)
    run = classify.ClassifierTrainer(recipe, tmp_path, CPU)
    assert run.learning_rate(recipe, 7, 100) == 1e-3
    cosine = classify.Recipe(
        "resnet20", "relu", "adam", 1e-3, 1, 0, "shift", "fp32", 0, schedule="cosine"
    )
    rates = [run.learning_rate(cosine, step, 100) for step in range(100)]
    assert rates[:2] == pytest.approx([2e-4, 4e-4]) and rates[50] == pytest.approx(5e-4)
    assert np.argmax(rates) == 4 and 0 < rates[-1] < 1e-6


# --- what is measured ------------------------------------------------------------------------


@pytest.mark.parametrize("network", elsewhere.NETWORKS)
def test_swapped_graphs_are_the_networks(network: str) -> None:
    base = source.graph_of(network, "relu", 1e-5)
    for activation in activation_times.ACTIVATIONS:
        swapped = activation_times.with_activation(base, activation)
        assert swapped.to_json() == source.graph_of(network, activation, 1e-5).to_json()


def test_the_thorough_network_with_pish() -> None:
    model = activation_times.thorough()
    swapped = activation_times.with_activation(model.graph, "pish")
    ops = [node.op for node in swapped.nodes]
    assert ops.count("pish") == 33 and "clamp" not in ops
    assert swapped.parameters() == model.graph.parameters()


def test_batch_norms_fit() -> None:
    """Behind each, values have the mean and scatter that its bias and weight say."""
    base = activation_times.classifier("resnet20")
    graph = activation_times.with_activation(base.graph, "pish")
    model = activation_times.with_statistics(Model("x", graph, base.weights))
    from minimeso import Session

    norms = [node.name for node in graph.nodes if node.op == "batch_norm"]
    found = Session(model).run(
        activation_times.noise(graph, activation_times.SEED, 1)[0], outputs=norms
    )
    for name in norms:
        assert found[name].mean((0, 2, 3)) == pytest.approx(0, abs=1e-3)
        assert found[name].std((0, 2, 3)) == pytest.approx(1, abs=1e-2)


# --- what the page says ----------------------------------------------------------------------


def runs(advantage: float, scatter: float = 0.001, count: int = 4) -> pd.DataFrame:
    """Pish is better than the others by so much; a seed moves all alike, by much more."""
    rng = np.random.default_rng(0)
    rows = []
    for seed in range(count):
        level = 0.8 + 0.1 * rng.random()
        for activation in activation_times.ACTIVATIONS:
            accuracy = level + scatter * rng.normal() + advantage * (activation == "pish")
            rows.append(
                {"network": "resnet20", "activation": activation, "seed": str(seed)}
                | {"test_accuracy": str(accuracy)}
            )
    return pd.DataFrame(rows).sample(frac=1, random_state=1)  # in whatever order they ended


COSTS = [
    {"network": network, "activation": activation, "avx2_over": over}
    for network in activation_times.TURNS
    for activation, over in (("swish", 0.1), ("mish", 0.3), ("pish", 0.2))
]
COSTS += [{"network": network, "activation": "relu"} for network in activation_times.TURNS]
MEASURED = pd.DataFrame([{"efficientnet_lite0_avx2_relu_median_ms": "1"}])


def test_seeds_are_compared_with_themselves() -> None:
    found = worth.against_pish(runs(0.01), "resnet20")
    assert {d.other for d in found} == {"relu", "swish", "mish"}
    for d in found:
        assert d.one == "pish" and d.low < 0.01 < d.high and d.high - d.low < 0.01
    assert worth.against_pish(runs(0.01, count=1), "resnet20") == []
    assert worth.against_pish(runs(0.01), "mobilenetv2_0.5") == []


@pytest.mark.parametrize(
    ("advantage", "scatter", "said"),
    [
        (0.02, 0.001, "Yes (ResNet-20: yes, more accurate than "),
        (0.0, 0.001, "No (ResNet-20: no, cheaper and hardly less accurate, if at all: "),
        (-0.02, 0.001, "No (ResNet-20: no, "),
        (0.02, 0.1, "Not known yet (ResNet-20: open, the runs do not tell it from "),
    ],
)
def test_verdicts(advantage: float, scatter: float, said: str) -> None:
    text = worth.verdict(runs(advantage, scatter), MEASURED, COSTS)
    assert text.startswith(f"**{said}") and text.endswith("**") and "\n" not in text
    assert "Pish costs 20 to 20 % over ReLU" in text and "AVX2" in text
    assert "Mish (Pish by" not in text  # it costs more here


def test_verdicts_without_one_or_the_other() -> None:
    text = worth.verdict(None, MEASURED, COSTS)
    assert "nothing was trained" in text and "20 %" in text
    text = worth.verdict(runs(0.02), None, [])
    assert "not measured yet" in text
    assert "Mish (Pish by" in text  # the paper says that it costs less
    both = pd.concat([runs(0.02), runs(-0.02).assign(network="mobilenetv2_0.5")])
    assert worth.verdict(both, MEASURED, COSTS).startswith("**That depends on the network (")
    alone = worth.finding(worth.against_pish(runs(0), "resnet20"), set())
    assert alone == worth.Finding("yes", "nothing is cheaper")


def test_times_over_relu() -> None:
    """A round twice as slow changes nothing."""
    rows = []
    for number in range(20):
        row = {}
        for network in activation_times.TURNS:
            for name in activation_times.names("avx2"):
                cost = {"pish": 1.5, "pish_approximated": 1.25}.get(name, 1.0)
                row[f"{network}_avx2_{name}_median_ms"] = str((1 + number % 2) * cost)
        rows.append(row)
    table = pd.DataFrame(rows)
    assert activation_times.isas(table) == ["avx2"]
    found = {(r["network"], r["activation"]): r for r in activation_times.summarise(table)}
    assert len(found) == 12
    pish = found["resnet20", "pish"]
    assert pish["avx2_over"] == pytest.approx(0.5) and pish["avx2_over_low"] == pytest.approx(0.5)
    assert pish["avx2_approximated_over"] == pytest.approx(0.25)
    assert found["resnet20", "swish"]["avx2_over"] == 0
    assert not math.isnan(found["resnet20", "relu"]["avx2_ms"])
    assert "avx2_over" not in found["resnet20", "relu"]
