"""Figure 3 and Table 5: reading MNIST and CIFAR-10, training, resuming, rendering."""

from __future__ import annotations

import csv
import gzip
import io
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pd = pytest.importorskip("pandas")
pytest.importorskip("tqdm")
pytest.importorskip("matplotlib")

from PIL import Image  # noqa: E402
from scipy import stats  # noqa: E402
from support.cifar import flat_tiles, jpeg, label_table, write_cifar  # noqa: E402

from minimeso import Session, load_model  # noqa: E402
from tools.convert import __main__ as convert_command  # noqa: E402
from tools.paper import classify, figure3, images, pages, table5  # noqa: E402
from tools.paper.__main__ import main  # noqa: E402
from tools.paper.results import Budget, ResultsError  # noqa: E402
from tools.train import elementwise, trainer  # noqa: E402
from tools.train.device import bfloat16_is_fast  # noqa: E402
from tools.train.trainer import Epoch  # noqa: E402

CPU = torch.device("cpu")
PRECISION = "bf16" if bfloat16_is_fast(CPU) else "fp32"


def idx(values: np.ndarray) -> bytes:
    header = bytes((0, 0, 8, values.ndim)) + np.array(values.shape, ">u4").tobytes()
    return header + values.astype(np.uint8).tobytes()


def write_mnist(folder: Path, counts: dict[str, int]) -> None:
    """Digits that are bars at as many places, with noise."""
    rng = np.random.default_rng(0)
    for split, count in counts.items():
        labels = np.arange(count) % 10
        pictures = rng.integers(0, 60, (count, 28, 28))
        for number, label in enumerate(labels):
            pictures[number, :, 4 + 2 * label] = 255
        for kind, values in (("images-idx3", pictures), ("labels-idx1", labels)):
            path = folder / f"{images.MNIST_FILES[split]}-{kind}-ubyte.gz"
            path.write_bytes(gzip.compress(idx(values)))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that --data gets."""
    folder = tmp_path_factory.mktemp("data")
    for name in ("mnist", "cifar10"):
        (folder / name).mkdir()
    write_mnist(folder / "mnist", {"train": 70, "test": 30})
    write_cifar(folder / "cifar10")
    return folder


# --- the data --------------------------------------------------------------------------------


def test_mnist_is_read(data: Path) -> None:
    found = images.mnist(data / "mnist", "train")
    assert found.pictures.shape == (70, 28, 28, 1) and found.pictures.dtype == np.uint8
    assert found.labels.tolist() == [number % 10 for number in range(70)]
    assert (found.pictures[13, :, 10, 0] == 255).all() and found.pictures[13, :, 12].max() < 60
    assert len(found.first(5).labels) == 5 and len(found.first(0).labels) == 70
    assert len(images.mnist(data / "mnist", "test").labels) == 30


def test_cifar_is_read_tile_by_tile(data: Path) -> None:
    found = images.cifar10(data / "cifar10", "train")
    assert found.pictures.shape == (1700, 32, 32, 3)
    error = np.abs(found.pictures.astype(int) - flat_tiles(2)[:1700].astype(int))
    assert error.max() <= 3
    assert found.labels[1699] == 9
    assert len(images.cifar10(data / "cifar10", "train", 1200).pictures) == 1200
    assert len(images.cifar10(data / "cifar10", "test").pictures) == 1000


PICTURES, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"


def packed(values: np.ndarray) -> bytes:
    return gzip.compress(idx(values))


@pytest.mark.parametrize(
    ("name", "change", "part"),
    [
        (PICTURES, lambda data: data[:-900], "damaged"),
        (PICTURES, lambda data: b"", "not an idx file"),
        (PICTURES, lambda data: b"text", "damaged"),
        (PICTURES, lambda data: data[:300] + bytes(40) + data[340:], "damaged"),
        (PICTURES, lambda data: gzip.compress(gzip.decompress(data)[:-1]), "copy it anew"),
        (PICTURES, lambda data: gzip.compress(gzip.decompress(data) + b"0"), "copy it anew"),
        (PICTURES, lambda data: gzip.compress(gzip.decompress(data)[:9]), "not an idx file"),
        (PICTURES, lambda data: gzip.compress(bytes(80 << 20)), "not an idx file"),
        (PICTURES, lambda data: packed(np.zeros((70, 27, 28))), "28x28"),
        (PICTURES, lambda data: packed(np.zeros((69, 28, 28))), "70 labels for 69 pictures"),
        (LABELS, lambda data: packed(np.full(70, 10)), "labels above 9"),
        (LABELS, lambda data: packed(np.zeros(0)), "0 labels"),
        (LABELS, lambda data: packed(np.zeros((70, 28, 28))), "not an idx file of labels"),
        (LABELS, None, "no such file"),
    ],
)
def test_hostile_mnist(
    name: str, change: Callable[[bytes], bytes] | None, part: str, data: Path, tmp_path: Path
) -> None:
    for file in (data / "mnist").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    if change is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(change((tmp_path / name).read_bytes()))
    with pytest.raises(ResultsError, match=part) as caught:
        images.mnist(tmp_path, "train")
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


MOSAIC = jpeg(flat_tiles(1))


def picture(form: str, size: tuple[int, int], mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.new(mode, size).save(file, form)
    return file.getvalue()


@pytest.mark.parametrize(
    ("mosaic", "table", "part"),
    [
        (None, label_table(np.zeros(5, int)), "train_00.jpg is not in it"),
        (MOSAIC, None, "train_labels.csv is not in it"),
        (MOSAIC[: len(MOSAIC) // 2], label_table(np.arange(5)), "no whole JPEG"),
        (b"", label_table(np.arange(5)), "no whole JPEG"),
        (picture("PNG", (1280, 800)), label_table(np.arange(5)), "no whole JPEG"),
        (picture("JPEG", (1280, 801)), label_table(np.arange(5)), "1280x801 RGB, not 1280x800"),
        (picture("JPEG", (1280, 800), "L"), label_table(np.arange(5)), "1280x800 L, not"),
        (MOSAIC + bytes(9 << 20), label_table(np.arange(5)), "more than 8388608"),
        (MOSAIC, label_table(np.arange(11)), "not 0 to 9"),
        (MOSAIC, label_table(np.array([-1])), "not 0 to 9"),
        (MOSAIC, "index,label,name\n", "do not count from 0"),
        (MOSAIC, "index,label,name\n1,0,x\n", "do not count from 0"),
        (MOSAIC, "label\n1\n", "no table"),
        (MOSAIC, "index,label\n0,cat\n", "no table"),
        (MOSAIC, "index,label\n0\n", "no table"),
        (MOSAIC, label_table(np.zeros(1001, int)), "train_01.jpg is not in it"),
        (MOSAIC, label_table(np.zeros(70_001, int)), "do not count from 0 to 69999"),
    ],
)
def test_hostile_cifar(mosaic: bytes | None, table: str | None, part: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "train.zip", "w") as archive:
        if mosaic is not None:
            archive.writestr("train_00.jpg", mosaic)
        if table is not None:
            archive.writestr("train_labels.csv", table)
    with pytest.raises(ResultsError, match=part) as caught:
        images.cifar10(tmp_path, "train")
    assert str(tmp_path / "train.zip") in str(caught.value) and "\n" not in str(caught.value)


def test_hostile_zips(data: Path, tmp_path: Path) -> None:
    whole = (data / "cifar10" / "test.zip").read_bytes()
    place = whole.index(b"JFIF") + 3000
    for damaged, part in (
        (b"", "damaged"),
        (whole[: len(whole) // 2], "damaged"),
        (whole[:place] + b"\0\1\2\3" + whole[place + 4 :], "damaged"),
    ):
        (tmp_path / "test.zip").write_bytes(damaged)
        with pytest.raises(ResultsError, match=part):
            images.cifar10(tmp_path, "test")
    (tmp_path / "test.zip").unlink()
    with pytest.raises(ResultsError, match="no such file"):
        images.cifar10(tmp_path, "test")


# --- training --------------------------------------------------------------------------------


def recipe(**changes: object) -> classify.Recipe:
    values = {"architecture": "squeezenet", "activation": "pish", "optimizer": "adam"}
    values |= {"learning_rate": 1e-3, "epochs": 1, "examples": 0, "augment": "rotate"}
    return classify.Recipe(**(values | {"precision": "fp32", "seed": 0} | changes))


def test_augmentation_mirrors_and_turns() -> None:
    torch.manual_seed(0)
    ones = classify.flip_and_rotate(torch.ones(400, 3, 32, 32))
    assert ones.shape == (400, 3, 32, 32) and set(ones.unique().tolist()) == {0.0, 1.0}
    assert (ones[:, :, 5:27, 5:27] == 1).all()  # black comes in at the corners only
    corners = ones[:, 0, 0, 0] == 0
    assert 0.8 < corners.float().mean() < 1
    x = torch.zeros(400, 1, 32, 32)
    x[:, :, 14:18, 24:] = 1  # to the right of the middle, where the angle hardly matters
    turned = classify.flip_and_rotate(x)
    mirrored = (turned[..., :16].sum((1, 2, 3)) > turned[..., 16:].sum((1, 2, 3))).float()
    assert 0.33 < mirrored.mean() < 0.47


def _error(module: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    """The largest relative one."""
    exact = type(module).forward(module, x.double())
    return ((y - exact).abs() / exact.abs().clamp_min(1e-20)).max().item()


@pytest.mark.parametrize("activation", figure3.ACTIVATIONS)
def test_activations_are_computed_in_float32(activation: str, tmp_path: Path) -> None:
    """In bfloat16, too, and rounded once: PyTorch would round a Pish four times."""
    run = classify.ClassifierTrainer(recipe(activation=activation, precision="bf16"), tmp_path, CPU)
    kinds: list[float] = []
    for module in run.network.modules():
        if type(module) in elementwise.MODULES:
            module.register_forward_hook(
                lambda module, inputs, output: kinds.append(_error(module, inputs[0], output))
            )
    seen: list[object] = []
    run.network.fire4.squeeze.register_forward_hook(
        lambda module, inputs, output: seen.append(output.dtype)
    )
    black = images.Images(np.zeros((4, 32, 32, 3), np.uint8), np.zeros(4, np.int64))
    steps = partial(trainer.one_by_one, [run])
    trainer._train_epoch([run], Epoch(classify.batches(black, 4, CPU), 1, 4), steps)
    assert len(kinds) == 25 and max(kinds) <= 2**-8
    assert seen == [torch.bfloat16]


def test_batches_take_each_picture_once(data: Path) -> None:
    found = images.mnist(data / "mnist", "train")
    torch.manual_seed(0)
    epochs = [list(classify.batches(found, 23, CPU)) for _ in range(2)]
    for parts in epochs:
        assert [len(labels) for _, labels in parts] == [23, 23, 23]  # and not the one that is left
        for pictures, labels in parts:
            for number, label in zip(pictures, labels.tolist(), strict=True):
                assert (number[:, 4 + 2 * label] == 255).all()
    assert not torch.equal(epochs[0][0][1], epochs[1][0][1])


def test_it_learns(tmp_path: Path) -> None:
    """Bright to the left or to the right; a network that is wired wrongly stays at one half."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 128, (64, 32, 32, 3), np.uint8)
    labels = np.arange(64) % 2
    for number, label in enumerate(labels):
        pictures[number, :, 16 * label : 16 * label + 16] += 127
    plan = recipe(epochs=5, batch=8, augment="none")
    run = classify.ClassifierTrainer(plan, tmp_path, CPU)
    classify.train_together([run], *[images.Images(pictures, labels)] * 2)
    assert run.history[-1]["train_accuracy"] > 0.9
    assert run.history[-1]["train_loss"] < 0.5 * run.history[0]["train_loss"]


