"""What a student is asked of its teachers: their answers, softened, and their features.

Hinton, Vinyals, Dean, "Distilling the knowledge in a neural network" (2015): the student's
probabilities at a temperature are brought near those of the teachers at the same temperature; the
square of it keeps the gradient's size. Romero et al., "FitNets: hints for thin deep nets" (2015):
a linear layer, left behind when training is done, brings the student's embedding to the teachers',
and another brings what the student hears in each moment to what the teachers hear in it. The latter
says most: a teacher's pretrained network hears far more than the classes that it was taught.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sonotype.models.system import EMBEDDING, Output


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


class FrameHints(nn.Module):
    """Bring what a student hears in each moment to what its teachers hear, by linear layers.

    Teachers' features are brought to mean 0 and variance 1 over the batch first: what they have in
    common says nothing about a sound.

    Args:
        student: channels and stride of its frames.
        taught: channels and stride of each kind of the teachers' frames.
    """

    def __init__(self, student: tuple[int, int], taught: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        self.stride = student[1]
        self.strides = [stride for _, stride in taught]
        self.project = nn.ModuleList(nn.Linear(student[0], count) for count, _ in taught)

    def forward(
        self,
        frames: Tensor,
        taught: Sequence[Tensor],
        weight: Tensor,
        turned: Tensor | None = None,
        length: Tensor | None = None,
    ) -> Tensor:
        """How far the directions are apart, 0 to 2, over all moments and kinds by their weights.

        Args:
            frames: the student's.
            taught: each kind of the teachers'.
            weight: the share of each kind in what a clip is taught.
            turned: by which share of its length each clip begins earlier for the student alone.
            length: of each clip in frames of 10 ms; ``None`` where the student's frames cover it
                to the end and no more.

        Shape:
            ``[batch, channels, time], kinds times [batch, their channels, their time],
            [batch, kinds], [batch], [batch] -> []``
        """
        if turned is not None:
            count = turned.new_full(turned.shape, frames.shape[2])
            frames = unroll(frames, turned, count if length is None else length / self.stride)
        total = frames.new_zeros(())
        for kind, (project, theirs) in enumerate(zip(self.project, taught, strict=True)):
            ours, theirs = same_moments(frames, theirs, self.stride, self.strides[kind])
            if not ours.shape[2]:
                continue
            theirs = F.batch_norm(theirs, None, None, training=True)
            apart = 1 - F.cosine_similarity(project(ours.mT), theirs.mT, dim=2)
            total = total + (apart.mean(1) * weight[:, kind]).mean()
        return total


def unroll(frames: Tensor, turned: Tensor, length: Tensor) -> Tensor:
    """Frames of clips that were turned in a circle, at their own places, to half a frame.

    Args:
        frames: the last of which may cover more than is left of the clip.
        turned: shares of the clip's length.
        length: of the clip in these frames, more than ``time - 1``, at most ``time``.

    Shape:
        ``[batch, channels, time], [batch], [batch] -> [batch, channels, time]``
    """
    count = frames.shape[2]
    place = torch.arange(count, device=frames.device) - (turned * length)[:, None]
    index = (place % length[:, None]).round().long() % count
    return frames.gather(2, index[:, None, :].expand_as(frames))


def same_moments(
    one: Tensor, other: Tensor, stride: int, other_stride: int
) -> tuple[Tensor, Tensor]:
    """Two sequences of frames in the coarser one's time, without what only one of them covers.

    Strides are powers of two, so one frame of the coarser covers a whole number of the finer's.

    Shape:
        ``[batch, channels, time], [batch, channels, time] -> `` the same with one time; a clip too
        short for one frame of the coarser gives none
    """
    one = _coarser(one, max(other_stride // stride, 1))
    other = _coarser(other, max(stride // other_stride, 1))
    count = min(one.shape[2], other.shape[2])
    return one[..., :count], other[..., :count]


def _coarser(frames: Tensor, times: int) -> Tensor:
    return F.avg_pool1d(frames, times) if frames.shape[2] >= times else frames[..., :0]


def distillation_loss(
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
