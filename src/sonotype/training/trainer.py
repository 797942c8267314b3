"""Train a system on the clips of a split: from waveforms to the best epoch's weights."""

from __future__ import annotations

import errno
import shutil
import signal
import sys
import threading
from pathlib import Path

import pytorch_lightning as pl
from torch.utils.data import DataLoader

from sonotype.config import TrainOptions
from sonotype.core.errors import SonotypeError
from sonotype.core.io import write_text
from sonotype.core.json_text import json_text
from sonotype.core.types import IGNORE_INDEX
from sonotype.models.system import BLOCKS
from sonotype.training.callbacks import EpochLines, TrainingBar
from sonotype.training.checkpoint import (
    LAST,
    AtomicCheckpoints,
    checkpoint_callbacks,
    load_chosen_weights,
    read_checkpoint,
)
from sonotype.training.dataset import Batch, loader, targets
from sonotype.training.distillation.targets import TeacherTargets
from sonotype.training.distillation.teacher_loss import DistillationLoss
from sonotype.training.history import new_loggers
from sonotype.training.inputs import FitInputs
from sonotype.training.lightning_ranks import StopTogether, environment, trainer_options
from sonotype.training.losses import ClassWeights, inverse_weights, label_loss
from sonotype.training.module import Learner
from sonotype.training.random_state import kept_settings
from sonotype.training.ranks import current, data_group, leave, local_device
from sonotype.training.result import DONE, FitResult
from sonotype.training.schedule import extend_epochs
from sonotype.training.sources import Sources, open_in_turn
from sonotype.training.whole_batch import WholeBatch, over_whole_batch

ACCELERATORS = {"cpu": "cpu", "cuda": "gpu", "mps": "mps"}

Loaders = tuple[DataLoader[Batch], DataLoader[Batch] | None]
"""Batches for training and for validation."""


def fit(inputs: FitInputs) -> FitResult:
    """Train until the validation score stops rising; leave the best epoch's weights in the system.

    An unfinished training in the folder is resumed, to the same weights as without the
    interruption (on one machine with the same versions). Of a finished one, only the weights are
    loaded. Of several processes that share each batch, only rank 0 returns; the others exit.

    Raises:
        AudioError: a clip cannot be read.
        OptionsError: this machine does not have the device.
        SonotypeError: the maps do not fit on the disk, or a loss is not finite.
        StoppedError: interrupted before the first epoch was done.
    """
    folder, system = inputs.folder, inputs.system
    folder.mkdir(parents=True, exist_ok=True)
    device = local_device(inputs.options.device)
    system.channels_last().to(device)
    if (folder / DONE).exists():
        return _result(inputs, interrupted=False)
    sources = open_in_turn(inputs, device)
    loaders = _loaders(sources, inputs.options)
    steps = len(loaders[0])
    options = extend_epochs(inputs.options, steps)
    learner = _learner(inputs, options, steps, sources.teacher_targets)
    with kept_settings(), over_whole_batch(system, learner.batch):
        trainer = _trainer(inputs, options)
        interrupted = _run(trainer, learner, loaders, folder)
    leave(interrupted=interrupted)
    result = _result(inputs, interrupted)
    if not interrupted:
        # A run that is killed later, while it is scored, must not train on.
        write_text(folder / DONE, json_text({"epochs": trainer.current_epoch}) + "\n")
        shutil.rmtree(folder / "maps", ignore_errors=True)
    return result


def _result(inputs: FitInputs, interrupted: bool) -> FitResult:
    """Load the chosen epoch's weights."""
    epoch, score = load_chosen_weights(inputs.system, inputs.folder, inputs.options)
    return FitResult(epoch, score, interrupted)


def _loaders(sources: Sources, options: TrainOptions) -> Loaders:
    size, workers, val = options.batch_size or 32, options.workers, sources.val
    return (
        loader(sources.train, size, shuffle=True, seed=options.seed, workers=workers),
        None if val is None else loader(val, size, shuffle=False, workers=workers),
    )


def _learner(
    inputs: FitInputs, options: TrainOptions, steps: int, teacher_targets: TeacherTargets | None
) -> Learner:
    distillation = None
    if teacher_targets is not None:
        distillation = DistillationLoss(
            teacher_targets,
            inputs.teaching,
            inputs.system,
            heads=inputs.heads,
            event_weight=options.event_weight,
            seed=options.seed,
        )
    return Learner(
        inputs.system,
        options,
        label_loss(inputs.heads, options, _class_weights(inputs)),
        steps=steps,
        from_scratch=inputs.from_scratch,
        distillation=distillation,
        category_source=inputs.category_source,
        batch=WholeBatch(current().part, data_group()),
    )


def _class_weights(inputs: FitInputs) -> ClassWeights:
    """The weights of each head by the counts of its classes, if the options ask for them."""
    if not inputs.options.class_weights:
        return {}
    found = targets(inputs.train, inputs.heads)
    return {
        head.name: inverse_weights(found[head.name], len(head.classes))
        for head in inputs.heads
        if head.problem == "single"
    }


def _trainer(inputs: FitInputs, options: TrainOptions) -> pl.Trainer:
    """Lightning's trainer, with a bar in a terminal and lines of text elsewhere."""
    bar = inputs.progress and sys.stderr.isatty()
    lines = inputs.verbose or not bar
    several = current().world > 1
    return pl.Trainer(
        accelerator=ACCELERATORS[local_device(options.device).type],
        **trainer_options(weights_rest=_weights_rest(inputs)),
        precision=options.precision,
        max_epochs=options.epochs,
        callbacks=[
            *checkpoint_callbacks(inputs.folder, options),
            *([TrainingBar()] if bar else []),
            # Also without lines, as its state is part of each checkpoint.
            EpochLines(inputs.on_message if lines else lambda _: None, verbose=inputs.verbose),
            *([StopTogether()] if several else []),
        ],
        logger=new_loggers(inputs.folder, options) if current().rank == 0 else False,
        plugins=[AtomicCheckpoints(), environment()],
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        deterministic="warn",
    )


def _weights_rest(inputs: FitInputs) -> bool:
    """Whether a step can leave trained weights without a gradient.

    They are blocks after the last pooled one, the head whose label no clip of a batch has, and, of
    a distillation, which trains all heads with every clip, the layers for frames that are longer
    than the clip.
    """
    system = inputs.system
    if max((*system.pool_blocks, *system.adapters)) < BLOCKS:
        return True
    if inputs.teachers is not None:
        return inputs.audio_spec.seconds < 1
    found = targets(inputs.train, inputs.heads)
    return any(bool((target == IGNORE_INDEX).any()) for target in found.values())


def _run(trainer: pl.Trainer, learner: Learner, loaders: Loaders, folder: Path) -> bool:
    """Train, or resume from the last checkpoint; return whether ctrl-C ended the training.

    On ctrl-C, Lightning raises ``SystemExit`` and leaves the signal ignored.
    """
    checkpoint = folder / LAST if (folder / LAST).exists() else None
    if checkpoint is not None:
        # Lightning takes the order of the first resumed epoch before it sets that epoch.
        done = read_checkpoint(checkpoint)["epoch"] + 1
        loaders[0].sampler.set_epoch(done)  # type: ignore[attr-defined]
    main_thread = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT) if main_thread else None
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
            f"{folder}: no space left on the disk; free some and continue with --resume"
        ) from error
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise SonotypeError(
            f"{folder}: a loading process was killed, probably for lack of memory; close other "
            "programs, then continue with --resume, or train anew with fewer --workers"
        ) from error
    finally:
        if handler is not None:
            signal.signal(signal.SIGINT, handler)
    return bool(trainer.interrupted)
