"""The kernels of training steps in float32 give what PyTorch's own operations give in float64."""

import copy
import os
import signal
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")
from support.compilers import need_vectors, run_sanitized  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from tools.train import fused, networks  # noqa: E402
from tools.train.patches import PatchLoss  # noqa: E402


@pytest.fixture(scope="module", autouse=True)
def _compiler() -> None:
    need_vectors()
    assert fused.kernels() is not None


def _network(layers: list[nn.Module], activation: str, size: int) -> nn.Module:
    """A block of a network, with batch norm of weights of either sign."""
    channels = sum(layers[0].outputs) if isinstance(layers[0], networks.Inception) else 16
    norm = nn.BatchNorm2d(channels)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)

    class Network(networks._MesoNet):
        def __init__(self) -> None:
            super().__init__()
            self.activation = activation
            self.body = nn.ModuleList([*layers, norm, nn.MaxPool2d(size)])

        def forward(self, x: Tensor) -> Tensor:
            return self._through(x, list(self.body))

    return Network()


def _passes(network: nn.Module, x: Tensor, gradient: Tensor) -> dict[str, Tensor]:
    """What a step gives: the output, all gradients, all statistics."""
    x = x.clone().requires_grad_()
    y = network(x)
    y.backward(gradient.to(y))
    assert x.grad is not None
    found = {"y": y.detach(), "x": x.grad}
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None
        found[name] = parameter.grad
    return {**found, **dict(network.named_buffers())}


