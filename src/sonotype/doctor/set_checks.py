"""Checks of the labels, the classes and the names of a set."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from sonotype.core.text import counted, listed
from sonotype.core.types import plural
from sonotype.data.records import is_negative
from sonotype.doctor.findings import Place
from sonotype.doctor.sound_set import Item

FEWEST_CLIPS = 5
"""Cross-fitting has five folds: each tests one clip of a class at least."""
IMBALANCE = 10
"""Times that the largest class is as large as the smallest."""

Found = Iterator[tuple[str, Place]]


def label_key(label: str) -> str:
    """A text that is equal for labels that differ by case, blanks, or the way of a number.

    >>> label_key("House Sparrow") == label_key("house_sparrow")
    True
    >>> label_key("1.0") == label_key("01") == "1"
    True
    """
    text = "".join(label.casefold().split()).replace("_", "").replace("-", "")
    if re.fullmatch(r"\d+([.,]0*)?", text):
        return str(int(re.split("[.,]", text)[0]))
    return text or label


def label_counts(items: Sequence[Item]) -> dict[str, Counter[str]]:
    """By level, how many sounds have each label."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for item in items:
        for level, labels in item.labels.items():
            counts[level].update(set(labels))
    return dict(counts)


def spellings(counts: Counter[str]) -> dict[str, str]:
    """For each label that is probably another spelling of a more frequent one, that one."""
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for label in sorted(counts, key=lambda label: (-counts[label], label)):
        alike[label_key(label)].append(label)
    return {other: first for first, *others in alike.values() for other in others}


def check_labels(items: Sequence[Item]) -> Found:
    """Labels that are probably one class, small classes, and imbalance."""
    for level, counts in label_counts(items).items():
        for other, first in spellings(counts).items():
            detail = f"{level}, {counts[other]} and {counts[first]} clips"
            yield "similar_labels", Place(f"{other!r} and {first!r}", detail)
        yield from _sizes(level, counts, items)


def _sizes(level: str, counts: Counter[str], items: Sequence[Item]) -> Found:
    classes = {label: count for label, count in counts.items() if not is_negative(label)}
    groups: defaultdict[str, set[str]] = defaultdict(set)
    for item in items:
        for label in item.labels.get(level, ()):
            groups[label].add(item.group)
    for label, count in sorted(classes.items(), key=lambda pair: (pair[1], pair[0])):
        one_recording = count > 1 and len(groups[label]) == 1 and "" not in groups[label]
        if count < FEWEST_CLIPS or one_recording:
            extent = " of one recording" if one_recording else ""
            yield "small_class", Place(label, f"{level}, {counted(count, 'clip')}{extent}")
    if classes and max(classes.values()) >= IMBALANCE * min(classes.values()):
        most, least = (choose(classes, key=lambda label: classes[label]) for choose in (max, min))
        detail = f"from {classes[least]} ({least}) to {classes[most]} ({most})"
        yield "imbalance", Place(plural(level), detail)


# Groups from names

_TOKEN = re.compile(r"[^_\-. ]+|[_\-. ]+")
MOST_GROUPS = 0.7
"""Groups for each clip, above which a pattern groups too little to be proposed."""
GROUPED = 0.6
"""Part of the clips that have to share their group with another clip."""


def propose_group_pattern(items: Sequence[Item]) -> tuple[str, dict[str, int]] | None:
    """A pattern for ``--group-pattern`` and the sizes of its groups; ``None`` without evidence.

    Names such as ``site_20240501_0003.wav`` share all but their last parts. The longest prefix
    that puts most clips into groups of several is proposed, unless it only repeats the class.
    """
    names = {item.path.name: item for item in items}
    stems = {name: [*_TOKEN.findall(item.path.stem)] for name, item in names.items()}
    for removed in (1, 2, 3):
        groups: defaultdict[str, list[Item]] = defaultdict(list)
        for name, tokens in stems.items():
            kept = tokens[: -2 * removed]
            if not any(char.isdigit() for char in "".join(kept)):
                break  # without a number a prefix names a class or a site, not a recording
            groups["".join(kept)].append(names[name])
        else:
            if _is_grouping(groups, len(names)):
                tail = r"[_\-. ]+[^_\-. ]+" * removed
                return rf"^(.+?){tail}\.[^.]+$", {name: len(some) for name, some in groups.items()}
    return None


def _is_grouping(groups: dict[str, list[Item]], clips: int) -> bool:
    several = sum(len(some) for some in groups.values() if len(some) > 1)
    if not 2 <= len(groups) <= MOST_GROUPS * clips or several < GROUPED * clips:
        return False
    labels = [{tuple(sorted(item.labels.items())) for item in some} for some in groups.values()]
    repeats_class = all(len(found) == 1 for found in labels) and len(groups) == len(
        {label for found in labels for label in found}
    )
    return not repeats_class


def check_grouping(items: Sequence[Item]) -> Found:
    """A proposal for ``--group-pattern``, for sets whose groups are not known."""
    proposal = propose_group_pattern(items)
    if proposal is not None:
        pattern, sizes = proposal
        examples = sorted(sizes, key=lambda name: (-sizes[name], name))
        detail = f"{counted(len(sizes), 'recording')}: {listed(examples, 3)}"
        yield "grouping", Place(f"--group-pattern '{pattern}'", detail)
