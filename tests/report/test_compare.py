"""Runs side by side: counts and differences by hand, and what cannot be compared."""

from __future__ import annotations

import json
from dataclasses import replace
from math import comb
from pathlib import Path

import numpy as np
import pytest
from heads import coarse, predicted, two_heads
from run_folders import of_another_version, write_run_folder
from small_models import write_model

from sonotype.core.errors import OptionsError
from sonotype.core.types import IGNORE_INDEX, Head
from sonotype.evaluation.compare import RunResults, compare
from sonotype.evaluation.metrics import Interval
from sonotype.evaluation.predictions import Predictions, load_predictions
from sonotype.report.compare import compare_runs
from sonotype.report.compare_page import axis_of, comparison_page
from sonotype.report.compare_text import comparison_text
from sonotype.report.compared import comparison_to_json

CLASSES = ("cat", "dog", "owl")
TRUE = [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]
FIRST = [0, 0, 0, 0, 1, 1, 1, 0, 2, 2, 2, 0]  # two clips wrong
SECOND = [0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2, 2]  # all dogs wrong, all owls right


def answers(
    found: list[int], true: list[int] = TRUE, names: tuple[str, ...] = CLASSES, prefix: str = "clip"
) -> Predictions:
    """Certain predictions of one level."""
    paths = [f"{prefix}_{number:02}.wav" for number in range(len(true))]
    proba = 0.8 * np.eye(len(names))[found] + 0.2 / len(names)
    return predicted((Head("category", names),), [true], [proba], paths)


def runs(tmp_path: Path, *predictions: Predictions) -> list[Path]:
    return [
        write_run_folder(tmp_path / f"run_{number}", one)
        for number, one in enumerate(predictions, start=1)
    ]


def test_values_and_differences_are_those_of_the_evaluation(tmp_path: Path) -> None:
    folders = runs(tmp_path, answers(FIRST), answers(SECOND))
    (level,) = compare_runs(folders).levels
    assert level.classes == 3
    accuracy = [found["accuracy"] for found in level.metrics]
    assert [one.value.value for one in accuracy] == pytest.approx([10 / 12, 8 / 12])
    assert accuracy[0].difference is None
    assert accuracy[1].difference.value == pytest.approx(-2 / 12)
    rows = compare(
        [RunResults(str(f), {(None, 0): load_predictions(f / "predictions.npz")}) for f in folders],
        str(folders[0]),
    )
    assert {name: metric for (_, name), metric in rows[1].metrics.items()} == level.metrics[1]


def test_clips_that_one_run_gets_right(tmp_path: Path) -> None:
    (level,) = compare_runs(runs(tmp_path, answers(FIRST), answers(SECOND))).levels
    (found,) = level.outcomes
    assert found is not None
    assert (found.both, found.neither, found.other_labels) == (7, 1, 0)
    assert [(one.path, one.label, one.wrong) for one in found.lost] == [
        ("clip_04.wav", "dog", "cat"),
        ("clip_05.wav", "dog", "cat"),
        ("clip_06.wav", "dog", "cat"),
    ]
    assert [(one.path, one.label, one.wrong) for one in found.gained] == [
        ("clip_11.wav", "owl", "cat")
    ]
    # Of 4 clips that differ, at most one in favour of either side: 2 (1 + 4) / 16.
    assert found.p_value == pytest.approx(2 * (comb(4, 0) + comb(4, 1)) / 2**4)


def test_the_same_answers_have_no_p_value(tmp_path: Path) -> None:
    (level,) = compare_runs(runs(tmp_path, answers(FIRST), answers(FIRST))).levels
    (found,) = level.outcomes
    assert found is not None
    assert (found.lost, found.gained, found.p_value) == ((), (), None)
    assert level.metrics[1]["f1"].difference == Interval(0.0, 0.0, 0.0)


def test_clips_with_corrected_labels_are_not_counted(tmp_path: Path) -> None:
    corrected = [1, *TRUE[1:-1], IGNORE_INDEX]
    (level,) = compare_runs(runs(tmp_path, answers(TRUE), answers(TRUE, corrected))).levels
    (found,) = level.outcomes
    assert found is not None
    assert (found.both, found.other_labels) == (10, 2)


def test_classes_that_gain_and_lose(tmp_path: Path) -> None:
    (level,) = compare_runs(runs(tmp_path, answers(FIRST), answers(SECOND))).levels
    (changes,) = level.changes
    found = {one.label: (one.before, one.after) for one in changes}
    assert found["dog"] == pytest.approx((6 / 7, 0.0))
    assert found["owl"] == pytest.approx((6 / 7, 1.0))
    assert found["cat"] == pytest.approx((8 / 10, 8 / 12))
    assert [one.label for one in changes] == ["dog", "cat", "owl"]
    assert changes[0].clips == (4, 4)


