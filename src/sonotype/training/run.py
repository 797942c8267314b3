"""A training as users know it: from a data source to a folder with model, scores and plots.

A run folder holds ``config.json`` (all options and the data's fingerprint), ``split.csv`` (which
clip is in which part), checkpoints and logs under ``training/``, and at the end
``model.safetensors``, ``scores.json``, ``scores.txt``, ``answers.csv``, ``answers.npz`` and
``plots/``.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import platform
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from sonotype import __version__
from sonotype.config import (
    ScoreOptions,
    SplitOptions,
    SystemOptions,
    TrainOptions,
    check,
    from_dict,
    resolve,
    to_dict,
)
from sonotype.data.check import check_sounds
from sonotype.data.manifest import Manifest
from sonotype.data.source import SourceOptions, open_source
from sonotype.data.splits import Split, split
from sonotype.data.waveforms import Transform
from sonotype.device import device_of
from sonotype.errors import OptionsError, SonotypeError
from sonotype.evaluation.answers import save_answers
from sonotype.evaluation.files import replacing, write_text
from sonotype.evaluation.publish import publish
from sonotype.evaluation.run import SYNTHETIC_NOTE, answer
from sonotype.evaluation.scores import score, scores_to_json
from sonotype.inference.classifier import Classifier
from sonotype.models.backbone import NO_BACKBONE
from sonotype.models.build import build_system, clip_format
from sonotype.models.model_file import ModelCard, save_model
from sonotype.models.summary import summarise
from sonotype.models.systems import System
from sonotype.training.callbacks import Say
from sonotype.training.fit import FitResult, fit, read_history
from sonotype.types import Labels
from sonotype.weights.backbone import load_backbone

CONFIG, SPLIT, MODEL, SCORES = "config.json", "split.csv", "model.safetensors", "scores.json"
ANSWERS = "answers.npz"
PACKAGES = ("torch", "pytorch-lightning", "numpy", "soundfile", "soxr", "scikit-learn")


@dataclass(frozen=True)
class RunOptions:
    """All options of a training, each kind in its own frozen dataclass."""

    system: SystemOptions
    train: TrainOptions
    split: SplitOptions
    source: SourceOptions
    score: ScoreOptions

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> RunOptions:
        """Sort flat options (``system="cbir_4", epochs=10, ...``) into their kinds; checked.

        Raises:
            OptionsError: every unknown name, or every value that will not do.
        """
        kinds = {
            "system": SystemOptions,
            "train": TrainOptions,
            "split": SplitOptions,
            "source": SourceOptions,
            "score": ScoreOptions,
        }
        names = {
            kind: {one.name for one in dataclasses.fields(what)} for kind, what in kinds.items()
        }
        known = set().union(*names.values())
        unknown = sorted(set(values) - known)
        if unknown:
            raise OptionsError(
                f"unknown options {', '.join(unknown)}; there are {', '.join(sorted(known))}"
            )
        sorted_out: dict[str, Any] = {
            kind: from_dict(what, {name: values[name] for name in names[kind] if name in values})
            for kind, what in kinds.items()
        }
        options = cls(**sorted_out)
        resolved = resolve(options.train, options.system.system)
        check(resolved)
        return dataclasses.replace(options, train=resolved)

    def flat(self) -> dict[str, Any]:
        """All options under their names, as JSON values."""
        parts = (self.system, self.train, self.split, self.source, self.score)
        return {name: value for part in parts for name, value in to_dict(part).items()}


@dataclass(frozen=True)
class TrainResult:
    """Where a finished training left its things.

    Attributes:
        folder: the run.
        model: the model file.
        scores: of the test part, as JSON values; empty where ctrl-C came before.
        report: the scores as text.
        best_epoch: counted from 1.
        best_score: macro F1 on validation.
        interrupted: by ctrl-C; the test part was not read.
    """

    folder: Path
    model: Path
    scores: dict[str, Any]
    report: str
    best_epoch: int
    best_score: float
    interrupted: bool


def train(
    data: str | Path | None,
    out: str | Path,
    *,
    resume: bool = False,
    transform: Transform | None = None,
    progress: bool = False,
    say: Say = lambda _: None,
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
        say: gets a line now and then, such as ``print``.
        options: fields of :class:`SystemOptions`, :class:`TrainOptions`, :class:`SplitOptions`,
            :class:`SourceOptions` and :class:`ScoreOptions`.

    Raises:
        SonotypeError: one of its kinds for each thing that can be wrong: options, data, weights.
    """
    folder = Path(out)
    if resume and data is not None:
        raise OptionsError("resuming takes the data from the run; leave them out")
    if resume:
        data, chosen, before = _read_config(folder, options, transform)
    elif data is None:
        raise OptionsError("there is no data to train on; name a folder or a table")
    else:
        chosen, before = RunOptions.of(options), None
        _refuse_occupied(folder)
    manifest = open_source(data, chosen.source)
    parts = split(manifest, **_split_arguments(chosen.split), seed=chosen.train.seed)
    fingerprint = inspect(manifest, progress=progress)
    if before not in (None, fingerprint):
        raise OptionsError(f"{data} is not the data that {folder} was trained on; it has changed")
    return run_split(
        manifest,
        parts,
        folder,
        chosen,
        data=data,
        fingerprint=fingerprint,
        transform=transform,
        progress=progress,
        say=say,
    )


