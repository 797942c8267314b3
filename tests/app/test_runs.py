"""Finished runs, their files, and one compared with the one before it."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from app_projects import add_tone, tones_project
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

import sonotype
from sonotype.app import runs
from sonotype.app.comparison import Scored, comparison_text, comparison_values
from sonotype.app.context import AppContext
from sonotype.app.findings import Findings
from sonotype.app.models import KEPT, Models
from sonotype.app.project import Project
from sonotype.app.routes_training import router
from sonotype.app.runs import accuracy_of, onnx_of, run_of, run_values
from sonotype.app.snapshot import snapshot
from sonotype.app.state import State
from sonotype.app.training import Job, Training
from sonotype.core.errors import MissingExtraError, ModelFileError
from sonotype.report.run_report import write_training_report
from sonotype.serve.problems import ProblemError

OPTIONS = {"backbone": "builtin"}
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run 2 has a new sound, and one that was moved to its class. Tests change nothing."""
    folder = tmp_path_factory.mktemp("runs") / "bells & Zoë"
    project = tones_project(folder, clips=5)
    wrong = add_tone(folder, "hum", 20, sound_of="beep")
    sonotype.train(folder, project.runs / "0001", **OPTIONS)
    wrong.rename(folder / "beep" / "moved.wav")
    add_tone(folder, "hum", 21)
    run = sonotype.train(folder, project.runs / "0002", **OPTIONS).folder
    write_training_report(run)
    (project.runs / "0003").mkdir()
    (project.runs / "notes").mkdir()
    return folder


@pytest.fixture
def project(two_runs: Path) -> Project:
    return Project(two_runs)


@pytest.fixture
def copy(two_runs: Path, tmp_path: Path) -> Project:
    """A project of its own."""
    return Project(Path(shutil.copytree(two_runs, tmp_path / "copy")))


def problem_name(call: Any) -> str:
    with pytest.raises(ProblemError) as caught:
        call()
    return caught.value.name


def test_runs_are_listed_with_the_newest_first(project: Project) -> None:
    second, first = run_values(project)
    assert (first["id"], second["id"]) == ("0001", "0002")
    assert (first["clips"], second["clips"]) == (11, 12)
    assert (first["report"], second["report"]) == (False, True)
    assert second["backbone"] == "builtin"
    assert second["classes"] == 2
    assert second["note"] == ""
    assert second["created"][:2] == "20"
    scores = json.loads((project.runs / "0002" / "scores.json").read_text())
    found, bootstrap = second["accuracy"], scores["heads"]["category"]["accuracy"]
    assert found["value"] == bootstrap["value"]
    assert found["low"] <= bootstrap["low"]
    assert found["high"] >= bootstrap["high"]


def test_a_project_without_runs_has_none(tmp_path: Path) -> None:
    assert run_values(Project(tmp_path / "new")) == []
    assert not (tmp_path / "new").exists()


def test_a_damaged_run_says_so(copy: Project) -> None:
    (copy.runs / "0002" / "config.json").write_text("{")
    damaged = run_values(copy)[0]
    assert damaged["accuracy"] is None
    assert damaged["note"].startswith("The run cannot be read")


@pytest.mark.parametrize("name", ["0003", "0009", "notes", "..", "²", "0001/../0002", ""])
def test_other_names_are_no_runs(project: Project, name: str) -> None:
    assert problem_name(lambda: run_of(project, name)) == "gone"


def test_a_class_with_one_sound_and_a_run_without_scores_have_a_note(tmp_path: Path) -> None:
    project = tones_project(tmp_path, clips=1)
    sonotype.train(tmp_path, project.runs / "0001", **OPTIONS)
    add_tone(tmp_path, "beep", 5)
    add_tone(tmp_path, "beep", 6)
    sonotype.train(tmp_path, project.runs / "0002", **OPTIONS)
    second, first = run_values(project)
    assert first["accuracy"] is None
    assert first["note"].startswith("Not scored: no class has a second sound")
    assert second["accuracy"] is not None
    assert second["note"] == "Not scored, with one sound only: hum; it is learnt."
    found = comparison_values(project, "0002")
    assert (found["common"], found["accuracy"]) == (0, None)
    assert "no common sound" in found["text"]
    assert comparison_values(project, "0001")["text"] == first["note"]


