"""The Lightning module: steps, validation scores, parameter groups."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from heads import two_heads
from torch.nn import functional as F

from sonotype.config import TrainOptions, resolve
from sonotype.core.errors import SonotypeError
from sonotype.core.types import IGNORE_INDEX, Head, Heads
from sonotype.evaluation.metrics import score
from sonotype.evaluation.predictions import Predictions, concatenate
from sonotype.models.backbones.compact import Compact
from sonotype.models.backbones.mobilenet import MobileNet
from sonotype.models.backbones.vggish import VGGish
from sonotype.models.build import cbir_1, cbir_2, cbir_4
from sonotype.models.system import Output, System
from sonotype.training.losses import label_loss
from sonotype.training.module import Learner

HEADS = two_heads(("a", "b"), ("x", "y", "z"), (0, 0, 1))


def module_of(**options: object) -> Learner:
    system = cbir_2(categories=2, events=3, backbone="none", width=0.01)
    resolved = resolve(TrainOptions(**{"recipe": "paper"} | options), "cbir_2")
    return Learner(system, resolved, label_loss(HEADS, resolved), steps=5)


def validate(
    module: Learner, batches: list[tuple[Output, list[int], list[int]]]
) -> dict[str, float]:
    """The logged scores of a validation in which the network has these outputs."""
    logged: dict[str, float] = {}
    module.log = lambda name, value, **_: logged.update({name: float(value)})  # type: ignore[method-assign, misc]
    outputs = iter([output for output, _, _ in batches])
    module.system.trained_part = lambda _: next(outputs)  # type: ignore[method-assign, assignment, misc]
    for number, (_, category, event) in enumerate(batches):
        targets = {"category": torch.tensor(category), "event": torch.tensor(event)}
        module.validation_step({"feature_maps": {}, "targets": targets}, number)
    module.on_validation_epoch_end()
    return logged


def output_of(classes: list[int], events: list[int] | None = None) -> Output:
    """An output with these most probable categories (of three) and events (of four)."""
    logits = {"category": 8.0 * F.one_hot(torch.tensor(classes), 3)}
    if events is not None:
        logits["event"] = 8.0 * F.one_hot(torch.tensor(events), 4)
    return with_logits(logits)


def with_logits(logits: dict[str, torch.Tensor]) -> Output:
    size = len(logits["category"])
    return Output(logits, torch.zeros(size, 128), (), torch.zeros(size, 1, 1))


THREE = two_heads(("a", "b", "c"), ("w", "x", "y", "z"), (0, 1, 1, 2))


def validating(category_source: str = "head", heads: Heads = THREE) -> Learner:
    system = cbir_2(categories=3, events=4, backbone="none", width=0.01)
    resolved = resolve(TrainOptions(recipe="paper"), "cbir_2")
    return Learner(
        system, resolved, label_loss(heads, resolved), steps=5, category_source=category_source
    )  # type: ignore[arg-type]


def test_a_class_that_validation_lacks_does_not_count_in_the_score() -> None:
    batches = [
        (output_of([0, 2]), [0, 0], [IGNORE_INDEX] * 2),
        (output_of([1]), [1], [IGNORE_INDEX]),
    ]
    found = validate(validating(heads=two_heads(("a", "b", "c"))), batches)
    # F1 of a is 2/3, of b 1; F1 of c, which is predicted but not a label, would be 0.
    assert found["val_category_f1"] == found["val_f1"] == pytest.approx(5 / 6)


@pytest.mark.parametrize(("how", "wanted"), [("head", 1 / 3), ("events", 1.0)])
def test_validation_reads_the_category_like_the_model(how: str, wanted: float) -> None:
    batches = [(output_of([0, 0], [0, 1]), [0, 1], [0, 2])]
    found = validate(validating(how), batches)
    assert found["val_category_f1"] == pytest.approx(wanted)
    # Event w is right, and x is predicted where y is the label.
    assert found["val_event_f1"] == pytest.approx(1 / 2)
    assert found["val_event_accuracy"] == pytest.approx(1 / 2)
    assert found["val_f1"] == pytest.approx((wanted + 1 / 2) / 2)


def test_validation_scores_equal_those_of_all_predictions() -> None:
    rng = np.random.default_rng(0)
    batches, predictions = [], []
    category_head, event_head = THREE
    heads = (category_head, replace(event_head, unlabelled=(0.5, 0.1, 0.0)))
    for size in (5, 5, 2):
        logits = {
            head.name: torch.from_numpy(
                rng.standard_normal((size, len(head.classes)), dtype=np.float32)
            )
            for head in heads
        }
        true = {"category": rng.integers(0, 3, size), "event": rng.integers(-1, 4, size)}
        batches.append((with_logits(logits), true["category"].tolist(), true["event"].tolist()))
        proba = {name: values.softmax(1).numpy() for name, values in logits.items()}
        predictions.append(Predictions(("",) * size, ("",) * size, true, proba, heads))
    found = validate(validating("events", heads), batches)
    whole = score(concatenate(predictions), category_source="events", resamples=0)
    category, event = whole.heads["category"], whole.heads["event"]
    assert found["val_category_f1"] == pytest.approx(category.f1.value, abs=1e-6)
    assert found["val_event_f1"] == pytest.approx(event.f1.value, abs=1e-6)
    assert found["val_event_accuracy"] == pytest.approx(event.accuracy.value, abs=1e-6)


def test_validation_without_event_labels_is_scored_by_the_category() -> None:
    batches = [(output_of([0, 1], [0, 1]), [0, 1], [IGNORE_INDEX, IGNORE_INDEX])]
    found = validate(validating("events"), batches)
    assert "val_event_f1" not in found
    assert found["val_category_f1"] == found["val_f1"] == 1.0


def test_each_validation_is_scored_by_itself() -> None:
    module = validating()
    assert validate(module, [(output_of([0, 1], [0, 1]), [1, 0], [0, 1])])["val_category_f1"] == 0.0
    assert validate(module, [(output_of([0, 1], [0, 1]), [0, 1], [0, 1])])["val_category_f1"] == 1.0


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("part", ["training", "validation"])
def test_a_loss_that_is_not_finite_stops_the_training(part: str, value: float) -> None:
    module = module_of(mixup=0.0)
    wrong = with_logits({"category": torch.randn(4, 2), "event": torch.randn(4, 3)})
    wrong.logits["category"][2] = value
    module.system.trained_part = lambda _: wrong  # type: ignore[method-assign, assignment, misc]
    module.log = lambda *_, **__: None  # type: ignore[method-assign]
    batch = {
        "feature_maps": {},
        "targets": {"category": torch.tensor([0, 1, 1, 0]), "event": torch.tensor([0, 2, 2, 1])},
        "files": ["a.wav", "b.wav", "c.wav", "d.wav"],
    }
    step = module.training_step if part == "training" else module.validation_step
    with pytest.raises(SonotypeError) as caught:
        step(batch, 0)
    for fact in (part, "nan", "epoch 1 on c.wav:", "--learning-rate"):
        assert fact in str(caught.value)
    wrong.logits["category"][:] = value  # any file may be the cause
    with pytest.raises(SonotypeError, match=r"a.wav, b.wav, c.wav and 1 more:"):
        step(batch, 0)


def test_a_mixed_step_is_the_mean_of_the_losses_on_mixed_maps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = module_of(mixup=0.3, label_smoothing=0.0)
    module.system.eval()
    monkeypatch.setattr(module, "log", lambda *_, **__: None)
    monkeypatch.setattr(
        "sonotype.training.module.draw_mixup", lambda *_: (torch.tensor([1, 2, 3, 0]), 0.7)
    )
    waveform = 0.1 * torch.randn(4, 16_000)
    category, event = torch.tensor([0, 1, 1, 0]), torch.tensor([0, 2, 2, 1])
    batch = {"waveform": waveform, "targets": {"category": category, "event": event}}
    found = module.training_step(batch, 0)
    feature_maps = module.system.frozen_part(waveform)
    mixed = {name: 0.7 * x + 0.3 * x.roll(-1, 0) for name, x in feature_maps.items()}
    output = module.system.trained_part(mixed)
    wanted = sum(
        share
        * (
            F.cross_entropy(output.logits["category"], c)
            + F.cross_entropy(output.logits["event"], e)
        )
        for share, c, e in ((0.7, category, event), (0.3, category.roll(-1), event.roll(-1)))
    )
    assert torch.allclose(found, torch.as_tensor(wanted), atol=1e-5)


def test_the_constant_schedule_has_no_scheduler() -> None:
    optimiser = module_of().configure_optimizers()
    assert isinstance(optimiser, torch.optim.AdamW)
    assert optimiser.param_groups[0]["lr"] == 1e-3
    assert optimiser.param_groups[0]["weight_decay"] == 0.0


def with_branch_1(unfreeze_from: int | None, **options: object) -> Learner:
    """A module whose branch 1 is frozen, fully or partly."""
    system = cbir_2(
        categories=2, events=3, backbone="mn01", width=0.01, unfreeze_from=unfreeze_from
    )
    resolved = resolve(TrainOptions(**{"recipe": "paper"} | options), "cbir_2")
    return Learner(system, resolved, label_loss(HEADS, resolved), steps=5)


def test_branch_1_has_a_scaled_learning_rate() -> None:
    module = with_branch_1(4, recipe="modern", backbone_lr_scale=0.1, learning_rate=2e-3)
    configured = module.configure_optimizers()
    groups = configured["optimizer"].param_groups
    names = {id(parameter): name for name, parameter in module.system.named_parameters()}
    held = [{names[id(p)] for p in group["params"]} for group in groups]
    branch_1 = {name for name in names.values() if name.startswith("branch_1.blocks.3.")}
    assert held[0] | held[1] == branch_1
    assert held[2] | held[3] == {n for n in names.values() if not n.startswith("branch_1.")}
    # The warm-up has five steps, and keeps the ratio of both rates.
    schedule = configured["lr_scheduler"]["scheduler"]
    for factor in (0.2, 0.4, 0.6):
        assert [group["lr"] for group in groups] == pytest.approx(
            [2e-4 * factor, 2e-4 * factor, 2e-3 * factor, 2e-3 * factor]
        )
        configured["optimizer"].step()
        schedule.step()


@pytest.mark.parametrize("unfreeze_from", [None, 4])
def test_biases_and_batch_norm_do_not_decay(unfreeze_from: int | None) -> None:
    module = with_branch_1(unfreeze_from, recipe="modern")
    groups = module.configure_optimizers()["optimizer"].param_groups
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    norms = [
        f"{name}.{kind}"
        for name, layer in module.system.named_modules()
        if isinstance(layer, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d)
        for kind in ("weight", "bias")
    ]
    trained = {n: p for n, p in module.system.named_parameters() if p.requires_grad}
    assert len(decay) == len(trained) == sum(len(group["params"]) for group in groups)
    for name, parameter in trained.items():
        free = name in norms or name.endswith("bias")
        assert decay[id(parameter)] == (0.0 if free else 1e-2), name
    assert {0.0, 1e-2} == set(decay.values())


def test_a_step_without_gradient_decays_kernels_alone() -> None:
    module = with_branch_1(None, recipe="modern", schedule="constant", learning_rate=0.1)
    before = {n: p.detach().clone() for n, p in module.named_parameters() if p.requires_grad}
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    module.configure_optimizers().step()
    for name, parameter in module.named_parameters():
        if name in before:
            wanted = before[name] * (1 - 0.1 * 1e-2 if parameter.ndim > 1 else 1)
            torch.testing.assert_close(parameter.detach(), wanted, rtol=1e-6, atol=0)


def test_a_frozen_branch_1_has_no_group() -> None:
    for unfreeze_from, rates in ((None, [1e-3]), (3, [1e-4, 1e-3])):
        optimiser = with_branch_1(unfreeze_from, backbone_lr_scale=0.1).configure_optimizers()
        assert [group["lr"] for group in optimiser.param_groups] == pytest.approx(rates)
    usual = with_branch_1(3).configure_optimizers()
    assert [group["lr"] for group in usual.param_groups] == [1e-3, 1e-3]


def test_the_optimiser_has_only_trained_parameters() -> None:
    module = with_branch_1(4)
    system = module.system
    held = {id(p) for group in module.configure_optimizers().param_groups for p in group["params"]}
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
    """All augmentations of log-mels at once; only log-mels among the maps are augmented."""
    made, from_scratch = BACKBONES[name]
    if name == "none" and not more["width"]:
        pytest.skip("nothing would be left")
    torch.manual_seed(0)
    system = build(categories=2, events=3, backbone=made(), unfreeze_from=first, **more)
    options = resolve(TrainOptions(recipe="student", mixup=0.3), "cbir_2")
    module = Learner(
        system, options, label_loss(HEADS, options), steps=5, from_scratch=from_scratch
    )
    module.log = lambda *_, **__: None  # type: ignore[method-assign]
    waveform = 0.1 * torch.randn(2, system.sample_rate)
    targets = {"category": torch.tensor([0, 1]), "event": torch.tensor([0, 2])}
    batch = {"waveform": waveform, "targets": targets}
    loss = module.training_step(batch, 0)
    assert 0 < float(loss.detach()) < 100
    loss.backward()
    trained = 1 if name == "none" else first or 5
    for number, block in enumerate(system.branch_1.blocks, start=1):
        reached = {parameter.grad is not None for parameter in block.parameters()}
        assert reached == {number >= trained}, number


@pytest.mark.parametrize("from_scratch", [False, True])
def test_only_branches_with_random_weights_are_masked(from_scratch: bool) -> None:
    system = cbir_2(categories=2, events=3, backbone="none", width=0.01)
    options = resolve(TrainOptions(time_mask=0.5, frequency_mask=0.5, mixup=0.0), "cbir_2")
    module = Learner(
        system, options, label_loss(HEADS, options), steps=5, from_scratch=from_scratch
    )
    seen: dict[str, torch.Tensor] = {}

    def trained_part(feature_maps: dict[str, torch.Tensor]) -> Output:
        seen.update(feature_maps)
        logits = {"category": torch.zeros(4, 2, requires_grad=True), "event": torch.zeros(4, 3)}
        return with_logits(logits)

    module.system.trained_part = trained_part  # type: ignore[method-assign]
    module.log = lambda *_, **__: None  # type: ignore[method-assign]
    feature_maps = {name: torch.randn(4, 1, 96, 64) for name in ("branch_1.0", "branch_2.0")}
    targets = {"category": torch.tensor([0, 1, 1, 0]), "event": torch.tensor([0, 1, 2, 0])}
    module.training_step({"feature_maps": feature_maps, "targets": targets}, 0)
    assert not torch.equal(seen["branch_2.0"], feature_maps["branch_2.0"])
    assert torch.equal(seen["branch_1.0"], feature_maps["branch_1.0"]) != from_scratch


def test_frozen_parameters_have_no_gradients() -> None:
    """Neither log-mels nor maps of frozen blocks have one, so autograd skips the layers below."""
    torch.manual_seed(0)
    system = cbir_2(categories=3, events=7, backbone="mn01", width=0.125)
    feature_maps = system.frozen_part(0.1 * torch.randn(2, system.sample_rate))
    assert not any(x.requires_grad for x in feature_maps.values())
    system.train().trained_part(feature_maps).logits["category"].sum().backward()
    assert all(x.grad is None for x in (*feature_maps.values(), *system.branch_1.parameters()))
    assert system.branch_2 is not None
    assert system.branch_2.adapters["4"].conv.weight.grad is not None


def several_labels(target: list[list[float]]) -> dict[str, float]:
    """The validation of a head of two labels that is sure of the first one."""
    head = Head("category", ("a", "b"), "multi")
    module = validating(heads=(head,))
    logged: dict[str, float] = {}
    module.log = lambda name, value, **_: logged.update({name: float(value)})  # type: ignore[method-assign, misc]
    logits = torch.tensor([[4.0, -1.0], [2.0, 1.0], [3.0, -2.0]])[: len(target)]
    module.system.trained_part = lambda _: with_logits({"category": logits})  # type: ignore[method-assign, assignment, misc]
    batch = {"feature_maps": {}, "targets": {"category": torch.tensor(target)}}
    module.validation_step(batch, 0)
    module.on_validation_epoch_end()
    return logged


def test_the_validation_score_of_several_labels_is_the_mean_average_precision() -> None:
    found = several_labels([[1.0, 0.0], [1.0, 1.0], [0.0, -1.0]])
    # Class a: ranks 1 and 3 of three; class b: rank 1 of the two known clips.
    assert found["val_category_map"] == pytest.approx((5 / 6 + 1) / 2)
    assert found["val_f1"] == found["val_category_map"]
    assert "val_category_f1" not in found


def test_a_validation_without_a_label_has_the_score_0() -> None:
    assert several_labels([[0.0, 0.0], [0.0, -1.0]])["val_f1"] == 0
