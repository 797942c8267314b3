"""A system as one graph, from the waveform to probabilities, for any ONNX runtime."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from sonotype.core.errors import MissingExtraError
from sonotype.core.types import Heads
from sonotype.export.torch_to_onnx import exported
from sonotype.frontends.matmul_dft import matmul_frontend
from sonotype.inference.onnx_engine import WAVEFORM
from sonotype.inference.onnx_graph import refuse_telemetry
from sonotype.inference.onnx_windows import (
    CHUNK,
    EMBEDDING,
    FRAMES,
    UNKNOWN,
    WINDOWS_KEY,
    FrameGraph,
    WindowGraphs,
    log_mel_name,
    total_name,
)
from sonotype.inference.postprocess import probabilities
from sonotype.modelfile.card import KEY, ModelCard, document_of
from sonotype.models.fold_batch_norm import fuse_batch_norm
from sonotype.models.frame_head import FrameHead, frame_reductions
from sonotype.models.shared_copy import shared_copy
from sonotype.models.system import Output, System
from sonotype.sliding.chunk import ChunkMaps
from sonotype.sliding.layout import FRONT_END_REACH
from sonotype.sliding.system_frames import FrameVectors
from sonotype.sliding.system_windows import (
    ChunkRows,
    WindowOutputs,
    WindowVectors,
    layout_of,
    reductions_of,
)


def with_matrix_products(system: System) -> System:
    """The system with folded batch norm, and front ends that need no Fourier transform."""
    fused = fuse_batch_norm(system).cpu()
    front_ends = (fused.branch_1.front_end, fused.front_end_2)
    replaced: dict[nn.Module, nn.Module] = {
        front_end: matmul_frontend(front_end) for front_end in front_ends if front_end
    }
    return cast(System, shared_copy(fused, replaced))


class ClipGraph(nn.Module):
    """A system whose outputs are probabilities.

    The attention maps are left out: they would take longer than the probabilities.

    Shape:
        ``[batch, samples] ->`` for each head ``[batch, classes]``, then ``[batch, features]`` and,
        if the system has unknown scores, ``[batch]``
    """

    def __init__(self, system: System, heads: Heads) -> None:
        super().__init__()
        self.system, self.heads = system, heads

    def forward(self, waveform: Tensor) -> tuple[Tensor, ...]:
        """Probabilities of the heads, the embedding, and unknown scores."""
        return graph_outputs(self.system(waveform), self.heads)


def graph_outputs(output: Output | WindowOutputs, heads: Heads) -> tuple[Tensor, ...]:
    """Probabilities of the heads, the embedding, and unknown scores, if there are any."""
    unknown = () if output.unknown is None else (output.unknown,)
    return (*probabilities(output.logits, heads).values(), output.embedding, *unknown)


def output_names(system: System, heads: Heads) -> list[str]:
    """Names of :func:`graph_outputs`."""
    unknown = [UNKNOWN] if system.unknown is not None else []
    return [*(head.name for head in heads), EMBEDDING, *unknown]


def onnx_graph(system: System, card: ModelCard) -> bytes:
    """An ONNX model of a system: :func:`clip_graph`, with the graphs for shared windows.

    The card and these graphs are in the metadata.

    Raises:
        MissingExtraError: onnx or onnxscript is not installed.
    """
    require_onnx()
    system = with_matrix_products(system)
    proto = clip_graph(system, card.heads)
    metadata = {KEY: document_of(card), WINDOWS_KEY: window_graphs_of(system, card).document()}
    for key, value in metadata.items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, value
    content: bytes = proto.SerializeToString()
    return content


def clip_graph(system: System, heads: Heads) -> Any:
    """An ONNX model for batches of any size and clips of any length from one second.

    Input and outputs have the names that :mod:`sonotype.inference.onnx_engine` expects.

    Args:
        system: from :func:`with_matrix_products`.
        heads: of the system.
    """
    rate = system.sample_rate
    any_size = {0: torch.export.Dim("batch"), 1: torch.export.Dim("samples", min=rate)}
    example = (torch.zeros(2, 2 * rate),)
    return exported(
        ClipGraph(system, heads), example, [WAVEFORM], output_names(system, heads), (any_size,)
    )


class FrontEndsGraph(nn.Module):
    """From a waveform ``[1, samples]`` to the log-mel of each branch."""

    def __init__(self, maps: ChunkMaps) -> None:
        super().__init__()
        self.system = maps.system

    def forward(self, waveform: Tensor) -> list[Tensor]:
        """All frames, also those beyond the length that the network takes."""
        return self.system.log_mels(waveform)


class OutputsGraph(nn.Module):
    """From the totals of windows to the outputs that :class:`ClipGraph` has for clips."""

    def __init__(self, maps: ChunkMaps, heads: Heads) -> None:
        super().__init__()
        self.vectors, self.heads = WindowVectors(maps), heads

    def forward(self, totals: list[Tensor]) -> tuple[Tensor, ...]:
        """Probabilities of the heads, the embedding, and unknown scores."""
        return graph_outputs(self.vectors(totals), self.heads)


def window_graphs_of(system: System, card: ModelCard) -> WindowGraphs:
    """The graphs for shared windows of the length of a clip."""
    maps = ChunkMaps(system, card.audio_spec.length)
    layout, reductions = layout_of(maps), tuple(reductions_of(maps))
    chunk = torch.zeros(1, layout.samples + 4 * layout.coarsest * layout.frame)
    log_mels = maps.log_mels(chunk, 4 * layout.coarsest)
    return WindowGraphs(
        layout,
        reductions,
        front_ends=_front_ends_graph(maps, chunk),
        rows=_rows_graph(maps, log_mels),
        outputs=_outputs_graph(maps, log_mels, card.heads),
        frames=_frame_graph(maps, log_mels),
    )


def _front_ends_graph(maps: ChunkMaps, chunk: Tensor) -> bytes:
    """The graph from sound to log-mels."""
    longer = {1: torch.export.Dim("samples", min=2 * FRONT_END_REACH * maps.frame)}
    names = [log_mel_name(n) for n in range(len(maps.mel_frames))]
    content: bytes = exported(
        FrontEndsGraph(maps), (chunk,), [CHUNK], names, (longer,)
    ).SerializeToString()
    return content


def _rows_graph(maps: ChunkMaps, log_mels: list[Tensor]) -> bytes:
    """The graph from log-mels to rows."""
    grown = maps.coarsest * torch.export.Dim("grown", min=1)
    parts = sum(len(one.maps) for one in reductions_of(maps))
    content: bytes = exported(
        ChunkRows(maps),
        (log_mels,),
        [log_mel_name(n) for n in range(len(log_mels))],
        [f"rows_{n}" for n in range(parts)],
        ([{2: grown + frames} for frames in maps.mel_frames],),
    ).SerializeToString()
    return content


class FramesGraph(nn.Module):
    """From the totals of all spans to the probabilities of frames ``[frames, classes]``."""

    def __init__(self, maps: ChunkMaps, head: FrameHead) -> None:
        super().__init__()
        self.logits = FrameVectors(maps, head.scales, head)

    def forward(self, totals: list[Tensor]) -> Tensor:
        """The sigmoid of the logits."""
        logits: Tensor = self.logits(totals)
        return logits.sigmoid()


def _frame_graph(maps: ChunkMaps, log_mels: list[Tensor]) -> FrameGraph | None:
    """What a file needs for frames, if the system has a frame head."""
    head = maps.system.frame_head
    if head is None:
        return None
    used = frame_reductions(maps.system.pooling.reductions())
    every = maps.system.reductions()
    with torch.no_grad():
        parts = ChunkRows(maps, used)(log_mels)
    counts = [len(indices) for _, indices in used]
    # A tensor of its own for each input: the exporter takes equal tensors for one input.
    totals = [
        parts[sum(counts[:n])][:, :3].clone() for _ in head.scales for n in range(len(counts))
    ]
    any_count = {1: torch.export.Dim("frames")}
    content: bytes = exported(
        FramesGraph(maps, head),
        (totals,),
        [total_name(n) for n in range(len(totals))],
        [FRAMES],
        ([any_count] * len(totals),),
    ).SerializeToString()
    indices = [next(n for n, one in enumerate(every) if one[0] is pair[0]) for pair in used]
    return FrameGraph(head.scales, tuple(indices), content)


def _outputs_graph(maps: ChunkMaps, log_mels: list[Tensor], heads: Heads) -> bytes:
    """The graph from totals to outputs."""
    with torch.no_grad():
        parts = ChunkRows(maps)(log_mels)
    counts = [len(one.maps) for one in reductions_of(maps)]
    totals = [parts[sum(counts[:n])][:, :3] for n in range(len(counts))]
    any_count = {1: torch.export.Dim("windows")}
    content: bytes = exported(
        OutputsGraph(maps, heads),
        (totals,),
        [total_name(n) for n in range(len(totals))],
        output_names(maps.system, heads),
        ([any_count] * len(totals),),
    ).SerializeToString()
    return content


def require_onnx() -> None:
    """Raise a ``MissingExtraError`` if a package that the export needs is not installed."""
    refuse_telemetry()
    try:
        import onnx
        import onnxruntime
        import onnxscript
    except ImportError:
        raise MissingExtraError("export to ONNX", "onnx") from None
    del onnx, onnxruntime, onnxscript
