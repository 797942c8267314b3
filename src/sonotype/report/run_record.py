"""What a run folder holds, read once; whatever is missing stays empty."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sonotype.config import SystemOptions
from sonotype.core.csv_file import saved_rows
from sonotype.core.errors import DataError, DataIssue, OptionsError, SonotypeError
from sonotype.core.json_text import read_json
from sonotype.core.types import Heads, heads_of
from sonotype.data.splits.split_file import FIXED, SPLIT, read_split
from sonotype.evaluation.metrics import Scores, scores_from_json
from sonotype.evaluation.predictions import Predictions, load_predictions
from sonotype.evaluation.suspicious import SUSPICIOUS, SuspiciousLabel
from sonotype.experiments.run_folder import (
    CONFIG,
    MODEL,
    PREDICTIONS,
    SCORES,
    config_of_folder,
    finished_at,
)
from sonotype.experiments.run_options import RunOptions
from sonotype.modelfile.card import ModelCard
from sonotype.modelfile.model_file import read_card
from sonotype.training.provenance import too_high


def knows_recordings(card: ModelCard | None, recordings: int, clips: int) -> bool:
    """Whether it is known which clips come from one recording.

    Args:
        card: of the model; ``None`` if it cannot be read.
        recordings: number of different groups of the clips.
        clips: number of clips.
    """
    return card is None or bool(card.training.get("grouped", True)) or recordings < clips


@dataclass(frozen=True, eq=False)
class RunRecord:
    """The files of a run.

    Attributes:
        folder: of the run.
        data: the source that it was trained on, as an absolute path.
        version: of sonotype.
        finished: when the training ended; ``None`` if not known.
        options: of the run; ``None`` if they cannot be read, as those of another version.
        options_problem: why; empty if they can.
        card: of the model; ``None`` if there is no model.
        scores: of clips that the scoring models were not trained on; ``None`` if there are none.
        predictions: on these clips; ``None`` likewise.
        rows: of ``split.csv``, one for each clip.
        suspicious: labels that are probably wrong, the most suspicious first; ``None`` if they were
            not looked for.
    """

    folder: Path
    data: str
    version: str
    finished: datetime | None
    options: RunOptions | None
    options_problem: str
    card: ModelCard | None
    scores: Scores | None
    predictions: Predictions | None
    rows: Sequence[Mapping[str, str]]
    suspicious: tuple[SuspiciousLabel, ...] | None

    @property
    def system(self) -> SystemOptions | None:
        """Options of the network; those of the model if the run's cannot be read."""
        if self.options is not None:
            return self.options.system
        return None if self.card is None else self.card.options

    @property
    def windows(self) -> bool:
        """Whether the clips are windows of annotated recordings."""
        return bool(self.rows) and "start" in self.rows[0]

    @property
    def too_high(self) -> str:
        """Why the scores are too high, if a model has seen scored clips; else empty."""
        return "; ".join(too_high(() if self.scores is None else self.scores.notes))

    @property
    def unfinished(self) -> bool:
        """Whether the training was interrupted."""
        return self.card is None or bool(self.card.training.get("interrupted"))

    @property
    def crossfit(self) -> bool:
        """Whether the clips were scored by the models of other folds."""
        return any(row.get("fold") for row in self.rows)

    @property
    def grouped(self) -> bool:
        """Whether it is known which clips come from one recording."""
        return knows_recordings(self.card, self.recordings, len(self.rows))

    @property
    def unscorable(self) -> bool:
        """Whether every class has a single recording, so that none can be kept for scoring."""
        several = {head.name for head in self.heads if head.problem == "multi"}
        homes: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        for row in self.rows:
            for level in self.levels:
                labels = row[level].split(";") if level in several else [row[level]]
                for label in filter(None, labels):
                    homes[level, label].add(row["group"])
        return bool(homes) and all(len(groups) == 1 for groups in homes.values())

    @property
    def recordings(self) -> int:
        """Number of recordings; that of clips, if it is not known which belong together."""
        return len({row["group"] for row in self.rows})

    @property
    def unit(self) -> str:
        """What is classified: ``"clip"`` or ``"window"``."""
        return "window" if self.windows else "clip"

    @property
    def heads(self) -> Heads:
        """Of the predictions or the model; none if both are missing."""
        if self.predictions is not None:
            return self.predictions.heads
        return self.card.heads if self.card is not None else heads_of(())

    @property
    def levels(self) -> list[str]:
        """Names of the columns of labels in :attr:`rows`."""
        fixed = {*FIXED, "start"}
        return [name for name in self.rows[0] if name not in fixed] if self.rows else []


def read_run(folder: Path) -> RunRecord:
    """Read the files of a run.

    Raises:
        OptionsError: the folder is not that of a run.
        SonotypeError: a file is damaged; names it.
    """
    if not (folder / CONFIG).is_file():
        raise OptionsError(f"{folder}: is not the folder of a run; name one, such as runs/first")
    config = _json(folder / CONFIG)
    data, problem = str(config.get("data", "")), ""
    options: RunOptions | None = None
    try:
        data, options = config_of_folder(folder)
    except OptionsError as error:
        if not data:
            raise
        problem = str(error)
    model, split = folder / MODEL, folder / SPLIT
    trained = model.is_file() and model.stat().st_size > 0
    predictions = folder / PREDICTIONS
    return RunRecord(
        folder=folder,
        data=data,
        version=str(config.get("sonotype", "")),
        finished=finished_at(folder),
        options=options,
        options_problem=problem,
        card=read_card(model) if trained else None,
        scores=_scores(folder / SCORES),
        predictions=load_predictions(predictions) if predictions.is_file() else None,
        rows=read_split(split) if split.is_file() else [],
        suspicious=read_suspicious(folder / SUSPICIOUS),
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        return {**read_json(path)}
    except (OSError, ValueError, TypeError) as error:
        raise SonotypeError(f"{path} cannot be read ({error})") from None


def _scores(path: Path) -> Scores | None:
    if not path.is_file():
        return None
    try:
        return scores_from_json(_json(path))
    except SonotypeError as error:
        raise SonotypeError(f"{path}: {error}") from None


def read_suspicious(path: Path) -> tuple[SuspiciousLabel, ...] | None:
    """The table that :func:`write_suspicious` wrote; ``None`` if there is no such file.

    Raises:
        DataError: it is another table.
        OptionsError: it is no CSV table, or cannot be read.
    """
    if not path.is_file():
        return None
    rows = saved_rows(path, "a table of suspicious labels")
    try:
        return tuple(
            SuspiciousLabel(
                row["path"], row["level"], row["label"], row["suggested"],
                float(row["probability"]), float(row["probability_suggested"]),
            )
            for row in rows
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        cause = f"is not a table of suspicious labels ({error})"
        raise DataError(path, [DataIssue(str(path), 0, cause)]) from None