def test_a_comparison_takes_the_sounds_of_both_runs_by_content(project: Project) -> None:
    found = comparison_values(project, "0002")
    assert found["before"]["id"] == "0001"
    assert found["after"]["id"] == "0002"
    assert (found["clips"], found["common"]) == (12, 11)
    beep, hum = found["classes"]
    assert (beep["name"], beep["clips"]) == ("beep", 6)
    assert (hum["name"], hum["clips"]) == ("hum", 5)
    accuracy = found["accuracy"]
    right = [sum(one[side] * one["clips"] for one in (beep, hum)) for side in ("before", "after")]
    assert accuracy["before"] == pytest.approx(right[0] / 11)
    assert accuracy["after"] == pytest.approx(right[1] / 11)
    assert accuracy["difference"] == pytest.approx((right[1] - right[0]) / 11)
    assert accuracy["low"] <= accuracy["difference"] <= accuracy["high"]
    assert found["text"].startswith("Of 11 sounds that both runs were scored on, ")


def test_a_renamed_class_is_not_a_better_model(copy: Project) -> None:
    shutil.copytree(copy.runs / "0002", copy.runs / "0009")
    for name in ("predictions.npz", "split.csv", "config.json", "scores.json"):
        path = copy.runs / "0009" / name
        if name == "predictions.npz":
            with np.load(path) as stored:
                values = dict(stored)
            for key, value in values.items():
                if value.dtype.kind in "US":
                    values[key] = np.char.replace(value, "hum", "buzz")
            np.savez(path, **values)
        else:
            path.write_text(path.read_text().replace("hum", "buzz"))
    found = comparison_values(copy, "0009")
    assert found["before"]["id"] == "0002"
    assert [one["name"] for one in found["classes"]] == ["beep"]
    assert found["accuracy"]["difference"] == 0
    assert found["text"].endswith("Both runs are right on the same sounds.")


def test_a_few_changed_sounds_are_no_better_model() -> None:
    def text(better: int, same: int) -> str:
        right, wrong = Scored("a", "a", "g"), Scored("a", "b", "g")
        pairs = [(wrong, right)] * better + [(right, right)] * same
        values = {"before": same / len(pairs), "after": 1.0}
        return comparison_text(True, pairs, values, None)  # type: ignore[arg-type]

    assert text(3, 3).endswith("3 became right, 0 became wrong: the difference can be chance.")
    assert text(12, 3).endswith("12 became right, 0 became wrong: the new model is better.")


def test_the_interval_of_a_comparison_is_that_of_equal_labels(copy: Project) -> None:
    """Without corrected labels, the comparison has the numbers of ``sonotype compare``."""
    from sonotype.report.compare import compare_runs

    shutil.copytree(copy.runs / "0002", copy.runs / "0004")
    predictions = copy.runs / "0004" / "predictions.npz"
    with np.load(predictions) as stored:
        values = dict(stored)
    values["proba.category"][:3] = values["proba.category"][:3, ::-1]
    np.savez(predictions, **values)
    found = comparison_values(copy, "0004")["accuracy"]
    compared = compare_runs([copy.runs / "0002", copy.runs / "0004"])
    metric = compared.levels[0].metrics[1]["accuracy"]
    assert metric.difference is not None
    assert found["after"] == pytest.approx(metric.value.value)
    assert found["difference"] == pytest.approx(metric.difference.value)
    assert found["low"] == pytest.approx(metric.difference.low, abs=1e-9)
    assert found["high"] == pytest.approx(metric.difference.high, abs=1e-9)


def test_the_first_run_has_nothing_before_it(project: Project) -> None:
    found = comparison_values(project, "0001")
    assert found["before"] is None
    assert found["accuracy"] is None
    assert all(one["before"] is None for one in found["classes"])
    assert "This is the first run." in found["text"]


def test_models_are_runs_and_given_files(project: Project, tmp_path: Path) -> None:
    given = shutil.copy(project.runs / "0001" / "model.safetensors", tmp_path / "old.safetensors")
    models = Models(project, [Path(given), project.runs / "0001"])
    values = {one["id"]: one for one in models.values()}
    assert [*values] == ["run-0002", "run-0001", "file-0", "file-1"]
    assert values["file-0"]["name"] == "old.safetensors"
    assert values["run-0002"]["classes"] == ["beep", "hum"]
    assert values["run-0002"]["levels"] == [{"name": "category", "classes": ["beep", "hum"]}]
    assert values["run-0002"]["explains"]
    assert values["run-0002"]["seconds"] == 1  # the length of the sounds
    assert not models._loaded
    model = models.classifier("run-0002")
    assert models.classifier("run-0002") is model
    assert model.predict(add_tone(tmp_path, "beep", 30)).top()[0][0] == "beep"
    assert problem_name(lambda: models.classifier("run-0003")) == "gone"


