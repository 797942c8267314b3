"""Losses, masks, mixup and schedule, each against the slow obvious way."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from sonotype.config import TrainOptions, resolve
from sonotype.models.compact import Compact
from sonotype.models.mobilenet import MobileNet
from sonotype.models.systems import Output, System, cbir_1, cbir_2, cbir_4
from sonotype.models.vggish import VGGish
from sonotype.training.batches import inverse_weights
from sonotype.training.learner import LAST_RATE, Learner, cosine_schedule
from sonotype.types import NO_EVENT, Labels

LABELS = Labels(("a", "b"), ("x", "y", "z"), (0, 0, 1))


def learner(**options: object) -> Learner:
    system = cbir_2(categories=2, events=3, backbone="none", width=0.01)
    resolved = resolve(TrainOptions(**{"recipe": "paper"} | options), "cbir_2")
    return Learner(system, resolved, LABELS, category_weight=None, event_weight=None, steps=5)


def output() -> Output:
    torch.manual_seed(0)
    return Output(
        torch.randn(4, 2), torch.randn(4, 3), torch.zeros(4, 128), (), torch.zeros(4, 1, 1)
    )


def test_the_loss_is_the_sum_of_two_cross_entropies() -> None:
    answer, category, event = output(), torch.tensor([0, 1, 1, 0]), torch.tensor([0, 2, 2, 1])
    by_hand = 0.0
    for row in range(4):
        by_hand -= math.log(answer.category[row].softmax(0)[category[row]]) / 4
        assert answer.event is not None
        by_hand -= math.log(answer.event[row].softmax(0)[event[row]]) / 4
    assert float(learner()._loss(answer, category, event)) == pytest.approx(by_hand, rel=1e-5)


def test_clips_without_an_event_do_not_count_in_the_event_loss() -> None:
    answer, category = output(), torch.tensor([0, 1, 1, 0])
    event = torch.tensor([0, NO_EVENT, 2, NO_EVENT])
    assert answer.event is not None
    wanted = F.cross_entropy(answer.category, category)
    wanted = wanted + F.cross_entropy(answer.event[[0, 2]], event[[0, 2]])
    assert torch.allclose(learner()._loss(answer, category, event), wanted)


def test_a_batch_without_any_event_has_the_category_loss_alone() -> None:
    answer, category = output(), torch.tensor([0, 1, 1, 0])
    loss = learner()._loss(answer, category, torch.full((4,), NO_EVENT))
    assert torch.equal(loss, F.cross_entropy(answer.category, category))


def test_the_event_weight_weighs_the_event_loss() -> None:
    answer, category, event = output(), torch.tensor([0, 1, 1, 0]), torch.tensor([0, 2, 2, 1])
    none, one, two = (
        float(learner(event_weight=w)._loss(answer, category, event)) for w in (0.0, 1.0, 2.0)
    )
    assert two - one == pytest.approx(one - none, rel=1e-5)


def test_class_weights_are_the_inverse_of_the_counts() -> None:
    target = torch.tensor([0, 0, 0, 1, NO_EVENT])
    weights = inverse_weights(target, 3)
    assert weights.tolist() == pytest.approx([4 / 6, 4 / 2, 0.0])
    known = target[target >= 0]
    assert float(weights[known].mean()) == pytest.approx(1.0)


@pytest.mark.parametrize(("axis", "option"), [(2, "time_mask"), (3, "frequency_mask")])
def test_a_mask_blanks_one_stretch_with_the_clips_mean(axis: int, option: str) -> None:
    torch.manual_seed(3)
    x = torch.randn(64, 1, 48, 32)
    options = {"time_mask": 0.0, "frequency_mask": 0.0} | {option: 0.5}
    masked = learner(**options)._masked(x)
    lengths = []
    for before, after in zip(x, masked, strict=True):
        changed = (before != after).squeeze(0)
        lines = changed.any(2 - (axis - 1)) if axis == 2 else changed.any(0)
        where = torch.nonzero(lines).flatten()
        lengths.append(len(where))
        if len(where):
            assert len(where) == where[-1] - where[0] + 1, "the stretch has no gaps"
            blank = after.squeeze(0).index_select(axis - 2, where)
            assert torch.allclose(blank, before.mean().expand_as(blank))
    assert max(lengths) <= math.ceil(0.5 * x.shape[axis])
    assert np.mean(lengths) == pytest.approx(0.25 * x.shape[axis], rel=0.25)


def test_no_mask_changes_nothing() -> None:
    x = torch.randn(4, 1, 48, 32)
    assert torch.equal(learner()._masked(x), x)


def test_mixup_off_mixes_nothing() -> None:
    assert learner(mixup=0.0)._mixup(8) == (None, 1.0)


def test_mixup_shares_follow_the_beta_distribution() -> None:
    one = learner(mixup=0.3)
    torch.manual_seed(0)
    shares = [one._mixup(4)[1] for _ in range(2000)]
    # Beta(a, a): mean 1/2, variance 1 / (4 (2 a + 1)).
    assert np.mean(shares) == pytest.approx(0.5, abs=0.03)
    assert np.var(shares) == pytest.approx(1 / (4 * 1.6), rel=0.06)


def test_a_mixed_step_is_the_mean_of_the_losses_on_mixed_maps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = learner(mixup=0.3, label_smoothing=0.0)
    one.system.eval()
    monkeypatch.setattr(one, "log", lambda *_, **__: None)
    monkeypatch.setattr(one, "_mixup", lambda _: (torch.tensor([1, 2, 3, 0]), 0.7))
    waveform = 0.1 * torch.randn(4, 16_000)
    category, event = torch.tensor([0, 1, 1, 0]), torch.tensor([0, 2, 2, 1])
    batch = {"waveform": waveform, "category": category, "event": event}
    found = one.training_step(batch, 0)
    stage = one.system.frozen_part(waveform)
    mixed = {name: 0.7 * x + 0.3 * x.roll(-1, 0) for name, x in stage.items()}
    answer = one.system.trained_part(mixed)
    assert answer.event is not None
    wanted = sum(
        share * (F.cross_entropy(answer.category, c) + F.cross_entropy(answer.event, e))
        for share, c, e in ((0.7, category, event), (0.3, category.roll(-1), event.roll(-1)))
    )
    assert torch.allclose(found, torch.as_tensor(wanted), atol=1e-5)


def test_the_cosine_schedule_warms_up_and_ends_low() -> None:
    rate = cosine_schedule(10, 5)
    values = [rate(step) for step in range(60)]
    assert values[0] == pytest.approx(0.1)
    assert values[9] == values[10] == pytest.approx(1.0)
    assert values[30] == pytest.approx((1 + LAST_RATE) / 2)
    assert values[50] == values[59] == pytest.approx(LAST_RATE)
    assert all(a >= b for a, b in pairwise(values[10:]))


def test_the_constant_schedule_has_no_scheduler() -> None:
    optimiser = learner().configure_optimizers()
    assert isinstance(optimiser, torch.optim.AdamW)
    assert optimiser.param_groups[0]["lr"] == 1e-3
    assert optimiser.param_groups[0]["weight_decay"] == 0.0


def with_branch_1(unfreeze_from: int | None, **options: object) -> Learner:
    """A learner whose branch 1 is frozen, or partly so."""
    system = cbir_2(
        categories=2, events=3, backbone="mn01", width=0.01, unfreeze_from=unfreeze_from
    )
    resolved = resolve(TrainOptions(**{"recipe": "paper"} | options), "cbir_2")
    return Learner(system, resolved, LABELS, category_weight=None, event_weight=None, steps=5)


def test_branch_1_learns_at_a_share_of_the_rate() -> None:
    one = with_branch_1(4, recipe="modern", branch_1_rate=0.1, learning_rate=2e-3)
    configured = one.configure_optimizers()
    branch_1, others = configured["optimizer"].param_groups
    names = {id(parameter): name for name, parameter in one.system.named_parameters()}
    held = [{names[id(p)] for p in group["params"]} for group in (branch_1, others)]
    assert held[0] == {name for name in names.values() if name.startswith("branch_1.blocks.3.")}
    assert held[1] == {name for name in names.values() if not name.startswith("branch_1.")}
    assert (branch_1["weight_decay"], others["weight_decay"]) == (1e-2, 1e-2)
    # The schedule's first step is a fifth of the way up; it keeps the two apart all along.
    schedule = configured["lr_scheduler"]["scheduler"]
    for factor in (0.2, 0.4, 0.6):
        assert branch_1["lr"] == pytest.approx(2e-4 * factor)
        assert others["lr"] == pytest.approx(2e-3 * factor)
        configured["optimizer"].step()
        schedule.step()


def test_where_branch_1_is_frozen_there_is_one_group() -> None:
    for unfreeze_from, rates in ((None, [1e-3]), (3, [1e-4, 1e-3])):
        optimiser = with_branch_1(unfreeze_from, branch_1_rate=0.1).configure_optimizers()
        assert [group["lr"] for group in optimiser.param_groups] == pytest.approx(rates)
    usual = with_branch_1(3).configure_optimizers()
    assert [group["lr"] for group in usual.param_groups] == [1e-3, 1e-3]


def test_only_what_learns_is_in_the_optimiser() -> None:
    one = with_branch_1(4)
    system = one.system
    held = {id(p) for group in one.configure_optimizers().param_groups for p in group["params"]}
    frozen = {id(p) for block in system.branch_1.blocks[:3] for p in block.parameters()}
    last = {id(p) for p in system.branch_1.blocks[3].parameters()}
    assert not held & frozen
    assert last <= held


BACKBONES: dict[str, tuple[Callable[[], Any], bool]] = {
    "vggish": (lambda: VGGish(width=0.1), False),
    "mn01": (lambda: MobileNet(width=0.1), False),
    "compact": (Compact, True),
    "builtin": (Compact, False),
    "none": (lambda: "none", True),
}
"""Branch 1, and whether it starts from random weights."""


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("first", [None, 1, 2, 3, 4])
@pytest.mark.parametrize(
    ("build", "more"),
    [
        (cbir_1, {"width": 0.05}),
        (cbir_2, {"width": 0.05, "adapters": (1, 2, 3, 4), "pool_blocks": (2, 4)}),
        (cbir_2, {"width": 0.0}),
        (cbir_4, {"width": 0.05}),
    ],
    ids=["joined", "separate", "branch 1 alone", "maximum"],
)
def test_a_step_with_any_first_blocks_frozen(
    name: str, first: int | None, build: Callable[..., System], more: dict[str, Any]
) -> None:
    """What all recipes do to log-mels, at once; it is done where the log-mel is handed over."""
    made, from_scratch = BACKBONES[name]
    if name == "none" and not more["width"]:
        pytest.skip("nothing would be left")
    torch.manual_seed(0)
    system = build(categories=2, events=3, backbone=made(), unfreeze_from=first, **more)
    options = resolve(TrainOptions(recipe="student", mixup=0.3), "cbir_2")
    one = Learner(
        system, options, LABELS,
        category_weight=None, event_weight=None, steps=5, from_scratch=from_scratch,
    )  # fmt: skip
    one.log = lambda *_, **__: None  # type: ignore[method-assign]
    waveform = 0.1 * torch.randn(2, system.sample_rate)
    batch = {"waveform": waveform, "category": torch.tensor([0, 1]), "event": torch.tensor([0, 2])}
    loss = one.training_step(batch, 0)
    assert 0 < float(loss.detach()) < 100
    loss.backward()
    learnt = 1 if name == "none" else first or 5
    for number, block in enumerate(system.branch_1.blocks, start=1):
        reached = {parameter.grad is not None for parameter in block.parameters()}
        assert reached == {number >= learnt}, number


@pytest.mark.parametrize("from_scratch", [False, True])
def test_masks_are_for_what_starts_from_random_weights(from_scratch: bool) -> None:
    system = cbir_2(categories=2, events=3, backbone="none", width=0.01)
    options = resolve(TrainOptions(time_mask=0.5, frequency_mask=0.5, mixup=0.0), "cbir_2")
    one = Learner(
        system, options, LABELS,
        category_weight=None, event_weight=None, steps=5, from_scratch=from_scratch,
    )  # fmt: skip
    seen: dict[str, torch.Tensor] = {}

    def trained_part(stage: dict[str, torch.Tensor]) -> Output:
        seen.update(stage)
        return Output(
            torch.zeros(4, 2, requires_grad=True),
            None,
            torch.zeros(4, 128),
            (),
            torch.zeros(4, 1, 1),
        )

    one.system.trained_part = trained_part  # type: ignore[method-assign]
    one.log = lambda *_, **__: None  # type: ignore[method-assign]
    stage = {name: torch.randn(4, 1, 96, 64) for name in ("branch_1.0", "branch_2.0")}
    one.training_step({"stage": stage, "category": torch.tensor([0, 1, 1, 0]),
                       "event": torch.tensor([0, 1, 2, 0])}, 0)  # fmt: skip
    assert not torch.equal(seen["branch_2.0"], stage["branch_2.0"])
    assert torch.equal(seen["branch_1.0"], stage["branch_1.0"]) != from_scratch
