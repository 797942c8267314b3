"""A model as ONNX, and a service of it that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile
from serving import running
from small_models import write_model
from sound_files import noise, tone
from training_data import RATE

pytest.importorskip("fastapi", reason="needs sonotype[serve]")

from sonotype.export.onnx import export_onnx
from sonotype.inference.load import load


@pytest.fixture(scope="session")
def onnx_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    card = {"unknown_threshold": None}
    return export_onnx(
        write_model(folder / "model.safetensors", card=card), folder / "model.onnx"
    ).path


@pytest.fixture(scope="session")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A short WAV, a longer FLAC, an MP3 and a quiet WAV of another rate."""
    folder = tmp_path_factory.mktemp("sounds")
    changing = np.concatenate(
        [tone(2, 300, RATE), noise(2, 1, RATE), tone(3, 2000, RATE), noise(1.5, 2, RATE, 0.01)]
    )
    made = {
        "dog.wav": (tone(1, 440, RATE), RATE),
        "night.flac": (changing, RATE),
        "cat.mp3": (noise(2, 3, 44_100), 44_100),
        "quiet.wav": (tone(0.4, 700, 8000, 0.01), 8000),
    }
    for name, (samples, rate) in made.items():
        soundfile.write(folder / name, samples, rate)
    return {name: folder / name for name in made}


@pytest.fixture(scope="session")
def client(onnx_model: Path) -> Iterator[httpx.Client]:
    with running(load(onnx_model)) as client:
        yield client
