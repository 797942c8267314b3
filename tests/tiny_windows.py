"""Graphs for shared windows in a few ONNX nodes: they load and run in a millisecond.

They have the inputs and outputs of exported graphs, and the rows that the layout names. Their
values follow the sound, and mean nothing.
"""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from sonotype.inference.onnx_windows import CHUNK, FRAMES, log_mel_name, total_name

BANDS = 2


def tiny_document(
    layout: dict[str, Any],
    outputs: dict[str, int],
    frame_classes: int,
    *,
    reductions: list[tuple[str, list[int]]],
    scales: tuple[int, ...] = (1, 3),
) -> dict[str, Any]:
    """The values of a document of windows with frames.

    Args:
        layout: fields of :class:`sonotype.sliding.layout.Layout`.
        outputs: number of values for a window, by name; 0 for one number.
        frame_classes: classes of frames; 0 for no frames.
        reductions: of the pooling; frames have the first.
        scales: of frames.
    """
    count = len(reductions)
    document = {
        "version": 1,
        "layout": layout,
        "reductions": reductions,
        "front_ends": _front_ends(layout),
        "rows": _rows(layout, [index for _, maps in reductions for index in maps]),
        "outputs": _outputs(count, outputs, "windows"),
        "frames": None,
    }
    if frame_classes:
        scores = _outputs(len(scales), {FRAMES: frame_classes}, "frames")
        document["frames"] = {"scales": list(scales), "reductions": [0], "scores": scores}
    found: dict[str, Any] = json.loads(json.dumps(document))
    return found


def _front_ends(layout: dict[str, Any]) -> str:
    """The largest sample of each frame, and one frame more, in every band."""
    frame, nodes = layout["frame"], []
    constants = {"to_rows": [1, 1, -1, 1], "pads": [0, 0, 0, 0, 0, 0, 2 * frame, 0],
                 "bands": [1, 1, 1, BANDS]}  # fmt: skip
    nodes += [
        helper.make_node("Reshape", [CHUNK, "to_rows"], ["samples"]),
        helper.make_node("Pad", ["samples", "pads"], ["padded"]),
        helper.make_node("MaxPool", ["padded"], ["frames"], kernel_shape=[frame, 1],
                         strides=[frame, 1]),
    ]  # fmt: skip
    names = [log_mel_name(index) for index in range(len(layout["mel_frames"]))]
    nodes += [helper.make_node("Tile", ["frames", "bands"], [name]) for name in names]
    shapes = {name: [1, 1, "time", BANDS] for name in names}
    return _graph(nodes, {CHUNK: [1, "samples"]}, shapes, constants)


def _rows(layout: dict[str, Any], maps: list[int]) -> str:
    """The largest frame of each row of each map, of the first log-mel."""
    nodes, constants, shapes = [], {"axis": [0]}, {}
    for number, index in enumerate(maps):
        stride, count = layout["strides"][index], layout["counts"][index]
        name, behind = f"rows_{number}", stride * count - layout["mel_frames"][0]
        constants[f"pads_{number}"] = [0, 0, 0, 0, 0, 0, behind, 0]
        nodes += [
            helper.make_node("Pad", [log_mel_name(0), f"pads_{number}"], [f"padded_{number}"]),
            helper.make_node("MaxPool", [f"padded_{number}"], [f"pooled_{number}"],
                             kernel_shape=[stride, 1], strides=[stride, 1]),
            helper.make_node("Squeeze", [f"pooled_{number}", "axis"], [name]),
        ]  # fmt: skip
        shapes[name] = [1, f"time_{number}", BANDS]
    branches = range(len(layout["mel_frames"]))
    given = {log_mel_name(index): [1, 1, "frames", BANDS] for index in branches}
    return _graph(nodes, given, shapes, constants)


def _outputs(totals: int, outputs: dict[str, int], windows: str) -> str:
    """The sigmoid of the sum of all totals, for each value of each output."""
    names = [total_name(index) for index in range(totals)]
    nodes = [
        helper.make_node("Sum", names, ["sum"]),
        helper.make_node("ReduceMean", ["sum", "axes"], ["mean"], keepdims=0),
        helper.make_node("Sigmoid", ["mean"], ["value"]),
        helper.make_node("Unsqueeze", ["value", "last"], ["column"]),
    ]
    constants, shapes = {"axes": [0, 2], "last": [1]}, {}
    for name, size in outputs.items():
        shapes[name] = [windows, size] if size else [windows]
        if size:
            constants[f"{name}_times"] = [1, size]
            nodes.append(helper.make_node("Tile", ["column", f"{name}_times"], [name]))
        else:
            nodes.append(helper.make_node("Identity", ["value"], [name]))
    given = {name: [1, windows, BANDS] for name in names}
    return _graph(nodes, given, shapes, constants)


def _graph(
    nodes: list[Any],
    inputs: dict[str, list[Any]],
    outputs: dict[str, list[Any]],
    constants: dict[str, list[int]],
) -> str:
    """A model in Base64."""
    given, found = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
         for name, shape in of.items()]
        for of in (inputs, outputs)
    )  # fmt: skip
    numbers = [
        numpy_helper.from_array(np.array(values, np.int64), name)
        for name, values in constants.items()
    ]
    graph = helper.make_graph(nodes, "tiny", given, found, numbers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return b64encode(model.SerializeToString()).decode()
