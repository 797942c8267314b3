"""Losses of distillation: the teachers' probabilities, embeddings and frames.

Hinton, Vinyals, Dean, "Distilling the knowledge in a neural network" (2015): the student learns the
teachers' probabilities, both computed at a temperature; the factor of its square keeps the size of
the gradient. Romero et al., "FitNets: hints for thin deep nets" (2015): linear layers, which are
dropped after training, map the student's embedding to the teachers' embeddings and its frames to
theirs. The frames carry the most information: a teacher's pretrained network separates far more
sounds than the classes of the data set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sonotype.config import TeachingOptions
from sonotype.core.types import Heads, Problem
from sonotype.models.system import Output, System
from sonotype.training.distillation.targets import TeacherTargets


class DistillationLoss(nn.Module):
    """Combine the loss of the labels with the losses of the teacher targets.

    Args:
        targets: outputs of the teachers.
        options: weights of the losses, and the temperature.
        student: the network that is trained.
        heads: of the student.
        event_weight: factor of the loss of each head except the first.
        seed: of the hints' linear layers.
    """

    def __init__(
        self,
        targets: TeacherTargets,
        options: TeachingOptions,
        student: System,
        *,
        heads: Heads,
        event_weight: float,
        seed: int,
    ) -> None:
        super().__init__()
        self.targets = targets
        self.options = options
        self.heads = heads
        self.event_weight = event_weight
        self.hints: FeatureHints | None = None
        self.frame_hints: FrameHints | None = None
        # Filling the caches may have drawn random numbers, or not.
        torch.manual_seed(seed)
        if options.feature_weight:
            teachers = [teacher.system for teacher in targets.teachers.teachers]
            sizes = {teacher.embedding_size for teacher in teachers}
            if len(sizes) == 1:  # the embeddings of other teachers are not compared
                self.hints = FeatureHints(len(teachers), student.embedding_size, sizes.pop())
        if targets.frames:
            self.frame_hints = FrameHints(student.frame_layout, targets.teachers.frame_layouts)

    def targets_of(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """The teacher targets of a batch, on the student's device and without gradients."""
        device = next(iter(batch["targets"].values())).device
        found = self.targets.resolve(batch["teacher_targets"])
        return {name: value.detach().to(device) for name, value in found.items()}

    def forward(self, label_loss: Tensor, output: Output, batch: Mapping[str, Any]) -> Tensor:
        """The loss of a batch with ``teacher_targets`` from :meth:`targets_of`."""
        targets, options = batch["teacher_targets"], self.options
        share = options.teacher_weight
        loss = (1 - share) * label_loss + share * distillation_loss(
            output, targets, self.heads, options.temperature, self.event_weight
        )
        if self.hints is not None:
            hints = self.hints(output.embedding, targets["embedding"], targets["weight"])
            loss = loss + options.feature_weight * hints
        if self.frame_hints is not None:
            frames, shares = self.targets.teachers.frames_of(targets)
            hints = self.frame_hints(
                output.frames.float(), frames, shares, batch.get("rolled"), batch.get("length")
            )
            loss = loss + options.frame_weight * hints
        return loss


def distillation_loss(
    output: Output,
    targets: Mapping[str, Tensor],
    heads: Heads,
    temperature: float,
    event_weight: float,
) -> Tensor:
    """Divergence of all heads from the teachers' mean probabilities.

    Args:
        output: of the student.
        targets: of the teachers.
        heads: of the student.
        temperature: of both.
        event_weight: factor of each head except the first.
    """
    loss = output.embedding.new_zeros(())
    for index, head in enumerate(heads):
        name, problem = head.name, head.problem
        teachers = mean_probabilities(targets[name], targets["weight"], temperature, problem)
        part = divergence(output.logits[name].float(), teachers, temperature, problem)
        loss = loss + (event_weight * part if index else part)
    return loss


def mean_probabilities(
    logits: Tensor, weight: Tensor, temperature: float, problem: Problem = "single"
) -> Tensor:
    """The weighted mean of several teachers' probabilities at a temperature.

    Shape:
        ``[batch, teachers, classes], [batch, teachers] -> [batch, classes]``
    """
    logits = logits / temperature
    probabilities = logits.softmax(2) if problem == "single" else logits.sigmoid()
    return (probabilities * weight.unsqueeze(2)).sum(1)


