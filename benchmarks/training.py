"""What each optimisation of training is worth: seconds an epoch, and to a validation score.

    python benchmarks/training.py                  on examples/esc10
    python benchmarks/training.py FOLDER --clips 200   on a part of a labelled folder or ESC-50
    python benchmarks/training.py --quick          a minute or two, to see that it runs

Every way adds one thing to the way before it. All ways see the same clips in the same order with
the same seed, and take turns, so that what else the machine does meets all of them. A ratio is that
of one turn to the plain way's in the same turn; the median of all turns is shown. The first epoch
of the cached way computes the maps; a second training on the same data begins with its second.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import torch
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.clips import ESC10
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
from sonotype.training import module as learner_room
from sonotype.training.dataset import Batch, EpochBatches, LabelledMaps, LabelledWaveforms, loader
from sonotype.training.module import SCORE, Learner
from sonotype.training.sources import augmentation

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Way:
    """Which optimisations are in use."""

    name: str
    channels_last: bool = True
    fused: bool = True
    prefetch: bool = True
    cache: bool = True


WAYS = (
    Way("plain", channels_last=False, fused=False, prefetch=False, cache=False),
    Way("+ channels_last", fused=False, prefetch=False, cache=False),
    Way("+ fused batch norm", prefetch=False, cache=False),
    Way("+ loading ahead", cache=False),
    Way("+ cache of maps"),
)

NETWORKS: Mapping[str, Mapping[str, object]] = {
    "default": {"width": 0.0, "pooling": "attention_mean", "pool_blocks": (3, 4)},
    "branch 2, width 0.25": {"width": 0.25, "pooling": "attention", "pool_blocks": (4,)},
}


@dataclass(frozen=True)
class Parts:
    """The clips of a benchmark."""

    labels: Labels
    train: Sequence[Clip]
    val: Sequence[Clip]


@dataclass(frozen=True)
class Times:
    """Seconds of one training; ``to_score`` is infinite where the score was not reached."""

    first: float
    second: float
    to_score: float


def main() -> int:
    """Run all ways and print the table; the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "data", nargs="?", type=Path, help="labelled sounds; default examples/esc10"
    )
    parser.add_argument("--clips", type=int, default=120, help="so many clips in all")
    parser.add_argument("--draws", type=int, default=3, help="each way is trained so often")
    parser.add_argument("--epochs", type=int, default=8, help="at most, to reach the score")
    parser.add_argument("--score", type=float, default=0.5, help="macro F1 that is to be reached")
    parser.add_argument("--backbone", default="auto", help="of branch 1")
    parser.add_argument("--quick", action="store_true", help="24 clips, one turn, two epochs")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.clips, arguments.turns, arguments.epochs = 24, 1, 2
    with tempfile.TemporaryDirectory() as folder:
        run(arguments, Path(folder), print)
    return 0


def run(arguments: argparse.Namespace, folder: Path, on_message: Callable[[str], None]) -> None:
    """All ways on both networks."""
    parts = parts_of(arguments.data, arguments.clips)
    backbone = available(arguments.backbone, on_message=on_message)
    threads = torch.get_num_threads()
    peak = matmul_peak() / 1e9
    on_message(f"{len(parts.train)} clips to train on, {len(parts.val)} to validate; {backbone}")
    on_message(f"{threads} threads, matrix products reach {peak:.0f} GFLOP/s\n")
    for name, network in NETWORKS.items():
        found: dict[str, list[Times]] = {way.name: [] for way in WAYS}
        for turn in range(arguments.turns):
            for way in WAYS:
                cache = folder / f"{len(name)}_{turn}"
                times = train(way, backbone, network, parts, cache, arguments)
                found[way.name].append(times)
        system = system_of(backbone, network, parts.labels)
        feature_maps = system.frozen_part(torch.zeros(2, 5 * system.sample_rate))
        adds = step_multiply_adds(system, feature_maps)
        on_message(table(name, found, arguments.score, adds, len(parts.train), peak))


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


def matmul_peak(size: int = 1024, draws: int = 8) -> float:
    """Operations per second of a float32 matrix product, the best of several."""
    a, b = torch.ones(size, size), torch.ones(size, size)
    seconds = []
    for _ in range(draws):
        start = time.perf_counter()
        torch.mm(a, b)
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds)


def parts_of(data: Path | None, count: int) -> Parts:
    """Every fourth clip of a part of the source validates; classes as evenly as may be."""
    if data is None:
        data = ESC10
    by_class: dict[tuple[str, str | None], list[Clip]] = {}
    for clip in open_source(data).clips:
        by_class.setdefault((clip.category, clip.event), []).append(clip)
    rounds = range(max(map(len, by_class.values())))
    clips = [some[n] for n in rounds for some in by_class.values() if n < len(some)][:count]
    val = [clip for number, clip in enumerate(clips) if number % 4 == 3]
    train = [clip for number, clip in enumerate(clips) if number % 4 != 3]
    return Parts(Labels.of(clips), train, val)


