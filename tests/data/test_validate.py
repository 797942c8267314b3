from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from soundsets import faults_of, tone, touch

from sonotype.core.errors import DataError, OptionsError
from sonotype.data.readers.folder import read_folder
from sonotype.data.records import ClipRecord, Listing
from sonotype.data.validate import RARE_EVENTS, Rules, check_sounds, parse_fold, validate

ALONE = "has this one clip only; training and test need at least two"


def listing(root: Path, *rows: tuple[str, str, str]) -> Listing:
    """Rows of path, category and event; the files are there."""
    touch(root, *(name for name, _, _ in rows))
    return Listing(
        root, "made", tuple(ClipRecord(root / name, tuple(labels)) for name, *labels in rows)
    )


def test_one_clip_classes(tmp_path: Path) -> None:
    made = listing(
        tmp_path,
        ("1.wav", "a", "x"),
        ("2.wav", "a", "x"),
        ("3.wav", "a", "y"),
        ("4.wav", "b", "z"),
    )
    assert faults_of(lambda: validate(made), tmp_path) == [
        f"3.wav: event 'y' {ALONE} (--rare-events unlabel keeps such clips for their category)",
        f"4.wav: category 'b' {ALONE}",
    ]


def test_a_negative_may_be_alone(tmp_path: Path) -> None:
    rows = (("1.wav", "a", ""), ("2.wav", "a", ""), ("3.wav", "b", ""), ("4.wav", "b", ""))
    manifest = validate(listing(tmp_path, *rows, ("5.wav", "_background_noise_", "")))
    assert [head.classes for head in manifest.heads] == [("a", "b")]
    assert [dict(clip.labels) for clip in manifest.clips][-1] == {}
    foreign = listing(tmp_path, *rows[:2], ("5.wav", "noise", ""), ("6.wav", "noise", ""))
    faults = faults_of(lambda: validate(foreign), tmp_path)
    assert len(faults) == 1
    assert "only one category, 'a'" in faults[0]


def test_a_single_class_beside_negatives_is_for_linear_heads(tmp_path: Path) -> None:
    rows = (("1.wav", "a", ""), ("2.wav", "a", ""), ("5.wav", "noise", ""))
    manifest = validate(listing(tmp_path, *rows), Rules(purpose="crossfit"))
    assert [head.classes for head in manifest.heads] == [("a",)]


def test_a_class_of_the_model_is_no_negative(tmp_path: Path) -> None:
    rows = (("1.wav", "a", ""), ("2.wav", "noise", ""))
    rules = Rules(purpose="evaluation", classes=frozenset({"a", "noise"}))
    manifest = validate(listing(tmp_path, *rows), rules)
    assert [clip.label("category") for clip in manifest.clips] == ["a", "noise"]


def test_rare_events_lose_their_label(tmp_path: Path) -> None:
    made = listing(
        tmp_path,
        ("1.wav", "a", "x"),
        ("2.wav", "a", "x"),
        ("3.wav", "b", "y"),
        ("4.wav", "b", "z"),
        ("5.wav", "b", "w"),
        ("6.wav", "b", "w"),
    )
    manifest = validate(made, Rules(rare_events="unlabel"))
    assert [clip.label("event") for clip in manifest.clips] == ["x", "x", None, None, "w", "w"]


ONE_EVENT = "only one event, 'x'; give two or more, or leave the event out"


def test_a_single_event_teaches_nothing(tmp_path: Path) -> None:
    made = listing(
        tmp_path,
        ("1.wav", "a", "x"),
        ("2.wav", "a", "x"),
        ("3.wav", "b", ""),
        ("4.wav", "b", ""),
    )
    assert faults_of(lambda: validate(made), tmp_path) == [f"{tmp_path}: {ONE_EVENT}"]
    assert validate(made, Rules("evaluation")).heads[1].classes == ("x",)


def test_a_single_event_may_be_what_is_left_of_rare_ones(tmp_path: Path) -> None:
    rows = (("1.wav", "a", "x"), ("2.wav", "a", "x"), ("3.wav", "b", "y"), ("4.wav", "b", "z"))
    made, rules = listing(tmp_path, *rows), Rules(rare_events="unlabel")
    assert faults_of(lambda: validate(made, rules), tmp_path) == [f"{tmp_path}: {ONE_EVENT}"]
    none_left = listing(tmp_path, ("1.wav", "a", "x"), ("2.wav", "a", ""), *rows[2:])
    assert len(validate(none_left, rules).heads) == 1


def test_evaluation_takes_one_clip_of_one_category(tmp_path: Path) -> None:
    made = listing(tmp_path, ("1.wav", "a", "x"))
    assert len(validate(made, Rules("evaluation")).clips) == 1
    assert faults_of(lambda: validate(made), tmp_path) == [
        f"{tmp_path}: only one category, 'a'; a classifier needs at least two",
        f"{tmp_path}: only one event, 'x'; give two or more, or leave the event out",
        f"1.wav: category 'a' {ALONE}",
    ]


def test_no_clips(tmp_path: Path) -> None:
    for rules in (Rules(), Rules("evaluation")):
        with pytest.raises(DataError) as caught:
            validate(Listing(tmp_path, "made", ()), rules)
        assert str(caught.value) == f"{tmp_path}: 1 issue\n  {tmp_path}: no clips"


def shared_event(root: Path) -> Listing:
    return listing(
        root,
        ("1.wav", "a", "x"),
        ("2.wav", "a", "x"),
        ("3.wav", "b", "x"),
        ("4.wav", "b", "x"),
        ("5.wav", "b", "y"),
        ("6.wav", "b", "y"),
    )


