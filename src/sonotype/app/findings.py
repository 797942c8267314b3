"""What the doctor finds in the project, in words for the page."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sonotype.app.clip_files import ClipFile, Stamp, opens, stamp_of
from sonotype.app.layout import links_out
from sonotype.app.project import Project
from sonotype.app.sound_files import LONG, length_of
from sonotype.core.errors import SonotypeError
from sonotype.core.text import duration
from sonotype.data.readers.folder import NO_SOUND
from sonotype.data.records import is_negative
from sonotype.doctor.examine import Diagnosis, examine
from sonotype.doctor.file_format import wrong_suffix
from sonotype.doctor.findings import KINDS, Place
from sonotype.doctor.measure import Measurement, measure
from sonotype.doctor.sound_checks import check_sound

Values = dict[str, Any]

LEARNT_IN_PART, TOO_LONG = "learnt_in_part", "too_long"
"""Kinds of the page alone: a training learns the start of a sound."""
TOLERANCE = 1.1
"""Times the learnt length up to which a sound is not reported: encoders pad sounds."""
CUT = "choose the file with Cut from a recording, drag over the spectrogram, and keep each part"

TRIES = 3
"""Looks at a project whose files are moved meanwhile."""

LEFT_OUT = frozenset({"grouping"})
"""Kinds whose remedy is an option of the command line."""

REMEDIES = {
    "listing": "Correct it as it says.",
    "unreadable": "Record or add the sound again, or delete this one.",
    "truncated": "Copy or record the sound again, or delete this one.",
    "silent": "Record the sound again, delete it, or move it to a class named silence.",
    "cancelled": "Record with one channel, or delete the sound.",
    "not_numbers": "Save the sound again from the program that made it.",
    "far_above_full_scale": "Save the sound again with samples from -1 to 1.",
    "copies_under_two_labels": "Delete the sound from the class to which it does not belong.",
    "copies": "Delete one of them: a copy teaches nothing new.",
    "above_full_scale": "Save the sound again with samples from -1 to 1.",
    "quiet": "Record nearer to the source or with more gain.",
    "nearly_empty": "Cut it from the recording: keep the part with the sound.",
    "clipped": "Record with less gain. Keep the clip if future sounds are clipped, too.",
    "passed_over": "Convert the file to WAV or FLAC, and add it again.",
    "similar_labels": "Give both classes one name: move the sounds of one into the other.",
    "small_class": "Add sounds: five or more make the scores of a class say something.",
    "imbalance": "Add sounds to the small classes.",
    LEARNT_IN_PART: f"Cut out the parts with the sound: {CUT}. Then delete the whole sound.",
    TOO_LONG: f"Cut out the parts with the sound: {CUT}. Then delete the whole sound.",
    "outside": "Copy the sounds into the project: the page does not follow links out of it.",
}
"""By kind what to do on the page, where the remedy of the command line does not fit."""


class Findings:
    """Findings of a project; each content is measured once. May be used in any thread.

    A sound of more than :data:`~sonotype.app.sound_files.LONG` seconds is not measured.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._measured: dict[Path, tuple[Stamp, Measurement]] = {}
        self._one_at_a_time = threading.Lock()
        self._last: list[Values] = []

    def of_clip(self, clip: ClipFile, learnt: float | None = None) -> list[Values]:
        """The findings of one sound: values of kind, severity and text.

        Args:
            clip: the sound.
            learnt: ``Project.learnt_seconds``, if it is known.
        """
        found = self._measure(clip.path)
        faults = list(check_sound(found, negative=is_negative(clip.label)))
        if not found.error:
            real = wrong_suffix(clip.path)
            faults += [("wrong_extension", f"is {real}")] if real else []
        values = [
            {"kind": kind, "severity": KINDS[kind][0], "text": _text(KINDS[kind][1], detail)}
            for kind, detail in faults
        ]
        learnt = self._project.learnt_seconds() if learnt is None else learnt
        if kind := _length_issue(clip, learnt):
            text = _length_text(kind, learnt, _seconds_text(clip.seconds or 0.0))
            values.append({"kind": kind, "severity": "warning", "text": text})
        return values

    def of_project(self) -> list[Values]:
        """The findings of all sounds and of the set, the most severe first.

        Returns:
            values of kind, severity, text, advice and places; a place has a class, a file (or
            ``None``) and a detail.
        """
        with self._one_at_a_time:  # several tabs ask at once
            for left in reversed(range(TRIES)):
                try:
                    diagnosis = examine(self._project.folder, near=False, measured_by=self._measure)
                except SonotypeError:  # nothing is there yet
                    return self._links()
                except OSError:  # a sound or a class was moved or removed meanwhile
                    continue
                # In the end without the sounds that are gone.
                if not left or all(os.path.lexists(item.path) for item in diagnosis.sounds.items):
                    self._forget(diagnosis)
                    self._last = [*self._links(), *self._values(diagnosis), *self._lengths()]
                    return self._last
            found, self._last = self._last, []  # once: the cause may stay
            return found or self._links()

    def _values(self, diagnosis: Diagnosis) -> Iterator[Values]:
        classes = self._project.classes()
        for finding in diagnosis.findings:
            if finding.kind in LEFT_OUT:
                continue
            places = [
                place
                for one in finding.places
                if not self._is_about_counts(one, diagnosis)
                for place in _places(one, classes)
                if self._is_there(place)
            ]
            if places:
                yield _finding(finding.kind, finding.severity, finding.what, finding.remedy, places)

    def _is_there(self, place: Values) -> bool:
        """Whether the sound of a place was not moved or removed meanwhile."""
        if place["class"] is None or place["file"] is None:
            return True
        return os.path.lexists(self._project.folder / place["class"] / place["file"])

    def _is_about_counts(self, place: Place, diagnosis: Diagnosis) -> bool:
        """Whether an issue only says that sounds are missing, as the advice of the page does."""
        return place.detail == NO_SOUND or place.where in (".", str(diagnosis.sounds.source))

    def _links(self) -> list[Values]:
        places = []
        for name in links_out(self._project.folder):
            label, _, file = name.partition("/")
            places.append({"class": label, "file": file or None, "detail": ""})
        what = "a link to a place outside of the project"
        return [_finding("outside", "warning", what, "", places)] if places else []

    def _lengths(self) -> Iterator[Values]:
        """The sounds of which only the start is learnt."""
        learnt = self._project.learnt_seconds()
        places: dict[str, list[Values]] = {TOO_LONG: [], LEARNT_IN_PART: []}
        for label, clips in self._project.all_clips().items():
            for clip in clips:
                if kind := _length_issue(clip, learnt):
                    detail = _seconds_text(clip.seconds or 0.0)
                    places[kind].append({"class": label, "file": clip.file, "detail": detail})
        for kind, some in places.items():
            if some:
                yield _finding(kind, "warning", _length_text(kind, learnt), "", some)

    def _measure(self, path: Path) -> Measurement:
        try:
            found = path.stat()
        except OSError as error:
            return Measurement(path, error=error.strerror or "cannot be read")
        stamp = stamp_of(found)
        known = self._measured.get(path)
        if known is not None and known[0] == stamp:
            return known[1]
        measurement = _measured(path)
        if measurement.error:
            if not opens(path):  # another program has it, or took it away: read it again later
                return measurement
            measurement = _measured(path)
        self._measured[path] = (stamp, measurement)
        return measurement

    def _forget(self, diagnosis: Diagnosis) -> None:
        """Keep no measurements of files that are gone."""
        there = {item.path for item in diagnosis.sounds.items}
        for path in self._measured.keys() - there:
            self._measured.pop(path, None)


