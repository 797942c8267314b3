"""Attention pooling: the weighted mean of values over the positions of a map.

Each position p of the map has a value v_c(p) and an attention score s_c(p) in every channel c. The
pooled vector is

    y_c = sum_p a_c(p) v_c(p) / sum_p a_c(p)

and the two forms differ in how scores become weights a. ``softmax_over="channels"`` is the form of
the paper's authors: a(p) is a softmax over channels at each position, clipped away from 0 and 1, so
that channels compete for a position and a position can have a small weight in all of them.
``softmax_over="positions"`` is the textbook form: a_c is a softmax over positions in each channel.
It already sums to 1.

The attention map is the contribution of each position, ``sum_c |a_c(p) v_c(p)|`` with normalised
weights, as a share of all positions. The weights alone would not show it: in the first form they
sum to 1 over channels at every position, and so look alike everywhere.

Kong et al., "Audio set classification with attention model" (2018), the paper's reference [1].
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sonotype.models.operation import LOG_SUM, SUM
from sonotype.models.reduction import (
    FEATURES,
    Pooling,
    contribution,
    norm_act,
    positions_last,
    uniform_map,
    widened,
)

SoftmaxOver = Literal["channels", "positions"]
SOFTMAX_OVER: tuple[SoftmaxOver, ...] = get_args(SoftmaxOver)
CLIP = 1e-7


class AttentionPooling(Pooling):
    """Weighted mean of values over positions, then batch norm, ReLU and dropout.

    Args:
        channels: of the map.
        features: of the pooled vector.
        dropout: on the pooled vector.
    """

    softmax_over: ClassVar[SoftmaxOver]

    def __init__(self, channels: int, features: int = FEATURES, *, dropout: float = 0.2) -> None:
        super().__init__()
        self.features = features
        self.value = nn.Linear(channels, features)
        self.score = nn.Linear(channels, features)
        self.finish = norm_act(features, dropout)

    @abstractmethod
    def weights(self, score: Tensor) -> Tensor:
        """Scores ``[batch, positions, features]`` to weights, not yet divided by their sum."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Pooled vectors and attention maps of clips; see :class:`Pooling`."""
        time, frequency = x.shape[2:]
        positions = x.flatten(2).transpose(1, 2)  # [batch, time * frequency, channels]
        weight = self.weights(self.score(positions))
        weighted = weight * self.value(positions)
        # The sums are divided rather than each weight: two values a channel, not two maps.
        total = weight.sum(1)
        pooled = self.finish(weighted.sum(1) / total)
        if self.training:
            return pooled, uniform_map(x)
        return pooled, contribution(weighted / total.unsqueeze(1)).view(-1, time, frequency)


class ChannelAttention(AttentionPooling):
    """Attention whose softmax is over channels: a sum of (a, a v)."""

    softmax_over = "channels"
    operation = SUM

    def weights(self, score: Tensor) -> Tensor:
        """The authors' weights ``[..., features]``, which depend on no other position."""
        # Clipped by hardtanh, whose gradient is one pass where clamp's is four.
        return F.hardtanh(torch.softmax(score, dim=-1), CLIP, 1 - CLIP)

    def rows(self, x: Tensor) -> Tensor:
        """Sums over the bands of each row."""
        positions = positions_last(x)
        weight = self.weights(self.score(positions))
        weighted = weight * self.value(positions)
        return widened(torch.stack([weight.sum(1), weighted.sum(1)]))

    def vector(self, total: Tensor, positions: int) -> Tensor:
        """``sum a v / sum a``, finished."""
        weight, weighted = total
        pooled: Tensor = self.finish((weighted / weight).to(self.value.weight.dtype))
        return pooled


class PositionAttention(AttentionPooling):
    """Attention whose softmax is over positions.

    The weights of a window are ``a = e^s`` up to a factor. Its rows are logarithms, so that no
    score is too large or too small: with v+ and v- the positive and the negative part of v, they
    are combined by ``log(e^x + e^y)`` of (s, s + log v+, s + log v-), and the pooled vector is
    ``e^(log sum a v+ - log sum a) - e^(log sum a v- - log sum a)``. A clip is pooled with PyTorch's
    softmax instead, which takes fewer passes and has a simple gradient.
    """

    softmax_over = "positions"
    operation = LOG_SUM

    def weights(self, score: Tensor) -> Tensor:
        """Softmax over the positions of each clip."""
        return torch.softmax(score, dim=1)

    def rows(self, x: Tensor) -> Tensor:
        """Logarithms of sums over the bands of each row."""
        positions = positions_last(x)
        score, value = widened(self.score(positions)), widened(self.value(positions))
        above, below = value.clamp_min(0).log(), (-value).clamp_min(0).log()
        return torch.stack([score, score + above, score + below]).logsumexp(2)

    def vector(self, total: Tensor, positions: int) -> Tensor:
        """The difference of both parts' means, finished."""
        weight, above, below = total
        mean = (above - weight).exp() - (below - weight).exp()
        pooled: Tensor = self.finish(mean.to(self.value.weight.dtype))
        return pooled


ATTENTIONS: dict[str, type[AttentionPooling]] = {
    form.softmax_over: form for form in (ChannelAttention, PositionAttention)
}
