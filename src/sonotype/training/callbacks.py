"""What Lightning is told to do between epochs: keep files whole, say how it goes."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint, WeightAveraging
from pytorch_lightning.plugins.io import TorchCheckpointIO
from rich.console import Console
from rich.progress import Progress, TaskID
from torch import Tensor

from sonotype.core.io import atomic
from sonotype.training.module import SCORE

OnMessage = Callable[[str], None]


class AtomicCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint under another name first, so that a kill leaves the last one whole."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write to the disk, then rename."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with atomic(Path(path)) as part:
            super().save_checkpoint(checkpoint, part, storage_options)


class PortableCheckpoint(ModelCheckpoint):
    """Lightning's, for a run folder that may have been moved since it was written."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a resumed run's best score; the files lie in this run's folder."""

        def here(path: str) -> str:
            return str(Path(str(self.dirpath)) / Path(path).name) if path else path

        paths = ("best_model_path", "kth_best_model_path", "last_model_path")
        moved = {name: here(state_dict[name]) for name in paths}
        best = {here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict(
            state_dict | moved | {"best_k_models": best, "dirpath": self.dirpath}
        )


class MovingAverage(WeightAveraging):
    """An exponential moving average of weights and batch-norm statistics, step by step.

    Written as ``x + (1 - decay) (y - x)``, so that what does not move is kept to the last bit:
    frozen means frozen, here too. Lightning's own takes ``decay x + (1 - decay) y``.
    """

    def __init__(self, decay: float) -> None:
        super().__init__(avg_fn=partial(_towards, share=1 - decay))


def _towards(average: Tensor, now: Tensor, _: Any, *, share: float) -> Tensor:
    return torch.lerp(average, now, share) if now.is_floating_point() else now


class StepBar(pl.Callback):
    """A bar over the steps of an epoch, on standard error; gone when the epoch is done.

    Lightning's own bars stay on the screen and break the lines that are said between epochs.
    """

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def on_train_epoch_start(self, trainer: pl.Trainer, _: pl.LightningModule) -> None:
        """Draw it empty."""
        self._bar = Progress(console=Console(stderr=True), transient=True)
        self._bar.start()
        name = f"epoch {trainer.current_epoch + 1:>3}/{trainer.max_epochs}"
        self._task = self._bar.add_task(name, total=float(trainer.num_training_batches))

    def on_train_batch_end(self, *_: Any) -> None:
        """Go on by a step."""
        if self._bar is not None:
            self._bar.advance(self._task)

    def on_train_epoch_end(self, *_: Any) -> None:
        """Take it off the screen."""
        self._close()

    def on_exception(self, *_: Any) -> None:
        """Take it off the screen when something went wrong, too."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


class EpochLines(pl.Callback):
    """One line an epoch: losses, validation scores, whether it is the best, time left at most."""

    def __init__(self, on_message: OnMessage) -> None:
        self.on_message = on_message
        self.best = float("-inf")
        self._durations: list[float] = []
        self._start = 0.0

    def state_dict(self) -> dict[str, Any]:
        """The best score so far, for a resumed run."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a resumed run's best score."""
        self.best = state_dict["best"]

    def on_train_epoch_start(self, trainer: pl.Trainer, _: pl.LightningModule) -> None:
        """Start the clock."""
        self._start = time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, _: pl.LightningModule) -> None:
        """Say how the epoch went."""
        self._durations.append(time.monotonic() - self._start)
        values = {name: float(value) for name, value in trainer.callback_metrics.items()}
        score = values.get(SCORE, float("nan"))
        better = score > self.best
        self.best = max(self.best, score)
        epoch, epochs = trainer.current_epoch + 1, trainer.max_epochs or 0
        left = (epochs - epoch) * sum(self._durations) / len(self._durations)
        validation = (
            f"  val loss {values.get('val_loss', float('nan')):.3f}  val F1 {score:.3f}"
            f"{' *' if better else '  '}"
            if SCORE in values
            else ""
        )
        loss = f"loss {values.get('train_loss', float('nan')):.3f}"
        self.on_message(
            f"epoch {epoch:>3}/{epochs}  {loss}{validation}  {duration(left)} left at most"
        )


def duration(seconds: float) -> str:
    """A time span as people say it: 42 s, 7 min, 1 h 05 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
