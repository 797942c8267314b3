"""Annotated recordings of tones and noises, for tests of training and of evaluation."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import soundfile

RATE = 16_000
SOUNDS = {"low": 300.0, "high": 2500.0, "hiss": 0.0}
"""Frequency in Hz of each class; 0 for noise."""


def write_recordings(
    folder: Path, count: int = 6, seconds: float = 20.0, *, seed: int = 0, tables: bool = True
) -> Path:
    """Write recordings with ten events each, a third of them beside another class.

    Args:
        folder: of the recordings, and of ``annotations.csv`` or of Audacity label tracks.
        count: number of recordings.
        seconds: length of each.
        seed: of the events.
        tables: write ``annotations.csv``; otherwise a label track beside each recording.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[tuple[str, float, float, str]] = []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        samples = 0.003 * rng.standard_normal(round(seconds * RATE))
        name = f"site_{number}.wav"
        events: list[tuple[float, float, str]] = []
        for index, start in enumerate(np.linspace(0.5, seconds - 2, 10)):
            labels = [list(SOUNDS)[(index + number) % 3]]
            if index % 3 == 0:
                labels.append(list(SOUNDS)[(index + number + 1) % 3])
            for label in labels:
                length = round(float(rng.uniform(0.5, 0.9)), 3)
                onset = round(float(start), 3)
                _add(samples, onset, length, SOUNDS[label], rng)
                events.append((onset, round(onset + length, 3), label))
        soundfile.write(folder / name, samples.astype(np.float32), RATE)
        rows += [(name, *event) for event in events]
        if not tables:
            lines = "".join(f"{start}\t{end}\t{label}\n" for start, end, label in events)
            (folder / name).with_suffix(".txt").write_text(lines)
    if tables:
        with (folder / "annotations.csv").open("w", newline="") as stream:
            csv.writer(stream).writerows([("path", "onset", "offset", "label"), *rows])
    return folder


def _add(
    samples: np.ndarray, onset: float, length: float, hz: float, rng: np.random.Generator
) -> None:
    first, count = round(onset * RATE), round(length * RATE)
    time = np.arange(count) / RATE
    sound = np.sin(2 * np.pi * hz * time) if hz else rng.standard_normal(count)
    samples[first : first + count] += 0.1 * sound * np.hanning(count)
