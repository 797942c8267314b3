"""Label files beside a recording, in the formats of the programs that people listen with."""

from __future__ import annotations

from sonotype.core.detections import DetectedRecording
from sonotype.core.errors import OptionsError
from sonotype.detect.writers.audacity_labels import audacity_labels
from sonotype.detect.writers.kaleidoscope_csv import kaleidoscope_table
from sonotype.detect.writers.praat_textgrid import praat_textgrid
from sonotype.detect.writers.raven_selections import raven_table

LABEL_FORMATS = ("raven", "audacity", "kaleidoscope", "textgrid")


def has_label_file(recording: DetectedRecording) -> bool:
    """Whether a recording gets a label file: not if it has an error and no events.

    A label file without labels says that the whole recording has no event.
    """
    return not recording.error or bool(recording.events)


def label_file(recording: DetectedRecording, label_format: str) -> tuple[str, str]:
    """The label file of a recording, with a line feed as line end.

    Args:
        recording: with :func:`has_label_file`.
        label_format: of :data:`LABEL_FORMATS`.

    Returns:
        What the stem of the recording's name is followed by in that of the label file, such as
        ``.audacity.txt``, and the text.

    Raises:
        OptionsError: an unknown format.
        ValueError: the recording could not be read.
    """
    if not has_label_file(recording):
        raise ValueError(f"{recording.path} could not be read ({recording.error}): no label file")
    if label_format == "raven":
        return ".Table.1.selections.txt", "".join(raven_table([recording]))
    if label_format == "audacity":
        return ".audacity.txt", audacity_labels(recording)
    if label_format == "kaleidoscope":
        return ".kaleidoscope.csv", "".join(kaleidoscope_table([recording]))
    if label_format == "textgrid":
        return ".TextGrid", praat_textgrid(recording)
    formats = ", ".join(LABEL_FORMATS)
    raise OptionsError(f"label format {label_format!r} is unknown; choose one of {formats}")
