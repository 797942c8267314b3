"""The process of a training: its lines, and what it says of failures."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from app_projects import tones_project

from sonotype.app import worker
from sonotype.core.errors import SonotypeError
from sonotype.core.types import Clip
from sonotype.data.manifest import Manifest

JOB = {"kind": "train", "options": {"backbone": "builtin"}, "resume": False}


def job_of(folder: Path, clips: int = 3) -> dict[str, Any]:
    project = tones_project(folder, clips)
    return {**JOB, "data": str(folder), "run": str(project.runs / "0001"), "log": "log"}


def silent(_: str, **__: Any) -> None:
    pass


def test_without_a_job_it_ends_with_its_input(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sonotype.app.worker"]
    found = subprocess.run(command, input=b"", capture_output=True, timeout=120, check=True)
    assert [json.loads(line) for line in found.stdout.splitlines()] == [{"kind": "ready"}]


def test_a_vanished_sound_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sonotype.experiments import opening

    checked = opening.check_sounds

    def check(manifest: Manifest, **more: Any) -> Manifest:
        (tmp_path / "hum" / "hum_1.wav").unlink()
        return checked(manifest, **more)

    monkeypatch.setattr(opening, "check_sounds", check)
    with pytest.raises(SonotypeError, match=r"hum_1\.wav"):
        worker.train(job_of(tmp_path), silent)


def test_a_sound_that_vanishes_after_the_check_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sonotype.experiments import linear_run

    pooled = linear_run.pooled_vectors

    def after(system: Any, clips: tuple[Clip, ...], *rest: Any, **more: Any) -> Any:
        (tmp_path / "hum" / "hum_1.wav").unlink()
        return pooled(system, clips, *rest, **more | {"decoded": None})

    monkeypatch.setattr(linear_run, "pooled_vectors", after)
    job = job_of(tmp_path)
    job["options"] = {**job["options"], "cache": False}  # sounds of an earlier training are cached
    with pytest.raises(SonotypeError, match=r"hum_1\.wav"):
        worker.train(job, silent)


def test_a_full_disk_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sonotype.experiments import pipeline

    def full(path: Path, *_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(pipeline, "save_model", full)
    with pytest.raises(OSError, match="No space") as caught:
        worker.train(job_of(tmp_path), silent)
    text = worker._message_of(caught.value)
    assert "No space left on device: free space" in text
    assert "model.safetensors" in text


def test_a_report_that_fails_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sonotype.report import run_report

    def fail(run: Path) -> None:
        raise RuntimeError("no\nfonts")

    monkeypatch.setattr(run_report, "write_training_report", fail)
    found = worker.train(job_of(tmp_path), silent)
    assert found == {"warning": "the report was not written: unexpected RuntimeError: no fonts"}
    assert (tmp_path / ".sonotype/runs/0001/model.safetensors").is_file()


def test_a_finished_run_that_is_resumed_gets_its_report(tmp_path: Path) -> None:
    job = job_of(tmp_path)
    worker.train(job, silent)
    report = tmp_path / ".sonotype/runs/0001/report.html"
    model = report.with_name("model.safetensors")
    before = model.stat().st_mtime_ns
    report.unlink()
    worker.train(job | {"resume": True}, silent)
    assert report.is_file()
    assert model.stat().st_mtime_ns == before


def test_half_a_run_is_replaced(tmp_path: Path) -> None:
    job = job_of(tmp_path)
    run = Path(job["run"])
    run.mkdir(parents=True)
    (run / ".config.json.0.part").touch()
    worker.train(job | {"resume": True}, silent)
    assert (run / "model.safetensors").is_file()
    assert not (run / ".config.json.0.part").exists()
