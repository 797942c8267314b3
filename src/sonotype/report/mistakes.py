"""The worst mistakes of a run, and the labels that are probably wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from sonotype.core.types import Head
from sonotype.evaluation.predictions import FloatArray, Predictions
from sonotype.evaluation.suspicious import SuspiciousLabel
from sonotype.report.clip_names import Place, place_of
from sonotype.report.levels import Level
from sonotype.report.run_record import RunRecord

Kind = Literal["confused", "missed", "false alarm", "label"]


@dataclass(frozen=True)
class Example:
    """A clip to listen to.

    Attributes:
        clip: index among the predictions.
        level: name of the head.
        kind: another class was predicted; or, where a clip can have several labels, a class was
            not found, or falsely found; or only the label is suspicious.
        label: the given class; empty for a false alarm.
        predicted: the predicted class; empty for a missed class.
        p_label: held-out probability of the given class.
        p_predicted: of the predicted class.
        suspicious: whether the label is probably wrong.
        cell: of :attr:`Level.cells` that has this mistake; -1 if only the label is suspicious.
    """

    clip: int
    level: str
    kind: Kind
    label: str
    predicted: str
    p_label: float | None
    p_predicted: float | None
    suspicious: bool = False
    cell: int = -1

    @property
    def question(self) -> str:
        """The class whose importance is shown."""
        return self.predicted or self.label


def worst_mistakes(record: RunRecord, levels: Sequence[Level], most: int) -> tuple[Example, ...]:
    """The most confident mistakes on the finest level that was scored, the worst first.

    Each clip is taken once, and of overlapping windows with the same mistake only the worst. Where
    a clip can have several labels, missed and falsely found classes alternate.

    Args:
        record: of the run.
        levels: of the run.
        most: number of mistakes.
    """
    predictions, scores = record.predictions, record.scores
    scored = [level for level in levels if level.scores is not None and level.cells]
    if predictions is None or scores is None or not scored:
        return ()
    level = scored[-1]
    head = next(head for head in record.heads if head.name == level.name)
    proba = predictions.read(scores.category_source)[level.name]  # type: ignore[arg-type]
    find = _mistakes_of_several if level.multi else _confusions
    ranked = _alternating(sorted(find(predictions, head, level, proba), key=lambda pair: -pair[0]))
    doubtful = {(one.path, one.level) for one in record.suspicious or ()}
    taken: list[Example] = []
    places: list[tuple[Place, Example]] = []
    for one in ranked:
        if len(taken) == most:
            break
        path = predictions.paths[one.clip]
        place = place_of(path, windows=record.windows)
        if any(
            one.clip == example.clip or _same(place, one, other, example)
            for other, example in places
        ):
            continue
        places.append((place, one))
        taken.append(replace(one, suspicious=(path, one.level) in doubtful))
    return tuple(taken)


def _alternating(ranked: Sequence[tuple[float, Example]]) -> list[Example]:
    """The first of each kind, then the second of each kind, and so on."""
    numbers: Counter[str] = Counter()
    keyed = []
    for order, (_, example) in enumerate(ranked):
        keyed.append((numbers[example.kind], order, example))
        numbers[example.kind] += 1
    return [example for _, _, example in sorted(keyed, key=lambda entry: entry[:2])]


def _same(place: Place, one: Example, other: Place, example: Example) -> bool:
    """Whether two windows overlap and have the same mistake."""
    kind = (one.kind, one.label, one.predicted)
    return kind == (example.kind, example.label, example.predicted) and place.overlaps(other)


def _confusions(
    predictions: Predictions, head: Head, level: Level, proba: FloatArray
) -> list[tuple[float, Example]]:
    true, classes = predictions.true[head.name], len(head.classes)
    found = []
    for key, clips in level.cells.items():
        label, predicted = divmod(key, classes)
        if label == predicted:
            continue
        for clip in clips:
            given, best = float(proba[clip, true[clip]]), float(proba[clip, predicted])
            example = Example(
                clip, head.name, "confused", head.classes[label], head.classes[predicted],
                given, best, cell=key,
            )  # fmt: skip
            found.append((best - given, example))
    return found


def _mistakes_of_several(
    predictions: Predictions, head: Head, level: Level, proba: FloatArray
) -> list[tuple[float, Example]]:
    """Missed and falsely found classes, by the distance of the probability from the threshold."""
    found = []
    for key, clips in level.cells.items():
        index, falsely = divmod(key, 2)
        label, limit = head.classes[index], head.limits[index]
        for clip in clips:
            p = float(proba[clip, index])
            if falsely:
                example = Example(clip, head.name, "false alarm", "", label, None, p, cell=key)
                found.append(((p - limit) / max(1 - limit, 1e-9), example))
            else:
                example = Example(clip, head.name, "missed", label, "", p, None, cell=key)
                found.append(((limit - p) / max(limit, 1e-9), example))
    return found


def suspicious_examples(
    record: RunRecord, known: Sequence[Example], most: int
) -> tuple[tuple[SuspiciousLabel, int | None, Example | None], ...]:
    """The suspicious labels with their clip, and an example where the clip is not among ``known``.

    Args:
        record: of the run.
        known: the mistakes that the page shows.
        most: number of examples.

    Returns:
        for each label: the label, the index of its clip if it is known, the example or ``None``
    """
    predictions = record.predictions
    index = {path: n for n, path in enumerate(predictions.paths)} if predictions else {}
    shown = {one.clip for one in known}
    found: list[tuple[SuspiciousLabel, int | None, Example | None]] = []
    examples = 0
    for one in record.suspicious or ():
        clip = index.get(one.path)
        example = None
        if clip is not None and clip not in shown and examples < most:
            example = Example(
                clip, one.level, "label", one.label, one.suggested,
                one.probability, one.probability_suggested, suspicious=True,
            )  # fmt: skip
            examples += 1
            shown.add(clip)
        found.append((one, clip, example))
    return tuple(found)


def typical_examples(levels: Sequence[Level], most: int) -> dict[int, int]:
    """The clip with the most probable label of each class of the finest level, by class.

    Of more classes than ``most``, the first.
    """
    scored = [level for level in levels if level.cells]
    rows = scored[-1].classes if scored else ()
    found = {row.index: row.best for row in rows if row.best is not None}
    return dict(list(found.items())[:most])
