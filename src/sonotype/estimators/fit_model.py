"""Fit a model of the recipe linear to sounds and labels in memory, without a run folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from sonotype.audio.clip_length import automatic_seconds
from sonotype.audio.decode import Audio, digest_of
from sonotype.audio.stream import seconds_for_progress
from sonotype.core.errors import DataError, DataIssue, InvalidSoundError, InvalidSoundsError
from sonotype.core.types import LEVELS, Clip, Content
from sonotype.data.decoded import Decoded
from sonotype.data.manifest import Manifest
from sonotype.data.splits.crossfit import crossfit_split
from sonotype.data.validate import check_sounds, with_checked_contents
from sonotype.estimators.label_encoding import LABELS, EncodedLabels
from sonotype.experiments.context import RunContext
from sonotype.experiments.linear_run import fit_to_data, linear_data
from sonotype.experiments.opening import resolve_paths
from sonotype.experiments.pipeline import build
from sonotype.experiments.run_card import build_card
from sonotype.experiments.run_options import RunOptions
from sonotype.inference.sound_inputs import SoundInputs
from sonotype.modelfile.card import ModelCard
from sonotype.models.system import System
from sonotype.training.random_state import kept_random_state

NAME = "SoundClassifier"
"""Of the data, in the model file."""


@kept_random_state()
def fit_model(
    sounds: SoundInputs,
    encoded: EncodedLabels,
    groups: Sequence[str] | None,
    options: RunOptions,
) -> tuple[System, ModelCard]:
    """Fit a model as ``sonotype train`` does on all clips, with temperatures from cross-fitting.

    Args:
        sounds: to learn from.
        encoded: their labels.
        groups: for each sound the recording that it comes from; ``None`` if each has its own.
        options: of the recipe linear; 0 seconds stand for a length that fits these sounds.

    Raises:
        InvalidSoundsError: names every sound that cannot be read, or that occurs with two labels.
        SonotypeError: there is not enough space for the cache.
        WeightsError: no weights are available.
    """
    manifest = _checked_manifest(sounds, encoded, groups)
    if not options.system.seconds:
        system = dataclasses.replace(options.system, seconds=_seconds(manifest))
        options = dataclasses.replace(options, system=system)
    options = resolve_paths(options)
    split = crossfit_split(manifest, seed=options.train.seed)
    torch.manual_seed(options.train.seed)
    with TemporaryDirectory(prefix="sonotype-") as folder:
        context = RunContext(NAME, manifest, manifest.fingerprint(), split, options, Path(folder))
        built = build(context)
        fitted, _ = fit_to_data(context, built.system, linear_data(context, built))
        card = build_card(context, built, fitted)
    training = {**card.training, LABELS: encoded.to_json()}
    return built.system, dataclasses.replace(card, training=training)


def _checked_manifest(
    sounds: SoundInputs, encoded: EncodedLabels, groups: Sequence[str] | None
) -> Manifest:
    """The manifest of the sounds with their contents; files in the order of their paths.

    So the folds, like those of a folder, do not depend on the order of X.
    """
    paths = [_path_of(sounds, index) for index in range(len(sounds))]
    clips = [
        Clip(path, {LEVELS[0]: labels}, path.as_posix() if groups is None else groups[index], None)
        for index, (path, labels) in enumerate(zip(paths, encoded.labels, strict=True))
    ]
    _check_repeated(paths, clips)
    order = [*range(len(clips))]
    if sounds.sample_rate is None:
        order.sort(key=lambda index: paths[index])
    manifest = Manifest(
        NAME,
        tuple(clips[index] for index in order),
        grouped=groups is not None,
        problem="multi" if encoded.problem == "multi" else None,
    )
    try:
        if sounds.sample_rate is None:
            return check_sounds(manifest)
        return _with_waveforms(manifest, sounds)
    except DataError as error:
        raise _placed(error, paths, sounds) from error


def _path_of(sounds: SoundInputs, index: int) -> Path:
    """The path of a file; of a waveform, its position."""
    return Path(sounds.name(index)) if sounds.sample_rate else Path(sounds.items[index])


def _check_repeated(paths: Sequence[Path], clips: Sequence[Clip]) -> None:
    """Raise an ``InvalidSoundsError`` if a file is listed twice with different labels."""
    first: dict[Path, int] = {}
    issues = []
    for index, path in enumerate(paths):
        other = first.setdefault(path, index)
        if clips[other].labels != clips[index].labels:
            theirs, ours = (";".join(clips[one].labels[LEVELS[0]]) for one in (other, index))
            cause = f"has the label {ours!r} here, but {theirs!r} as X[{other}]; correct one label"
            issues.append(DataIssue(f"X[{index}] {path}", 0, cause))
    if issues:
        raise InvalidSoundsError("X", issues)


def _with_waveforms(manifest: Manifest, sounds: SoundInputs) -> Manifest:
    """The manifest with the waveforms as decoded sounds.

    Raises:
        DataError: every waveform that is no sound, or that occurs with two labels.
    """
    decoded, contents, issues = Decoded(), {}, []
    for index, clip in enumerate(manifest.clips):
        try:
            sound: Audio = sounds.waveform(index)
        except InvalidSoundError as error:
            issues.append(DataIssue(str(clip.path), 0, error.cause))
            continue
        digest = digest_of(sound)
        contents[clip.path] = Content(digest, digest)
        decoded.put(clip.path, sound)
    return with_checked_contents(manifest, contents, decoded, issues)


def _placed(error: DataError, paths: Sequence[Path], sounds: SoundInputs) -> InvalidSoundsError:
    """The error with the (first) position of each sound in X, in the order of X."""
    first = {str(path): index for index, path in reversed([*enumerate(paths)])}
    issues = sorted(error.issues, key=lambda issue: first[issue.file])
    return InvalidSoundsError(
        "X", [DataIssue(sounds.name(first[issue.file]), 0, issue.cause) for issue in issues]
    )


def _seconds(manifest: Manifest) -> float:
    """The clip length for the sounds."""
    decoded = manifest.decoded
    kept = [decoded.get(clip.path) if decoded else None for clip in manifest.clips]
    return automatic_seconds(
        seconds_for_progress(clip.path) if sound is None else sound.file_seconds
        for clip, sound in zip(manifest.clips, kept, strict=True)
    )
