"""Losses of the labels, compared with sums over the rows."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from heads import two_heads
from torch import Tensor
from torch.nn import functional as F

from sonotype.core.types import IGNORE_INDEX, Head
from sonotype.models.system import Output
from sonotype.training.losses import ClassWeights, LabelLoss, Targets, inverse_weights

HEADS = two_heads(("a", "b"), ("x", "y", "z"), (0, 0, 1))
NOTHING = torch.full((4,), IGNORE_INDEX)
CATEGORY = torch.tensor([0, 1, 1, 0])
TARGETS = {"category": CATEGORY, "event": torch.tensor([0, 2, IGNORE_INDEX, 1])}
PARTNERS = {
    "category": torch.tensor([1, 0, 1, 1]),
    "event": torch.tensor([2, IGNORE_INDEX, 1, 2]),
}
WEIGHTS: list[ClassWeights] = [
    {},
    {"category": torch.tensor([0.5, 1.5]), "event": torch.tensor([0.2, 1.0, 3.0])},
]
TAGS = Head("tags", ("t", "u", "v"), "multi")
UNKNOWN = [IGNORE_INDEX] * 3
PRESENT = torch.tensor([[1.0, 0, 1], UNKNOWN, [0, 0, 0], [0, IGNORE_INDEX, 1]])
PARTNERS_PRESENT = torch.tensor([UNKNOWN, [0.0, 1, 0], [1, 1, 1], UNKNOWN])


def mixed(
    share: Tensor, targets: Targets = TARGETS, partners: Targets = PARTNERS
) -> dict[str, Any]:
    return {"targets": targets, "partner_targets": partners, "share": share}


@pytest.fixture
def output() -> Output:
    torch.manual_seed(0)
    logits = {"category": torch.randn(4, 2), "event": torch.randn(4, 3), "tags": torch.randn(4, 3)}
    return Output(logits, torch.zeros(4, 128), (), torch.zeros(4, 1, 1))


def test_the_loss_is_the_sum_of_the_cross_entropies_of_all_heads(output: Output) -> None:
    third = Head("level_3", ("p", "q", "r"))
    output.logits["level_3"] = torch.randn(4, 3)
    targets = {
        "category": CATEGORY,
        "event": torch.tensor([0, 2, 2, 1]),
        "level_3": torch.tensor([2, 2, 0, 1]),
    }
    by_hand = 0.0
    for name, target in targets.items():
        for row in range(4):
            by_hand -= math.log(output.logits[name][row].softmax(0)[target[row]]) / 4
    loss = LabelLoss((*HEADS, third))
    assert float(loss(output, targets)) == pytest.approx(by_hand, rel=1e-5)


def test_clips_without_a_label_do_not_count_in_the_loss_of_the_head(output: Output) -> None:
    event = torch.tensor([0, IGNORE_INDEX, 2, IGNORE_INDEX])
    wanted = F.cross_entropy(output.logits["category"], CATEGORY)
    wanted = wanted + F.cross_entropy(output.logits["event"][[0, 2]], event[[0, 2]])
    assert torch.allclose(LabelLoss(HEADS)(output, {"category": CATEGORY, "event": event}), wanted)


def test_a_head_without_any_label_has_the_loss_0(output: Output) -> None:
    loss = LabelLoss(HEADS)
    category = F.cross_entropy(output.logits["category"], CATEGORY)
    assert torch.equal(loss(output, {"category": CATEGORY, "event": NOTHING}), category)
    assert float(loss(output, {"category": NOTHING, "event": NOTHING})) == 0.0
    some = torch.tensor([1, IGNORE_INDEX, IGNORE_INDEX, IGNORE_INDEX])
    found = loss(output, {"category": some, "event": NOTHING})
    assert torch.allclose(found, F.cross_entropy(output.logits["category"][:1], some[:1]))


def test_the_event_weight_multiplies_the_event_loss(output: Output) -> None:
    zero, one, two = (
        float(LabelLoss(HEADS, event_weight=weight)(output, TARGETS)) for weight in (0.0, 1.0, 2.0)
    )
    assert two - one == pytest.approx(one - zero, rel=1e-5)


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_mixes_that_keep_one_clip_alone_have_the_loss_of_that_clip(
    output: Output, weights: ClassWeights, smoothing: float
) -> None:
    loss = LabelLoss((*HEADS, TAGS), weights, label_smoothing=smoothing)
    targets, partners = TARGETS | {"tags": PRESENT}, PARTNERS | {"tags": PARTNERS_PRESENT}
    first, second = loss(output, targets), loss(output, partners)
    assert torch.equal(loss.mixed(output, {"targets": targets}), first)
    for share, wanted in ((torch.ones(4), first), (torch.zeros(4), second)):
        found = loss.mixed(output, mixed(share, targets, partners))
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_the_loss_of_mixes_divides_by_the_weights_of_the_targets(
    output: Output, weights: ClassWeights
) -> None:
    batch = mixed(torch.tensor([0.9, 0.6, 0.5, 0.7]))
    wanted = 0.0
    for name in TARGETS:
        for key in ("targets", "partner_targets"):
            total = mass = 0.0
            for row in range(4):
                share, target = float(batch["share"][row]), int(batch[key][name][row])
                if target != IGNORE_INDEX:
                    weight = float(weights[name][target]) if weights else 1.0
                    probability = float(output.logits[name][row].softmax(0)[target])
                    share = share if key == "targets" else 1 - share
                    total -= share * weight * math.log(probability)
                    mass += weight
            wanted += total / mass
    assert float(LabelLoss(HEADS, weights).mixed(output, batch)) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_mixes_of_equal_shares_have_the_loss_of_mixup(
    output: Output, weights: ClassWeights
) -> None:
    loss = LabelLoss(HEADS, weights)
    wanted = 0.7 * loss(output, TARGETS) + 0.3 * loss(output, PARTNERS)
    torch.testing.assert_close(loss.mixed(output, mixed(torch.full((4,), 0.7))), wanted)


def test_clips_of_classes_with_weight_0_have_no_loss(output: Output) -> None:
    """On validation there may be a class without training clips."""
    weights = {"category": torch.tensor([1.0, 0.0]), "event": torch.tensor([1.0, 1.0, 0.0])}
    loss = LabelLoss(HEADS, weights, label_smoothing=0.1)
    targets = {"category": torch.ones(4).long(), "event": torch.tensor([2, 2, IGNORE_INDEX, 2])}
    assert float(loss(output, targets)) == 0.0
    assert float(loss.mixed(output, mixed(torch.full((4,), 0.6), targets, targets))) == 0.0


def test_class_weights_are_the_inverse_of_the_counts() -> None:
    target = torch.tensor([0, 0, 0, 1, IGNORE_INDEX])
    weights = inverse_weights(target, 3)
    assert weights.tolist() == pytest.approx([4 / 6, 4 / 2, 0.0])
    known = target[target >= 0]
    assert float(weights[known].mean()) == pytest.approx(1.0)


# Any number of classes


def binary_cross_entropy(
    logits: Tensor, present: Tensor, share: list[float], smoothing: float = 0.0
) -> float:
    """Reference: the sum over the known entries, each on its own, divided by their number."""
    total, count = 0.0, 0
    for row in range(len(logits)):
        for index in range(logits.shape[1]):
            target = float(present[row, index])
            if target == IGNORE_INDEX:
                continue
            target = target * (1 - smoothing) + smoothing / 2
            probability = 1 / (1 + math.exp(-float(logits[row, index])))
            loss = target * math.log(probability) + (1 - target) * math.log(1 - probability)
            total -= share[row] * loss
            count += 1
    return total / count


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_multi_head_has_the_binary_cross_entropy_of_its_known_entries(
    output: Output, smoothing: float
) -> None:
    loss = LabelLoss((*HEADS, TAGS), event_weight=0.5, label_smoothing=smoothing)
    targets = {"category": NOTHING, "event": NOTHING, "tags": PRESENT}
    wanted = binary_cross_entropy(output.logits["tags"], PRESENT, [1.0] * 4, smoothing)
    assert float(loss(output, targets)) == pytest.approx(0.5 * wanted, rel=1e-5)


def test_a_multi_head_without_any_label_has_the_loss_0(output: Output) -> None:
    targets = {"tags": torch.full((4, 3), float(IGNORE_INDEX))}
    loss = LabelLoss((TAGS,))
    assert float(loss(output, targets)) == 0.0
    assert float(loss.mixed(output, mixed(torch.full((4,), 0.6), targets, targets))) == 0.0


def test_a_multi_head_of_mixed_clips(output: Output) -> None:
    shares = [0.9, 0.6, 0.5, 0.7]
    targets, partners = {"tags": PRESENT}, {"tags": PARTNERS_PRESENT}
    batch = mixed(torch.tensor(shares), targets, partners)
    logits = output.logits["tags"]
    wanted = binary_cross_entropy(logits, PRESENT, shares)
    wanted += binary_cross_entropy(logits, PARTNERS_PRESENT, [1 - share for share in shares])
    assert float(LabelLoss((TAGS,)).mixed(output, batch)) == pytest.approx(wanted, rel=1e-5)
