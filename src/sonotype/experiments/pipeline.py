"""A training as users know it: from a data source to a folder with model, scores and plots."""

from __future__ import annotations

import dataclasses
import platform
import textwrap
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from sonotype.config import SystemOptions, to_dict
from sonotype.core.device import device_of
from sonotype.core.errors import OptionsError
from sonotype.core.types import Labels
from sonotype.core.version import __version__
from sonotype.data.augment.augmented_copies import Transform
from sonotype.data.manifest import Manifest
from sonotype.data.readers.source import open_source
from sonotype.data.readers.unlabelled import unlabelled_clips
from sonotype.data.splits.split import Split, split
from sonotype.data.splits.split_file import SPLIT, lock_split
from sonotype.data.splits.subsets import chosen_on_test, without_validation
from sonotype.data.validate import check_sounds
from sonotype.evaluation.evaluate import SYNTHETIC_NOTE, predict_clips
from sonotype.evaluation.metrics import score, scores_to_json
from sonotype.evaluation.predictions import save_predictions
from sonotype.evaluation.write_report import write_report
from sonotype.experiments.run_folder import (
    HISTORY,
    MODEL,
    PATHS,
    PREDICTIONS,
    located,
    lock_config,
    read_config,
    refuse_occupied,
    write_history,
)
from sonotype.experiments.run_options import RunOptions
from sonotype.inference.classifier import Classifier
from sonotype.inference.torch_engine import TorchEngine
from sonotype.modelfile.card import ModelCard, audio_spec_of
from sonotype.modelfile.model_file import save_model
from sonotype.modelfile.pretrained import available, is_model_file, load_pretrained
from sonotype.models.backbones.names import COMPACT, NO_BACKBONE
from sonotype.models.build import build_system
from sonotype.models.summary import summarise
from sonotype.models.system import System
from sonotype.training.callbacks import OnMessage
from sonotype.training.distillation.teachers import Teachers, load_teacher
from sonotype.training.history import read_history, require_tensorboard
from sonotype.training.inputs import FitInputs
from sonotype.training.provenance import (
    SEEN,
    SeenClips,
    clips_seen_by_backbone,
    digests_of,
    note_on_backbone,
    sound_of,
    union_of,
    write_seen_clips,
)
from sonotype.training.random_state import kept_random_state
from sonotype.training.trainer import FitResult, fit

MEASURED_CLIPS = 24
PACKAGES = ("torch", "pytorch-lightning", "numpy", "soundfile", "soxr", "scikit-learn")


@dataclass(frozen=True)
class TrainResult:
    """Where a finished training left its things.

    Attributes:
        folder: the run.
        model: the model file.
        scores: of the test part, as JSON values; empty where ctrl-C came before.
        report: the scores as text.
        best_epoch: counted from 1.
        best_score: macro F1 on validation; ``None`` where the last epoch was kept.
        interrupted: by ctrl-C; the test part was not read.
    """

    folder: Path
    model: Path
    scores: dict[str, Any]
    report: str
    best_epoch: int
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
    on_message: OnMessage = lambda _: None,
    **options: Any,
) -> TrainResult:
    """Train a system on a source of labelled sounds, score it once on its test part.

    Args:
        data: a folder of labelled folders, a CSV or Parquet table, ESC-50 or MSoS; see
            ``docs/data.md``. ``None`` when resuming.
        out: the run folder, new or empty; with ``resume`` the run to go on with.
        resume: take options and data from the run and go on where it stopped.
        transform: one more augmentation of training waveforms, ``(samples, sample_rate) ->
            samples``, such as a composition of audiomentations.
        progress: draw bars on standard error.
        on_message: gets a line now and then, such as ``print``.
        options: fields of :class:`SystemOptions`, :class:`TrainOptions`, :class:`SplitOptions`,
            :class:`SourceOptions` and :class:`ScoreOptions`.

    Raises:
        SonotypeError: one of its kinds for each thing that can be wrong: options, data, weights.
    """
    folder = Path(out)
    if resume and data is not None:
        raise OptionsError("resuming takes the data from the run; leave them out")
    if resume:
        data, chosen, before = read_config(folder, options, transform)
    elif data is None:
        raise OptionsError("there is no data to train on; name a folder or a table")
    else:
        chosen, before = RunOptions.of(options), None
        refuse_occupied(folder)
    manifest = open_source(data, chosen.source)
    parts = parts_of(manifest, chosen)  # refuses what cannot be split before sounds are decoded
    manifest = inspect(manifest, progress=progress)
    if manifest.copies:
        parts = parts_of(manifest, chosen)
    fingerprint = manifest.fingerprint()
    if before not in (None, fingerprint):
        raise OptionsError(f"{data} is not the data that {folder} was trained on; it has changed")
    chosen = with_backbone(chosen, progress=progress, on_message=on_message)
    return run_split(
        manifest,
        parts,
        folder,
        chosen,
        data=data,
        fingerprint=fingerprint,
        transform=transform,
        progress=progress,
        on_message=on_message,
    )


