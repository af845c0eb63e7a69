"""``minimeso info``: what this installation can do, and what a model is and how it will run."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .arguments import add_json_argument
from .output import json_line, line, printable, table

if TYPE_CHECKING:
    from ..detect.pair import Pair
    from ..engine import Graph, Model, Node, Session
    from ..engine.plan import Plan
    from ..engine.steps import Step

HELP = "show the installation or a model"
DETAILS = (
    "Without MODEL: version, instruction sets, kernels, cores and bundled models. With MODEL: its "
    "card, framing, thresholds, size, graph, and the plan by which the engine runs it; of a pair "
    "its own card and combination, then both networks."
)
EXAMPLES = """\
  minimeso info
  minimeso info default
  minimeso info --sbom > minimeso.cdx.json"""

#: Height and width for the plan of a network that takes pictures of any size.
ANY_SIZE = 256
_FLOAT_BYTES = 4
_MAX_DEPTH = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument(
        "model", nargs="?", metavar="MODEL", help="bundled model or pair, or a file of one"
    )
    add_json_argument(parser, "one object on one line")
    parser.add_argument(
        "--sbom", action="store_true",
        help="what is inside: package, run-time packages, models with their SHA-256, licences, as "
        "CycloneDX 1.6 (JSON)",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Print; returns the exit status."""
    if options.sbom:
        if options.model is not None:
            raise InputError("--sbom tells of the installation: not with a model")
        from .sbom import bill_of_materials

        json_line(bill_of_materials())
        return 0
    data, text = _asked(options.model)
    if options.json:
        json_line(data)
    else:
        for row in text(data):
            line(row)
    return 0


def _asked(name: str | None) -> tuple[dict[str, Any], Callable[[dict[str, Any]], Iterator[str]]]:
    """What is to be shown, as data, and what makes text of it."""
    from ..detect.pair import ENDING, detector_path, load_pair
    from ..engine import find_model

    if name is None:
        return _installation(), _installation_text
    path = detector_path(name)
    if path.endswith(ENDING):
        return _pair(load_pair(path), name), _pair_text
    return _model(find_model(name), name), _model_text


# --- the installation --------------------------------------------------------------------


def _installation() -> dict[str, Any]:
    from .. import __version__
    from ..detect.pair import bundled_pairs
    from ..engine import bundled_models
    from ..engine.cores import available_cores
    from ..engine.native import available_isas, choose_isa, kernel_names

    return {
        "version": __version__,
        "isa": choose_isa(),
        "isas": available_isas(),
        "cores": available_cores(),
        "kernels": kernel_names(),
        "pairs": [_pair_summary(*item) for item in bundled_pairs().items()],
        "models": [_summary(name) for name in bundled_models()],
    }


def _pair_summary(name: str, path: str) -> dict[str, Any]:
    from ..detect.pair import load_pair

    pair = load_pair(path)
    return {"name": name, "fast": pair.fast.name, "thorough": pair.thorough.name}


def _summary(name: str) -> dict[str, Any]:
    from ..detect.pair import bundled_pairs
    from ..engine import ALIASES, find_model

    model, pairs = find_model(name), bundled_pairs()
    aliases = [short for short, known in ALIASES.items() if known == name and short not in pairs]
    return {
        "name": name,
        "aliases": aliases,
        "architecture": model.meta.get("architecture"),
        "activation": model.meta.get("activation"),
        "detector": model.is_detector,
        "parameters": _parameters(model.graph),
    }


def _installation_text(data: dict[str, Any]) -> Iterator[str]:
    yield f"minimeso {data['version']}"
    yield f"instruction set: {data['isa']} (available: {', '.join(data['isas'])})"
    yield f"cores: {data['cores']}"
    yield f"kernels, each once per instruction set: {', '.join(data['kernels'])}"
    yield "bundled models:" if data["models"] else "bundled models: none"
    for pair in data["pairs"]:
        yield f"  {pair['name']}: pair, fast {pair['fast']}, thorough {pair['thorough']}"
    for model in data["models"]:
        kind = "detector" if model["detector"] else "network"
        parts = [kind, model["architecture"], model["activation"]]
        about = ", ".join(printable(str(part)) for part in parts if part)
        short = f" ({', '.join(model['aliases'])})" if model["aliases"] else ""
        yield f"  {model['name']}{short}: {about}, {model['parameters']:,} parameters"


