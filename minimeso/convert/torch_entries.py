"""What a node of an exported program says of itself, as it stands in the file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .source import Step
from .torch_operators import ALIASES, KEEPS

PREFIX = "torch.ops.aten."


def first_name(entry: Mapping[str, Any]) -> str:
    arguments = entry["inputs"]
    first = arguments[0]["arg"].get("as_tensor") if arguments else None
    return str(first["name"]) if first else ""


def reads(entry: Mapping[str, Any]) -> list[str]:
    """Names of the tensors that a node reads."""
    arguments = [argument.get("arg") for argument in entry.get("inputs", ())]
    return [name for argument in arguments for name in _names(argument)]


def _names(argument: Any) -> list[str]:
    if not isinstance(argument, dict):
        return []
    found = []
    for kind, content in argument.items():
        entries = content if isinstance(content, list) else [content]
        if kind == "as_optional_tensors":
            found += [name for entry in entries for name in _names(entry)]
        elif kind.startswith("as_tensor"):
            found += [str(e["name"]) for e in entries if isinstance(e, dict) and "name" in e]
    return found


def makes(entry: Mapping[str, Any]) -> list[str]:
    """What its results are called."""
    outputs: list[str] = []
    for result in entry["outputs"]:
        for kind, content in result.items():
            entries = content if isinstance(content, list) else [content]
            if kind in ("as_tensor", "as_tensors"):
                outputs += [str(one["name"]) for one in entries]
            elif kind in ("as_sym_int", "as_sym_bool"):
                outputs.append(str(content["as_name"]))
    return outputs


def module_of(entry: Mapping[str, Any]) -> str:
    """The path of the layer of ``torch.nn`` that a node belongs to, which its arrays are named
    after."""
    stack = str(entry.get("metadata", {}).get("nn_module_stack", ""))
    parts = stack.rpartition(";")[2].split(",")
    if len(parts) >= 3 and parts[2].startswith("torch.nn.modules.") and "container" not in parts[2]:
        return parts[1].removeprefix("L['self'].")
    return ""


def step(entry: Mapping[str, Any]) -> Step:
    """What it does to the order of axes."""
    op = str(entry["target"]).removeprefix(PREFIX)
    op = ALIASES.get(op, op)
    numbers = [a["arg"].get("as_ints", a["arg"].get("as_int")) for a in entry["inputs"][1:]]
    turns = op == "permute.default" and numbers in ([[0, 3, 1, 2]], [[0, -1, 1, 2]])
    turns = turns or (op == "movedim.int" and numbers in ([-1, 1], [3, 1], [-1, -3], [3, -3]))
    return Step(makes(entry), turns, op.replace("_.", ".") in KEEPS)
