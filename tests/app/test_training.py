"""The training job: it equals the command line, shows its progress, and can end in any way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from app_projects import add_tone, tones_project

from sonotype.app import needs
from sonotype.app.project import Project
from sonotype.app.runs import run_values
from sonotype.app.state import State
from sonotype.app.training import CHANGED, INTERRUPTED, JOB, Job, Training
from sonotype.app.worker_process import KILLED
from sonotype.experiments.run_folder import CONFIG, MODEL, TIME
from sonotype.serve.problems import ProblemError

WAIT = 120
SERVER = """
import sys, time
from pathlib import Path
from sonotype.app.project import Project
from sonotype.app.state import State
from sonotype.app.training import Training
training = Training(Project(Path(sys.argv[1])), State())
training.start()
print(training._process.pid, flush=True)
while training.values()["fraction"] < 0.02:
    time.sleep(0.01)
print("works", flush=True)
time.sleep(100)
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return tones_project(tmp_path / "sounds of Zoë")


@pytest.fixture
def training(project: Project) -> Iterator[Training]:
    found = Training(project, State())
    yield found
    found.close()


def past_start(training: Training) -> None:
    """Wait until the process looks at the sounds."""
    end = time.monotonic() + WAIT
    while (values := training.values()) and values["fraction"] < 0.02:
        assert values["state"] == "running"
        assert time.monotonic() < end
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended may still have an entry."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    try:
        return (
            not state.parent.parent.is_dir() or state.read_text().rsplit(")")[1].split()[0] != "Z"
        )
    except (FileNotFoundError, ProcessLookupError):
        return False


def problem_of(call: Any) -> ProblemError:
    with pytest.raises(ProblemError) as caught:
        call()
    return caught.value


def model_parts(run: Path) -> tuple[dict[str, Any], bytes]:
    """Header and weights of a run's model; the order of entries in the header is chance."""
    content = (run / "model.safetensors").read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:end]), content[end:]


class Noted(State):
    """Notes the fraction of the job at each change."""

    def __init__(self) -> None:
        super().__init__()
        self.training: Training | None = None
        self.fractions: list[float] = []

    def changed(self) -> None:
        super().changed()
        job = self.training and self.training._job
        if job and job.state == "running":
            self.fractions.append(job.place.fraction)


def test_the_model_is_that_of_the_command_line(project: Project, tmp_path: Path) -> None:
    state = Noted()
    training = state.training = Training(project, state)
    assert training.values() is None
    started = training.start()
    assert started["run"] == "0001"
    assert started["state"] == "running"
    values = training.wait(WAIT)
    assert values is not None
    fractions = state.fractions
    training.close()
    assert training.values() == values | {
        "state": "done",
        "step": "",
        "fraction": 1.0,
        "message": "",
    }
    assert fractions == sorted(fractions)
    assert len(set(fractions)) > 4
    assert state.version > 4
    assert not (project.hidden / JOB).exists()

    command = "train", str(project.folder), "--backbone", "builtin", "--out", str(tmp_path / "run")
    script = "from sonotype.cli.main import main; main()"
    subprocess.run([sys.executable, "-c", script, *command], check=True, capture_output=True)
    ours, theirs = project.runs / "0001", tmp_path / "run"
    assert model_parts(ours) == model_parts(theirs)
    names = [{path.name for path in run.iterdir()} for run in (ours, theirs)]
    assert names[0] == names[1]
    for name in ("config.json", "split.csv", "scores.json", "predictions.csv"):
        assert (ours / name).read_bytes() == (theirs / name).read_bytes()


def test_a_second_training_waits_and_cancel_is_fast(project: Project, training: Training) -> None:
    training.start()
    assert problem_of(training.start).name == "training-runs"
    past_start(training)
    process = training._process
    assert process is not None
    begin = time.monotonic()
    values = training.cancel()
    assert time.monotonic() - begin < 1
    assert values is not None
    assert values["state"] == "cancelled"
    assert not is_alive(process.pid)
    assert not (project.runs / "0001").exists()
    assert not (project.hidden / JOB).exists()
    assert training.cancel() == values
    assert training.start()["run"] == "0002"


def test_a_dead_process_is_a_failure(project: Project, training: Training) -> None:
    training.start()
    past_start(training)
    process = training._process
    assert process is not None
    process.send_signal(signal.SIGKILL)
    values = training.wait(WAIT)
    assert values is not None
    assert values["state"] == "failed"
    assert "ended by the system" in values["message"]
    assert not (project.runs / "0001").exists()


