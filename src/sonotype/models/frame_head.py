"""Scores of every frame of a recording: a linear head on statistics of the rows around the frame.

A frame is a row of the coarsest pooled map, 0.32 s for the mn networks. Its vector has the mean and
the maximum of each channel over the frame alone, over 3 frames and over 7 frames with this frame in
the middle: short spans tell when a sound begins and ends, long spans which sound it is. The other
statistics of :mod:`sonotype.models.statistics` add nothing here.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from sonotype.models.fusion import Reduction
from sonotype.models.statistics import (
    GlobalMaxPooling,
    GlobalMeanPooling,
    StandardisedFeatures,
    Statistic,
)

FRAME_SCALES = (1, 3, 7)
"""Frames of the spans, odd, found by cross-validation."""
FRAME_STATISTICS = (GlobalMeanPooling, GlobalMaxPooling)


class FrameHead(nn.Module):
    """A head with a sigmoid for each class.

    Args:
        scales: frames of each span.
        features: of the pooled vector of one span.
        classes: number of classes.
    """

    def __init__(self, scales: Sequence[int], features: int, classes: int) -> None:
        super().__init__()
        self.scales = tuple(scales)
        self.embedding = StandardisedFeatures(len(self.scales) * features)
        self.classify = nn.Linear(len(self.scales) * features, classes)

    def forward(self, vectors: Tensor) -> Tensor:
        """Logits of frames.

        Shape:
            ``[frames, scales * features] -> [frames, classes]``
        """
        logits: Tensor = self.classify(self.embedding(vectors))
        return logits


def frame_reductions(reductions: Sequence[Reduction]) -> list[Reduction]:
    """The reductions that frames have, of those of a system's own pooling.

    Empty if a pooling has trained weights, which belong to clips.
    """
    if not all(isinstance(pooling, Statistic) for pooling, _ in reductions):
        return []
    return [pair for pair in reductions if isinstance(pair[0], FRAME_STATISTICS)]


def scales_within(rows: int) -> tuple[int, ...]:
    """The scales that fit into a clip with this number of rows."""
    return tuple(scale for scale in FRAME_SCALES if scale <= rows)
