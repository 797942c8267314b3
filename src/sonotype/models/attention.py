"""Attention pooling: from a map over time and frequency to one vector, and where it looked.

Each position p of the map gives a value v_c(p) and an attention score s_c(p) in every channel c.
The pooled vector is the weighted mean over positions

    y_c = sum_p a_c(p) v_c(p) / sum_p a_c(p)

and the two forms differ in what turns scores into weights a. ``softmax_over="channels"``, the
authors' own: a(p) is a softmax over channels at each position, clipped away from 0 and 1, so that
channels compete for a position and a position may count little in all of them.
``softmax_over="positions"``, the textbook's: a_c is a softmax over positions in each channel. It
already sums to one.

Where the network listened is told by what each position brings, ``sum_c |a_c(p) v_c(p)|`` with
normalised weights, as a share of all positions. The weights alone would not tell: those of the
authors' form sum to one over channels at every position, and so look alike everywhere.

Kong et al., "Audio set classification with attention model" (2018), the paper's reference [1].
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

SoftmaxOver = Literal["channels", "positions"]
SOFTMAX_OVER: tuple[SoftmaxOver, ...] = get_args(SoftmaxOver)
FEATURES = 256
CLIP = 1e-7
TINY = 1e-30


class AttentionPooling(nn.Module):
    """Weighted mean of values over positions, then batch norm, ReLU and dropout.

    Args:
        channels: of the map.
        features: of the pooled vector.
        softmax_over: see the module's own text.
        dropout: on the pooled vector.

    Shape:
        ``[batch, channels, time, frequency] -> [batch, features], [batch, time, frequency]``; the
        second is each position's share in what was pooled, and sums to 1.

    """

    def __init__(
        self,
        channels: int,
        features: int = FEATURES,
        *,
        softmax_over: SoftmaxOver = "channels",
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        if softmax_over not in SOFTMAX_OVER:
            raise ValueError(f"softmax_over is {softmax_over!r}, not one of {SOFTMAX_OVER}")
        self.softmax_over = softmax_over
        self.features = features
        self.value = nn.Linear(channels, features)
        self.score = nn.Linear(channels, features)
        self.finish = nn.Sequential(nn.BatchNorm1d(features), nn.ReLU(), nn.Dropout(dropout))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Pooled vector and where it came from."""
        time, frequency = x.shape[2:]
        positions = x.flatten(2).transpose(1, 2)  # [batch, time * frequency, channels]
        parts = self.weights(self.score(positions)) * self.value(positions)
        return self.finish(parts.sum(1)), shares(parts).view(-1, time, frequency)

    def weights(self, score: Tensor) -> Tensor:
        """``[batch, positions, features]`` scores to weights that sum to 1 over positions."""
        if self.softmax_over == "positions":
            return torch.softmax(score, dim=1)
        weight = channel_weights(score)
        return weight / weight.sum(1, keepdim=True)


def channel_weights(score: Tensor) -> Tensor:
    """Scores ``[..., features]`` to the authors' weights, not yet normalised over positions."""
    return torch.softmax(score, dim=-1).clamp(CLIP, 1 - CLIP)


def shares(parts: Tensor) -> Tensor:
    """What each position brings to a sum over positions, as a share of all.

    Shape:
        ``[batch, positions, features] -> [batch, positions]``, summing to 1
    """
    share = parts.detach().abs().sum(2)
    return share / share.sum(1, keepdim=True).clamp_min(TINY)
