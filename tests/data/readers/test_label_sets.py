"""Several labels of a clip in tables and in class folders."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from soundsets import faults_of, tone, touch, write_table

from sonotype.core.errors import DataError, OptionsError
from sonotype.core.types import Clip, Head
from sonotype.data.manifest import Manifest
from sonotype.data.readers.label_sets import similar_labels, split_labels
from sonotype.data.readers.source import inspect_source, open_source
from sonotype.data.source_options import SourceOptions
from sonotype.data.validate import Rules, check_sounds

Sets = dict[str, tuple[str, ...] | None]


def opened(
    root: Path, lines: str, purpose: str = "crossfit", name: str = "t.csv", **options: Any
) -> Manifest:
    """The manifest of a table; sounds are empty files ``a.wav`` to ``f.wav``."""
    touch(root, *(f"{letter}.wav" for letter in "abcdef"))
    table = write_table(root, lines, name)
    return open_source(table, SourceOptions(**options), purpose=purpose)  # type: ignore[arg-type]


def sets(manifest: Manifest, level: str = "category") -> Sets:
    return {clip.path.stem: clip.labels.get(level) for clip in manifest.clips}


def uncertain(manifest: Manifest) -> dict[str, tuple[str, ...]]:
    return {clip.path.stem: clip.uncertain["category"] for clip in manifest.clips if clip.uncertain}


@pytest.mark.parametrize(
    ("cell", "wanted"),
    [
        ("a", ("a",)),
        (" b ;a;; b;", ("b", "a")),
        ("", ()),
        (" ; ", ()),
        ("a b; c,d", ("a b", "c,d")),
        ("e\u0301;\u00e9", ("\u00e9",)),
    ],
)
def test_cells(cell: str, wanted: tuple[str, ...]) -> None:
    assert split_labels(cell) == wanted


def test_cells_of_several_labels(tmp_path: Path) -> None:
    found = opened(tmp_path, "path,label\na.wav,dog;cat\nb.wav,cat\nc.wav,none\nd.wav,noise ;dog")
    assert sets(found) == {"a": ("dog", "cat"), "b": ("cat",), "c": (), "d": ("dog",)}
    assert found.problem == "multi"
    assert found.heads == (Head("category", ("cat", "dog"), "multi"),)
    assert [found.heads[0].target(clip) for clip in found.clips] == [[1, 1], [1, 0], [0, 0], [0, 1]]


def test_several_rows(tmp_path: Path) -> None:
    lines = "path,label,group\na.wav,dog,g\nb.wav,cat,g\na.wav,cat;owl,g\n./b.wav,dog,g"
    found = opened(tmp_path, lines)
    assert sets(found) == {"a": ("dog", "cat", "owl"), "b": ("cat", "dog")}
    assert [clip.group for clip in found.clips] == ["g", "g"]


def test_rows_that_contradict_or_repeat_each_other(tmp_path: Path) -> None:
    lines = """path,label,group,fold
        a.wav,dog,g,1
        a.wav,cat,h,2
        a.wav,dog,g,1
        b.wav,dog;cat,g,1
        b.wav,cat,g,1
        gone.wav,dog,g,1
        c.wav,,g,1
        ,x,g,1
        ,y,g,x"""
    issues = faults_of(lambda: opened(tmp_path, lines), tmp_path)
    assert [issue.split(": ", 2)[:2] for issue in issues] == [
        ["t.csv:3", "a.wav"],
        ["t.csv:3", "a.wav"],
        ["t.csv:4", "a.wav"],
        ["t.csv:6", "b.wav"],
        ["t.csv:7", "gone.wav"],
        ["t.csv:8", "c.wav"],
        ["t.csv:9", "empty path"],
        ["t.csv:10", "empty path"],
        ["t.csv:10", "the fold has to be a whole number, not 'x'"],
    ]
    assert "group 'h'" in issues[0]
    assert "line 2 has 'g'" in issues[0]
    assert "fold '2'" in issues[1]
    assert "line 2" in issues[2]
    assert "line 5" in issues[3]
    assert "empty category" in issues[5]


def test_one_row_twice_is_an_issue_of_clips_with_one_label(tmp_path: Path) -> None:
    lines = "path,label\na.wav,x\nb.wav,x\nc.wav,y\nd.wav,y\na.wav,x"
    (issue,) = faults_of(lambda: opened(tmp_path, lines), tmp_path)
    assert issue == "t.csv:6: a.wav: the same file as line 2"
    assert opened(tmp_path, lines.rsplit("\n", 1)[0]).problem is None
    empty = "path,label\na.wav,x\nb.wav,x\nc.wav,y\nd.wav,y\n,x\n,y"
    issues = faults_of(lambda: opened(tmp_path, empty), tmp_path)
    assert issues == ["t.csv:6: empty path", "t.csv:7: empty path"]


CLASS_COLUMNS = """path,dog,Cat,owl,fold
    a.wav,1,0,,1
    b.wav,0,1.0,0,1
    c.wav,no,FALSE,0.0,2
    d.wav, yes ,True,,2"""


def test_a_column_for_each_class(tmp_path: Path) -> None:
    found = opened(tmp_path, CLASS_COLUMNS)
    assert sets(found) == {"a": ("dog",), "b": ("Cat",), "c": (), "d": ("dog", "Cat")}
    assert uncertain(found) == {"a": ("owl",), "d": ("owl",)}
    assert found.folds == (1, 2)
    assert [found.heads[0].target(clip) for clip in found.clips] == [[0, 1], [1, 0], [0, 0], [1, 1]]
    more = opened(tmp_path, CLASS_COLUMNS + "\ne.wav,,,1,2")
    assert more.heads[0].classes == ("Cat", "dog", "owl")
    assert more.heads[0].target(more.clips[0]) == [0, 1, -1]
    assert more.heads[0].target(more.clips[4]) == [-1, -1, 1]


def test_class_columns_beside_finer_levels(tmp_path: Path) -> None:
    found = opened(tmp_path, "path,dog,cat,event\na.wav,1,1,bark;meow\nb.wav,0,1,\nc.wav,1,0,bark")
    assert sets(found, "event") == {"a": ("bark", "meow"), "b": None, "c": ("bark",)}
    assert [(head.name, head.problem) for head in found.heads] == [
        ("category", "multi"),
        ("event", "multi"),
    ]


def test_issues_of_class_columns(tmp_path: Path) -> None:
    lines = "path,dog,cat,weight\na.wav,1,0,12\nb.wav,,,7\na.wav,0,0,1\nc.wav,1,1,3"
    issues = faults_of(lambda: opened(tmp_path, lines), tmp_path)
    assert [issue.split(": ")[0] for issue in issues] == ["t.csv:1", "t.csv:3", "t.csv:4"]
    assert "unknown column 'weight'" in issues[0]
    assert "empty category" in issues[1]
    assert "the same file as line 2" in issues[2]
    kept = opened(
        tmp_path,
        lines.replace("b.wav,,", "b.wav,0,").replace("\na.wav,0,0,1", ""),
        ignore_columns=True,
    )
    assert sets(kept) == {"a": ("dog",), "b": (), "c": ("dog", "cat")}


def test_columns_with_another_meaning_are_no_classes(tmp_path: Path) -> None:
    found = opened(tmp_path, "path,label,fold\na.wav,1,0\nb.wav,0,1\nc.wav,1,1\nd.wav,0,0")
    assert found.problem is None
    assert sets(found) == {"a": ("1",), "b": ("0",), "c": ("1",), "d": ("0",)}
    assert found.folds == (0, 1)


def test_parquet(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav", "b.wav", "c.wav")
    columns = {"path": ["a.wav", "b.wav", "c.wav"], "dog": [1, 0, None], "cat": [True, False, True]}
    pd.DataFrame(columns).to_parquet(tmp_path / "t.parquet")
    found = open_source(tmp_path / "t.parquet", purpose="evaluation")
    assert sets(found) == {"a": ("dog", "cat"), "b": (), "c": ("cat",)}
    assert uncertain(found) == {"c": ("dog",)}
    columns = {"path": ["a.wav", "b.wav", "a.wav"], "label": ["dog;cat", "none", "owl"]}
    pd.DataFrame(columns).to_parquet(tmp_path / "t.parquet")
    found = open_source(tmp_path / "t.parquet", purpose="evaluation")
    assert sets(found) == {"a": ("dog", "cat", "owl"), "b": ()}


def test_the_problem_can_be_chosen(tmp_path: Path) -> None:
    lines = "path,label\na.wav,dog;cat\nb.wav,dog;cat\nc.wav,dog\nd.wav,dog"
    single = opened(tmp_path, lines, problem="single")
    assert single.problem is None
    assert single.heads == (Head("category", ("dog", "dog;cat")),)
    one_each = "path,label\na.wav,dog\nb.wav,dog\nc.wav,cat\nd.wav,none"
    assert opened(tmp_path, one_each).heads[0].problem == "single"
    multi = opened(tmp_path, one_each, problem="multi")
    assert multi.heads == (Head("category", ("cat", "dog"), "multi"),)
    assert sets(multi)["d"] == ()
    rows = "path,label\na.wav,dog\na.wav,cat\nb.wav,dog\nc.wav,cat"
    (issue,) = faults_of(lambda: opened(tmp_path, rows, problem="single"), tmp_path)
    assert "the same file as line 2" in issue
    issues = faults_of(lambda: opened(tmp_path, CLASS_COLUMNS, problem="single"), tmp_path)
    assert "no column for the category" in issues[0]


@pytest.mark.parametrize("purpose", ["training", "crossfit", "evaluation"])
def test_class_folders_of_several_labels(tmp_path: Path, purpose: str) -> None:
    touch(tmp_path, "dog/a.wav", "dog/b.wav", "cat/c.wav", "cat/d.wav", "noise/e.wav")
    found = open_source(tmp_path, SourceOptions(problem="multi"), purpose=purpose)  # type: ignore[arg-type]
    assert sets(found) == {"a": ("dog",), "b": ("dog",), "c": ("cat",), "d": ("cat",), "e": ()}
    assert found.heads == (Head("category", ("cat", "dog"), "multi"),)


def test_classes_with_one_clip(tmp_path: Path) -> None:
    lines = "path,label,event\na.wav,dog;owl,x\nb.wav,dog,x;y\nc.wav,noise,"
    for purpose in ("crossfit", "evaluation"):
        assert len(opened(tmp_path, lines, purpose).clips) == 3
    issues = faults_of(lambda: opened(tmp_path, lines, "training"), tmp_path)
    assert len(issues) == 2
    assert issues[0].startswith("t.csv:2: a.wav: category 'owl' has this one clip only")
    assert issues[1].startswith("t.csv:3: b.wav: event 'y' has this one clip only")


@pytest.mark.parametrize(
    "options", [{"rare_events": "unlabel"}, {"qualify_events": True}], ids=lambda x: next(iter(x))
)
def test_rules_for_one_label_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    flag = "--" + next(iter(options)).replace("_", "-")
    with pytest.raises(OptionsError, match=flag):
        opened(tmp_path, "path,label,event\na.wav,x;y,e\nb.wav,x,f", **options)


def test_similar_labels(tmp_path: Path) -> None:
    lines = "path,label,event\na.wav,Dog;cat,dog\nb.wav,dog,cat\nc.wav,c at;bird,x\nd.wav,none,None"
    issues = faults_of(lambda: opened(tmp_path, lines), tmp_path)
    assert len(issues) == 2
    for issue, facts in zip(
        issues, (("'Dog' (line 2)", "'dog' (line 3)"), ("'cat' (line 2)", "'c at' (line 4)")),
        strict=True,
    ):  # fmt: skip
        assert all(fact in issue for fact in facts)
    assert similar_labels({"a": "line 2", "b": "line 3"}) == []


def test_no_class_at_all(tmp_path: Path) -> None:
    (issue,) = faults_of(
        lambda: opened(tmp_path, "path,label\na.wav,none;noise\nb.wav,none"), tmp_path
    )
    assert "no clip has a class" in issue
    found = opened(tmp_path, "path,label,event\na.wav,x;y,none\nb.wav,x,none")
    assert [head.name for head in found.heads] == ["category"]


def test_negative_names_that_a_model_knows_are_classes(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav", "b.wav")
    table = write_table(tmp_path, "path,label\na.wav,noise;dog\nb.wav,none")
    found = open_source(table, purpose="evaluation", classes=("noise", "dog"))
    assert sets(found) == {"a": ("noise", "dog"), "b": ()}


def test_one_class_is_enough(tmp_path: Path) -> None:
    found = opened(tmp_path, "path,dog\na.wav,1\nb.wav,0\nc.wav,1")
    assert found.heads == (Head("category", ("dog",), "multi"),)


def test_copies_with_other_labels(tmp_path: Path) -> None:
    tone(tmp_path / "a.wav")
    for name in "bc":
        shutil.copy(tmp_path / "a.wav", tmp_path / f"{name}.wav")
    same = write_table(tmp_path, "path,label\na.wav,x;y\nb.wav,y;x\nc.wav,x;y")
    for found in (inspect_source(same), check_sounds(open_source(same, purpose="crossfit"))):
        assert found.copies == 2
        assert {clip.group for clip in found.clips} == {"a.wav"}
    other = write_table(tmp_path, "path,label\na.wav,x;y\nb.wav,y", "u.csv")
    manifest = open_source(other, purpose="crossfit")
    for read in (
        partial(inspect_source, other, purpose="crossfit"),
        lambda: check_sounds(manifest),
    ):
        (issue,) = faults_of(read, tmp_path)
        assert "b.wav: the same sound as a.wav" in issue
        assert "'x;y', not 'y'" in issue
    columns = write_table(tmp_path, "path,x,y\na.wav,1,1\nb.wav,1,\nc.wav,1,1", "v.csv")
    assert inspect_source(columns).copies == 2  # y is not known in b.wav


def test_rules_choose_the_problem() -> None:
    assert SourceOptions(problem="multi").rules("evaluation") == Rules(
        "evaluation", problem="multi"
    )
    assert [
        SourceOptions(problem=x).windows(2, 0).problem for x in ("auto", "single", "multi")
    ] == [  # type: ignore[arg-type]
        "multi",
        "single",
        "multi",
    ]


def test_a_negative_clip_of_class_folders_for_a_model_of_several_labels() -> None:
    clip = Clip(Path("noise.wav"), {}, "", None)
    assert Head("category", ("a", "b"), "multi").target(clip) == [0, 0]


def test_a_wrong_cell_of_a_class_column_is_named(tmp_path: Path) -> None:
    lines = "path,dog,cat\na.wav,1,0\nb.wav,0,maybe\nc.wav,1,1\nd.wav,0,"
    with pytest.raises(DataError) as caught:
        opened(tmp_path, lines)
    assert any("'cat' has 'maybe' (line 3)" in issue.cause for issue in caught.value.issues)
    found = opened(tmp_path, lines, ignore_columns=True)
    assert sets(found) == {"a": ("dog",), "b": (), "c": ("dog",), "d": ()}