@pytest.mark.parametrize("activation", fused.ACTIVATIONS)
@pytest.mark.parametrize(
    ("kind", "inputs", "height", "width", "size"),
    [
        ("inception", 3, 16, 32, 2),
        ("inception", 11, 8, 40, 2),  # rows of an odd number of vectors
        ("3x3", 3, 6, 16, 2),
        ("5x5", 12, 12, 16, 2),
        ("5x5", 16, 8, 8, 4),
        ("5x5", 5, 12, 24, 3),
    ],
)
def test_a_block_as_in_float64(
    activation: str, kind: str, inputs: int, height: int, width: int, size: int
) -> None:
    torch.manual_seed(0)
    if kind == "inception":
        layers: list[nn.Module] = [networks.Inception(inputs, (2, 4, 3, 1), activation)]
    else:
        kernel = int(kind[0])
        convolution = nn.Conv2d(inputs, 16, kernel, padding=kernel // 2)
        layers = [convolution, networks.activation_module(activation)]
    network = _network(layers, activation, size)
    x = 3 * torch.randn(3, inputs, height, width)
    truth = copy.deepcopy(network).double()
    gradient = torch.randn(network(x).shape)
    assert network(x).grad_fn.name() == "_BlockBackward"
    network.load_state_dict(truth.float().state_dict())  # its statistics of before
    wanted = _passes(truth.double(), x.double(), gradient)
    for name, found in _passes(network, x, gradient).items():
        # Of a bias before batch norm nothing but rounding may be left.
        bound = 1e-4 if name.endswith("bias") else 1e-5 * float(wanted[name].abs().max())
        torch.testing.assert_close(found.to(wanted[name]), wanted[name], rtol=1e-4, atol=bound)


@pytest.mark.parametrize("architecture", networks.ARCHITECTURES)
@pytest.mark.parametrize("activation", ["original", "pish"])
def test_networks_as_module_by_module(
    architecture: str, activation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In training, and where they are judged; hooks see what they asked for."""
    torch.manual_seed(0)
    network = networks.build(architecture, activation, dropout=0.0)
    x = torch.rand(2, 3, 256, 256)
    gradient = torch.randn(2, 1)
    ours = _passes(network, x, gradient)
    run, blocks = fused.run, []
    monkeypatch.setattr(fused, "run", lambda *given: blocks.append(given) or run(*given))
    with torch.no_grad(), fused.judging():
        judged = network.eval()(x)
        monkeypatch.setattr(fused, "applies", lambda *_: False)
        own = network(x)
    assert len(blocks) == 4
    torch.testing.assert_close(judged, own, rtol=1e-4, atol=1e-5)
    network = copy.deepcopy(network).train()
    network.zero_grad()
    for name, found in _passes(network, x, gradient).items():
        if name.startswith("fc") or name == "y":
            torch.testing.assert_close(ours[name], found, rtol=1e-3, atol=1e-4)


def test_the_same_bits_with_any_number_of_threads() -> None:
    network = _network([networks.Inception(3, (2, 4, 3, 1), "mish")], "mish", 2)
    x, gradient = torch.rand(5, 3, 64, 64), torch.randn(5, 10, 32, 32)
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(_passes(copy.deepcopy(network), x, gradient))
    finally:
        torch.set_num_threads(before)
    for one in found[1:]:
        for name, value in one.items():
            assert torch.equal(value, found[0][name]), name


def _small() -> nn.Module:
    return _network([nn.Conv2d(3, 16, 3, padding=1), nn.ReLU()], "relu", 2)


def test_pictures_share_what_only_gradients_want(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else judging a batch takes as much memory as training on it."""
    ours, seen = fused.kernels(), set()
    assert ours is not None

    def forward(*given: object) -> None:
        seen.add(given[5])
        ours.library.fused_forward(*given)

    library = SimpleNamespace(fused_scratch=ours.library.fused_scratch, fused_forward=forward)
    monkeypatch.setattr(fused, "kernels", lambda: fused.Kernels(ours.ffi, library))
    network, x = _small(), torch.rand(8, 3, 16, 16)
    with torch.no_grad(), fused.judging():
        network(x)
    assert len(seen) <= torch.get_num_threads()
    with torch.inference_mode(), fused.judging():
        network.eval()(x)
    seen.clear()
    network.train()(x)
    assert len(seen) == 8


def test_whatever_the_default_type_is() -> None:
    network, x = _small(), torch.rand(2, 3, 16, 16)
    wanted = _passes(copy.deepcopy(network), x, torch.ones(2, 16, 8, 8))
    torch.set_default_dtype(torch.float64)
    try:
        found = _passes(network, x, torch.ones(2, 16, 8, 8))
    finally:
        torch.set_default_dtype(torch.float32)
    for name, value in found.items():
        assert torch.equal(value, wanted[name]), name


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_arrays_of_another_type_are_pytorchs(dtype: torch.dtype) -> None:
    """Which refuses them; read as float32 they would be anything."""
    network = _small().eval().to(dtype)
    with torch.no_grad(), fused.judging(), pytest.raises(RuntimeError, match="type"):
        network(torch.rand(1, 3, 16, 16))


def test_pictures_without_pixels_are_pytorchs() -> None:
    with pytest.raises(RuntimeError, match="size"):
        _small()(torch.rand(1, 3, 16, 0))


def test_gradients_of_gradients_are_refused() -> None:
    x = torch.rand(1, 3, 16, 16, requires_grad=True)
    (gradient,) = torch.autograd.grad(_small()(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        gradient.square().sum().backward()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_has_threads_of_its_own() -> None:
    """Not the parent's, for which it would wait for ever."""
    network, x = _small().eval(), torch.rand(2, 3, 16, 16)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with torch.no_grad(), fused.judging(), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads
            network(x)
            child = os.fork()
            if child == 0:
                signal.alarm(20)
                try:
                    network(x)
                    os._exit(0)
                finally:  # else all tests would go on there
                    os._exit(1)
    finally:
        torch.set_num_threads(before)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("kind", ["export", "trace"])
def test_programs_are_made_of_pytorchs_operations(kind: str) -> None:
    network, x = _small().eval(), torch.rand(2, 3, 16, 16)
    with torch.no_grad(), fused.judging(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of tracing, which is old
        if kind == "export":
            program = torch.export.export(network, (x,)).module()
        else:
            program = torch.jit.trace(network, x)
        torch.testing.assert_close(program(x), network(x), rtol=1e-5, atol=1e-5)


def test_what_somebody_watches_is_computed() -> None:
    network = networks.build("mesoinception4", "relu")
    loss = PatchLoss(network, {"pool3": 16, "pool4": 16})
    x = torch.rand(2, 3, 256, 256)
    network(x)
    assert torch.isfinite(loss(x, torch.tensor([0.0, 1.0])))


@pytest.mark.parametrize("kind", ["forward_pre", "forward", "full_backward_pre", "full_backward"])
def test_whoever_watches_sees(kind: str) -> None:
    network, seen = _small(), []
    register = getattr(network.body[0], f"register_{kind}_hook")
    register(lambda *given: seen.append(len(given)))
    network(torch.rand(1, 3, 16, 16, requires_grad=True)).sum().backward()
    assert len(seen) == 1


def test_of_equal_values_the_first_gets_the_gradient() -> None:
    network = _network([nn.Conv2d(1, 16, 3, padding=1), nn.ReLU()], "relu", 2)
    x = torch.zeros(1, 1, 8, 16, requires_grad=True)
    with torch.no_grad(), fused.judging():
        network.body[0].weight.zero_()
        network.body[0].weight[:, 0, 1, 1] = 1.0  # as it is
        network.body[0].bias.fill_(1.0)
    network(x)[0, :, 0, 0].sum().backward()
    assert x.grad is not None
    assert x.grad[0, 0, 0, 0] != x.grad[0, 0, 0, 1] == x.grad[0, 0, 1, 0] == x.grad[0, 0, 1, 1]


def test_what_is_compared_with_is_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine was compared with these kernels where no layer was watched, and PyTorch's times
    were theirs."""
    monkeypatch.setattr(fused, "run", None)
    network = networks.build("meso4", "relu").eval()
    x = torch.rand(1, 3, 256, 256)
    with torch.inference_mode():
        network(x)
        with fused.judging(), pytest.raises(TypeError, match="NoneType"):
            network(x)


def test_not_a_number_stays_one() -> None:
    network = networks.build("meso4", "relu", dropout=0.0).eval()
    x = torch.rand(1, 3, 256, 256)
    x[0, 1, 100, 101] = float("nan")
    with torch.no_grad(), fused.judging():
        assert torch.isnan(network(x)).all()


def test_large_values_as_pytorch() -> None:
    for activation in fused.ACTIVATIONS:
        module = networks.activation_module(activation)
        network = _network([nn.Conv2d(1, 16, 3, padding=1), module], activation, 2).eval()
        x = torch.linspace(-200, 200, 128).view(1, 1, 8, 16)
        with torch.no_grad(), fused.judging():
            network.body[0].weight.zero_()
            network.body[0].weight[:, 0, 1, 1] = 1.0
            network.body[1 + 1].reset_parameters()
            found = network(x)
            wanted = nn.functional.max_pool2d(module(network.body[0](x)), 2)
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_without_a_compiler_pytorchs_operations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CC", str(tmp_path / "no compiler"))
    fused.kernels.cache_clear()
    try:
        network = networks.build("meso4", "relu")
        assert torch.isfinite(network(torch.rand(1, 3, 256, 256))).all()
        network(torch.rand(1, 3, 256, 256))
    finally:
        fused.kernels.cache_clear()
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "fused.c cannot be compiled" in error  # told once


def test_nothing_is_touched_beside_the_arrays(tmp_path: Path) -> None:
    source = Path(__file__).with_name("fused_blocks.c")
    run_sanitized(source, fused.SOURCE.parent, tmp_path / "program")