def test_classes_that_are_deleted_meanwhile_are_a_clear_failure(
    project: Project, training: Training
) -> None:
    failed = {"kind": "end", "failed": "sounds: 1 issue\n  sounds: no folders", "details": False}
    training._job = Job("0001", "builtin", time.monotonic())
    assert training._explained(failed) == failed
    for label in project.classes():
        project.remove_class(label)
    training._take(training._explained(failed))
    values = training.values()
    assert values is not None
    assert values["state"] == "failed"
    assert values["message"].startswith(f"{CHANGED} Add a class")
    assert "\n" not in values["message"]


@pytest.mark.parametrize("end", ["cancelled", "ended by the system", "third start"])
def test_a_finished_run_without_its_report_stays(project: Project, end: str) -> None:
    """The process is ended while it writes the report."""
    training, run = Training(project, State()), project.runs / "0001"
    run.mkdir(parents=True)
    for name, text in (
        (TIME, '{"seconds": 1, "finished": "2026-11-27T10:00:00+00:00"}'),
        (MODEL, ""),
    ):
        (run / name).write_text(text)
    if end == "third start":
        job = {"run": "0001", "backbone": "builtin", "attempts": 2}
        (project.hidden / JOB).write_text(json.dumps(job))
        training.open()
    else:
        training._job = Job("0001", "builtin", time.monotonic())
        if end == "cancelled":
            training.cancel()
        else:
            training._take({"kind": "end", "failed": KILLED, "details": False})
    values = training.values()
    training.close()
    assert values is not None
    assert values["state"] == "done"
    assert values["message"].startswith("the report was not written: ")
    assert (run / MODEL).exists()
    assert [one["id"] for one in run_values(project)] == ["0001"]


def test_an_unreadable_sound_is_named(project: Project, training: Training) -> None:
    training.start()
    (project.folder / "hum" / "broken.wav").write_bytes(b"RIFF")
    values = training.wait(WAIT)
    assert values is not None
    assert values["state"] == "failed"
    assert "broken.wav" in values["message"]


