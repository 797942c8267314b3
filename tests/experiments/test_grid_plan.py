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
    narrow = {**common, "width": 0.25}
    assert good.rows == (
        Row(name="cbir_2", options=narrow | {"system": "cbir_2"}, folds=(2, 1), seeds=(0, 3)),
        Row(
            name="cbir_2, category from events",
            folds=(2, 1),
            seeds=(0, 3),
            of="cbir_2",
            category_source="events",
        ),
        Row(
            name="CBIR_4, own",
            options={**common, "width": 0.5, "system": "cbir_4", "category_source": "both"},
            folds=(2, 1),
            seeds=(7,),
            category_source="both",
        ),
        Row(
            name="all seeds",
            folds=(2, 1),
            category_source="both",
            ensemble=("cbir_2", "CBIR_4, own"),
        ),
        Row(name="split", options=narrow, seeds=(3,)),
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
    assert plan.rows[0] == Row(name="one", category_source="events")
    assert plan.runs() == [Run("one", None, 0), Run("two", None, 0)]


@pytest.mark.parametrize(
    ("name", "folder"),
    [("CBIR_2, in full", "cbir_2-in-full"), ("v1.0", "v1.0"), ("ü", "row"), (" a/b ", "a-b")],
)
def test_folders_are_plain(name: str, folder: str) -> None:
    assert slug(name) == folder


SEED = "row 'a': seed is not an option here; set seeds for the study or for a row"
SEEDS = "row 'a': seeds or folds repeat a number, or seeds is empty"
NO_ROWS = "no rows; write at least one, for example [rows.cbir_2]"
TRAINED = "a list of rows above that have runs is needed"
FOLDS = "the rows of an ensemble must be tested on the same official folds"
HEADS = "the rows of an ensemble must have the same labels"
OWN = "a row without runs has no folds, seeds or teachers"
HEAD = "category_source = 'head'"


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("", NO_ROWS),
        ("[rows]", NO_ROWS),
        ("rows = 3", "rows must be of type dict, got 3"),
        ("colour = 1\n[rows.a]", "unknown key colour"),
        ("title = 1\n[rows.a]", "title must be of type str, got 1"),
        ("note = []\n[rows.a]", "note must be of type str, got ()"),
        ("data = true\n[rows.a]", "data must be of type str, got True"),
        ("baseline = 1\n[rows.a]", "baseline must be of type str, got 1"),
        ("options = 'x'\n[rows.a]", "options must be of type dict, got 'x'"),
        ("folds = 4\n[rows.a]", "folds must be a list, got 4"),
        ("folds = [1, 1]\n[rows.a]", SEEDS),
        ("folds = [-1]\n[rows.a]", "folds must be at least 0, got (-1,)"),
        ("seeds = [true]\n[rows.a]", "seeds must be of type int, got (True,)"),
        ("seeds = [0.5]\n[rows.a]", "seeds must be of type int, got (0.5,)"),
        ("baseline = 'b'\n[rows.a]", "baseline 'b' is not a row"),
        ("[rows]\na = 3", "row 'a': is 3, a table of options is needed"),
        ("[rows.a]\nfolds = 1\nseeds = ['x']",
         "row 'a': folds must be a list, got 1; seeds must be of type int, got ('x',)"),
        ("[rows.a]\nseeds = []", SEEDS),
        ("[rows.a]\nseed = 1", SEED),
        ("[options]\nseed = 1\n[rows.a]", SEED),
        ("[rows.a]\nwidth = 9\nseconds = 61",
         "row 'a': width must be at most 4, got 9; seconds must be at most 60, got 61"),
        ("[rows.a]\n[rows.A]", "row 'A': would share a folder with row 'a'; rename one"),
        ("[rows.a]\ncolour = 3\nsize = 1", "row 'a': unknown options colour, size; known "),
        ("zeal = 1\ntitle = 2\nfolds = 3\ncolour = 4\noptions = 5",
         ("unknown key colour; unknown key zeal; title must be of type str, got 2; folds must be a "
         "list, got 3; options must be of type dict, got 5")),
        ("colour = 1\nbaseline = 'q'\n[rows.a]\nepochs = 0\n[rows.'b c']\n[rows.'b, c']",
         ("unknown key colour; row 'a': epochs must be at least 1, got 0; row 'b, c': would share "
         "a folder with row 'b c'; rename one; baseline 'q' is not a row")),
    ],
)  # fmt: skip
def test_issues(tmp_path: Path, text: str, fact: str) -> None:
    assert error_of(tmp_path, text).startswith(fact)


