"""The effect of each optimisation of training: seconds of an epoch, and to a validation score.

    python benchmarks/training.py             on examples/esc10
    python benchmarks/training.py --quick     a minute or two, to see that it runs

Each mode adds one optimisation to the mode before it. All modes train on the same clips in the same
order with the same seed, and their repeats are interleaved. A ratio compares a repeat with the
plain mode's in the same round; the table shows medians over the rounds. In the cached mode the
first epoch computes the feature maps; another training on the same data skips that.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
import time
from argparse import RawTextHelpFormatter
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch.utils.benchmark import Timer
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from sonotype.audio.clip import AudioSpec
from sonotype.config import TrainOptions, resolve
from sonotype.core.types import Clip, Heads, heads_of
from sonotype.data.augment.augmented_copies import Waveforms
from sonotype.data.readers.source import open_source
from sonotype.features.cache import FeatureCache
from sonotype.features.store import FeatureStore
from sonotype.modelfile.pretrained import available, load_pretrained
from sonotype.models.build import cbir_2
from sonotype.models.fold_batch_norm import FusedBlocks
from sonotype.models.system import FeatureMaps, System
from sonotype.training import module as training_module
from sonotype.training.dataset import Batch, EpochBatches, LabelledMaps, LabelledWaveforms, loader
from sonotype.training.losses import label_loss
from sonotype.training.module import SCORE, Learner
from sonotype.training.sources import augmentation

DATA = Path(__file__).resolve().parent.parent / "examples" / "esc10"
MODES = ("plain", "+ channels_last", "+ fused batch norm", "+ loading ahead", "+ cache of maps")
CHANNELS_LAST, FUSED, PREFETCH, CACHE = 1, 2, 3, 4
"""From this index in ``MODES`` on the optimisation is active."""
NETWORKS: dict[str, dict[str, Any]] = {
    "default": {"width": 0.0, "pooling": "attention_mean", "pool_blocks": (3, 4)},
    "branch 2, width 0.25": {"width": 0.25, "pooling": "attention", "pool_blocks": (4,)},
}
OPTIONS = resolve(TrainOptions(recipe="modern", device="cpu", schedule="constant"), "cbir_2")
BATCH_SIZE = OPTIONS.batch_size or 32
TARGET = 0.5
"""The macro F1 to reach."""
MATRIX = 1024


def main() -> None:
    """Run all modes on both networks and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="24 clips, 1 repeat, 2 epochs")
    quick = parser.parse_args().quick
    repeats, epochs = (1, 2) if quick else (3, 8)
    found = open_source(DATA).clips  # eight of each class, class by class
    clips = [clip for n in range(8) for clip in found[n::8]][: 24 if quick else None]
    train, val = [clip for n, clip in enumerate(clips) if n % 4 != 3], clips[3::4]
    heads, backbone = heads_of(clips), available("auto", on_message=print)
    threads = torch.get_num_threads()
    timer = Timer("x @ x", globals={"x": torch.ones(MATRIX, MATRIX)}, num_threads=threads)
    peak = 2 * MATRIX**3 / min(timer.timeit(1).mean for _ in range(8)) / 1e9
    print(f"{len(train)} clips to train on, {len(val)} to validate; {backbone}")
    print(f"{threads} threads, matrix products reach {peak:.0f} GFLOP/s\n")
    for title, network in NETWORKS.items():
        new_system = partial(build, backbone, heads, network)
        rounds = [
            [seconds(mode, new_system(), (train, val), heads, epochs) for mode in range(5)]
            for _ in range(repeats)
        ]
        system = new_system()
        feature_maps = system.frozen_part(torch.zeros(2, 5 * system.sample_rate))
        work = 2 * step_multiply_adds(system, feature_maps) / 1e6
        print(f"{title}: {work / 2:,.1f} million multiply-adds a clip in a step\n")
        print(table(rounds, work * len(train) / 1e3 / peak), "\n")


def step_multiply_adds(system: System, feature_maps: dict[str, torch.Tensor]) -> int:
    """Multiply-adds of one clip in a training step, forward and backward."""
    clips = len(next(iter(feature_maps.values())))
    with FlopCounterMode(display=False) as counter:
        output = copy.deepcopy(system).train().trained_part(feature_maps)
        torch.stack([logits.sum() for logits in output.logits.values()]).sum().backward()  # type: ignore[no-untyped-call]
    return int(counter.get_total_flops()) // 2 // clips