# --- a model -----------------------------------------------------------------------------


def _model(model: Model, name: str) -> dict[str, Any]:
    from ..engine import Session
    from ..networks import trainable_parameters

    session = Session(model, threads=1)
    return {
        "name": model.name,
        "detector": model.is_detector,
        **_card(model, name, ("meta", "framing", "calibration", "thresholds")),
        "parameters": _parameters(model.graph),
        "trainable_parameters": trainable_parameters(model.graph),
        "graph": _graph(model),
        "plan": _plan(session),
    }


def _card(model: Model | Pair, name: str, keys: Sequence[str]) -> dict[str, Any]:
    """What a model file says about itself in free form, checked to be plain JSON."""
    from ..errors import ModelError

    card = {key: getattr(model, key) for key in keys}
    try:
        json.dumps(card, allow_nan=False)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{name}: the card cannot be shown: {error}") from None
    return card


def _parameters(graph: Graph) -> int:
    return sum(math.prod(shape) for shape in graph.parameters().values())


def _graph(model: Model) -> dict[str, Any]:
    """The graph as in the model file; nodes have ``shape``, ``parameters``, ``settings`` too."""
    data, shapes = model.graph.to_json(), model.graph.shapes()
    sizes: dict[str, int] = {}
    for name, array in model.weights.items():
        owner = name.rpartition(".")[0]
        sizes[owner] = sizes.get(owner, 0) + array.size
    for entry, node in zip(data["nodes"], model.graph.nodes, strict=True):
        entry["shape"] = list(shapes[node.name])
        entry["parameters"] = sizes.get(node.name, 0)
        entry["settings"] = _settings(node)
    return data


def _settings(node: Node) -> str:
    """The attributes that are not the default, short."""
    from ..engine.operators import OPERATORS

    schema = OPERATORS[node.op].attributes
    return " ".join(
        f"{name}={_short(value)}"
        for name, value in node.attributes.items()
        if schema[name].default is ... or value != schema[name].read(schema[name].default)
    )


def _short(value: Any) -> str:
    if not isinstance(value, tuple):
        return str(value)
    return str(value[0]) if len(set(value)) == 1 else ",".join(map(str, value))


def _plan(session: Session) -> dict[str, Any]:
    """The plan for one input."""
    shapes = {
        name: tuple(ANY_SIZE if size is None else size for size in shape)
        for name, shape in session.graph.inputs.items()
    }
    plan = session.plan(shapes)
    return {
        "inputs": [{"name": name, "shape": list(shape)} for name, shape in shapes.items()],
        "steps": [
            {"stage": number, **_step(plan, step)}
            for number, stage in enumerate(plan.stages, start=1)
            for step in plan.steps[stage.first : stage.first + stage.count]
        ],
        "arena_floats": plan.arena_floats,
        "ring_floats": plan.ring_floats,
        "unshared_floats": plan.unshared_floats,
    }


def _step(plan: Plan, step: Step) -> dict[str, Any]:
    tensor = plan.tensors[step.output if step.output >= 0 else step.input]
    rows = tensor.map_shape[0] * min(tensor.map_shape[1], tensor.buffer.lines)
    return {
        "op": step.op,
        "layer": step.layer.name if step.layer else None,
        "covers": list(step.layer.covers) if step.layer else [],
        "output": tensor.name,
        "shape": list(tensor.shape),
        "lines": tensor.buffer.lines,
        "floats": rows * tensor.buffer.row_stride,
        "offset": tensor.buffer.offset(tensor.channel),
    }


