"""All that the page of a run shows, collected from the run folder and the sounds."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sonotype.core.cpu import available_cpus
from sonotype.core.prefetch import prefetch
from sonotype.core.progress import track
from sonotype.core.text import counted, printable
from sonotype.core.types import plural
from sonotype.evaluation.power_law import Curve
from sonotype.evaluation.suspicious import SuspiciousLabel
from sonotype.explain.methods import MethodName
from sonotype.modelfile.pretrained import is_model_file
from sonotype.models.backbones.names import COMPACT, NO_BACKBONE
from sonotype.report.clip_names import find_file, place_of, short_names
from sonotype.report.curve_file import curve_note, read_curve, require_same_classes
from sonotype.report.examination import Examination, examination_of
from sonotype.report.figures import Chart, curve_chart, reliability_chart, unknown_chart
from sonotype.report.levels import Level, levels_of
from sonotype.report.media import Media, explained, media_of
from sonotype.report.mistakes import (
    Example,
    suspicious_examples,
    typical_examples,
    worst_mistakes,
)
from sonotype.report.repeat import curve_command, doctor_command, near, repeat_command
from sonotype.report.run_record import RunRecord, read_run

EXAMPLES = 24
"""Mistakes with sound and spectrogram; half as many suspicious labels."""
TYPICAL = 60
"""Classes with a typical sound; of more, the first."""


@dataclass(frozen=True)
class ReportOptions:
    """What the page contains.

    Attributes:
        curve: folder of a finished learning curve; ``None`` for the command instead.
        examples: number of mistakes with sounds.
        doctor: whether to examine the data; cached findings are shown in any case.
        again: examine the data even if there are cached findings.
        progress: draw bars.
        method: of the explanations; ``"gradient"`` takes 0.05 s for a clip, ``"mask"`` ten times as
            long, and finds more exactly what the class depends on.
    """

    curve: Path | None = None
    examples: int = EXAMPLES
    doctor: bool = True
    again: bool = False
    progress: bool = False
    method: MethodName = "gradient"


@dataclass(frozen=True)
class Unknown:
    """How sounds of no class are told from known ones.

    Attributes:
        threshold: score above which a sound is rejected.
        chart: histogram of the scores; ``None`` if they are not known.
    """

    threshold: float
    chart: Chart | None


@dataclass(frozen=True, eq=False)
class Report:
    """The content of the page.

    Attributes:
        record: of the run.
        title: name of the data.
        facts: what was trained on what, as name and text.
        levels: from coarse to fine.
        reliability: a chart for each level that was scored, by name of the level.
        unknown: ``None`` if the model has no threshold.
        mistakes: the worst first.
        suspicious: each label, the index of its clip, and an example where it has its own.
        method: of the explanations.
        typical: index of a typical clip by index of a class of the finest level.
        media: sounds and spectrograms by index of a clip; not of files that are missing.
        wanted: number of sounds that were looked for.
        missing: those that were not found or are not readable.
        names: of all clips, short.
        curve: the learning curve; ``None`` if none was given.
        curve_chart: of it.
        curve_note: that it is of other data; empty if it is not, or if that is not known.
        examination: the doctor's findings; ``None`` if the data were not examined.
        commands: by name: ``resume``, ``review``, ``doctor``, ``examine``; where options are known,
            ``repeat``; where a learning curve is possible, ``curve`` and ``curve_report``.
    """

    record: RunRecord
    title: str
    facts: tuple[tuple[str, str], ...]
    levels: tuple[Level, ...]
    reliability: Mapping[str, Chart]
    unknown: Unknown | None
    mistakes: tuple[Example, ...]
    suspicious: tuple[tuple[SuspiciousLabel, int | None, Example | None], ...]
    method: MethodName
    typical: Mapping[int, int]
    media: Mapping[int, Media]
    wanted: int
    missing: int
    names: Sequence[str]
    curve: Curve | None
    curve_chart: Chart | None
    curve_note: str
    examination: Examination | None
    commands: Mapping[str, str]

    @property
    def finest(self) -> Level | None:
        """The finest level that was scored."""
        scored = [level for level in self.levels if level.scores is not None]
        return scored[-1] if scored else None

    @property
    def cells(self) -> dict[str, Any]:
        """The clips of each cell by level, and all names, for the script of the page."""
        predictions = self.record.predictions
        return {
            "names": list(map(printable, self.names)),
            "levels": {
                level.name: {
                    "labels": level.labels,
                    "multi": level.multi,
                    "cells": {str(key): clips for key, clips in level.cells.items() if clips},
                    "totals": {str(key): total for key, total in cut_cells(level).items()},
                }
                for level in (self.levels if predictions is not None else ())
            },
        }


def cut_cells(level: Level) -> dict[int, int]:
    """The number of clips of each cell that lists only some of them."""
    totals = {}
    for key, clips in level.cells.items():
        if level.multi:
            index, falsely = divmod(key, 2)
            row = level.classes[index]
            total = row.false_alarms if falsely else row.missed
        else:
            label, predicted = divmod(key, len(level.labels))
            total = level.scores.confusion[label][predicted] if level.scores else 0
        if total > len(clips):
            totals[key] = total
    return totals


def collect(run: Path, options: ReportOptions) -> Report:
    """Collect the content of the page of a run.

    Raises:
        OptionsError: not a run folder, or no finished learning curve.
        SonotypeError: a file of the run is damaged.
    """
    record = read_run(run)
    levels = levels_of(record)
    curve = None if options.curve is None else read_curve(options.curve)
    if curve is not None and options.curve is not None:
        require_same_classes(curve, options.curve, levels)
    mistakes = worst_mistakes(record, levels, options.examples)
    suspicious = suspicious_examples(record, mistakes, options.examples // 2)
    typical = typical_examples(levels, TYPICAL if options.examples else 0)
    own = [example for _, _, example in suspicious if example is not None]
    media, wanted = _media(record, [*mistakes, *own], typical.values(), options)
    predictions = record.predictions
    return Report(
        record=record,
        title=printable(Path(record.data).name or record.data),
        facts=tuple(_facts(record)),
        levels=levels,
        reliability={
            level.name: reliability_chart(level.bins, unit=record.unit, several=level.multi)
            for level in levels
            if level.bins
        },
        unknown=_unknown(record),
        mistakes=mistakes,
        suspicious=suspicious,
        method=options.method,
        typical=typical,
        media=media,
        wanted=wanted,
        missing=wanted - len(media),
        names=short_names(
            [place_of(path, windows=record.windows) for path in predictions.paths]
            if predictions is not None
            else []
        ),
        curve=curve,
        curve_chart=None if curve is None else curve_chart(curve),
        curve_note="" if options.curve is None else curve_note(record, options.curve),
        examination=examination_of(
            record, look=options.doctor, again=options.again, progress=options.progress
        ),
        commands=_commands(record),
    )


def _media(
    record: RunRecord,
    examples: Sequence[Example],
    typical: Iterable[int],
    options: ReportOptions,
) -> tuple[dict[int, Media], int]:
    """Sounds and pictures by clip, and the number of clips that were looked for."""
    if record.predictions is None or record.card is None:
        return {}, 0
    spec = record.card.audio_spec
    wanted: dict[int, Example | None] = dict.fromkeys(typical)
    wanted |= {example.clip: example for example in examples}
    classifier = None
    if examples:
        from sonotype.experiments.run_folder import MODEL
        from sonotype.inference.load import load

        classifier = load(record.folder / MODEL, tta_shifts=1)
    places = {
        clip: place_of(record.predictions.paths[clip], windows=record.windows) for clip in wanted
    }
    paths = {clip: find_file(place.path, record.data) for clip, place in places.items()}

    def read(clip: int) -> Media | None:
        path = paths[clip]
        return None if path is None else media_of(path, spec, places[clip].start)

    found: dict[int, Media] = {}
    sounds = prefetch(read, wanted, threads=available_cpus(), buffer_size=4)
    for clip, media in zip(
        wanted, track(sounds, "sounds", len(wanted), show=options.progress), strict=True
    ):
        path, example = paths[clip], wanted[clip]
        if media is None or path is None:
            continue
        if example is not None and classifier is not None:
            question = (example.level, example.question)
            media = explained(media, classifier, path, places[clip].start, question, options.method)
        found[clip] = media
    return found, len(wanted)


def _facts(record: RunRecord) -> list[tuple[str, str]]:
    """What was trained on what."""
    options, card, system = record.options, record.card, record.system
    rows = record.rows
    subsets = {
        name: sum(row["subset"] == name for row in rows) for name in ("train", "val", "test")
    }
    facts = [("Data", near(record.data))]
    if rows:
        text = counted(len(rows), record.unit)
        if record.windows:
            length = "" if system is None else f" of {system.seconds:g} s"
            text += f"{length} from {counted(record.recordings, 'recording')}"
        elif record.recordings < len(rows):
            text += f" from {counted(record.recordings, 'recording')}"
        none = sum(not any(row[level] for level in record.levels) for row in rows)
        if none:
            text += f", {none} of them of no class"
        if subsets["test"]:
            text += (
                f": {subsets['train']} for training, {subsets['val']} for validation, "
                f"{subsets['test']} for the test"
            )
        facts.append(("Sounds", text))
    classes = [
        f"{len(head.classes)} {plural(head.name) if len(head.classes) > 1 else head.name}"
        + (", any number to a sound" if head.problem == "multi" else "")
        for head in record.heads
    ]
    if classes:
        facts.append(("Classes", "; ".join(classes)))
    if system is not None:
        backbone = (system if card is None else card.options).backbone
        untrained = backbone in (COMPACT, NO_BACKBONE)
        network = f"backbone {backbone}, not pretrained" if untrained else f"pretrained {backbone}"
        if options is not None and is_model_file(options.system.backbone):
            network = f"backbone {backbone} from {near(options.system.backbone)}"
        facts.append(("Model", f"{system.system} with {network}"))
    if options is not None:
        facts.append(("Recipe", f"{options.train.recipe}, sounds of {options.system.seconds:g} s"))
    else:
        facts.append(("Options", f"not shown: {record.options_problem}"))
    if card is not None:
        facts += [("Licence", f"{name}: {text}") for name, text in card.licences.items()]
    version = f"sonotype {record.version}"
    if record.finished is None:
        facts.append(("Version", version))
    else:
        facts.append(("Date", f"{record.finished:%Y-%m-%d %H:%M}, {version}"))
    return [(name, printable(text)) for name, text in facts]


def _unknown(record: RunRecord) -> Unknown | None:
    """Threshold and histogram of the unknown scores."""
    predictions, card = record.predictions, record.card
    threshold = card.unknown_threshold if card is not None else None
    if threshold is None:
        return None
    if predictions is None or predictions.unknown is None:
        return Unknown(threshold, None)
    scores, negative = predictions.unknown, predictions.negative
    measured = np.isfinite(scores)
    limit = predictions.unknown_threshold
    chart = unknown_chart(
        scores[measured & ~negative], scores[measured & negative],
        threshold if limit is None else limit,
    )  # fmt: skip
    return Unknown(threshold, chart)


def _commands(record: RunRecord) -> dict[str, str]:
    run, data, options = near(record.folder), record.data, record.options
    curve = f"{run}-curve"
    commands = {
        "resume": f"sonotype train --resume {shlex.quote(run)}",
        "review": f"sonotype suspects {shlex.quote(run)} --review",
        "doctor": f"sonotype doctor {shlex.quote(near(data))}",
        "examine": f"sonotype report {shlex.quote(run)} --doctor",
    }
    if options is None:
        return commands
    commands["repeat"] = repeat_command(data, options, f"{run}-again")
    commands["doctor"] = doctor_command(data, options)
    single = all(head.problem == "single" for head in record.heads)
    if single and not options.train.ensemble and not record.unscorable:
        commands["curve"] = curve_command(data, options, curve)
        commands["curve_report"] = shlex.join(["sonotype", "report", run, "--curve", curve])
    return commands
