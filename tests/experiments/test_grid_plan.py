"""A study's file: what it says, and every fault of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sonotype.core.errors import OptionsError
from sonotype.experiments.grid_plan import Plan, PlannedRun, Row, read_plan, slug

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


def fault_of(folder: Path, text: str) -> str:
    """What is said of a file, without its name."""
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


def test_cells_of_rows_that_train_by_seed_and_fold(good: Plan) -> None:
    """Neighbours share seed and fold, and so the maps; within these they stand as the rows do."""
    assert good.planned_runs() == [
        PlannedRun("cbir_2", 1, 0),
        PlannedRun("cbir_2", 2, 0),
        PlannedRun("split", None, 3),
        PlannedRun("cbir_2", 1, 3),
        PlannedRun("cbir_2", 2, 3),
        PlannedRun("CBIR_4, own", 1, 7),
        PlannedRun("CBIR_4, own", 2, 7),
    ]
    folders = [planned.folder for planned in good.planned_runs()]
    assert folders[2] == "runs/split/split_seed_3"
    assert folders[-1] == "runs/cbir_4-own/fold_2_seed_7"
    assert len(set(folders)) == len(folders)


def test_the_least_file(tmp_path: Path) -> None:
    plan = read_plan(write(tmp_path, "[rows.one]\n[rows.two]\nwidth = 0"))
    assert (plan.title, plan.note, plan.data, plan.baseline) == ("study", "", "", "one")
    # The recipe that is meant where none is named reads the category from the events.
    assert plan.rows[0] == Row("one", {}, (), (0,), category_source="events")
    assert plan.planned_runs() == [PlannedRun("one", None, 0), PlannedRun("two", None, 0)]


@pytest.mark.parametrize(
    ("name", "folder"),
    [("CBIR_2, in full", "cbir_2-in-full"), ("v1.0", "v1.0"), ("ü", "row"), (" a/b ", "a-b")],
)
def test_folders_are_plain(name: str, folder: str) -> None:
    assert slug(name) == folder


NUMBERS = "a list of whole numbers is wanted"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "there are no rows; write at least one, as in [rows.cbir_2]"),
        ("[rows]", "there are no rows; write at least one, as in [rows.cbir_2]"),
        ("rows = 3", "rows is 3, a table is wanted"),
        ("colour = 1\n[rows.a]", "unknown key colour"),
        ("title = 1\n[rows.a]", "title is 1, a text is wanted"),
        ("note = []\n[rows.a]", "note is [], a text is wanted"),
        ("data = true\n[rows.a]", "data is True, a text is wanted"),
        ("baseline = 1\n[rows.a]", "baseline is 1, a text is wanted"),
        ("options = 'x'\n[rows.a]", "options is 'x', a table is wanted"),
        ("folds = 4\n[rows.a]", f"folds is 4, {NUMBERS}"),
        ("folds = [1, 1]\n[rows.a]", f"folds is [1, 1], {NUMBERS}"),
        ("folds = [-1]\n[rows.a]", f"folds is [-1], {NUMBERS}"),
        ("seeds = [true]\n[rows.a]", f"seeds is [True], {NUMBERS}"),
        ("seeds = [0.5]\n[rows.a]", f"seeds is [0.5], {NUMBERS}"),
        ("baseline = 'b'\n[rows.a]", "baseline 'b' is no row"),
        ("[rows]\na = 3", "row 'a': is 3, a table of options is wanted"),
        ("[rows.a]\nfolds = 1\nseeds = ['x']", f"row 'a': folds, seeds: {NUMBERS}"),
        ("[rows.a]\nseeds = []", f"row 'a': seeds: {NUMBERS}"),
        ("[rows.a]\nseed = 1", "row 'a': seed is told by seeds, for the whole study or for a row"),
        ("[options]\nseed = 1\n[rows.a]",
         "row 'a': seed is told by seeds, for the whole study or for a row"),
        ("[rows.a]\nwidth = 9\nseconds = 0",
         "row 'a': width must be at most 4, got 9; seconds must be at least 1, got 0"),
        ("[rows.a]\n[rows.A]", "rows 'a' and 'A' would share a folder; rename one"),
    ],
)  # fmt: skip
def test_faults(tmp_path: Path, text: str, fault: str) -> None:
    assert fault_of(tmp_path, text) == fault


ENSEMBLE = "a list of rows above that train is wanted"
FOLDS = "the rows of an ensemble have to be tested on the same official folds"
HEADS = "the rows of an ensemble have to answer with the same labels"


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("of = 'c'\ncategory_from = 'head'", "of 'c' is no row above that trains"),
        ("of = 'b'\ncategory_from = 'head'", "of 'b' is no row above that trains"),
        ("of = 'again'\ncategory_from = 'head'", "of 'again' is no row above that trains"),
        ("of = 'a'", "of goes with category_source alone"),
        ("of = 'a'\nepochs = 1\nwidth = 0",
         "of goes with category_source alone, not with epochs, width"),
        ("of = 'a'\ncategory_from = 'tail'",
         "category_source must be one of head, events, both, got 'tail'"),
        ("of = 'a'\nensemble = ['a']", "has of and ensemble; one row is one of the two"),
        ("ensemble = 'a'", f"ensemble 'a': {ENSEMBLE}"),
        ("ensemble = []", f"ensemble []: {ENSEMBLE}"),
        ("ensemble = ['a', 'c']", f"ensemble ['a', 'c']: {ENSEMBLE}"),
        ("ensemble = ['a', 'again']", f"ensemble ['a', 'again']: {ENSEMBLE}"),
        ("ensemble = ['a']\nepochs = 1", "ensemble goes with category_source, not epochs"),
        ("ensemble = ['a']\ncategory_from = 'x'",
         "category_source must be one of head, events, both, got 'x'"),
        ("ensemble = ['split']", FOLDS),
        ("ensemble = ['a', 'other']", FOLDS),
        ("ensemble = ['a', 'split']", FOLDS),
        ("ensemble = ['a', 'deaf']\ncategory_from = 'head'", HEADS),
        ("ensemble = ['a', 'renamed']", HEADS),
    ],
)  # fmt: skip
def test_faults_of_rows_that_do_not_train(tmp_path: Path, row: str, fault: str) -> None:
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
    assert fault_of(tmp_path, f"{above}\n[rows.b]\n{row}\n[rows.c]") == f"row 'b': {fault}"


def test_an_unknown_option_is_named_with_those_that_exist(tmp_path: Path) -> None:
    found = fault_of(tmp_path, "[rows.a]\ncolour = 3\nsize = 1")
    assert found.startswith("row 'a': unknown options colour, size; there are adapters, average, ")


def test_all_faults_of_the_keys_at_once(tmp_path: Path) -> None:
    text = "zeal = 1\ntitle = 2\nfolds = 3\ncolour = 4\noptions = 5"
    assert fault_of(tmp_path, text) == (
        "unknown key colour; unknown key zeal; title is 2, a text is wanted; options is 5, a table "
        f"is wanted; folds is 3, {NUMBERS}; there are no rows; write at least one, as in "
        "[rows.cbir_2]"
    )


def test_all_faults_of_the_rows_at_once(tmp_path: Path) -> None:
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
    assert fault_of(tmp_path, text) == (
        "row 'a': epochs must be at least 1, got 0; row 'd': of 'a' is no row above that trains; "
        f"row 'e': seeds: {NUMBERS}; rows 'b c' and 'b, c' would share a folder; rename one"
    )


def test_no_such_file(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    with pytest.raises(OptionsError) as caught:
        read_plan(path)
    assert str(caught.value) == f"{path}: there is no such file; a study is a TOML file"


def test_no_toml(tmp_path: Path) -> None:
    found = fault_of(tmp_path, "title =")
    assert found.startswith("is no TOML file that can be read (Invalid value")
    (tmp_path / "study.toml").write_bytes(b"title = '\xff'")
    with pytest.raises(OptionsError, match=r"is no TOML file that can be read .*utf-8.* can't "):
        read_plan(tmp_path / "study.toml")
    with pytest.raises(OptionsError, match=r"is no TOML file that can be read .*Is a directory"):
        read_plan(tmp_path)
