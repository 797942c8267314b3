"""Models and a recording for the tests of live sound."""

from __future__ import annotations

from pathlib import Path

import pytest
from frame_models import write, write_sound


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``frames.safetensors``, ``windows.safetensors`` and ``sound.wav``."""
    folder = tmp_path_factory.mktemp("live")
    write(folder / "frames.safetensors")
    write(folder / "windows.safetensors", frames=False, detection=False)
    write_sound(folder / "sound.wav")
    return folder