def _measured(path: Path) -> Measurement:
    """The measurement of a sound; of a long one, what says nothing about its samples."""
    try:
        seconds = length_of(path)
    except Exception:  # the measurement says why
        seconds = 0.0
    if seconds > LONG:
        return Measurement(path, seconds=seconds, active_seconds=seconds, peak=0.5)
    return measure(path)


def _length_issue(clip: ClipFile, learnt: float) -> str:
    """The kind of the finding of a sound that is longer than what is learnt; else empty."""
    if clip.seconds is None or clip.seconds <= TOLERANCE * learnt:
        return ""
    return TOO_LONG if clip.seconds > LONG else LEARNT_IN_PART


def _length_text(kind: str, learnt: float, seconds: str = "") -> str:
    """A finding of a length, with the length for that of one sound."""
    of = f" of {seconds}" if seconds else ""
    if kind == LEARNT_IN_PART:
        advice = "; cut out the part that counts." if seconds else ""
        return f"Only the first {learnt:g} s{of} are learnt{advice}"
    advice = f" Cut parts out of it: {CUT}." if seconds else ""
    end = "." if seconds else ""
    return f"Too long to be checked, and only the first {learnt:g} s{of} are learnt{end}{advice}"


def _seconds_text(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else duration(seconds)


def _finding(kind: str, severity: str, what: str, remedy: str, places: list[Values]) -> Values:
    return {
        "kind": kind,
        "severity": severity,
        "text": _text(what),
        "advice": REMEDIES.get(kind) or _text(remedy) + ".",
        "places": places,
    }


def _places(place: Place, classes: list[str]) -> Iterator[Values]:
    """The places on the page: a pair of files is two of them."""
    detail = place.detail.removeprefix("category, ")
    for where in place.where.split(" = "):
        label, *rest = Path(where).parts or ("",)
        if label in classes:
            yield {"class": label, "file": "/".join(rest) or None, "detail": detail}
        else:
            more = f"{where}: {detail}" if detail else where
            yield {"class": None, "file": None, "detail": more}


def _text(what: str, detail: str = "") -> str:
    text = what[:1].upper() + what[1:]
    return f"{text} ({detail})" if detail else text
