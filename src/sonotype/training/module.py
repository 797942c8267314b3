"""One step of training: masks, mixup, two cross-entropies, the optimiser."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn import functional as F

from sonotype.config import TeachingOptions, TrainOptions
from sonotype.core.errors import SonotypeError
from sonotype.core.hierarchy import CategorySource
from sonotype.core.types import IGNORE_INDEX, Labels
from sonotype.evaluation.metrics import score
from sonotype.evaluation.predictions import FloatArray, IntArray, Predictions
from sonotype.models.system import FeatureMaps, Output, System
from sonotype.training.distillation.targets import TeacherTargets
from sonotype.training.distillation.teacher_loss import (
    FeatureHints,
    FrameHints,
    detached,
    distillation_loss,
)

WARM_UP_EPOCHS = 1
LAST_RATE = 0.01
"""Of the cosine schedule: the share of the learning rate that the last step still has."""

MASKED = ("branch_2.0",)
SCRATCH_MASKED = ("branch_1.0", *MASKED)
"""Log-mels that are masked: those of what starts from random weights. A pretrained branch whose
every block is trained lost seven points of event accuracy to masks in six epochs."""

SCORE = "val_f1"
"""What chooses the epoch: macro F1 on validation, the mean of categories and events where both are
known."""

NAMED_FILES = 3
"""Files that an error names, of those in a batch."""


class Learner(pl.LightningModule):
    """A system, its losses and its optimiser.

    A batch is a dict: ``category`` and ``event`` (indices, ``IGNORE_INDEX`` for none) and either
    ``waveform`` or the maps of :meth:`System.frozen_part` under ``feature_maps``. ``files``, the names of
    its clips, are for errors.

    Args:
        system: learns.
        options: resolved, no ``None`` left.
        labels: sizes of the heads.
        category_weight: ``[categories]`` weights of the loss, or ``None``.
        event_weight: ``[events]``, or ``None``.
        steps: in an epoch.
        from_scratch: whether branch 1, too, starts from random weights.
        taught: where teachers are asked, if there are any.
        teaching: how much is made of them.
        category_source: how the model will read the category; validation reads it alike.
    """

    category_weight: Tensor | None
    event_weight: Tensor | None

    def __init__(
        self,
        system: System,
        options: TrainOptions,
        labels: Labels,
        *,
        category_weight: Tensor | None,
        event_weight: Tensor | None,
        steps: int,
        from_scratch: bool = False,
        taught: TeacherTargets | None = None,
        teaching: TeachingOptions | None = None,
        category_source: CategorySource = "head",
    ) -> None:
        super().__init__()
        self.system = system
        self.from_scratch = from_scratch
        self.taught = taught
        self.teaching = teaching or TeachingOptions()
        self.hints: FeatureHints | None = None
        self.frame_hints: FrameHints | None = None
        if taught is not None:
            torch.manual_seed(options.seed)  # whatever was drawn before, or not, in filling caches
            if self.teaching.feature_weight:
                self.hints = FeatureHints(len(taught.teachers.teachers))
            if taught.frames:
                self.frame_hints = FrameHints(system.frame_layout, taught.teachers.frame_layouts)
        self.options = options
        self.steps = steps
        self.register_buffer("category_weight", category_weight, persistent=False)
        self.register_buffer("event_weight", event_weight, persistent=False)
        self.labels = labels
        self.category_source = category_source
        self._answers: list[_BatchAnswers] = []

    def on_train_epoch_start(self) -> None:
        """Seed dropout, masks and mixup by seed and epoch, so that a resumed run draws alike."""
        key = np.random.SeedSequence([self.options.seed, self.current_epoch])
        torch.manual_seed(int(key.generate_state(1)[0]))

    def training_step(self, batch: dict[str, Any], _: int) -> Tensor:
        """Loss of one batch."""
        feature_maps = self._stage(batch)
        if self.taught is not None:
            answers = self.taught.asked(batch["taught"])
            batch = batch | {"taught": detached(answers, batch["category"].device)}
        # Where branch 1's first blocks are frozen, its log-mel is not handed over.
        if self.from_scratch and self.system.branch_2 is None and "branch_1.0" in feature_maps:
            feature_maps["branch_1.0"], turned = self._moved(feature_maps["branch_1.0"])
            length = torch.full_like(turned, feature_maps["branch_1.0"].shape[2])
            batch = batch | {"turned": turned, "length": length}
        for log_mel in SCRATCH_MASKED if self.from_scratch else MASKED:
            if log_mel in feature_maps:
                feature_maps[log_mel] = self._masked(feature_maps[log_mel])
        partner, share = self._mixup(len(batch["category"]))
        if partner is not None:
            feature_maps = {
                name: x * share + x[partner] * (1 - share) for name, x in feature_maps.items()
            }
        output = self.system.trained_part(_channels_last(feature_maps))
        loss = self._wanted(output, batch)
        if partner is not None:
            loss = loss * share + self._wanted(output, _taken(batch, partner)) * (1 - share)
        self._refuse_infinite("training", loss, output, batch)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(output.category))
        return loss

    def validation_step(self, batch: dict[str, Any], _: int) -> None:
        """Collect loss and answers of one batch of the validation part."""
        output = self.system.trained_part(_channels_last(self._stage(batch)))
        loss = self._loss(output, batch["category"], batch["event"])
        self._refuse_infinite("validation", loss, output, batch)
        self._answers.append(
            _BatchAnswers(
                batch.get("files", ()),
                _array(batch["category"]),
                _array(batch["event"]),
                _array(output.category.float().softmax(1)),
                None if output.event is None else _array(output.event.float().softmax(1)),
            )
        )
        self.log("val_loss", loss, on_epoch=True, batch_size=len(output.category))

    def on_validation_epoch_end(self) -> None:
        """Log the scores of the validation part, as :mod:`sonotype.evaluation.metrics` has them."""
        answers, self._answers = _together(self._answers, self.labels), []
        found = score(answers, category_source=self.category_source, resamples=0)
        scores = {"val_category_f1": found.category.f1.value}
        if found.event is not None:
            scores["val_event_f1"] = found.event.f1.value
        chosen_by = sum(scores.values()) / len(scores)
        if found.event is not None:
            scores["val_event_accuracy"] = found.event.accuracy.value
        for name, value in {**scores, SCORE: chosen_by}.items():
            self.log(name, torch.tensor(value))

    def configure_optimizers(self) -> Any:
        """AdamW on what learns; a cosine schedule with a short warm-up where it is wanted."""
        rate = self._set("learning_rate")
        optimiser = torch.optim.AdamW(
            self._groups(rate),
            lr=rate,
            weight_decay=self._set("weight_decay"),
            fused=True,  # one pass over the weights, not ten
        )
        if self.options.schedule == "constant":
            return optimiser
        factor = cosine_schedule(self.steps, int(self._set("epochs")))
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, factor)
        return {
            "optimizer": optimiser,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def _groups(self, rate: float) -> list[dict[str, Any]]:
        """What learns: branch 1, which may learn more slowly, and the rest.

        Where weights decay, biases and weights of batch norm (of fewer than two axes) are in
        groups of their own, without decay: it would pull scales and offsets towards 0, and they
        do not overfit.
        """
        groups: list[dict[str, Any]] = []
        decay = self._set("weight_decay")
        for ours, lr in ((True, rate * self._set("backbone_lr_scale")), (False, rate)):
            for decays in (True, False):
                parameters = [
                    parameter
                    for name, parameter in self.named_parameters()
                    if parameter.requires_grad
                    and name.startswith("system.branch_1.") is ours
                    and (parameter.ndim >= 2 or not decay) is decays
                ]
                if parameters:
                    weight_decay = decay if decays else 0.0
                    groups.append({"params": parameters, "lr": lr, "weight_decay": weight_decay})
        return groups

    def _refuse_infinite(
        self, part: str, loss: Tensor, output: Output, batch: dict[str, Any]
    ) -> None:
        """Stop the training where the loss is not finite: nothing after it can be used.

        The loss is that before a gradient scaler scales it.

        Raises:
            SonotypeError: names the epoch and some files of the batch.
        """
        if bool(torch.isfinite(loss)):
            return
        files = list(batch.get("files", ()))
        wrong = ~torch.isfinite(output.category).all(1)
        if output.event is not None:
            wrong |= ~torch.isfinite(output.event).all(1)
        rows = wrong.nonzero().flatten().tolist()
        # Of a batch that is wrong as a whole, any file can be the cause.
        suspects = [files[row] for row in rows] if files and rows else files
        shown = ", ".join(suspects[:NAMED_FILES])
        more = len(suspects) - NAMED_FILES
        named = f" on {shown}{f' and {more} more' if more > 0 else ''}" if shown else ""
        raise SonotypeError(
            f"the {part} loss is {loss.item()} in epoch {self.current_epoch + 1}{named}: training "
            "stops; train again with a lower --learning-rate, and check these files"
        )

    def _stage(self, batch: dict[str, Any]) -> FeatureMaps:
        if "fault" in batch:
            raise batch["fault"]
        if "feature_maps" in batch:
            return dict(batch["feature_maps"])
        return self.system.frozen_part(batch["waveform"])

    def _wanted(self, output: Output, batch: dict[str, Any]) -> Tensor:
        """The labels' loss and the teachers', by the teachers' weight, and that of the hints."""
        loss = self._labelled(output, batch)
        if self.taught is None:
            return loss
        taught, share = batch["taught"], self.teaching.teacher_weight
        theirs = distillation_loss(
            output, taught, self.teaching.temperature, self.options.event_weight
        )
        loss = (1 - share) * loss + share * theirs
        if self.hints is not None:
            hints: Tensor = self.hints(output.embedding, taught["embedding"], taught["weight"])
            loss = loss + self.teaching.feature_weight * hints
        if self.frame_hints is not None:
            kinds = self.taught.teachers.kinds_of(taught)
            turned, length = batch.get("turned"), batch.get("length")
            hints = self.frame_hints(output.frames.float(), *kinds, turned, length)
            loss = loss + self.teaching.frame_weight * hints
        return loss

    def _labelled(self, output: Output, batch: dict[str, Any]) -> Tensor:
        """Loss by the labels: those of the clip, and by its share those of what is blended in."""
        if "share" not in batch:
            return self._loss(output, batch["category"], batch["event"])
        loss = output.category.new_zeros(())
        for logits, weight, factor, names in (
            (output.category, self.category_weight, 1.0, ("category", "partner_category")),
            (output.event, self.event_weight, self.options.event_weight,
             ("event", "partner_event")),
        ):  # fmt: skip
            if logits is not None:
                both = zip(names, (batch["share"], 1 - batch["share"]), strict=True)
                loss = loss + factor * sum(
                    self._shared_loss(logits, batch[name], weight, share) for name, share in both
                )
        return loss

    def _shared_loss(
        self, logits: Tensor, target: Tensor, weight: Tensor | None, share: Tensor
    ) -> Tensor:
        """Cross-entropy by the share of each clip, over the clips that have a label.

        It is divided by the sum of the targets' weights, as ``F.cross_entropy`` does, and is equal
        to that at a share of 1. With one share for all clips, both targets together have the loss
        of mixup.
        """
        mass = _weights_of(target, weight).sum()
        if not bool(mass > 0):
            return logits.new_zeros(())
        losses = F.cross_entropy(
            logits,
            target,
            weight,
            ignore_index=IGNORE_INDEX,
            reduction="none",
            label_smoothing=self._set("label_smoothing"),
        )
        return (losses * share).sum() / mass

    def _loss(self, output: Output, category: Tensor, event: Tensor) -> Tensor:
        """Cross-entropy of the categories plus that of the events, where a clip has one."""
        smoothing = self._set("label_smoothing")
        loss = output.category.new_zeros(())
        if bool(_weights_of(category, self.category_weight).any()):
            loss = F.cross_entropy(
                output.category,
                category,
                self.category_weight,
                ignore_index=IGNORE_INDEX,
                label_smoothing=smoothing,
            )
        if output.event is not None and bool(_weights_of(event, self.event_weight).any()):
            loss = loss + self.options.event_weight * F.cross_entropy(
                output.event,
                event,
                self.event_weight,
                ignore_index=IGNORE_INDEX,
                label_smoothing=smoothing,
            )
        return loss

    def _mixup(self, size: int) -> tuple[Tensor | None, float]:
        """A partner for every clip of the batch and the share that each keeps of itself.

        Zhang et al., "mixup: beyond empirical risk minimization" (2018). Cached or not, the maps of
        the frozen part are what is mixed, each branch's by the same share.
        """
        alpha = self._set("mixup")
        if not alpha:
            return None, 1.0
        # Drawn by torch, so that one seed an epoch governs everything here.
        share = torch.distributions.Beta(alpha, alpha).sample()
        return torch.randperm(size, device=self.device), float(share)

    def _moved(self, log_mel: Tensor) -> tuple[Tensor, Tensor]:
        """Turn each clip in a circle of time, and move it up or down by some bands.

        What falls off at one end of the bands is lost, and the band at the other end repeated.

        Returns:
            The log-mel, and by which share of its length each clip now begins earlier.
        """
        x, most = log_mel, int(self._set("freq_shift"))
        frames, bands = x.shape[2:]
        turned = x.new_zeros(len(x))
        if self.options.log_mel_roll:
            offset = torch.randint(frames, (len(x), 1), device=x.device)
            index = (torch.arange(frames, device=x.device) + offset) % frames
            x = x.gather(2, index[:, None, :, None].expand_as(x))
            turned = offset.squeeze(1) / frames
        if most:
            offset = torch.randint(-most, most + 1, (len(x), 1), device=x.device)
            index = (torch.arange(bands, device=x.device) + offset).clamp(0, bands - 1)
            x = x.gather(3, index[:, None, None, :].expand_as(x))
        return x, turned

    def _masked(self, log_mel: Tensor) -> Tensor:
        """Blank one stretch of time and one of bands in each clip, with the clip's mean.

        Park et al., "SpecAugment" (2019).
        """
        x = log_mel
        for axis, most in ((2, self._set("time_mask")), (3, self._set("frequency_mask"))):
            if most:
                x = torch.where(_stretch(x, axis, most), log_mel.mean((2, 3), keepdim=True), x)
        return x

    def _set(self, name: str) -> float:
        return float(getattr(self.options, name))


