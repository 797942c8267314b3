"""What trained models have heard, by their own training and by what they were made from.

A score is honest only for clips that nothing in a model has heard: not its own training, not its
teachers, not the model that its first branch comes from.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from sonotype.errors import OptionsError
from sonotype.evaluation.files import replacing
from sonotype.models.model_file import read_card
from sonotype.training.run_folder import HEARD, SPLIT, file_name, read_split, rows_of
from sonotype.types import Clip
from sonotype.weights.backbone import model_file_of

PARTS = ("train", "val")
"""Parts of a model's own split that it has heard: what chose its epoch counts as well. Where its
test part chose, that does."""

EVERYTHING = "*"

Sound = tuple[str, str]
"""What a clip is known by in another run: file name and category, empty where nobody said one."""

Heard = frozenset[Sound] | None
"""Sounds that were heard; ``None`` where it may have been any."""

NOTHING: Heard = frozenset()


def sound_of(clip: Clip) -> Sound:
    """What names a clip wherever its folder lies."""
    return file_name(str(clip.path)), clip.category


def knows(heard: Heard, clip: Clip) -> bool:
    """Whether a clip is among what was heard, as far as that is known."""
    if heard is None:
        return True
    name, category = sound_of(clip)
    return (name, category) in heard or (name, "") in heard


def together(parts: Iterable[Heard]) -> Heard:
    """All that was heard by any."""
    sounds: set[Sound] = set()
    for heard in parts:
        if heard is None:
            return None
        sounds |= heard
    return frozenset(sounds)


def heard_by(model: Path) -> Heard:
    """What the model of a run folder has heard; of a file alone nobody knows.

    Raises:
        ModelFileError: the file is refused.
        OptionsError: what lies beside it is no split.
    """
    split, before = model.parent / SPLIT, model.parent / HEARD
    if not split.is_file():
        return None
    chose = read_card(model).training.get("split", {}).get("choose_on") == "test"
    parts = (*PARTS, "test") if chose else PARTS
    own = frozenset(
        (file_name(row["path"]), row["category"])
        for row in read_split(split)
        if row["part"] in parts
    )
    return together([own, _read(before)]) if before.is_file() else own


def heard_by_backbone(backbone: str, source: str) -> Heard:
    """What branch 1 has heard of the data; of published weights, nothing.

    Args:
        backbone: as the options name it.
        source: name of the data.
    """
    model = model_file_of(backbone)
    if model is None:
        return NOTHING
    if (model.parent / SPLIT).is_file():
        return heard_by(model)
    return None if read_card(model).training.get("data") == source else NOTHING


def note_on_backbone(backbone: str, heard: Heard, test: Sequence[Clip]) -> str:
    """What has to be said of a score where branch 1 knows the test part, or may know it."""
    if not any(knows(heard, clip) for clip in test):
        return ""
    return (
        f"branch 1 comes from {backbone}, which was trained on clips of this very test part, or "
        "may have been: the score is too high"
    )


def write_heard(folder: Path, heard: Heard) -> None:
    """Note beside a run's split what it was made from has heard; nothing where that is nothing."""
    if heard == NOTHING:
        return
    rows = [(EVERYTHING, "")] if heard is None else sorted(heard)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("path", "category"), *rows])
    with replacing(folder / HEARD) as part:
        part.write_bytes(text.getvalue().encode("utf-8", "surrogateescape"))


def _read(path: Path) -> Heard:
    rows = rows_of(path.read_bytes().decode("utf-8", "surrogateescape"))
    if any({"path", "category"} - row.keys() for row in rows):
        raise OptionsError(f"{path} is no list of what a run was made from; train the run again")
    if any(row["path"] == EVERYTHING for row in rows):
        return None
    return frozenset((row["path"], row["category"]) for row in rows)
