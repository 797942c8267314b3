"""Rows with teachers: the order of the runs, their teachers, and wrong plans."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from training_data import FOLDED as OPTIONS

from sonotype.core.errors import OptionsError, SonotypeError
from sonotype.experiments.grid import run_study
from sonotype.experiments.grid_plan import Plan, read_plan
from sonotype.experiments.grid_table import collect

STUDENT = {"recipe": "student", "backbone": "compact", "width": 0, "pooling": "mean"}


def plan_of(path: Path, rows: str) -> Plan:
    options = "\n".join(f"{k} = {json.dumps(v)}" for k, v in OPTIONS.items())
    path.write_text(f'title = "Taught"\nfolds = [1, 2]\n[options]\n{options}\n{rows}')
    return read_plan(path)


def teachers(one: str = "") -> str:
    return "\n".join(
        f"[rows.{name}]\nfolds = []\ntrain_folds = [{ours}]\ntest_folds = [{theirs}]\nepochs = 1\n"
        f"{one if name == 'one' else ''}"
        for name, ours, theirs in (("one", 1, 2), ("two", 2, 1))
    )


def student(epochs: int = 1) -> str:
    lines = [f"{k} = {json.dumps(v)}" for k, v in (STUDENT | {"epochs": epochs}).items()]
    return "\n[rows.student]\nteachers = ['one', 'two']\n" + "\n".join(lines)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_student_comes_after_its_teachers_and_has_none_that_has_seen_the_test_fold(
    table: Path, tmp_path: Path, jobs: int
) -> None:
    # Two folds: one teacher has seen all training clips of the student, the other its test clips.
    plan = plan_of(tmp_path / "study.toml", teachers() + student())
    assert [run.row for run in plan.runs()] == ["one", "two", "student", "student"]
    out = tmp_path / "out"
    assert run_study(plan, table, out, jobs=jobs)
    for fold in (1, 2):
        run = out / f"runs/student/fold_{fold}_seed_0"
        config = json.loads((run / "config.json").read_text())["options"]
        wanted = [str(out / f"runs/{name}/split_seed_0") for name in ("one", "two")]
        assert config["teachers"] == wanted
        assert "distillation from 2 teachers, 1 excluded: trained on test clips" in " ".join(
            (run / "log.txt").read_text().split()
        )
    assert {line.name for line in collect(plan, out).lines} == {"one", "two", "student"}
    moved = out.rename(tmp_path / "moved")
    assert run_study(plan, table, moved), "a moved study has the same teachers"


def test_students_of_a_failed_teacher_are_not_run(table: Path, tmp_path: Path) -> None:
    plan = plan_of(tmp_path / "study.toml", teachers("learning_rate = 1e30\n") + student())
    with pytest.raises(SonotypeError, match=r"1 of 4 runs failed:\n  one/split_seed_0: "):
        run_study(plan, table, tmp_path / "out")
    assert (tmp_path / "out/runs/two/split_seed_0/scores.json").exists()
    assert not (tmp_path / "out/runs/student").exists()


@pytest.mark.parametrize("named", ["['three']", "'one'", "['student']", "[['one']]", "['again']"])
def test_teachers_are_rows_above_that_train(tmp_path: Path, named: str) -> None:
    again = "\n[rows.again]\nof = 'one'\ncategory_source = 'head'\n"
    with pytest.raises(OptionsError, match=r"row 'student': teachers .*: a list of rows above"):
        plan_of(
            tmp_path / "study.toml",
            teachers() + again + student().replace("['one', 'two']", named),
        )


def test_a_row_without_runs_has_no_teachers(tmp_path: Path) -> None:
    row = "\n[rows.mean]\nensemble = ['one', 'two']\nteachers = ['one']\n"
    with pytest.raises(OptionsError, match="has no folds, seeds or teachers"):
        plan_of(tmp_path / "study.toml", teachers() + row)
