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
from sonotype.core.errors import SonotypeError
from sonotype.core.types import IGNORE_INDEX, Labels
from sonotype.evaluation.metrics import score
from sonotype.evaluation.predictions import Predictions, concatenate
from sonotype.models.backbones.compact import Compact
from sonotype.models.backbones.mobilenet import MobileNet
from sonotype.models.backbones.vggish import VGGish
from sonotype.models.build import cbir_1, cbir_2, cbir_4
from sonotype.models.system import Output, System
from sonotype.training.dataset import inverse_weights
from sonotype.training.module import LAST_RATE, Learner, cosine_schedule

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
    event = torch.tensor([0, IGNORE_INDEX, 2, IGNORE_INDEX])
    assert answer.event is not None
    wanted = F.cross_entropy(answer.category, category)
    wanted = wanted + F.cross_entropy(answer.event[[0, 2]], event[[0, 2]])
    assert torch.allclose(learner()._loss(answer, category, event), wanted)


def test_a_batch_without_any_event_has_the_category_loss_alone() -> None:
    answer, category = output(), torch.tensor([0, 1, 1, 0])
    loss = learner()._loss(answer, category, torch.full((4,), IGNORE_INDEX))
    assert torch.equal(loss, F.cross_entropy(answer.category, category))


def test_the_event_weight_weighs_the_event_loss() -> None:
    answer, category, event = output(), torch.tensor([0, 1, 1, 0]), torch.tensor([0, 2, 2, 1])
    none, one, two = (
        float(learner(event_weight=w)._loss(answer, category, event)) for w in (0.0, 1.0, 2.0)
    )
    assert two - one == pytest.approx(one - none, rel=1e-5)


def weighted(category: list[float] | None, event: list[float] | None, **options: Any) -> Learner:
    one = learner(**options)
    one.category_weight = None if category is None else torch.tensor(category)
    one.event_weight = None if event is None else torch.tensor(event)
    return one


WEIGHTS = [(None, None), ([0.5, 1.5], [0.2, 1.0, 3.0])]


