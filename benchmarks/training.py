"""The effect of each optimisation of training: seconds of an epoch, and to a validation score.

    python benchmarks/training.py                      on examples/esc10
    python benchmarks/training.py FOLDER --clips 200   on some clips of a labelled folder or ESC-50
    python benchmarks/training.py --quick              a minute or two, to see that it runs

Each mode adds one optimisation to the mode before it. All modes train on the same clips in the same
order with the same seed, and their repeats are interleaved. A ratio compares a repeat with the
plain mode's in the same round; the table shows medians over the rounds. In the cached mode the
first epoch computes the feature maps; another training on the same data skips that.
"""

from __future__ import annotations

import argparse
import copy
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from sonotype.audio.clip import AudioSpec
from sonotype.config import TrainOptions, resolve
from sonotype.core.types import Clip, Labels
from sonotype.data.augment.augmented_copies import Waveforms
from sonotype.data.readers.source import open_source
from sonotype.features.cache import FeatureCache
from sonotype.features.store import FeatureStore
from sonotype.modelfile.pretrained import available, load_pretrained
from sonotype.models.build import cbir_2
from sonotype.models.fold_batch_norm import FusedBlocks
from sonotype.models.system import System
from sonotype.training import module as training_module
from sonotype.training.dataset import Batch, EpochBatches, LabelledMaps, LabelledWaveforms, loader
from sonotype.training.module import SCORE, Learner
from sonotype.training.sources import augmentation

CPU = torch.device("cpu")
MODES = ("plain", "+ channels_last", "+ fused batch norm", "+ loading ahead", "+ cache of maps")
CHANNELS_LAST, FUSED, PREFETCH, CACHE = 1, 2, 3, 4
"""From this index in ``MODES`` on the optimisation is active."""
NETWORKS: dict[str, dict[str, Any]] = {
    "default": {"width": 0.0, "pooling": "attention_mean", "pool_blocks": (3, 4)},
    "branch 2, width 0.25": {"width": 0.25, "pooling": "attention", "pool_blocks": (4,)},
}


class Seconds(NamedTuple):
    """Of one training; ``to_score`` is infinite if the score was not reached."""

    first: float
    second: float
    to_score: float


