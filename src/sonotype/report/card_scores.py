"""The sections of a model card on scores, unknown sounds, calibration and detection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

from sonotype.core.text import counted, duration
from sonotype.core.types import plural
from sonotype.evaluation.metrics import HeadScores, Scores
from sonotype.modelfile.card import ModelCard
from sonotype.report.compare_text import ends_text
from sonotype.report.front_matter import metrics_of
from sonotype.report.markdown import md, table
from sonotype.report.page import percent

LARGEST = 1e12
CLASSES = 100
"""Most classes in a table; of more, those with the lowest F1."""


def score_section(
    scores: Scores | None, unit: str, trained: Mapping[str, Mapping[str, int]]
) -> Iterator[str]:
    """How the scores were measured, and a table for each level.

    Args:
        scores: on held-out clips; ``None`` if there are none.
        unit: ``"clip"`` or ``"window"``.
        trained: by level and class the number of training clips, as far as known.
    """
    if scores is None or not scores.heads:
        yield "The model file has no scores on held-out clips."
        return
    yield (
        f"Measured on {counted(scores.clips, unit)} in {counted(scores.groups, 'group')}; a group "
        f"is a recording, or a {unit} where the recordings are not known. Intervals are 95 % "
        f"bootstrap intervals over groups. Macro values are means over the classes with a scored "
        f"{unit}."
    )
    if scores.notes:
        yield "\n".join(f"- {md(note)}" for note in scores.notes)
    for level, head in scores.heads.items():
        yield f"### {md(plural(level)).capitalize()}"
        if head.n < scores.clips:
            yield (
                f"The values are of the {counted(head.n, unit)} with a label of this level; "
                f"{scores.clips - head.n} of the {counted(scores.clips, unit)} have none, such as "
                "sounds of no class."
            )
        rows = [
            [title, f"{found.value:.3f}", ends_text(found)] for _, title, found in metrics_of(head)
        ]
        yield table(["", "value", "95 % interval"], rows, right=2)
        if head.ranking is not None:
            yield (
                f"A {unit} has any number of labels: precision, recall and F1 are those at the "
                f"thresholds of the classes, and accuracy is the share of {unit}s whose labels are "
                "all right."
            )
        yield from _classes(level, head, unit, trained.get(level, {}))


def _classes(level: str, head: HeadScores, unit: str, trained: Mapping[str, int]) -> Iterator[str]:
    scored = [one for one in head.per_class if one.support]
    shown = sorted(scored, key=lambda one: one.f1)[:CLASSES] if len(scored) > CLASSES else scored
    if len(shown) < len(scored):
        yield f"The {CLASSES} of {len(scored)} classes with the lowest F1:"
    header = [md(level), "precision", "recall", "F1", f"scored {unit}s"]
    rows = [
        [md(one.label), f"{one.precision:.3f}", f"{one.recall:.3f}", f"{one.f1:.3f}",
         str(one.support)]
        for one in shown
    ]  # fmt: skip
    if trained:
        header.append("training clips" if unit == "clip" else "training windows")
        for row, one in zip(rows, shown, strict=True):
            row.append(str(trained.get(one.label, 0)))
    yield table(header, rows, right=len(header) - 1)


def trust(card: ModelCard, scores: Scores | None) -> Iterator[str]:
    """Whether probabilities are calibrated, and sounds of no class rejected."""
    errors = {
        level: head.calibration.error
        for level, head in ({} if scores is None else scores.heads).items()
        if head.calibration is not None
    }
    for head in card.heads:
        text = f"Probabilities of the {md(plural(head.name))}: "
        if head.temperature == 1:
            text += "not calibrated (temperature 1)"
        else:
            text += f"calibrated by a temperature of {head.temperature:.2f}"
        if head.name in errors:
            text += (
                f"; the expected calibration error on the scored clips is {errors[head.name]:.3f}"
            )
        yield text + "."
    if card.unknown_threshold is None:
        several = all(head.problem == "multi" for head in card.heads)
        yield "The model has no threshold for unknown sounds. " + (
            "A sound for which no class reaches its threshold has no label."
            if several
            else "A sound of no class gets a class too."
        )
        return
    yield (
        f"A sound whose unknown score is above {card.unknown_threshold:g} counts as unknown "
        "(`is_unknown`)."
    )
    unknown = None if scores is None else scores.unknown
    if unknown is None:
        yield "How well this works was not measured."
        return
    rows = [["known clips that are kept", f"{percent(unknown.kept)}", str(unknown.known)]]
    if unknown.false_alarms is not None:
        name = "clips of no class that get a class (false alarms)"
        rows.append([name, f"{percent(unknown.false_alarms)}", str(unknown.negatives)])
    if unknown.recognised is not None:
        name = "clips of foreign classes that are rejected"
        rows.append([name, f"{percent(unknown.recognised)}", str(unknown.foreign)])
    yield table(["", "share", "clips"], rows, right=2)
    if unknown.false_alarms is None and unknown.recognised is None:
        yield "How many sounds of no class are rejected was not measured."


def detection(card: ModelCard) -> Iterator[str]:
    """How events in recordings are detected; nothing if this was not fitted."""
    found = card.detection
    if found is None:
        return
    head = next(one for one in card.heads if one.name == found.head)
    yield "## Detection in recordings"
    if found.frame_scales:
        how = "a frame head scores short frames"
    else:
        how = f"windows are scored{f' every {found.hop:g} s' if found.hop else ''}"
    yield f"`sonotype detect` finds events of the level {md(found.head)}: {how}."
    yield from _tuned_to(found.tuned)
    rows = [
        [md(label), one.method, f"{one.threshold:.2f}", f"{one.min_length:g}"]
        for label, one in zip(head.classes, found.events, strict=True)
    ]
    yield table([md(found.head), "method", "threshold", "shortest event in s"], rows, right=2)


RATES = {
    True: "Each recording was scored with thresholds that were chosen on other recordings:",
    False: "Scored on the recordings that the thresholds were chosen on; on others they are lower:",
    None: "Scores of the chosen settings; the file does not record on which recordings:",
}


def _rates(tuned: Mapping[str, Any]) -> Iterator[str]:
    """The scores of the chosen settings."""
    rates = tuned.get("rates")
    if not isinstance(rates, Mapping):
        return
    names = {"recall": "events that are found", "precision": "precision", "f1": "F1"}
    rows = [
        [title, f"{value:.3f}"]
        for name, title in names.items()
        if _is_number(value := rates.get(name))
    ]
    if _is_number(value := rates.get("false_alarms")):
        rows.append(["false alarms in an hour", f"{value:.1f}"])
    if rows:
        held_out = tuned.get("held_out")
        yield RATES[held_out if isinstance(held_out, bool) else None]
        yield table(["", "value"], rows, right=1)


def _is_number(value: Any) -> TypeGuard[float]:
    """Whether a value of a file is a number as the program writes it."""
    return type(value) in (int, float) and 0 <= value <= LARGEST


def _tuned_to(tuned: Mapping[str, Any]) -> Iterator[str]:
    """What the settings were fitted to; older files do not record it."""
    kind = "simulated recording" if tuned.get("simulated") else "annotated recording"
    number, seconds, events = (tuned.get(name) for name in ("recordings", "seconds", "events"))
    if isinstance(number, int) and _is_number(seconds) and isinstance(events, int):
        yield (
            f"The settings were fitted to {counted(number, kind)}, {duration(seconds)}, "
            f"{counted(events, 'event')}."
        )
    elif not tuned:
        yield "The settings are the defaults; they were not fitted to recordings."
    yield from _rates(tuned)
    notes = tuned.get("notes")
    if isinstance(notes, list) and notes:
        yield "\n".join(f"- {md(note)}" for note in notes)
