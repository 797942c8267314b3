from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from sonotype.doctor.duplicates import pair_kind
from sonotype.doctor.set_checks import (
    check_labels,
    label_key,
    propose_group_pattern,
    spellings,
)
from sonotype.doctor.sound_set import Item


def item(name: str, label: str = "dog", group: str = "", fold: str = "") -> Item:
    return Item(Path(name), {"category": (label,)}, group, fold)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Dog", "dog ", True),
        ("house sparrow", "House_Sparrow", True),
        ("1", "1.0", True),
        ("01", "1", True),
        ("1", "10", False),
        ("1.5", "15", False),
        ("dog", "dogs", False),
        ("-", "_", False),
    ],
)
def test_label_key(one: str, other: str, same: bool) -> None:
    assert (label_key(one) == label_key(other)) is same


def test_the_most_frequent_spelling_is_kept() -> None:
    assert spellings(Counter({"dog": 2, "Dog": 5, "DOG": 1, "cat": 1})) == {
        "dog": "Dog",
        "DOG": "Dog",
    }


def test_sizes_of_classes() -> None:
    items = [item(f"{n}.wav", "dog", f"g{n}") for n in range(50)]
    items += [item(f"c{n}.wav", "cat", "one") for n in range(6)] + [item("x.wav", "owl", "o")]
    items += [item("n.wav", "noise", "n")]
    found = [(kind, place.where, place.detail) for kind, place in check_labels(items)]
    assert found == [
        ("small_class", "owl", "category, 1 clip"),
        ("small_class", "cat", "category, 6 clips of one recording"),
        ("imbalance", "categories", "from 1 (owl) to 50 (dog)"),
    ]


def test_a_group_pattern_from_names() -> None:
    names = [
        f"{site}_20240{day}_{n:03}.wav" for site in "ab" for day in (101, 102) for n in range(5)
    ]
    items = [item(name, "dog" if n % 2 else "cat") for n, name in enumerate(names)]
    proposal = propose_group_pattern(items)
    assert proposal is not None
    pattern, sizes = proposal
    assert sizes == {"a_20240101": 5, "a_20240102": 5, "b_20240101": 5, "b_20240102": 5}
    import re

    assert {re.search(pattern, name)[1] for name in names} == set(sizes)  # type: ignore[index]


@pytest.mark.parametrize(
    "names",
    [
        [f"{n}.wav" for n in range(20)],
        [f"dog_{n}.wav" for n in range(20)],
        [f"{n:05}-a.wav" for n in range(20)],
    ],
)
def test_no_pattern_without_evidence(names: list[str]) -> None:
    assert propose_group_pattern([item(name) for name in names]) is None


def test_what_a_pair_means() -> None:
    a = item("a", "dog", "g", "1")
    assert pair_kind(a, item("b", "cat", "g", "2")) == "_under_two_labels"
    assert pair_kind(a, item("b", "cat", "g", "2"), events=True) == "_across_folds"
    assert pair_kind(a, item("b", "dog", "h", "1")) == "_across_groups"
    assert pair_kind(a, item("b", "dog", "g", "1")) == ""