def divergence(
    logits: Tensor, target: Tensor, temperature: float, problem: Problem = "single"
) -> Tensor:
    """Kullback-Leibler divergence of a student's probabilities from the target, at a temperature.

    Of a ``"multi"`` head the mean over the classes, each of which is present or not.

    Shape:
        logits ``[batch, classes]``, probabilities ``[batch, classes] -> []``
    """
    logits = logits / temperature
    if problem == "single":
        loss = F.kl_div(logits.log_softmax(1), target, reduction="batchmean")
    else:
        target = target.clamp(max=1)  # a weighted mean can be above 1 by rounding
        entropy = -(torch.xlogy(target, target) + torch.xlogy(1 - target, 1 - target)).mean()
        loss = F.binary_cross_entropy_with_logits(logits, target) - entropy
    return loss * temperature**2


class FeatureHints(nn.Module):
    """Cosine distance of the student's embedding, through one linear layer for each teacher.

    Args:
        teachers: their number.
        student: size of the student's embedding.
        size: of the embeddings of all teachers.
    """

    def __init__(self, teachers: int, student: int, size: int) -> None:
        super().__init__()
        self.teachers, self.size = teachers, size
        self.project = nn.Linear(student, teachers * size)

    def forward(self, embedding: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Weighted mean over the teachers of 1 minus the cosine, 0 to 2.

        Shape:
            ``[batch, features], [batch, teachers, size], [batch, teachers] -> []``
        """
        projected = self.project(embedding).view(len(embedding), self.teachers, self.size)
        distance = 1 - F.cosine_similarity(projected, target, dim=2)
        return (distance * weight).sum(1).mean()


class FrameHints(nn.Module):
    """Cosine distance of the student's frames, through one linear layer for each kind of target.

    The targets are normalised to mean 0 and variance 1 over the batch: the part that all frames
    share carries no information about a clip.

    Args:
        student: channels and stride of its frames.
        targets: channels and stride of each kind of the teachers' frames.
    """

    def __init__(self, student: tuple[int, int], targets: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        self.stride = student[1]
        self.strides = [stride for _, stride in targets]
        self.project = nn.ModuleList(nn.Linear(student[0], channels) for channels, _ in targets)

    def forward(
        self,
        frames: Tensor,
        targets: Sequence[Tensor],
        weight: Tensor,
        rolled: Tensor | None = None,
        length: Tensor | None = None,
    ) -> Tensor:
        """Weighted mean over kinds and frames of 1 minus the cosine, 0 to 2.

        Args:
            frames: of the student.
            targets: each kind of the teachers' frames.
            weight: the share of each kind in the target of a clip.
            rolled: the share of its length by which each clip begins earlier for the student.
            length: of each clip in frames of 10 ms; ``None`` if the student's frames cover the
                clip exactly.

        Shape:
            ``[batch, channels, time], kinds times [batch, their channels, their time],
            [batch, kinds], [batch], [batch] -> []``
        """
        if rolled is not None:
            count = rolled.new_full(rolled.shape, frames.shape[2])
            frames = unroll(frames, rolled, count if length is None else length / self.stride)
        total = frames.new_zeros(())
        for kind, (project, target) in enumerate(zip(self.project, targets, strict=True)):
            student, target = align_frames(frames, target, self.stride, self.strides[kind])
            if not student.shape[2]:
                continue
            target = F.batch_norm(target, None, None, training=True)
            distance = 1 - F.cosine_similarity(project(student.mT), target.mT, dim=2)
            total = total + (distance.mean(1) * weight[:, kind]).mean()
        return total


def unroll(frames: Tensor, rolled: Tensor, length: Tensor) -> Tensor:
    """Move the frames of rolled clips back to their own places, to half a frame.

    Args:
        frames: the last frame may extend past the end of the clip.
        rolled: shares of the clip's length.
        length: of the clip in these frames, more than ``time - 1``, at most ``time``.

    Shape:
        ``[batch, channels, time], [batch], [batch] -> [batch, channels, time]``
    """
    count = frames.shape[2]
    place = torch.arange(count, device=frames.device) - (rolled * length)[:, None]
    index = (place % length[:, None]).round().long() % count
    return frames.gather(2, index[:, None, :].expand_as(frames))


def align_frames(
    first: Tensor, second: Tensor, first_stride: int, second_stride: int
) -> tuple[Tensor, Tensor]:
    """Two sequences of frames at the larger stride, cut to the time that both cover.

    Strides are powers of two, so one frame of the larger stride covers a whole number of the other
    frames.

    Shape:
        ``[batch, channels, time], [batch, channels, time] ->`` the same with equal times; 0 for a
        clip shorter than one frame of the larger stride
    """
    first = _pool_frames(first, max(second_stride // first_stride, 1))
    second = _pool_frames(second, max(first_stride // second_stride, 1))
    count = min(first.shape[2], second.shape[2])
    return first[..., :count], second[..., :count]


def _pool_frames(frames: Tensor, factor: int) -> Tensor:
    return F.avg_pool1d(frames, factor) if frames.shape[2] >= factor else frames[..., :0]
