"""Windows that were chosen from recordings, as files: clips to listen to, and label files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from sonotype.core.detections import DetectedEvent, DetectedRecording
from sonotype.core.errors import AudioError
from sonotype.detect.clips import clip_names, cut_clips
from sonotype.detect.output_names import Recording, label_folders
from sonotype.detect.tables import recording_files, write_recording_file

CLIPS, LABELS = "clips", "labels"
"""Folders in the output folder."""

Window = tuple[Recording, DetectedEvent]


def clip_paths(windows: Iterable[Window]) -> dict[Window, str]:
    """The path of the clip of each window: ``clips/LABEL/RECORDING_START-END.wav``."""
    windows = list(windows)
    folders = label_folders(sorted({event.label for _, event in windows}))
    paths = {}
    for recording, event in windows:
        [clip] = clip_names([event], recording.clip_name, folders)
        paths[recording, event] = f"{CLIPS}/{clip}"
    return paths


def write_windows(
    folder: Path,
    clips: Mapping[Window, str],
    formats: Sequence[str],
    highest: float,
) -> list[tuple[Recording, str]]:
    """Write the clips of windows, and label files in some formats.

    Args:
        folder: of the output.
        clips: of :func:`clip_paths`.
        formats: of label files, one file for each recording with a window.
        highest: highest frequency of the input of the model in Hz.

    Returns:
        the recordings of which clips are missing, and the causes.

    Raises:
        OSError: a file cannot be written.
    """
    by_recording: dict[Recording, list[DetectedEvent]] = {}
    for recording, event in clips:
        by_recording.setdefault(recording, []).append(event)
    failures = []
    for recording, events in by_recording.items():
        spans = {folder / clips[recording, one]: (one.start, one.end) for one in events}
        try:
            cut_clips(recording.path, spans, margin=0.0)
        except AudioError as error:
            failures.append((recording, error.cause))
        _write_labels(folder, recording, events, formats, highest)
    return failures


def _write_labels(
    folder: Path,
    recording: Recording,
    events: Iterable[DetectedEvent],
    formats: Sequence[str],
    highest: float,
) -> None:
    events = sorted(events, key=lambda event: event.start)
    labelled = DetectedRecording(recording.path, events[-1].end, tuple(events), highest)
    for name, text in recording_files(labelled, f"{LABELS}/{recording.name}", formats).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_recording_file(path, text, labelled)
