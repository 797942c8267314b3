"""Progress of a training: a bar in a terminal, else lines of text."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import RichProgressBar

from sonotype.training.module import SCORE

OnMessage = Callable[[str], None]

SHORT_TRAINING = 50
"""Trainings of up to this number of epochs print a line for every epoch."""
LINE_INTERVAL = 10
"""In longer trainings, epochs that are multiples of this print a line in any case."""


class TrainingBar(RichProgressBar):
    """Lightning's bar on standard error, with loss and validation scores."""

    def __init__(self) -> None:
        super().__init__(console_kwargs={"stderr": True})

    def get_metrics(self, trainer: pl.Trainer, module: pl.LightningModule) -> dict[str, Any]:
        """The metrics without the version of the log."""
        metrics: dict[str, Any] = super().get_metrics(trainer, module)
        metrics.pop("v_num", None)
        return metrics


class EpochLines(pl.Callback):
    """A line about an epoch: losses, validation score, whether it is the best, time left at most.

    In a training of more than :data:`SHORT_TRAINING` epochs, only epochs that improve the score and
    every tenth epoch have a line.

    Args:
        on_message: receives the lines.
        verbose: give every epoch a line.
    """

    def __init__(self, on_message: OnMessage, *, verbose: bool = False) -> None:
        self.on_message = on_message
        self.verbose = verbose
        self.best = float("-inf")
        self._durations: list[float] = []
        self._start = 0.0

    def state_dict(self) -> dict[str, Any]:
        """The best score so far."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue with the best score of the resumed run."""
        self.best = state_dict["best"]

    def on_train_epoch_start(self, trainer: pl.Trainer, _: pl.LightningModule) -> None:
        """Start the clock."""
        self._start = time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, _: pl.LightningModule) -> None:
        """Send the line."""
        self._durations.append(time.monotonic() - self._start)
        values = {name: float(value) for name, value in trainer.callback_metrics.items()}
        score = values.get(SCORE, float("nan"))
        better = score > self.best
        self.best = max(self.best, score)
        epoch, epochs = trainer.current_epoch + 1, trainer.max_epochs or 0
        if not (self.verbose or better or epochs <= SHORT_TRAINING or epoch % LINE_INTERVAL == 0):
            return
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
    """A time span for display: 42 s, 7 min, 1 h 05 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
