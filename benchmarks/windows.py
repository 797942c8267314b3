"""Cost of sliding windows, deviation of shared windows from exact ones, memory of a long run.

    python benchmarks/windows.py cost
    python benchmarks/windows.py deviation --sounds esc50/audio --only '4-*' [--model MODEL]
    python benchmarks/windows.py memory --hours 24 [--model MODEL]

Each prints one table. Costs are ratios to a hop of 5 s, whose windows do not overlap: medians over
interleaved repeats. Recordings for the deviation are clips of the folder in a row, in random order
or class by class; the class is the last part of a file name, as in ESC-50.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from argparse import RawTextHelpFormatter
from collections import deque
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, cast

import numpy as np
import soundfile
import torch
from torch import nn

from sonotype.audio.decode import load_audio
from sonotype.config import SystemOptions
from sonotype.core.types import Heads
from sonotype.inference.classifier import Classifier
from sonotype.inference.load import load
from sonotype.inference.postprocess import probabilities
from sonotype.inference.torch_engine import TorchEngine
from sonotype.modelfile.card import ModelCard
from sonotype.models.backbones.mobilenet import SqueezeExcitation
from sonotype.models.build import build_system
from sonotype.sliding.chunk import ChunkMaps
from sonotype.sliding.squeeze import SlidingSqueeze
from sonotype.sliding.system_windows import system_windows

SYSTEMS: dict[str, dict[str, Any]] = {
    "cbir_2 vggish, width 1": {"backbone": "vggish", "width": 1.0},
    "cbir_2 vggish, width 0.25": {"backbone": "vggish", "width": 0.25},
    "cbir_2 none, width 0.25": {"backbone": "none", "width": 0.25},
    "cbir_2 mn04, width 0": {
        "backbone": "mn04", "width": 0.0, "pool_blocks": (3, 4), "pooling": "attention_mean",
    },
    "cbir_4 mn04": {"system": "cbir_4", "backbone": "mn04"},
}  # fmt: skip
SQUEEZES: dict[str, Callable[[SqueezeExcitation, int], nn.Module]] = {
    "sliding": SlidingSqueeze,
    "half as long": lambda exact, count: SlidingSqueeze(exact, count // 2),
    "whole chunk": lambda exact, count: exact,
}
HOPS = (5.0, 4.99, 1.0, 0.25)
"""Seconds; windows share computations at all hops but the first."""
CLIPS = 100
"""In a recording for the deviation."""


def main() -> None:
    """Print one of the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=RawTextHelpFormatter)
    tables = {"cost": cost, "deviation": deviation, "memory": memory}
    parser.add_argument("table", choices=tables, nargs="?", default="cost")
    parser.add_argument("--quick", action="store_true", help="a shorter recording for the cost")
    parser.add_argument("--model", action="append", default=[], help="beside the built-in model")
    parser.add_argument("--sounds", type=Path, help="folder of clips")
    parser.add_argument("--only", default="*", help="pattern of the clips' names")
    parser.add_argument("--hours", type=float, default=24)
    options = parser.parse_args()
    tables[options.table](options)


def cost(options: argparse.Namespace) -> None:
    """Seconds of audio in a second at the largest hop, and ratios of the others to it."""
    length, repeats = (60, 3) if options.quick else (300, 5)
    print(f"{torch.get_num_threads()} threads, {length} s of noise")
    print("| model | exact, 5 s | " + " | ".join(f"shared, {hop:g} s" for hop in HOPS[1:]) + " |")
    print("|---|" + "---|" * len(HOPS))
    models = {"built-in": load()}
    models |= {name: random_model(x, models["built-in"].heads) for name, x in SYSTEMS.items()}
    for name, model in models.items():
        rate = model.audio_spec.sample_rate
        noise = np.random.default_rng(0).standard_normal(length * rate)
        sound = (0.1 * noise).astype(np.float32)
        seconds = np.empty((repeats + 1, len(HOPS)))
        for index in np.ndindex(seconds.shape):
            start = time.perf_counter()
            deque(model.predict_windows(sound, HOPS[index[1]], sample_rate=rate), maxlen=0)
            seconds[index] = time.perf_counter() - start
        seconds = seconds[1:]  # the first repeat warms up
        ratios = np.median(seconds[:, 1:] / seconds[:, :1], axis=0)
        cells = [f"{length / np.median(seconds[:, 0]):.0f} s/s", *(f"{x:.2f}" for x in ratios)]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def random_model(options: dict[str, Any], heads: Heads) -> Classifier:
    torch.manual_seed(0)
    system_options = SystemOptions(**options)
    system = build_system(system_options, heads)
    card = ModelCard(system_options, heads, system.sample_rate, ())
    return Classifier(TorchEngine(system, heads), card)


