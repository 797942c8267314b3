"""A graph in the bytes of an ONNX file, which onnxruntime runs without torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sonotype.core.errors import MissingExtraError, ModelFileError, is_memory_error
from sonotype.inference.prediction import Array

Shape = tuple[int | None, ...]
"""Declared sizes of an array; ``None`` where the size may vary."""


class OnnxGraph:
    """A session of onnxruntime in one thread, which several threads may use at once.

    Args:
        content: of an ONNX file.
        name: of the file, for errors.

    Attributes:
        inputs: shape of each input, by name.
        outputs: shape of each output, by name.

    Raises:
        MissingExtraError: onnxruntime is not installed.
        ModelFileError: onnxruntime refuses the file, with the reason.
    """

    def __init__(self, content: bytes, name: str | Path = "model") -> None:
        refuse_telemetry()
        try:
            import onnxruntime
        except ImportError:
            raise MissingExtraError("a model.onnx", "onnx") from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors only: it warns about unknown processors
        self.name = name
        try:
            self._session = onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
            self.inputs = {one.name: _shape(one) for one in self._session.get_inputs()}
            self.outputs = {one.name: _shape(one) for one in self._session.get_outputs()}
        except Exception as error:  # onnxruntime's error classes are not public
            what = "is no ONNX model, or damaged"
            if is_memory_error(error):  # a damaged file, too, may ask for any size
                what = "needs more memory than there is, or is damaged"
            raise ModelFileError(f"{name}: {what} ({_reason(error)})") from None

    def metadata(self) -> dict[str, str]:
        """The entries that the file holds beside its graph.

        Raises:
            ValueError: their text is not UTF-8.
        """
        found: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        return found

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs by name.

        Raises:
            ModelFileError: the graph cannot be run on these inputs, or an output does not have its
                declared shape.
            MemoryError: onnxruntime gets no memory.
        """
        names = list(self.outputs)
        try:
            values = self._session.run(names, dict(inputs))
        except Exception as error:  # onnxruntime's error classes are not public
            if is_memory_error(error):
                raise MemoryError(_reason(error)) from None
            raise ModelFileError(f"{self.name}: cannot be run ({_reason(error)})") from None
        found: dict[str, Array] = dict(zip(names, values, strict=True))
        for name, shape in self.outputs.items():
            if not fits(found[name], shape):
                raise ModelFileError(f"{self.name}: its output {name} has a wrong shape")
        return found


def fits(value: object, shape: Shape) -> bool:
    """Whether an array has a declared shape."""
    sizes: Any = getattr(value, "shape", None)
    return (
        sizes is not None
        and len(sizes) == len(shape)
        and all(wanted in (None, size) for size, wanted in zip(sizes, shape, strict=True))
    )


def refuse_telemetry() -> None:
    """Keep onnxruntime from sending reports of its use; call it before the first import.

    Since version 1.29 it does so on Linux and macOS too, and writes an identifier of the machine.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def _shape(tensor: Any) -> Shape:
    return tuple(size if isinstance(size, int) else None for size in tensor.shape)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
