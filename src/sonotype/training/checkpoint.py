"""Checkpoints: atomic and portable files, averaged weights, the weights of the best epoch."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint, WeightAveraging
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import Tensor

from sonotype.config import TrainOptions
from sonotype.core.errors import SonotypeError, StoppedError, is_memory_error
from sonotype.core.io import atomic, open_saved
from sonotype.modelfile.model_file import first_not_finite
from sonotype.models.system import System
from sonotype.training.module import SCORE

LAST, BEST = "last.ckpt", "best.ckpt"


class AtomicCheckpoints(TorchCheckpointIO):
    """Write a checkpoint under a temporary name first: a kill leaves the previous one complete."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write to the disk, then rename."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with atomic(Path(path)) as part:
            super().save_checkpoint(checkpoint, part, storage_options)


class PortableCheckpoint(ModelCheckpoint):
    """Lightning's ``ModelCheckpoint``, for a run folder that was moved since it was written."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the best score from the resumed run, and place its files in this run's folder."""

        def moved(path: str) -> str:
            return str(Path(str(self.dirpath)) / Path(path).name) if path else path

        names = ("best_model_path", "kth_best_model_path", "last_model_path")
        paths = {name: moved(state_dict[name]) for name in names}
        best = {moved(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict(
            state_dict | paths | {"best_k_models": best, "dirpath": self.dirpath}
        )


class MovingAverage(WeightAveraging):
    """An exponential moving average of weights and batch-norm statistics, updated in each step.

    It computes ``x + (1 - decay) (y - x)``, which keeps frozen weights to the last bit; Lightning's
    own ``decay x + (1 - decay) y`` does not.
    """

    def __init__(self, decay: float) -> None:
        super().__init__(avg_fn=partial(_interpolate, share=1 - decay))


def _interpolate(average: Tensor, now: Tensor, _: Any, *, share: float) -> Tensor:
    return torch.lerp(average, now, share) if now.is_floating_point() else now


def checkpoint_callbacks(folder: Path, options: TrainOptions) -> list[pl.Callback]:
    """Weight averaging, early stopping, and the checkpoints of the best and of the last epoch."""
    callbacks: list[pl.Callback] = []
    if options.ema_decay:
        callbacks.append(MovingAverage(options.ema_decay))
    if options.checkpoint == "best":
        patience = options.patience or 1
        callbacks.append(
            EarlyStopping(SCORE, mode="max", patience=patience, check_on_train_epoch_end=True)
        )
        callbacks.append(_checkpoint(folder, BEST, SCORE))
    return [*callbacks, _checkpoint(folder, LAST, None)]


def _checkpoint(folder: Path, name: str, monitor: str | None) -> PortableCheckpoint:
    return PortableCheckpoint(
        folder,
        name.removesuffix(".ckpt"),
        monitor=monitor,
        mode="max",
        enable_version_counter=False,
        save_on_train_epoch_end=True,
    )


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint, on the CPU; its epoch is a number, its weights are a dict.

    Raises:
        SonotypeError: it cannot be read, or is damaged.
    """
    try:
        with open_saved(path) as stream:
            state: Any = torch.load(stream, map_location="cpu", weights_only=True)
        kinds = {"epoch": int, "state_dict": dict, "callbacks": dict}
        if all(isinstance(state[name], kind) for name, kind in kinds.items()):
            return dict(state)
        cause = "it holds other values"
    except Exception as error:  # a damaged file can raise almost any error
        if is_memory_error(error):
            raise
        cause = type(error).__name__
        if isinstance(error, OSError):
            cause = error.strerror or cause
    raise SonotypeError(
        f"{path} cannot be read as a checkpoint ({cause}); to train from the start, delete the "
        f"folder {path.parent}, then continue with --resume"
    )


def load_chosen_weights(
    system: System, folder: Path, options: TrainOptions
) -> tuple[int, float | None]:
    """Put the weights of the best epoch, or of the last one, into the system.

    Returns:
        The epoch, counted from 1, and its validation score; ``None`` for the last epoch.

    Raises:
        SonotypeError: weights are not finite, or the checkpoint cannot be read.
        StoppedError: no epoch was finished.
    """
    path = folder / (BEST if options.checkpoint == "best" else LAST)
    if not path.exists():
        raise StoppedError(
            f"{folder}: interrupted before the first epoch was done; continue with --resume"
        )
    state = read_checkpoint(path)
    epoch = state["epoch"] + 1
    weights = {
        name.removeprefix("system."): tensor
        for name, tensor in state["state_dict"].items()
        if name.startswith("system.")
    }
    if (name := first_not_finite(weights)) is not None:
        raise SonotypeError(
            f"{path}: the weights {name} of epoch {epoch} are not finite; train again with a lower "
            "--learning-rate"
        )
    system.load_state_dict(weights)
    system.eval()
    for key, entry in state["callbacks"].items():
        if PortableCheckpoint.__name__ in key and SCORE in key:
            return epoch, float(entry["best_model_score"])
    return epoch, None