@pytest.mark.parametrize(
    ("row", "fact"),
    [
        (f"of = 'c'\n{HEAD}", f"of 'c': {TRAINED}"),
        (f"of = 'b'\n{HEAD}", f"of 'b': {TRAINED}"),
        (f"of = ['a']\n{HEAD}", "of must be of type str"),
        (f"of = 'again'\n{HEAD}", f"of 'again': {TRAINED}"),
        ("of = 'a'", "of needs category_source"),
        ("of = 'a'\nepochs = 1\nwidth = 0",
         "of allows only category_source; leave out epochs, width"),
        ("of = 'a'\ncategory_source = 'tail'",
         "category_source must be one of head, events, both, got 'tail'"),
        ("of = 'a'\nensemble = ['a']", "has both of and ensemble; leave out one"),
        (f"of = 'a'\n{HEAD}\nfolds = [2]", OWN),
        ("ensemble = 'a'", "ensemble must be a list"),
        ("ensemble = [['a']]", "ensemble must be of type str"),
        ("ensemble = []", f"ensemble []: {TRAINED}"),
        ("ensemble = ['a', 'c']", f"ensemble ['a', 'c']: {TRAINED}"),
        ("ensemble = ['a', 'again']", f"ensemble ['a', 'again']: {TRAINED}"),
        ("ensemble = ['a']\nseeds = [7]", OWN),
        ("ensemble = ['a']\nteachers = ['a']", OWN),
        ("ensemble = ['a']\nepochs = 1", "ensemble allows only category_source; leave out epochs"),
        ("ensemble = ['a']\ncategory_source = 'x'",
         "category_source must be one of head, events, both, got 'x'"),
        ("ensemble = ['a', 'head']", "ensemble needs category_source; it is events and head"),
        ("ensemble = ['split']", FOLDS),
        ("ensemble = ['a', 'other']", FOLDS),
        ("ensemble = ['a', 'split']", FOLDS),
        (f"ensemble = ['a', 'deaf']\n{HEAD}", HEADS),
        ("ensemble = ['a', 'renamed']", HEADS),
        ("teachers = ['c']", f"teachers ['c']: {TRAINED}"),
        ("teachers = ['b']", f"teachers ['b']: {TRAINED}"),
        ("teachers = ['again']", f"teachers ['again']: {TRAINED}"),
        ("teachers = 'a'", "teachers must be a list"),
        ("teachers = [['a']]", "teachers must be of type str"),
        ("select_on = 'test'", "folds and draws are split without options; leave out select_on"),
        ("test_folds = [2]", "folds and draws are split without options; leave out test_folds"),
    ],
)  # fmt: skip
def test_issues_of_a_row(tmp_path: Path, row: str, fact: str) -> None:
    above = f"""
        folds = [1, 2]
        [rows.a]
        [rows.other]
        folds = [1]
        [rows.split]
        folds = []
        [rows.again]
        of = "a"
        {HEAD}
        [rows.deaf]
        event_head = false
        [rows.renamed]
        label_set = "msos"
        [rows.head]
        {HEAD}
    """
    found = error_of(tmp_path, f"{above}\n[rows.b]\n{row}\n[rows.c]")
    assert found.startswith(f"row 'b': {fact}")
    assert "row 'c'" not in found


def test_an_ensemble_reads_the_category_as_its_members(tmp_path: Path) -> None:
    rows = "folds = [1]\n[rows.a]\n[rows.b]\ncategory_source = 'head'\n[rows.c]\nensemble = ['a']"
    plan = read_plan(write(tmp_path, rows))
    assert [row.category_source for row in plan.rows] == ["events", "head", "events"]


def test_paths_start_at_the_working_directory_or_the_folder_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("here/more", "here/data", "study/more", "study/x.safetensors"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    rows = "[rows.a]\nbackbone = 'x.safetensors'\nunlabelled = ['more', 'none']\nteachers = ['t']"
    text = f"data = 'data'\n[rows.t]\n{rows}"
    plan = read_plan(write(tmp_path / "study", text))
    beside = str(tmp_path / "study" / "x.safetensors")
    found = plan.rows[1].options
    assert (plan.data, found["backbone"], found["unlabelled"]) == ("data", beside, ["more", "none"])


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
