"""Renamed labels of the data, and labels that the model does not have."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from heads import deep_heads, predicted, two_heads

from sonotype.core.annotations import AnnotatedRecording, Event
from sonotype.core.errors import DataError, OptionsError
from sonotype.core.types import Clip, Head
from sonotype.data.manifest import Manifest
from sonotype.evaluation.metrics import score, scores_from_json, scores_to_json
from sonotype.evaluation.other_names import (
    labels_of,
    near_names,
    parse_renames,
    renamed,
    without_foreign,
)
from sonotype.evaluation.predictions import write_csv

ANIMALS = (Head("category", ("cat", "dog")),)


def clip(name: str, *categories: str, **finer: tuple[str, ...]) -> Clip:
    labels = {"category": categories, **finer} if categories else finer
    return Clip(Path(f"{name}.wav"), labels, name, None)


def data(*clips: Clip) -> Manifest:
    return Manifest("made", clips)


def labels(manifest: Manifest) -> list[dict[str, tuple[str, ...]]]:
    return [dict(one.labels) for one in manifest.clips]


def test_renames_as_they_are_written() -> None:
    assert parse_renames(["Dog bark=dog", " Hund = dog", "a=b=c"]) == {
        "Dog bark": "dog",
        "Hund": "dog",
        "a": "b=c",
    }
    assert parse_renames([]) == {}


@pytest.mark.parametrize("items", [["dog"], ["=dog"], ["dog="], ["a=dog", "a=cat"]])
def test_invalid_renames(items: list[str]) -> None:
    with pytest.raises(OptionsError, match="--rename"):
        parse_renames(items)


def test_several_labels_become_one_class() -> None:
    manifest = data(clip("a", "Hund"), clip("b", "puppy"), clip("c", "cat"))
    found = renamed(manifest, ANIMALS, {"Hund": "dog", "puppy": "dog"})
    assert labels(found) == [{"category": ("dog",)}] * 2 + [{"category": ("cat",)}]
    assert renamed(manifest, ANIMALS, {}) is manifest


def test_labels_of_a_clip_that_become_one_class_count_once() -> None:
    heads = (Head("category", ("cat", "dog"), "multi"),)
    one = replace(clip("a", "Hund", "puppy", "cat"), uncertain={"category": ("Katze",)})
    found = renamed(data(one), heads, {"Hund": "dog", "puppy": "dog", "Katze": "cat"})
    assert labels(found) == [{"category": ("dog", "cat")}]
    assert found.clips[0].uncertain == {"category": ("cat",)}


def test_names_are_exchanged() -> None:
    manifest = data(clip("a", "cat"), clip("b", "dog"))
    found = renamed(manifest, ANIMALS, {"cat": "dog", "dog": "cat"})
    assert labels(found) == [{"category": ("dog",)}, {"category": ("cat",)}]


def test_a_label_moves_to_the_level_that_has_the_class() -> None:
    found = renamed(
        data(clip("a", "A one"), clip("b", "Y")), deep_heads(), {"A one": "a1", "Y": "y"}
    )
    assert labels(found) == [
        {"category": ("x",), "event": ("a",), "level_3": ("a1",)},
        {"category": ("y",)},
    ]
    assert [*found.clips[0].labels] == ["category", "event", "level_3"]


def test_all_wrong_names_are_listed_with_both_sides() -> None:
    manifest = data(clip("a", "Dog bark"), clip("b", "wolf"))
    with pytest.raises(OptionsError) as caught:
        renamed(manifest, ANIMALS, {"Dog brak": "dog", "wolf": "dogs"})
    text = str(caught.value)
    assert "'Dog brak' (similar: Dog bark)" in text
    assert "'dogs' (similar: dog)" in text
    assert "Dog bark, wolf" in text
    assert "cat, dog" in text


def test_near_names() -> None:
    names = ("crackling_fire", "crying_baby", "dog", "sea_waves")
    assert near_names("010 - Fire crackling", names) == ["crackling_fire"]
    assert near_names("001 - Dog bark", names) == ["dog"]
    assert near_names("Sea Wave", names) == ["sea_waves"]
    assert near_names("whale", names) == []
    assert near_names("7", ("7", "8")) == ["7"]


def test_events_of_recordings_are_renamed() -> None:
    events = (Event(0.0, 1.0, "Hund", low=100.0), Event(2.0, 3.0, "cat"))
    recording = AnnotatedRecording(Path("a.wav"), 4.0, events, ((0.0, 4.0),))
    manifest = Manifest("made", (), recordings=(recording,))
    [found] = renamed(manifest, ANIMALS, {"Hund": "dog"}).recordings
    assert found.events == (replace(events[0], label="dog"), events[1])
    assert labels_of(manifest) == ["Hund", "cat"]
    heads = two_heads(("cat", "dog"), ("bark", "meow"), (1, 0))
    with pytest.raises(OptionsError, match="category, which has no bark"):
        renamed(manifest, heads, {"Hund": "bark"})


def test_foreign_labels_of_one_level() -> None:
    manifest = data(clip("a", "dog"), clip("b", "wolf"), clip("c", "wolf"), clip("d"))
    kept, foreign = without_foreign(manifest, ANIMALS)
    assert labels(kept) == [{"category": ("dog",)}, {}, {}, {}]
    assert foreign.labels == {"wolf": 2}
    assert foreign.clips == ("", "wolf", "wolf", "")
    assert foreign.near == {}
    [note] = foreign.notes(unknown=True)
    assert "2 clips" in note
    assert "wolf" in note


def test_a_similar_class_is_offered() -> None:
    _, foreign = without_foreign(data(clip("a", "cat"), clip("b", "Dog bark")), ANIMALS)
    assert foreign.near == {"Dog bark": "dog"}
    assert '--rename "Dog bark=dog"' in foreign.notes(unknown=False)[1]


def test_nothing_foreign() -> None:
    manifest = data(clip("a", "dog", event=("bark",)), clip("b"))
    kept, foreign = without_foreign(manifest, ANIMALS)
    assert kept == manifest
    assert foreign.notes(unknown=True) == []
    assert foreign.clips == ("", "")


def test_nothing_in_common() -> None:
    with pytest.raises(DataError) as caught:
        without_foreign(data(clip("a", "Dogs"), clip("b", "wolf")), ANIMALS)
    for text in ("Dogs, wolf", "cat, dog", "Dogs=dog", "--rename"):
        assert text in str(caught.value)


@pytest.mark.parametrize(
    ("unknown_head", "clips"),
    [("", ("", "", "lion;roar")), ("event", ("howl", "", "lion;roar")),
     ("category", ("", "lion", "lion;roar"))],
)  # fmt: skip
def test_two_levels(unknown_head: str, clips: tuple[str, ...]) -> None:
    heads = two_heads(("cat", "dog"), ("bark", "meow"), (1, 0))
    manifest = data(
        clip("a", "dog", event=("howl",)),
        clip("b", "lion", event=("meow",)),
        clip("c", "lion", event=("roar",)),
    )
    kept, foreign = without_foreign(manifest, heads, unknown_head)
    assert labels(kept) == [{"category": ("dog",)}, {"event": ("meow",)}, {}]
    assert foreign.labels == {"howl": 1, "lion": 2, "roar": 1}
    assert foreign.clips == clips


def test_no_class_of_a_head_of_any_number_is_present_in_a_foreign_clip() -> None:
    [head] = heads = (Head("category", ("cat", "dog"), "multi"),)
    kept, foreign = without_foreign(data(clip("a", "dog", "wolf"), clip("b", "wolf")), heads)
    assert [head.target(one) for one in kept.clips] == [[0, 1], [0, 0]]
    assert foreign.clips == ("", "wolf")


def test_foreign_clips_test_the_unknown_score(tmp_path: Path) -> None:
    """Known clips score 0.1, 0.2 and 0.7, foreign ones 0.6, 0.8 and 0.3; one of no class 0.4."""
    predictions = replace(
        predicted(ANIMALS, [[0, 1, 1, -1, -1, -1, -1]], [[[0.9, 0.1]] * 7]),
        unknown=np.array([0.1, 0.2, 0.7, 0.6, 0.8, 0.3, 0.4]),
        unknown_threshold=0.5,
        foreign=("", "", "", "wolf", "wolf", "cow", ""),
    )
    scores = score(predictions)
    unknown = scores.unknown
    assert unknown is not None
    assert (unknown.known, unknown.negatives, unknown.foreign) == (3, 1, 3)
    assert unknown.kept == pytest.approx(2 / 3)
    assert unknown.false_alarms == 1
    assert unknown.recognised == pytest.approx(2 / 3)
    # Of 9 pairs, 7 are in order: not 0.6 and 0.3 against 0.7.
    assert unknown.auroc == pytest.approx(7 / 9)
    assert scores.heads["category"].n == 3
    assert scores_from_json(scores_to_json(scores)).unknown == unknown
    write_csv(predictions.take(np.array([0, 3])), tmp_path / "some.csv")
    rows = [line.split(",") for line in (tmp_path / "some.csv").read_text().splitlines()]
    assert [row[-1] for row in rows] == ["foreign", "", "wolf"]


def test_foreign_names_for_some_clips_only() -> None:
    predictions = predicted(ANIMALS, [[0, 1]], [[[0.9, 0.1]] * 2])
    with pytest.raises(ValueError, match="1 foreign labels for 2 clips"):
        replace(predictions, foreign=("wolf",))
