"""Splits without a validation subset of their own."""

from __future__ import annotations

from sonotype.data.splits.subsets import (
    NoteKind,
    Split,
    SplitNote,
    chosen_on_test,
    without_validation,
)

SPLIT = Split((0, 2, 5, 6), (1, 4), (3, 7), "grouped", True, ("some note",))


def test_without_validation_the_validation_clips_are_training_clips() -> None:
    made = without_validation(SPLIT)
    assert (made.train, made.val, made.test) == ((0, 1, 2, 4, 5, 6), (), (3, 7))
    assert made.notes == ("some note", SplitNote(NoteKind.LAST_EPOCH))
    assert made.note.startswith("some note; the last epoch is kept")


def test_the_test_clips_as_validation_clips() -> None:
    made = chosen_on_test(SPLIT)
    assert (made.train, made.val, made.test) == ((0, 2, 5, 6), (3, 7), (3, 7))
    assert (made.protocol, made.grouped) == ("grouped", True)
    assert made.note.endswith("these scores are too high")
