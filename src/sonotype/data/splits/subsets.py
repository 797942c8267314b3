"""A split into train, validation and test clips, and the notes that reports show beside a score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from sonotype.data.manifest import Manifest


class NoteKind(StrEnum):
    """What a note says; each value is the format string of its text."""

    ALL = "every clip is a training clip; there are no validation or test clips"
    CROSSFIT = "cross-fitting: {} models, each scored on a fold that it was not trained on"
    CROSSFIT_OWN = (
        "cross-fitting: {} models, each scored on a fold of the source's own that it was not "
        "trained on"
    )
    CROSSFIT_SHARED = "{} recordings in two folds, as in the source's own folds ({})"
    NO_FOLDS = "no scores: every class has a single recording; add recordings"
    UNSCORED = "learnt, but without a score, because only one fold has recordings: {}"
    LEARNT = "the validation clips are training clips as well"
    GROUPED = "stratified split, clips of one recording stay together"
    UNGROUPED = (
        "stratified split; the recordings are not known, so clips of one recording may be in "
        "different subsets"
    )
    RANDOM = (
        "random split of clips, not grouped: clips of one recording may be in different subsets, "
        "as in the paper"
    )
    COPIES = "{} and are in the same subset"
    OWN_FOLDS = "the source's own folds: {} train, {} validates, {} tests"
    OWN_SUBSETS = "the source's own subsets: {} trains, {} validates, {} tests"
    UNUSED_FOLDS = "not used: {}"
    SUBSETS_NOT_KEPT = "the source's own subsets ({}) are not kept"
    MOVED = "{} moved to the training subset, which had none of its class"
    UNKNOWN_RECORDINGS = "recordings are not known"
    SHARED_RECORDINGS = (
        "{} in two subsets, as in the source's own folds ({}; {} of them in the test subset)"
    )
    SHARED_SOUNDS = (
        "{} as identical clips in two subsets, as in the source's own folds ({} of them in the "
        "test subset)"
    )
    MISSING_CLASSES = "no clip in the {} subset of: {}"
    LAST_EPOCH = "the last epoch is kept, so the validation clips are training clips as well"
    SELECTED_ON_TEST = (
        "the test subset selected the epoch, as in the paper, and the validation clips are not "
        "used: these scores are too high"
    )


@dataclass(frozen=True)
class SplitNote:
    """One note about a split: its kind and the values in its text."""

    kind: NoteKind
    values: tuple[object, ...] = ()

    def __str__(self) -> str:
        return self.kind.value.format(*self.values)


@dataclass(frozen=True)
class Split:
    """Positions in ``Manifest.clips`` for the three subsets, each sorted.

    Attributes:
        train: training clips.
        val: clips that select the epoch.
        test: clips that are scored once, at the end.
        protocol: ``"folds"``, ``"grouped"``, ``"random"`` or ``"all"``.
        grouped: whether recordings are known and none is in two subsets.
        notes: to show beside a score on this split.
        folds: for cross-fitting, the training clips of each fold; empty otherwise.
    """

    train: tuple[int, ...]
    val: tuple[int, ...]
    test: tuple[int, ...]
    protocol: str
    grouped: bool
    notes: tuple[SplitNote | str, ...] = ()
    folds: tuple[tuple[int, ...], ...] = ()

    @property
    def note(self) -> str:
        """All notes as text."""
        return "; ".join(map(str, self.notes))

    def with_note(self, note: SplitNote | str) -> Split:
        """The same split with one more note."""
        return replace(self, notes=(*self.notes, note))


def without_validation(split: Split, note: NoteKind = NoteKind.LAST_EPOCH) -> Split:
    """The split with its validation clips as training clips, and a note that says why."""
    train = tuple(sorted((*split.train, *split.val)))
    return replace(split, train=train, val=()).with_note(SplitNote(note))


def chosen_on_test(split: Split) -> Split:
    """The split with its test clips as validation clips; the old validation clips are not used.

    The training clips stay the same, so the difference to a run that selects on validation clips
    is the effect of the selection alone.
    """
    return replace(split, val=split.test).with_note(SplitNote(NoteKind.SELECTED_ON_TEST))


def copies_text(manifest: Manifest) -> str:
    """How many clips have the sound of another clip."""
    clips = "clip has" if manifest.copies == 1 else "clips have"
    return f"{manifest.copies} of {len(manifest.clips)} {clips} the sound of another clip"


def stratified_notes(manifest: Manifest) -> list[SplitNote]:
    """The notes on a stratified split."""
    notes = [SplitNote(NoteKind.GROUPED if manifest.grouped else NoteKind.UNGROUPED)]
    if manifest.copies:
        notes.append(SplitNote(NoteKind.COPIES, (copies_text(manifest),)))
    return notes


def not_kept_notes(manifest: Manifest) -> Sequence[SplitNote]:
    """The note on a split that ignores the source's own subsets, if it has two or more."""
    if len(manifest.subsets) < 2:
        return ()
    return (SplitNote(NoteKind.SUBSETS_NOT_KEPT, (", ".join(manifest.subsets),)),)
