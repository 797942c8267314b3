"""What a student is asked of its teachers: their answers, softened, and their features.

Hinton, Vinyals, Dean, "Distilling the knowledge in a neural network" (2015): the student's
probabilities at a temperature are brought near those of the teachers at the same temperature; the
square of it keeps the gradient's size. Romero et al., "FitNets: hints for thin deep nets" (2015):
a linear layer, left behind when training is done, brings the student's embedding to the teachers'.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sonotype.models.systems import EMBEDDING, Output


def softened(logits: Tensor, weight: Tensor, temperature: float) -> Tensor:
    """The mean probabilities of several teachers at a temperature.

    Shape:
        ``[batch, teachers, classes], [batch, teachers] -> [batch, classes]``
    """
    probabilities = (logits / temperature).softmax(2)
    return (probabilities * weight.unsqueeze(2)).sum(1)


def divergence(student: Tensor, taught: Tensor, temperature: float) -> Tensor:
    """Kullback-Leibler divergence of a student's softened answer from what it is taught.

    Shape:
        logits ``[batch, classes]``, probabilities ``[batch, classes] -> []``
    """
    answer = (student / temperature).log_softmax(1)
    return F.kl_div(answer, taught, reduction="batchmean") * temperature**2


class FeatureHints(nn.Module):
    """Bring a student's embedding to that of each of its teachers by a linear layer of its own."""

    def __init__(self, teachers: int) -> None:
        super().__init__()
        self.teachers = teachers
        self.project = nn.Linear(EMBEDDING, teachers * EMBEDDING)

    def forward(self, embedding: Tensor, taught: Tensor, weight: Tensor) -> Tensor:
        """How far the directions are apart, 0 to 2, over the teachers by their weights.

        Shape:
            ``[batch, 128], [batch, teachers, 128], [batch, teachers] -> []``
        """
        projected = self.project(embedding).view(len(embedding), self.teachers, EMBEDDING)
        apart = 1 - F.cosine_similarity(projected, taught, dim=2)
        return (apart * weight).sum(1).mean()


def taught_loss(
    output: Output, taught: Mapping[str, Tensor], temperature: float, event_weight: float
) -> Tensor:
    """Divergence of both heads from the teachers' mean answer."""
    weight = taught["weight"]
    category = softened(taught["category"], weight, temperature)
    loss = divergence(output.category.float(), category, temperature)
    if output.event is not None:
        event = softened(taught["event"], weight, temperature)
        loss = loss + event_weight * divergence(output.event.float(), event, temperature)
    return loss


def detached(taught: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Answers where the student is, as plain numbers."""
    return {name: value.detach().to(device) for name, value in taught.items()}