def deviation(options: argparse.Namespace) -> None:
    """Largest difference in probability of a window's classes, over windows."""
    print("| model, recording | windows | mean | 99 % | largest | other class |")
    print("|---|---|---|---|---|---|")

    def print_row(title: str, first: np.ndarray, other: np.ndarray) -> None:
        largest = np.abs(first - other).max(1)
        changed = (first.argmax(1) != other.argmax(1)).mean()
        found = [largest.mean(), np.quantile(largest, 0.99), largest.max(), changed]
        cells = " | ".join(f"{value:.3f}" for value in found)
        print(f"| {title} | {len(first)} | {cells} |", flush=True)

    for path in [None, *options.model]:
        model = load(path)
        system, rate = cast(TorchEngine, model.engine).fused, model.audio_spec.sample_rate
        windows_of = partial(system_windows, system, model.audio_spec.length)
        for kind, sound in recordings(options, rate).items():
            title = f"{name_of(path)}, {kind}"
            reference, finest = exact_windows(model, sound), model.heads[-1].name
            maps = ChunkMaps(system, model.audio_spec.length)
            squeezes = SQUEEZES if maps.squeezes else {"shared": SlidingSqueeze}
            for name, squeeze in squeezes.items():
                pieces = np.array_split(sound, len(sound) // rate)
                outputs = [
                    probabilities(output.logits, model.heads)[finest].numpy()
                    for _, output in windows_of(squeeze=squeeze).outputs(pieces, rate)
                ]
                print_row(f"{title}: {name}", reference, np.concatenate(outputs))
            offset = maps.coarsest * maps.frame // 2
            later = exact_windows(model, sound[offset:])
            title = f"{title}: exact, {1000 * offset // rate} ms later"
            print_row(title, reference[: len(later)], later[: len(reference)])


def recordings(options: argparse.Namespace, rate: int) -> dict[str, np.ndarray]:
    """Clips in a row: in random order, and four of each class."""
    files = sorted(options.sounds.glob(options.only))
    order = np.random.default_rng(0).permutation(len(files))[:CLIPS]
    by_class: dict[str, list[Path]] = {}
    for file in files:
        by_class.setdefault(file.stem.rpartition("-")[2], []).append(file)
    same = [file for group in by_class.values() for file in group[:4]][:CLIPS]
    rows = {"mixed": [files[index] for index in order], "by class": same}
    return {
        kind: np.concatenate([load_audio(file, sample_rate=rate).samples for file in row])
        for kind, row in rows.items()
    }


def exact_windows(model: Classifier, sound: np.ndarray) -> np.ndarray:
    """``[windows, classes]`` probabilities of the finest head, each window computed by itself."""
    windows = model.predict_windows(sound, sample_rate=model.audio_spec.sample_rate, exact=True)
    return np.array([window.proba[model.heads[-1].name] for window in windows])


def memory(options: argparse.Namespace) -> None:
    """Duration and peak memory of a process that reads a long recording."""
    print("| model | hours | windows | minutes | hours/minute | peak, MB |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.w64"
        write_recording(path, options.hours)
        for model in [*options.model] or [None]:
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                windows, minutes, peak = pool.submit(read_windows, path, model).result()
            cells = f"{options.hours:g} | {windows} | {minutes:.1f} | {options.hours / minutes:.2f}"
            print(f"| {name_of(model)} | {cells} | {peak:.0f} |", flush=True)


def read_windows(path: Path, model: str | None) -> tuple[int, float, float]:
    """Number of windows every second, minutes, and peak megabytes of this process."""
    import resource

    classifier, start = load(model), time.perf_counter()
    count = sum(1 for _ in classifier.predict_windows(path, 1.0))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return count, (time.perf_counter() - start) / 60, peak


def name_of(model: str | None) -> str:
    return Path(model).parent.name if model else "built-in"


def write_recording(path: Path, hours: float, rate: int = 16_000) -> None:
    """Noise of varying level with a tone of varying pitch, minute by minute."""
    rng = np.random.default_rng(0)
    minute = np.arange(60 * rate) / rate
    noise = rng.standard_normal(len(minute))
    with soundfile.SoundFile(path, "w", rate, 1, "PCM_16") as file:
        for number in range(round(60 * hours)):
            level = 0.1 * (1 + np.sin(2 * np.pi * minute / rng.uniform(3, 20)))
            tone = 0.1 * np.sin(2 * np.pi * rng.uniform(200, 3000) * minute)
            file.write(level * np.roll(noise, 7919 * number) + tone)


if __name__ == "__main__":
    main()
