"""Frozen dataclasses that cross packages: labelled clips, the heads of a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

Problem = Literal["single", "multi"]

IGNORE_INDEX = -1
"""Target of a clip without a label of a head; losses and scores ignore it."""

RESERVED = frozenset(
    {"embedding", "waveform", "weight", "file", "path", "group"}
    | {"start", "end", "top", "error", "file_seconds", "clip_seconds"}
    | {"unknown_score", "is_unknown"}
)
"""Names of other values that stand beside those of the heads, in batches and in output files."""

MAX_TEMPERATURE = 1000
DEFAULT_THRESHOLD = 0.5
"""Probability from which a class counts as present where a head has no thresholds."""

LEVELS = ("category", "event")
"""Names of the two coarsest levels of labels, as in the paper."""


def level_name(depth: int) -> str:
    """Name of a level of labels: ``category``, ``event``, ``level_3``, ``level_4``, ..."""
    return LEVELS[depth] if depth < len(LEVELS) else f"level_{depth + 1}"


def level_depth(name: str) -> int:
    """The inverse of :func:`level_name`; other names are below all levels."""
    if name in LEVELS:
        return LEVELS.index(name)
    number = name.removeprefix("level_")
    return int(number) - 1 if number.isdecimal() else 1000


def plural(level: str) -> str:
    """Several labels of a level: ``categories``, ``events``, ``labels of level_3``."""
    known = {"category": "categories", "event": "events"}
    return known.get(level, f"labels of {level}")


@dataclass(frozen=True)
class Content:
    """What identifies the sound in a file, wherever the file lies and whatever its name is.

    Two files hold the same sound where either digest is equal. Both digests are in hexadecimal.

    Attributes:
        file: SHA-256 of the file's bytes.
        sound: SHA-256 of the decoded samples, from :func:`sonotype.audio.decode.verify`; empty
            where the file was not decoded, or cannot be.
        stamp: time of change, size and inode of the file when it was read.
    """

    file: str
    sound: str = ""
    stamp: tuple[int, int, int] | None = field(default=None, compare=False)

    @property
    def digests(self) -> tuple[str, ...]:
        """The digests that are known."""
        return tuple(filter(None, (self.file, self.sound)))


@dataclass(frozen=True)
class Clip:
    """One labelled recording, or a window of one.

    Attributes:
        path: the sound file.
        labels: by name of a head the labels of the clip, from coarse to fine. A head that is
            missing is not known; an empty tuple means that no class of the head is present. A clip
            without any label is a negative: a sound of no class.
        group: clips of one group come from one recording and are never split.
        fold: the official fold, or ``None`` where the source has none.
        content: the digests of the file's sound; ``None`` where they were not computed.
        start: of the window in the recording, in seconds; ``None`` for the whole recording.
        seconds: length of the window; ``None`` likewise.
        uncertain: by name of a ``"multi"`` head the classes that may be present or not; losses and
            scores ignore them.
    """

    path: Path
    labels: Mapping[str, tuple[str, ...]] = field(hash=False)
    group: str
    fold: int | None
    content: Content | None = field(default=None, compare=False)
    start: float | None = None
    seconds: float | None = None
    uncertain: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)

    @property
    def place(self) -> tuple[Path, float | None]:
        """What tells a clip from others of its source: the file, and where the window starts."""
        return self.path, self.start

    @property
    def name(self) -> str:
        """The path; of a window with its start and end in seconds, as ``night.wav#t=60,65``."""
        if self.start is None or self.seconds is None:
            return str(self.path)
        return f"{self.path}#t={self.start:.10g},{self.start + self.seconds:.10g}"

    @property
    def digests(self) -> tuple[Hashable, ...]:
        """What identifies the sound of the clip, as far as known."""
        found = () if self.content is None else self.content.digests
        return found if self.start is None else tuple((one, self.start) for one in found)

    def label(self, head: str) -> str | None:
        """The (first) label of a head; ``None`` if there is none."""
        return next(iter(self.labels.get(head, ())), None)