def test_few_models_stay_in_memory(project: Project, tmp_path: Path) -> None:
    model = project.runs / "0001" / "model.safetensors"
    paths = [Path(shutil.copy(model, tmp_path / f"{n}.safetensors")) for n in range(KEPT + 1)]
    models = Models(project, paths)
    first = models.classifier("file-0")
    for number in range(1, KEPT):
        models.classifier(f"file-{number}")
    assert models.classifier("file-0") is first
    models.classifier(f"file-{KEPT}")
    assert len(models._loaded) == KEPT
    assert models.classifier("file-0") is first


def test_without_other_models_there_is_the_built_in_one(tmp_path: Path) -> None:
    models = Models(Project(tmp_path), [])
    [builtin] = models.values()
    assert builtin["id"] == "builtin"
    assert len(builtin["classes"]) > 5


def test_a_model_that_is_none_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelFileError):
        Models(Project(tmp_path), [tmp_path / "model.safetensors"])
    with pytest.raises(ModelFileError):
        Models(Project(tmp_path), [tmp_path / "missing.safetensors"])


def test_finished_runs_are_shown_without_a_network(copy: Project) -> None:
    script = (
        "import sys; from pathlib import Path; from sonotype.app.open_context import open_context; "
        "from sonotype.app.snapshot import snapshot; "
        "context = open_context(Path(sys.argv[1]), []); "
        "found = snapshot(context); context.tray.close(); print(len(found['runs']), "
        "len(found['models']), found['runs'][0]['accuracy']['high'] > 0, "
        "'torch' in sys.modules, 'scipy.stats' in sys.modules)"
    )
    argv = [sys.executable, "-c", script, str(copy.folder)]
    found = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert found.split() == ["2", "2", "True", "False", "False"]


@pytest.mark.parametrize(("right", "recordings"), [(0, 7), (7, 7), (5, 7), (990, 1000)])
def test_the_interval_of_an_accuracy_is_the_exact_one(right: int, recordings: int) -> None:
    from scipy.stats import binomtest

    value = right / recordings
    found = accuracy_of({"value": value, "low": value, "high": value}, recordings)
    exact = binomtest(right, recordings).proportion_ci(method="exact")
    assert (found["low"], found["high"]) == pytest.approx((exact.low, exact.high), abs=1e-9)


def test_what_is_known_of_removed_runs_is_forgotten(copy: Project) -> None:
    models = Models(copy, [])
    assert len(models.values()) == 2
    shutil.rmtree(copy.runs / "0001")
    assert [one["id"] for one in models.values()] == ["run-0002"]
    assert [path.parent.name for path in models._cards] == ["0002"]
    assert [path.name for path in runs._known if path.parent == copy.runs] == ["0002"]


def test_a_model_that_is_damaged_later_is_left_out(copy: Project) -> None:
    models = Models(copy, [])
    assert len(models.values()) == 2
    (copy.runs / "0002" / "model.safetensors").write_bytes(b"nothing")
    assert [one["id"] for one in models.values()] == ["run-0001"]
    assert problem_name(lambda: models.classifier("run-0002")) == "not-possible"


def context_of(project: Project) -> AppContext:
    state = State()
    tray: Any = None
    findings = Findings(project)
    return AppContext(project, state, Models(project, []), Training(project, state), tray, findings)


def application_of(context: AppContext) -> FastAPI:
    application = FastAPI()
    application.include_router(router(context))

    @application.exception_handler(ProblemError)
    async def answer(_: Request, error: ProblemError) -> Response:
        return Response(error.body(), error.kind.status, error.headers())

    return application


def asked(project: Project, *requests: tuple[str, str, bytes | None]) -> list[httpx.Response]:
    """The answers to some requests, while the application is served."""
    application = application_of(context_of(project))

    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(application)
        async with (
            application.router.lifespan_context(application),
            httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
        ):
            return [
                await client.request(method, path, content=body, headers=JSON, timeout=120)
                for method, path, body in requests
            ]

    return asyncio.run(ask())


