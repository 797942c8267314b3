"""Losses of distillation, compared with sums over rows, teachers and frames."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from heads import two_heads

from sonotype.config import TeachingOptions, TrainOptions, resolve
from sonotype.core.types import Head
from sonotype.models.build import cbir_2
from sonotype.models.system import Output
from sonotype.training.distillation.teacher_loss import (
    DistillationLoss,
    FeatureHints,
    FrameHints,
    align_frames,
    distillation_loss,
    divergence,
    mean_probabilities,
    unroll,
)
from sonotype.training.losses import label_loss
from sonotype.training.module import Learner, reordered

HEADS = two_heads(("a", "b"), ("x", "y", "z"), (0, 0, 1))


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


WEIGHT = torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])


def output_of() -> Output:
    logits = {"category": numbers(3, 2), "event": numbers(3, 3, seed=1)}
    return Output(logits, torch.zeros(3, 128), (), torch.zeros(0, 1, 1))


def test_mean_probabilities_are_weighted_by_teacher() -> None:
    logits = numbers(3, 2, 4)
    found = mean_probabilities(logits, WEIGHT, 3.0)
    for row in range(3):
        wanted = torch.zeros(4)
        for teacher in range(2):
            powers = torch.tensor([math.exp(float(x) / 3.0) for x in logits[row, teacher]])
            wanted += WEIGHT[row, teacher] * powers / powers.sum()
        assert torch.allclose(found[row], wanted)
    assert torch.allclose(found.sum(1), torch.ones(3))


def test_the_divergence_is_that_of_kullback_and_leibler() -> None:
    student, target = numbers(3, 4, seed=1), numbers(3, 4, seed=2).softmax(1)
    wanted = 0.0
    for row in range(3):
        probabilities = (student[row] / 2).softmax(0)
        for index in range(4):
            share = float(target[row, index])
            wanted += share * math.log(share / float(probabilities[index])) / 3
    assert float(divergence(student, target, 2.0)) == pytest.approx(4 * wanted, rel=1e-4)
    same = divergence(student, (student / 2).softmax(1), 2.0)
    assert float(same) == pytest.approx(0.0, abs=1e-6)


def test_hints_are_cosines_by_the_weights_of_the_teachers() -> None:
    torch.manual_seed(0)
    hints = FeatureHints(2, 128, 50)
    embedding, target = numbers(3, 128), numbers(3, 2, 50, seed=4)
    projected = hints.project(embedding).view(3, 2, 50)
    wanted = torch.zeros(())
    for row in range(3):
        for teacher in range(2):
            one, other = projected[row, teacher], target[row, teacher]
            wanted += WEIGHT[row, teacher] * (1 - one @ other / (one.norm() * other.norm())) / 3
    assert torch.allclose(hints(embedding, target, WEIGHT), wanted, atol=1e-6)


def test_both_heads_have_teacher_targets() -> None:
    output = output_of()
    target = {"category": numbers(3, 2, 2, seed=5), "event": numbers(3, 2, 3, seed=6)}
    category, event = (
        mean_probabilities(target[name], WEIGHT, 2.0) for name in ("category", "event")
    )
    wanted = divergence(output.logits["category"], category, 2.0)
    wanted = wanted + 0.5 * divergence(output.logits["event"], event, 2.0)
    target["weight"] = WEIGHT
    assert torch.allclose(distillation_loss(output, target, HEADS, 2.0, 0.5), wanted)
    found = distillation_loss(output, target, HEADS[:1], 2.0, 0.5)
    assert torch.allclose(found, divergence(output.logits["category"], category, 2.0))


def test_a_multi_head_learns_the_probability_of_each_class() -> None:
    """The mean over the entries of the divergence of present and absent, times T squared."""
    output = output_of()
    target = {"event": numbers(3, 2, 3, seed=6), "weight": WEIGHT}
    wanted = 0.0
    for row in range(3):
        for index in range(3):
            student = 1 / (1 + math.exp(-float(output.logits["event"][row, index]) / 2))
            share = sum(
                float(WEIGHT[row, teacher])
                / (1 + math.exp(-float(target["event"][row, teacher, index]) / 2))
                for teacher in range(2)
            )
            wanted += share * math.log(share / student)
            wanted += (1 - share) * math.log((1 - share) / (1 - student))
    tags = (Head("event", ("x", "y", "z"), "multi"),)
    found = distillation_loss(output, target, tags, 2.0, 0.5)
    assert float(found) == pytest.approx(4 * wanted / 9, rel=1e-4)


def test_frames_of_a_rolled_clip_are_unrolled() -> None:
    frames = numbers(3, 5, 12)
    offsets = (0, 4, 11)
    rolled = torch.stack(
        [torch.roll(clip, -offset, 1) for clip, offset in zip(frames, offsets, strict=True)]
    )
    shares = torch.tensor([offset / 12 for offset in offsets])
    length = torch.full((3,), 12.0)
    assert torch.equal(unroll(rolled, shares, length), frames)
    near = torch.tensor([0.02, 4 / 12 - 0.03, 11 / 12 + 0.04])  # to the nearest frame
    assert torch.equal(unroll(rolled, near, length), frames)


@pytest.mark.parametrize("length", [500, 497, 508, 511, 512])
def test_frames_past_the_end_are_unrolled_by_the_length_of_the_clip(length: int) -> None:
    """The 32 rows of a clip of 5 s are 512 frames of 10 ms, of which the clip has 500."""
    offsets = torch.tensor([0, 1, 8, 100, 333, length - 9, length - 1])
    # Each row holds the frame of the rolled clip at which it begins.
    begins = torch.arange(0.0, length, 16).expand(len(offsets), 1, -1)
    found = unroll(begins, offsets / length, torch.full((len(offsets),), length / 16))
    for offset, row in zip(offsets.tolist(), found[:, 0], strict=True):
        for place, begin in enumerate(row.tolist()):
            distance = abs(16 * place - (begin + offset) % length)
            assert min(distance, length - distance) <= 8


@pytest.mark.parametrize(
    ("ours", "frames_of_kind", "strides", "count"),
    [
        (30, 16, (16, 32), 15),
        (32, 16, (16, 32), 16),  # 5 s of the small network beside those of mn04
        (12, 6, (16, 32), 6),  # 1.9 s of both
        (16, 30, (32, 16), 15),
        (30, 30, (16, 16), 30),
        (12, 9, (16, 32), 6),  # 2.7 s: whole patches on one side, all frames on the other
        (6, 6, (16, 32), 3),
        (60, 9, (8, 32), 9),
        (1, 2, (16, 32), 0),
    ],
)
def test_frames_are_aligned_at_the_larger_stride(
    ours: int, frames_of_kind: int, strides: tuple[int, int], count: int
) -> None:
    one, other = numbers(2, 3, ours), numbers(2, 4, frames_of_kind, seed=1)
    first, second = align_frames(one, other, *strides)
    assert first.shape == (2, 3, count)
    assert second.shape == (2, 4, count)
    for found, given, stride in ((first, one, strides[0]), (second, other, strides[1])):
        for place in range(count):  # each covers the same time as its counterpart
            begin, end = (edge * max(strides) // stride for edge in (place, place + 1))
            mean = given[:, :, begin:end].mean(2)
            assert torch.allclose(found[:, :, place], mean, atol=1e-6)


@torch.no_grad()
def test_frame_hints_are_cosines_to_normalised_frames() -> None:
    torch.manual_seed(0)
    hints = FrameHints((4, 16), [(6, 32), (5, 16), (7, 64)])
    frames, shares = numbers(3, 4, 8), torch.tensor([0.0, 0.25, 0.5])
    target = [numbers(3, 6, 4, seed=2) * 3 + 7, numbers(3, 5, 8, seed=3), numbers(3, 7, 0)]
    weight = torch.cat([WEIGHT, torch.ones(3, 1)], 1)  # the third kind has no frames
    wanted = 0.0
    for kind, frames_of_kind in enumerate(target[:2]):
        mean = frames_of_kind.mean((0, 2), keepdim=True)
        spread = frames_of_kind.std((0, 2), keepdim=True, correction=0)
        layer = hints.project[kind]
        for row in range(3):
            own = torch.roll(frames[row], round(float(shares[row]) * 8), 1)
            own = own.view(4, frames_of_kind.shape[2], -1).mean(2)
            for place in range(frames_of_kind.shape[2]):
                one = layer.weight @ own[:, place] + layer.bias
                other = ((frames_of_kind - mean) / spread)[row, :, place]
                distance = 1 - float(one @ other / (one.norm() * other.norm()))
                wanted += float(WEIGHT[row, kind]) * distance / frames_of_kind.shape[2] / 3
    assert float(hints(frames, target, weight, shares)) == pytest.approx(wanted, abs=1e-5)


def test_mixup_mixes_the_teacher_targets_too() -> None:
    system = cbir_2(categories=2, events=3, backbone="none", width=0.01)
    targets: Any = SimpleNamespace(frames=False)
    teaching = TeachingOptions(teacher_weight=0.8, feature_weight=0.0)
    loss = DistillationLoss(targets, teaching, system, heads=HEADS, event_weight=1.0, seed=0)
    options = resolve(TrainOptions(recipe="paper"), "cbir_2")
    module = Learner(system, options, label_loss(HEADS, options), steps=5, distillation=loss)
    output = output_of()
    labels = {"category": torch.tensor([0, 1, 1]), "event": torch.tensor([0, 2, 2])}
    outputs = {"category": numbers(3, 2, 2), "event": numbers(3, 2, 3), "weight": WEIGHT}
    order = torch.tensor([2, 0, 1])
    batch = {"targets": labels, "teacher_targets": outputs, "feature_maps": {}}
    wanted = {
        "targets": {name: value[order] for name, value in labels.items()},
        "teacher_targets": {name: value[order] for name, value in outputs.items()},
    }
    found = module._loss(output, reordered(batch, order))
    assert torch.equal(found, module._loss(output, wanted))
    assert not torch.equal(found, module._loss(output, batch))
