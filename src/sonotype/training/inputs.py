"""What a training needs: system, clips, options, teachers, and where to report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sonotype.audio.clip import AudioSpec
from sonotype.config import TeachingOptions, TrainOptions
from sonotype.core.hierarchy import CategorySource
from sonotype.core.progress import OnMessage
from sonotype.core.types import Clip, Heads
from sonotype.data.augment.augmented_copies import Transform
from sonotype.data.decoded import Decoded
from sonotype.models.system import System
from sonotype.training.distillation.teachers import Teachers


@dataclass(frozen=True, kw_only=True)
class FitInputs:
    """Arguments of :func:`sonotype.training.trainer.fit`.

    Attributes:
        system: with its pretrained weights, if any.
        audio_spec: sample rate, length and padding of the clips.
        heads: to train, with the order of the classes.
        train: clips to train on; only these are augmented.
        val: clips that choose the epoch; empty if the last epoch is kept.
        folder: gets checkpoints and logs.
        options: resolved.
        transform: an additional augmentation of training waveforms.
        source: all clips of the source, if the training uses a subset of them. Mixing partners are
            drawn from these, so trainings on other subsets mix alike and share cached maps.
        decoded: sounds that are already decoded; cleared when the feature maps are computed.
        from_scratch: branch 1 starts from random weights; its log-mel is augmented then.
        teachers: whose outputs the system learns beside the labels.
        teaching: weights of the distillation losses.
        category_source: how the model reads the category; the validation score reads it alike.
        progress: draw bars, if standard error is a terminal.
        verbose: report every epoch.
        on_message: receives lines of text.
    """

    system: System
    audio_spec: AudioSpec
    heads: Heads
    train: Sequence[Clip]
    val: Sequence[Clip]
    folder: Path
    options: TrainOptions
    transform: Transform | None = None
    source: Sequence[Clip] = ()
    decoded: Decoded | None = None
    from_scratch: bool = False
    teachers: Teachers | None = None
    teaching: TeachingOptions = TeachingOptions()
    category_source: CategorySource = "head"
    progress: bool = False
    verbose: bool = False
    on_message: OnMessage = lambda _: None
