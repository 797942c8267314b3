"""Static quantisation to 8-bit integers: a quarter of the size.

Real recordings set the ranges of the maps (Jacob et al., "Quantization and training of neural
networks for efficient integer-arithmetic-only inference", 2018). The front ends stay in floating
point: eight bits have a range of 48 dB, and a log-mel has more.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sonotype.inference.onnx_engine import WAVEFORM
from sonotype.inference.onnx_windows import UNKNOWN, WINDOWS_KEY
from sonotype.inference.prediction import Array

QUANTISED = ("Conv", "Gemm", "MatMul")


def quantised(content: bytes, waveforms: Iterable[Array]) -> bytes:
    """An ONNX model with 8-bit convolutions and matrix products, without shared windows and frames.

    The graphs for these are in single precision, and larger than the model.

    Args:
        content: of a file from :func:`sonotype.export.graph.onnx_graph`.
        waveforms: ``[samples]`` each, that set the ranges of the maps.
    """
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Waveforms(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.rest: Iterator[Array] = iter(waveforms)

        def get_next(self) -> dict[str, Array] | None:
            waveform = next(self.rest, None)
            return None if waveform is None else {WAVEFORM: waveform[None]}

    root = logging.getLogger()
    level = root.level
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before, after = Path(folder, "float.onnx"), Path(folder, "int8.onnx")
        before.write_bytes(content)
        try:
            root.setLevel(logging.ERROR)  # it warns about a missing optional step
            quantize_static(
                before,
                after,
                Waveforms(),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(QUANTISED),
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=unquantised_nodes(onnx.load_from_string(content)),
            )
        finally:
            root.setLevel(level)
        model = onnx.load(after)
    kept = [entry for entry in model.metadata_props if entry.key != WINDOWS_KEY]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    small: bytes = model.SerializeToString()
    return small


def unquantised_nodes(model: Any) -> list[str]:
    """Names of the nodes of the front ends and of the unknown score, which need full precision.

    Of the nodes that the probabilities depend on, only those of front ends have logarithms.
    """
    source = {output: node for node in model.graph.node for output in node.output}

    def upstream(waiting: list[Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while waiting:
            node = waiting.pop()
            if node.name not in found:
                found[node.name] = node
                waiting += [source[name] for name in node.input if name in source]
        return found

    outputs = [output.name for output in model.graph.output if output.name != UNKNOWN]
    network = upstream([source[name] for name in outputs])
    front_ends = upstream([node for node in network.values() if node.op_type == "Log"])
    return [
        node.name
        for node in model.graph.node
        if node.name in front_ends or node.name not in network
    ]
