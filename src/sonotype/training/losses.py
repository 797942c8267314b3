"""Losses of the labels: cross-entropy of both heads, for single clips and for mixed clips."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sonotype.core.types import IGNORE_INDEX
from sonotype.models.system import Output

ClassWeights = tuple[Tensor | None, Tensor | None]
"""``[categories]`` and ``[events]`` weights of the classes; ``None`` weighs all classes equally."""


class LabelLoss(nn.Module):
    """Cross-entropy of the categories plus, weighted, that of the events.

    Clips without a label, and clips of classes with weight 0, do not count; a batch of only such
    clips has the loss 0.

    Args:
        class_weights: of both heads.
        event_weight: factor of the event loss.
        label_smoothing: share of the target that is spread over all classes.
    """

    category_weights: Tensor | None
    event_weights: Tensor | None

    def __init__(
        self,
        class_weights: ClassWeights = (None, None),
        *,
        event_weight: float = 1.0,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.register_buffer("category_weights", class_weights[0], persistent=False)
        self.register_buffer("event_weights", class_weights[1], persistent=False)
        self.event_weight = event_weight
        self.label_smoothing = label_smoothing

    def forward(self, output: Output, category: Tensor, event: Tensor) -> Tensor:
        """Mean loss of a batch of clips, each with its own labels.

        Shape:
            targets ``[batch], [batch] -> []``
        """
        loss = output.category.new_zeros(())
        if bool(weights_of(category, self.category_weights).any()):
            loss = self._cross_entropy(output.category, category, self.category_weights)
        if output.event is not None and bool(weights_of(event, self.event_weights).any()):
            loss = loss + self.event_weight * self._cross_entropy(
                output.event, event, self.event_weights
            )
        return loss

    def mixed(self, output: Output, batch: Mapping[str, Tensor]) -> Tensor:
        """Loss of a batch; of clips mixed with a partner, each label counts by its clip's share.

        Args:
            output: of the network.
            batch: ``category`` and ``event``; for mixed clips also ``share`` of the first clip,
                ``partner_category`` and ``partner_event``.
        """
        if "share" not in batch:
            loss: Tensor = self(output, batch["category"], batch["event"])
            return loss
        loss = output.category.new_zeros(())
        shares = (batch["share"], 1 - batch["share"])
        for head, logits, weights, factor in (
            ("category", output.category, self.category_weights, 1.0),
            ("event", output.event, self.event_weights, self.event_weight),
        ):
            if logits is not None:
                targets = (batch[head], batch[f"partner_{head}"])
                loss = loss + factor * sum(
                    self._shared_loss(logits, target, weights, share)
                    for target, share in zip(targets, shares, strict=True)
                )
        return loss

    def _shared_loss(
        self, logits: Tensor, target: Tensor, weights: Tensor | None, share: Tensor
    ) -> Tensor:
        """Cross-entropy of the clips that have a label, multiplied by the share of each clip.

        It is divided by the sum of the targets' weights, as ``F.cross_entropy`` does, and equals
        that at a share of 1. If all clips have the same share, the sum over both targets is the
        loss of mixup.
        """
        mass = weights_of(target, weights).sum()
        if not bool(mass > 0):
            return logits.new_zeros(())
        losses = self._cross_entropy(logits, target, weights, reduction="none")
        return (losses * share).sum() / mass

    def _cross_entropy(
        self, logits: Tensor, target: Tensor, weights: Tensor | None, reduction: str = "mean"
    ) -> Tensor:
        return F.cross_entropy(
            logits,
            target,
            weights,
            ignore_index=IGNORE_INDEX,
            reduction=reduction,
            label_smoothing=self.label_smoothing,
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
