"""Tiny labelled sounds and options that train in a second; shared by the tests of upper rooms."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

RATE = 16_000
SMALL: dict[str, Any] = {
    "system": "cbir_2",
    "backbone": "none",
    "width": 0.01,
    "seconds": 1.0,
    "recipe": "modern",
    "epochs": 3,
    "min_steps": 0,
    "batch_size": 4,
    "n_augmented": 2,
    "device": "cpu",
    "val_fraction": 0.25,
    "test_fraction": 0.25,
}
"""Options of a training on :func:`write_tones` that takes about a second."""

# The last epoch is kept: fewer parts, and clips enough in each fold.
FOLDED = {name: value for name, value in SMALL.items() if not name.endswith("_fraction")}
FOLDED |= {"epochs": 6, "learning_rate": 0.01, "checkpoint": "last", "category_source": "head"}
"""The same for :func:`write_table`, whose folds test in turn."""

TONES = {"low": {"hum": 200.0, "buzz": 400.0}, "high": {"beep": 1500.0, "whistle": 3000.0}}


def tone(hz: float, seed: int, seconds: float = 1.0) -> np.ndarray:
    """A noisy tone near a frequency."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    clean = np.sin(2 * np.pi * hz * rng.uniform(0.9, 1.1) * time + rng.uniform(0, 6))
    return (0.3 * clean + 0.02 * rng.standard_normal(len(time))).astype(np.float32)


def write_tones(root: Path, clips: int = 6) -> Path:
    """Folders category/event with a few noisy tones in each."""
    events = [event for events in TONES.values() for event in events]
    return few_tones(root, dict.fromkeys(events, clips))


def few_tones(root: Path, clips: dict[str, int]) -> Path:
    """Folders category/event with a number of tones by name of the event."""
    for category, events in TONES.items():
        for event, hz in events.items():
            for number in range(clips.get(event, 0)):
                path = root / category / event / f"{event}_{number}.wav"
                path.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(path, tone(hz, number), RATE, subtype="PCM_16")
    return root


def write_table(tones: Path, path: Path, clips: int = 4) -> Path:
    """Tones of each event, assigned to two folds."""
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "category", "event", "fold"])
        for sound in sorted(tones.rglob("*.wav")):
            number = int(sound.stem.rpartition("_")[2])
            if number < clips:
                writer.writerow(
                    [sound, sound.parent.parent.name, sound.parent.name, number % 2 + 1]
                )
    return path
