"""What becomes of a split where the epoch is chosen in another way than on a validation part."""

from __future__ import annotations

from dataclasses import replace

from sonotype.data.splits.split import Split

KEPT_LAST_NOTE = "the last epoch is kept, so what would validate is learnt from as well"
TEST_CHOSE_NOTE = (
    "the test part chose the epoch, as in the paper, and what would validate goes unused: these "
    "scores are too high"
)


def without_validation(parts: Split) -> Split:
    """No epoch is chosen, so the validation part is learnt from as well."""
    train = tuple(sorted((*parts.train, *parts.val)))
    return replace(parts, train=train, val=(), note=_with(parts.note, KEPT_LAST_NOTE))


def chosen_on_test(parts: Split) -> Split:
    """The test part stands in the place of the validation part, which goes unused.

    The training part stays as it was, so that the difference to an honest run is the worth of
    having chosen the epoch on the clips that are scored, and nothing else.
    """
    return replace(parts, val=parts.test, note=_with(parts.note, TEST_CHOSE_NOTE))


def _with(note: str, more: str) -> str:
    return f"{note}; {more}" if note else more