@dataclass(frozen=True)
class Head:
    """One output of a model: a set of classes, in the order of its logits.

    Heads that differ in ``unlabelled``, ``temperature`` or ``thresholds`` alone are equal.

    Attributes:
        name: of the level of labels, such as ``category``.
        classes: names of the classes.
        problem: ``"single"``: exactly one class is present (softmax); ``"multi"``: any number of
            classes (sigmoid).
        parent: name of the head of the coarser level, if every class belongs to one of its classes.
        parent_index: for each class the index of its class in the parent.
        unlabelled: for each class of the parent the share of its clips without a label of this
            head. Empty where this is not known.
        temperature: divides the logits, to calibrate the probabilities; at most 1000.
        thresholds: for each class the probability from which it counts as present; may be empty.

    Raises:
        ValueError: entries that do not fit each other.
    """

    name: str
    classes: tuple[str, ...]
    problem: Problem = "single"
    parent: str | None = None
    parent_index: tuple[int, ...] = ()
    unlabelled: tuple[float, ...] = field(default=(), compare=False)
    temperature: float = field(default=1.0, compare=False)
    thresholds: tuple[float, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        classes = len(self.classes)
        if not self.name.isidentifier() or self.name in RESERVED:
            raise ValueError(
                f"name of a head is {self.name!r}, must be letters, digits and underscores, and "
                f"not {' or '.join(sorted(RESERVED))}"
            )
        if not classes:
            raise ValueError(f"head {self.name!r} has no classes")
        if len(set(self.classes)) < classes:
            twice = Counter(self.classes).most_common(1)[0][0]
            raise ValueError(f"head {self.name!r} has the class {twice!r} twice")
        if self.problem not in get_args(Problem):
            raise ValueError(f"problem of head {self.name!r} is {self.problem!r}, not single/multi")
        if len(self.parent_index) != (classes if self.parent is not None else 0):
            wanted = f"{classes} classes" if self.parent is not None else "a head without a parent"
            raise ValueError(
                f"parent_index of head {self.name!r} has {len(self.parent_index)} entries for "
                f"{wanted}"
            )
        if not all(0 <= share <= 1 for share in self.unlabelled):
            raise ValueError(f"unlabelled of head {self.name!r} has a share outside 0 to 1")
        if not 0 < self.temperature <= MAX_TEMPERATURE:
            raise ValueError(
                f"temperature of head {self.name!r} is {self.temperature}, must be above 0 and at "
                f"most {MAX_TEMPERATURE}"
            )
        if self.thresholds and len(self.thresholds) != classes:
            raise ValueError(
                f"thresholds of head {self.name!r} has {len(self.thresholds)} entries for "
                f"{classes} classes"
            )
        if not all(0 <= threshold <= 1 for threshold in self.thresholds):
            raise ValueError(f"thresholds of head {self.name!r} has a value outside 0 to 1")

    @cached_property
    def index(self) -> dict[str, int]:
        """The index of each class."""
        return {name: index for index, name in enumerate(self.classes)}

    @property
    def limits(self) -> tuple[float, ...]:
        """The thresholds of the classes, or the default threshold for each."""
        return self.thresholds or (DEFAULT_THRESHOLD,) * len(self.classes)

    def unlabelled_shares(self, parents: int) -> tuple[float, ...]:
        """``unlabelled``; where it is empty, 1 for a class of the parent without classes, else 0.

        Args:
            parents: number of classes of the parent.
        """
        homes = set(self.parent_index)
        return self.unlabelled or tuple(float(index not in homes) for index in range(parents))

    def target(self, clip: Clip) -> int | list[int]:
        """The class index of a clip; of a ``"multi"`` head for each class 1 if it is present, or 0.

        ``IGNORE_INDEX`` stands for what is not known; of a negative, a clip without labels, it is
        known that no class of a ``"multi"`` head is present.

        Raises:
            KeyError: the head has no such class.
        """
        if self.problem == "single":
            label = clip.label(self.name)
            return IGNORE_INDEX if label is None else self.index[label]
        if clip.labels and self.name not in clip.labels:
            return [IGNORE_INDEX] * len(self.classes)
        found = [0] * len(self.classes)
        for label in clip.uncertain.get(self.name, ()):
            if label in self.index:
                found[self.index[label]] = IGNORE_INDEX
        for label in clip.labels.get(self.name, ()):
            found[self.index[label]] = 1
        return found


Heads = tuple[Head, ...]
"""The heads of a model, from coarse to fine."""


def heads_of(clips: Iterable[Clip], problem: Problem | None = None) -> Heads:
    """The heads that the labels of some clips need, with sorted classes.

    A level of labels becomes a head. Its parent is the level above, if every class belongs to one
    class of that level. A level where a clip has several labels, or none of the classes, becomes a
    ``"multi"`` head without a parent; a level of which no clip has a class becomes none.

    Args:
        clips: the labelled clips.
        problem: ``"multi"`` for ``"multi"`` heads in any case.
    """
    clips = tuple(clips)
    names = dict.fromkeys(name for clip in clips for name in clip.labels)
    heads: list[Head] = []
    for name in sorted(names, key=level_depth):
        known = [clip for clip in clips if name in clip.labels]
        classes = tuple(sorted({label for clip in known for label in clip.labels[name]}))
        if not classes:
            continue
        if problem == "multi" or any(len(clip.labels[name]) != 1 for clip in known):
            heads.append(Head(name, classes, "multi"))
        else:
            heads.append(_single(name, classes, heads[-1] if heads else None, clips))
    return tuple(heads)


def _single(name: str, classes: tuple[str, ...], above: Head | None, clips: Sequence[Clip]) -> Head:
    """A head of clips with one label, below the head ``above`` if the classes fit into it."""
    if above is None or above.problem == "multi":
        return Head(name, classes)
    pairs = {
        (label, home)
        for clip in clips
        if (label := clip.label(name)) and (home := clip.label(above.name))
    }
    homes = dict(pairs)
    if not len(classes) == len(homes) == len(pairs):
        return Head(name, classes)
    total = Counter(clip.label(above.name) for clip in clips)
    without = Counter(clip.label(above.name) for clip in clips if name not in clip.labels)
    return Head(
        name,
        classes,
        parent=above.name,
        parent_index=tuple(above.index[homes[label]] for label in classes),
        unlabelled=tuple(without[label] / total[label] for label in above.classes),
    )


def merged_heads(models: Sequence[Heads]) -> Heads:
    """The heads of models that predict together: equal heads with means of some numbers.

    These are ``unlabelled``, and the thresholds where the models have different ones.
    """
    sizes = {head.name: len(head.classes) for head in models[0]}
    merged = []
    for heads in zip(*models, strict=True):
        first = heads[0]
        shares = [head.unlabelled_shares(sizes.get(first.parent or "", 0)) for head in heads]
        if any(share != shares[0] for share in shares):
            mean = tuple(sum(column) / len(models) for column in zip(*shares, strict=True))
            first = replace(first, unlabelled=mean)
        if len({head.thresholds for head in heads}) > 1:
            limits = zip(*(head.limits for head in heads), strict=True)
            first = replace(first, thresholds=tuple(sum(each) / len(models) for each in limits))
        merged.append(first)
    return tuple(merged)
