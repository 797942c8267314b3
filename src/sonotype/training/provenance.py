"""What trained models have heard, by their own training and by what they were made from.

A score is honest only for clips that nothing in a model has heard: not its own training, not its
teachers, not the model that its first branch comes from.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from sonotype.core.errors import OptionsError
from sonotype.core.io import replacing
from sonotype.core.types import Clip
from sonotype.data.digest import PREFIX, Contents, prefixes
from sonotype.data.splits.split_file import DIGESTS, SPLIT, file_name, read_split, rows_of
from sonotype.modelfile.model_file import read_card
from sonotype.modelfile.pretrained import model_file_of

PARTS = ("train", "val")
"""Parts of a model's own split that it has heard: what chose its epoch counts as well. Where its
test part chose, that does."""

EVERYTHING = "*"

SEEN_CLIPS = "seen_clips.csv"

SEEN = "seen"
"""Under which name a model file's training has the digests of what the model has heard."""


class SeenClip(NamedTuple):
    """What is known of a clip that was heard; empty where it is not known.

    Attributes:
        name: of its file.
        category: its label.
        file: digest of the file's bytes, whole or its first digits.
        sound: digest of the samples, likewise.

    A sound with a digest is known by its digests alone. One without, from a run of an earlier
    version, is known by its name and category.
    """

    name: str = ""
    category: str = ""
    file: str = ""
    sound: str = ""


SeenClips = frozenset[SeenClip] | None
"""Sounds that were heard; ``None`` where it may have been any."""

NOTHING: SeenClips = frozenset()


def sound_of(clip: Clip) -> SeenClip:
    """What names a clip wherever its folder lies."""
    name = file_name(str(clip.path))
    if clip.content is None:
        return SeenClip(name, clip.category)
    return SeenClip(name, clip.category, clip.content.file, clip.content.sound)


def has_seen(seen: SeenClips, clip: Clip) -> bool:
    """Whether a clip is among what was heard, as far as that is known.

    Raises:
        AudioError: its content was not computed, and its file cannot be read.
    """
    if seen is None:
        return True
    digests, names = _known_by(seen)
    name = file_name(str(clip.path))
    if (name, clip.category) in names or (name, "") in names:
        return True
    if not digests:
        return False
    return not prefixes(clip.content or Contents()[clip.path]).isdisjoint(digests)


@lru_cache(maxsize=64)
def _known_by(seen: frozenset[SeenClip]) -> tuple[frozenset[str], frozenset[tuple[str, str]]]:
    """First digits of all digests, and names with categories of sounds that have no digest."""
    digests = {one[:PREFIX] for sound in seen for one in (sound.file, sound.sound) if one}
    names = {(sound.name, sound.category) for sound in seen if not (sound.file or sound.sound)}
    return frozenset(digests), frozenset(names)


def digests_of(seen: SeenClips) -> list[str] | None:
    """What a model file keeps of what was heard: first digits of all digests, sorted.

    ``None`` where something was heard that no digest is known of.
    """
    if seen is None:
        return None
    digests, names = _known_by(seen)
    return None if names else sorted(digests)


def union_of(parts: Iterable[SeenClips]) -> SeenClips:
    """All that was heard by any."""
    sounds: set[SeenClip] = set()
    for seen in parts:
        if seen is None:
            return None
        sounds |= seen
    return frozenset(sounds)


def clips_seen_by(model: Path) -> SeenClips:
    """What a model has heard: by its run folder, or by its file alone where the folder is gone.

    Of a file that does not tell, from an earlier version, nobody knows.

    Raises:
        ModelFileError: the file is refused.
        OptionsError: what lies beside it is no split.
    """
    split, before = model.parent / SPLIT, model.parent / SEEN_CLIPS
    training = read_card(model).training
    if not split.is_file():
        seen = training.get(SEEN)
        return frozenset(SeenClip(file=one) for one in seen) if isinstance(seen, list) else None
    chose = training.get("split", {}).get("select_on") == "test"
    parts = (*PARTS, "test") if chose else PARTS
    own = frozenset(_sound_in(row) for row in read_split(split) if row["part"] in parts)
    return union_of([own, _read(before)]) if before.is_file() else own


def clips_seen_by_backbone(backbone: str, source: str) -> SeenClips:
    """What branch 1 has heard of the data; of published weights, nothing.

    Args:
        backbone: as the options name it.
        source: name of the data, for a model file that does not tell what it has heard.
    """
    model = model_file_of(backbone)
    if model is None:
        return NOTHING
    seen = clips_seen_by(model)
    if seen is None and not (model.parent / SPLIT).is_file():
        training = read_card(model).training
        return None if SEEN in training or training.get("data") == source else NOTHING
    return seen


def note_on_backbone(backbone: str, seen: SeenClips, test: Sequence[Clip]) -> str:
    """What has to be said of a score where branch 1 knows the test part, or may know it."""
    if not any(has_seen(seen, clip) for clip in test):
        return ""
    return (
        f"branch 1 comes from {backbone}, which was trained on clips of this very test part, or "
        "may have been: the score is too high"
    )


def write_seen_clips(folder: Path, seen: SeenClips) -> None:
    """Note beside a run's split what it was made from has heard; nothing where that is nothing."""
    if seen == NOTHING:
        return
    rows = [SeenClip(EVERYTHING)] if seen is None else sorted(seen)
    text = io.StringIO()
    header = ("path", "category", *DIGESTS)
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    with replacing(folder / SEEN_CLIPS) as part:
        part.write_bytes(text.getvalue().encode("utf-8", "surrogateescape"))


def _read(path: Path) -> SeenClips:
    rows = rows_of(path.read_bytes().decode("utf-8", "surrogateescape"))
    if any({"path", "category"} - row.keys() for row in rows):
        raise OptionsError(f"{path} is no list of what a run was made from; train the run again")
    if any(row["path"] == EVERYTHING for row in rows):
        return None
    return frozenset(map(_sound_in, rows))


def _sound_in(row: Mapping[str, str]) -> SeenClip:
    """The sound in a row of a split or of what was heard."""
    file, sound = (row.get(name) or "" for name in DIGESTS)
    return SeenClip(file_name(row["path"]), row["category"], file, sound)
