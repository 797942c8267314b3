"""Projects of the page with tones as sounds."""

from __future__ import annotations

from pathlib import Path

import soundfile
from training_data import RATE, tone

from sonotype.app.project import Project

CLASSES = {"beep": 1500.0, "hum": 200.0}


def tones_project(folder: Path, clips: int = 4) -> Project:
    """A project with two classes of short tones."""
    for label in CLASSES:
        for number in range(clips):
            add_tone(folder, label, number)
    return Project(folder)


def add_tone(folder: Path, label: str, number: int, sound_of: str = "") -> Path:
    """Write a sound into a class; ``sound_of`` is the class that it sounds like."""
    path = folder / label / f"{label}_{number}.wav"
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone(CLASSES[sound_of or label], number), RATE, subtype="PCM_16")
    return path
