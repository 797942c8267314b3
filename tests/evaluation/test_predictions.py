from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from heads import two_heads

from sonotype.core.errors import DataError, OptionsError, SonotypeError
from sonotype.core.types import IGNORE_INDEX
from sonotype.evaluation.compare import average
from sonotype.evaluation.predictions import (
    Predictions,
    concatenate,
    load_predictions,
    save_predictions,
    write_csv,
)

HEADS = two_heads(("animal", "street"), ("cat", "dog", "siren"), (0, 0, 1))


def answers(prefix: str = "") -> Predictions:
    return Predictions(
        paths=(f"{prefix}a.wav", f"{prefix}b.wav", f"{prefix}c.wav"),
        groups=(f"{prefix}one", f"{prefix}one", f"{prefix}two"),
        category_true=np.array([0, 1, 1]),
        event_true=np.array([1, 2, IGNORE_INDEX]),
        category_probability=np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]], dtype=np.float32),
        event_probability=np.array(
            [[0.2, 0.7, 0.1], [0.1, 0.1, 0.8], [0.5, 0.25, 0.25]], dtype=np.float32
        ),
        labels=HEADS,
    )


def without_events() -> Predictions:
    return replace(
        answers(),
        event_probability=None,
        event_true=np.full(3, IGNORE_INDEX),
        labels=two_heads(("animal", "street")),
    )


def assert_same(one: Predictions, other: Predictions) -> None:
    assert (one.paths, one.groups, one.labels) == (other.paths, other.groups, other.labels)
    for name in ("category_true", "event_true", "category_probability", "event_probability"):
        left, right = getattr(one, name), getattr(other, name)
        if left is None:
            assert right is None
        else:
            assert left.dtype == right.dtype
            np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize(
    "original", [answers(), without_events(), answers().take(np.array([], int))]
)
def test_saved_answers_come_back_bit_for_bit(tmp_path: Path, original: Predictions) -> None:
    path = tmp_path / "predictions.npz"
    save_predictions(original, path)
    assert_same(load_predictions(path), original)
    assert [entry.name for entry in tmp_path.iterdir()] == ["predictions.npz"]


def test_the_share_of_clips_without_an_event_is_saved(tmp_path: Path) -> None:
    """Equality of labels passes over it; what is read from the events does not."""
    labels = replace(HEADS, event_less=(0.25, 1 / 3))
    original = replace(answers(), labels=labels)
    save_predictions(original, tmp_path / "predictions.npz")
    found = load_predictions(tmp_path / "predictions.npz")
    assert found.labels.event_less == (0.25, 1 / 3)
    np.testing.assert_array_equal(found.category("events"), original.category("events"))
    assert (found.category("events") != answers().category("events")).any()
    assert found.take(np.array([1])).labels.event_less == (0.25, 1 / 3)


def test_answers_of_an_older_version_do_not_know_the_share(tmp_path: Path) -> None:
    path = tmp_path / "predictions.npz"
    save_predictions(answers(), path)
    with np.load(path) as file:
        arrays = {**file}
    names = json.loads(arrays["names"].tobytes())
    del names["event_less"]
    arrays["names"] = np.frombuffer(json.dumps(names).encode(), dtype=np.uint8)
    np.savez_compressed(path, allow_pickle=False, **arrays)
    assert load_predictions(path).labels.event_less == ()


def test_folds_and_models_together_have_the_mean_share() -> None:
    members = [
        replace(answers(), labels=replace(HEADS, event_less=shares))
        for shares in ((0.2, 0.0), (0.4, 1.0))
    ]
    for together in (concatenate(members), average(members)):
        assert together.labels.event_less == pytest.approx((0.3, 0.5))
    same = [replace(one, labels=members[0].labels) for one in (*members, members[0])]
    for together in (concatenate(same), average(same)):
        assert together.labels.event_less == (0.2, 0.0)


def test_names_of_any_script_and_stray_bytes_come_back(tmp_path: Path) -> None:
    names = ("\u6f22.wav", "bad\udcff.wav", "line\nend.wav")
    save_predictions(replace(answers(), paths=names), tmp_path / "predictions.npz")
    assert load_predictions(tmp_path / "predictions.npz").paths == names


def test_the_saved_file_holds_no_pickle(tmp_path: Path) -> None:
    save_predictions(answers(), tmp_path / "predictions.npz")
    with np.load(tmp_path / "predictions.npz", allow_pickle=False) as file:
        assert all(file[name].dtype.kind in "uif" for name in file.files)


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.npz: there is no such file"):
        load_predictions(tmp_path / "none.npz")