def main() -> int:
    """Run all modes on both networks and print the tables; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "data", nargs="?", type=Path, help="labelled sounds; default: examples/esc10"
    )
    parser.add_argument("--clips", type=int, default=120, help="number of clips")
    parser.add_argument("--repeats", type=int, default=3, help="trainings of each mode")
    parser.add_argument("--epochs", type=int, default=8, help="at most, to reach the score")
    parser.add_argument("--score", type=float, default=0.5, help="macro F1 to reach")
    parser.add_argument("--backbone", default="auto", help="of branch 1")
    parser.add_argument("--quick", action="store_true", help="24 clips, 1 repeat, 2 epochs")
    options = parser.parse_args()
    if options.quick:
        options.clips, options.repeats, options.epochs = 24, 1, 2
    backbone = available(options.backbone, on_message=print)
    peak = matmul_peak() / 1e9
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        train, val = choose_clips(options.data, options.clips)
        print(f"{len(train)} clips to train on, {len(val)} to validate; {backbone}")
        print(f"{torch.get_num_threads()} threads, matrix products reach {peak:.0f} GFLOP/s\n")
        for number, (title, network) in enumerate(NETWORKS.items()):
            run = Training(options, {"backbone": backbone, **network}, train, val)
            rounds = [
                [run.seconds(mode, folder / f"{number}_{repeat}") for mode in range(len(MODES))]
                for repeat in range(options.repeats)
            ]
            system = run.system()
            feature_maps = system.frozen_part(torch.zeros(2, 5 * system.sample_rate))
            work = 2 * step_multiply_adds(system, feature_maps) / 1e6
            print(f"{title}: {work / 2:,.1f} million multiply-adds a clip in a step\n")
            print(table(rounds, options.score, work * len(train) / 1e3 / peak), "\n")
    return 0


def step_multiply_adds(system: System, feature_maps: dict[str, torch.Tensor]) -> int:
    """Multiply-adds of one clip in a training step, forward and backward."""
    clips = len(next(iter(feature_maps.values())))
    with FlopCounterMode(display=False) as counter:
        output = copy.deepcopy(system).train().trained_part(feature_maps)
        loss = output.category.sum()
        if output.event is not None:
            loss = loss + output.event.sum()
        loss.backward()  # type: ignore[no-untyped-call]
    return int(counter.get_total_flops()) // 2 // clips


def matmul_peak(size: int = 1024, repeats: int = 8) -> float:
    """Operations per second of a float32 matrix product, the best of several."""
    a, b = torch.ones(size, size), torch.ones(size, size)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        torch.mm(a, b)
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds)


def choose_clips(data: Path | None, count: int) -> tuple[list[Clip], list[Clip]]:
    """Clips for training and validation (every fourth), classes as evenly as possible."""
    data = data or Path(__file__).parent.parent / "examples" / "esc10"
    by_class: dict[tuple[str, str | None], list[Clip]] = {}
    for clip in open_source(data).clips:
        by_class.setdefault((clip.category, clip.event), []).append(clip)
    rounds = range(max(map(len, by_class.values())))
    clips = [some[n] for n in rounds for some in by_class.values() if n < len(some)][:count]
    train = [clip for number, clip in enumerate(clips) if number % 4 != 3]
    return train, clips[3::4]


class Training:
    """Trainings of one network, each from the same random weights."""

    def __init__(
        self,
        options: argparse.Namespace,
        network: dict[str, Any],
        train: Sequence[Clip],
        val: Sequence[Clip],
    ) -> None:
        self.options, self.network, self.subsets = options, network, (train, val)
        self.labels = Labels.of([*train, *val])
        self.settings = resolve(TrainOptions(recipe="modern", device="cpu"), "cbir_2")

    def system(self) -> System:
        """The network before training."""
        torch.manual_seed(0)
        backbone = load_pretrained(self.network["backbone"]).backbone
        return cbir_2(
            categories=len(self.labels.categories), events=len(self.labels.events),
            **{**self.network, "backbone": backbone},
        )  # fmt: skip

    def seconds(self, mode: int, folder: Path) -> Seconds:
        """Train in a mode until the score is reached and two epochs are done."""
        system = self.system()
        if mode >= CHANNELS_LAST:
            system.channels_last()
        with disabled_optimisations(mode):
            start = time.perf_counter()
            loaders = [
                self.loader(mode, system, clips, folder, shuffle=not number)
                for number, clips in enumerate(self.subsets)
            ]
            return self._epochs(system, loaders, start)

    def loader(
        self, mode: int, system: System, clips: Sequence[Clip], folder: Path, *, shuffle: bool
    ) -> DataLoader[Batch]:
        """Batches of cached maps or of waveforms, prefetched or not."""
        spec = AudioSpec(system.sample_rate)
        augmented = (augmentation(self.settings), self.settings.seed) if shuffle else ()
        waveforms = Waveforms(clips, spec, *augmented)
        source: LabelledMaps | LabelledWaveforms
        if mode >= CACHE:
            cache = FeatureCache(waveforms, FeatureStore(folder, 1e12))
            cache.fill(system, CPU)
            source = LabelledMaps(cache, clips, self.labels)
        else:
            source = LabelledWaveforms(waveforms, clips, self.labels)
        size = self.settings.batch_size or 32
        if mode >= PREFETCH:
            return loader(source, size, shuffle=shuffle)
        sampler = EpochBatches(len(source), size, shuffle=shuffle)
        return DataLoader(source, batch_size=None, sampler=sampler, generator=torch.Generator())

    def _epochs(
        self, system: System, loaders: Sequence[DataLoader[Batch]], start: float
    ) -> Seconds:
        scores: dict[str, float] = {}
        module = Learner(
            system, self.settings, self.labels, steps=len(loaders[0])
        )  # fmt: skip
        module.log = lambda name, value, **_: scores.update({name: float(value.detach())})  # type: ignore[method-assign]
        rate = self.settings.learning_rate or 1e-3
        optimiser = torch.optim.AdamW(module._groups(rate), lr=rate, fused=True)
        ends: list[float] = []
        to_score = float("inf")
        for epoch in range(max(self.options.epochs, 2)):
            torch.manual_seed(epoch)
            run_epoch(module, optimiser, loaders, epoch)
            ends.append(time.perf_counter() - start)
            if scores[SCORE] >= self.options.score:
                to_score = min(to_score, ends[-1])
            if epoch and to_score < float("inf"):
                break
        return Seconds(ends[0], ends[1] - ends[0], to_score)


@contextmanager
def disabled_optimisations(mode: int) -> Iterator[None]:
    """Replace the optimisations that a mode does not have by the plain code."""
    with ExitStack() as stack:
        if mode < FUSED:
            stack.enter_context(patch.object(FusedBlocks, "of", lambda _, blocks: blocks))
        if mode < CHANNELS_LAST:
            plain = patch.object(
                training_module,
                "_channels_last",
                lambda feature_maps: {name: x.contiguous() for name, x in feature_maps.items()},
            )
            stack.enter_context(plain)
        yield


def run_epoch(
    module: Learner,
    optimiser: torch.optim.Optimizer,
    loaders: Sequence[DataLoader[Batch]],
    epoch: int,
) -> None:
    """All steps, then validation."""
    module.train()
    loaders[0].sampler.set_epoch(epoch)  # type: ignore[attr-defined]
    for number, batch in enumerate(loaders[0]):
        optimiser.zero_grad()
        module.training_step(batch, number).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    module.eval()
    with torch.no_grad():
        for number, batch in enumerate(loaders[1]):
            module.validation_step(batch, number)
        module.on_validation_epoch_end()


def table(rounds: Sequence[Sequence[Seconds]], score: float, peak_seconds: float) -> str:
    """Medians and ratios to the plain mode; ``peak_seconds`` has an epoch at the machine's peak."""
    lines = [
        f"| mode | first epoch | second epoch | to F1 {score:g} | of the peak |",
        "|---|---|---|---|---|",
    ]
    for number, title in enumerate(MODES):
        cells = []
        for column in range(len(Seconds._fields)):
            pairs = [(row[0][column], row[number][column]) for row in rounds]
            seconds = median(mine for _, mine in pairs)
            speed = median(plain / mine for plain, mine in pairs)
            reached = seconds < float("inf")
            cells.append(f"{seconds:.2f} s ({speed:.1f}x)" if reached else "not reached")
        share = peak_seconds / median(row[number].second for row in rounds)
        lines.append(f"| {title} | {' | '.join(cells)} | {share:.0%} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
