"""Losses of the labels, compared with sums over the rows."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from sonotype.core.types import IGNORE_INDEX
from sonotype.models.system import Output
from sonotype.training.losses import ClassWeights, LabelLoss, inverse_weights

CATEGORY, EVENT = torch.tensor([0, 1, 1, 0]), torch.tensor([0, 2, IGNORE_INDEX, 1])
PARTNERS = {
    "partner_category": torch.tensor([1, 0, 1, 1]),
    "partner_event": torch.tensor([2, IGNORE_INDEX, 1, 2]),
}
WEIGHTS: list[ClassWeights] = [
    (None, None),
    (torch.tensor([0.5, 1.5]), torch.tensor([0.2, 1.0, 3.0])),
]


def mixed(share: Tensor) -> dict[str, Tensor]:
    return {"category": CATEGORY, "event": EVENT, "share": share, **PARTNERS}


@pytest.fixture
def output() -> Output:
    torch.manual_seed(0)
    return Output(
        torch.randn(4, 2), torch.randn(4, 3), torch.zeros(4, 128), (), torch.zeros(4, 1, 1)
    )


def test_the_loss_is_the_sum_of_two_cross_entropies(output: Output) -> None:
    event = torch.tensor([0, 2, 2, 1])
    by_hand = 0.0
    for row in range(4):
        by_hand -= math.log(output.category[row].softmax(0)[CATEGORY[row]]) / 4
        assert output.event is not None
        by_hand -= math.log(output.event[row].softmax(0)[event[row]]) / 4
    assert float(LabelLoss()(output, CATEGORY, event)) == pytest.approx(by_hand, rel=1e-5)


def test_clips_without_an_event_do_not_count_in_the_event_loss(output: Output) -> None:
    event = torch.tensor([0, IGNORE_INDEX, 2, IGNORE_INDEX])
    assert output.event is not None
    wanted = F.cross_entropy(output.category, CATEGORY)
    wanted = wanted + F.cross_entropy(output.event[[0, 2]], event[[0, 2]])
    assert torch.allclose(LabelLoss()(output, CATEGORY, event), wanted)


def test_a_batch_without_any_event_has_the_category_loss_alone(output: Output) -> None:
    loss = LabelLoss()(output, CATEGORY, torch.full((4,), IGNORE_INDEX))
    assert torch.equal(loss, F.cross_entropy(output.category, CATEGORY))


def test_a_batch_without_labels_has_the_loss_0(output: Output) -> None:
    nothing = torch.full((4,), IGNORE_INDEX)
    assert float(LabelLoss()(output, nothing, nothing)) == 0.0
    some = torch.tensor([1, IGNORE_INDEX, IGNORE_INDEX, IGNORE_INDEX])
    found = LabelLoss()(output, some, nothing)
    assert torch.allclose(found, F.cross_entropy(output.category[:1], some[:1]))


def test_the_event_weight_multiplies_the_event_loss(output: Output) -> None:
    zero, one, two = (
        float(LabelLoss(event_weight=weight)(output, CATEGORY, EVENT)) for weight in (0.0, 1.0, 2.0)
    )
    assert two - one == pytest.approx(one - zero, rel=1e-5)


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_mixes_that_keep_one_clip_alone_have_the_loss_of_that_clip(
    output: Output, weights: ClassWeights, smoothing: float
) -> None:
    loss = LabelLoss(weights, label_smoothing=smoothing)
    first = loss(output, CATEGORY, EVENT)
    torch.testing.assert_close(loss.mixed(output, mixed(torch.ones(4))), first)
    assert torch.equal(loss.mixed(output, {"category": CATEGORY, "event": EVENT}), first)
    second = loss(output, PARTNERS["partner_category"], PARTNERS["partner_event"])
    torch.testing.assert_close(loss.mixed(output, mixed(torch.zeros(4))), second)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_the_loss_of_mixes_divides_by_the_weights_of_the_targets(
    output: Output, weights: ClassWeights
) -> None:
    batch = mixed(torch.tensor([0.9, 0.6, 0.5, 0.7]))
    wanted = 0.0
    for name, class_weights in zip(("category", "event"), weights, strict=True):
        for key in (name, f"partner_{name}"):
            total = mass = 0.0
            for row in range(4):
                share, target = float(batch["share"][row]), int(batch[key][row])
                if target != IGNORE_INDEX:
                    weight = 1.0 if class_weights is None else float(class_weights[target])
                    probability = float(getattr(output, name)[row].softmax(0)[target])
                    total -= (share if key == name else 1 - share) * weight * math.log(probability)
                    mass += weight
            wanted += total / mass
    assert float(LabelLoss(weights).mixed(output, batch)) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_mixes_of_equal_shares_have_the_loss_of_mixup(
    output: Output, weights: ClassWeights
) -> None:
    loss = LabelLoss(weights)
    wanted = 0.7 * loss(output, CATEGORY, EVENT)
    wanted += 0.3 * loss(output, PARTNERS["partner_category"], PARTNERS["partner_event"])
    torch.testing.assert_close(loss.mixed(output, mixed(torch.full((4,), 0.7))), wanted)


def test_clips_of_classes_with_weight_0_have_no_loss(output: Output) -> None:
    """On validation there may be a class without training clips."""
    loss = LabelLoss((torch.tensor([1.0, 0.0]), torch.tensor([1.0, 1.0, 0.0])), label_smoothing=0.1)
    category, event = torch.tensor([1, 1, 1, 1]), torch.tensor([2, 2, IGNORE_INDEX, 2])
    assert float(loss(output, category, event)) == 0.0
    batch = {
        "category": category, "event": event, "share": torch.full((4,), 0.6),
        "partner_category": category, "partner_event": event,
    }  # fmt: skip
    assert float(loss.mixed(output, batch)) == 0.0


def test_class_weights_are_the_inverse_of_the_counts() -> None:
    target = torch.tensor([0, 0, 0, 1, IGNORE_INDEX])
    weights = inverse_weights(target, 3)
    assert weights.tolist() == pytest.approx([4 / 6, 4 / 2, 0.0])
    known = target[target >= 0]
    assert float(weights[known].mean()) == pytest.approx(1.0)
