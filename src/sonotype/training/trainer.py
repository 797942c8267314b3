"""Train a system on the clips of a split: from waveforms to the best epoch's weights."""

from __future__ import annotations

import csv
import dataclasses
import errno
import importlib
import json
import logging
import os
import random
import shutil
import signal
import sys
import textwrap
import threading
import warnings
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger
from torch.utils.data import DataLoader

from sonotype.audio.clip import AudioSpec
from sonotype.config import TeachingOptions, TrainOptions
from sonotype.core.device import device_of
from sonotype.core.errors import MissingExtraError, SonotypeError, StoppedError
from sonotype.core.hierarchy import CategorySource
from sonotype.core.io import write_text
from sonotype.core.json_text import json_text
from sonotype.core.types import Clip, Labels
from sonotype.data.augment.augmented_copies import Augmentation, Transform, Waveforms
from sonotype.data.augment.waveform import Mixing
from sonotype.data.decoded import Decoded
from sonotype.features.cache import FeatureCache, own_store, shared_store
from sonotype.features.store import FeatureStore
from sonotype.modelfile.model_file import first_not_finite
from sonotype.models.system import FeatureMaps, System
from sonotype.training.callbacks import (
    AtomicCheckpoints,
    EpochLines,
    MovingAverage,
    OnMessage,
    PortableCheckpoint,
    StepBar,
)
from sonotype.training.dataset import (
    Batch,
    LabelledMaps,
    LabelledWaveforms,
    inverse_weights,
    loader,
    places_of,
    targets,
)
from sonotype.training.distillation.targets import TeacherTargets
from sonotype.training.distillation.teachers import Teachers
from sonotype.training.module import SCORE, Learner
from sonotype.training.probe import fewer_threads, training_step
from sonotype.training.speed import SpeedMeter

LAST, BEST, DONE = "last.ckpt", "best.ckpt", "done.json"
SPEED, THREADS = "speed.json", "threads.json"
PROBED = 32
"""Clips in the steps that are tried."""
LIGHTNING_LOGGERS = ("pytorch_lightning", "lightning.pytorch", "lightning.fabric")
WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"  # Lightning sets it for deterministic training
HINTS = (
    ".*does not have many workers.*",
    ".*Checkpoint directory .* exists and is not empty.*",
    ".*Experiment logs directory .* exists.*",
    ".*Trying to infer the `batch_size`.*",
    ".*deterministic.*",
    ".*LeafSpec.*",
    ".*have no `val_dataloader`.*",
    ".*in eval mode at the start of training.*",
)
"""What Lightning hints at that does not apply here."""
deterministic_room: Any = torch.utils.deterministic
ACCELERATORS = {"cpu": "cpu", "cuda": "gpu", "mps": "mps"}


@dataclass(frozen=True)
class FitResult:
    """How a training ended.

    Attributes:
        best_epoch: counted from 1; its weights are in the system.
        best_score: macro F1 on validation of that epoch; ``None`` where the last was kept.
        interrupted: by ctrl-C; the system holds the best epoch so far.
    """

    best_epoch: int
    best_score: float | None
    interrupted: bool


