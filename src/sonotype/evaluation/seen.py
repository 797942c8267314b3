"""Which of the scored sounds the models have seen, in training or in tuning, by their files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sonotype.core.errors import OptionsError
from sonotype.core.text import counted
from sonotype.data.digest import clips_seen, contents_of
from sonotype.data.manifest import Manifest
from sonotype.inference.classifier import Classifier

SEEN_NOTE = "the model was trained on these recordings: its scores on new recordings are lower"
SEEN_FOLDS_NOTE = (
    "the model was trained on this data set: only the folds that it was tested on are new to it"
)


@dataclass(frozen=True)
class Seen:
    """The sounds that models have seen, and what reports say about them.

    Attributes:
        paths: the files of these sounds.
        notes: to show beside the scores.
        complete: whether every model file lists the sounds that the model has seen.
    """

    paths: frozenset[Path]
    notes: tuple[str, ...]
    complete: bool

    @property
    def left_out_note(self) -> str:
        """What a report says if :meth:`left_out` was used."""
        return f"{counted(len(self.paths), 'sound')} that the model has seen are left out"

    def left_out(self, manifest: Manifest) -> Manifest:
        """The sounds that the models have not seen.

        Raises:
            OptionsError: a model file does not list its sounds, or no sound is left.
        """
        if not self.complete:
            raise OptionsError(
                "--unseen: the model file does not list the clips that the model has seen; "
                "select new clips yourself, such as by --folds"
            )
        kept = replace(
            manifest,
            clips=tuple(one for one in manifest.clips if one.path not in self.paths),
            recordings=tuple(one for one in manifest.recordings if one.path not in self.paths),
        )
        if not (kept.clips or kept.recordings):
            raise OptionsError("--unseen: the model has seen every clip of the data")
        return kept


def find_seen(
    members: Sequence[Classifier],
    source: Manifest,
    manifest: Manifest,
    folds: Sequence[int],
    *,
    detection: bool,
    progress: bool,
) -> Seen:
    """Find the scored sounds that the models have seen.

    Files are read only if a model file lists sounds that it has seen, and their contents are not
    known.

    Args:
        members: the models.
        source: all clips of the data.
        manifest: the scored clips.
        folds: the selected folds.
        detection: whether events are detected, so that the sounds of the tuning count as seen.
        progress: draw a bar.
    """
    trainings = [member.card.training for member in members]
    lists = [x["seen"] for x in trainings if isinstance(x.get("seen"), list)]
    trained_on = {training.get("fingerprint") for training in trainings} - {None}
    settings = [member.card.detection for member in members if detection]
    tuned = frozenset().union(*(one.seen for one in settings if one is not None))
    sounds = manifest.recordings or manifest.clips
    paths = [one.path for one in sounds]
    trained, fitted = frozenset[Path](), frozenset[Path]()
    notes = []
    if lists or tuned:
        contents = {one.path: one.content for one in sounds if one.content is not None}
        unknown = [path for path in paths if path not in contents]
        contents |= contents_of(unknown, partial=manifest.partial, progress=progress)[0]
        source = source.with_contents(contents)
        trained, fitted = (
            frozenset(path for path, content in contents.items() if clips_seen(known, [content]))
            for known in (frozenset().union(*lists), tuned)
        )
    complete = len(lists) == len(members)
    if trained_on and (trained or not complete) and source.fingerprint() in trained_on:
        notes.append(SEEN_FOLDS_NOTE if folds else SEEN_NOTE)
    kind = "recording" if manifest.recordings else "clip"
    models, has = ("the model", "has") if len(members) == 1 else ("the models", "have")
    for found, text in (
        (trained, f"{models} {has} seen {{}}, in training or to select the epoch"),
        (fitted, f"the detection of {models} was tuned on {{}}"),
    ):
        if found:
            share = f"{sum(path in found for path in paths)} of {counted(len(paths), kind)}"
            notes.append(f"{text.format(share)}: scores on new {kind}s are lower")
    return Seen(trained | fitted, tuple(notes), complete)
