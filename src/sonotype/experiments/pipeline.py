"""A run in six steps: open, split, build, fit, score, save.

:mod:`sonotype.experiments.opening` does the first two; :func:`run` does the others.
"""

from __future__ import annotations

import dataclasses
import textwrap
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sonotype.config import SystemOptions
from sonotype.core.device import device_of
from sonotype.core.errors import OptionsError
from sonotype.core.progress import OnMessage, begin
from sonotype.core.text import counted, duration, listed
from sonotype.core.types import Heads
from sonotype.data.annotations.statistics import SECONDS_PER_HOUR, hours, hours_listened
from sonotype.data.augment.augmented_copies import Transform
from sonotype.data.manifest import Manifest
from sonotype.data.readers.unlabelled import unlabelled_clips
from sonotype.data.splits.split_file import SPLIT, write_split
from sonotype.evaluation.evaluate import SYNTHETIC_NOTE, predict_clips
from sonotype.evaluation.metrics import Scores, score, scores_to_json
from sonotype.evaluation.predictions import Predictions, save_predictions
from sonotype.evaluation.suspicious import SUSPICIOUS, suspicious_labels, write_suspicious
from sonotype.evaluation.write_report import write_report
from sonotype.experiments.context import BuiltSystem, RunContext, ignore
from sonotype.experiments.frame_run import add_detection
from sonotype.experiments.linear_run import fit_linear_heads
from sonotype.experiments.opening import open_run
from sonotype.experiments.processes import (
    place_of,
    require_devices,
    require_joined,
    several_processes,
    writes,
)
from sonotype.experiments.run_card import build_card
from sonotype.experiments.run_folder import (
    HISTORY,
    MODEL,
    PREDICTIONS,
    check_same_config,
    lock_config,
    read_config,
    require_free,
    write_history,
    write_seconds,
)
from sonotype.experiments.run_lock import locked_run
from sonotype.experiments.run_options import RunOptions
from sonotype.inference.classifier import Classifier
from sonotype.inference.torch_engine import TorchEngine
from sonotype.modelfile.card import audio_spec_of
from sonotype.modelfile.model_file import save_model
from sonotype.modelfile.pretrained import is_model_file, load_pretrained
from sonotype.models.backbones.names import COMPACT, NO_BACKBONE
from sonotype.models.build import build_system
from sonotype.models.summary import summarise
from sonotype.models.system import System
from sonotype.training.distillation.teachers import Teachers, load_teacher
from sonotype.training.history import read_history, require_tensorboard
from sonotype.training.inputs import FitInputs
from sonotype.training.provenance import (
    clips_seen_by_backbone,
    note_on_backbone,
    sound_of,
    union_of,
    write_seen_clips,
)
from sonotype.training.random_state import kept_random_state
from sonotype.training.result import FitResult

MEASURED_CLIPS = 24
"""Clips per class up to which a frozen branch 1 was measured to be best (docs/results.md)."""


@dataclass(frozen=True)
class TrainResult:
    """The result of a run.

    Attributes:
        folder: the run folder.
        model: the model file.
        scores: of the test subset, as JSON values; empty if the run was interrupted.
        report: the scores as text.
        best_epoch: counted from 1; ``None`` for linear heads.
        best_score: macro F1 on validation; ``None`` if the last epoch was kept.
        interrupted: by ctrl-C; the test subset was not read.
    """

    folder: Path
    model: Path
    scores: dict[str, Any]
    report: str
    best_epoch: int | None
    best_score: float | None
    interrupted: bool


