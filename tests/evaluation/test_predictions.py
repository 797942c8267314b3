from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from heads import coarse, deep_heads, predicted, two_heads, with_proba, with_true

from sonotype.core.errors import DataError, OptionsError, SonotypeError
from sonotype.core.hierarchy import CATEGORY_SOURCES
from sonotype.core.types import IGNORE_INDEX, Head, Heads
from sonotype.evaluation.compare import average
from sonotype.evaluation.predictions import (
    Predictions,
    concatenate,
    load_predictions,
    save_predictions,
    write_csv,
)

HOME = (0, 0, 1)
HEADS = two_heads(("animal", "street"), ("cat", "dog", "siren"), HOME)


def answers(prefix: str = "") -> Predictions:
    return predicted(
        HEADS,
        [[0, 1, 1], [1, 2, IGNORE_INDEX]],
        [
            np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]], dtype=np.float32),
            np.array([[0.2, 0.7, 0.1], [0.1, 0.1, 0.8], [0.5, 0.25, 0.25]], dtype=np.float32),
        ],
        [f"{prefix}{name}.wav" for name in "abc"],
        [f"{prefix}{name}" for name in ("one", "one", "two")],
    )


def three_levels() -> Predictions:
    """Random predictions of three heads, with a temperature and thresholds."""
    rng, heads = np.random.default_rng(0), deep_heads()
    heads = (*heads[:2], replace(heads[2], temperature=1.7, thresholds=(0.1, 0.2, 0.3, 0.4, 0.5)))
    true = [rng.integers(-1, len(head.classes), 9) for head in heads]
    return predicted(heads, true, [rng.dirichlet(np.ones(len(h.classes)), 9) for h in heads])


def assert_same(one: Predictions, other: Predictions) -> None:
    assert (one.paths, one.groups) == (other.paths, other.groups)
    assert [asdict(head) for head in one.heads] == [asdict(head) for head in other.heads]
    for left, right in ((one.true, other.true), (one.proba, other.proba)):
        assert left.keys() == right.keys()
        for name in left:
            assert left[name].dtype == right[name].dtype
            np.testing.assert_array_equal(left[name], right[name])


def with_shares(*shares: float) -> Heads:
    """The heads, with shares of clips without an event label."""
    return (HEADS[0], replace(HEADS[1], unlabelled=shares))


@pytest.mark.parametrize(
    "original",
    [
        answers(),
        coarse(answers()),
        answers().take(np.array([], int)),
        replace(answers(), heads=with_shares(0.25, 1 / 3)),
        three_levels(),
    ],
)
def test_saved_predictions_are_equal_bit_for_bit(tmp_path: Path, original: Predictions) -> None:
    path = tmp_path / "predictions.npz"
    save_predictions(original, path)
    found = load_predictions(path)
    assert_same(found, original)
    assert_same(found.take(np.arange(len(found))), original)
    for source in CATEGORY_SOURCES:
        for name, proba in original.read(source).items():
            np.testing.assert_array_equal(found.read(source)[name], proba)
    assert [entry.name for entry in tmp_path.iterdir()] == ["predictions.npz"]


def test_the_share_of_clips_without_an_event_changes_what_is_read() -> None:
    shares = replace(answers(), heads=with_shares(0.25, 1 / 3))
    assert (shares.read("events")["category"] != answers().read("events")["category"]).any()


