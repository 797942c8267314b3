"""A network's products in 8-bit integers: a quarter of the size, and what it costs is measured.

Ranges of the maps are set by real sounds (static quantisation; Jacob et al., "Quantization and
training of neural networks for efficient integer-arithmetic-only inference", 2018). The log-mel
stays as it is: eight bits hold 48 dB, and between a loud band and the silence beside it lie more.
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


def quantised(content: bytes, sounds: Iterable[Array]) -> bytes:
    """An ONNX model whose convolutions and products are done in 8 bits.

    Args:
        content: of a file that :func:`sonotype.export.graph.onnx_graph` made.
        sounds: waveforms ``[samples]`` that set the ranges of its maps.
    """
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Sounds(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.rest: Iterator[Array] = iter(sounds)

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
            root.setLevel(logging.ERROR)  # it asks for a step that has been done
            quantize_static(
                before,
                after,
                Sounds(),
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
    """Names of the nodes from which a logarithm follows: those of the front ends, and no others."""
    maker = {output: node for node in model.graph.node for output in node.output}
    buffer_size = [node for node in model.graph.node if node.op_type == "Log"]
    found: dict[str, None] = {}
    while buffer_size:
        node = buffer_size.pop()
        if node.name not in found:
            found[node.name] = None
            buffer_size += [maker[name] for name in node.input if name in maker]
    return list(found)
