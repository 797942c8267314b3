"""A comparison of runs as text of at most 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sonotype.core.text import align, counted, duration, listed, wrap
from sonotype.core.types import plural
from sonotype.evaluation.compare import Metric
from sonotype.evaluation.metrics import Interval
from sonotype.evaluation.report import TITLES, join_blocks
from sonotype.report.compared import ComparedLevel, ComparedRun, Comparison, Outcomes

NAME = 26
RUN_COLUMNS = (NAME, -8, -12, -12, -12)
METRIC_COLUMNS = (24, -7, 2, 15, -8, 2, 20)
CLASS_COLUMNS = (NAME, -14, -10, -10, -10)
OUTCOME_COLUMNS = (NAME, -12, -12, -12, -12)
CALIBRATION_COLUMNS = (NAME, -14, -10, -10)
CLASSES = 3
"""Classes that gain most, and classes that lose most, to show."""
CLIPS = 3
"""Clips to name of each kind."""


def comparison_text(comparison: Comparison) -> str:
    """Runs, and for each level the scores, calibration, classes and clips that differ."""
    blocks = [list(_runs(comparison))]
    for level in comparison.levels:
        blocks.append(list(_metrics(level, comparison.runs)))
        blocks.append(list(_calibration(level, comparison.runs)))
        blocks.append(list(_classes(level, comparison.runs)))
        blocks.append(list(_outcomes(level, comparison.runs)))
    blocks.append(list(_legend(comparison)))
    return join_blocks(blocks)


def _runs(comparison: Comparison) -> Iterator[str]:
    runs = comparison.runs
    yield align(["run", "clips", "recordings", "training", "model"], *RUN_COLUMNS)
    for run in runs:
        recordings = str(run.groups) if run.grouped else "not known"
        cells = [str(run.clips), recordings, seconds_text(run), size_text(run)]
        yield align([run.name, *cells], *RUN_COLUMNS)
    for run in runs[1:]:
        yield from wrap(f"{run.name}: {changes_text(run)}", "  ")
    for note in comparison.notes:
        yield from wrap(f"note: {note}", " " * 6)
    for names, note in grouped_notes(runs):
        yield from wrap(f"{names}: {note}", "  ")


def grouped_notes(runs: Sequence[ComparedRun]) -> list[tuple[str, str]]:
    """Each note on how runs were scored, after the names of its runs."""
    notes = dict.fromkeys(note for run in runs for note in run.notes)
    names = {note: [run.name for run in runs if note in run.notes] for note in notes}
    return [
        ("all" if len(named) == len(runs) else ", ".join(named), note)
        for note, named in names.items()
    ]


def seconds_text(run: ComparedRun) -> str:
    """Wall time of the training."""
    return "-" if run.seconds is None else duration(run.seconds)


def size_text(run: ComparedRun) -> str:
    """Size of the model file."""
    return "-" if run.model_bytes is None else f"{run.model_bytes / 1e6:.1f} MB"


def changes_text(run: ComparedRun) -> str:
    """The options of a run that differ from those of the first."""
    if run.changes is None:
        return "options not known"
    texts = [f"{name} {new} (first: {old})" for name, (old, new) in run.changes.items()]
    return "; ".join(texts) or "no option differs"


def _metrics(level: ComparedLevel, runs: tuple[ComparedRun, ...]) -> Iterator[str]:
    title = f"{level.classes} {level.name if level.classes == 1 else plural(level.name)}"
    yield align([title, "value", "", "95 %", "diff.", "", "95 %"], *METRIC_COLUMNS)
    for metric, name in TITLES.items():
        yield name
        for run, found in zip(runs, level.metrics, strict=True):
            yield align([f"  {run.name}", *_cells(found[metric])], *METRIC_COLUMNS)


def _cells(metric: Metric) -> list[str]:
    value, gap = metric.value, metric.difference
    cells = [f"{value.value:.3f}", "", ends_text(value)]
    if gap is None:
        return [*cells, "", "", ""]
    return [*cells, points(gap.value), "", f"{points_range(gap)}{mark(metric)}"]


def ends_text(found: Interval) -> str:
    """The ends of an interval; there are none if all clips are of one recording."""
    if found.low is None or found.high is None:
        return "-"
    return f"{found.low:.3f} to {found.high:.3f}"


def points(value: float) -> str:
    """A difference of shares in points, with its sign."""
    text = f"{100 * value:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text


def points_range(gap: Interval) -> str:
    """The ends of the interval of a difference."""
    if gap.low is None or gap.high is None:
        return "-"
    return f"{points(gap.low)} to {points(gap.high)}"


def mark(metric: Metric) -> str:
    """Whether the interval excludes zero, and whether the clips differ."""
    signs = ("*" if metric.beyond else "") + ("" if metric.paired else "u")
    return f" {signs}" if signs else ""


def _calibration(level: ComparedLevel, runs: tuple[ComparedRun, ...]) -> Iterator[str]:
    header = [f"{level.name}: calibration", "calib. error", "Brier", "log loss"]
    yield align(header, *CALIBRATION_COLUMNS)
    for run, found in zip(runs, level.calibration, strict=True):
        values = [] if found is None else [found.error, found.brier, found.log_loss]
        cells = [f"{value:.3f}" for value in values] or ["-"] * 3
        yield align([f"  {run.name}", *cells], *CALIBRATION_COLUMNS)


def _classes(level: ComparedLevel, runs: tuple[ComparedRun, ...]) -> Iterator[str]:
    names = plural(level.name)
    yield align([f"{names}: F1", "clips", "first", "run", "change"], *CLASS_COLUMNS)
    for run, changes in zip(runs[1:], level.changes, strict=True):
        lost = [one for one in changes if one.change < 0]
        gained = [one for one in reversed(changes) if one.change > 0]
        yield from wrap(
            f"{run.name}: {len(gained)} better, {len(lost)} worse, "
            f"{len(changes) - len(gained) - len(lost)} the same"
        )
        for one in [*gained[:CLASSES], *lost[:CLASSES]]:
            clips = (
                str(one.clips[0]) if one.clips[0] == one.clips[1] else "{}, {}".format(*one.clips)
            )
            cells = [clips, f"{one.before:.3f}", f"{one.after:.3f}", points(one.change)]
            yield align([f"  {one.label}", *cells], *CLASS_COLUMNS)


def _outcomes(level: ComparedLevel, runs: tuple[ComparedRun, ...]) -> Iterator[str]:
    paired = [
        (run, found)
        for run, found in zip(runs[1:], level.outcomes, strict=True)
        if found is not None
    ]
    if not paired:
        return
    header = ["both right", "first only", "run only", "both wrong"]
    yield align([f"{plural(level.name)}: clips", *header], *OUTCOME_COLUMNS)
    for run, found in paired:
        counts = [found.both, len(found.lost), len(found.gained), found.neither]
        yield align([f"  {run.name}", *map(str, counts)], *OUTCOME_COLUMNS)
        for line in outcome_lines(run, found, runs[0].name):
            start, *rest = wrap(line, " " * 6)
            yield from (" " * 4 + start, *rest)


def outcome_lines(run: ComparedRun, found: Outcomes, first: str) -> Iterator[str]:
    """The test, and the names of some clips."""
    if found.p_value is None:
        yield "no clip that only one of them gets right"
    else:
        yield f"McNemar test: p = {p_text(found.p_value)}{dependence(run)}"
    for name, clips in ((first, found.lost), (run.name, found.gained)):
        if clips:
            named = [f"{one.path} ({one.label}, not {one.wrong})" for one in clips]
            yield f"only {name}: {listed(named, CLIPS)}"
    if found.other_labels:
        yield f"not counted: {counted(found.other_labels, 'clip')} with other labels in this run"


def p_text(p_value: float) -> str:
    """A p value with as many digits as it is worth."""
    return f"{p_value:.3f}" if p_value >= 0.001 else "less than 0.001"


def dependence(run: ComparedRun) -> str:
    """What limits the test, if clips share recordings."""
    if not run.grouped:
        return "; clips of one recording would not be independent, and the recordings are not known"
    if run.groups == run.clips:
        return ""
    return "; clips of one recording are not independent: rely on the intervals above"


def drawn(comparison: Comparison) -> str:
    """What the intervals take as independent."""
    if all(run.grouped for run in comparison.runs):
        return "recording"
    return "clip, since recordings are not known"


def _legend(comparison: Comparison) -> Iterator[str]:
    metrics = [
        one for level in comparison.levels for found in level.metrics for one in found.values()
    ]
    text = f"diff.: to {comparison.runs[0].name}, in points (0.01); "
    text += f"95 % intervals by {drawn(comparison)}"
    if any(one.beyond for one in metrics):
        text += "; *: the interval excludes zero"
    if not all(one.paired for one in metrics):
        text += "; u: unpaired, the clips differ"
    yield from wrap(text)
