"""The clips that all peers hear: real ones where a folder is given, else synthetic ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.peer import SECONDS, Clips

COUNT = 16
RATES = (16_000, 32_000)


def write_clips(folder: Path, data: Path | None) -> str:
    """Write ``clips_RATE.npy``, ``[16, samples]``, for each rate; says what they are.

    Resampling is not timed: each peer gets the clips at its own rate.
    """
    for rate in RATES:
        clips = synthetic(rate) if data is None else real(data, rate)
        np.save(folder / f"clips_{rate}.npy", np.stack(clips))
    return f"{COUNT} synthetic clips" if data is None else f"{COUNT} recordings of {data.name}"


def synthetic(rate: int) -> list[Clips]:
    """One clip each of some events."""
    from sonotype.data.synth import EVENTS, synthesise_clip

    names = [name for sounds in EVENTS.values() for name in sounds][:COUNT]
    return [synthesise_clip(name, seconds=SECONDS, sample_rate=rate) for name in names]


def real(data: Path, rate: int) -> list[Clips]:
    """Clips of a folder, evenly spread over its files.

    Raises:
        OptionsError: it holds fewer than 16 sounds.
    """
    from sonotype.audio.clip import AudioSpec, load_clip
    from sonotype.core.errors import OptionsError
    from sonotype.data.records import is_sound

    paths = sorted(path for path in data.rglob("*") if is_sound(path))
    if len(paths) < COUNT:
        raise OptionsError(
            f"{data} holds {len(paths)} sounds; the benchmark wants at least {COUNT}"
        )
    chosen = [paths[number * len(paths) // COUNT] for number in range(COUNT)]
    return [load_clip(path, AudioSpec(sample_rate=rate, seconds=SECONDS)) for path in chosen]
