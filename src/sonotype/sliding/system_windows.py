"""Shared windows of a system that torch runs, and the two steps as modules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sonotype.models.fusion import Reduction
from sonotype.models.system import System
from sonotype.sliding.chunk import ChunkMaps, Squeeze
from sonotype.sliding.layout import Layout, whole
from sonotype.sliding.reductions import Rows
from sonotype.sliding.shared import RowReduction, Samples, SharedWindows
from sonotype.sliding.squeeze import SlidingSqueeze

SQUEEZE_CONTEXT = 512
"""Additional frames of context for systems with squeezes. Each squeeze reaches half a clip further,
but weakly."""
LARGEST_MAP = 8_000_000
"""Values of the largest map inside a network, 32 MB; sets how long a chunk is."""
SHORTEST_CHUNK, LONGEST_CHUNK = 960, 5_760
"""Frames of a chunk without its context."""


class WindowOutputs(NamedTuple):
    """Outputs of consecutive windows.

    Attributes:
        logits: by name of a head ``[windows, classes]``.
        embedding: ``[windows, features]``.
        unknown: ``[windows]``, see :class:`sonotype.models.system.Output`.
    """

    logits: dict[str, Tensor]
    embedding: Tensor
    unknown: Tensor | None = None


class ChunkRows(nn.Module):
    """From the log-mels of a chunk to the rows of each reduction and each of its maps.

    Args:
        maps: of the system.
        reductions: those of the system, or some of them.

    Shape:
        ``[1, 1, frames, bands]`` for each branch ``-> [parts, time, features]`` each; the frames
        exceed those of a clip by a multiple of the coarsest stride
    """

    def __init__(self, maps: ChunkMaps, reductions: Sequence[Reduction] | None = None) -> None:
        super().__init__()
        self.maps, self.system = maps, maps.system
        self.reductions = reductions or maps.system.reductions()

    def forward(self, log_mels: list[Tensor]) -> tuple[Tensor, ...]:
        """Rows of all the chunk, its context included."""
        maps = self.system.pooling.align(self.maps.of_log_mels(log_mels))
        return tuple(
            pooling.rows(maps[index][0])
            for pooling, indices in self.reductions
            for index in indices
        )


class WindowVectors(nn.Module):
    """From the totals of windows to their logits, embedding and unknown scores.

    Shape:
        ``[parts, windows, features]`` for each reduction ``->`` see :class:`WindowOutputs`
    """

    def __init__(self, maps: ChunkMaps) -> None:
        super().__init__()
        self.system = maps.system
        self.reductions = maps.system.reductions()
        self.positions = [
            sum(maps.counts[index] * maps.bands[index] for index in indices)
            for _, indices in self.reductions
        ]

    def forward(self, totals: Sequence[Tensor]) -> WindowOutputs:
        """Pooled vectors, classified."""
        each = zip(self.reductions, totals, self.positions, strict=True)
        vectors = [pooling.vector(total, positions) for (pooling, _), total, positions in each]
        return WindowOutputs(*self.system.classify(torch.cat(vectors, dim=1)))


class SystemRows:
    """The first step of a system, on arrays; arguments as for :class:`ChunkRows`."""

    def __init__(self, maps: ChunkMaps, reductions: Sequence[Reduction] | None = None) -> None:
        self.maps, self.device = maps, maps.system.device
        self._rows = ChunkRows(maps, reductions)

    @torch.inference_mode()
    def rows(self, waveform: Samples) -> list[Rows]:
        """Rows of a chunk ``[samples]``."""
        grown = (len(waveform) - self.maps.samples) // self.maps.frame
        sound = torch.from_numpy(waveform).to(self.device)[None]
        found = self._rows(self.maps.log_mels(sound, grown))
        return [rows.cpu().numpy() for rows in found]

    @torch.inference_mode()
    def log_mels(self, waveform: Samples) -> list[Samples]:
        """The log-mel of each branch, of any part ``[samples]`` of the sound."""
        sound = torch.from_numpy(waveform).to(self.device)[None]
        return [x.cpu().numpy() for x in self.maps.system.log_mels(sound)]

    @torch.inference_mode()
    def rows_of(self, log_mels: Sequence[Samples]) -> list[Rows]:
        """Rows of the log-mels of a chunk."""
        found = self._rows([torch.from_numpy(x).to(self.device) for x in log_mels])
        return [rows.cpu().numpy() for rows in found]

    def tensors(self, totals: Sequence[Rows]) -> list[Tensor]:
        """Totals on the device of the system."""
        return [torch.from_numpy(total).to(self.device) for total in totals]


class SystemNetwork(SystemRows):
    """The two steps of a system, on arrays."""

    def __init__(self, maps: ChunkMaps) -> None:
        super().__init__(maps)
        self._vectors = WindowVectors(maps)

    @torch.inference_mode()
    def outputs(self, totals: Sequence[Rows]) -> WindowOutputs:
        """Outputs of windows from their totals."""
        found: WindowOutputs = self._vectors(self.tensors(totals))
        return found


def system_windows(
    system: System, samples: int, *, squeeze: Squeeze = SlidingSqueeze, chunk: int | None = None
) -> SharedWindows[WindowOutputs]:
    """Windows of long recordings by a system.

    Args:
        system: in evaluation mode; it is not changed.
        samples: length of a window.
        squeeze: replaces a squeeze over the whole clip.
        chunk: frames of a chunk without its context; ``None`` to set it by the size of the maps.
    """
    maps = ChunkMaps(system, samples, squeeze=squeeze)
    return SharedWindows(layout_of(maps, chunk), reductions_of(maps), SystemNetwork(maps))


def layout_of(maps: ChunkMaps, chunk: int | None = None) -> Layout:
    """The layout of a system's chunks; ``chunk`` as for :func:`system_windows`."""
    context = maps.reach + (SQUEEZE_CONTEXT if maps.squeezes else 0)
    if chunk is None:
        chunk = min(max(LARGEST_MAP // maps.largest, SHORTEST_CHUNK), LONGEST_CHUNK)
    return Layout(
        samples=maps.samples,
        frame=maps.frame,
        mel_frames=tuple(maps.mel_frames),
        coarsest=maps.coarsest,
        context=whole(context, maps.coarsest),
        step=whole(chunk, maps.coarsest),
        strides=tuple(maps.strides),
        counts=tuple(maps.counts),
    )


def reductions_of(maps: ChunkMaps) -> list[RowReduction]:
    """The reductions of a system's pooling, without their weights."""
    return [
        RowReduction(pooling.operation, indices) for pooling, indices in maps.system.reductions()
    ]