@kept_random_state()
def train(
    data: str | Path | None,
    out: str | Path,
    *,
    resume: bool = False,
    transform: Transform | None = None,
    progress: bool = False,
    verbose: bool = False,
    on_message: OnMessage = ignore,
    **options: Any,
) -> TrainResult:
    """Train a system on labelled sounds and score it once on its test subset.

    Args:
        data: a folder of labelled folders, a CSV or Parquet table, ESC-50 or MSoS; see
            ``docs/data.md``. ``None`` when resuming.
        out: the run folder, new or empty; with ``resume`` the run to resume.
        resume: take options and data from the run folder and continue the training.
        transform: an additional augmentation of training waveforms, ``(samples, sample_rate) ->
            samples``, such as a composition of audiomentations.
        progress: draw bars on standard error.
        verbose: report every epoch and the size of the system.
        on_message: is called with lines of text, such as ``print``.
        options: fields of :class:`SystemOptions`, :class:`TrainOptions`, :class:`SplitOptions`,
            :class:`SourceOptions` and :class:`ScoreOptions`.

    With ``devices`` or ``nodes`` above 1, the other processes run the same script and exit at the
    end of the training; only rank 0 returns.

    Raises:
        SonotypeError: a subclass for each cause: options, data, weights.
    """
    folder, start = Path(out), time.monotonic()
    if resume and data is not None:
        raise OptionsError("a resumed run takes its data from the run folder; leave out data")
    if resume:
        data, chosen = read_config(folder, options)
    elif data is None:
        raise OptionsError("there is no data to train on; name a folder or a table")
    else:
        chosen = RunOptions.of(options)
    place = place_of(chosen.train, folder)
    require_devices(chosen.train)
    if not place.writes:
        progress, verbose, on_message = False, False, ignore
    elif not resume:
        require_free(folder)
    context = open_run(
        data, folder, chosen,
        transform=transform, progress=progress, verbose=verbose, on_message=on_message,
    )  # fmt: skip
    if place.writes:
        check_same_config(context)
    with several_processes(context, place):
        result = run(context)
    if not result.interrupted:
        write_seconds(folder, time.monotonic() - start)
    return result


def run(context: RunContext) -> TrainResult:
    """Steps 3 to 6: build, fit, score and save. A training in the folder is resumed.

    Raises:
        SonotypeError: also if another process writes this run.
    """
    _check(context)
    torch.manual_seed(context.options.train.seed)
    built = build(context)
    with locked_run(context.folder) if writes() else nullcontext():
        return _fit_and_save(context, built)


def _fit_and_save(context: RunContext, built: BuiltSystem) -> TrainResult:
    """Steps 4 to 6 in a folder that is locked."""
    if writes():
        lock_config(context)
        write_split(context.folder / SPLIT, context.manifest, context.split)
        write_seen_clips(context.folder, built.seen)
    _announce(context, built)
    held_out = None
    if context.options.train.ensemble:
        # That module runs the steps of this one for each fold.
        from sonotype.experiments.ensemble_run import add_members, require_folds

        require_folds(context)
    if context.options.train.recipe == "linear":
        fitted, held_out = fit_linear_heads(context, built)
        if context.options.train.ensemble and held_out is not None:
            fitted, held_out = add_members(context, built, fitted, held_out)
        fitted = add_detection(context, built, fitted)
    elif context.split.folds:
        fitted, held_out = crossfit_system(context, built)
    else:
        fitted = fit_system(context, built)
    tested = None
    if context.split.test and not fitted.interrupted:
        tested = score_test(context, built, fitted)
    elif context.split.folds and held_out is not None:
        tested = held_out, score_predictions(context, built, held_out)
    return save(context, built, fitted, tested)


def _check(context: RunContext) -> None:
    """Raise an error for options that this machine or package set cannot satisfy."""
    options = context.options.train
    device_of(options.device)
    require_tensorboard(options)
    require_joined(context)
    if context.transform is not None and options.recipe == "linear":
        raise OptionsError(
            "the transform augments clips for gradient training, and the recipe linear does not "
            "augment; set recipe to modern"
        )
    if context.transform is not None and options.n_augmented == 1:
        raise OptionsError(
            "n_augmented is 1, so every clip is used as recorded and the transform never applies; "
            "set 0 for new copies in each epoch, or 2 or more"
        )


def build(context: RunContext) -> BuiltSystem:
    """Step 3: the system with pretrained weights, its teachers, and what these were trained on."""
    options, heads = context.options, context.heads
    named, system, licences = _load_system(options.system, heads, context.progress)
    audio_spec = audio_spec_of(named, system.sample_rate)
    test_clips = context.clips("test")
    seen = clips_seen_by_backbone(options.system.backbone, context.manifest.name)
    scored = [*test_clips, *(context.clips("train") if context.split.folds else ())]
    note = note_on_backbone(options.system.backbone, seen, scored)
    teachers = None
    if options.teaching.teachers:
        models = [load_teacher(path, heads) for path in options.teaching.teachers]
        teachers = Teachers(models, test_clips)
        teachers.require(audio_spec)
        licences |= teachers.licences
        seen = union_of([seen, teachers.seen])
    unlabelled = unlabelled_clips(
        options.teaching.unlabelled,
        context.manifest.clips,
        partial=context.manifest.partial,
        progress=context.progress,
    )
    seen = union_of([seen, frozenset(map(sound_of, unlabelled))])
    return BuiltSystem(
        system, named, audio_spec, licences, teachers, unlabelled, seen,
        "; ".join(filter(None, (context.split.note, note))),
    )  # fmt: skip