# --- the experiments -------------------------------------------------------------------------

MODULES = {"figure3": figure3, "table5": table5}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs of two epochs of 24 pictures."""
    for module in MODULES.values():
        monkeypatch.setitem(module.BUDGETS, "smoke", Budget(1, 2, 24))
    monkeypatch.setattr(figure3, "ACTIVATIONS", ("relu", "pish"))
    monkeypatch.setattr(table5.paper, "TABLE5", {"pish": 0.886, "relu": 0.878})


def rows(out: Path, name: str) -> list[dict[str, str]]:
    with (out / name / "runs.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    for row in found:
        del row["seconds"]
    return found


def stop_at(monkeypatch: pytest.MonkeyPatch, epoch: int) -> None:
    """Ctrl-C in the middle of the epoch of that number, counted over all runs."""
    whole, begun = classify.judge, []

    def judge(*arguments: object) -> dict[str, float]:
        begun.append(1)
        if len(begun) == epoch:
            raise KeyboardInterrupt
        return whole(*arguments)

    monkeypatch.setattr(classify, "judge", judge)


@pytest.mark.parametrize("name", MODULES)
def test_a_cut_experiment_goes_on_with_the_same_numbers(
    name: str,
    small: None,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert main([name, "--data", str(data), "--out", str(whole)]) == 0
    for epoch in (2, 3):  # in the second epoch of the first run, then in that of the second run
        with monkeypatch.context() as patch:
            stop_at(patch, epoch)
            assert main([name, "--data", str(data), "--out", str(cut)]) == 130
        assert "goes on" in capsys.readouterr().err
    # the data may as well be the folder itself
    inner = data / ("mnist" if name == "figure3" else "cifar10")
    assert main([name, "--data", str(inner), "--out", str(cut)]) == 0
    assert "resuming after epoch 1" in capsys.readouterr().err
    assert rows(cut, name) == rows(whole, name)
    assert [row["activation"] for row in rows(whole, name)] == (
        ["relu", "pish"] if name == "figure3" else ["pish", "relu"]
    )
    assert {row["train_pictures"] for row in rows(whole, name)} == {"24"}
    # nothing is left to do
    with monkeypatch.context() as patch:
        stop_at(patch, 1)
        assert main([name, "--data", str(data), "--out", str(whole)]) == 0
    # and the checkpoints become model files
    for path in (whole / name / "checkpoints").glob("*/last.pt"):
        model = tmp_path / "model.npz"
        assert convert_command.main([str(path), str(model)]) == 0
        loaded = load_model(model)
        assert loaded.meta["recipe"]["epochs"] == 2
        session = Session(loaded)
        channels, height, width = session.graph.inputs["image"]
        assert session.run(np.zeros((1, height, width, channels), np.uint8)).sum() == pytest.approx(
            1
        )


@pytest.mark.parametrize("name", MODULES)
def test_rendering_needs_the_csv_only(
    name: str, small: None, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([name, "--data", str(data), "--out", str(tmp_path)]) == 0
    folder = tmp_path / name
    made = {ending: (folder / f"{name}.{ending}") for ending in ("csv", "md", "png")}
    before = {ending: path.read_bytes() for ending, path in made.items()}
    for path in made.values():
        path.unlink()
    assert main([name, "--render", "--out", str(tmp_path)]) == 0
    assert {ending: path.read_bytes() for ending, path in made.items()} == before
    text = before["md"].decode()
    assert "smoke run" in text and "Misra" in text and "24 of 10,000" in text
    assert all(name in text for name in ("ReLU", "Pish"))
    (folder / "runs.csv").unlink()
    assert main([name, "--render", "--out", str(tmp_path)]) == 2
    assert "runs.csv: no such file" in capsys.readouterr().err


def test_checkpoints_of_something_else(
    small: None, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "table5" / "checkpoints" / "pish-0" / "last.pt"
    path.parent.mkdir(parents=True)
    command = ["table5", "--data", str(data), "--out", str(tmp_path)]
    run = classify.ClassifierTrainer(recipe(activation="mish"), path.parent, CPU)
    plan = recipe(epochs=2, examples=24, precision=PRECISION)
    whole = classify.ClassifierTrainer(plan, path.parent, CPU).checkpoint()
    states = [
        *(b"text", b"", None, {"format": 1}, [1], run.checkpoint(), {**whole, "recipe": {}}),
        *({**whole, "history": history} for history in (1, [1], [{"seconds": 1.0}])),
        *({**whole, "random": random} for random in (None, torch.zeros(3))),
        {**whole, "state_dict": {**whole["state_dict"], "conv10.bias": torch.zeros(9)}},
        {**whole, "optimizer": {}},
    ]
    for state in states:
        if isinstance(state, bytes):
            path.write_bytes(state)
        else:
            torch.save(state, path)
        assert main(command) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith(f"paper: {path}: ") and "delete it" in error


@pytest.mark.parametrize("name", MODULES)
def test_data_that_is_not_there(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in ([], ["--data", str(tmp_path / "gone")], ["--data", str(tmp_path)]):
        assert main([name, *arguments, "--out", str(tmp_path / "out")]) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith("paper: ") and "--data" in error


# --- what the pages say ----------------------------------------------------------------------


def test_differences_depth_by_depth() -> None:
    rng = np.random.default_rng(0)
    found = figure3.paired(
        {"one": (a := rng.random(5)).tolist(), "other": (b := rng.random(5)).tolist()}
    )
    (one,) = found
    wanted = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (one.low, one.high) == pytest.approx((wanted.low, wanted.high))
    assert one.by == pytest.approx(np.mean(a - b))


def test_depths_agree_on_the_order_or_not() -> None:
    """What grows with the depth is no noise if every depth says the same."""
    same = {
        name: 1 - np.array([0.01, 0.1, 0.8]) * share
        for name, share in zip(figure3.ACTIVATIONS, (1.0, 0.6, 0.2, 0.1), strict=True)
    }
    agreement = figure3.agreement(same)
    assert agreement == pytest.approx((1, 24 / 24**3))
    text = figure3.order(same)
    assert "none have" in text and "Kendall's W 1.00" in text and "probability 0.0017" in text
    assert "order is more than noise" in text and "order here is noise" not in text

    rng = np.random.default_rng(0)
    many = {name: rng.random(7).tolist() for name in figure3.ACTIVATIONS}
    found, chance = figure3.agreement(many)
    wanted = stats.friedmanchisquare(*many.values())
    assert found == pytest.approx(wanted.statistic / (7 * 3))
    assert chance == pytest.approx(wanted.pvalue, abs=0.05)


def test_order_is_noise_or_not() -> None:
    slope = np.array([0.97, 0.95, 0.9])
    noise = {
        name: slope + 0.02 * np.sin(number + np.arange(3))
        for number, name in enumerate(figure3.ACTIVATIONS)
    }
    assert "order here is noise" in figure3.order(noise)
    clear = {name: slope + 0.1 * number for number, name in enumerate(figure3.ACTIVATIONS)}
    clear["relu"] = clear["relu"] + np.array([0.001, 0, -0.001])
    text = figure3.order(clear)
    assert "all of the order holds" in text and "best first: Pish 1.2" in text
    partly = {**noise, "pish": slope + 1}
    text = figure3.order(partly)
    assert "3 have" in text and "Pish before" in text and "The rest of the order is noise" in text
    partly = {**clear, "mish": clear["swish"] + np.array([0.001, 0.002, 0.009])}
    text = figure3.order(partly)
    assert "more than noise, though not all of its differences" in text and "rest" not in text
    assert "nobody can say" in figure3.order({name: [0.9] for name in figure3.ACTIVATIONS})
    assert "No depth" in figure3.order({name: [] for name in figure3.ACTIVATIONS})


def test_a_page_says_what_ran_where() -> None:
    row = {"activation": "relu", "device": "cpu", "precision": "bf16", "seconds": "1800"}
    rows = pd.DataFrame([row, row, {**row, "activation": "pish"}, {**row, "device": "cuda"}])
    assert "Trained in bf16 on cpu; 1.5 hours" in table5.machine(rows[:3])
    said = table5.machine(rows)
    assert "bf16 on cpu (runs: Pish 1, ReLU 2) and bf16 on cuda (runs: ReLU 1); 2.0" in said
    named = rows.assign(machine=["", "A", "A", "B"], precision=["bf16", "fp32", "fp32", "bf16"])
    assert "bf16 on cpu (runs: ReLU 1)" in table5.machine(named)
    assert "fp32 on cpu (A) (runs: Pish 1, ReLU 1)" in table5.machine(named)
    assert "Trained in fp32 on cpu (A); 1.0 hours" in table5.machine(named[1:3])


def test_a_page_says_if_its_command_gives_other_runs() -> None:
    """Also where a budget was raised after the runs."""
    budgets = {"gpu": Budget(3, 30, 0)}
    rows = pd.DataFrame([{"budget": "gpu", "epochs": "30", "limit": "0"}])
    assert pages.budget_of_now(rows, [3, 3], budgets) == ""
    assert "makes 3 runs: some are missing" in pages.budget_of_now(rows, [3, 2], budgets)
    older = pages.budget_of_now(rows.assign(epochs="6"), [3, 3], budgets)
    assert "older budget: `gpu` is 3 runs of 30 epochs now" in older


def test_interval_of_a_share() -> None:
    low, high = figure3.wilson(950, 1000)
    assert low == pytest.approx(0.9347, abs=1e-4) and high == pytest.approx(0.9618, abs=1e-4)


def test_another_seed_is_judged_by_the_same_pictures() -> None:
    """So it does not halve what their number leaves open."""
    row = {"depth": "15", "activation": "relu", "test_pictures": "1000"}
    row |= {"test_accuracy": "0.95", "test_loss": "0.2", "train_accuracy": "0.9"}
    for rows in ([row], [row | {"seed": "0"}, row | {"seed": "1"}]):
        (found,) = figure3.summarise(pd.DataFrame(rows))
        interval = found["test_accuracy_low"], found["test_accuracy_high"]
        assert interval == figure3.wilson(950, 1000)


def test_budgets_are_the_papers() -> None:
    assert table5.BUDGETS["full"] == Budget(3, 100, 0)
    assert figure3.BUDGETS["full"].epochs == 20 and figure3.DEPTHS["full"] == tuple(range(15, 26))