def test_folds_and_models_together_have_the_mean_share() -> None:
    members = [
        replace(answers(), heads=with_shares(*shares)) for shares in ((0.2, 0.0), (0.4, 1.0))
    ]
    for together in (concatenate(members), average(members)):
        assert together.heads[1].unlabelled == pytest.approx((0.3, 0.5))
    same = [replace(one, heads=members[0].heads) for one in (*members, members[0])]
    for together in (concatenate(same), average(same)):
        assert together.heads[1].unlabelled == (0.2, 0.0)


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
    names = np.frombuffer(b'{"paths": [], "groups": [], "heads": ["x"]}', dtype=np.uint8)
    np.savez(tmp_path / "names.npz", names=names)
    foreign = [(tmp_path / name).read_bytes() for name in ("foreign.npz", "names.npz", "array.npy")]
    flipped = bytearray(whole)
    flipped[60] ^= 0xFF
    for content in (b"", b"hello", whole[:100], whole[:-30], bytes(flipped), *foreign):
        path.write_bytes(content)
        with pytest.raises(DataError, match="no predictions file, or damaged: evaluate"):
            load_predictions(path)


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        (lambda p: replace(p, groups=("one",)), ("1 groups", "3 clips")),
        (lambda p: with_true(p, category=np.zeros(2, int)), ("category", "shape (2,)", "(3,) int")),
        (lambda p: with_proba(p, category=np.zeros((3, 5))), ("category", "(3, 5), not (3, 2)")),
        (lambda p: with_proba(p, event=np.zeros((3, 2))), ("event", "(3, 2), not (3, 3)")),
        (lambda p: with_true(p, category=np.array([0, 1, -2])), ("category", "outside -1 to 1")),
        (lambda p: with_true(p, event=np.array([0, 3, -1])), ("event", "outside -1 to 2")),
        (lambda p: with_true(p, event=np.zeros(3)), ("event", "float64", "integers")),
        (lambda p: with_proba(p, more=np.zeros(3)), ("'category', 'event', 'more'",)),
        (lambda p: replace(p, true={"category": p.true["category"]}), ("true of ['category']",)),
    ],
)
def test_entries_that_do_not_fit_are_refused(
    change: Callable[[Predictions], Predictions], facts: tuple[str, ...]
) -> None:
    with pytest.raises(ValueError) as caught:
        change(answers())
    assert all(fact in str(caught.value) for fact in facts)


def test_the_category_is_read_from_the_head_the_events_or_both() -> None:
    one = answers()
    np.testing.assert_array_equal(one.read("head")["category"], one.proba["category"])
    np.testing.assert_allclose(one.read("events")["category"][:, 1], [0.1, 0.8, 0.25], atol=1e-6)
    np.testing.assert_allclose(one.read("both")["category"][:, 1], [0.1, 0.6, 0.525], atol=1e-6)
    for source in CATEGORY_SOURCES:
        np.testing.assert_array_equal(one.read(source)["event"], one.proba["event"])


def test_an_unknown_way_to_read_the_category_is_refused() -> None:
    text = "category_source 'tail': choose from head, events, both"
    with pytest.raises(OptionsError, match=text):
        answers().read("tail")  # type: ignore[arg-type]


def test_take_keeps_the_chosen_clips() -> None:
    some = answers().take(np.array([True, False, True]))
    assert some.paths == ("a.wav", "c.wav")
    assert some.groups == ("one", "two")
    np.testing.assert_array_equal(some.true["event"], [1, IGNORE_INDEX])
    np.testing.assert_array_equal(some.proba["event"], answers().proba["event"][[0, 2]])
    assert_same(answers().take(np.array([2, 0])).take(np.array([1, 0])), some)


def test_folds_are_joined_in_order() -> None:
    pooled = concatenate([answers("1/"), answers("2/")])
    assert pooled.paths == tuple(f"{fold}/{name}.wav" for fold in "12" for name in "abc")
    assert_same(pooled.take(np.arange(3)), answers("1/"))
    assert_same(pooled.take(np.arange(3, 6)), answers("2/"))
    assert concatenate([coarse(answers())] * 2).proba.keys() == {"category"}


def test_no_folds_cannot_be_joined() -> None:
    with pytest.raises(OptionsError, match="there are no folds to pool: give at least one"):
        concatenate([])


@pytest.mark.parametrize(
    ("other", "cause"),
    [
        (
            replace(answers(), heads=two_heads(("animal", "street"), ("cat", "dog", "horn"), HOME)),
            "only one of them has the label 'horn'",
        ),
        (
            replace(answers(), heads=two_heads(("street", "animal"), HEADS[1].classes, (1, 1, 0))),
            "their labels differ",
        ),
        (coarse(answers()), "only one of them has the head 'event'"),
    ],
)
def test_folds_that_do_not_fit_are_refused(other: Predictions, cause: str) -> None:
    text = f"fold 2 cannot be pooled with fold 1, {cause}: train every fold with the same labels"
    with pytest.raises(OptionsError, match=text):
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
    write_csv(replace(coarse(answers()), paths=("x\udcff", "b", "c")), path, top=9)
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


@pytest.mark.parametrize("head", ["category", "event"])
def test_probabilities_that_are_not_finite_are_refused(head: str) -> None:
    broken = answers().proba[head].copy()
    broken[1, 0] = np.nan
    broken[2, 0] = np.inf
    with pytest.raises(SonotypeError) as caught:
        with_proba(answers(), **{head: broken}).require_finite()
    for fact in ("b.wav: ", "not finite", "2 of 3 clips", "lower learning rate"):
        assert fact in str(caught.value)