def _load_system(
    options: SystemOptions, heads: Heads, progress: bool
) -> tuple[SystemOptions, System, dict[str, str]]:
    """The options that rebuild a system, the system with pretrained weights, and their licences."""
    if options.backbone in (NO_BACKBONE, COMPACT):
        return options, build_system(options, heads), {}
    if not is_model_file(options.backbone):
        build_system(options, heads)  # wrong options raise an error before any download
    found = load_pretrained(options.backbone, progress=progress)
    named = dataclasses.replace(options, backbone=found.name)
    return named, build_system(named, heads, found.backbone), dict(found.licences)


def _announce(context: RunContext, built: BuiltSystem) -> None:
    """Report clips, notes, advice and the size of the system."""
    options, split = context.options.system, context.split
    context.on_message(
        f"{options.system} with backbone {options.backbone}: {len(split.train)} "
        f"{'windows' if context.manifest.recordings else 'clips'} to train on, {len(split.val)} to "
        f"validate, {len(split.test)} to test"
    )
    teachers = built.teachers.note(context.clips("train")) if built.teachers else ""
    labelled = sum(bool(clip.labels) for clip in context.clips("train"))
    recordings = context.manifest.recordings
    advice = "" if recordings else freezing_advice(options, labelled, context.heads)
    labels = recordings_text(context) if recordings else several_labels_text(context)
    for text in filter(None, (labels, always_present_text(context), built.note, teachers, advice)):
        context.on_message(textwrap.fill(text, 80))
    if context.verbose:
        total = summarise(built.system, options.seconds).total
        context.on_message(
            f"{total.parameters:,} parameters, {total.frozen:,} of them frozen; "
            f"{total.multiply_adds / 1e6:,.0f} million multiply-adds a clip"
        )


def several_labels_text(context: RunContext) -> str:
    """How many clips have several labels, or none, if some can."""
    multi = [head.name for head in context.heads if head.problem == "multi"]
    if not multi:
        return ""
    counts = [len(clip.labels.get(multi[0], ())) for clip in context.manifest.clips]
    several, none = sum(count > 1 for count in counts), sum(count == 0 for count in counts)
    return (
        f"{several} of {counted(len(counts), 'clip')} have several labels, {none} have none: each "
        "class is predicted by itself"
    )


def recordings_text(context: RunContext) -> str:
    """What the windows of annotated recordings were cut from."""
    manifest, options = context.manifest, context.options
    recordings = manifest.recordings
    total = SECONDS_PER_HOUR * hours(recordings)
    listened = SECONDS_PER_HOUR * hours_listened(recordings)
    events = sum(len(one.events) for one in recordings)
    level = manifest.levels[0]
    labelled = sum(bool(clip.labels.get(level)) for clip in manifest.clips)
    text = (
        f"{counted(len(recordings), 'recording')} of {duration(total)}, {duration(listened)} of it "
        f"annotated, {counted(events, 'event')}: {counted(labelled, 'window')} of "
        f"{options.system.seconds:g} s with events, {len(manifest.clips) - labelled} without"
    )
    if manifest.not_annotated:
        missing = counted(manifest.not_annotated, "recording")
        text += f"; {missing} without a label file not used"
    if options.source.annotated == "labels" and listened < 0.9 * total:
        text += (
            "; parts before the first and after the last label are not used: if you listened to "
            "all of the recordings, add --annotated whole"
        )
    of_windows = {label for clip in manifest.clips for label in clip.labels.get(level, ())}
    lost = sorted({event.label for one in recordings for event in one.events} - of_windows)
    if lost:
        single = options.source.problem == "single"
        why = "each has one label, its longest; " if single else ""
        text += f"; no window has {listed(lost, 12)}, which the model does not learn: {why}"
        text += "choose shorter windows (--seconds)" + (" or --problem multi" if single else "")
    return text


def always_present_text(context: RunContext) -> str:
    """Which classes cannot be told from their absence, because no clip is known to lack them."""
    always = [
        label
        for head in context.heads
        if head.problem == "multi"
        for label, column in zip(
            head.classes, np.array([head.target(c) for c in context.manifest.clips]).T, strict=True
        )
        if not (column == 0).any()
    ]
    if not always:
        return ""
    advice = "; add recordings without them"
    if context.manifest.recordings and context.options.source.annotated == "labels":
        advice += ", or use all of these recordings with --annotated whole"
    return (
        f"no clip is known to be without {listed(always, 12)}: the model cannot learn when they "
        f"are absent, and their scores say nothing{advice}"
    )


