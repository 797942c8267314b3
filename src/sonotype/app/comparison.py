"""A run compared with the one before it, on the sounds that both were scored on.

Sounds are the same where their contents are equal, whatever the files are called and in whatever
class they were. The labels of the later run count for both, so that a corrected label is a mistake
of the run before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sonotype.app.project import Project
from sonotype.app.runs import Run, finished_runs, run_of
from sonotype.app.warm_up import IMPORTING
from sonotype.core.errors import SonotypeError
from sonotype.core.text import counted
from sonotype.core.types import LEVELS, Head
from sonotype.data.splits.split_file import DIGESTS, SPLIT, read_split
from sonotype.experiments.run_files import PREDICTIONS
from sonotype.serve.problems import ProblemError

if TYPE_CHECKING:  # imported at the first comparison, since they take seconds
    from sonotype.evaluation.compare import Metric
    from sonotype.evaluation.predictions import Predictions

LEVEL = LEVELS[0]
BEFORE, AFTER = "before", "after"
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Scored:
    """A sound with a prediction of models that were not trained on it.

    Attributes:
        label: its class.
        predicted: the most probable class.
        group: its recording.
    """

    label: str
    predicted: str
    group: str


def comparison_values(project: Project, run_id: str) -> dict[str, Any]:
    """The JSON values of a comparison of a run with the one before it, if there is one.

    Raises:
        ProblemError: there is no such run, or its predictions cannot be read.
    """
    after = run_of(project, run_id)
    earlier = [run for run in finished_runs(project) if int(run.id) < int(after.id)]
    before = earlier[0] if earlier else None
    new = _scored(after)
    old = {} if before is None else _scored(before)
    known = {} if before is None else before.classes
    # A sound of a class that the earlier run did not have could not be right there.
    common = sorted(key for key in new.keys() & old.keys() if new[key].label in known)
    pairs = [(old[key], new[key]) for key in common]
    found = _difference(pairs)
    alone: list[tuple[Scored | None, Scored]] = [(None, one) for one in new.values()]
    return {
        "before": None if before is None else before.values(),
        "after": after.values(),
        "clips": len(new),
        "common": len(common),
        "accuracy": found,
        "classes": _classes(pairs or alone),
        "text": comparison_text(before is not None, pairs, found, after),
    }


def _scored(run: Run) -> dict[str, Scored]:
    """The scored sounds of a run by the digest of their content; the first of equal ones."""
    with IMPORTING:
        from sonotype.evaluation.predictions import load_predictions

    path = run.folder / PREDICTIONS
    if not path.is_file():
        return {}
    try:
        predictions = load_predictions(path)
        digests = {
            row["path"]: row.get(DIGESTS[1]) or row.get(DIGESTS[0]) or row["path"]
            for row in read_split(run.folder / SPLIT)
        }
    except (SonotypeError, OSError) as error:
        raise ProblemError("not-possible", f"Run {run.id} cannot be read: {error}") from None
    head = next((head for head in predictions.heads if head.name == LEVEL), None)
    if head is None or head.problem == "multi":
        return {}
    decided = predictions.decisions(LEVEL)
    found: dict[str, Scored] = {}
    for index, true, predicted in zip(
        decided.indices, decided.true, decided.predicted, strict=True
    ):
        name = predictions.paths[index]
        label, answer = head.classes[true], head.classes[predicted]
        found.setdefault(digests.get(name, name), Scored(label, answer, predictions.groups[index]))
    return found


def _difference(pairs: Sequence[tuple[Scored, Scored]]) -> dict[str, float | None] | None:
    """Accuracies and the paired interval of their difference; ``None`` without common sounds."""
    if not pairs:
        return None
    with IMPORTING:
        from sonotype.evaluation.compare import RunResults, compare

    names = {one.label for pair in pairs for one in pair}
    names |= {one.predicted for pair in pairs for one in pair}
    classes = tuple(sorted(names))
    rows = [
        RunResults(name, {(None, 0): _predictions(pairs, side, classes)})
        for side, name in enumerate((BEFORE, AFTER))
    ]
    first, second = (row.metrics[LEVEL, "accuracy"] for row in compare(rows, BEFORE))
    return _numbers(first, second)


def _numbers(first: Metric, second: Metric) -> dict[str, float | None]:
    gap = second.difference
    return {
        "before": first.value.value,
        "after": second.value.value,
        "difference": second.value.value - first.value.value,
        "low": None if gap is None else gap.low,
        "high": None if gap is None else gap.high,
    }


def _predictions(
    pairs: Sequence[tuple[Scored, Scored]], side: int, classes: tuple[str, ...]
) -> Predictions:
    """The answers of one run as predictions that are certain, with the labels of the later run."""
    from sonotype.evaluation.predictions import Predictions

    index = {name: number for number, name in enumerate(classes)}
    proba: npt.NDArray[np.float64] = np.zeros((len(pairs), len(classes)))
    for row, pair in enumerate(pairs):
        proba[row, index[pair[side].predicted]] = 1
    true = np.array([index[new.label] for _, new in pairs], dtype=np.int64)
    return Predictions(
        paths=tuple(f"{number:09}" for number in range(len(pairs))),
        groups=tuple(new.group for _, new in pairs),
        true={LEVEL: true},
        proba={LEVEL: proba},
        heads=(Head(LEVEL, classes),),
    )


def _classes(pairs: Sequence[tuple[Scored | None, Scored]]) -> list[dict[str, Any]]:
    """For each class the share of its sounds that each run gets right."""
    found: dict[str, list[tuple[bool | None, bool]]] = {}
    for old, new in pairs:
        right = None if old is None else old.predicted == new.label
        found.setdefault(new.label, []).append((right, new.predicted == new.label))
    return [
        {
            "name": name,
            "before": None if some[0][0] is None else _share([bool(old) for old, _ in some]),
            "after": _share([new for _, new in some]),
            "clips": len(some),
        }
        for name, some in sorted(found.items())
    ]


def _share(values: Sequence[bool]) -> float:
    return sum(values) / len(values)


def comparison_text(
    has_before: bool,
    pairs: Sequence[tuple[Scored, Scored]],
    found: Mapping[str, float | None] | None,
    after: Run,
) -> str:
    """The comparison in words; the verdict is that of the exact sign test (McNemar)."""
    if found is None or found["before"] is None or found["after"] is None:
        if has_before:
            return "The two runs were scored on no common sound, so they cannot be compared."
        if after.accuracy is None:
            return after.note
        return (
            f"{_percent(after.accuracy['value'])} of the sounds are right. This is the first run."
        )
    shares = f"{_percent(found['before'])} were right before, {_percent(found['after'])} are now"
    text = f"Of {counted(len(pairs), 'sound')} that both runs were scored on, {shares}."
    right = [(old.predicted == new.label, new.predicted == new.label) for old, new in pairs]
    better, worse = right.count((False, True)), right.count((True, False))
    if not better and not worse:
        return f"{text} Both runs are right on the same sounds."
    with IMPORTING:
        from scipy.stats import binomtest

    if binomtest(better, better + worse).pvalue >= SIGNIFICANT:
        verdict = "the difference can be chance"
    else:
        verdict = "the new model is better" if better > worse else "the new model is worse"
    return f"{text} {better} became right, {worse} became wrong: {verdict}."


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f} %"
