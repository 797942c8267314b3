"""Which of the scored sounds the models have seen in training, according to their files."""

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
    progress: bool,
) -> Seen:
    """Find the scored sounds that the models have seen in training.

    Files are read only if a model file lists its training clips.

    Args:
        members: the models.
        source: all clips of the data.
        manifest: the scored clips.
        folds: the selected folds.
        progress: draw a bar.
    """
    trainings = [member.card.training for member in members]
    lists = [x["seen"] for x in trainings if isinstance(x.get("seen"), list)]
    trained_on = {training.get("fingerprint") for training in trainings} - {None}
    paths = [one.path for one in manifest.recordings or manifest.clips]
    found: frozenset[Path] = frozenset()
    notes = []
    if lists:
        contents, _ = contents_of(paths, partial=manifest.partial, progress=progress)
        source = source.with_contents(contents)
        known = frozenset().union(*lists)
        found = frozenset(
            path for path, content in contents.items() if clips_seen(known, [content])
        )
    complete = len(lists) == len(members)
    if trained_on and (found or not complete) and source.fingerprint() in trained_on:
        notes.append(SEEN_FOLDS_NOTE if folds else SEEN_NOTE)
    if found:
        what = "recording" if manifest.recordings else "clip"
        who = "the model has" if len(members) == 1 else "the models have"
        count = sum(path in found for path in paths)
        notes.append(
            f"{who} seen {count} of {counted(len(paths), what)}, in training or to "
            "select the epoch: scores on new clips are lower"
        )
    return Seen(found, tuple(notes), complete)