def test_time_size_notes_and_options(tmp_path: Path) -> None:
    first = write_run_folder(tmp_path / "first", answers(FIRST), seconds=42, seed=3)
    second = write_run_folder(
        tmp_path / "second", answers(SECOND), fingerprint="f2", notes=("held out",)
    )
    (first / "model.safetensors").write_bytes(bytes(2_500_000))
    found = compare_runs([first, second])
    assert [run.name for run in found.runs] == ["first", "second"]
    assert [run.seconds for run in found.runs] == [42, None]
    assert [run.model_bytes for run in found.runs] == [2_500_000, None]
    assert found.runs[1].changes == {
        "data": ("sounds", "sounds, other clips or labels"),
        "seed": ("3", "0"),
    }
    lines = comparison_text(found).splitlines()
    assert lines[1].split() == ["first", "12", "12", "42", "s", "2.5", "MB"]
    assert lines[2].split() == ["second", "12", "12", "-", "-"]
    assert "first: cross-fitting" in lines
    assert "second: held out" in lines


def test_options_that_follow_from_the_recipe_are_not_listed(tmp_path: Path) -> None:
    first = write_run_folder(tmp_path / "a", answers(FIRST))
    second = write_run_folder(tmp_path / "b", answers(SECOND), recipe="modern", epochs=2)
    changes = compare_runs([first, second]).runs[1].changes
    assert changes == {"recipe": ("linear", "modern"), "epochs": ("none", "2")}


def test_options_of_another_version(tmp_path: Path) -> None:
    first, second = runs(tmp_path, answers(FIRST), answers(SECOND))
    found = compare_runs([first, of_another_version(second)])
    (note,) = [note for note in found.notes if "options" in note]
    assert "run_2" in note
    assert "colour" in note
    assert "9.9" in note
    assert len(note) < 300 + len(str(second)), "the known options are not listed"
    assert found.runs[1].changes is None
    assert "options not known" in comparison_text(found)
    assert "not known" in comparison_page(found)


def test_other_clips_are_compared_unpaired(tmp_path: Path) -> None:
    other = answers(SECOND[:8], TRUE[:8])
    found = compare_runs(runs(tmp_path, answers(FIRST), other))
    (level,) = found.levels
    assert not level.metrics[1]["f1"].paired
    assert level.outcomes == (None,)
    (note,) = found.notes
    assert "other clips" in note
    assert "8 shared" in note
    assert "unpaired" in comparison_text(found)
    assert "unpaired" in comparison_page(found)


def test_other_classes_are_refused_or_left_out(tmp_path: Path) -> None:
    foreign = answers(FIRST, names=("cat", "dog", "rat"))
    folders = runs(tmp_path, answers(FIRST), foreign)
    with pytest.raises(OptionsError, match=r"run_2 also has rat and does not have owl"):
        compare_runs(folders)


def both_levels(events: tuple[str, ...]) -> Predictions:
    heads = two_heads(("high", "low"), events, (0, 0, 1))
    event = np.array(TRUE)
    category = np.array([0, 0, 1])[event]
    return predicted(heads, [category, event], [np.eye(2)[category], np.eye(3)[event]])


def test_a_level_with_other_classes_is_left_out(tmp_path: Path) -> None:
    full = both_levels(("beep", "buzz", "hum"))
    found = compare_runs(runs(tmp_path, full, both_levels(("beep", "buzz", "roar")), coarse(full)))
    assert [level.name for level in found.levels] == ["category"]
    (note,) = found.notes
    for part in ("level event", "run_2 also has roar", "run_3 does not have it"):
        assert part in note


def test_clips_of_one_recording_have_no_intervals(tmp_path: Path) -> None:
    one = [replace(answers(found), groups=("same",) * 12) for found in (TRUE, SECOND)]
    found = compare_runs(runs(tmp_path, *one))
    (level,) = found.levels
    gap = level.metrics[1]["accuracy"].difference
    assert gap is not None
    assert (round(gap.value, 6), gap.low, gap.high) == (-0.333333, None, None)
    assert not level.metrics[1]["accuracy"].beyond
    text = comparison_text(found)
    assert "*" not in text
    assert "not independent" in text
    assert "-33.3" in comparison_page(found)


def test_cross_validations_are_pooled(tmp_path: Path) -> None:
    whole = write_run_folder(tmp_path / "whole", answers(FIRST), seconds=5)
    folds = tmp_path / "folds"
    every = answers(SECOND)
    for number, part in enumerate((range(6), range(6, 12)), start=1):
        write_run_folder(folds / f"fold_{number}", every.take(np.array(part)), seconds=2)
    with pytest.raises(OptionsError, match="unfinished cross-validation"):
        compare_runs([whole, folds])
    pooled = json.loads((whole / "scores.json").read_text())
    (folds / "scores.json").write_text(json.dumps({"folds": {}, "pooled": pooled}))
    found = compare_runs([whole, folds])
    assert (found.runs[1].clips, found.runs[1].seconds) == (12, 4)
    (level,) = found.levels
    assert level.metrics[1]["accuracy"].paired
    assert level.metrics[1]["accuracy"].value.value == pytest.approx(8 / 12)