def test_event_under_two_categories(tmp_path: Path) -> None:
    assert faults_of(lambda: validate(shared_event(tmp_path)), tmp_path) == [
        (
            "3.wav: event 'x' is under 2 categories: a (1.wav); b (3.wav); rename it, or pass "
            "--qualify-events to call them a/x and b/x"
        )
    ]


def test_qualified_events(tmp_path: Path) -> None:
    manifest = validate(shared_event(tmp_path), Rules(qualify_events=True))
    assert manifest.heads[1].classes == ("a/x", "b/x", "y")
    assert manifest.heads[1].parent_index == (0, 1, 1)


def test_one_file_in_two_places(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.wav", "a/2.wav", "b/2.wav", "b/3.wav")
    (tmp_path / "b/link.wav").symlink_to(tmp_path / "a/1.wav")
    (tmp_path / "b/wav.wav").symlink_to("link.wav")
    assert faults_of(lambda: read_folder(tmp_path), tmp_path) == [
        "b/link.wav: the same file as a/1.wav",
        "b/wav.wav: the same file as a/1.wav",
    ]


@pytest.mark.parametrize("name", ["\ud800.wav", "\0.wav", "x" * 300 + ".wav"])
def test_a_name_that_no_file_has(tmp_path: Path, name: str) -> None:
    made = listing(tmp_path, *((f"{number}.wav", "ab"[number // 2], "") for number in range(4)))
    wrong = ClipRecord(tmp_path / name, ("a", ""))
    made = Listing(tmp_path, "made", (*made.records, wrong))
    issues = faults_of(lambda: validate(made), tmp_path)
    cause = "not a file name" if "\0" in name else "no such file"
    assert [issue.rpartition(": ")[2] for issue in issues] == [cause]


def test_names_that_differ_in_case_are_two_files_where_they_are(tmp_path: Path) -> None:
    made = listing(
        tmp_path, ("a.wav", "x", ""), ("A.wav", "x", ""), ("b.wav", "y", ""), ("B.wav", "y", "")
    )
    if len(list(tmp_path.iterdir())) < 4:  # a file system that does not tell them apart
        assert len(faults_of(lambda: validate(made), tmp_path)) == 2
    else:
        assert len(validate(made).clips) == 4


def test_names_that_are_no_text(tmp_path: Path) -> None:
    made = listing(tmp_path, ("1.wav", "a\udce4", ""), ("2.wav", "a\udce4", ""))
    made = Listing(
        tmp_path, "made", (*made.records, ClipRecord(Path("a\0.wav"), ("b",)), made.records[0])
    )
    issues = faults_of(lambda: validate(made), tmp_path)
    assert "1.wav: the label 'a\\udce4' is not valid text; rename it" in issues
    assert "a\0.wav: not a file name" in issues


def test_message_names_everything_at_once(tmp_path: Path) -> None:
    rows = tuple(ClipRecord(tmp_path / f"{n:02}.wav", tuple("ab"[n % 2])) for n in range(30))
    with pytest.raises(DataError) as caught:
        validate(Listing(tmp_path, "made", rows))
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{tmp_path}: 30 issues"
    assert lines[1] == f"  {tmp_path}/00.wav: no such file"
    assert lines[-1] == "  ... and 10 more"
    assert len(caught.value.issues) == 30


def test_rules_are_checked() -> None:
    with pytest.raises(OptionsError) as caught:
        Rules(rare_events="drop")
    assert str(caught.value) == "--rare-events drop: has to be one of error, unlabel"
    assert [Rules(rare_events=name).rare_events for name in RARE_EVENTS] == ["error", "unlabel"]


@pytest.mark.parametrize(
    ("text", "fold"),
    [("", None), (" ", None), ("3", 3), (" 3 ", 3), ("2.0", 2), ("0", 0), ("-1", -1)],
)
def test_parse_fold(text: str, fold: int | None) -> None:
    assert parse_fold(text) == fold


@pytest.mark.parametrize("text", ["one", "1.5", "1e3", "1,0", "nan", "."])
def test_parse_fold_refuses(text: str) -> None:
    with pytest.raises(ValueError):
        parse_fold(text)


def test_check_sounds(tmp_path: Path) -> None:
    for name in ("a/1.wav", "a/2.wav", "b/3.wav"):
        tone(tmp_path / name)
    (tmp_path / "b/4.wav").write_text("no sound")
    touch(tmp_path, "b/5.wav")
    soundfile.write(tmp_path / "b/6.wav", np.zeros(0), 8000)
    soundfile.write(tmp_path / "b/7.wav", np.full(9, np.nan), 8000, subtype="FLOAT")
    tone(tmp_path / "b/8.wav")
    (tmp_path / "b/8.wav").write_bytes((tmp_path / "b/8.wav").read_bytes()[:244])
    issues = faults_of(lambda: check_sounds(read_folder(tmp_path)), tmp_path)
    assert issues[1:] == [
        "b/5.wav: is empty (0 bytes)",
        "b/6.wav: holds no samples",
        "b/7.wav: holds values that are no numbers (NaN or infinite)",
        "b/8.wav: is truncated (200 of 800 bytes are there)",
    ]
    assert issues[0].startswith("b/4.wav: is not a readable sound (Format not recognised); ")
    for name in ("4", "5", "6", "7", "8"):
        (tmp_path / f"b/{name}.wav").unlink()
    tone(tmp_path / "b/4.wav")
    check_sounds(read_folder(tmp_path))