def with_backbone(
    options: RunOptions, *, progress: bool = False, on_message: OnMessage = lambda _: None
) -> RunOptions:
    """The options with a backbone that can be had in the place of ``auto``.

    Raises:
        WeightsError: there is none.
    """
    name = available(options.system.backbone, progress=progress, on_message=on_message)
    return dataclasses.replace(options, system=dataclasses.replace(options.system, backbone=name))


def parts_of(manifest: Manifest, options: RunOptions) -> Split:
    """The split that the options ask for.

    Raises:
        DataError: a part would be empty, or lacks a class.
        OptionsError: options of the split that will not do, or that contradict each other.
    """
    arguments = to_dict(options.split)
    select_on = arguments.pop("select_on")
    if select_on == "test" and options.train.checkpoint == "last":
        raise OptionsError("checkpoint is last, so nothing chooses the epoch; leave out select_on")
    parts = split(manifest, **arguments, seed=options.train.seed)
    if parts.protocol == "all":
        return parts
    if options.train.checkpoint == "last":
        return without_validation(parts)
    return chosen_on_test(parts) if select_on == "test" else parts


def inspect(manifest: Manifest, *, progress: bool = False) -> Manifest:
    """Read every sound once; the manifest with their contents, and copies of a sound in one group.

    Raises:
        DataError: sounds that cannot be read, or that have two labels, all of them.
    """
    return check_sounds(manifest, progress=progress)


def run_split(
    manifest: Manifest,
    parts: Split,
    folder: Path,
    options: RunOptions,
    *,
    data: str | Path,
    fingerprint: str,
    transform: Transform | None = None,
    progress: bool = False,
    on_message: OnMessage = lambda _: None,
) -> TrainResult:
    """Train and score on one split; what :func:`train` and cross-validation share.

    Args:
        manifest: the source, from :func:`inspect`.
        parts: which clips are for what.
        folder: the run; a training in it is gone on with.
        options: all options.
        data: the source as the user named it, for the record.
        fingerprint: of the data.
        transform: as for :func:`train`.
        progress: as for :func:`train`.
        on_message: as for :func:`train`.
    """
    options = located(options)
    device_of(options.train.device)
    require_tensorboard(options.train)
    if transform is not None and options.train.n_augmented == 1:
        raise OptionsError(
            "variants is 1, every clip as recorded: the transform would never be heard; give 0 "
            "for new versions in each epoch, or 2 and more"
        )
    labels = manifest.labels if options.system.event_head else Labels(manifest.labels.categories)
    torch.manual_seed(options.train.seed)
    named, system, licences = _system(options.system, labels, progress)
    audio_spec = audio_spec_of(named, system.sample_rate)
    train_clips = manifest.take(list(parts.train)).clips
    test_clips = manifest.take(list(parts.test)).clips
    seen = clips_seen_by_backbone(options.system.backbone, manifest.name)
    if note := note_on_backbone(options.system.backbone, seen, test_clips):
        parts = parts.with_note(note)
    teachers = None
    if options.teaching.teachers:
        teachers = Teachers(
            [load_teacher(path, labels) for path in options.teaching.teachers], test_clips
        )
        teachers.require(audio_spec)
        licences |= teachers.licences
        seen = union_of([seen, teachers.seen])
    unlabelled = unlabelled_clips(
        options.teaching.unlabelled, manifest.clips, partial=manifest.partial, progress=progress
    )
    seen = union_of([seen, frozenset(map(sound_of, unlabelled))])
    lock_config(folder, data, options, fingerprint, transform)
    lock_split(folder / SPLIT, manifest, parts)
    write_seen_clips(folder, seen)
    on_message(
        f"{options.system.system} with backbone {options.system.backbone}: {len(parts.train)} "
        f"clips to train on, {len(parts.val)} to validate, {len(parts.test)} to test"
    )
    if parts.note:
        on_message(textwrap.fill(parts.note, 80))
    if teachers is not None:
        on_message(textwrap.fill(teachers.note(train_clips), 80))
        train_clips += unlabelled
    if advice := freezing_advice(options.system, len(parts.train), labels):
        on_message(textwrap.fill(advice, 80))
    total = summarise(system, options.system.seconds).total
    on_message(
        f"{total.parameters:,} parameters, {total.frozen:,} of them frozen; "
        f"{total.multiply_adds / 1e6:,.0f} million multiply-adds a clip"
    )
    inputs = FitInputs(
        system=system,
        audio_spec=audio_spec,
        labels=labels,
        train=train_clips,
        val=manifest.take(list(parts.val)).clips,
        folder=folder / "training",
        options=options.train,
        transform=transform,
        source=manifest.clips,
        decoded=manifest.decoded,
        from_scratch=named.backbone in (NO_BACKBONE, COMPACT),
        teachers=teachers,
        teaching=options.teaching,
        category_source=options.score.category_source,
        progress=progress,
        on_message=on_message,
    )
    result = fit(inputs)
    own = manifest.take([*parts.train, *parts.val]).clips
    seen = union_of([seen, frozenset(map(sound_of, own))])
    card = _card(
        named, system, options, manifest, labels, parts, fingerprint, result, licences, seen
    )
    if result.interrupted or not parts.test:
        save_model(folder / MODEL, system, card)
        report = "" if result.interrupted else parts.note
        return TrainResult(
            folder, folder / MODEL, {}, report, result.best_epoch, result.best_score,
            result.interrupted,
        )  # fmt: skip
    return _score_once(system, card, manifest, parts, folder, options, result, progress)


