"""A system as one graph, from the waveform to probabilities, for any ONNX runtime."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from sonotype.core.errors import MissingExtraError
from sonotype.core.types import Heads
from sonotype.frontends.matmul_dft import matmul_frontend
from sonotype.inference.onnx_engine import EMBEDDING, UNKNOWN, WAVEFORM
from sonotype.inference.postprocess import probabilities
from sonotype.modelfile.card import KEY, ModelCard, document_of
from sonotype.models.fold_batch_norm import fuse_batch_norm
from sonotype.models.shared_copy import shared_copy
from sonotype.models.system import Output, System

OPSET = 18
NOISY = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")


class OnnxModel(nn.Module):
    """A system whose front ends are matrix products, and whose outputs are probabilities.

    The attention maps are left out: they would take longer than the probabilities.

    Shape:
        ``[batch, samples] ->`` for each head ``[batch, classes]``, then ``[batch, features]`` and,
        if the system has unknown scores, ``[batch]``
    """

    def __init__(self, system: System, heads: Heads) -> None:
        super().__init__()
        self.heads = heads
        front_ends = (system.branch_1.front_end, system.front_end_2)
        replaced: dict[nn.Module, nn.Module] = {
            front_end: matmul_frontend(front_end) for front_end in front_ends if front_end
        }
        self.system = shared_copy(system, replaced)

    def forward(self, waveform: Tensor) -> tuple[Tensor, ...]:
        """Probabilities of the heads, the embedding, and unknown scores."""
        output: Output = self.system(waveform)
        unknown = () if output.unknown is None else (output.unknown,)
        return (*probabilities(output.logits, self.heads).values(), output.embedding, *unknown)


def onnx_graph(system: System, card: ModelCard) -> bytes:
    """An ONNX model of a system, for batches of any size and clips of any length from one second.

    Input and outputs have the names that :mod:`sonotype.inference.onnx_engine` expects; the card is
    in the metadata.

    Raises:
        MissingExtraError: onnx or onnxscript is not installed.
    """
    require_onnx()
    rate = system.sample_rate
    model = OnnxModel(fuse_batch_norm(system).cpu(), card.heads)
    unknown = [UNKNOWN] if system.unknown is not None else []
    outputs = [*(head.name for head in card.heads), EMBEDDING, *unknown]
    any_size = {0: torch.export.Dim("batch"), 1: torch.export.Dim("samples", min=rate)}
    with _quiet():
        program = torch.onnx.export(
            model,
            (torch.zeros(2, 2 * rate),),
            dynamo=True,
            input_names=[WAVEFORM],
            output_names=outputs,
            dynamic_shapes=(any_size,),
            opset_version=OPSET,
            verbose=False,
        )
    proto = program.model_proto  # type: ignore[union-attr]  # None without dynamo alone
    _drop_traces(proto)
    proto.producer_name = "sonotype"
    entry = proto.metadata_props.add()
    entry.key, entry.value = KEY, document_of(card)
    content: bytes = proto.SerializeToString()
    return content


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


def require_onnx() -> None:
    """Raise a ``MissingExtraError`` if a package that the export needs is not installed."""
    try:
        import onnx
        import onnxruntime
        import onnxscript
    except ImportError:
        raise MissingExtraError("export to ONNX", "onnx") from None
    del onnx, onnxruntime, onnxscript


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
