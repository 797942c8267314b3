"""Sounds that are longer than what a training learns: they are stored at once, and named."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
from sound_files import encoded, noise

pytest.importorskip("fastapi", reason="needs sonotype[app]")

from app.page_host import sound

from sonotype.app import clip_files
from sonotype.app import findings as findings_module
from sonotype.app.context import AppContext
from sonotype.app.findings import Findings
from sonotype.app.project import Project
from sonotype.app.sound_files import examine, length_of
from sonotype.audio.clip_length import automatic_seconds
from sonotype.data.readers.source import open_source
from sonotype.doctor.measure import Measurement, measure

HOURS = 2 * 3600


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the sounds that are read to their end."""
    names: list[str] = []

    def measuring(path: Path) -> Measurement:
        names.append(path.name)
        return measure(path)

    monkeypatch.setattr(findings_module, "measure", measuring)
    return names


def hours_of_silence(path: Path) -> Path:
    """A WAV file of two hours; no bytes of its samples are on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(10), 1000)
    head = bytearray(path.read_bytes()[:44])
    size = HOURS * 1000 * 2
    head[4:8], head[40:44] = (size + 36).to_bytes(4, "little"), size.to_bytes(4, "little")
    with path.open("wb") as file:
        file.write(head)
        file.truncate(44 + size)
    return path


def add(page: httpx.Client, label: str, path: Path) -> Any:
    answer = page.post(
        f"/api/classes/{label}/clips", params={"name": path.name}, content=path.read_bytes()
    )
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_a_sound_of_hours_is_stored_without_a_look_at_all_of_it(
    page: httpx.Client, context: AppContext, tmp_path: Path, measured: list[str]
) -> None:
    page.post("/api/classes", json={"name": "dog"})
    added = add(page, "dog", hours_of_silence(tmp_path / "long.wav"))
    assert (added["seconds"], added["stored"]) == (HOURS, True)
    [finding] = added["findings"]
    assert (finding["kind"], finding["severity"]) == ("too_long", "warning")
    for words in ("first 5 s of 2 h 00 min", "Cut from a recording", "drag over the spectrogram"):
        assert words in finding["text"]
    [listed] = page.get("/api/classes/dog/clips").json()
    assert listed == {name: added[name] for name in listed}
    assert page.get("/api/state").json()["project"]["classes"][0]["seconds"] == HOURS
    kinds = [one["kind"] for one in page.get("/api/findings").json()]
    assert "too_long" in kinds
    assert "silent" not in kinds
    again = Project(context.project.folder)  # as after a restart
    assert Findings(again).of_clip(again.clip("dog", "long.wav")) == added["findings"]
    assert not measured
    short = add(page, "dog", sound(tmp_path / "short.wav"))
    assert short["findings"] == []
    assert measured == ["short.wav"]


def test_a_long_compressed_sound_is_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sonotype.app.sound_files.LONG", 3.0)
    path = tmp_path / "x.mp3"
    path.write_bytes(encoded(noise(5, 1, 16_000), 16_000, format="MP3"))
    assert length_of(path) == pytest.approx(5, abs=0.2)
    assert examine(path, path.name, whole=False).seconds == length_of(path)
    assert examine(path, path.name).seconds == pytest.approx(5, abs=0.2)


def test_sounds_are_read_without_the_lock(
    context: AppContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one thread measures, stores and moves a sound, others change the project."""
    project = context.project
    sound(project.folder / "dog" / "there.wav", 1)
    started, go = threading.Event(), threading.Event()

    def held(original: Any) -> Any:
        def read(path: Path) -> Any:
            started.set()
            assert go.wait(20)
            return original(path)

        return read

    for name in ("length_of", "file_sha256"):
        monkeypatch.setattr(clip_files, name, held(getattr(clip_files, name)))

    def store() -> bool:
        with project.incoming("x.wav") as path:
            path.write_bytes(sound(tmp_path / "x.wav", 2).read_bytes())
            return project.store("dog", "x.wav", path)[1]

    with ThreadPoolExecutor(2) as pool:
        try:
            for number, work in enumerate((store, lambda: project.clips("dog"))):
                started.clear()
                running = pool.submit(work)
                assert started.wait(20)
                pool.submit(project.add_class, f"new {number}").result(5)
                go.set()
                assert running.result(20)
                go.clear()
                for path in (project.folder / "dog").glob("*.wav"):
                    path.write_bytes(sound(tmp_path / "y.wav", number + 5).read_bytes())
        finally:
            go.set()


@pytest.mark.parametrize(
    ("seconds", "learnt", "long"), [([0.5, 8], 5, ["1.wav"]), ([0.5, 2], 2, []),
                                    ([1.0] * 10 + [2], 1, ["10.wav"])])  # fmt: skip
def test_a_sound_of_which_only_the_start_is_learnt(
    tmp_path: Path, seconds: list[float], learnt: float, long: list[str]
) -> None:
    project = Project(tmp_path)
    for number, length in enumerate(seconds):
        sound(tmp_path / "dog" / f"{number}.wav", number, length)
    assert project.learnt_seconds() == learnt == automatic_seconds(seconds)
    findings = Findings(project)
    assert [clip.file for clip in project.clips("dog") if findings.of_clip(clip)] == long
    found = [one for one in findings.of_project() if one["kind"] == "learnt_in_part"]
    assert [place["file"] for one in found for place in one["places"]] == long
    if long:
        [text] = [one["text"] for one in findings.of_clip(project.clip("dog", long[0]))]
        assert f"Only the first {learnt} s of {seconds[-1]:.1f} s are learnt; cut" in text
        assert f"first {learnt} s are learnt" in found[0]["text"]
        assert "drag over the spectrogram" in found[0]["advice"]


def test_the_learnt_length_is_that_of_a_training(tmp_path: Path) -> None:
    from sonotype.experiments.opening import with_clip_length
    from sonotype.experiments.run_options import RunOptions

    project = Project(tmp_path)
    for number, length in enumerate((0.5, 1.0, 2.5)):
        for label in ("dog", "cat", "background"):
            sound(tmp_path / label / f"{number}.wav", number, length)
    found = with_clip_length(RunOptions.of({}), open_source(tmp_path))
    assert found.system.seconds == project.learnt_seconds() == 2.5