class _BatchAnswers(NamedTuple):
    """Truth and answer of one validation batch, as in :class:`Predictions`."""

    files: Sequence[str]
    category_true: IntArray
    event_true: IntArray
    category: FloatArray
    event: FloatArray | None


def _together(batches: Sequence[_BatchAnswers], labels: Labels) -> Predictions:
    """The answers of all batches."""
    files, category_true, event_true, category, event = zip(*batches, strict=True)
    names = tuple(name for some in files for name in some)
    count = sum(len(one) for one in category_true)
    if len(names) != count:
        names = tuple(f"clip {number}" for number in range(1, count + 1))
    events = [one for one in event if one is not None]
    return Predictions(
        paths=names,
        groups=names,
        category_true=np.concatenate(category_true),
        event_true=np.concatenate(event_true),
        category_probability=np.concatenate(category),
        event_probability=np.concatenate(events) if events else None,
        labels=labels,
    )


def _array(x: Tensor) -> Any:
    return x.detach().cpu().numpy()


def _weights_of(target: Tensor, weight: Tensor | None) -> Tensor:
    """``[batch]`` weights of the targets' classes; 0 without a label, 1 without class weights."""
    known = (target != IGNORE_INDEX).float()
    return known if weight is None else known * weight[target.clamp(min=0)]