def fit(
    system: System,
    audio_spec: AudioSpec,
    labels: Labels,
    train: Sequence[Clip],
    val: Sequence[Clip],
    folder: Path,
    options: TrainOptions,
    *,
    transform: Transform | None = None,
    source: Sequence[Clip] = (),
    decoded: Decoded | None = None,
    from_scratch: bool = False,
    teachers: Teachers | None = None,
    teaching: TeachingOptions | None = None,
    category_source: CategorySource = "head",
    progress: bool = False,
    on_message: OnMessage = lambda _: None,
) -> FitResult:
    """Train until the validation score stops rising; leave the best epoch's weights in the system.

    A folder with an unfinished training is gone on with, to the same weights as if it had never
    stopped (on one machine with one set of versions).

    Args:
        system: with its pretrained weights, if any.
        audio_spec: what sounds are brought to.
        labels: order of the classes.
        train: clips to learn from; only these are augmented.
        val: clips that choose the epoch; none where the last is kept.
        folder: gets checkpoints and logs.
        options: resolved.
        transform: one more augmentation of training waveforms.
        source: all clips of the source, if the training learns from some of them. Which clips are
            blended follows from these, so each training hears the same blends, and finds the maps
            of others.
        decoded: short sounds that are decoded already; forgotten when the maps are computed.
        from_scratch: whether branch 1 starts from random weights; its log-mel is masked then.
        teachers: whose answers are learnt beside the labels, if any.
        teaching: how much of them.
        category_source: how the model will read the category; the validation score reads it alike.
        progress: draw bars.
        on_message: gets a line an epoch.

    Raises:
        AudioError: a clip cannot be read.
        OptionsError: a device that is not there.
        SonotypeError: no room for the maps.
        StoppedError: interrupted before the first epoch was done.
    """
    folder.mkdir(parents=True, exist_ok=True)
    device = device_of(options.device)
    system.channels_last().to(device)
    if (folder / DONE).exists():
        return _take_best(system, folder, options, interrupted=False)
    how = augmentation(options, transform)
    shared = shared_store(options.cache_gb, on_message)
    store = shared if transform is None else own_store(folder, options.cache_gb)
    seen, pools = _with_unlabelled(train, how, source, teachers)
    taught = None
    if teachers is not None:
        sounds = Waveforms(seen, teachers.to(device).audio_spec, how, options.seed, pools, decoded)
        hinted = (teaching or TeachingOptions()).frame_weight > 0 and not system.frames_frozen()
        taught = TeacherTargets(teachers, sounds, store, frames=hinted)

    def part(
        waveforms: Waveforms,
        clips: Sequence[Clip],
        store: FeatureStore,
        taught: TeacherTargets | None,
    ) -> LabelledMaps | LabelledWaveforms:
        if not options.cache or waveforms.augmentation.fresh:
            return LabelledWaveforms(waveforms, clips, labels, taught)
        if taught is not None:
            taught.fill(clips, device, progress=progress)
        cache = FeatureCache(waveforms, store)
        cache.fill(system, device, places_of(clips, waveforms), progress=progress)
        return LabelledMaps(cache, clips, labels, taught)

    waveforms = Waveforms(seen, audio_spec, how, options.seed, pools, decoded)
    train_source = part(waveforms, train, store, taught)
    val_source = (
        part(Waveforms(val, audio_spec, decoded=decoded), val, shared, None) if val else None
    )
    if decoded is not None:
        decoded.clear()
    loaders = _loaders(train_source, val_source, options)
    options = stretched(options, len(loaders[0]))
    category, event = targets(train, labels)
    learner = Learner(
        system,
        options,
        labels,
        category_weight=_weights(options, category, len(labels.categories)),
        event_weight=_weights(options, event, len(labels.events)),
        steps=len(loaders[0]),
        from_scratch=from_scratch,
        taught=taught,
        teaching=teaching,
        category_source=category_source,
    )
    feature_maps = _first_stage(train_source)
    meter = SpeedMeter()
    with _undisturbed(), _threads_for(system, feature_maps, device, folder, on_message):
        trainer = _trainer(folder, options, progress, on_message, meter)
        interrupted = _run(trainer, learner, loaders, folder)
        if speed := meter.speed(system, feature_maps, audio_spec.seconds):
            on_message(textwrap.fill(str(speed), 80))
            speed.write(folder / SPEED)
    result = _take_best(system, folder, options, interrupted)
    if not interrupted:
        # A run that breaks off later, while it is scored, must not train on.
        write_text(folder / DONE, json_text({"epochs": trainer.current_epoch}) + "\n")
        shutil.rmtree(folder / "maps", ignore_errors=True)
    return result


def augmentation(options: TrainOptions, transform: Transform | None = None) -> Augmentation:
    """What the resolved options do to training waveforms."""
    mixing = Mixing(options.mix_delay, options.mix_gain, options.mix_equaliser)
    moved = bool(
        options.time_shift
        or options.gain
        or options.between_class_mix
        or options.mix_same_class
        or transform is not None
    )
    return Augmentation(
        time_shift=options.time_shift or 0.0,
        gain=options.gain or 0.0,
        mixing=mixing if options.mix_same_class else None,
        between_class_mix=options.between_class_mix or 0.0,
        random_crop=options.random_crop,
        transform=transform,
        n_augmented=(options.n_augmented or 0) if moved else 1,
    )


def _with_unlabelled(
    train: Sequence[Clip],
    how: Augmentation,
    source: Sequence[Clip],
    teachers: Teachers | None,
) -> tuple[Sequence[Clip], Sequence[Hashable]]:
    """The clips that partners for blends are drawn from, and which of them may be blended.

    Blends are made within a fold, or of clips that the same teachers have heard. So, whatever folds
    a training learns from, its sounds are those of another training on the same source, and nothing
    of a clip that it must not hear is in them.
    """

    def pools_of(clips: Sequence[Clip]) -> Sequence[Hashable]:
        return [clip.fold for clip in clips] if teachers is None else teachers.pools(clips)

    if source and how.mixing is None and not how.fresh:
        known = set(source)
        everything = [*source, *(clip for clip in train if clip not in known)]
        pools = pools_of(everything)
        if not how.between_class_mix or _apart(everything, pools, train):
            return everything, pools
    return train, pools_of(train)


