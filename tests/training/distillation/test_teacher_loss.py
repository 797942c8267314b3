"""Losses of a student, each against the slow obvious way."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from sonotype.config import TeachingOptions, TrainOptions, resolve
from sonotype.core.types import IGNORE_INDEX, Labels
from sonotype.models.build import cbir_2
from sonotype.models.system import Output
from sonotype.training.distillation.teacher_loss import (
    FeatureHints,
    FrameHints,
    distillation_loss,
    divergence,
    same_moments,
    softened,
    unroll,
)
from sonotype.training.module import Learner, _taken

LABELS = Labels(("a", "b"), ("x", "y", "z"), (0, 0, 1))


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


FRAMES = torch.zeros(0, 1, 1)
WEIGHT = torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])


def test_softened_answers_are_the_mean_of_those_who_teach() -> None:
    logits = numbers(3, 2, 4)
    found = softened(logits, WEIGHT, 3.0)
    for row in range(3):
        wanted = torch.zeros(4)
        for teacher in range(2):
            powers = torch.tensor([math.exp(float(x) / 3.0) for x in logits[row, teacher]])
            wanted += WEIGHT[row, teacher] * powers / powers.sum()
        assert torch.allclose(found[row], wanted)
    assert torch.allclose(found.sum(1), torch.ones(3))


def test_the_divergence_is_that_of_kullback_and_leibler() -> None:
    student, taught = numbers(3, 4, seed=1), numbers(3, 4, seed=2).softmax(1)
    wanted = 0.0
    for row in range(3):
        answer = (student[row] / 2).softmax(0)
        for index in range(4):
            share = float(taught[row, index])
            wanted += share * math.log(share / float(answer[index])) / 3
    assert float(divergence(student, taught, 2.0)) == pytest.approx(4 * wanted, rel=1e-4)
    same = divergence(student, (student / 2).softmax(1), 2.0)
    assert float(same) == pytest.approx(0.0, abs=1e-6)


def test_hints_are_cosines_by_the_weights_of_the_teachers() -> None:
    torch.manual_seed(0)
    hints = FeatureHints(2)
    embedding, taught = numbers(3, 128), numbers(3, 2, 128, seed=4)
    projected = hints.project(embedding).view(3, 2, 128)
    wanted = torch.zeros(())
    for row in range(3):
        for teacher in range(2):
            one, other = projected[row, teacher], taught[row, teacher]
            wanted += WEIGHT[row, teacher] * (1 - one @ other / (one.norm() * other.norm())) / 3
    assert torch.allclose(hints(embedding, taught, WEIGHT), wanted, atol=1e-6)


def test_both_heads_are_taught() -> None:
    output = Output(numbers(3, 2), numbers(3, 3, seed=1), torch.zeros(3, 128), (), FRAMES)
    taught = {"category": numbers(3, 2, 2, seed=5), "event": numbers(3, 2, 3, seed=6)}
    category, event = (softened(taught[name], WEIGHT, 2.0) for name in ("category", "event"))
    assert output.event is not None
    wanted = divergence(output.category, category, 2.0)
    wanted = wanted + 0.5 * divergence(output.event, event, 2.0)
    assert torch.allclose(distillation_loss(output, taught | {"weight": WEIGHT}, 2.0, 0.5), wanted)
    alone = output._replace(event=None)
    found = distillation_loss(alone, taught | {"weight": WEIGHT}, 2.0, 0.5)
    assert torch.allclose(found, divergence(output.category, category, 2.0))


def learner(**options: object) -> Learner:
    system = cbir_2(categories=2, events=3, backbone="none", width=0.01)
    resolved = resolve(TrainOptions(**{"recipe": "paper"} | options), "cbir_2")
    return Learner(
        system,
        resolved,
        LABELS,
        category_weight=None,
        event_weight=None,
        steps=5,
        teaching=TeachingOptions(teacher_weight=0.8),
    )


def test_a_blend_has_the_labels_of_both_clips_by_their_shares() -> None:
    output = Output(numbers(4, 2), numbers(4, 3, seed=1), torch.zeros(4, 128), (), FRAMES)
    batch = {
        "category": torch.tensor([0, 1, IGNORE_INDEX, 0]),
        "event": torch.tensor([0, 2, IGNORE_INDEX, IGNORE_INDEX]),
        "partner_category": torch.tensor([1, 0, IGNORE_INDEX, 1]),
        "partner_event": torch.tensor([2, IGNORE_INDEX, IGNORE_INDEX, 1]),
        "share": torch.tensor([0.6, 0.9, 0.5, 1.0]),
    }
    wanted = torch.zeros(())
    for name, logits in (("category", output.category), ("event", output.event)):
        assert logits is not None
        for prefix, share in (("", batch["share"]), ("partner_", 1 - batch["share"])):
            target = batch[f"{prefix}{name}"]
            known = [row for row in range(4) if target[row] != IGNORE_INDEX]
            for row in known:
                wanted -= share[row] * logits[row].log_softmax(0)[target[row]] / len(known)
    assert torch.allclose(learner()._labelled(output, batch), wanted)


def test_a_batch_of_sounds_without_labels_has_no_loss_of_labels() -> None:
    output = Output(numbers(2, 2), numbers(2, 3), torch.zeros(2, 128), (), FRAMES)
    nothing = torch.tensor([IGNORE_INDEX, IGNORE_INDEX])
    assert float(learner()._loss(output, nothing, nothing)) == 0.0
    some = torch.tensor([1, IGNORE_INDEX])
    found = learner()._loss(output, some, nothing)
    assert torch.allclose(found, F.cross_entropy(output.category[:1], some[:1]))


def test_turns_and_moves_keep_the_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.arange(2 * 6 * 8, dtype=torch.float32).view(2, 1, 6, 8)
    torch.manual_seed(2)
    moved, turned = learner(log_mel_roll=True, freq_shift=2)._moved(x)
    for clip, found, share in zip(x, moved, turned, strict=True):
        turn = round(float(share) * 6)
        wanted = [
            torch.stack([clip[0, (t + turn) % 6, [min(max(b + move, 0), 7) for b in range(8)]]
                         for t in range(6)])
            for move in range(-2, 3)
        ]  # fmt: skip
        assert any(torch.equal(found[0], one) for one in wanted)
    assert len(set(turned.tolist())) == 2
    alike, unturned = learner(log_mel_roll=False, freq_shift=0)._moved(x)
    assert torch.equal(alike, x)
    assert torch.equal(unturned, torch.zeros(2))


def test_frames_of_a_turned_clip_are_turned_back() -> None:
    frames = numbers(3, 5, 12)
    turns = (0, 4, 11)
    turned = torch.stack(
        [torch.roll(one, -turn, 1) for one, turn in zip(frames, turns, strict=True)]
    )
    shares = torch.tensor([turn / 12 for turn in turns])
    length = torch.full((3,), 12.0)
    assert torch.equal(unroll(turned, shares, length), frames)
    near = torch.tensor([0.02, 4 / 12 - 0.03, 11 / 12 + 0.04])  # to the nearest frame
    assert torch.equal(unroll(turned, near, length), frames)


@pytest.mark.parametrize("length", [500, 497, 508, 511, 512])
def test_frames_that_end_behind_the_clip_are_turned_back_by_its_length(length: int) -> None:
    """The 32 rows of a clip of 5 s are 512 frames of 10 ms, of which the clip has 500."""
    offsets = torch.tensor([0, 1, 8, 100, 333, length - 9, length - 1])
    # Each row tells at which frame of the turned clip it begins.
    begins = torch.arange(0.0, length, 16).expand(len(offsets), 1, -1)
    found = unroll(begins, offsets / length, torch.full((len(offsets),), length / 16))
    for offset, row in zip(offsets.tolist(), found[:, 0], strict=True):
        for place, begin in enumerate(row.tolist()):
            apart = abs(16 * place - (begin + offset) % length)
            assert min(apart, length - apart) <= 8


@pytest.mark.parametrize(
    ("ours", "theirs", "strides", "count"),
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
def test_frames_are_compared_in_the_time_of_the_coarser(
    ours: int, theirs: int, strides: tuple[int, int], count: int
) -> None:
    one, other = numbers(2, 3, ours), numbers(2, 4, theirs, seed=1)
    first, second = same_moments(one, other, *strides)
    assert first.shape == (2, 3, count)
    assert second.shape == (2, 4, count)
    for found, given, stride in ((first, one, strides[0]), (second, other, strides[1])):
        for place in range(count):  # each covers the same time as its counterpart
            begin, end = (edge * max(strides) // stride for edge in (place, place + 1))
            mean = given[:, :, begin:end].mean(2)
            assert torch.allclose(found[:, :, place], mean, atol=1e-6)


@torch.no_grad()
def test_frame_hints_are_cosines_to_what_is_not_common_to_all() -> None:
    torch.manual_seed(0)
    hints = FrameHints((4, 16), [(6, 32), (5, 16), (7, 64)])
    frames, shares = numbers(3, 4, 8), torch.tensor([0.0, 0.25, 0.5])
    taught = [numbers(3, 6, 4, seed=2) * 3 + 7, numbers(3, 5, 8, seed=3), numbers(3, 7, 0)]
    weight = torch.cat([WEIGHT, torch.ones(3, 1)], 1)  # nothing is known of the third kind
    wanted = 0.0
    for kind, theirs in enumerate(taught[:2]):
        mean = theirs.mean((0, 2), keepdim=True)
        spread = theirs.std((0, 2), keepdim=True, correction=0)
        layer = hints.project[kind]
        for row in range(3):
            own = torch.roll(frames[row], round(float(shares[row]) * 8), 1)
            own = own.view(4, theirs.shape[2], -1).mean(2)
            for place in range(theirs.shape[2]):
                one = layer.weight @ own[:, place] + layer.bias
                other = ((theirs - mean) / spread)[row, :, place]
                apart = 1 - float(one @ other / (one.norm() * other.norm()))
                wanted += float(WEIGHT[row, kind]) * apart / theirs.shape[2] / 3
    assert float(hints(frames, taught, weight, shares)) == pytest.approx(wanted, abs=1e-5)


def test_mixup_mixes_what_is_taught_as_well() -> None:
    one = learner()
    one.taught = object()  # type: ignore[assignment]
    output = Output(numbers(3, 2), numbers(3, 3, seed=1), torch.zeros(3, 128), (), FRAMES)
    batch = {
        "category": torch.tensor([0, 1, 1]),
        "event": torch.tensor([0, 2, 2]),
        "taught": {"category": numbers(3, 2, 2), "event": numbers(3, 2, 3), "weight": WEIGHT},
        "feature_maps": {},
    }
    order = torch.tensor([2, 0, 1])
    turned = {
        "category": batch["category"][order],  # type: ignore[index]
        "event": batch["event"][order],  # type: ignore[index]
        "taught": {name: value[order] for name, value in batch["taught"].items()},  # type: ignore[union-attr]
    }
    taken = _taken(batch, order)
    assert torch.equal(one._wanted(output, taken), one._wanted(output, turned))
    assert not torch.equal(one._wanted(output, taken), one._wanted(output, batch))