def freezing_advice(options: SystemOptions, clips: int, heads: Heads) -> str:
    """Advice to unfreeze branch 1 if there are more clips than it was measured with."""
    per_class = clips / max(len(head.classes) for head in heads)
    if options.backbone == NO_BACKBONE or options.unfreeze_from or per_class <= MEASURED_CLIPS:
        return ""
    return (
        f"branch 1 stays frozen, which was measured to be best up to {MEASURED_CLIPS} clips per "
        f"class; with {per_class:.0f}, compare with --unfreeze-from 3 --backbone-lr-scale 0.5"
    )


def fit_system(context: RunContext, built: BuiltSystem) -> FitResult:
    """Step 4: train; the system then has the weights of the chosen epoch."""
    from sonotype.training.trainer import fit  # imports Lightning, which takes seconds

    manifest, options = context.manifest, context.options
    return fit(
        FitInputs(
            system=built.system,
            audio_spec=built.audio_spec,
            heads=context.heads,
            train=context.clips("train") + built.unlabelled,
            val=context.clips("val"),
            folder=context.folder / "training",
            options=options.train,
            transform=context.transform,
            source=manifest.clips,
            decoded=manifest.decoded,
            from_scratch=built.options.backbone in (NO_BACKBONE, COMPACT),
            teachers=built.teachers,
            teaching=options.teaching,
            category_source=options.score.category_source,
            progress=context.progress,
            verbose=context.verbose,
            on_message=context.on_message,
        )
    )


def crossfit_system(
    context: RunContext, built: BuiltSystem
) -> tuple[FitResult, Predictions | None]:
    """Step 4 with cross-fitting: train for each fold, then on all clips.

    Returns:
        the result, and the calibrated predictions of all clips; ``None`` if interrupted
    """
    # That module runs the steps of this one for each fold.
    from sonotype.experiments.gradient_crossfit import calibrate, crossfit

    context, predictions = crossfit(context)
    heads, predictions = calibrate(context, predictions)
    fitted = fit_system(context, built)
    return dataclasses.replace(fitted, heads=heads), None if fitted.interrupted else predictions


def score_test(
    context: RunContext, built: BuiltSystem, fitted: FitResult
) -> tuple[Predictions, Scores]:
    """Step 5: score the model on the test subset, which is read here and nowhere else."""
    manifest, options = context.manifest, context.options
    heads = fitted.heads or context.heads
    engine = TorchEngine(built.system, heads, device_of(options.train.device))
    predictions = predict_clips(
        Classifier(engine, build_card(context, built, fitted)),
        manifest.take(list(context.split.test)),
        partial=manifest.partial,
        progress=context.progress,
    )
    return predictions, score_predictions(context, built, predictions)


def score_predictions(context: RunContext, built: BuiltSystem, predictions: Predictions) -> Scores:
    """The scores of predictions, with the notes of the run."""
    options = context.options
    return score(
        predictions,
        category_source=options.score.category_source,
        seed=options.train.seed,
        notes=score_notes(context.manifest, built.note),
    )


def save(
    context: RunContext,
    built: BuiltSystem,
    fitted: FitResult,
    tested: tuple[Predictions, Scores] | None,
) -> TrainResult:
    """Step 6: write the model, and, if it was tested, predictions, scores and plots."""
    begin("saving", show=context.progress)
    folder, values = context.folder, {}
    report = "" if fitted.interrupted else built.note
    card = build_card(context, built, fitted)
    if tested is not None:
        values = scores_to_json(tested[1])
    save_model(folder / MODEL, built.system, dataclasses.replace(card, scores=values))
    if tested is not None:
        predictions, scores = tested
        if context.split.folds:
            write_suspicious(folder / SUSPICIOUS, suspicious_labels(predictions))
        save_predictions(predictions, folder / PREDICTIONS)
        history = read_history(folder / "training")
        if history:
            write_history(folder / HISTORY, history)
        report = write_report(scores, predictions, folder, history=history)
    return TrainResult(
        folder, folder / MODEL, values, report,
        fitted.best_epoch, fitted.best_score, fitted.interrupted,
    )  # fmt: skip


def score_notes(manifest: Manifest, note: str) -> tuple[str, ...]:
    """The notes to show beside scores on a source."""
    return tuple(filter(None, (SYNTHETIC_NOTE if manifest.synthetic else "", note)))