def several() -> Predictions:
    """Predictions of three clips with any number of two labels."""
    heads = (Head("tags", ("x", "y"), "multi", thresholds=(0.3, 0.6)),)
    true = np.array([[1, 0], [1, 1], [0, -1]])
    proba = np.array([[0.4, 0.5], [0.2, 0.7], [0.3, 0.6]])
    return Predictions(("a", "b", "c"), ("a", "b", "c"), {"tags": true}, {"tags": proba}, heads)


def test_several_labels_count_from_their_thresholds_on(tmp_path: Path) -> None:
    predictions = several()
    [head] = predictions.heads
    expected = [[True, False], [False, True], [True, True]]
    assert predictions.decided(head).tolist() == expected
    assert predictions.negative.tolist() == [False, False, True]
    fitted = replace(predictions, present={"tags": ~np.array(expected)})
    save_predictions(fitted, tmp_path / "p.npz")
    loaded = load_predictions(tmp_path / "p.npz")
    assert loaded.decided(loaded.heads[0]).tolist() == (~np.array(expected)).tolist()
    assert loaded.take(np.array([2])).decided(head).tolist() == [[False, False]]
    both = concatenate([predictions, fitted])
    assert both.decided(head).tolist() == [*expected, *(~np.array(expected)).tolist()]
    write_csv(predictions, tmp_path / "p.csv")
    rows = (tmp_path / "p.csv").read_text().splitlines()
    assert [row.split(",")[2] for row in rows] == ["tags", "x", "x;y", ""]
    with pytest.raises(ValueError, match="tags: true has shape"):
        replace(predictions, true={"tags": np.array([0, 1, 1])})
    with pytest.raises(ValueError, match="outside -1 to 1"):
        replace(predictions, true={"tags": np.full((3, 2), 2)})


def two_classes(proba: list[list[float]], thresholds: tuple[float, ...] = ()) -> Predictions:
    head = Head("category", ("a", "b"), "multi", thresholds=thresholds)
    true = [[1, 0], [IGNORE_INDEX, 1], [0, 0]][: len(proba)]
    return predicted((head,), [true], [proba])


def test_which_classes_count_as_present(tmp_path: Path) -> None:
    values = [[0.5, 0.2], [0.9, 0.6], [0.3, 0.3]]
    plain, with_limits = two_classes(values), two_classes(values, (0.6, 0.2))
    head = plain.heads[0]
    assert plain.decided(head).tolist() == [[True, False], [True, True], [False, False]]
    wanted = [[False, True], [True, True], [False, True]]
    assert with_limits.decided(with_limits.heads[0]).tolist() == wanted
    # What was decided is kept, whatever the thresholds of the pooled head are.
    pooled = concatenate([plain, with_limits])
    assert pooled.decided(pooled.heads[0]).tolist() == [*plain.decided(head).tolist(), *wanted]
    assert pooled.take(np.array([3, 0])).present["category"].tolist() == [
        [False, True], [True, False],
    ]  # fmt: skip
    save_predictions(pooled, tmp_path / "p.npz")
    again = load_predictions(tmp_path / "p.npz")
    assert again.present["category"].tolist() == pooled.present["category"].tolist()
    assert again.heads[0].thresholds == pooled.heads[0].thresholds
    assert plain.negative.tolist() == [False, False, True]


def test_targets_of_several_labels_are_checked() -> None:
    good = two_classes([[0.5, 0.5]])
    for wrong in (np.array([[2, 0]]), np.array([[-2, 0]]), np.array([1]), np.array([[1.0, 0.0]])):
        with pytest.raises(ValueError, match="category"):
            replace(good, true={"category": wrong})


def test_the_agreement_with_neighbours_is_kept(tmp_path: Path) -> None:
    shares = {"event": np.array([0.25, 1.0, np.nan])}
    save_predictions(replace(answers(), agreement=shares), tmp_path / "some.npz")
    found = load_predictions(tmp_path / "some.npz")
    np.testing.assert_array_equal(found.agreement["event"], shares["event"])
    np.testing.assert_array_equal(found.take(np.array([1])).agreement["event"], [1.0])
    save_predictions(answers(), tmp_path / "none.npz")
    assert not load_predictions(tmp_path / "none.npz").agreement


def test_a_file_of_a_newer_zip_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "predictions.npz"
    save_predictions(answers(), path)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\1\2") + 6] = 117
    path.write_bytes(content)
    with pytest.raises(DataError, match="no predictions file, or damaged"):
        load_predictions(path)
