"""What a comparison of runs holds: the runs, and for each level the scores, classes and clips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sonotype.evaluation.compare import Metric
from sonotype.evaluation.metrics import Calibration


@dataclass(frozen=True)
class ComparedRun:
    """One run.

    Attributes:
        name: short and unique among the runs.
        folder: as the user named it.
        clips: scored ones.
        groups: recordings of these clips; that of clips, if it is not known which belong together.
        grouped: whether it is known which clips come from one recording.
        notes: how the run was scored.
        seconds: wall time of the training; ``None`` if not known.
        model_bytes: size of the model file; of a cross-validation, of its first fold. ``None`` if
            the run has no model.
        changes: options that differ from those of the first run: its value and that of this run;
            ``None`` if the options of one of the two are not known.
    """

    name: str
    folder: str
    clips: int
    groups: int
    grouped: bool
    notes: tuple[str, ...]
    seconds: float | None
    model_bytes: int | None
    changes: Mapping[str, tuple[str, str]] | None


@dataclass(frozen=True)
class ClassChange:
    """F1 of one class in the first run and in another, with the numbers of clips."""

    label: str
    clips: tuple[int, int]
    before: float
    after: float

    @property
    def change(self) -> float:
        """Positive where the other run is better."""
        return self.after - self.before


@dataclass(frozen=True)
class DifferentClip:
    """A clip that one of two runs gets right, and what the other run says."""

    path: str
    label: str
    wrong: str


@dataclass(frozen=True)
class Outcomes:
    """Clips of two runs that were scored on the same clips: who is right?

    Attributes:
        both: number of clips that both get right.
        lost: clips that only the first run gets right.
        gained: clips that only the other run gets right.
        neither: number of clips that both get wrong.
        other_labels: number of clips whose labels differ between the runs; they are not counted.
        p_value: of the exact McNemar test, for which clips are independent; ``None`` where both are
            right and wrong on the same clips.
    """

    both: int
    lost: tuple[DifferentClip, ...]
    gained: tuple[DifferentClip, ...]
    neither: int
    other_labels: int
    p_value: float | None


@dataclass(frozen=True)
class ComparedLevel:
    """One level of labels; sequences are in the order of the runs.

    Attributes:
        name: such as ``category``.
        classes: number of classes.
        metrics: by name, in the order of ``METRICS``.
        calibration: of the probabilities.
        changes: for each run but the first, its classes, the largest loss of F1 first.
        outcomes: for each run but the first; ``None`` if it was scored on other clips.
    """

    name: str
    classes: int
    metrics: tuple[Mapping[str, Metric], ...]
    calibration: tuple[Calibration | None, ...]
    changes: tuple[tuple[ClassChange, ...], ...]
    outcomes: tuple[Outcomes | None, ...]


@dataclass(frozen=True)
class Comparison:
    """Runs and levels, and what limits the comparison."""

    runs: tuple[ComparedRun, ...]
    levels: tuple[ComparedLevel, ...]
    notes: tuple[str, ...]


def comparison_to_json(comparison: Comparison) -> dict[str, Any]:
    """All numbers as JSON values, with all classes and all clips that differ."""
    levels = []
    for level in comparison.levels:
        metrics = [
            {
                name: {
                    "value": asdict(metric.value),
                    "difference": metric.difference and asdict(metric.difference),
                    "paired": metric.paired,
                }
                for name, metric in found.items()
            }
            for found in level.metrics
        ]
        levels.append({**asdict(level), "metrics": metrics})
    return {
        "baseline": comparison.runs[0].name,
        "notes": list(comparison.notes),
        "runs": [asdict(run) for run in comparison.runs],
        "levels": levels,
    }
