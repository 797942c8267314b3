"""From a module to an ONNX model, without the exporter's notes and messages."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from sonotype.core.errors import SonotypeError

OPSET = 18
TESTED = "2.13.0"
"""Version of torch with which exports are tested."""
NOISY = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")


def exported(
    module: nn.Module,
    example: tuple[Any, ...],
    inputs: Sequence[str],
    outputs: Sequence[str],
    sizes: tuple[Any, ...],
) -> Any:
    """The ONNX model (``onnx.ModelProto``) of a module.

    Args:
        module: takes tensors, or lists of tensors, and returns tensors.
        example: its inputs.
        inputs: names of the input tensors.
        outputs: names of the output tensors.
        sizes: for each input the axes that can have another size, as for ``torch.export``.

    Raises:
        SonotypeError: this version of torch cannot export the module; 2.9.1 and older cannot.
    """
    try:
        with _quiet():
            program = torch.onnx.export(
                module,
                example,
                dynamo=True,
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_shapes=sizes,
                opset_version=OPSET,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise SonotypeError(
            f"torch {torch.__version__} cannot export this model; the export is tested with torch "
            f"{TESTED}: install this version or a newer one"
        ) from error
    proto = program.model_proto  # type: ignore[union-attr]  # None without dynamo alone
    _drop_traces(proto)
    proto.producer_name = "sonotype"
    return proto


def _drop_traces(proto: Any) -> None:
    """Remove the exporter's notes on its own source code: stack traces with paths of this machine.

    They are part of every node and value, and as large as a twentieth of the file.
    """
    for graph in (proto.graph, *proto.functions):
        for entry in (graph, *graph.node, *graph.value_info):
            del entry.metadata_props[:]
            entry.doc_string = ""
    for entry in (*proto.graph.input, *proto.graph.output, *proto.graph.initializer):
        del entry.metadata_props[:]


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the exporter's warnings and log messages about its own steps."""
    loggers = [logging.getLogger(name) for name in NOISY]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
