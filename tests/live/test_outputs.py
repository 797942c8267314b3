"""Files that grow by an event are those that detect writes for the same events."""

from __future__ import annotations

import errno
import json
from io import FileIO
from pathlib import Path
from typing import Any

import pytest

from sonotype.core.detections import DetectedEvent, DetectedRecording
from sonotype.core.errors import OptionsError
from sonotype.detect.writers.event_tables import csv_header, csv_rows, json_lines
from sonotype.detect.writers.label_files import label_file
from sonotype.live.live_options import FORMATS, ListenOptions
from sonotype.live.outputs import SUFFIXES, EventFiles, _write, utc_text
from sonotype.live.reports import Report

EVENTS = (
    DetectedEvent(0.5, 1.25, "dog", 0.75),
    DetectedEvent(2, 3, 'a "quoted", label\nwith\tcontrol', 0.5),
    DetectedEvent(4, 5, "\ud800 half a character", 0.25),
)


def test_the_files_are_those_of_detect(tmp_path: Path) -> None:
    files = EventFiles(tmp_path / "new" / "out", FORMATS, "stdin", 8000)
    for event in EVENTS:
        files.add(Report(event, 0.0))
    whole = DetectedRecording(Path("stdin"), 0.0, EVENTS, 8000)
    found = {path.name.partition(".")[2]: path for path in (tmp_path / "new" / "out").iterdir()}
    assert {"." + name for name in found} == set(SUFFIXES.values())
    wanted = {"csv": csv_header() + csv_rows(whole)}
    for one in ("raven", "audacity", "kaleidoscope"):
        wanted[one] = label_file(whole, one)[1]
    for one, text in wanted.items():
        assert found[SUFFIXES[one][1:]].read_text() == text
    lines = [json.loads(line) for line in found["jsonl"].read_text().splitlines()]
    rows = [json.loads(line) for line in json_lines(whole).splitlines()]
    assert [{k: v for k, v in line.items() if k in rows[0]} for line in lines] == rows
    files.close()


def test_each_event_is_in_the_file_at_once(tmp_path: Path) -> None:
    files = EventFiles(tmp_path, ["jsonl"], "microphone", 8000)
    [path] = tmp_path.iterdir()
    for number, event in enumerate(EVENTS, 1):
        files.add(Report(event, 1_700_000_000.25))
        lines = path.read_text().splitlines()
        assert len(lines) == number
        found = json.loads(lines[-1])
        assert found["time"] == "2023-11-14T22:13:20.250+00:00"
        assert (found["file"], found["start"], found["begins"]) == (
            "microphone", event.start, False
        )  # fmt: skip
    files.close()


class Full(FileIO):
    """A file that takes 5 bytes at a time, and 12 in all."""

    def write(self, content: Any, /) -> int:
        left = min(5, 12 - self.tell())
        if not left:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(content[:left])


def test_short_writes(tmp_path: Path) -> None:
    with Full(tmp_path / "x", "w") as file:
        _write(file, b"12345678\n")
        with pytest.raises(OSError, match="No space"):
            _write(file, b"12345\n")
    assert (tmp_path / "x").read_bytes() == b"12345678\n", "no part of a line"


def test_two_starts_in_a_second(tmp_path: Path) -> None:
    for _ in range(3):
        EventFiles(tmp_path, ["csv", "jsonl"], "x", 8000).close()
    assert len(list(tmp_path.iterdir())) == 6


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OptionsError, match=r"--out .*file"):
        EventFiles(tmp_path / "file", ["csv"], "x", 8000)


def test_formats() -> None:
    assert ListenOptions(formats=("raven,csv", "csv")).all_formats() == ("csv", "raven")
    with pytest.raises(OptionsError, match=r"textgrid.*jsonl"):
        ListenOptions(formats=("textgrid",)).all_formats()
    assert utc_text(0) == "1970-01-01T00:00:00.000+00:00"