def _score_once(
    system: System,
    card: ModelCard,
    manifest: Manifest,
    parts: Split,
    folder: Path,
    options: RunOptions,
    result: FitResult,
    progress: bool,
) -> TrainResult:
    """Read the test part, for the only time, and write model, scores and plots."""
    device = device_of(options.train.device)
    test = manifest.take(list(parts.test))
    classifier = Classifier(TorchEngine(system, device), card)
    answers = predict_clips(classifier, test, partial=test.partial, progress=progress)
    notes = notes_on(manifest, parts)
    scores = score(
        answers, category_source=options.score.category_source, seed=options.train.seed, notes=notes
    )
    values = scores_to_json(scores)
    save_model(folder / MODEL, system, dataclasses.replace(card, scores=values))
    save_predictions(answers, folder / PREDICTIONS)
    history = read_history(folder / "training")
    write_history(folder / HISTORY, history)
    report = write_report(scores, answers, folder, history=history)
    return TrainResult(
        folder, folder / MODEL, values, report, result.best_epoch, result.best_score, False
    )


def freezing_advice(options: SystemOptions, clips: int, labels: Labels) -> str:
    """What to say of a frozen branch 1 where there are more clips than it was measured with.

    Up to :data:`MEASURED_CLIPS` clips of a class, training its last blocks was measured to be no
    better than leaving it frozen (docs/results.md), so frozen is the default for any number.
    """
    each = clips / max(len(labels.events), len(labels.categories))
    if options.backbone == NO_BACKBONE or options.unfreeze_from or each <= MEASURED_CLIPS:
        return ""
    return (
        f"branch 1 stays frozen, which was measured to be best up to {MEASURED_CLIPS} clips of a "
        f"class; with {each:.0f} it may be worth comparing with --unfreeze-from 3 "
        "--backbone-lr-scale 0.5"
    )


def notes_on(manifest: Manifest, parts: Split | None = None) -> tuple[str, ...]:
    """What has to be said beside a score on this source, split like this."""
    notes = (SYNTHETIC_NOTE,) if manifest.synthetic else ()
    return (*notes, parts.note) if parts is not None and parts.note else notes


def _system(
    options: SystemOptions, labels: Labels, progress: bool
) -> tuple[SystemOptions, System, dict[str, str]]:
    """The options that rebuild it, the system with its pretrained weights, and their licences."""
    if options.backbone in (NO_BACKBONE, COMPACT):
        return options, build_system(options, labels), {}
    if not is_model_file(options.backbone):
        build_system(options, labels)  # refuses wrong options before anything is downloaded
    found = load_pretrained(options.backbone, progress=progress)
    named = dataclasses.replace(options, backbone=found.name)
    return named, build_system(named, labels, found.backbone), dict(found.licences)


def _card(
    named: SystemOptions,
    system: System,
    options: RunOptions,
    manifest: Manifest,
    labels: Labels,
    parts: Split,
    fingerprint: str,
    result: FitResult,
    licences: dict[str, str],
    seen: SeenClips,
) -> ModelCard:
    front_ends = [system.branch_1.front_end, system.front_end_2]
    if manifest.licence:
        licences = {**licences, f"data {manifest.name}": manifest.licence}
    return ModelCard(
        options=named,
        labels=labels,
        sample_rate=system.sample_rate,
        front_ends=tuple(type(one).__name__ for one in front_ends if one is not None),
        category_source=options.score.category_source,
        tta_shifts=options.score.tta_shifts,
        training={
            "data": manifest.name,
            "synthetic": manifest.synthetic,
            "fingerprint": fingerprint,
            SEEN: digests_of(seen),
            "clips": {"train": len(parts.train), "val": len(parts.val), "test": len(parts.test)},
            "protocol": parts.protocol,
            "grouped": parts.grouped,
            "options": to_dict(options.train),
            "split": to_dict(options.split),
            "source": to_dict(options.source),
            "backbone": _short(options.system.backbone),
            "teaching": to_dict(options.teaching)
            | {name: [_short(one) for one in getattr(options.teaching, name)] for name in PATHS},
            "best_epoch": result.best_epoch,
            "val_f1": result.best_score,
            "interrupted": result.interrupted,
        },
        versions=_versions(),
        licences=licences,
    )


def _short(name: str) -> str:
    """The last two parts of a path: a model file tells no folders."""
    return "/".join(Path(name).parts[-2:])


def _versions() -> dict[str, str]:
    versions = {"sonotype": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "unknown"
    return versions
