"""Losses of the labels: cross-entropy of all heads, for single clips and for mixed clips."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sonotype.config import TrainOptions
from sonotype.core.types import IGNORE_INDEX, Head, Heads
from sonotype.models.system import Output

ClassWeights = Mapping[str, Tensor]
"""By name of a head ``[classes]`` weights of its classes; a missing head weighs them equally."""

Targets = Mapping[str, Tensor]
"""By name of a head, see :func:`sonotype.training.dataset.targets`."""


class LabelLoss(nn.Module):
    """The sum over the heads of their cross-entropy, weighted.

    Labels that are not known, and clips of classes with weight 0, do not count; a batch of only
    such clips has the loss 0.

    Args:
        heads: from coarse to fine; ``"multi"`` heads have binary cross-entropies.
        class_weights: of ``"single"`` heads.
        event_weight: factor of the loss of each head except the first.
        label_smoothing: share of the target that is spread over all classes.
    """

    def __init__(
        self,
        heads: Heads,
        class_weights: ClassWeights | None = None,
        *,
        event_weight: float = 1.0,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.heads = heads
        for name, weights in (class_weights or {}).items():
            self.register_buffer(f"weights_{name}", weights, persistent=False)
        self.event_weight = event_weight
        self.label_smoothing = label_smoothing

    def forward(self, output: Output, targets: Targets) -> Tensor:
        """Mean loss of a batch of clips, each with its own labels."""
        loss = output.embedding.new_zeros(())
        for factor, head in self._factors():
            target = targets[head.name]
            if head.problem == "multi":
                loss = loss + factor * self._shared_loss(head, output, target, torch.ones(()))
            elif bool(self._mass(head, target).any()):
                loss = loss + factor * self._losses(head, output, target, "mean")
        return loss

    def mixed(self, output: Output, batch: Mapping[str, Any]) -> Tensor:
        """Loss of a batch; of clips mixed with a partner, each label counts by its clip's share.

        Args:
            output: of the network.
            batch: ``targets``; for mixed clips also ``share`` of the first clip, and
                ``partner_targets``.
        """
        if "share" not in batch:
            loss: Tensor = self(output, batch["targets"])
            return loss
        loss = output.embedding.new_zeros(())
        shared = (
            (batch["targets"], batch["share"]),
            (batch["partner_targets"], 1 - batch["share"]),
        )
        for factor, head in self._factors():
            loss = loss + factor * sum(
                self._shared_loss(head, output, targets[head.name], share)
                for targets, share in shared
            )
        return loss

    def _factors(self) -> list[tuple[float, Head]]:
        return [
            (self.event_weight if index else 1.0, head) for index, head in enumerate(self.heads)
        ]

    def _shared_loss(self, head: Head, output: Output, target: Tensor, share: Tensor) -> Tensor:
        """Cross-entropy of the clips that have a label, multiplied by the share of each clip.

        It is divided by the sum of the targets' weights, as ``F.cross_entropy`` does, and equals
        that at a share of 1. If all clips have the same share, the sum over both targets is the
        loss of mixup.
        """
        mass = self._mass(head, target).sum()
        if not bool(mass > 0):
            return output.embedding.new_zeros(())
        return (self._losses(head, output, target, "none") * share).sum() / mass

    def _mass(self, head: Head, target: Tensor) -> Tensor:
        """``[batch]`` weights of the clips in the mean of a head's loss."""
        if head.problem == "single":
            return weights_of(target, self._weights(head))
        return (target != IGNORE_INDEX).float().mean(1)

    def _weights(self, head: Head) -> Tensor | None:
        weights: Tensor | None = getattr(self, f"weights_{head.name}", None)
        return weights

    def _losses(self, head: Head, output: Output, target: Tensor, reduction: str) -> Tensor:
        """Loss of a head: the mean of a ``"single"`` head, or ``[batch]``."""
        logits = output.logits[head.name]
        if head.problem == "single":
            return F.cross_entropy(
                logits,
                target,
                self._weights(head),
                ignore_index=IGNORE_INDEX,
                reduction=reduction,
                label_smoothing=self.label_smoothing,
            )
        known = (target != IGNORE_INDEX).float()
        smooth = target.clamp(min=0) * (1 - self.label_smoothing) + self.label_smoothing / 2
        losses = F.binary_cross_entropy_with_logits(logits, smooth, known, reduction="none")
        return losses.mean(1)


def label_loss(
    heads: Heads, options: TrainOptions, class_weights: ClassWeights | None = None
) -> LabelLoss:
    """The loss that the resolved options describe."""
    return LabelLoss(
        heads,
        class_weights,
        event_weight=options.event_weight,
        label_smoothing=options.label_smoothing or 0.0,
    )


def weights_of(target: Tensor, class_weights: Tensor | None) -> Tensor:
    """``[batch]`` weights of the targets' classes; 0 without a label, 1 without class weights."""
    known = (target != IGNORE_INDEX).float()
    return known if class_weights is None else known * class_weights[target.clamp(min=0)]


def inverse_weights(target: Tensor, classes: int) -> Tensor:
    """``[classes]`` weights by the inverse of each class's count, with mean 1 over the clips.

    Clips without a label (a negative index) do not count; a class without clips gets 0.
    """
    target = target[target >= 0]
    counts = torch.bincount(target, minlength=classes).float()
    present = counts > 0
    weights = torch.zeros(classes)
    weights[present] = counts.sum() / (present.sum() * counts[present])
    return weights