def got(project: Project, path: str) -> httpx.Response:
    return asked(project, ("GET", path, None))[0]


def test_a_run_is_shown_when_its_training_has_ended(copy: Project) -> None:
    """Its result is there before its report is; the page must not move under the buttons."""
    context = context_of(copy)
    context.training._job = Job("0002", "builtin", time.monotonic())
    values = snapshot(context)
    assert values["training"]["state"] == "running"
    assert [run["id"] for run in values["runs"]] == ["0001"]
    context.training._take({"kind": "end", "warning": ""})
    values = snapshot(context)
    assert values["training"]["state"] == "done"
    assert [run["id"] for run in values["runs"]] == ["0002", "0001"]


def test_files_of_a_run_are_served(copy: Project) -> None:
    report, model, comparison, no_report, no_run = asked(
        copy,
        ("GET", "/api/runs/0002/report", None),
        ("GET", "/api/runs/0002/model", None),
        ("GET", "/api/runs/0002/comparison", None),
        ("GET", "/api/runs/0001/report", None),
        ("GET", "/api/runs/0007/model", None),
    )
    assert report.status_code == 200
    assert report.headers["content-type"].startswith("text/html")
    assert "sandbox" in report.headers["content-security-policy"]
    assert model.content == (copy.runs / "0002" / "model.safetensors").read_bytes()
    assert "copy-0002.safetensors" in model.headers["content-disposition"]
    assert comparison.json()["common"] == 11
    assert (no_report.status_code, no_run.status_code) == (404, 404)


def test_the_training_is_open_while_it_is_served(copy: Project) -> None:
    context = context_of(copy)
    application = application_of(context)

    async def serve() -> tuple[bool, bool]:
        async with application.router.lifespan_context(application):
            spare = context.training._spare
            during = spare is not None and spare.poll() is None
        return during, context.training._spare is None

    assert asyncio.run(serve()) == (True, True)


def test_a_training_by_http(copy: Project) -> None:
    wrong = (b'{"backbone": 7}', b"[]", b'{"backbone": ""}', b'{"backbone": "cbir"}', b"{")
    nothing, *refused, started, again, cancelled = asked(
        copy,
        ("DELETE", "/api/training", None),
        *(("POST", "/api/training", body) for body in wrong),
        ("POST", "/api/training", None),
        ("POST", "/api/training", b'{"backbone": "builtin"}'),
        ("DELETE", "/api/training", None),
    )
    assert nothing.json() is None
    assert [answer.status_code for answer in refused] == [422] * len(wrong)
    assert started.status_code == 202
    assert started.json()["state"] == "running"
    assert started.json()["run"] == "0004"
    assert again.status_code == 409
    assert again.json()["type"].endswith("training-runs")
    assert cancelled.json()["state"] == "cancelled"


@pytest.mark.skipif(not importlib.util.find_spec("onnxscript"), reason="onnx is not installed")
def test_an_onnx_file_is_exported_once(copy: Project) -> None:
    run = run_of(copy, "0002")
    path = onnx_of(run)
    before = path.stat().st_mtime_ns
    assert onnx_of(run) == path
    assert path.stat().st_mtime_ns == before
    models = Models(copy, [path])
    [given] = [one for one in models.values() if one["id"] == "file-0"]
    assert not given["explains"]
    assert models.classifier("file-0").card.heads == models.classifier("run-0002").card.heads


def test_without_the_extra_there_is_no_export(
    copy: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise MissingExtraError("exporting to ONNX", "onnx")

    monkeypatch.setattr("sonotype.export.graph.require_onnx", missing)
    answer = got(copy, "/api/runs/0002/onnx")
    assert answer.status_code == 422
    assert "sonotype[onnx]" in answer.json()["detail"]


def test_the_interval_of_an_accuracy_is_not_a_point_where_all_are_right() -> None:
    found = accuracy_of({"value": 1.0, "low": 1.0, "high": 1.0}, 15)
    assert (found["value"], found["high"]) == (1.0, 1.0)
    assert found["low"] == pytest.approx(0.025 ** (1 / 15))
    wide = accuracy_of({"value": 0.5, "low": 0.1, "high": 0.9}, 1000)
    assert (wide["low"], wide["high"]) == (0.1, 0.9)
