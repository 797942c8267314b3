"""The unknown score: how foreign a sound is to the classes of a model.

Three quantities measure how well a clip with embedding v and logits z belongs to the classes:

- the energy ``E = log sum_c e^(z_c)`` (Liu et al., "Energy-based out-of-distribution detection",
  2020);
- the distance to the nearest class ``M = -min_c (|v - m_c|^2 - |A (v - m_c)|^2)``, a Mahalanobis
  distance up to a factor, with the covariance within classes reduced to its largest axes (the rows
  of A; Lee et al., "A simple unified framework for detecting out-of-distribution samples", 2018);
- a gate ``g = q v + b``, a logistic regression of known clips against silence, noise and tones,
  which have energies like those of rain or wind.

The score is 1/2 where their sum is at the threshold that keeps most known clips, and higher for
foreign sounds:

    s = (E - e) / e' + (M - m) / m' - 2 log(1 + e^-g),     unknown = 1 / (1 + e^((s - t) / k))
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

AXES = 32
GATE_WEIGHT = 2.0


class Belonging(NamedTuple):
    """The three quantities of each clip, ``[clips]``."""

    energy: Tensor
    nearness: Tensor
    gate: Tensor


class UnknownScore(nn.Module):
    """From embeddings and logits to unknown scores; :mod:`sonotype.training.unknown_fit` fits it.

    Args:
        classes: number of classes.
        features: size of the embedding.
        axes: number of axes of the covariance.
    """

    centres: Tensor
    axes: Tensor
    gate: Tensor
    gate_bias: Tensor
    offsets: Tensor
    scales: Tensor
    threshold: Tensor
    width: Tensor

    def __init__(self, classes: int, features: int, axes: int) -> None:
        super().__init__()
        self.register_buffer("centres", torch.zeros(classes, features))
        self.register_buffer("axes", torch.zeros(axes, features))
        self.register_buffer("gate", torch.zeros(features))
        self.register_buffer("gate_bias", torch.zeros(()))
        self.register_buffer("offsets", torch.zeros(2))
        self.register_buffer("scales", torch.ones(2))
        self.register_buffer("threshold", torch.zeros(()))
        self.register_buffer("width", torch.ones(()))

    def forward(self, embedding: Tensor, logits: Tensor) -> Tensor:
        """Unknown scores from 0 to 1.

        Shape:
            ``[batch, features], [batch, classes] -> [batch]``
        """
        return torch.sigmoid((self.threshold - self.sum(embedding, logits)) / self.width)

    def sum(self, embedding: Tensor, logits: Tensor) -> Tensor:
        """``s`` of each clip, ``[batch]``; higher for known sounds."""
        energy, nearness, gate = self.belonging(embedding, logits)
        known = (energy - self.offsets[0]) / self.scales[0]
        known = known + (nearness - self.offsets[1]) / self.scales[1]
        return known + GATE_WEIGHT * F.logsigmoid(gate)

    def belonging(self, embedding: Tensor, logits: Tensor) -> Belonging:
        """Energy, nearness and gate of each clip."""
        distance = _squared_distances(embedding, self.centres)
        along = _squared_distances(embedding @ self.axes.T, self.centres @ self.axes.T)
        return Belonging(
            logits.logsumexp(1),
            -(distance - along).amin(1),
            embedding @ self.gate + self.gate_bias,
        )


def _squared_distances(x: Tensor, centres: Tensor) -> Tensor:
    """``[batch, features], [classes, features] -> [batch, classes]``."""
    squares = x.square().sum(1, keepdim=True) + centres.square().sum(1)
    return squares - 2 * x @ centres.T