def cosine_schedule(steps: int, epochs: int) -> Callable[[int], float]:
    """Factor of the learning rate by step: a linear warm-up of one epoch, then half a cosine."""
    warm, total = steps * WARM_UP_EPOCHS, steps * max(epochs, WARM_UP_EPOCHS + 1)

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        done = min((step - warm) / max(total - warm, 1), 1.0)
        return LAST_RATE + (1 - LAST_RATE) * (1 + math.cos(math.pi * done)) / 2

    return factor


def _stretch(x: Tensor, axis: int, most: float) -> Tensor:
    """For each clip a random stretch of up to a share ``most`` of one axis, as a mask."""
    size = x.shape[axis]
    length = torch.rand(len(x), 1, device=x.device) * most * size
    first = torch.rand(len(x), 1, device=x.device) * (size - length)
    position = torch.arange(size, device=x.device)
    inside = (position >= first) & (position < first + length)
    shape = [len(x), 1, 1, 1]
    shape[axis] = size
    return inside.view(shape)


def _taken(batch: dict[str, Any], rows: Tensor) -> dict[str, Any]:
    """A batch's targets and answers in another order."""
    return {
        name: _taken(value, rows) if isinstance(value, dict) else value[rows]
        for name, value in batch.items()
        if name not in ("feature_maps", "waveform", "files")
    }


def _channels_last(feature_maps: FeatureMaps) -> FeatureMaps:
    return {
        name: x.contiguous(memory_format=torch.channels_last) for name, x in feature_maps.items()
    }