def system_of(backbone: str, network: Mapping[str, object], labels: Labels) -> System:
    """A network with the same random weights each time."""
    torch.manual_seed(0)
    return cbir_2(
        categories=len(labels.categories),
        events=len(labels.events),
        backbone=load_pretrained(backbone).backbone,
        **network,  # type: ignore[arg-type]
    )


@contextmanager
def as_it_was(way: Way) -> Iterator[None]:
    """The straightforward pieces in the place of those that a way does without."""
    with ExitStack() as stack:
        if not way.fused:
            stack.enter_context(patch.object(FusedBlocks, "of", lambda _, blocks: blocks))
        if not way.channels_last:
            stack.enter_context(patch.object(learner_room, "_channels_last", contiguous))
        yield


def contiguous(feature_maps: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Maps in torch's default layout."""
    return {name: x.contiguous() for name, x in feature_maps.items()}


def train(
    way: Way,
    backbone: str,
    network: Mapping[str, object],
    parts: Parts,
    cache: Path,
    arguments: argparse.Namespace,
) -> Times:
    """One training in one way."""
    system = system_of(backbone, network, parts.labels)
    if way.channels_last:
        system.channels_last()
    options = resolve(TrainOptions(recipe="modern", device="cpu"), "cbir_2")
    audio_spec = AudioSpec(system.sample_rate)
    waveforms = (
        Waveforms(parts.train, audio_spec, augmentation(options), options.seed),
        Waveforms(parts.val, audio_spec),
    )
    with as_it_was(way):
        start = time.perf_counter()
        sources = [
            source_of(way, one, clips, system, parts.labels, cache)
            for one, clips in zip(waveforms, (parts.train, parts.val), strict=True)
        ]
        loaders = [
            loader_of(way, source, options.batch_size or 32, shuffle)
            for source, shuffle in zip(sources, (True, False), strict=True)
        ]
        return timed(system, options, parts.labels, loaders, start, arguments)


def source_of(
    way: Way,
    waveforms: Waveforms,
    clips: Sequence[Clip],
    system: System,
    labels: Labels,
    cache: Path,
) -> LabelledMaps | LabelledWaveforms:
    """Cached maps, or waveforms."""
    if not way.cache:
        return LabelledWaveforms(waveforms, clips, labels)
    feature_maps_by_key = FeatureCache(waveforms, FeatureStore(cache, 1e12))
    feature_maps_by_key.fill(system, CPU)
    return LabelledMaps(feature_maps_by_key, clips, labels)


def loader_of(
    way: Way, source: LabelledMaps | LabelledWaveforms, size: int, shuffle: bool
) -> DataLoader[Batch]:
    """Batches made ahead, or when they are asked for."""
    if way.prefetch:
        return loader(source, size, shuffle=shuffle)
    sampler = EpochBatches(len(source), size, shuffle=shuffle)
    return DataLoader(source, batch_size=None, sampler=sampler, generator=torch.Generator())


def timed(
    system: System,
    options: TrainOptions,
    labels: Labels,
    loaders: Sequence[DataLoader[Batch]],
    start: float,
    arguments: argparse.Namespace,
) -> Times:
    """Train epoch by epoch, until the score is reached and two epochs are done."""
    scores: dict[str, float] = {}
    module = Learner(system, options, labels, steps=len(loaders[0]))

    def log(name: str, value: torch.Tensor, **_: object) -> None:
        scores[name] = float(value.detach())

    module.log = log  # type: ignore[method-assign, assignment]
    rate = options.learning_rate or 1e-3
    optimiser = torch.optim.AdamW(module._groups(rate), lr=rate, fused=True)
    ends: list[float] = []
    reached = float("inf")
    for epoch in range(max(arguments.epochs, 2)):
        torch.manual_seed(epoch)
        one_epoch(module, optimiser, loaders, epoch)
        ends.append(time.perf_counter() - start)
        if scores[SCORE] >= arguments.score:
            reached = min(reached, ends[-1])
        if epoch and reached < float("inf"):
            break
    return Times(ends[0], ends[1] - ends[0], reached)


def one_epoch(
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


def table(
    name: str,
    found: Mapping[str, Sequence[Times]],
    score: float,
    adds: int,
    clips: int,
    peak: float,
) -> str:
    """Medians over the turns, and how many times as fast as the plain way."""

    def cell(way: str, take: Callable[[Times], float]) -> str:
        ratios = [take(b) / take(a) for a, b in zip(found[way], found["plain"], strict=True)]
        seconds = statistics.median(map(take, found[way]))
        if seconds == float("inf"):
            return "not reached"
        return f"{seconds:.2f} s ({statistics.median(ratios):.1f}x)"

    lines = [
        f"{name}: {adds / 1e6:,.1f} million multiply-adds a clip in a step",
        "",
        f"| way | first epoch | second epoch | to F1 {score:g} | of the peak |",
        "|---|---|---|---|---|",
    ]
    for way, times in found.items():
        cells = [
            cell(way, lambda one: one.first),
            cell(way, lambda one: one.second),
            cell(way, lambda one: one.to_score),
        ]
        second = statistics.median(one.second for one in times)
        share = 2 * adds * clips / second / 1e9 / peak
        lines.append(f"| {way} | {' | '.join(cells)} | {share:.0%} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.exit(main())
