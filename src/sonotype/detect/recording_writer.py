"""Write the files of one recording and its result in the ledger, so that a kill loses nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from sonotype.core.detections import DetectedRecording
from sonotype.core.errors import AudioError
from sonotype.core.io import file_inside
from sonotype.detect.clips import Span, clip_names, cut_clips
from sonotype.detect.ledger import Ledger
from sonotype.detect.ledger_entry import Entry, Outputs, Stamp
from sonotype.detect.output_names import label_folders
from sonotype.detect.tables import recording_files, write_recording_file

LABELS, PICTURES, CLIPS = "labels", "pictures", "clips"
"""Folders of the files of recordings."""

Draw = Callable[[Path, DetectedRecording], None]
"""Writes the picture of a recording to a path."""


class RecordingWriter:
    """Writes into a folder.

    Args:
        folder: of the job.
        ledger: in that folder.
        classes: all labels that events can have.
    """

    def __init__(self, folder: Path, ledger: Ledger, classes: Iterable[str]) -> None:
        self._folder, self._ledger = folder, ledger
        self._label_folders = label_folders(classes)

    def write(
        self,
        found: DetectedRecording,
        stamp: Stamp,
        outputs: Outputs,
        *,
        new: bool = True,
        cut: bool = True,
        draw: Draw | None = None,
    ) -> DetectedRecording:
        """Write all files of a recording and remove its others; then store the result.

        Before the first file is written, the ledger notes their names and that the recording is
        incomplete: after a kill they are written again, or removed.

        Args:
            found: the result.
            stamp: of the recording before it was read.
            outputs: the files.
            new: whether the result is not that of the ledger.
            cut: whether to write the clips, which may exist.
            draw: writes the picture; ``None`` if it exists or if there is nothing to draw.

        Returns:
            The stored result: with an error if the recording cannot be read any more.

        Raises:
            OSError: a file cannot be written.
            OptionsError: likewise, of a Parquet table or a picture.
        """
        spans = self._spans(found, outputs)
        names = {*_texts(found, outputs), *spans}
        if outputs.picture:
            names.add(_picture(outputs))
        removed = set(self._ledger.files(found.path)) - names
        if names or removed:
            self._ledger.claim(found.path, names, new_result=new)
        if cut and outputs.margin is not None:
            found = self._cut(found, spans, outputs.margin)
        self._write_texts(found, outputs)
        if draw is not None:
            draw(self._path(_picture(outputs)), found)
        self.remove(removed)
        self._ledger.store(found, stamp, outputs, removed)
        return found

    def write_missing(self, path: Path, entry: Entry, wanted: Outputs) -> None:
        """Write the wanted files that a stored result lacks; its other files stay.

        If the name of the recording among the files changed, all of them get the new name.

        Raises:
            OSError: a file cannot be written.
        """
        found, old = self._ledger.recording(path), entry.outputs
        if old is None:
            self.write(found, entry.stamp, wanted, new=False)
            return
        outputs, picture = old.joined(wanted), file_inside(self._folder, _picture(old))
        # Clips that the user deleted do not come back with another format of labels.
        same = (old.clip_name, old.margin) == (outputs.clip_name, outputs.margin)
        moved = old.name != outputs.name and picture.exists()
        draw: Draw | None = (lambda new, _: _move(picture, new)) if moved else None
        cut = not (same and entry.complete)
        self.write(found, entry.stamp, outputs, new=False, cut=cut, draw=draw)

    def labels_are_missing(self, path: Path) -> bool:
        """Whether the user deleted label files of a recording."""
        names = self._ledger.files(path)
        return any(
            name.startswith(f"{LABELS}/") and not (self._folder / name).exists() for name in names
        )

    def remove(self, names: Iterable[str]) -> None:
        """Remove files, and the folders in which there is nothing else.

        Raises:
            SonotypeError: a name is not in a folder of files of recordings.
            OptionsError: a folder is a link.
        """
        for name in names:
            if name.partition("/")[0] not in (LABELS, PICTURES, CLIPS):
                raise self._ledger.damaged()
            path = file_inside(self._folder, name)
            path.unlink(missing_ok=True)
            with suppress(OSError):
                for folder in path.parents:
                    if folder == self._folder:
                        break
                    folder.rmdir()

    def _spans(self, found: DetectedRecording, outputs: Outputs) -> dict[str, Span]:
        if outputs.margin is None:
            return {}
        spans = clip_names(found.events, outputs.clip_name, self._label_folders)
        return {f"{CLIPS}/{name}": span for name, span in spans.items()}

    def _cut(
        self, found: DetectedRecording, spans: Mapping[str, Span], margin: float
    ) -> DetectedRecording:
        try:
            paths = {file_inside(self._folder, name): span for name, span in spans.items()}
            cut_clips(found.path, paths, margin)
        except AudioError as error:  # removed or replaced since it was read
            return replace(found, error=found.error or f"no clips: {error.cause}")
        return found

    def _write_texts(self, found: DetectedRecording, outputs: Outputs) -> None:
        for name, text in _texts(found, outputs).items():
            write_recording_file(self._path(name), text, found)

    def _path(self, name: str) -> Path:
        path = file_inside(self._folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def _texts(found: DetectedRecording, outputs: Outputs) -> dict[str, str | None]:
    return recording_files(found, f"{LABELS}/{outputs.name}", outputs.formats)


def _picture(outputs: Outputs) -> str:
    return f"{PICTURES}/{outputs.name}.png"


def _move(old: Path, new: Path) -> None:
    old.replace(new)