def inspect(manifest: Manifest, *, progress: bool = False) -> str:
    """Read every sound once, and give the data's fingerprint.

    Raises:
        DataError: sounds that cannot be read, all of them.
    """
    check_sounds(manifest, progress=progress)
    return manifest.fingerprint()


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
    say: Say = lambda _: None,
) -> TrainResult:
    """Train and score on one split; what :func:`train` and cross-validation share.

    Args:
        manifest: the source.
        parts: which clips are for what.
        folder: the run; a training in it is gone on with.
        options: all options.
        data: the source as the user named it, for the record.
        fingerprint: of the data, from :func:`inspect`.
        transform: as for :func:`train`.
        progress: as for :func:`train`.
        say: as for :func:`train`.
    """
    device_of(options.train.device)
    if transform is not None and options.train.variants == 1:
        raise OptionsError(
            "variants is 1, every clip as recorded: the transform would never be heard; give 0 "
            "for new versions in each epoch, or 2 and more"
        )
    labels = manifest.labels
    torch.manual_seed(options.train.seed)
    system = _system(options.system, labels, progress)
    form = clip_format(options.system, system)
    _write_config(folder, data, options, fingerprint, transform)
    _settle_split(folder / SPLIT, manifest, parts)
    say(
        f"{options.system.system} with backbone {options.system.backbone}: {len(parts.train)} "
        f"clips to train on, {len(parts.val)} to validate, {len(parts.test)} to test"
    )
    if parts.note:
        say(textwrap.fill(parts.note, 80))
    total = summarise(system, options.system.seconds).total
    say(
        f"{total.parameters:,} parameters, {total.frozen:,} of them frozen; "
        f"{total.multiply_adds / 1e6:,.0f} million multiply-adds a clip"
    )
    result = fit(
        system,
        form,
        labels,
        manifest.take(list(parts.train)).clips,
        manifest.take(list(parts.val)).clips,
        folder / "training",
        options.train,
        transform=transform,
        progress=progress,
        say=say,
    )
    card = _card(system, options, manifest, parts, fingerprint, result)
    if result.interrupted:
        save_model(folder / MODEL, system, card)
        return TrainResult(
            folder, folder / MODEL, {}, "", result.best_epoch, result.best_score, True
        )
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
    answers = answer(Classifier(system, card, device=device), test, progress=progress)
    notes = notes_on(manifest, parts)
    scores = score(
        answers, category_from=options.score.category_from, seed=options.train.seed, notes=notes
    )
    values = scores_to_json(scores)
    save_model(folder / MODEL, system, dataclasses.replace(card, scores=values))
    save_answers(answers, folder / ANSWERS)
    history = read_history(folder / "training")
    _write_history(folder / "training.csv", history)
    report = publish(scores, answers, folder, history=history)
    return TrainResult(
        folder, folder / MODEL, values, report, result.best_epoch, result.best_score, False
    )


def notes_on(manifest: Manifest, parts: Split | None = None) -> tuple[str, ...]:
    """What has to be said beside a score on this source, split like this."""
    notes = (SYNTHETIC_NOTE,) if manifest.synthetic else ()
    return (*notes, parts.note) if parts is not None and parts.note else notes


def _system(options: SystemOptions, labels: Labels, progress: bool) -> System:
    if options.backbone == NO_BACKBONE:
        return build_system(options, labels)
    build_system(options, labels)  # refuses wrong options before anything is downloaded
    return build_system(options, labels, load_backbone(options.backbone, progress=progress))


