"""The synthetic set on disk, in the layout ``category/event/*.wav``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile

from sonotype.core.errors import OptionsError
from sonotype.core.io import PART, atomic, parts_of
from sonotype.core.json_text import json_text
from sonotype.core.progress import track
from sonotype.core.types import Clip
from sonotype.data.manifest import Manifest
from sonotype.data.synth.clip import EVENTS, check_numbers, synthesise_clip

NAME = "synthetic"
LICENCE = "CC0-1.0"
INFO_FILE = "sonotype.json"
SETTINGS = ".synth-settings.json"

VERSION = 1
"""Goes up when the sounds change, so that an old set is not taken for a new one."""


@dataclass(frozen=True)
class _Settings:
    clips_per_event: int
    sample_rate: int
    seconds: float
    seed: int
    version: int = VERSION


def synthesise(
    root: Path,
    *,
    clips_per_event: int = 12,
    sample_rate: int = 16000,
    seconds: float = 5.0,
    seed: int = 0,
    progress: bool = False,
) -> Manifest:
    """Write the synthetic set into a folder, or finish it there, and return its manifest.

    Each clip appears under its name only when it is complete; a run that was stopped is completed
    by the next one with the same settings, and a finished set is not written again. The settings
    are kept in ``.synth-settings.json``, and ``sonotype.json`` marks the set as synthetic.

    Args:
        root: the folder; made where there is none.
        clips_per_event: clips of each event, 1 or more.
        sample_rate: in hertz, 4000 or more.
        seconds: length of each clip, above 0.
        seed: 0 or more.
        progress: draw a progress bar.

    Raises:
        OptionsError: a number out of range, or a folder that holds something else already.

    """
    check_numbers(seconds=seconds, sample_rate=sample_rate, seed=seed)
    if clips_per_event < 1:
        raise OptionsError(f"clips_per_event is {clips_per_event}; it must be 1 or more")
    _lock_config(root, _Settings(clips_per_event, sample_rate, float(seconds), seed))
    places = [
        (Path(category, event, f"{event}_{index:03d}.wav"), index)
        for category, events in EVENTS.items()
        for event in events
        for index in range(clips_per_event)
    ]
    missing = [(path, index) for path, index in places if not (root / path).exists()]
    for path, index in track(missing, "synthesising", show=progress):
        samples = synthesise_clip(
            path.parent.name,
            seconds=seconds,
            sample_rate=sample_rate,
            seed=_clip_seed(seed, index),
        )
        _write_wav(root / path, samples, sample_rate)
    clips = [_clip(root, path) for path, _ in places]
    clips.sort(key=lambda clip: clip.path)
    return Manifest(NAME, tuple(clips), synthetic=True, licence=LICENCE)


def _clip(root: Path, path: Path) -> Clip:
    category, event, _ = path.parts
    return Clip(root / path, category, event, group=path.as_posix(), fold=None)


def _clip_seed(seed: int, index: int) -> int:
    """Seeds of neighbouring sets must not share clips, so set and clip number are mixed."""
    return int(np.random.SeedSequence([seed, index]).generate_state(1, np.uint64)[0])


def _lock_config(root: Path, wanted: _Settings) -> None:
    """Make the folder this set's own, or raise where it is another's."""
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OptionsError(
            f"{root}: cannot be made a folder ({error.strerror}); choose another"
        ) from error
    kept = root / SETTINGS
    # Of a run that was killed before its settings had their name.
    left = {root / f"{SETTINGS}{PART}", *parts_of(kept)} & {*root.iterdir()}
    if kept.exists():
        _compare(root, wanted)
    elif {*root.iterdir()} - left:
        raise OptionsError(f"{root}: holds other files already; choose another folder")
    else:
        _write_text(kept, json_text(asdict(wanted), indent=2))
        for part in left:
            part.unlink()
    # Before the clips, so that not even an unfinished set can pass for recordings.
    if not (root / INFO_FILE).exists():
        marker = {"name": NAME, "synthetic": True, "licence": LICENCE}
        _write_text(root / INFO_FILE, json_text(marker, indent=2))


def _compare(root: Path, wanted: _Settings) -> None:
    kept = root / SETTINGS
    try:
        found = json.loads(kept.read_text(encoding="utf-8"))
        known = {name: found[name] for name in asdict(wanted)}
    except (ValueError, TypeError, KeyError) as error:
        raise OptionsError(f"{kept}: is damaged; choose another folder") from error
    changed = [
        f"{name} {known[name]} instead of {value}"
        for name, value in asdict(wanted).items()
        if known[name] != value
    ]
    if changed:
        raise OptionsError(
            f"{root}: holds a synthetic set with {', '.join(changed)}; choose another folder"
        )


def _write_text(path: Path, text: str) -> None:
    with atomic(path) as part:
        part.write_text(text + "\n", encoding="utf-8")


def _write_wav(path: Path, samples: np.ndarray, sample_rate: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as part:
        soundfile.write(part, samples, sample_rate, format="WAV", subtype="PCM_16")
