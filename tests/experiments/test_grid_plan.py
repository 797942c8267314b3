"""The file of a study: its plan, and its issues."""

from __future__ import annotations

from pathlib import Path

import pytest

from sonotype.core.errors import OptionsError
from sonotype.experiments.grid_plan import Plan, Row, Run, read_plan, slug

GOOD = """
title = "Two systems"
note = "Beside it."
data = "esc50"
baseline = "CBIR_4, own"
folds = [2, 1]
seeds = [0, 3]

[options]
recipe = "paper"
epochs = 2
width = 0.25

[rows.cbir_2]
system = "cbir_2"

[rows."cbir_2, category from events"]
of = "cbir_2"
category_source = "events"

[rows."CBIR_4, own"]
system = "cbir_4"
width = 0.5
category_source = "both"
seeds = [7]

[rows."all seeds"]
ensemble = ["cbir_2", "CBIR_4, own"]
category_source = "both"

[rows.split]
folds = []
seeds = [3]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "study.toml"
    path.write_text(text, encoding="utf-8")
    return path


def error_of(folder: Path, text: str) -> str:
    """The error of a file, without its name."""
    path = write(folder, text)
    with pytest.raises(OptionsError) as caught:
        read_plan(path)
    beginning = f"{path}: "
    assert str(caught.value).startswith(beginning)
    return str(caught.value).removeprefix(beginning)


@pytest.fixture
def good(tmp_path: Path) -> Plan:
    return read_plan(write(tmp_path, GOOD))


def test_a_good_file(good: Plan) -> None:
    assert (good.title, good.note, good.data) == ("Two systems", "Beside it.", "esc50")
    assert good.baseline == "CBIR_4, own"
    common = {"recipe": "paper", "epochs": 2}
    assert good.rows == (
        Row("cbir_2", {**common, "width": 0.25, "system": "cbir_2"}, (2, 1), (0, 3)),
        Row(
            "cbir_2, category from events",
            {},
            (2, 1),
            (0, 3),
            of="cbir_2",
            category_source="events",
        ),
        Row(
            "CBIR_4, own",
            {**common, "width": 0.5, "system": "cbir_4", "category_source": "both"},
            (2, 1),
            (7,),
            category_source="both",
        ),
        Row(
            "all seeds",
            {},
            (2, 1),
            (0,),
            category_source="both",
            ensemble=("cbir_2", "CBIR_4, own"),
        ),
        Row("split", {**common, "width": 0.25}, (), (3,)),
    )
    assert [row.trains for row in good.rows] == [True, False, True, False, True]
    assert good.row("split") is good.rows[4]


def test_runs_are_ordered_by_seed_and_fold(good: Plan) -> None:
    """Neighbours share seed and fold, and so cached feature maps; then the rows are in order."""
    assert good.runs() == [
        Run("cbir_2", 1, 0),
        Run("cbir_2", 2, 0),
        Run("split", None, 3),
        Run("cbir_2", 1, 3),
        Run("cbir_2", 2, 3),
        Run("CBIR_4, own", 1, 7),
        Run("CBIR_4, own", 2, 7),
    ]
    folders = [run.folder for run in good.runs()]
    assert folders[2] == "runs/split/split_seed_3"
    assert folders[-1] == "runs/cbir_4-own/fold_2_seed_7"
    assert len(set(folders)) == len(folders)


def test_the_least_file(tmp_path: Path) -> None:
    plan = read_plan(write(tmp_path, "[rows.one]\n[rows.two]\nwidth = 0"))
    assert (plan.title, plan.note, plan.data, plan.baseline) == ("study", "", "", "one")
    # The default recipe reads the category from the events.
    assert plan.rows[0] == Row("one", {}, (), (0,), category_source="events")
    assert plan.runs() == [Run("one", None, 0), Run("two", None, 0)]


@pytest.mark.parametrize(
    ("name", "folder"),
    [("CBIR_2, in full", "cbir_2-in-full"), ("v1.0", "v1.0"), ("ü", "row"), (" a/b ", "a-b")],
)
def test_folders_are_plain(name: str, folder: str) -> None:
    assert slug(name) == folder


SEED = "row 'a': seed is not an option here; set seeds for the study or for a row"
NUMBERS = "a list of whole numbers is needed"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "no rows; write at least one, for example [rows.cbir_2]"),
        ("[rows]", "no rows; write at least one, for example [rows.cbir_2]"),
        ("rows = 3", "rows is 3, a table is needed"),
        ("colour = 1\n[rows.a]", "unknown key colour"),
        ("title = 1\n[rows.a]", "title is 1, a text is needed"),
        ("note = []\n[rows.a]", "note is [], a text is needed"),
        ("data = true\n[rows.a]", "data is True, a text is needed"),
        ("baseline = 1\n[rows.a]", "baseline is 1, a text is needed"),
        ("options = 'x'\n[rows.a]", "options is 'x', a table is needed"),
        ("folds = 4\n[rows.a]", f"folds is 4, {NUMBERS}"),
        ("folds = [1, 1]\n[rows.a]", f"folds is [1, 1], {NUMBERS}"),
        ("folds = [-1]\n[rows.a]", f"folds is [-1], {NUMBERS}"),
        ("seeds = [true]\n[rows.a]", f"seeds is [True], {NUMBERS}"),
        ("seeds = [0.5]\n[rows.a]", f"seeds is [0.5], {NUMBERS}"),
        ("baseline = 'b'\n[rows.a]", "baseline 'b' is not a row"),
        ("[rows]\na = 3", "row 'a': is 3, a table of options is needed"),
        ("[rows.a]\nfolds = 1\nseeds = ['x']", f"row 'a': folds, seeds: {NUMBERS}"),
        ("[rows.a]\nseeds = []", f"row 'a': seeds: {NUMBERS}"),
        ("[rows.a]\nseed = 1", SEED),
        ("[options]\nseed = 1\n[rows.a]", SEED),
        ("[rows.a]\nwidth = 9\nseconds = 0",
         "row 'a': width must be at most 4, got 9; seconds must be at least 1, got 0"),
        ("[rows.a]\n[rows.A]", "rows 'a' and 'A' would share a folder; rename one"),
    ],
)  # fmt: skip
def test_issues(tmp_path: Path, text: str, fault: str) -> None:
    assert error_of(tmp_path, text) == fault


ENSEMBLE = "a list of rows above that have runs is needed"
FOLDS = "the rows of an ensemble must be tested on the same official folds"
HEADS = "the rows of an ensemble must have the same labels"


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("of = 'c'\ncategory_source = 'head'", "of 'c' is not a row above that has runs"),
        ("of = 'b'\ncategory_source = 'head'", "of 'b' is not a row above that has runs"),
        ("of = 'again'\ncategory_source = 'head'", "of 'again' is not a row above that has runs"),
        ("of = 'a'", "of needs category_source"),
        ("of = 'a'\nepochs = 1\nwidth = 0",
         "of allows only category_source; leave out epochs, width"),
        ("of = 'a'\ncategory_source = 'tail'",
         "category_source must be one of head, events, both, got 'tail'"),
        ("of = 'a'\nensemble = ['a']", "has both of and ensemble; leave out one"),
        ("ensemble = 'a'", f"ensemble 'a': {ENSEMBLE}"),
        ("ensemble = []", f"ensemble []: {ENSEMBLE}"),
        ("ensemble = ['a', 'c']", f"ensemble ['a', 'c']: {ENSEMBLE}"),
        ("ensemble = ['a', 'again']", f"ensemble ['a', 'again']: {ENSEMBLE}"),
        ("ensemble = ['a']\nepochs = 1", "ensemble allows only category_source; leave out epochs"),
        ("ensemble = ['a']\ncategory_source = 'x'",
         "category_source must be one of head, events, both, got 'x'"),
        ("ensemble = ['split']", FOLDS),
        ("ensemble = ['a', 'other']", FOLDS),
        ("ensemble = ['a', 'split']", FOLDS),
        ("ensemble = ['a', 'deaf']\ncategory_source = 'head'", HEADS),
        ("ensemble = ['a', 'renamed']", HEADS),
    ],
)  # fmt: skip
def test_issues_of_rows_without_runs(tmp_path: Path, row: str, fault: str) -> None:
    above = """
        folds = [1, 2]
        [rows.a]
        [rows.other]
        folds = [1]
        [rows.split]
        folds = []
        [rows.again]
        of = "a"
        category_source = "head"
        [rows.deaf]
        event_head = false
        [rows.renamed]
        label_set = "msos"
    """
    assert error_of(tmp_path, f"{above}\n[rows.b]\n{row}\n[rows.c]") == f"row 'b': {fault}"


def test_an_unknown_option_is_named_with_those_that_exist(tmp_path: Path) -> None:
    found = error_of(tmp_path, "[rows.a]\ncolour = 3\nsize = 1")
    assert found.startswith("row 'a': unknown options colour, size; there are adapters, ")


def test_all_issues_of_the_keys_at_once(tmp_path: Path) -> None:
    text = "zeal = 1\ntitle = 2\nfolds = 3\ncolour = 4\noptions = 5"
    assert error_of(tmp_path, text) == (
        "unknown key colour; unknown key zeal; title is 2, a text is needed; options is 5, a table "
        f"is needed; folds is 3, {NUMBERS}; no rows; write at least one, for example "
        "[rows.cbir_2]"
    )


def test_all_issues_of_the_rows_at_once(tmp_path: Path) -> None:
    text = """
        [rows.a]
        epochs = 0
        [rows."b c"]
        [rows."b, c"]
        [rows.d]
        of = "a"
        category_source = "head"
        [rows.e]
        seeds = []
    """
    assert error_of(tmp_path, text) == (
        "row 'a': epochs must be at least 1, got 0; "
        "row 'd': of 'a' is not a row above that has runs; "
        f"row 'e': seeds: {NUMBERS}; rows 'b c' and 'b, c' would share a folder; rename one"
    )


def test_no_such_file(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    with pytest.raises(OptionsError, match=r"x\.toml: no such file"):
        read_plan(path)


def test_no_toml(tmp_path: Path) -> None:
    found = error_of(tmp_path, "title =")
    assert found.startswith("is not a readable TOML file (Invalid value")
    (tmp_path / "study.toml").write_bytes(b"title = '\xff'")
    with pytest.raises(OptionsError, match=r"is not a readable TOML file .*utf-8.* can't "):
        read_plan(tmp_path / "study.toml")
    with pytest.raises(OptionsError, match=r"is not a readable TOML file .*Is a directory"):
        read_plan(tmp_path)
