"""Provenance: which clips a model has seen, in its own training and in the models it was made from.

A score is valid only on clips that nothing in a model has seen: neither its own training, nor its
teachers, nor the model that its first branch comes from.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from sonotype.core.csv_file import saved_rows
from sonotype.core.errors import OptionsError
from sonotype.core.io import replacing
from sonotype.core.types import LEVELS, Clip
from sonotype.data.digest import PREFIX, Contents, prefixes
from sonotype.data.splits.split_file import DIGESTS, SPLIT, file_name, read_split
from sonotype.modelfile.model_file import read_card
from sonotype.modelfile.pretrained import model_file_of

SEEN_SUBSETS = ("train", "val")
"""Subsets of its own split that a model has seen. The subset that chose the epoch counts as seen,
also if that was the test subset."""

ANY_CLIP = "*"
"""Path in :data:`SEEN_CLIPS` for a model that may have seen any clip."""

SEEN_CLIPS = "seen_clips.csv"

SEEN = "seen"
"""Key of the digests of the seen clips in the training entry of a model file."""


TOO_HIGH = "the score is too high"
"""In the note on a score of clips that a model has seen."""


class SeenClip(NamedTuple):
    """A clip that a model has seen; unknown values are empty.

    A clip with a digest is identified by its digests alone. A clip without a digest, from a run of
    an earlier version, is identified by its name and category.

    Attributes:
        name: of its file.
        category: its label.
        file: digest of the file's bytes, or its first digits.
        sound: digest of the samples, or its first digits.
    """

    name: str = ""
    category: str = ""
    file: str = ""
    sound: str = ""


SeenClips = frozenset[SeenClip] | None
"""The clips that a model has seen; ``None`` if it may have seen any clip."""

NOTHING: SeenClips = frozenset()


def sound_of(clip: Clip) -> SeenClip:
    """The identity of a clip, independent of its folder."""
    name = file_name(str(clip.path))
    category = clip.label(LEVELS[0]) or ""
    if clip.content is None:
        return SeenClip(name, category)
    return SeenClip(name, category, clip.content.file, clip.content.sound)


def has_seen(seen: SeenClips, clip: Clip) -> bool:
    """Whether a clip was seen, or may have been seen.

    Raises:
        AudioError: the digest of the clip is not known, and its file cannot be read.
    """
    if seen is None:
        return True
    digests, names = _identities(seen)
    name = file_name(str(clip.path))
    if (name, clip.label(LEVELS[0]) or "") in names or (name, "") in names:
        return True
    if not digests:
        return False
    return not prefixes(clip.content or Contents()[clip.path]).isdisjoint(digests)


@lru_cache(maxsize=64)
def _identities(seen: frozenset[SeenClip]) -> tuple[frozenset[str], frozenset[tuple[str, str]]]:
    """First digits of all digests; name and category of the clips without a digest."""
    digests = {digest[:PREFIX] for clip in seen for digest in (clip.file, clip.sound) if digest}
    names = {(clip.name, clip.category) for clip in seen if not (clip.file or clip.sound)}
    return frozenset(digests), frozenset(names)


def digests_of(seen: SeenClips) -> list[str] | None:
    """The entry of a model file: the first digits of all digests, sorted.

    ``None`` if any clip, or a clip without a digest, may have been seen.
    """
    if seen is None:
        return None
    digests, names = _identities(seen)
    return None if names else sorted(digests)


def union_of(sets: Iterable[SeenClips]) -> SeenClips:
    """The clips of all sets."""
    clips: set[SeenClip] = set()
    for seen in sets:
        if seen is None:
            return None
        clips |= seen
    return frozenset(clips)


def clips_seen_by(model: Path) -> SeenClips:
    """The clips that a model has seen: from its run folder, or else from its file.

    A file of an earlier version without that entry gives ``None``.

    Raises:
        ModelFileError: the file is invalid.
        OptionsError: ``split.csv`` or ``seen_clips.csv`` beside it is invalid.
    """
    split, earlier = model.parent / SPLIT, model.parent / SEEN_CLIPS
    training = read_card(model).training
    if not split.is_file():
        seen = training.get(SEEN)
        if not isinstance(seen, list):
            return None
        return frozenset(SeenClip(file=digest) for digest in seen)
    selected_on_test = training.get("split", {}).get("select_on") == "test"
    subsets = (*SEEN_SUBSETS, "test") if selected_on_test else SEEN_SUBSETS
    own = frozenset(_clip_in(row) for row in read_split(split) if row["subset"] in subsets)
    return union_of([own, read_seen_clips(earlier)]) if earlier.is_file() else own


def clips_seen_by_backbone(backbone: str, source: str) -> SeenClips:
    """The clips of the data that branch 1 has seen; none for published weights.

    Args:
        backbone: its name in the options.
        source: name of the data, for a model file without the digests of the clips it has seen.
    """
    model = model_file_of(backbone)
    if model is None:
        return NOTHING
    seen = clips_seen_by(model)
    if seen is None and not (model.parent / SPLIT).is_file():
        training = read_card(model).training
        return None if SEEN in training or training.get("data") == source else NOTHING
    return seen


def note_on_backbone(backbone: str, seen: SeenClips, scored: Sequence[Clip]) -> str:
    """A warning about the score, if branch 1 has or may have seen scored clips; else empty."""
    if not any(has_seen(seen, clip) for clip in scored):
        return ""
    return (
        f"branch 1 comes from {backbone}, which was or may have been trained on the clips that "
        f"are scored: {TOO_HIGH}"
    )


def too_high(notes: Iterable[str]) -> list[str]:
    """The parts of notes on scores that say that a model has seen scored clips."""
    return [part for note in notes for part in note.split("; ") if TOO_HIGH in part]


def write_seen_clips(folder: Path, seen: SeenClips) -> None:
    """Write the clips that the models which a run is made from have seen, if there are any."""
    if seen == NOTHING:
        return
    rows = [SeenClip(ANY_CLIP)] if seen is None else sorted(seen)
    text = io.StringIO()
    header = ("path", "category", *DIGESTS)
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    with replacing(folder / SEEN_CLIPS) as part:
        part.write_bytes(text.getvalue().encode("utf-8", "surrogateescape"))


def read_seen_clips(path: Path) -> SeenClips:
    """The clips in a file of :func:`write_seen_clips`.

    Raises:
        OptionsError: it cannot be read, or is another table.
    """
    rows = saved_rows(path, "a list of seen clips", optional=DIGESTS)
    if any({"path", "category"} - row.keys() for row in rows):
        raise OptionsError(
            f"{path} lacks the columns path and category of a list of seen clips; train the run "
            "again"
        )
    if any(row["path"] == ANY_CLIP for row in rows):
        return None
    return frozenset(map(_clip_in, rows))


def _clip_in(row: Mapping[str, str]) -> SeenClip:
    """The clip in a row of ``split.csv`` or ``seen_clips.csv``."""
    file, sound = (row.get(name) or "" for name in DIGESTS)
    return SeenClip(file_name(row["path"]), row["category"], file, sound)
