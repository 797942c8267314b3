"""Progress of a training: a bar in a terminal, else lines of text."""

from __future__ import annotations

import time
from typing import Any

import pytorch_lightning as pl
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from sonotype.core.progress import OnMessage
from sonotype.core.text import duration
from sonotype.training.module import SCORE

SHORT_TRAINING = 50
"""Trainings of up to this number of epochs print a line for every epoch."""
LINE_INTERVAL = 10
"""In longer trainings, epochs that are multiples of this print a line in any case."""


class TrainingBar(pl.Callback):
    """One bar on standard error for all epochs, with the time left and the validation score."""

    def __init__(self) -> None:
        self._bar: Progress | None = None

    def on_train_start(self, trainer: pl.Trainer, _: pl.LightningModule) -> None:
        """Draw the bar, from the first epoch or from that of a resumed run."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[score]}"),
        )
        self._bar = Progress(*columns, console=Console(stderr=True))
        total = int(trainer.num_training_batches) * (trainer.max_epochs or 0)
        self._bar.add_task("training", total=total, completed=trainer.global_step, score="")
        self._bar.start()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Advance the bar."""
        self._update(completed=trainer.global_step)

    def on_train_epoch_end(self, trainer: pl.Trainer, _: pl.LightningModule) -> None:
        """Show the epoch and its score."""
        score = trainer.callback_metrics.get(SCORE)
        self._update(
            description=f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}",
            score="" if score is None else f"{_title(trainer)} {float(score):.3f}",
        )

    def teardown(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        """Leave the bar as it is, also after an error."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def on_exception(self, trainer: pl.Trainer, module: pl.LightningModule, _: Any) -> None:
        """Leave the bar as it is."""
        self.teardown(trainer, module, "fit")

    def _update(self, **fields: Any) -> None:
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], **fields)


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
            f"  val loss {values.get('val_loss', float('nan')):.3f}  {_title(trainer)} {score:.3f}"
            f"{' *' if better else '  '}"
            if SCORE in values
            else ""
        )
        loss = f"loss {values.get('train_loss', float('nan')):.3f}"
        self.on_message(
            f"epoch {epoch:>3}/{epochs}  {loss}{validation}  {duration(left)} left at most"
        )


def _title(trainer: pl.Trainer) -> str:
    """What the validation score is: F1, or mAP where clips have several labels."""
    names = trainer.callback_metrics
    multi = any(name.endswith("_map") for name in names)
    single = any(name.endswith("_f1") for name in names if name != SCORE)
    return ("val score" if single else "val mAP") if multi else "val F1"
