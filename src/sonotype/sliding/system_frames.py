"""Frames of long recordings by a system that torch runs: their vectors and their scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sonotype.models.frame_head import frame_reductions, scales_within
from sonotype.models.system import System
from sonotype.sliding.chunk import ChunkMaps
from sonotype.sliding.frames import SharedFrames, rows_of_clip
from sonotype.sliding.layout import rows_of_span
from sonotype.sliding.reductions import Rows
from sonotype.sliding.shared import RowReduction
from sonotype.sliding.system_windows import SystemRows, layout_of

Vectors = npt.NDArray[np.float32]


class FrameVectors(nn.Module):
    """From the totals of all spans to the vectors of frames, or to their logits.

    Args:
        maps: of the system.
        scales: frames of each span.
        head: applied to the vectors; ``None`` for the vectors themselves.

    Shape:
        ``[parts, frames, features]`` for each span and reduction ``-> [frames, features]``, or
        ``[frames, classes]``
    """

    def __init__(
        self, maps: ChunkMaps, scales: Sequence[int], head: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.head = head
        self.reductions = frame_reductions(maps.system.pooling.reductions())
        self.positions = [
            [
                sum(
                    rows_of_span(scale, maps.coarsest // maps.strides[index]) * maps.bands[index]
                    for index in indices
                )
                for _, indices in self.reductions
            ]
            for scale in scales
        ]

    def forward(self, totals: Sequence[Tensor]) -> Tensor:
        """Pooled vectors of all spans, side by side."""
        rest = iter(totals)
        vectors = [
            pooling.vector(next(rest), positions)
            for of_scale in self.positions
            for (pooling, _), positions in zip(self.reductions, of_scale, strict=True)
        ]
        joined = torch.cat(vectors, dim=1)
        return joined if self.head is None else self.head(joined)


class FrameNetwork(SystemRows):
    """The two steps of a system, on arrays; arguments as for :class:`FrameVectors`."""

    def __init__(
        self, maps: ChunkMaps, scales: Sequence[int], head: nn.Module | None = None
    ) -> None:
        super().__init__(maps, frame_reductions(maps.system.pooling.reductions()))
        self._vectors = FrameVectors(maps, scales, head)

    @torch.inference_mode()
    def outputs(self, totals: Sequence[Rows]) -> Vectors:
        """Vectors or logits of frames from their totals."""
        found: Vectors = self._vectors(self.tensors(totals)).cpu().numpy()
        return found


def has_frames(system: System) -> bool:
    """Whether a frame head is possible: the poolings have no trained weights."""
    return bool(frame_reductions(system.pooling.reductions()))


def frame_features(system: System) -> int:
    """Size of the vector of one span."""
    return sum(pooling.features for pooling, _ in frame_reductions(system.pooling.reductions()))


def frame_scales(system: System, samples: int) -> tuple[int, ...]:
    """The scales of frames for clips of this length."""
    return scales_within(rows_of_clip(layout_of(ChunkMaps(system, samples))))


def system_frames(system: System, samples: int, *, vectors: bool = False) -> SharedFrames[Vectors]:
    """Frames of long recordings by a system.

    Args:
        system: in evaluation mode; it is not changed.
        samples: of a clip.
        vectors: give vectors ``[frames, features]``, with all scales that fit, instead of the
            logits ``[frames, classes]`` of the frame head.
    """
    maps = ChunkMaps(system, samples)
    layout = layout_of(maps)
    head = system.frame_head
    if vectors or head is None:
        scales, head = scales_within(rows_of_clip(layout)), None
    else:
        scales = head.scales
    reductions = [
        RowReduction(pooling.operation, indices)
        for pooling, indices in frame_reductions(system.pooling.reductions())
    ]
    return SharedFrames(layout, reductions, FrameNetwork(maps, scales, head), scales)