@pytest.mark.parametrize(("count", "number"), [(1, "got 1"), (7, "got 7")])
def test_two_to_six_runs(tmp_path: Path, count: int, number: str) -> None:
    with pytest.raises(OptionsError, match=number):
        compare_runs([tmp_path / str(index) for index in range(count)])


def test_a_run_is_named_once(tmp_path: Path) -> None:
    (first,) = runs(tmp_path, answers(FIRST))
    with pytest.raises(OptionsError, match=r"run_1: is named twice"):
        compare_runs([first, tmp_path / "x" / ".." / "run_1"])


def test_runs_of_the_same_name_get_longer_names(tmp_path: Path) -> None:
    folders = [write_run_folder(tmp_path / x / "run", answers(FIRST)) for x in "ab"]
    assert [run.name for run in compare_runs(folders).runs] == ["a/run", "b/run"]


def test_several_labels_are_refused(tmp_path: Path) -> None:
    multi = predicted(
        (Head("category", CLASSES, "multi"),), [np.eye(3, dtype=int)], [np.eye(3)]
    )  # fmt: skip
    with pytest.raises(OptionsError, match=r"run_2: .*any number of labels"):
        compare_runs(runs(tmp_path, answers(FIRST), multi))


def test_scores_that_cannot_be_read(tmp_path: Path) -> None:
    folders = runs(tmp_path, answers(FIRST), answers(SECOND))
    (folders[1] / "scores.json").write_text("[]")
    with pytest.raises(OptionsError, match=r"run_2.scores\.json cannot be read"):
        compare_runs(folders)


def test_text_fits_80_columns(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    names = ("a class with a very long name that no column holds", "犬の鳴き声", "owl")
    folders = [
        write_run_folder(
            tmp_path / f"a_run_with_a_name_that_no_column_holds_{number}",
            answers(generator.integers(0, 3, 12).tolist(), names=names, prefix="clip" * 20),
        )
        for number in range(6)
    ]
    lines = comparison_text(compare_runs(folders)).splitlines()
    assert max(map(len, lines)) <= 80


def test_the_text_marks_differences_beyond_chance(tmp_path: Path) -> None:
    text = comparison_text(compare_runs(runs(tmp_path, answers(TRUE), answers(SECOND))))
    assert "-33.3  " in text
    assert "only run_1: clip_04.wav (dog, not cat)" in text
    assert "p = 0.125" in text  # four clips lost: 2 / 16
    assert " *" in text


def test_the_page_is_one_file_and_escapes_names(tmp_path: Path) -> None:
    names = ("<script>alert(1)</script>", "dog & co", 'owl"')
    folders = runs(tmp_path, answers(FIRST, names=names), answers(SECOND, names=names))
    page = comparison_page(compare_runs(folders))
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "://" not in page
    assert "src=" not in page
    assert page.count('<svg class="interval') == 4 * 3  # four metrics: two values, a difference
    assert "66.7" in page
    assert "0.833" in page


def test_json_has_all_clips_and_classes(tmp_path: Path) -> None:
    found = comparison_to_json(compare_runs(runs(tmp_path, answers(FIRST), answers(SECOND))))
    assert found["baseline"] == "run_1"
    (level,) = found["levels"]
    first, second = level["metrics"]
    assert first["accuracy"]["difference"] is None
    assert second["accuracy"]["difference"]["value"] == pytest.approx(-1 / 6)
    assert second["accuracy"]["paired"] is True
    assert len(level["outcomes"][0]["lost"]) == 3
    assert [one["label"] for one in level["changes"][0]] == ["dog", "cat", "owl"]
    json.dumps(found, allow_nan=False)


def test_axes_hold_all_intervals() -> None:
    axis = axis_of([Interval(0.5, 0.403, 0.62), Interval(0.7)], limits=(0.0, 1.0))
    assert (axis.low, axis.high) == pytest.approx((0.4, 0.7))
    mark = axis.mark(Interval(0.55, 0.4, 0.7))
    assert (mark.low, mark.at, mark.high) == (4.0, 50.0, 96.0)
    flat = axis_of([Interval(1.0, 1.0, 1.0)], limits=(0.0, 1.0))
    assert flat.low < flat.high


def test_recordings_that_are_not_known_are_not_counted(tmp_path: Path) -> None:
    folders = []
    for name, said, grouped in (("known", FIRST, True), ("unknown", SECOND, False)):
        folder = write_run_folder(tmp_path / name, answers(said))
        write_model(folder / "model.safetensors", card={"training": {"grouped": grouped}})
        folders.append(folder)
    lines = comparison_text(compare_runs(folders)).splitlines()
    assert lines[1].split()[:3] == ["known", "12", "12"]
    assert lines[2].split()[:4] == ["unknown", "12", "not", "known"]
    text = " ".join(" ".join(lines).split())
    assert "intervals by clip, since recordings are not known" in text
    assert "and the recordings are not known" in text
