"""Train and use a classifier on real sounds in about half a minute: ``make demo``.

Needs no network: the sounds are ``examples/esc10`` (80 clips of ESC-10, 10 classes), and the
pretrained network is the built-in model, which has seen none of these clips. Run it again and
nothing is trained twice; stop it, and the next run resumes.
"""
# ruff: noqa: T201 - a script reports to its user

from __future__ import annotations

import csv
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

import sonotype
from sonotype.audio.decode import load_audio
from sonotype.core.errors import SonotypeError, StoppedError
from sonotype.experiments.runner import train_or_resume
from sonotype.inference.prediction import Prediction

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "examples" / "esc10"
RUN = ROOT / "demo" / "run"
RECORDING = ROOT / "demo" / "recording.wav"
RATE = 32_000

OPTIONS: dict[str, Any] = {
    "group_pattern": r"-(\d+)-",  # clips of one Freesound recording stay in one subset
    "system": "cbir_2",
    "backbone": "builtin",
    "width": 0,  # no second branch
    "pooling": "attention",
    "pool_blocks": (4,),
    "epochs": 40,
    "min_steps": 0,
    "learning_rate": 3e-3,
}


def main() -> int:
    """Train, evaluate, predict; the exit code."""
    print(f"1. Train on part of {shown(DATA)}, with the features of the built-in model")
    train_or_resume(DATA, RUN, progress=True, on_message=print, **OPTIONS)

    print("\n2. Scores on the test clips, which were not used in training\n")
    print((RUN / "scores.txt").read_text(encoding="utf-8"))

    print("\n3. Predictions for test clips, one of each class")
    model = sonotype.load(RUN / "model.safetensors")
    clips = {clip["category"]: clip["path"] for clip in test_clips()}
    for category, path in clips.items():
        print(f"   {category:<15} {top(model.predict(path))}")

    print("\n4. Sliding windows over a recording of three of these clips, 5 s each")
    RECORDING.parent.mkdir(parents=True, exist_ok=True)
    samples = [load_audio(path, sample_rate=RATE).samples for path in list(clips.values())[:3]]
    soundfile.write(RECORDING, np.concatenate(samples), RATE)
    for window in model.predict_windows(RECORDING, 2.5):
        print(f"   {window.start:4.1f} s to {window.end:4.1f} s  {top(window)}")

    print(f"""
model   {shown(RUN / "model.safetensors")}
scores  {shown(RUN / "scores.txt")}, {shown(RUN / "scores.json")}
plots   {shown(RUN / "plots")}

For your own sounds, make a folder with one folder of recordings for each class:

  .venv/bin/sonotype data check recordings
  .venv/bin/sonotype train recordings --out runs/first
  .venv/bin/sonotype predict runs/first/model.safetensors new_sound.wav""")
    return 0


def test_clips() -> list[dict[str, str]]:
    """The rows of the run's split table that are test clips."""
    with (RUN / "split.csv").open(newline="", encoding="utf-8") as table:
        return [row for row in csv.DictReader(table) if row["subset"] == "test"]


def top(prediction: Prediction) -> str:
    """The three most probable classes."""
    return ", ".join(f"{label} {probability:.2f}" for label, probability in prediction.top(3))


def shown(path: Path) -> str:
    """A path relative to the working directory."""
    return os.path.relpath(path)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (KeyboardInterrupt, StoppedError):
        print("interrupted; `make demo` resumes")
        sys.exit(130)
    except SonotypeError as error:
        sys.exit(f"error: {error}")
