"""Files in the hidden folder of a project that another program changed: the page starts anyway."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from sonotype.app.project import DEFAULT_BACKBONE, Project
from sonotype.app.runs import run_values
from sonotype.app.training import JOB, read_job

pytestmark = pytest.mark.timeout(60)

HUGE, DEEP = "1" + "0" * 400, "[" * 100_000
ODD = ["[]", "5", "null", '"x"', "", "{", DEEP, HUGE, "\ud800"]
SPLIT = "subset,path,group,category\ntrain,a.wav,g,bell\ntrain,b.wav,h,bell\n"
needs_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")


def scores(**interval: Any) -> dict[str, Any]:
    accuracy = {"value": 0.5, "low": 0.25, "high": 1.0, **interval}
    return {"heads": {"category": {"accuracy": accuracy, "groups": 2}}}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    found = Project(tmp_path)
    for name in ("0001", "0002"):
        run = found.runs / name
        run.mkdir(parents=True)
        (run / "config.json").write_text('{"options": {"backbone": "builtin"}}')
        (run / "scores.json").write_text(json.dumps(scores()))
        (run / "time.json").write_text('{"finished": "2026-01-01T10:00:00+00:00"}')
        (run / "split.csv").write_text(SPLIT)
        (run / "model.safetensors").touch()
    return found


def write(path: Path, text: str) -> None:
    path.write_bytes(text.encode("utf-8", "surrogatepass"))


def notes(project: Project) -> dict[str, str]:
    values = run_values(project)
    json.dumps(values, allow_nan=False)
    return {run["id"]: run["note"] for run in values}


def test_the_runs_are_read(project: Project) -> None:
    assert notes(project) == {"0002": "", "0001": ""}


@pytest.mark.parametrize("name", ["config.json", "scores.json"])
@pytest.mark.parametrize("text", ODD)
def test_one_damaged_run_does_not_hide_the_others(project: Project, name: str, text: str) -> None:
    write(project.runs / "0002" / name, text)
    found = notes(project)
    assert found["0001"] == ""
    assert found["0002"].startswith("The run cannot be read: ")


@pytest.mark.parametrize("text", ODD)
def test_a_damaged_time_is_unknown(project: Project, text: str) -> None:
    write(project.runs / "0002" / "time.json", text)
    assert notes(project) == {"0002": "", "0001": ""}
    assert run_values(project)[0]["created"] == ""


@pytest.mark.parametrize(
    "text",
    [
        *(json.dumps(scores(**{name: value})) for name in ("value", "low", "high")
          for value in (float("nan"), float("inf"), 10**400, -1, 2, "0.5", None, [])),
        json.dumps(scores()).replace("0.5", "1e999"),
        *(json.dumps(scores()).replace('"groups": 2', f'"groups": {groups}')
          for groups in (HUGE, "1e999", "1e9", "-1", '"2"', "null", "true")),
        '{"heads": []}', '{"heads": {"category": 5}}', '{"heads": {"category": {"accuracy": 5}}}',
        *(json.dumps({"heads": {"category": {"accuracy": empty, "groups": 2}}})
          for empty in (False, 0, "", [], {})),
    ],
)  # fmt: skip
def test_scores_of_another_kind(project: Project, text: str) -> None:
    (project.runs / "0002" / "scores.json").write_text(text)
    found = notes(project)
    assert found["0001"] == ""
    assert found["0002"].startswith(("The run cannot be read: ", "Not scored: "))


@pytest.mark.parametrize("text", [*ODD, '{"backbone": 5}', '{"backbone": null}'])
def test_damaged_settings_are_the_defaults(project: Project, text: str) -> None:
    write(project.hidden / "project.json", text)
    assert project.backbone == DEFAULT_BACKBONE
    project.set_backbone("mn01")
    assert project.backbone == "mn01"
    project.close()


def test_settings_that_no_text_encoding_has_are_kept(project: Project) -> None:
    (project.hidden / "project.json").write_text('{"other": "\\ud800"}')
    project.set_backbone("mn01")
    project.close()
    assert json.loads((project.hidden / "project.json").read_text())["other"] == "\ud800"


@pytest.mark.parametrize(
    "text", [*ODD, *(f'{{"run": "0001", "backbone": "builtin", "attempts": {attempts}}}'
                     for attempts in ("1e400", HUGE, "NaN", "Infinity", "[]", "null"))],
)  # fmt: skip
def test_a_damaged_job_is_no_job(project: Project, text: str) -> None:
    write(project.hidden / JOB, text)
    assert read_job(project.hidden / JOB) is None


@needs_pipes
@pytest.mark.parametrize("name", ["config.json", "scores.json", "split.csv", "time.json"])
def test_a_named_pipe_in_a_run(project: Project, name: str) -> None:
    """Reading it would wait for a writer forever."""
    path = project.runs / "0002" / name
    path.unlink()
    os.mkfifo(path)
    found = notes(project)
    assert found["0001"] == ""
    assert found["0002"].startswith("The run cannot be read: " if name != "time.json" else "")


@needs_pipes
def test_named_pipes_of_a_project(project: Project) -> None:
    for name in ("project.json", JOB):
        os.mkfifo(project.hidden / name)
    assert project.backbone == DEFAULT_BACKBONE
    assert read_job(project.hidden / JOB) is None
    project.set_backbone("mn01")
    assert project.backbone == "mn01"
    project.close()
