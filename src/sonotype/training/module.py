"""The Lightning module: training step, validation step, validation scores, optimiser."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from sonotype.config import TrainOptions
from sonotype.core.errors import SonotypeError
from sonotype.core.hierarchy import CategorySource
from sonotype.evaluation.metrics import score
from sonotype.evaluation.predictions import Predictions, concatenate
from sonotype.inference.postprocess import probabilities
from sonotype.models.system import FeatureMaps, Output, System
from sonotype.training.augment_maps import draw_mixup, mask, mix, roll_and_shift
from sonotype.training.distillation.teacher_loss import DistillationLoss
from sonotype.training.losses import LabelLoss
from sonotype.training.schedule import cosine_schedule
from sonotype.training.whole_batch import WholeBatch

BRANCH_1, BRANCH_2 = "branch_1.0", "branch_2.0"
"""Names of the log-mels of both branches among the feature maps."""

SCORE = "val_f1"
"""Metric that chooses the epoch: macro F1 on validation, the mean over the heads. Of heads whose
clips have any number of labels, it is the mean average precision."""

MAX_NAMED_FILES = 3
"""Number of files of a batch that an error names."""


class Learner(pl.LightningModule):
    """A system, its losses and its optimiser.

    A batch is a dict with ``targets`` (see :func:`sonotype.training.dataset.targets`) and either
    ``waveform`` or the maps of :meth:`System.frozen_part` as ``feature_maps``; ``files`` are the
    names of its clips, for errors. Where several processes share a batch, the maps, the waveforms
    and the teacher targets are those of this process's rows, and all else is of the whole batch.

    Args:
        system: the network to train.
        options: resolved, without ``None``.
        label_loss: of the heads to train.
        steps: in one epoch.
        from_scratch: branch 1 also starts from random weights; its log-mel is augmented then.
        distillation: the losses of the teacher targets, if there are teachers.
        category_source: how the model reads coarse levels; the validation score reads it alike.
        batch: that several processes share; default: a single process.
    """

    def __init__(
        self,
        system: System,
        options: TrainOptions,
        label_loss: LabelLoss,
        *,
        steps: int,
        from_scratch: bool = False,
        distillation: DistillationLoss | None = None,
        category_source: CategorySource = "head",
        batch: WholeBatch | None = None,
    ) -> None:
        super().__init__()
        self.system = system
        self.options = options
        self.label_loss = label_loss
        self.heads = label_loss.heads
        self.steps = steps
        self.from_scratch = from_scratch
        self.distillation = distillation
        self.category_source = category_source
        self.batch = batch or WholeBatch()
        self._predictions: list[Predictions] = []

    def on_train_epoch_start(self) -> None:
        """Seed dropout, masks and mixup by seed and epoch, so that a resumed run draws alike."""
        key = np.random.SeedSequence([self.options.seed, self.current_epoch])
        torch.manual_seed(int(key.generate_state(1)[0]))

    def training_step(self, batch: dict[str, Any], _: int) -> Tensor:
        """Loss of one batch."""
        feature_maps = self._feature_maps(batch)
        if self.distillation is not None:
            own = self.distillation.targets_of(batch)
            found = {name: self.batch.gather(value) for name, value in own.items()}
            batch = batch | {"teacher_targets": found}
        feature_maps, rolled = self._augment(feature_maps)
        batch = batch | rolled
        partner, share = draw_mixup(_clips(batch), self.options.mixup or 0.0, self.device)
        if partner is not None:
            feature_maps = mix(feature_maps, partner, share, self.batch)
        output = self._output(feature_maps)
        loss = self._loss(output, batch)
        if partner is not None:
            other = self._loss(output, reordered(batch, partner))
            loss = loss * share + other * (1 - share)
        self._require_finite("training", loss, output, batch)
        self.log(
            "train_loss", loss, on_step=False, on_epoch=True, prog_bar=True,
            batch_size=len(output.embedding),
        )  # fmt: skip
        return loss

    def validation_step(self, batch: dict[str, Any], _: int) -> None:
        """Log the loss of one validation batch and collect its predictions."""
        output = self._output(self._feature_maps(batch))
        loss = self.label_loss(output, batch["targets"])
        self._require_finite("validation", loss, output, batch)
        files = tuple(batch.get("files", ("",) * _clips(batch)))
        self._predictions.append(
            Predictions(
                paths=files,
                groups=files,
                true={head.name: _array(batch["targets"][head.name].long()) for head in self.heads},
                proba={
                    name: _array(proba)
                    for name, proba in probabilities(output.logits, self.heads).items()
                },
                heads=self.heads,
            )
        )
        self.log("val_loss", loss, on_epoch=True, batch_size=len(output.embedding))

    def on_validation_epoch_end(self) -> None:
        """Log the validation scores, as defined by :mod:`sonotype.evaluation.metrics`."""
        predictions = concatenate(self._predictions)
        self._predictions = []
        found = score(predictions, category_source=self.category_source, resamples=0)
        scores = {
            f"val_{name}_map" if head.ranking else f"val_{name}_f1": (
                head.ranking.average_precision if head.ranking else head.f1
            ).value
            for name, head in found.heads.items()
        }
        mean = sum(scores.values()) / max(len(scores), 1)  # no clip may have a class
        for head in self.heads[1:]:
            if head.name in found.heads:
                scores[f"val_{head.name}_accuracy"] = found.heads[head.name].accuracy.value
        for name, value in scores.items():
            self.log(name, torch.tensor(value))
        self.log(SCORE, torch.tensor(mean), prog_bar=True)

    def configure_optimizers(self) -> Any:
        """AdamW on the trained parameters; with ``cosine``, the schedule of the learning rate."""
        rate = float(self.options.learning_rate or 0.0)
        optimiser = torch.optim.AdamW(
            self._groups(rate),
            lr=rate,
            weight_decay=float(self.options.weight_decay or 0.0),
            fused=True,  # reads the weights once instead of ten times
        )
        if self.options.schedule == "constant":
            return optimiser
        factor = cosine_schedule(self.steps, self.options.epochs or 1)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, factor)
        return {
            "optimizer": optimiser,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def _groups(self, rate: float) -> list[dict[str, Any]]:
        """Parameter groups: branch 1, which may have a lower learning rate, and all others.

        With weight decay, biases and weights of batch norm (fewer than two axes) are in groups of
        their own, without decay: it would pull scales and offsets towards 0, and these do not
        overfit.
        """
        groups: list[dict[str, Any]] = []
        decay = float(self.options.weight_decay or 0.0)
        for in_branch_1, lr in ((True, rate * self.options.backbone_lr_scale), (False, rate)):
            for decays in (True, False):
                parameters = [
                    parameter
                    for name, parameter in self.named_parameters()
                    if parameter.requires_grad
                    and name.startswith("system.branch_1.") is in_branch_1
                    and (parameter.ndim >= 2 or not decay) is decays
                ]
                if parameters:
                    weight_decay = decay if decays else 0.0
                    groups.append({"params": parameters, "lr": lr, "weight_decay": weight_decay})
        return groups

    def _feature_maps(self, batch: dict[str, Any]) -> FeatureMaps:
        """The cached maps of a batch, or the maps of its waveforms; notes the size of the batch.

        Raises:
            AudioError: a clip could not be read.
        """
        if "error" in batch:
            raise batch["error"]
        self.batch.size = _clips(batch)
        if "feature_maps" in batch:
            return dict(batch["feature_maps"])
        return self.system.frozen_part(batch["waveform"])

    def _output(self, feature_maps: FeatureMaps) -> Output:
        """Outputs of the whole batch; several processes compute a part of them each."""
        output, batch = self.system.trained_part(_channels_last(feature_maps)), self.batch
        if batch.part.world == 1:
            return output
        hints = self.distillation is not None and self.distillation.frame_hints is not None
        return Output(
            logits={name: batch.gather(logits) for name, logits in output.logits.items()},
            embedding=batch.gather(output.embedding),
            attention=(),  # no loss reads it
            frames=batch.gather(output.frames) if hints else output.frames,
        )

    def _augment(self, feature_maps: FeatureMaps) -> tuple[FeatureMaps, dict[str, Tensor]]:
        """Augment the log-mels of branches that start from random weights.

        Masks on the log-mel of a pretrained branch whose blocks were all trained cost seven points
        of event accuracy in six epochs.

        Returns:
            The maps; and for frame hints ``rolled``, the share of its length by which each clip
            begins earlier, with ``length`` in frames, where clips are rolled.
        """
        maps, options, rolled = dict(feature_maps), self.options, {}
        # If the first blocks of branch 1 are frozen, its log-mel is not among the maps.
        if self.from_scratch and self.system.branch_2 is None and BRANCH_1 in maps:
            maps[BRANCH_1], shares = roll_and_shift(
                maps[BRANCH_1],
                roll=bool(options.log_mel_roll),
                max_shift=options.freq_shift or 0,
                batch=self.batch,
            )
            rolled = {"rolled": shares, "length": torch.full_like(shares, maps[BRANCH_1].shape[2])}
        for name in (BRANCH_1, BRANCH_2) if self.from_scratch else (BRANCH_2,):
            if name in maps:
                maps[name] = mask(
                    maps[name],
                    time=options.time_mask or 0.0,
                    frequency=options.frequency_mask or 0.0,
                    batch=self.batch,
                )
        return maps, rolled

    def _loss(self, output: Output, batch: dict[str, Any]) -> Tensor:
        """Loss of the labels and, with teachers, of their targets."""
        loss: Tensor = self.label_loss.mixed(output, batch)
        if self.distillation is not None:
            loss = self.distillation(loss, output, batch)
        return loss

    def _require_finite(
        self, subset: str, loss: Tensor, output: Output, batch: dict[str, Any]
    ) -> None:
        """Stop the training if the loss, before any scaling of gradients, is not finite.

        Raises:
            SonotypeError: names the epoch and some files of the batch.
        """
        if bool(torch.isfinite(loss)):
            return
        files = list(batch.get("files", ()))
        finite = [torch.isfinite(logits).all(1) for logits in output.logits.values()]
        rows = (~torch.stack(finite).all(0)).nonzero().flatten().tolist()
        # If no row stands out, any file of the batch can be the cause.
        suspects = [files[row] for row in rows] if files and rows else files
        shown = ", ".join(suspects[:MAX_NAMED_FILES])
        more = len(suspects) - MAX_NAMED_FILES
        named = f" on {shown}{f' and {more} more' if more > 0 else ''}" if shown else ""
        raise SonotypeError(
            f"the {subset} loss is {loss.item()} in epoch {self.current_epoch + 1}{named}: "
            "training stops; train again with a lower --learning-rate, and check these files"
        )


def reordered(batch: dict[str, Any], rows: Tensor) -> dict[str, Any]:
    """The targets of a batch in another order of its clips."""
    return {
        name: reordered(value, rows) if isinstance(value, dict) else value[rows]
        for name, value in batch.items()
        if name not in ("feature_maps", "waveform", "files")
    }


def _clips(batch: dict[str, Any]) -> int:
    """Number of clips in a batch."""
    return len(next(iter(batch["targets"].values())))


def _array(x: Tensor) -> Any:
    return x.detach().cpu().numpy()


def _channels_last(feature_maps: FeatureMaps) -> FeatureMaps:
    return {
        name: x.contiguous(memory_format=torch.channels_last) for name, x in feature_maps.items()
    }