def build(backbone: str, heads: Heads, network: dict[str, Any]) -> System:
    """The network before training, always with the same random weights."""
    torch.manual_seed(0)
    counts = dict(
        zip(("categories", "events"), (len(head.classes) for head in heads), strict=False)
    )
    return cbir_2(**counts, backbone=load_pretrained(backbone).backbone, **network)


def seconds(
    mode: int, system: System, subsets: Sequence[Sequence[Clip]], heads: Heads, epochs: int
) -> tuple[float, float, float]:
    """Of the first epoch, of the second, and to the target, infinite if it is not reached."""
    if mode >= CHANNELS_LAST:
        system.channels_last()
    scores: dict[str, float] = {}
    ends: list[float] = []
    to_target = float("inf")
    with plain_code(mode), tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        train, val = (
            batches(mode, system, clips, heads, Path(folder), shuffle=not number)
            for number, clips in enumerate(subsets)
        )
        learner = Learner(system, OPTIONS, label_loss(heads, OPTIONS), steps=len(train))
        learner.log = lambda name, value, **_: scores.update({name: float(value.detach())})  # type: ignore[method-assign]
        optimiser = learner.configure_optimizers()
        for epoch in range(epochs):
            torch.manual_seed(epoch)
            train.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
            learner.train()
            for number, batch in enumerate(train):
                optimiser.zero_grad()
                learner.training_step(batch, number).backward()  # type: ignore[no-untyped-call]
                optimiser.step()
            learner.eval()
            with torch.no_grad():
                for number, batch in enumerate(val):
                    learner.validation_step(batch, number)
                learner.on_validation_epoch_end()
            ends.append(time.perf_counter() - start)
            if scores[SCORE] >= TARGET:
                to_target = min(to_target, ends[-1])
            if epoch and to_target < float("inf"):
                break
    return ends[0], ends[1] - ends[0], to_target


def batches(
    mode: int, system: System, clips: Sequence[Clip], heads: Heads, folder: Path, *, shuffle: bool
) -> DataLoader[Batch]:
    """Batches of cached maps or of waveforms, prefetched or not; augmented if shuffled."""
    augmented = (augmentation(OPTIONS), OPTIONS.seed) if shuffle else ()
    waveforms = Waveforms(clips, AudioSpec(system.sample_rate), *augmented)
    source: LabelledMaps | LabelledWaveforms
    if mode >= CACHE:
        cache = FeatureCache(waveforms, FeatureStore(folder, 1e12))
        cache.fill(system, torch.device("cpu"))
        source = LabelledMaps(cache, clips, heads)
    else:
        source = LabelledWaveforms(waveforms, clips, heads)
    if mode >= PREFETCH:
        return loader(source, BATCH_SIZE, shuffle=shuffle)
    sampler = EpochBatches(len(source), BATCH_SIZE, shuffle=shuffle)
    return DataLoader(source, batch_size=None, sampler=sampler, generator=torch.Generator())


def contiguous(maps: FeatureMaps) -> FeatureMaps:
    return {name: x.contiguous() for name, x in maps.items()}


def plain_code(mode: int) -> ExitStack:
    """Replace the optimisations that a mode does not have until the stack is closed."""
    stack = ExitStack()
    if mode < FUSED:
        stack.enter_context(patch.object(FusedBlocks, "of", lambda _, blocks: blocks))
    if mode < CHANNELS_LAST:
        stack.enter_context(patch.object(training_module, "_channels_last", contiguous))
    return stack


def table(rounds: Sequence[object], peak_seconds: float) -> str:
    """Medians and ratios to the plain mode; ``peak_seconds`` has an epoch at the machine's peak."""
    lines = [f"| mode | first epoch | second epoch | to F1 {TARGET:g} | of the peak |"]
    lines += ["|---|---|---|---|---|"]
    values = np.array(rounds)  # [rounds, modes, 3]
    with np.errstate(invalid="ignore"):  # neither mode reaches the target
        medians, speeds = np.median(values, 0), np.median(values[:, :1] / values, 0)
    for title, row, speed in zip(MODES, medians, speeds, strict=True):
        cells = [f"{x:.2f} s ({times:.1f}x)" if np.isfinite(x) else "not reached"
                 for x, times in zip(row, speed, strict=True)]  # fmt: skip
        lines.append(f"| {title} | {' | '.join(cells)} | {peak_seconds / row[1]:.0%} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