@pytest.mark.skipif(os.name == "nt", reason="processes are killed by a signal")
def test_a_killed_server_takes_its_process_along_and_the_next_one_goes_on(
    project: Project,
) -> None:
    command = [sys.executable, "-c", SERVER, str(project.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        pid = int(server.stdout.readline())
        assert server.stdout.readline() == "works\n"
        assert is_alive(pid)
        server.kill()
    end = time.monotonic() + 5
    while is_alive(pid) and time.monotonic() < end:
        time.sleep(0.02)
    assert not is_alive(pid)
    assert json.loads((project.hidden / JOB).read_text())["attempts"] == 1
    add_tone(project.folder, "hum", 10)  # the sounds may have changed in the meantime

    training = Training(project, State())
    training.open()
    values = training.wait(WAIT)
    training.close()
    assert values is not None
    assert (values["run"], values["state"], values["message"]) == ("0001", "done", "")
    assert [run["clips"] for run in run_values(project)] == [9]


@pytest.mark.skipif(os.name == "nt", reason="links need a permission there")
@pytest.mark.parametrize(("name", "words"), [("notes.txt", "is a link"), (CONFIG, "cannot be")])
def test_a_run_whose_fault_can_be_removed_stays(
    project: Project, tmp_path: Path, name: str, words: str
) -> None:
    training = Training(project, State())
    training.start()
    run, end = project.runs / "0001", time.monotonic() + WAIT
    while not (run / CONFIG).exists() and time.monotonic() < end:
        time.sleep(0.01)
    training.close()
    assert not (run / TIME).exists(), "the training was faster than this test"
    (run / "marker").write_text("hours")
    aside = tmp_path / "aside"
    if name == CONFIG:  # reading a folder in its place is an error of the system
        (run / name).rename(aside)
        (run / name).mkdir()
    else:
        (run / name).symlink_to(tmp_path)

    for _ in range(3):  # the next server continues it, however often
        training = Training(project, State())
        training.open()
        values = training.wait(WAIT)
        training.close()
        assert values is not None
        assert values["state"] == "failed"
        assert words in values["message"]
        assert (run / "marker").exists()
        assert (project.hidden / JOB).exists()

    if name == CONFIG:
        (run / name).rmdir()
        aside.rename(run / name)
    else:
        (run / name).unlink()
    training = Training(project, State())
    training.open()
    values = training.wait(WAIT)
    training.close()
    assert values is not None
    assert (values["state"], values["message"]) == ("done", "")
    assert (run / "marker").exists()


def test_a_new_training_removes_the_run_that_could_not_be_continued(project: Project) -> None:
    run = project.runs / "0001"
    (run / CONFIG).mkdir(parents=True)  # a folder cannot be read as a file
    job = {"run": "0001", "backbone": "builtin", "attempts": 0}
    (project.hidden / JOB).write_text(json.dumps(job))
    training = Training(project, State())
    training.open()
    values = training.wait(WAIT)
    assert values is not None
    assert values["state"] == "failed"
    assert run.exists()
    training.start()
    values = training.wait(WAIT)
    training.close()
    assert values is not None
    assert (values["run"], values["state"]) == ("0002", "done")
    assert not run.exists()
    assert not (project.hidden / JOB).exists()


def test_a_job_that_was_interrupted_twice_is_given_up(project: Project) -> None:
    (project.runs / "0003").mkdir(parents=True)
    job = {"run": "0003", "backbone": "builtin", "attempts": 2}
    (project.hidden / JOB).write_text(json.dumps(job))
    training = Training(project, State())
    training.open()
    values = training.values()
    training.close()
    assert values is not None
    assert (values["state"], values["message"]) == ("failed", INTERRUPTED)
    assert not (project.runs / "0003").exists()
    assert not (project.hidden / JOB).exists()


@pytest.mark.parametrize(
    "content", ["", "[]", '{"run": "../..", "backbone": "builtin", "attempts": 1}']
)
def test_a_damaged_job_file_is_no_job(project: Project, content: str) -> None:
    project.hidden.mkdir()
    (project.hidden / JOB).write_text(content)
    training = Training(project, State())
    training.open()
    training.close()
    assert training.values() is None
    assert project.classes() == ["beep", "hum"]


def test_missing_sounds_are_counted(tmp_path: Path) -> None:
    project = tones_project(tmp_path, clips=1)
    shutil.rmtree(tmp_path / "hum")
    (tmp_path / "hum").mkdir()
    (tmp_path / "background").mkdir()
    problem = problem_of(Training(project, State()).start)
    assert problem.name == "too-few-sounds"
    assert problem.kind.status == 422
    assert problem.more["missing"] == {"background": 1, "hum": 2}
    assert "Add 2 sounds to hum" in problem.detail
    assert not project.runs.exists()


@pytest.mark.parametrize(
    ("sounds", "ready", "words"),
    [
        ({}, False, "Add a class"),
        ({"background": 3}, False, "Add a class"),
        ({"dog": 9}, False, "Add a second class"),
        ({"dog": 9, "noise": 1}, True, ""),
        ({"dog": 9, "cat": 0}, False, "Add 2 sounds to cat, or delete the class"),
        ({"dog": 9, "cat": 1}, True, "Add another sound to cat"),
        ({"dog": 9, "cat": 3}, True, "2 more sounds to cat"),
        ({"dog": 9, "cat": 5}, True, ""),
    ],
)
def test_what_a_training_needs(sounds: dict[str, int], ready: bool, words: str) -> None:
    found = needs.needs_of(sounds)
    assert found.ready == ready
    assert words in found.advice
    assert bool(found.advice) == bool(words)


def test_weights_that_are_not_here_are_not_downloaded(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "no weights").mkdir()
    monkeypatch.setenv("SONOTYPE_WEIGHTS", str(tmp_path / "no weights"))
    monkeypatch.setattr(needs, "_known", {})
    found = {one["name"]: one for one in needs.backbone_values()}
    assert found["builtin"]["available"]
    assert not found["mn04"]["available"]
    assert "sonotype weights get mn04" in found["mn04"]["note"]
    training = Training(project, State())
    assert problem_of(lambda: training.start("mn04")).name == "not-possible"
    assert problem_of(lambda: training.start("nonsense")).name == "invalid-parameter"


def test_weights_in_no_folder_are_not_available(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SONOTYPE_WEIGHTS", str(tmp_path / "missing"))
    monkeypatch.setattr(needs, "_known", {})
    assert not needs.is_available("mn04")


def test_a_process_waits_for_the_next_job(project: Project, training: Training) -> None:
    training.open()
    spare = training._spare
    assert spare is not None
    training.prepare()
    assert training._spare is spare
    training.start()
    assert training._process is spare
    training.cancel()
    assert training._spare is not spare
    training.close()
    assert not is_alive(spare.pid)


def test_a_class_that_is_removed_while_a_failure_is_explained_ends_the_job(
    project: Project, training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Project.clips

    def removed(self: Project, label: str) -> Any:
        if label == "hum":
            shutil.rmtree(self.folder / label, ignore_errors=True)
        return real(self, label)

    training.start()
    past_start(training)
    monkeypatch.setattr(Project, "clips", removed)
    shutil.rmtree(project.folder / "beep")
    answer = {"kind": "end", "failed": "a sound is missing", "details": False}
    explained = training._explained(answer)
    assert explained["failed"].startswith(CHANGED)

    def unreadable(self: Project, label: str) -> Any:
        raise FileNotFoundError(label)

    monkeypatch.setattr(Project, "clips", unreadable)
    add_tone(project.folder, "beep", 0)
    assert training._explained(answer) == answer
    training.cancel()
