"""What sliding windows cost, how far shared windows are from exact ones, and memory of a long run.

    python benchmarks/windows.py cost
    python benchmarks/windows.py deviation --sounds esc50/audio --only '4-*' [--model MODEL]
    python benchmarks/windows.py memory --hours 24 [--model MODEL]

Each prints one table. Costs are ratios to the 5 s hop, whose windows do not overlap and are clips
of their own; medians over repeats that take turns. Recordings for the deviation are clips of the
folder in a row, mixed or some of one class after the other; the class is the last part of a name,
as in ESC-50.
"""
# ruff: noqa: D103, T201 - a script talks to whoever runs it

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import numpy as np
import soundfile
import torch
from torch import nn

from sonotype.audio.decode import load_audio
from sonotype.config import SystemOptions
from sonotype.core.types import Labels
from sonotype.inference.classifier import Classifier
from sonotype.inference.load import load
from sonotype.inference.torch_engine import TorchEngine
from sonotype.modelfile.card import ModelCard
from sonotype.models.backbones.mobilenet import SqueezeExcitation
from sonotype.models.build import build_system
from sonotype.models.system import System
from sonotype.sliding.shared import SharedWindows, WindowOutputs
from sonotype.sliding.squeeze import SlidingSqueeze

LABELS = Labels(
    tuple(f"category {number}" for number in range(5)),
    tuple(f"event {number}" for number in range(50)),
    tuple(number // 10 for number in range(50)),
)
SYSTEMS: dict[str, dict[str, object]] = {
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
HOPS = (4.99, 1.0, 0.25)
"""The first is shared, unlike 5.0, which has nothing to share."""
MEMORY_SCRIPT = """
import resource, sys, time
from sonotype.inference.load import load
model = load(sys.argv[2] or None)
begun, count = time.perf_counter(), 0
for answer in model.predict_windows(sys.argv[1], 1.0):
    count += 1
seconds = time.perf_counter() - begun
print(count, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    kinds = ["cost", "deviation", "memory"]
    parser.add_argument("what", choices=kinds, nargs="?", default="cost")
    parser.add_argument("--quick", action="store_true", help="a shorter recording for the cost")
    parser.add_argument("--model", action="append", default=[], help="beside the built-in one")
    parser.add_argument("--sounds", type=Path, help="folder of clips")
    parser.add_argument("--only", default="*", help="pattern of the clips' names")
    parser.add_argument("--clips", type=int, default=100, help="in a recording")
    parser.add_argument("--seconds", type=float, default=300, help="of the recording for the cost")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--hours", type=float, default=24)
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.seconds, chosen.repeats = 60.0, 3
    {"cost": cost, "deviation": deviation, "memory": memory}[chosen.what](chosen)


def cost(chosen: argparse.Namespace) -> None:
    print(f"{torch.get_num_threads()} threads, {chosen.seconds:g} s of noise")
    print("| model | exact, 5 s | " + " | ".join(f"shared, {hop:g} s" for hop in HOPS) + " |")
    print("|---|---|" + "---|" * len(HOPS))
    models = {"built-in": load()} | {name: random_model(one) for name, one in SYSTEMS.items()}
    for name, model in models.items():
        rate = model.audio_spec.sample_rate
        noise = np.random.default_rng(0).standard_normal(round(chosen.seconds * rate))
        sound = (0.1 * noise).astype(np.float32)
        times: dict[float, list[float]] = {hop: [] for hop in (5.0, *HOPS)}
        for _ in range(chosen.repeats + 1):
            for hop, spent in times.items():
                begun = time.perf_counter()
                for _answer in model.predict_windows(sound, hop, sample_rate=rate):
                    pass
                spent.append(time.perf_counter() - begun)
        ratios = [
            statistics.median(
                mine / base for mine, base in zip(times[hop][1:], times[5.0][1:], strict=True)
            )
            for hop in HOPS
        ]
        speed = chosen.seconds / statistics.median(times[5.0][1:])
        cells = [f"{speed:.0f} s/s", *(f"{ratio:.2f}" for ratio in ratios)]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def random_model(options: dict[str, object]) -> Classifier:
    torch.manual_seed(0)
    chosen = SystemOptions(**options)  # type: ignore[arg-type]
    system = build_system(chosen, LABELS)
    return Classifier(TorchEngine(system), ModelCard(chosen, LABELS, system.sample_rate, ()))


def deviation(chosen: argparse.Namespace) -> None:
    print("| model, recording | windows | mean | 99 % | largest | other class |")
    print("|---|---|---|---|---|---|")
    for path in [None, *chosen.model]:
        model = load(path)
        rate, length = model.audio_spec.sample_rate, model.audio_spec.length
        for kind, sound in recordings(chosen, rate).items():
            reference = np.stack(list(exact_answers(model, sound)))
            title = f"{Path(path).parent.name if path else 'built-in'}, {kind}"
            maps = SharedWindows(system_of(model), length).maps
            squeezes = SQUEEZES if maps.squeezes else {"shared": SlidingSqueeze}
            for name, squeeze in squeezes.items():
                windows = SharedWindows(system_of(model), length, squeeze=squeeze)
                pieces = np.array_split(sound, len(sound) // rate)
                shared = np.concatenate(list(map(shares, windows.outputs(pieces, rate))))
                print(row(f"{title}: {name}", reference, shared), flush=True)
            moved = maps.coarsest * maps.frame // 2
            beside = np.stack(list(exact_answers(model, sound[moved:])))
            title = f"{title}: exact, {1000 * moved // rate} ms later"
            print(row(title, reference[: len(beside)], beside[: len(reference)]), flush=True)


def system_of(model: Classifier) -> System:
    return cast(TorchEngine, model.engine).fused


def recordings(chosen: argparse.Namespace, rate: int) -> dict[str, np.ndarray]:
    """Clips in a row: mixed, and four of each class after each other."""
    files = sorted(chosen.sounds.glob(chosen.only))
    order = np.random.default_rng(0).permutation(len(files))[: chosen.clips]
    by_class: dict[str, list[Path]] = {}
    for file in files:
        by_class.setdefault(file.stem.rpartition("-")[2], []).append(file)
    same = [file for group in by_class.values() for file in group[:4]][: chosen.clips]
    rows = {"mixed": [files[index] for index in order], "by class": same}
    return {
        kind: np.concatenate([load_audio(file, sample_rate=rate).samples for file in row])
        for kind, row in rows.items()
    }


def exact_answers(model: Classifier, sound: np.ndarray) -> Iterator[np.ndarray]:
    """Probabilities ``[events]`` of windows that are cut out, one after the other."""
    for one in model.predict_windows(sound, sample_rate=model.audio_spec.sample_rate, exact=True):
        yield np.array(list((one.event_probabilities or one.category_probabilities).values()))


def shares(output: WindowOutputs) -> np.ndarray:
    """Probabilities ``[windows, events]`` of shared windows."""
    logits = output.category if output.event is None else output.event
    return logits.softmax(1).numpy()


def row(title: str, one: np.ndarray, other: np.ndarray) -> str:
    """Largest difference in probability of a window's classes, over windows."""
    apart = np.abs(one - other).max(1)
    changed = (one.argmax(1) != other.argmax(1)).mean()
    figures = [apart.mean(), np.quantile(apart, 0.99), apart.max(), changed]
    return f"| {title} | {len(one)} | {' | '.join(f'{value:.3f}' for value in figures)} |"


def memory(chosen: argparse.Namespace) -> None:
    print("| model | hours | windows | minutes | hours/minute | peak, MB |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.w64"
        write_long(path, chosen.hours)
        for model in chosen.model or [""]:
            out = subprocess.run(
                [sys.executable, "-c", MEMORY_SCRIPT, str(path), model],
                capture_output=True, text=True, check=True,
            ).stdout.split()  # fmt: skip
            windows, minutes, peak = int(out[0]), float(out[1]) / 60, float(out[2])
            name = Path(model).parent.name if model else "built-in"
            cells = [f"{chosen.hours:g}", str(windows), f"{minutes:.1f}"]
            cells += [f"{chosen.hours / minutes:.2f}", f"{peak:.0f}"]
            print(f"| {name} | {' | '.join(cells)} |", flush=True)


def write_long(path: Path, hours: float, rate: int = 16_000) -> None:
    """Noise that swells, with a tone that wanders, a minute at a time."""
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
