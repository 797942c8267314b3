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
from sonotype.inference.prediction import Array

QUANTISED = ("Conv", "Gemm", "MatMul")


def quantised(content: bytes, waveforms: Iterable[Array]) -> bytes:
    """An ONNX model with 8-bit convolutions and matrix products.

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
                nodes_to_exclude=front_end_nodes(onnx.load_from_string(content)),
            )
        finally:
            root.setLevel(level)
        return after.read_bytes()


def front_end_nodes(model: Any) -> list[str]:
    """Names of the nodes that a logarithm depends on; only front ends have logarithms."""
    source = {output: node for node in model.graph.node for output in node.output}
    waiting = [node for node in model.graph.node if node.op_type == "Log"]
    found: dict[str, None] = {}
    while waiting:
        node = waiting.pop()
        if node.name not in found:
            found[node.name] = None
            waiting += [source[name] for name in node.input if name in source]
    return list(found)
