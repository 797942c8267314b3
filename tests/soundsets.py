"""Small data sets on disk; the sounds in them are empty files unless they have to be decoded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
import soundfile
from heads import labelled

from sonotype.core.errors import DataError
from sonotype.data.manifest import Manifest


def touch(root: Path, *names: str) -> Path:
    """Empty files of these names, with the folders they need."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def tone(path: Path, seconds: float = 0.05) -> None:
    """A tone whose frequency follows from the path: two files hold two sounds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    hz = 200 + crc32("/".join(path.parts[-2:]).encode()) % 3000
    time = np.arange(int(8000 * seconds)) / 8000
    soundfile.write(path, 0.1 * np.sin(2 * np.pi * hz * time), 8000)


def write_table(root: Path, lines: str, name: str = "labels.csv") -> Path:
    """A table with these lines, indented as the test likes."""
    rows = [line.strip() for line in lines.strip().splitlines()]
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def four_clips(root: Path) -> Path:
    """A table of two clips of each of two categories, with its sounds."""
    touch(root, "a.wav", "b.wav", "c.wav", "d.wav")
    return write_table(root, "path,category\na.wav,dog\nb.wav,dog\nc.wav,cat\nd.wav,cat")


ESC50_ROWS = (
    ("1-100-A-0.wav", 1, 0, "dog", "100", "A"),
    ("1-100-B-0.wav", 1, 0, "dog", "100", "B"),
    ("2-200-A-0.wav", 2, 0, "dog", "200", "A"),
    ("1-300-A-46.wav", 1, 46, "church_bells", "300", "A"),
    ("2-400-A-46.wav", 2, 46, "church_bells", "400", "A"),
)


def esc50_folder(root: Path, suffix: str = ".wav") -> Path:
    """ESC-50 as it is published, with five clips."""
    lines = ["filename,fold,target,category,esc10,src_file,take"]
    for name, fold, target, category, source, take in ESC50_ROWS:
        lines.append(f"{name},{fold},{target},{category},False,{source},{take}")
        touch(root, "audio/" + name.replace(".wav", suffix))
    write_table(root / "meta", "\n".join(lines), "esc50.csv")
    return root


def faults_of(read: Callable[[], object], below: Path) -> list[str]:
    """The faults that reading raises, with paths written relative to a folder."""
    with pytest.raises(DataError) as caught:
        read()
    return [str(issue).replace(f"{below}/", "") for issue in caught.value.issues]


def manifest_of(
    rows: Iterable[tuple[str, str | None, str, int | None]], *, grouped: bool = True
) -> Manifest:
    """A manifest from category, event, group and fold of each clip; there are no files."""
    clips = tuple(
        labelled(Path(f"{number:05}.wav"), category, event, group, fold)
        for number, (category, event, group, fold) in enumerate(rows)
    )
    return Manifest("made", clips, grouped=grouped)
