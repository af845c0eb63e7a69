"""Runs a graph with PyTorch's functions: the third opinion beside the engine and the reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812

from minimeso.engine.graph import Graph, Node
from tools import activations


def evaluate(graph: Graph, weights: Mapping[str, Any], x: Any) -> torch.Tensor:
    """Output of a network with one input and one output."""
    values = {next(iter(graph.inputs)): torch.from_numpy(x)}
    for node in graph.nodes:
        prefix = f"{node.name}."
        arrays = {
            name.removeprefix(prefix): torch.from_numpy(array)
            for name, array in weights.items()
            if name.rpartition(".")[0] == node.name
        }
        values[node.name] = _apply(node, [values[i] for i in node.inputs], arrays)
    return values[graph.outputs[0]]


def _apply(node: Node, x: list[torch.Tensor], w: dict[str, torch.Tensor]) -> torch.Tensor:
    a: dict[str, Any] = node.attributes
    match node.op:
        case "conv2d":
            top, left, bottom, right = a["padding"]
            padded = F.pad(x[0], (left, right, top, bottom))
            return F.conv2d(
                padded, w["weight"], w.get("bias"), a["stride"], 0, a["dilation"], a["groups"]
            )
        case "linear":
            return F.linear(x[0], w["weight"], w.get("bias"))
        case "batch_norm":
            return F.batch_norm(
                x[0], w["running_mean"], w["running_var"], w.get("weight"), w.get("bias"), False,
                0.0, a["eps"],
            )  # fmt: skip
        case "max_pool2d":
            return F.max_pool2d(
                x[0], a["kernel_size"], a["stride"], a["padding"][:2], a["dilation"],
                a["ceil_mode"],
            )  # fmt: skip
        case "avg_pool2d":
            return F.avg_pool2d(
                x[0], a["kernel_size"], a["stride"], a["padding"][:2], a["ceil_mode"],
                a["count_include_pad"], a["divisor_override"],
            )  # fmt: skip
        case "global_avg_pool2d":
            return F.adaptive_avg_pool2d(x[0], 1)
        case "concat":
            return torch.cat(x, 1)
        case "add":
            return x[0] + x[1]
        case "mul":
            return x[0] * x[1]
        case "group_norm":
            return F.group_norm(x[0], a["num_groups"], w.get("weight"), w.get("bias"), a["eps"])
        case "instance_norm":
            return F.instance_norm(x[0], None, None, w.get("weight"), w.get("bias"), eps=a["eps"])
        case "layer_norm2d":
            channels_last = x[0].permute(0, 2, 3, 1)
            y = F.layer_norm(
                channels_last, x[0].shape[1:2], w.get("weight"), w.get("bias"), a["eps"]
            )
            return y.permute(0, 3, 1, 2)
        case "layer_norm":
            return F.layer_norm(
                x[0], a["normalized_shape"], w.get("weight"), w.get("bias"), a["eps"]
            )
        case "sub":
            return x[0] - x[1]
        case "div":
            return x[0] / x[1]
        case "clamp":
            return torch.clamp(x[0], a["min"], a["max"])
        case "global_max_pool2d":
            return F.adaptive_max_pool2d(x[0], 1)
        case "mean":
            return x[0].mean((2, 3), a["keepdim"])
        case "reshape":
            return x[0].reshape(len(x[0]), *a["shape"])
        case "permute":
            return x[0].permute(0, *(axis + 1 for axis in a["dims"]))
        case "pixel_shuffle":
            return F.pixel_shuffle(x[0], a["upscale_factor"])
        case "slice_channels":
            return x[0][:, a["start"] : a["end"] : a["step"]]
        case "channel_shuffle":
            return F.channel_shuffle(x[0], a["groups"])
        case "argmax":
            return x[0].argmax(1, True).float()
        case "conv_transpose2d":
            return F.conv_transpose2d(
                x[0], w["weight"], w.get("bias"), a["stride"], a["padding"], a["output_padding"],
                a["groups"], a["dilation"],
            )  # fmt: skip
        case "flatten":
            return x[0].flatten(1)
        case "softmax":
            return F.softmax(x[0], 1)
        case "pad_channels":
            return F.pad(x[0], (0, 0, 0, 0, a["before"], a["after"]))
        case "resize":
            corners = a["align_corners"] if a["mode"] == "bilinear" else None
            return F.interpolate(x[0], a["size"], a["scale"], a["mode"], corners)
        case "pad":
            top, left, bottom, right = a["padding"]
            return F.pad(x[0], (left, right, top, bottom), a["mode"])
        case "prelu":
            return F.prelu(x[0], w["weight"])
        case op if op in activations.MODULES:
            y: torch.Tensor = activations.module(op, **a)(x[0])
            return y
    raise NotImplementedError(f"{node.op!r} has no PyTorch here")