def _model_text(data: dict[str, Any]) -> Iterator[str]:
    yield f"{data['name']}: {'detector' if data['detector'] else 'network'}"
    yield f"parameters: {data['parameters']:,}, of them trained {data['trainable_parameters']:,}"
    yield from _card_text(data)
    yield ""
    yield "graph:"
    yield from _graph_table(data["graph"])
    yield ""
    shapes = ", ".join(f"{i['name']} {_size(i['shape'])}" for i in data["plan"]["inputs"])
    yield f"plan for {shapes}:"
    yield from _plan_table(data["plan"])
    yield ""
    keys = ("arena_floats", "ring_floats", "unshared_floats")
    arena, rings, unshared = (data["plan"][key] for key in keys)
    yield (
        f"arena: {_kib(arena)} KiB an image and {_kib(rings)} KiB of rings a thread; "
        f"{_kib(unshared)} KiB if no two tensors took turns"
    )


def _card_text(data: dict[str, Any]) -> Iterator[str]:
    for key in ("combination", "meta", "framing", "calibration", "thresholds"):
        if data.get(key):
            yield f"{'card' if key == 'meta' else key}:"
            yield from _indented(data[key])


def _indented(data: dict[str, Any], depth: int = 1) -> Iterator[str]:
    for key, value in data.items():
        if isinstance(value, dict) and depth < _MAX_DEPTH:
            yield f"{'  ' * depth}{printable(str(key))}:"
            yield from _indented(value, depth + 1)
        elif isinstance(value, list) and value:
            yield f"{'  ' * depth}{printable(str(key))}:"
            yield from (f"{'  ' * (depth + 1)}- {printable(_inline(entry))}" for entry in value)
        else:
            yield f"{'  ' * depth}{printable(f'{key}: {value}')}"


def _inline(entry: Any) -> str:
    """An entry of a list in one line."""
    if isinstance(entry, dict):
        return ", ".join(f"{key} {value}" for key, value in entry.items())
    return ", ".join(map(str, entry)) if isinstance(entry, list) else str(entry)


# --- a pair ------------------------------------------------------------------------------


def _pair(pair: Pair, name: str) -> dict[str, Any]:
    return {
        "name": pair.name,
        "detector": True,
        "combination": pair.combination._asdict(),
        **_card(pair, name, ("meta", "calibration", "thresholds")),
        "fast": _model(pair.fast, name),
        "thorough": _model(pair.thorough, name),
        "domain": _model(pair.domain, name) if pair.domain is not None else None,
    }


def _pair_text(data: dict[str, Any]) -> Iterator[str]:
    names = [data[key]["name"] for key in ("fast", "thorough")]
    yield f"{data['name']}: detector, a pair: fast {names[0]}, thorough {names[1]}"
    yield from _card_text(data)
    for key in ("fast", "thorough", "domain"):
        if data[key] is not None:
            yield ""
            yield from _model_text(data[key])


# --- graphs and plans as tables --------------------------------------------------------------


def _graph_table(graph: dict[str, Any]) -> Iterator[str]:
    rows = [["node", "operation", "output", "parameters", "inputs"]]
    for entry in graph["inputs"]:
        rows.append([entry["name"], "input", _size(entry["shape"]), "0", ""])
    for node in graph["nodes"]:
        rows.append(
            [
                node["name"],
                f"{node['op']} {node['settings']}".strip(),
                _size(node["shape"]),
                f"{node['parameters']:,}",
                ", ".join(node["inputs"]),
            ]
        )
    yield from _shifted(table(rows, right=[3]))


def _plan_table(plan: dict[str, Any]) -> Iterator[str]:
    rows = [["stage", "step", "nodes", "output", "lines kept", "KiB"]]
    for step in plan["steps"]:
        nodes = " + ".join(step["covers"]) or step["output"]
        size, kib = _size(step["shape"]), _kib(step["floats"])
        rows.append([str(step["stage"]), step["op"], nodes, size, str(step["lines"]), kib])
    yield from _shifted(table(rows, right=[0, 4, 5]))


def _shifted(lines: list[str]) -> Iterator[str]:
    return (f"  {text}" for text in lines)


def _size(shape: list[int | None]) -> str:
    return "x".join("any" if size is None else str(size) for size in shape)


def _kib(floats: int) -> str:
    return f"{floats * _FLOAT_BYTES / 1024:,.1f}"