def test_damaged_and_foreign_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "predictions.npz"
    save_predictions(answers(), path)
    whole = path.read_bytes()
    with (tmp_path / "foreign.npz").open("wb") as stream:
        np.savez(stream, x=np.zeros(3))
    with (tmp_path / "array.npy").open("wb") as stream:
        np.save(stream, np.zeros(3))
    foreign = [(tmp_path / name).read_bytes() for name in ("foreign.npz", "array.npy")]
    flipped = bytearray(whole)
    flipped[60] ^= 0xFF
    for content in (b"", b"hello", whole[:100], whole[:-30], bytes(flipped), *foreign):
        path.write_bytes(content)
        with pytest.raises(DataError, match="no predictions file, or damaged: evaluate"):
            load_predictions(path)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"groups": ("one",)}, "groups of the predictions has shape (1,), not (3,)"),
        ({"category_true": np.zeros(2, int)}, "category_true of the predictions has shape (2,)"),
        (
            {"category_probability": np.zeros((3, 5))},
            "category_probability of the predictions has shape (3, 5), not (3, 2)",
        ),
        (
            {"event_probability": np.zeros((3, 2))},
            "event_probability of the predictions has shape (3, 2), not (3, 3)",
        ),
        (
            {"category_true": np.array([0, 1, -1])},
            "category_true of the predictions is outside 0 to 1",
        ),
        ({"event_true": np.array([0, 3, -1])}, "event_true of the predictions is outside -1 to 2"),
        ({"event_true": np.zeros(3)}, "event_true of the predictions is float64, not integers"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        replace(answers(), **changes)


def test_the_category_is_read_from_the_head_the_events_or_both() -> None:
    one = answers()
    np.testing.assert_allclose(one.category("head"), one.category_probability)
    np.testing.assert_allclose(one.category("events")[:, 1], [0.1, 0.8, 0.25], atol=1e-6)
    np.testing.assert_allclose(one.category("both")[:, 1], [0.1, 0.6, 0.525], atol=1e-6)


def test_an_unknown_way_to_read_the_category_is_refused() -> None:
    text = "category_source 'tail': choose from head, events, both"
    with pytest.raises(OptionsError, match=text):
        answers().category("tail")  # type: ignore[arg-type]


def test_take_keeps_the_chosen_clips() -> None:
    some = answers().take(np.array([True, False, True]))
    assert some.paths == ("a.wav", "c.wav")
    assert some.groups == ("one", "two")
    np.testing.assert_array_equal(some.event_true, [1, IGNORE_INDEX])
    np.testing.assert_array_equal(some.event_probability, answers().event_probability[[0, 2]])
    assert_same(answers().take(np.array([2, 0])).take(np.array([1, 0])), some)


def test_folds_are_joined_in_order() -> None:
    pooled = concatenate([answers("1/"), answers("2/")])
    assert pooled.paths == tuple(f"{fold}/{name}.wav" for fold in "12" for name in "abc")
    assert_same(pooled.take(np.arange(3)), answers("1/"))
    assert_same(pooled.take(np.arange(3, 6)), answers("2/"))
    assert concatenate([without_events()] * 2).event_probability is None


def test_no_folds_cannot_be_joined() -> None:
    with pytest.raises(OptionsError, match="there are no folds to pool: give at least one"):
        concatenate([])


@pytest.mark.parametrize(
    ("other", "text"),
    [
        (
            replace(
                answers(), labels=two_heads(("animal", "street"), ("cat", "dog", "horn"), (0, 0, 1))
            ),
            (
                "fold 2 cannot be pooled with fold 1, only one of them has the label 'horn': "
                "train every fold with all labels"
            ),
        ),
        (
            replace(
                answers(),
                labels=two_heads(("street", "animal"), ("cat", "dog", "siren"), (1, 1, 0)),
            ),
            "fold 2 cannot be pooled with fold 1, their labels are in another order: train",
        ),
        (
            replace(answers(), event_probability=None),
            (
                "fold 2 cannot be pooled with fold 1, only one of them has an event head: "
                "train every fold with the same system"
            ),
        ),
    ],
)
def test_folds_that_do_not_fit_are_refused(other: Predictions, text: str) -> None:
    with pytest.raises(OptionsError, match=re.escape(text)):
        concatenate([answers(), other])


def test_the_table_has_truth_and_the_likeliest_labels(tmp_path: Path) -> None:
    path = tmp_path / "predictions.csv"
    write_csv(answers(), path, category_source="both", top=2)
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert rows[1] == {
        "path": "b.wav",
        "group": "one",
        "category": "street",
        "category_1": "street",
        "category_1_probability": "0.600000",
        "category_2": "animal",
        "category_2_probability": "0.400000",
        "event": "siren",
        "event_1": "siren",
        "event_1_probability": "0.800000",
        "event_2": "cat",
        "event_2_probability": "0.100000",
    }
    assert [row["event"] for row in rows] == ["dog", "siren", ""]


def test_the_table_shows_no_more_labels_than_there_are(tmp_path: Path) -> None:
    path = tmp_path / "predictions.csv"
    write_csv(replace(without_events(), paths=("x\udcff", "b", "c")), path, top=9)
    lines = path.read_bytes().splitlines()
    assert lines[0].decode() == (
        "path,group,category,category_1,category_1_probability,category_2,category_2_probability"
    )
    assert lines[1].startswith(b"x\xff,one,animal,animal,0.900000,street,0.100000")


def test_a_table_of_no_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match="top must be at least 1, got 0"):
        write_csv(answers(), tmp_path / "predictions.csv", top=0)
    assert not list(tmp_path.iterdir())


def test_no_clips_are_refused() -> None:
    text = "there are no clips to score: choose a split or a fold with clips"
    with pytest.raises(OptionsError, match=text):
        answers().take(np.array([], dtype=int)).require_finite()


@pytest.mark.parametrize("head", ["category_probability", "event_probability"])
def test_answers_that_are_no_numbers_are_refused(head: str) -> None:
    broken = getattr(answers(), head).copy()
    broken[1, 0] = np.nan
    broken[2, 0] = np.inf
    with pytest.raises(SonotypeError) as caught:
        replace(answers(), **{head: broken}).require_finite()
    for fact in ("b.wav: ", "not finite", "2 of 3 clips", "lower learning rate"):
        assert fact in str(caught.value)