def _card(
    system: System,
    options: RunOptions,
    manifest: Manifest,
    parts: Split,
    fingerprint: str,
    result: FitResult,
) -> ModelCard:
    front_ends = [system.branch_1.front_end, system.front_end_2]
    licences = {}
    if options.system.backbone != NO_BACKBONE:
        licences[options.system.backbone] = system.branch_1.licence
    if manifest.licence:
        licences[f"data {manifest.name}"] = manifest.licence
    return ModelCard(
        options=options.system,
        labels=manifest.labels,
        sample_rate=system.sample_rate,
        front_ends=tuple(type(one).__name__ for one in front_ends if one is not None),
        category_from=options.score.category_from,
        training={
            "data": manifest.name,
            "synthetic": manifest.synthetic,
            "fingerprint": fingerprint,
            "clips": {"train": len(parts.train), "val": len(parts.val), "test": len(parts.test)},
            "protocol": parts.protocol,
            "grouped": parts.grouped,
            "options": to_dict(options.train),
            "split": to_dict(options.split),
            "source": to_dict(options.source),
            "best_epoch": result.best_epoch,
            "val_f1": result.best_score,
            "interrupted": result.interrupted,
        },
        versions=_versions(),
        licences=licences,
    )


def _versions() -> dict[str, str]:
    versions = {"sonotype": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "unknown"
    return versions


def _split_arguments(options: SplitOptions) -> dict[str, Any]:
    return {one.name: getattr(options, one.name) for one in dataclasses.fields(options)}


def _refuse_occupied(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise OptionsError(f"{folder} is a file; a run needs a folder of its own")
    if (folder / CONFIG).exists():
        raise OptionsError(
            f"{folder} holds a run already; --resume {folder} goes on with it, or name "
            "another --out"
        )
    if folder.is_dir() and any(folder.iterdir()):
        raise OptionsError(f"{folder} is not empty; a run needs a folder of its own")


def _write_config(
    folder: Path,
    data: str | Path,
    options: RunOptions,
    fingerprint: str,
    transform: Transform | None,
) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        config = {
            "sonotype": __version__,
            "data": str(Path(data).resolve()),
            "fingerprint": fingerprint,
            "transform": None if transform is None else repr(transform),
            "options": options.flat(),
        }
        write_text(folder / CONFIG, json.dumps(config, indent=2) + "\n")
    except OSError as error:
        raise SonotypeError(f"{folder}: cannot be written ({error.strerror})") from error


def _read_config(
    folder: Path, options: Mapping[str, Any], transform: Transform | None
) -> tuple[str, RunOptions, str]:
    if options:
        names = ", ".join(sorted(options))
        raise OptionsError(f"--resume takes all options from the run; leave out {names}")
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        data, flat, found = config["data"], config["options"], config["fingerprint"]
    except FileNotFoundError:
        raise OptionsError(f"{folder} holds no run to go on with ({CONFIG} is missing)") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OptionsError(f"{folder / CONFIG} cannot be read ({error})") from None
    if bool(config.get("transform")) != (transform is not None):
        wanted = config.get("transform")
        raise OptionsError(
            f"{folder} was trained with the transform {wanted}; give it again to go on"
            if wanted
            else f"{folder} was trained without a transform; leave it out to go on"
        )
    if (folder / SCORES).exists():
        raise OptionsError(f"{folder} is finished; its scores are in {folder / SCORES}")
    return data, RunOptions.of(flat), found


def _settle_split(path: Path, manifest: Manifest, parts: Split) -> None:
    """Note which clip is in which part, or compare with what was noted when the run began.

    The same sounds under other names or in other groups can be dealt otherwise; going on would
    then test on clips that were trained on.
    """
    text = split_table(manifest, parts)
    if path.exists() and path.read_bytes().decode("utf-8", "surrogateescape") != text:
        raise OptionsError(
            f"the clips would be parted otherwise than in {path}: names, groups or folds of the "
            "data have changed; train a new run"
        )
    with replacing(path) as part:
        part.write_bytes(text.encode("utf-8", "surrogateescape"))


def split_table(manifest: Manifest, parts: Split) -> str:
    """The clips of a split as CSV: part, path, category, event, group."""
    named = (("train", parts.train), ("val", parts.val), ("test", parts.test))
    part_of = {index: name for name, indices in named for index in indices}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["part", "path", "category", "event", "group"])
    for index, clip in enumerate(manifest.clips):
        if index in part_of:
            row = [part_of[index], clip.path, clip.category, clip.event or "", clip.group]
            writer.writerow(row)
    return text.getvalue()


def _write_history(path: Path, history: Sequence[Mapping[str, Any]]) -> None:
    columns = list(dict.fromkeys(name for row in history for name in row))
    with replacing(path) as part, part.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