@pytest.mark.parametrize(("category", "event"), WEIGHTS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_blends_that_keep_all_of_the_first_clip_have_the_plain_loss(
    category: list[float] | None, event: list[float] | None, smoothing: float
) -> None:
    one = weighted(category, event, label_smoothing=smoothing)
    batch = {
        "category": torch.tensor([0, 1, 1, 0]),
        "event": torch.tensor([0, 2, IGNORE_INDEX, 1]),
    }
    blended = batch | {
        "partner_category": torch.tensor([1, 0, 0, 1]),
        "partner_event": torch.tensor([2, IGNORE_INDEX, 1, 2]),
        "share": torch.ones(4),
    }
    torch.testing.assert_close(one._labelled(output(), blended), one._labelled(output(), batch))
    turned = blended | {"share": torch.zeros(4)}
    partners = {name: blended[f"partner_{name}"] for name in batch}
    torch.testing.assert_close(one._labelled(output(), turned), one._labelled(output(), partners))


@pytest.mark.parametrize(("category", "event"), WEIGHTS)
def test_the_loss_of_blends_divides_by_the_weights_of_the_targets(
    category: list[float] | None, event: list[float] | None
) -> None:
    one, answer = weighted(category, event, label_smoothing=0.0), output()
    batch = {
        "category": torch.tensor([0, 1, 1, 0]),
        "event": torch.tensor([0, 2, IGNORE_INDEX, 1]),
        "partner_category": torch.tensor([1, 0, 1, 1]),
        "partner_event": torch.tensor([2, IGNORE_INDEX, 1, 2]),
        "share": torch.tensor([0.9, 0.6, 0.5, 0.7]),
    }
    wanted = 0.0
    for name, weights in (("category", category), ("event", event)):
        for key in (name, f"partner_{name}"):
            total = mass = 0.0
            for row in range(4):
                share, target = float(batch["share"][row]), int(batch[key][row])
                if target != IGNORE_INDEX:
                    weight = 1.0 if weights is None else weights[target]
                    said = float(getattr(answer, name)[row].softmax(0)[target])
                    total -= (share if key == name else 1 - share) * weight * math.log(said)
                    mass += weight
            wanted += total / mass
    assert float(one._labelled(answer, batch)) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize(("category", "event"), WEIGHTS)
def test_blends_of_one_share_have_the_loss_of_mixup(
    category: list[float] | None, event: list[float] | None
) -> None:
    one, answer = weighted(category, event), output()
    first = torch.tensor([0, 1, 1, 0]), torch.tensor([0, 2, IGNORE_INDEX, 1])
    second = torch.tensor([1, 0, 1, 1]), torch.tensor([2, IGNORE_INDEX, 1, 2])
    batch = {
        "category": first[0], "event": first[1], "share": torch.full((4,), 0.7),
        "partner_category": second[0], "partner_event": second[1],
    }  # fmt: skip
    mixed = 0.7 * one._loss(answer, *first) + 0.3 * one._loss(answer, *second)
    torch.testing.assert_close(one._labelled(answer, batch), mixed)


def test_clips_of_classes_without_weight_have_no_loss() -> None:
    """As on validation, where a class can be that no clip was learnt from."""
    one = weighted([1.0, 0.0], [1.0, 1.0, 0.0], label_smoothing=0.1)
    category, event = torch.tensor([1, 1, 1, 1]), torch.tensor([2, 2, IGNORE_INDEX, 2])
    assert float(one._loss(output(), category, event)) == 0.0
    batch = {
        "category": category, "event": event, "share": torch.full((4,), 0.6),
        "partner_category": category, "partner_event": event,
    }  # fmt: skip
    assert float(one._labelled(output(), batch)) == 0.0


def answering(one: Learner, batches: list[tuple[Output, list[int], list[int]]]) -> dict[str, float]:
    """What is logged of a validation in which the network answers this."""
    logged: dict[str, float] = {}
    one.log = lambda name, value, **_: logged.update({name: float(value)})  # type: ignore[method-assign, misc]
    answers = iter([answer for answer, _, _ in batches])
    one.system.trained_part = lambda _: next(answers)  # type: ignore[method-assign, assignment, misc]
    for number, (_, category, event) in enumerate(batches):
        batch = {
            "feature_maps": {}, "category": torch.tensor(category), "event": torch.tensor(event)
        }  # fmt: skip
        one.validation_step(batch, number)
    one.on_validation_epoch_end()
    return logged


def says(classes: list[int], events: list[int] | None = None) -> Output:
    """An answer with these most probable categories (of three) and events (of four)."""
    return Output(
        8.0 * F.one_hot(torch.tensor(classes), 3),
        None if events is None else 8.0 * F.one_hot(torch.tensor(events), 4),
        torch.zeros(len(classes), 128),
        (),
        torch.zeros(len(classes), 1, 1),
    )


THREE = Labels(("a", "b", "c"), ("w", "x", "y", "z"), (0, 1, 1, 2))


def validating(category_source: str = "head", labels: Labels = THREE) -> Learner:
    system = cbir_2(categories=3, events=4, backbone="none", width=0.01)
    resolved = resolve(TrainOptions(recipe="paper"), "cbir_2")
    return Learner(
        system, resolved, labels, category_weight=None, event_weight=None, steps=5,
        category_source=category_source,  # type: ignore[arg-type]
    )  # fmt: skip


def test_a_class_that_validation_lacks_does_not_count_in_the_score() -> None:
    batches = [(says([0, 2]), [0, 0], [IGNORE_INDEX] * 2), (says([1]), [1], [IGNORE_INDEX])]
    found = answering(validating(labels=Labels(("a", "b", "c"))), batches)
    # F1 of a is 2/3, of b 1; that of c, which is answered once and never there, would be 0.
    assert found["val_category_f1"] == found["val_f1"] == pytest.approx(5 / 6)


@pytest.mark.parametrize(("how", "wanted"), [("head", 1 / 3), ("events", 1.0)])
def test_the_category_is_scored_as_the_model_reads_it(how: str, wanted: float) -> None:
    batches = [(says([0, 0], [0, 1]), [0, 1], [0, 2])]
    found = answering(validating(how), batches)
    assert found["val_category_f1"] == pytest.approx(wanted)
    # Of the events w is right, and x is answered where y is.
    assert found["val_event_f1"] == pytest.approx(1 / 2)
    assert found["val_event_accuracy"] == pytest.approx(1 / 2)
    assert found["val_f1"] == pytest.approx((wanted + 1 / 2) / 2)


def test_the_scores_of_validation_are_those_of_the_answers() -> None:
    rng = np.random.default_rng(0)
    batches, answers = [], []
    labels = Labels(THREE.categories, THREE.events, THREE.event_category, (0.5, 0.1, 0.0))
    for size in (5, 5, 2):
        said = Output(
            torch.from_numpy(rng.standard_normal((size, 3), dtype=np.float32)),
            torch.from_numpy(rng.standard_normal((size, 4), dtype=np.float32)),
            torch.zeros(size, 128), (), torch.zeros(size, 1, 1),
        )  # fmt: skip
        category, event = rng.integers(0, 3, size), rng.integers(-1, 4, size)
        batches.append((said, category.tolist(), event.tolist()))
        assert said.event is not None
        shares = said.category.softmax(1).numpy(), said.event.softmax(1).numpy()
        answers.append(Predictions(("",) * size, ("",) * size, category, event, *shares, labels))
    found = answering(validating("events", labels), batches)
    whole = score(concatenate(answers), category_source="events", resamples=0)
    assert whole.event is not None
    assert found["val_category_f1"] == pytest.approx(whole.category.f1.value, abs=1e-6)
    assert found["val_event_f1"] == pytest.approx(whole.event.f1.value, abs=1e-6)
    assert found["val_event_accuracy"] == pytest.approx(whole.event.accuracy.value, abs=1e-6)


def test_validation_without_event_labels_is_scored_by_the_category() -> None:
    batches = [(says([0, 1], [0, 1]), [0, 1], [IGNORE_INDEX, IGNORE_INDEX])]
    found = answering(validating("events"), batches)
    assert "val_event_f1" not in found
    assert found["val_category_f1"] == found["val_f1"] == 1.0


def test_each_validation_is_scored_by_itself() -> None:
    one = validating()
    assert answering(one, [(says([0, 1], [0, 1]), [1, 0], [0, 1])])["val_category_f1"] == 0.0
    assert answering(one, [(says([0, 1], [0, 1]), [0, 1], [0, 1])])["val_category_f1"] == 1.0


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("part", ["training", "validation"])
def test_a_loss_that_is_not_finite_stops_the_training(part: str, value: float) -> None:
    one = learner(mixup=0.0)
    wrong = output()
    wrong.category[2] = value
    one.system.trained_part = lambda _: wrong  # type: ignore[method-assign, assignment, misc]
    one.log = lambda *_, **__: None  # type: ignore[method-assign]
    batch = {
        "feature_maps": {}, "category": torch.tensor([0, 1, 1, 0]), "event": torch.tensor([0, 2, 2, 1]),
        "files": ["a.wav", "b.wav", "c.wav", "d.wav"],
    }  # fmt: skip
    step = one.training_step if part == "training" else one.validation_step
    with pytest.raises(SonotypeError) as caught:
        step(batch, 0)
    text = str(caught.value)
    assert text.startswith(f"the {part} loss is nan in epoch 1 on c.wav: ")
    assert "--learning-rate" in text
    wrong.category[:] = value  # whoever is to blame
    with pytest.raises(SonotypeError, match=r"on a.wav, b.wav, c.wav and 1 more: "):
        step(batch, 0)


def test_class_weights_are_the_inverse_of_the_counts() -> None:
    target = torch.tensor([0, 0, 0, 1, IGNORE_INDEX])
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
    feature_maps = one.system.frozen_part(waveform)
    mixed = {name: 0.7 * x + 0.3 * x.roll(-1, 0) for name, x in feature_maps.items()}
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
    one = with_branch_1(4, recipe="modern", backbone_lr_scale=0.1, learning_rate=2e-3)
    configured = one.configure_optimizers()
    groups = configured["optimizer"].param_groups
    names = {id(parameter): name for name, parameter in one.system.named_parameters()}
    held = [{names[id(p)] for p in group["params"]} for group in groups]
    branch_1 = {name for name in names.values() if name.startswith("branch_1.blocks.3.")}
    assert held[0] | held[1] == branch_1
    assert held[2] | held[3] == {n for n in names.values() if not n.startswith("branch_1.")}
    # The schedule's first step is a fifth of the way up; it keeps the two apart all along.
    schedule = configured["lr_scheduler"]["scheduler"]
    for factor in (0.2, 0.4, 0.6):
        assert [group["lr"] for group in groups] == pytest.approx(
            [2e-4 * factor, 2e-4 * factor, 2e-3 * factor, 2e-3 * factor]
        )
        configured["optimizer"].step()
        schedule.step()


@pytest.mark.parametrize("unfreeze_from", [None, 4])
def test_biases_and_batch_norm_do_not_decay(unfreeze_from: int | None) -> None:
    one = with_branch_1(unfreeze_from, recipe="modern")
    groups = one.configure_optimizers()["optimizer"].param_groups
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    norms = [
        f"{name}.{kind}"
        for name, layer in one.system.named_modules()
        if isinstance(layer, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d)
        for kind in ("weight", "bias")
    ]
    learnt = {n: p for n, p in one.system.named_parameters() if p.requires_grad}
    assert len(decay) == len(learnt) == sum(len(group["params"]) for group in groups)
    for name, parameter in learnt.items():
        free = name in norms or name.endswith("bias")
        assert decay[id(parameter)] == (0.0 if free else 1e-2), name
    assert {0.0, 1e-2} == set(decay.values())


def test_a_step_without_gradient_decays_kernels_alone() -> None:
    one = with_branch_1(None, recipe="modern", schedule="constant", learning_rate=0.1)
    before = {n: p.detach().clone() for n, p in one.named_parameters() if p.requires_grad}
    for parameter in one.parameters():
        parameter.grad = torch.zeros_like(parameter)
    one.configure_optimizers().step()
    for name, parameter in one.named_parameters():
        if name in before:
            wanted = before[name] * (1 - 0.1 * 1e-2 if parameter.ndim > 1 else 1)
            torch.testing.assert_close(parameter.detach(), wanted, rtol=1e-6, atol=0)


def test_where_branch_1_is_frozen_there_is_one_group() -> None:
    for unfreeze_from, rates in ((None, [1e-3]), (3, [1e-4, 1e-3])):
        optimiser = with_branch_1(unfreeze_from, backbone_lr_scale=0.1).configure_optimizers()
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

    def trained_part(feature_maps: dict[str, torch.Tensor]) -> Output:
        seen.update(feature_maps)
        return Output(
            torch.zeros(4, 2, requires_grad=True),
            None,
            torch.zeros(4, 128),
            (),
            torch.zeros(4, 1, 1),
        )

    one.system.trained_part = trained_part  # type: ignore[method-assign]
    one.log = lambda *_, **__: None  # type: ignore[method-assign]
    feature_maps = {name: torch.randn(4, 1, 96, 64) for name in ("branch_1.0", "branch_2.0")}
    one.training_step({"feature_maps": feature_maps, "category": torch.tensor([0, 1, 1, 0]),
                       "event": torch.tensor([0, 1, 2, 0])}, 0)  # fmt: skip
    assert not torch.equal(seen["branch_2.0"], feature_maps["branch_2.0"])
    assert torch.equal(seen["branch_1.0"], feature_maps["branch_1.0"]) != from_scratch
