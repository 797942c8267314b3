"""The clips that all peers classify: of a given folder, else of ``examples/esc10``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.peer import SECONDS, Clips

COUNT = 16
RATES = (16_000, 32_000)
ESC10 = Path(__file__).resolve().parent.parent / "examples" / "esc10"


def write_clips(folder: Path, data: Path | None) -> str:
    """Write ``clips_RATE.npy``, ``[16, samples]``, for each rate; says what they are.

    Resampling is not timed: each peer gets the clips at its own rate.
    """
    for rate in RATES:
        np.save(folder / f"clips_{rate}.npy", np.stack(real(data or ESC10, rate)))
    return f"{COUNT} recordings of {(data or ESC10).name}"


def real(data: Path, rate: int) -> list[Clips]:
    """Clips of a folder, evenly spread over its files.

    Raises:
        OptionsError: it holds fewer than 16 sounds.
    """
    from sonotype.audio.clip import AudioSpec, read_clip
    from sonotype.core.errors import OptionsError
    from sonotype.data.records import is_sound

    paths = sorted(path for path in data.rglob("*") if is_sound(path))
    if len(paths) < COUNT:
        raise OptionsError(
            f"{data} holds {len(paths)} sounds; the benchmark wants at least {COUNT}"
        )
    chosen = [paths[number * len(paths) // COUNT] for number in range(COUNT)]
    return [read_clip(path, AudioSpec(sample_rate=rate, seconds=SECONDS)) for path in chosen]
