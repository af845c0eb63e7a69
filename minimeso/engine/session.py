"""Sessions: a network, ready to run on arrays."""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from ..checks import is_integer
from ..closing import Closing
from ..errors import GraphError, InputError
from ..hints import later
from ..locks import Lock
from .cores import available_cores
from .float_errors import with_usual_float_errors
from .graph import Graph
from .layer import Layer, Layers
from .library import find_model
from .memory import for_engine
from .model_file import Model
from .native import Pool, Program, Workspace, choose_isa
from .operators import Shape
from .pack import Parameters
from .plan import CHOICES, Plan
from .rewrites import REWRITES, bind, rewrite

if TYPE_CHECKING:
    from .profile import Profile
else:
    Profile = later("minimeso.engine.profile", "Profile")

Array = npt.NDArray[np.float32]

_MAX_PLANS = 16
_MAX_PREPARED = 64
#: Each list of outputs packs the weights that lead to them anew: 80 layers of a network of 34 MB,
#: asked for one by one, would be kept as 2 GB.
_MAX_PACKED_BYTES = 256 << 20
_MAX_THREADS = 1024
_prepare_lock = Lock()
#: Images in one call of the engine for each thread; between calls Ctrl-C is heard.
_IMAGES_PER_CALL = 64


class Session(Closing):
    """A network that runs on the C engine.

    Args:
        model: name of a bundled model, path of a model file, a ``Model`` or a ``Graph``.
        weights: with a ``Graph``, its float32 arrays by ``node.parameter``, which are copied.
        threads: how many threads work on a call; by default one per available core, see
            ``cores``.
        isa: ``scalar``, ``sse2``, ``avx2``, ``avx512`` or ``neon``; by default what the
            environment's ``MINIMESO_ISA`` says, else the fastest that this machine has.
        without: rewrites to leave out, to test them: names of ``rewrites.REWRITES`` and
            ``plan.CHOICES``.

    A session may be used from several threads, one at a time; sessions run side by side and
    share the weights.  Results have the same bits for any number of threads and any batch size.
    A fork may use it, too.  Pickled or copied it comes back by its model and these settings: what
    was left to the machine is left to the one where it arrives.  ``close``, or the end of a
    ``with``, gives its threads and memory back before the session itself goes.

    Raises:
        ModelError: the model file is missing, damaged or hostile.
        GraphError: the weights do not fit the graph.
        EngineError: the instruction set is not available.
        InputError: ``threads`` is no sensible number, or ``without`` names no rewrite.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Model | Graph = "default",
        weights: Mapping[str, npt.NDArray[Any]] | None = None,
        *,
        threads: int | None = None,
        isa: str | None = None,
        without: Collection[str] = (),
    ) -> None:
        if isinstance(model, Graph):
            # copied, as they are packed when a run wants them: a training may have gone on by then
            arrays = {n: a.copy() for n, a in model.check_weights(weights or {}).items()}
            model = Model(model.name, model, arrays)
        elif weights is not None:
            raise GraphError("weights go with a Graph; a model brings its own")
        elif not isinstance(model, Model):
            model = find_model(model)
        model.check()
        if threads is not None and (not is_integer(threads) or not 1 <= threads <= _MAX_THREADS):
            raise InputError(f"threads must be an integer in 1..{_MAX_THREADS}, not {threads!r}")
        unknown = sorted(set(without) - {*REWRITES, *CHOICES})
        if unknown:
            known = ", ".join((*REWRITES, *CHOICES))
            raise InputError(f"without: no rewrite {unknown[0]!r} (there are: {known})")
        self.model: Model = model
        threads = None if threads is None else int(threads)
        self.threads: int = threads or min(available_cores(), _MAX_THREADS)
        self.isa = choose_isa(isa)
        self._given: dict[str, Any] = {"threads": threads, "isa": isa}
        self._without = frozenset(without)
        self._plans: OrderedDict[Any, tuple[Plan, Program]] = OrderedDict()
        self._pool: Pool | None = None
        self._workspace = Workspace()
        self._lock = Lock()
        self._closed = False

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), self.model, **self._given, without=self._without), ()

    def close(self) -> None:
        """Give threads and memory back; the session runs no more."""
        with self._lock:
            self._closed = True
            self._plans.clear()
            self._workspace = Workspace()
            if self._pool is not None:
                self._pool.close()
                self._pool = None

    @property
    def graph(self) -> Graph:
        """The network as it was given, before any rewrite."""
        return self.model.graph

    @overload
    def run(self, x: npt.ArrayLike | Mapping[str, npt.ArrayLike]) -> Array: ...
    @overload
    def run(
        self, x: npt.ArrayLike | Mapping[str, npt.ArrayLike], outputs: Sequence[str]
    ) -> dict[str, Array]: ...
    def run(
        self,
        x: npt.ArrayLike | Mapping[str, npt.ArrayLike],
        outputs: Sequence[str] | None = None,
    ) -> Array | dict[str, Array]:
        """Run the network on a batch.

        Args:
            x: (N, C, H, W) float32, for pictures in [0, 1], or (N, H, W, C) uint8, which is
                divided by 255; (N, F) float32 for a network of vectors.  A dict of such
                arrays by input name for a network with several inputs.
            outputs: names of layers to return instead of the network's output.

        Returns:
            For a detector ``p_fake`` (N,), else the network's output (N, ...); with ``outputs``,
            or for a network with several, a dict of (N, ...) float32 arrays by name.

        Raises:
            InputError: an array has the wrong shape or dtype, an output is unknown, the picture
                needs more memory than the engine takes, or the session is closed.
            MemoryError: the machine has less memory than the arrays need.
        """
        arrays = self._read_inputs(x)
        names = self._outputs() if outputs is None else list(outputs)
        if isinstance(outputs, str):
            raise InputError(f"outputs are a list of layers: give [{outputs!r}]")
        known = self.graph.shapes()
        for name in names:
            if not isinstance(name, str) or name not in known:
                raise InputError(f"no layer {name!r} (there are: {', '.join(known)})")
        results = self._run(arrays, list(dict.fromkeys(names)))
        if outputs is not None or len(names) > 1:
            return results
        result = results[names[0]]
        if self.model.is_detector and result.shape[1:] == (1,):
            return result[:, 0]
        return result

    def share_workspace(self, other: Session) -> None:
        """Take the other session's scratch memory for both of them, which then run one at a time;
        for sessions of which each waits for the other anyway."""
        self._workspace, self._lock = other._workspace, other._lock

    def profile(self, x: npt.ArrayLike | Mapping[str, npt.ArrayLike], runs: int = 20) -> Profile:
        """Where the time of a run goes, step by step.

        Args:
            x: as for ``run``.
            runs: how often to run with timers, in turns with runs without.

        Raises:
            InputError: as from ``run``; or no image or no run to time.
        """
        from .profile import make_profile  # not what every process waits for

        arrays = self._read_inputs(x)
        batch = len(next(iter(arrays.values())))
        if not is_integer(runs) or runs < 1 or batch < 1:
            raise InputError("a profile needs one run and one image at least")
        names = self._outputs()
        self._run(arrays, names)  # plans, starts the pool, wakes the machine
        kinds = _kinds(arrays)
        with self._lock:
            plan = self._planned(kinds, names)[0]
        nanoseconds = np.zeros((runs, self.threads, len(plan.steps)), np.int64)
        seconds = np.zeros((runs, 2))
        for number in range(runs):
            for timed in (number % 2, 1 - number % 2):
                start = time.perf_counter()
                self._run(arrays, names, nanoseconds[number] if timed else None)
                seconds[number, timed] = time.perf_counter() - start
        shapes = self.graph.shapes({name: shape for name, (shape, _) in kinds.items()})
        return make_profile(self.graph, shapes, plan, self.isa, batch, nanoseconds, seconds)

    def plan(
        self, input_shapes: Mapping[str, Sequence[int]] | None = None, uint8: bool = False
    ) -> Plan:
        """The plan for inputs of these (C, H, W) or (F,) shapes, by default the declared ones; for
        pictures that come as bytes with ``uint8``.

        Raises:
            InputError: as ``program``.
        """
        return self.program(input_shapes, uint8)[0]

    def program(
        self, input_shapes: Mapping[str, Sequence[int]] | None = None, uint8: bool = False
    ) -> tuple[Plan, Program]:
        """``plan``, and what of it the engine runs, with its parameters.

        Raises:
            InputError: the network takes no such shapes, or any: then they must be given; it has
                no output; or the session is closed.
        """
        try:
            sizes = self.graph.sizes(input_shapes)
        except GraphError as error:
            raise InputError(str(error)) from None
        inputs = {name: (size, uint8) for name, size in sizes.items()}
        names = self._outputs()
        with self._lock:
            return self._planned(inputs, names)

    def _outputs(self) -> list[str]:
        if not self.graph.outputs:
            raise InputError("the network has no output: name layers as outputs of a run")
        return list(self.graph.outputs)

    def _read_inputs(
        self, x: npt.ArrayLike | Mapping[str, npt.ArrayLike]
    ) -> dict[str, npt.NDArray[Any]]:
        declared = self.graph.inputs
        if not declared:
            raise InputError("the network has no input: there is nothing to run")
        given: Mapping[str, npt.ArrayLike]
        if isinstance(x, Mapping):
            given = x
        elif len(declared) == 1:
            given = {next(iter(declared)): x}
        else:
            raise InputError(f"the network has several inputs: give a dict of {list(declared)}")
        if set(given) != set(declared):
            raise InputError(f"inputs are {sorted(declared)}, not {list(given)}")
        arrays = {name: _read_input(name, given[name], declared[name]) for name in declared}
        if len({len(a) for a in arrays.values()}) != 1:
            raise InputError("the inputs have different batch sizes")
        return arrays

    def _run(
        self,
        arrays: Mapping[str, npt.NDArray[Any]],
        names: list[str],
        nanoseconds: npt.NDArray[np.int64] | None = None,
    ) -> dict[str, Array]:
        batch = len(next(iter(arrays.values())))
        with self._lock:
            plan, program = self._planned(_kinds(arrays), names)
            results = {name: np.empty((batch, *plan.shape(name)), np.float32) for name in names}
            if self._pool is None or not self._pool.usable(self.threads):
                self._pool = Pool(self.threads)
            step = _IMAGES_PER_CALL * self.threads
            for start in range(0, batch, step):
                program.run(
                    self.isa,
                    self._pool,
                    self._workspace,
                    [a[start : start + step] for a in arrays.values()],
                    [results[name][start : start + step] for name in names],
                    nanoseconds,
                )
        return results

    @with_usual_float_errors
    def _planned(
        self, inputs: dict[str, tuple[tuple[int, ...], bool]], names: list[str]
    ) -> tuple[Plan, Program]:
        if self._closed:
            raise InputError("the session is closed: make another one")
        key = (tuple(inputs.items()), tuple(names))
        if key in self._plans:
            self._plans.move_to_end(key)
            return self._plans[key]
        try:
            shapes = self.graph.shapes({name: shape for name, (shape, _) in inputs.items()})
        except GraphError as error:
            raise InputError(str(error)) from None
        layers, parameters = _prepare(self.model, frozenset(names), self._without)
        sizes = {layer.name: tuple(d or 0 for d in _shape_of(layer, shapes)) for layer in layers}
        plan = Plan(layers, parameters, inputs, sizes, names, self._without, self.threads)
        planned = plan, Program(plan, parameters)
        self._plans[key] = planned
        while len(self._plans) > _MAX_PLANS or (
            len(self._plans) > 1 and self._packed_bytes() > _MAX_PACKED_BYTES
        ):
            self._plans.popitem(last=False)
        return planned

    def _packed_bytes(self) -> int:
        """What the weights of all plans take; plans for several sizes share them."""
        blocks = [program.parameters for _, program in self._plans.values()]
        return sum({id(block): block.nbytes for block in blocks}.values())


def _kinds(arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, tuple[tuple[int, ...], bool]]:
    """(C, H, W) or (F,) of each input, and whether it comes as bytes."""
    kinds = {}
    for name, array in arrays.items():
        as_bytes = array.dtype == np.uint8
        shape = array.shape[1:]
        kinds[name] = ((shape[2], *shape[:2]) if as_bytes else shape, as_bytes)
    return kinds


def _read_input(name: str, x: npt.ArrayLike, declared: Sequence[int | None]) -> npt.NDArray[Any]:
    try:
        array = np.asarray(x)
    except MemoryError:
        raise
    except Exception as error:  # as of ragged lists, and of tensors that lie elsewhere
        kind = type(x).__name__
        raise InputError(f"input {name!r}: {kind}: no array can be made of it: {error}") from None
    as_bytes = array.dtype == np.uint8 and len(declared) == 3
    if array.dtype != np.float32 and not as_bytes:
        hint = ": use x.astype(np.float32)" if array.dtype.kind in "fiub" else ""
        if array.dtype.kind in "iu" and len(declared) == 3:  # from 0 to 255, as a rule
            hint = ": pictures are uint8 (N, H, W, C), or float32 (N, C, H, W) from 0 to 1"
        raise InputError(f"input {name!r} is {array.dtype}, not float32 or uint8{hint}")
    wanted = (*declared[1:], declared[0]) if as_bytes else tuple(declared)
    said = f"input {name!r} has shape {array.shape}" + (" of bytes" if as_bytes else "")
    if _fits(array.shape, wanted):
        raise InputError(f"{said}, no batch axis: use x[None]")
    if not _fits(array.shape[1:], wanted):
        named = ("N", *("any" if d is None else d for d in wanted))
        raise InputError(f"{said}, the network wants {named}")
    return for_engine(array)


def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(
        n == d or (d is None and n > 0) for n, d in zip(shape, wanted, strict=True)
    )


def _shape_of(layer: Layer, shapes: Mapping[str, Shape]) -> Shape:
    """A pool that a rewrite moved (``pool1~bn1``) has the shape of the pool, or of a part of it."""
    shape = shapes[layer.name.partition("~")[0]]
    return shape if layer.part is None else (layer.part[1], *shape[1:])


def _prepare(
    model: Model, keep: frozenset[str], without: frozenset[str]
) -> tuple[Layers, Parameters]:
    """Rewritten layers and packed parameters, made once for all sessions of a model."""
    with _prepare_lock:
        key = keep, without
        if key not in model.prepared:
            packed = sum(parameters.nbytes for _, parameters in model.prepared.values())
            if len(model.prepared) >= _MAX_PREPARED or packed > _MAX_PACKED_BYTES:
                model.prepared.clear()
            layers = rewrite(bind(model.graph, model.weights), keep, without)
            shapes = model.graph.shapes()
            channels = {layer.name: _shape_of(layer, shapes)[0] or 0 for layer in layers}
            model.prepared[key] = layers, Parameters(layers, channels)
        prepared: tuple[Layers, Parameters] = model.prepared[key]
        return prepared
