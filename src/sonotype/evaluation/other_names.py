"""Data whose labels are not those of the model: renamed labels, and labels of foreign classes.

A label is foreign if the head of its level has no such class. A renamed label belongs to the head
that has its new name: the head of the label's own level if possible, or else the finest.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

from sonotype.core.errors import DataError, DataIssue, OptionsError
from sonotype.core.text import counted, listed
from sonotype.core.types import Clip, Heads, level_depth
from sonotype.data.manifest import Manifest
from sonotype.data.records import normalise_label
from sonotype.evaluation.recordings import head_of

LIKENESS = 0.8
"""Least ratio of ``difflib`` at which two names are similar."""

LIKENESS_OF_TYPO = 0.6
"""The same for a name that does not exist."""

MOST = 50
"""Names that a message lists."""


@dataclass(frozen=True)
class Foreign:
    """Labels of the data that the model does not have.

    Attributes:
        labels: number of clips of each label.
        clips: for each clip its foreign labels, joined by ``;``, if it is of a foreign class; or
            else an empty text.
        near: by foreign label a class of the model with a similar name.
    """

    labels: Mapping[str, int]
    clips: tuple[str, ...]
    near: Mapping[str, str]

    def notes(self, *, unknown: bool) -> list[str]:
        """What a report says about them.

        Args:
            unknown: whether the model has an unknown score.
        """
        if not self.labels:
            return []
        what = "label" if len(self.labels) == 1 else "labels"
        fate = "they test the unknown score" if unknown else "the model has no unknown score"
        clips = counted(sum(map(bool, self.clips)), "clip")
        text = f"the model does not have {len(self.labels)} {what} of the data"
        notes = [f"{text} ({clips} of foreign classes; {fate}): {listed(self.labels, MOST)}"]
        if self.near:
            flags = [f"--rename {_quoted(theirs, ours)}" for theirs, ours in self.near.items()]
            notes.append(f"similar names, if they mean the same: {' '.join(flags[:MOST])}")
        return notes


def parse_renames(items: Iterable[str]) -> dict[str, str]:
    """Entries such as ``Dog bark=dog`` as a mapping from labels of the data to classes.

    Raises:
        OptionsError: an entry of another form, or a label with two new names.
    """
    found: dict[str, str] = {}
    for item in items:
        theirs, ours = (normalise_label(part) for part in item.partition("=")[::2])
        if not (theirs and ours):
            raise OptionsError(
                f"--rename {item}: use THEIRS=OURS, a label of the data and a class of the model, "
                'such as "Dog bark=dog"'
            )
        if found.setdefault(theirs, ours) != ours:
            raise OptionsError(f"--rename: {theirs} has two new names, {found[theirs]} and {ours}")
    return found


def renamed(manifest: Manifest, heads: Heads, renames: Mapping[str, str]) -> Manifest:
    """The same data with some labels replaced by classes of a model.

    Coarser labels of a clip whose renamed label moves to a finer level are those of the model.

    Args:
        manifest: labelled clips or annotated recordings.
        heads: of the model.
        renames: classes of the model by label of the data.

    Raises:
        OptionsError: lists the names that the data or the model do not have, with both sides.
    """
    if not renames:
        return manifest
    _refuse_unknown_names(manifest, heads, renames)
    recordings = [
        replace(
            one,
            events=tuple(replace(e, label=renames.get(e.label, e.label)) for e in one.events),
        )
        for one in manifest.recordings
    ]
    if recordings:
        level = head_of(heads, recordings)
        if others := sorted({ours for ours in renames.values() if ours not in level.index}):
            raise OptionsError(
                f"--rename: the events of annotated recordings are scored at one level, "
                f"{level.name}, which has no {listed(others)}"
            )
    clips = [_renamed_clip(clip, heads, renames) for clip in manifest.clips]
    return replace(manifest, clips=tuple(clips), recordings=tuple(recordings))


def _renamed_clip(clip: Clip, heads: Heads, renames: Mapping[str, str]) -> Clip:
    labels = _moved(clip.labels, heads, renames)
    if set(clip.labels) - set(labels):
        _add_parents(labels, heads)
    ordered = {level: tuple(labels[level]) for level in sorted(labels, key=level_depth)}
    uncertain = _moved(clip.uncertain, heads, renames)
    return replace(
        clip, labels=ordered, uncertain={level: tuple(x) for level, x in uncertain.items()}
    )


def _moved(
    labels: Mapping[str, Sequence[str]], heads: Heads, renames: Mapping[str, str]
) -> dict[str, list[str]]:
    """Labels by level after renaming, each once."""
    found: dict[str, dict[str, None]] = {level: {} for level, names in labels.items() if not names}
    for level, names in labels.items():
        for name in names:
            home, ours = level, renames.get(name, name)
            if name in renames:
                having = [head.name for head in heads if ours in head.index]
                home = level if level in having else having[-1]
            found.setdefault(home, {})[ours] = None
    return {level: list(names) for level, names in found.items()}


def _add_parents(labels: dict[str, list[str]], heads: Heads) -> None:
    """Add the classes above the labels of a clip to the levels where it has none."""
    by_name = {head.name: head for head in heads}
    for head in reversed(heads):
        known = [name for name in labels.get(head.name, ()) if name in head.index]
        if head.parent is None or head.parent in labels or not known:
            continue
        above = by_name[head.parent].classes
        parents = (above[head.parent_index[head.index[name]]] for name in known)
        labels[head.parent] = list(dict.fromkeys(parents))


def without_foreign(
    manifest: Manifest, heads: Heads, unknown_head: str = ""
) -> tuple[Manifest, Foreign]:
    """The same clips without the labels that the model does not have.

    A level of a clip whose labels are all foreign is not known if the head gives each clip one
    class; a head of any number of classes has none of its classes in the clip. A clip is of a
    foreign class if its label of ``unknown_head`` is foreign, or if it has no other label.

    Args:
        manifest: labelled clips.
        heads: of the model.
        unknown_head: the head whose classes the unknown score knows, if the model has the score.

    Raises:
        DataError: no label is a class of the model; has the names of both sides.
    """
    clips, foreign, counts = [], [], Counter[str]()
    for clip in manifest.clips:
        labels = dict(clip.labels)
        dropped: dict[str, list[str]] = {}
        for head in heads:
            names = clip.labels.get(head.name, ())
            if not (others := [name for name in names if name not in head.index]):
                continue
            dropped[head.name] = others
            labels[head.name] = tuple(name for name in names if name in head.index)
            if head.problem == "single" and not labels[head.name]:
                del labels[head.name]
        left = any(labels.get(head.name) for head in heads)
        of_foreign = dropped and (unknown_head in dropped or not left)
        others = list(dict.fromkeys(name for names in dropped.values() for name in names))
        counts.update(others)
        foreign.append(";".join(others) if of_foreign else "")
        clips.append(replace(clip, labels=labels))
    if counts and not any(clip.labels.get(head.name) for clip in clips for head in heads):
        raise DataError(manifest.name, [_nothing_in_common(manifest, heads)])
    classes = [name for head in heads for name in head.classes]
    near = {name: found[0] for name in sorted(counts) if (found := near_names(name, classes))}
    kept = replace(manifest, clips=tuple(clips))
    return kept, Foreign(dict(sorted(counts.items())), tuple(foreign), near)


def near_names(name: str, names: Iterable[str], likeness: float = LIKENESS) -> list[str]:
    """Names of similar words, the most similar first, at most three.

    Case, punctuation, numbers and the order of the words do not count. A name whose words are all
    in the other is similar to it.
    """
    words = _words(name)
    keys = {one: _words(one) for one in names}
    by_text = {" ".join(key): one for one, key in keys.items()}
    close = get_close_matches(" ".join(words), by_text, 3, likeness)
    found = [by_text[text] for text in close]
    found += [x for x, key in keys.items() if set(key) <= set(words) or set(words) <= set(key)]
    return list(dict.fromkeys(found))[:3]


def labels_of(manifest: Manifest) -> list[str]:
    """All labels of the data, sorted."""
    found = {event.label for one in manifest.recordings for event in one.events}
    for clip in manifest.clips:
        for by_level in (clip.labels, clip.uncertain):
            found.update(name for names in by_level.values() for name in names)
    return sorted(found)


def _words(name: str) -> tuple[str, ...]:
    """The different words of a name, sorted; of a name without letters the whole name."""
    folded = name.casefold()
    return tuple(sorted(set(re.findall(r"[^\W\d_]+", folded)))) or (folded,)


def _refuse_unknown_names(manifest: Manifest, heads: Heads, renames: Mapping[str, str]) -> None:
    """Raise an ``OptionsError`` that lists the names of ``--rename`` that do not exist."""
    theirs, ours = labels_of(manifest), [name for head in heads for name in head.classes]
    wrong = [
        f"the data have no label {name!r}{_like(name, theirs)}"
        for name in renames
        if name not in theirs
    ]
    wrong += [
        f"the model has no class {name!r}{_like(name, ours)}"
        for name in dict.fromkeys(renames.values())
        if name not in ours
    ]
    if wrong:
        raise OptionsError("\n  ".join(["--rename:", *wrong, *_both_sides(theirs, heads)]))


def _nothing_in_common(manifest: Manifest, heads: Heads) -> DataIssue:
    theirs = labels_of(manifest)
    cause = "no label of the data is a class of the model at its level; use --rename THEIRS=OURS"
    classes = dict.fromkeys(name for head in heads for name in head.classes)
    near = [f"{name}={found[0]}" for name in theirs if (found := near_names(name, classes))]
    lines = [cause, *_both_sides(theirs, heads)]
    if near:
        lines.append(f"similar names: {listed(near, MOST)}")
    return DataIssue(manifest.name, 0, "\n    ".join(lines))


def _both_sides(theirs: Sequence[str], heads: Heads) -> list[str]:
    return [
        f"labels of the data: {listed(theirs, MOST)}",
        *(f"classes of the model ({head.name}): {listed(head.classes, MOST)}" for head in heads),
    ]


def _like(name: str, names: Iterable[str]) -> str:
    """The similar names in brackets, if there are any."""
    found = near_names(name, names, LIKENESS_OF_TYPO)
    return f" (similar: {listed(found)})" if found else ""


def _quoted(theirs: str, ours: str) -> str:
    text = f"{theirs}={ours}"
    return text if re.fullmatch(r"[\w=.-]+", text) else f'"{text}"'
