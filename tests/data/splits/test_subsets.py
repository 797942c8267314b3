"""What becomes of the validation part where it does not choose the epoch."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sonotype.data.splits.split import Split
from sonotype.data.splits.subsets import (
    KEPT_LAST_NOTE,
    TEST_CHOSE_NOTE,
    chosen_on_test,
    without_validation,
)

PARTS = Split((0, 2, 5, 6), (1, 4), (3, 7), "grouped", True, "some note")


def test_without_validation_all_but_the_test_part_is_learnt_from() -> None:
    note = f"some note; {KEPT_LAST_NOTE}"
    wanted = Split((0, 1, 2, 4, 5, 6), (), (3, 7), "grouped", True, note)
    assert KEPT_LAST_NOTE == (
        "the last epoch is kept, so what would validate is learnt from as well"
    )
    assert without_validation(PARTS) == wanted


@pytest.mark.parametrize(
    ("note", "wanted"),
    [("some note", f"some note; {TEST_CHOSE_NOTE}"), ("", TEST_CHOSE_NOTE)],
)
def test_the_test_part_in_the_place_of_validation(note: str, wanted: str) -> None:
    parts = chosen_on_test(replace(PARTS, note=note))
    assert parts == Split((0, 2, 5, 6), (3, 7), (3, 7), "grouped", True, wanted)
    assert TEST_CHOSE_NOTE == (
        "the test part chose the epoch, as in the paper, and what would validate goes unused: "
        "these scores are too high"
    )