def _apart(everything: Sequence[Clip], pools: Sequence[Hashable], train: Sequence[Clip]) -> bool:
    """Whether each pool of clips is learnt from as a whole, or not at all."""
    ours = set(train)
    sides: dict[Hashable, set[bool]] = {}
    for clip, pool in zip(everything, pools, strict=True):
        sides.setdefault(pool, set()).add(clip in ours)
    return all(len(one) == 1 for one in sides.values())


def stretched(options: TrainOptions, steps: int) -> TrainOptions:
    """More epochs, and as much more patience, where those asked for make too few steps.

    Forty epochs of two steps each have hardly begun to learn.
    """
    epochs, patience = options.epochs or 1, options.patience or 1
    wanted = -(-(options.min_steps or 0) // steps)
    if wanted <= epochs:
        return options
    return dataclasses.replace(options, epochs=wanted, patience=-(-patience * wanted // epochs))


def _loaders(
    train: LabelledMaps | LabelledWaveforms,
    val: LabelledMaps | LabelledWaveforms | None,
    options: TrainOptions,
) -> tuple[DataLoader[Batch], DataLoader[Batch] | None]:
    size, workers = options.batch_size or 32, options.workers
    return (
        loader(train, size, shuffle=True, seed=options.seed, workers=workers),
        None if val is None else loader(val, size, shuffle=False, workers=workers),
    )


def _weights(options: TrainOptions, target: torch.Tensor, classes: int) -> torch.Tensor | None:
    return inverse_weights(target, classes) if options.class_weights and classes else None


def _first_stage(source: LabelledMaps | LabelledWaveforms) -> FeatureMaps | None:
    """The maps of a few clips, where they are cached."""
    if not isinstance(source, LabelledMaps):
        return None
    keys = [(0, index) for index in range(min(len(source), PROBED))]
    feature_maps: FeatureMaps = source[keys]["feature_maps"]
    return feature_maps


@contextmanager
def _threads_for(
    system: System,
    feature_maps: FeatureMaps | None,
    device: torch.device,
    folder: Path,
    on_message: OnMessage,
) -> Iterator[None]:
    """Train with as many threads as are fastest, the same number in every sitting."""
    before = torch.get_num_threads()
    chosen, path = before, folder / THREADS
    if path.exists():
        chosen = min(int(json.loads(path.read_text(encoding="utf-8"))["threads"]), before)
    elif device.type == "cpu" and feature_maps is not None and before > 1:
        chosen = fewer_threads(training_step(system, feature_maps), before)
        write_text(path, json_text({"threads": chosen}) + "\n")
    if chosen < before:
        on_message(f"a step is fastest with {chosen} of {before} threads")
    torch.set_num_threads(chosen)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _trainer(
    folder: Path, options: TrainOptions, progress: bool, on_message: OnMessage, meter: SpeedMeter
) -> pl.Trainer:
    bar = progress and sys.stderr.isatty()
    best, last = (
        PortableCheckpoint(
            folder,
            name.removesuffix(".ckpt"),
            monitor=monitor,
            mode="max",
            enable_version_counter=False,
            save_on_train_epoch_end=True,
        )
        for name, monitor in ((BEST, SCORE), (LAST, None))
    )
    stopping = EarlyStopping(
        SCORE, mode="max", patience=options.patience or 1, check_on_train_epoch_end=True
    )
    choosing = [stopping, best] if options.checkpoint == "best" else []
    averaging = [MovingAverage(options.ema_decay)] if options.ema_decay else []
    return pl.Trainer(
        accelerator=ACCELERATORS[device_of(options.device).type],
        devices=1,
        precision=options.precision,
        max_epochs=options.epochs,
        callbacks=[
            *averaging,
            *choosing,
            last,
            *([StepBar()] if bar else []),
            EpochLines(on_message),
            meter,
        ],
        logger=_loggers(folder, options),
        plugins=[AtomicCheckpoints()],
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        deterministic="warn",
    )


def _loggers(folder: Path, options: TrainOptions) -> list[Logger]:
    # One part for each sitting: Lightning empties a folder that it logged to before.
    part = f"part_{_sittings(folder) + 1}"
    loggers: list[Logger] = [CSVLogger(folder, name="log", version=part)]
    if options.tensorboard:
        loggers.append(TensorBoardLogger(folder, name="tensorboard", version=""))
    return loggers


def _run(
    trainer: pl.Trainer,
    learner: Learner,
    loaders: tuple[DataLoader[Batch], DataLoader[Batch] | None],
    folder: Path,
) -> bool:
    """Train; whether ctrl-C ended it. Lightning then leaves by SystemExit and mutes the signal."""
    checkpoint = folder / LAST if (folder / LAST).exists() else None
    if checkpoint is not None:
        # Lightning asks for the first resumed epoch's order before it says which epoch that is.
        done = torch.load(checkpoint, map_location="cpu", weights_only=True)["epoch"] + 1
        loaders[0].sampler.set_epoch(done)  # type: ignore[attr-defined]
    here = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT) if here else None
    try:
        trainer.fit(
            learner,
            *loaders,
            ckpt_path=str(checkpoint) if checkpoint else None,
            weights_only=True,
        )
    except SystemExit:
        if not trainer.interrupted:
            raise
        return True
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise SonotypeError(
            f"{folder}: no space left on the disk; make room and go on with --resume"
        ) from error
    finally:
        if handler is not None:
            signal.signal(signal.SIGINT, handler)
    return bool(trainer.interrupted)


def _take_best(system: System, folder: Path, options: TrainOptions, interrupted: bool) -> FitResult:
    best = folder / (BEST if options.checkpoint == "best" else LAST)
    if not best.exists():
        raise StoppedError(
            f"{folder}: interrupted before the first epoch was done; go on with --resume"
        )
    state = torch.load(best, map_location="cpu", weights_only=True)
    weights = {
        name.removeprefix("system."): tensor
        for name, tensor in state["state_dict"].items()
        if name.startswith("system.")
    }
    if (name := first_not_finite(weights)) is not None:
        raise SonotypeError(
            f"{best}: the weights {name} of epoch {int(state['epoch']) + 1} are not finite; train "
            "again with a lower --learning-rate"
        )
    system.load_state_dict(weights)
    system.eval()
    score = next(
        (
            float(entry["best_model_score"])
            for name, entry in state["callbacks"].items()
            if PortableCheckpoint.__name__ in name and SCORE in name
        ),
        None,
    )
    return FitResult(int(state["epoch"]) + 1, score, interrupted)


def require_tensorboard(options: TrainOptions) -> None:
    """Raise a ``MissingExtraError`` where TensorBoard logs are asked for and cannot be written."""
    if options.tensorboard:
        try:
            importlib.import_module("tensorboard")
        except ImportError:
            raise MissingExtraError("--tensorboard", "tensorboard") from None


@contextmanager
def kept_random_state() -> Iterator[None]:
    """Restore the global random generators of torch (of all devices), NumPy and Python at the end.

    A training seeds those of torch. Packages that are imported on the way draw from Python's.
    """
    gpus = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng(gpus):
            yield
    finally:
        if mps is not None:
            torch.mps.set_rng_state(mps)
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let Lightning say only what is wrong, and leave the caller's settings as they were."""
    loggers = [logging.getLogger(f"{name}") for name in LIGHTNING_LOGGERS]
    levels = [logger.level for logger in loggers]
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    workspace = os.environ.get(WORKSPACE)
    filled = deterministic_room.fill_uninitialized_memory
    try:
        # Every value is written before it is read; to write it twice takes time.
        deterministic_room.fill_uninitialized_memory = False
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            for hint in HINTS:
                warnings.filterwarnings("ignore", hint)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        deterministic_room.fill_uninitialized_memory = filled
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = cudnn
        if workspace is None:
            os.environ.pop(WORKSPACE, None)
        else:
            os.environ[WORKSPACE] = workspace


def read_history(folder: Path) -> list[dict[str, Any]]:
    """Losses and scores of a training, a row an epoch, counted from 1; empty where none are.

    What a sitting logged after the checkpoint that the next one started from counts no more.
    """
    epochs: dict[int, dict[str, Any]] = {}
    for number in range(1, _sittings(folder) + 1):
        path = folder / "log" / f"part_{number}" / "metrics.csv"
        with path.open(newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                epoch = int(row["epoch"]) + 1
                known = {name: value for name, value in row.items() if value and name != "step"}
                epochs[epoch] = epochs.get(epoch, {}) | known | {"epoch": epoch}
    return [epochs[epoch] for epoch in sorted(epochs)]


def _sittings(folder: Path) -> int:
    """How many parts a training's log has."""
    return len(list((folder / "log").glob("part_*/metrics.csv")))
