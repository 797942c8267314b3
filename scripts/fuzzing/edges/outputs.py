"""What detection writes for hostile names of classes and recordings, and for odd events."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

from fuzzing.case import Case, Edge, FindError
from fuzzing.mutate import odd_text
from fuzzing.tables import sound_bytes
from sonotype.core.detections import DetectedEvent, DetectedRecording, ScoreBlock
from sonotype.core.errors import AudioError

FORMATS = ("csv", "jsonl", "parquet", "raven", "kaleidoscope", "audacity", "textgrid")
TIMES = (0.0, 0.01, 0.1, 0.3, 0.5, 1.0, 1e-9, 1e9, 1e300)


class Detector:
    """Finds the given events in every recording."""

    def __init__(self, classes: Iterable[str], events: list[list[Any]]) -> None:
        self.classes, self.digest = tuple(classes), "fuzz"
        self.events = tuple(DetectedEvent(*event) for event in events)

    def detect(self, path: Path, *, on_block: Any = None) -> DetectedRecording:
        """The events; an error for a recording that cannot be read."""
        from sonotype.audio.decode import seconds_of

        try:
            seconds, error = seconds_of(path), ""
        except AudioError as failure:
            seconds, error = 0.0, failure.cause
        return DetectedRecording(path, seconds, self.events, 4000.0, error)


class Timeline:
    """Stands for a picture."""

    def add(self, block: ScoreBlock) -> None:
        """Nothing to add."""

    def save(self, path: Path, recording: DetectedRecording) -> None:
        """Write a file."""
        path.write_bytes(b"picture")


def _prepare(folder: Path) -> Path:
    sound = folder / "sound.wav"
    sound.write_bytes(sound_bytes(0.5))
    for formats in FORMATS:
        values = {"names": ["a.wav"], "classes": ["a"], "events": [[0.0, 0.1, "a", 0.5]],
                  "options": {"formats": [formats]}, "again": False}  # fmt: skip
        place = folder / formats
        place.mkdir()
        _run(sound, Case("detect", {}, values), place)
    return sound


def _file_name(rng: Random) -> str:
    """A name that the file system accepts, as text with stray bytes."""
    while True:
        text = odd_text(rng) if rng.random() < 0.8 else os.fsdecode(rng.randbytes(5))
        name = text.replace("/", rng.choice(("", "_"))).replace("\0", "")
        name += rng.choice((".wav", ".WAV", ".flac", ""))
        size = len(name.encode("utf-8", "surrogatepass"))
        lone = any("\ud800" <= char < "\udc80" for char in name)
        if name not in ("", ".", "..") and size < 255 and not lone:
            return name


def _make(_: Any, rng: Random) -> Case:
    classes = list(dict.fromkeys(odd_text(rng) for _ in range(rng.randint(1, 4))))
    events: list[list[Any]] = []
    for _ in range(rng.randint(0, 5)):
        start = rng.choice(TIMES)
        band = rng.choice(([], [], [100.0, 4000.0], [0.0, None], [float("nan"), 1e9]))
        end = start + rng.choice(TIMES)
        events.append([start, end, rng.choice(classes), rng.choice((0.0, 0.5, 1.0, 1e-30)), *band])
    folders = [rng.choice(("", "", "a/", "..b/", "\n/", "é/", "x" * 200 + "/")) for _ in range(2)]
    names = [rng.choice(folders) + _file_name(rng) for _ in range(rng.randint(1, 2))]
    options = {
        "formats": rng.sample(FORMATS, rng.randint(1, 3)),
        "table": rng.choice(("one", "per-file")),
        "clips": rng.random() < 0.5,
        "picture": rng.random() < 0.5,
    }
    values = {"names": names, "classes": classes, "events": events, "options": options,
              "again": rng.random() < 0.2}  # fmt: skip
    return Case("detect", {}, values)


def _run(sound: Path, case: Case, folder: Path) -> None:
    from sonotype.detect.job import detect_recordings
    from sonotype.detect.output_names import name_recordings
    from sonotype.detect.output_options import OutputOptions

    inputs, out = folder / "in", folder / "out"
    inputs.mkdir()
    paths = []
    for name in dict.fromkeys(case.values["names"]):
        path = inputs / name
        with suppress(FileExistsError):  # a folder and a file of one name
            path.parent.mkdir(exist_ok=True)
            os.link(sound, path)
            paths.append(path)
    before = _tree(folder)
    options = case.values["options"]
    given = OutputOptions(**{**options, "formats": tuple(options["formats"])})
    recordings = name_recordings(dict.fromkeys(paths, ""), [inputs])
    try:
        for _ in range(2 if case.values["again"] else 1):
            detector = Detector(case.values["classes"], case.values["events"])
            detect_recordings(detector, recordings, out, given, new_timeline=Timeline)
    finally:
        after = {path for path in _tree(folder) if not f"{path}/".startswith(f"{out}/")}
        if after != before:
            raise FindError("outside", f"outside the output folder: {after ^ before!r:.300}")
        for path in _tree(out):
            if Path(path).is_symlink():
                raise FindError("outside", f"a link: {path!r}")


def _tree(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*")} if folder.exists() else set()


EDGE = Edge("outputs", _prepare, _make, _run)
