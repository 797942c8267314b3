"""A system as one graph, from the waveform to the answer, that any ONNX runtime can run."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from sonotype.core.errors import MissingExtraError
from sonotype.frontends.matmul_dft import matmul_frontend
from sonotype.inference.onnx_engine import CATEGORY, EMBEDDING, EVENT, WAVEFORM
from sonotype.inference.postprocess import softmax
from sonotype.modelfile.card import KEY, ModelCard, document_of
from sonotype.models.fold_batch_norm import fuse_batch_norm
from sonotype.models.system import System

OPSET = 18
NOISY = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")


class WaveformToAnswer(nn.Module):
    """A system with front ends by products, and its answers as probabilities.

    Where it listened is not told: that would cost more than the answer.

    Shape:
        ``[batch, samples] -> [batch, categories]``, ``[batch, events]`` where there is an event
        head, ``[batch, 128]``
    """

    def __init__(self, system: System) -> None:
        super().__init__()
        self.system = system
        self.front_end_1 = matmul_frontend(system.branch_1.front_end)
        second = system.front_end_2
        self.front_end_2 = matmul_frontend(second) if second is not None else None

    def forward(self, waveform: Tensor) -> tuple[Tensor, ...]:
        """Softmax of the heads, and the embedding."""
        log_mel_2 = None
        if self.front_end_2 is not None:
            log_mel_2 = self.front_end_2(self.system.decimate(waveform))
        output = self.system.forward_log_mel(self.front_end_1(waveform), log_mel_2)
        heads = [head for head in (output.category, output.event) if head is not None]
        return (*map(softmax, heads), output.embedding)


def onnx_graph(system: System, card: ModelCard) -> bytes:
    """An ONNX model of a system, of any batch and of any length from one second on.

    Input and outputs are named as :mod:`sonotype.inference.onnx_engine` asks for them; the card
    stands in the metadata.

    Raises:
        MissingExtraError: onnx or onnxscript is not installed.
    """
    require_onnx()
    rate = system.sample_rate
    model = WaveformToAnswer(fuse_batch_norm(system).cpu())
    outputs = [CATEGORY, *([EVENT] if system.event is not None else []), EMBEDDING]
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
    proto.producer_name = "sonotype"
    entry = proto.metadata_props.add()
    entry.key, entry.value = KEY, document_of(card)
    content: bytes = proto.SerializeToString()
    return content


def require_onnx() -> None:
    """Raise a ``MissingExtraError`` where something that exporting needs is not installed."""
    try:
        import onnx
        import onnxruntime
        import onnxscript
    except ImportError:
        raise MissingExtraError("export to ONNX", "onnx") from None
    del onnx, onnxruntime, onnxscript


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to itself what the exporter says of its own inner life."""
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
