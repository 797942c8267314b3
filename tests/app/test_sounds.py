"""Uploaded sounds through HTTP: add, look, classify, explain, search, keep, remove."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile
from PIL import Image
from sound_files import noise

pytest.importorskip("fastapi", reason="needs sonotype[app]")

from sounds_app import changing, files_of, lines_of, problem, sounds_app, upload, wait_for, wav

from sonotype.app.analysis import window_of
from sonotype.audio.clip import AudioSpec
from sonotype.cli.main import run
from sonotype.detect.detect_options import DetectOptions
from sonotype.detect.detector import open_detector
from sonotype.inference.classifier import Classifier
from sonotype.inference.load import load


def test_a_sound_is_added_listed_and_removed(client: httpx.Client) -> None:
    sound = upload(client, "../../dog 🐶.wav", wav(changing(2)))
    assert {key: sound[key] for key in ("name", "seconds", "sample_rate", "channels", "long")} == {
        "name": "dog 🐶.wav", "seconds": 2.0, "sample_rate": 16_000, "channels": 1, "long": False,
    }  # fmt: skip
    assert client.get("/api/sounds").json() == [sound]
    assert client.delete(f"/api/sounds/{sound['id']}").status_code == 204
    assert client.get("/api/sounds").json() == []
    wait_for(lambda: files_of(client) == [])  # they go when the overview is computed
    problem(client.get(f"/api/sounds/{sound['id']}/audio"), 404, "gone")
    problem(client.delete(f"/api/sounds/{sound['id']}"), 404, "gone")
    problem(client.post(f"/api/sounds/{sound['id']}/detect?model=m"), 404, "gone")


def test_what_cannot_be_read_is_refused_and_not_kept(client: httpx.Client) -> None:
    for content, text in ((b"", "is empty"), (b"text" * 100, "not a readable sound"),
                          (wav(np.zeros(0, np.float32)), "no samples")):  # fmt: skip
        answer = client.post("/api/sounds", params={"name": "a.wav"}, content=content)
        detail = problem(answer, 422, "unreadable-sound")
        assert text in detail
        assert "a.wav" in detail
    assert files_of(client) == []
    assert client.get("/api/sounds").json() == []


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
def test_videos_need_a_sound_track(client: httpx.Client, tmp_path: Path) -> None:
    silent, spoken = tmp_path / "s.mp4", tmp_path / "v.mp4"
    picture = ["-f", "lavfi", "-i", "testsrc=size=64x64:rate=5:duration=2"]
    tones = ["-f", "lavfi", "-i", "sine=duration=2"]
    for path, inputs in ((silent, picture), (spoken, [*picture, *tones])):
        subprocess.run(
            ["ffmpeg", "-v", "error", *inputs, "-c:v", "mpeg4", str(path)], check=True,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    answer = client.post("/api/sounds?name=s.mp4", content=silent.read_bytes())
    assert "sound track" in problem(answer, 415, "unsupported-media-type")
    sound = upload(client, "v.mp4", spoken.read_bytes())
    assert sound["seconds"] == pytest.approx(2, abs=0.1)
    audio = client.get(f"/api/sounds/{sound['id']}/audio")
    assert audio.headers["content-type"] == "audio/wav"
    assert soundfile.info(io.BytesIO(audio.content)).duration == pytest.approx(2, abs=0.1)
    assert client.post(f"/api/sounds/{sound['id']}/classify?model=m").status_code == 200


@pytest.mark.parametrize(
    ("rate", "channels", "seconds"), [(8000, 1, 2), (96_000, 2, 3), (44_100, 1, 0.05)]
)
def test_any_rate_and_channels(
    client: httpx.Client, rate: int, channels: int, seconds: float
) -> None:
    samples = np.stack([noise(seconds, n, rate) for n in range(channels)], axis=1)
    sound = upload(client, "a.wav", wav(samples, rate))
    assert (sound["sample_rate"], sound["channels"]) == (rate, channels)
    found = client.post(f"/api/sounds/{sound['id']}/classify?model=m").json()
    for level in found["levels"]:
        assert sum(one["probability"] for one in level["labels"]) == pytest.approx(1, abs=1e-3)
    png = client.get(f"/api/sounds/{sound['id']}/picture?width=60&height=30").content
    assert Image.open(io.BytesIO(png)).size == (60, 30)
    assert client.get(f"/api/sounds/{sound['id']}/explanation?model=m").status_code == 200
    assert lines_of(client.post(f"/api/sounds/{sound['id']}/detect?model=m"))[-1]["error"] == ""


def test_a_silent_sound_has_a_note(client: httpx.Client) -> None:
    sound = upload(client, "a.wav", wav(np.zeros(32_000, np.float32)))
    assert "silent" in sound["note"]
    assert client.post(f"/api/sounds/{sound['id']}/classify?model=m").status_code == 200
    png = client.get(f"/api/sounds/{sound['id']}/picture").content
    assert not np.asarray(Image.open(io.BytesIO(png))).any()
    assert lines_of(client.post(f"/api/sounds/{sound['id']}/detect?model=m"))[-1]["error"] == ""


def test_a_file_that_is_cut_in_the_middle_is_used_as_far_as_it_goes(client: httpx.Client) -> None:
    sound = upload(client, "a.wav", wav(changing(6))[: 44 + 2 * 16_000 * 3])
    assert sound["seconds"] == pytest.approx(3)
    assert "truncated" in sound["note"]
    assert client.post(f"/api/sounds/{sound['id']}/classify?model=m").status_code == 200
    last = lines_of(client.post(f"/api/sounds/{sound['id']}/detect?model=m"))[-1]
    assert last["kind"] == "end"
    assert "truncated" in last["error"]


def test_the_whole_sound_is_classified_as_by_the_library(
    client: httpx.Client, classifier: Classifier, tmp_path: Path
) -> None:
    content = wav(changing(5))
    (tmp_path / "a.wav").write_bytes(content)
    expected = classifier.predict(tmp_path / "a.wav")
    sound = upload(client, "a.wav", content)
    found = client.post(f"/api/sounds/{sound['id']}/classify?model=m").json()
    assert (found["model"], found["start"], found["end"]) == ("m", 0, 1)
    assert [level["name"] for level in found["levels"]] == [head.name for head in expected.heads]
    for level in found["levels"]:
        shown = {one["label"]: one["probability"] for one in level["labels"]}
        assert shown == pytest.approx(expected.probabilities[level["name"]], abs=1e-6)
        values = list(shown.values())
        assert values == sorted(values, reverse=True)
    later = client.post(f"/api/sounds/{sound['id']}/classify?model=m&start=3").json()
    cut = classifier.predict(soundfile.read(tmp_path / "a.wav")[0][48_000:64_000], 16_000)
    finest = {one["label"]: one["probability"] for one in later["levels"][-1]["labels"]}
    assert (later["start"], later["end"]) == (3, 4)
    assert finest == pytest.approx(cut.probabilities[cut.heads[-1].name], abs=1e-5)
    answer = client.post(f"/api/sounds/{sound['id']}/classify?model=m&start=5")
    assert "5.000 s" in problem(answer, 422, "invalid-parameter")
    answer = client.post(f"/api/sounds/{sound['id']}/classify?model=other")
    problem(answer, 404, "not-found")


@pytest.mark.parametrize(
    ("seconds", "start", "expected"),
    [(10.0, None, (0.0, 2.0)), (1.0, None, (-0.5, 1.5)), (10.0, 9.0, (8.5, 10.5)),
     (10.0, 4.0, (4.0, 6.0))],
)  # fmt: skip
def test_the_window_of_a_clip(
    seconds: float, start: float | None, expected: tuple[float, float]
) -> None:
    window = window_of(AudioSpec(16_000, 2.0), seconds, start)
    assert (window.start, window.end) == pytest.approx(expected)


def test_an_explanation_has_pictures_of_each_branch(client: httpx.Client) -> None:
    sound = upload(client, "a.wav", wav(changing(3)))
    found = client.get(f"/api/sounds/{sound['id']}/explanation?model=m&start=1").json()
    assert 0 < found["probability"] <= 1
    for branch in found["branches"]:
        assert (branch["start"], branch["seconds"]) == (1, pytest.approx(1, abs=0.1))
        assert branch["frequencies"][0] < branch["frequencies"][1]
        assert branch["picture"].startswith("data:image/png;base64,")
        assert branch["log_mel"].startswith("data:image/png;base64,")
    answer = client.get(f"/api/sounds/{sound['id']}/explanation?model=m&label=nothing")
    assert "nothing" in problem(answer, 422, "not-possible")


def test_an_onnx_model_is_not_explained(tmp_path: Path, model: Path) -> None:
    pytest.importorskip("onnxruntime")
    from sonotype.export.onnx import export_onnx

    onnx = load(export_onnx(model, tmp_path / "model.onnx").path)
    with sounds_app(tmp_path, {"o": onnx}) as client:
        sound = upload(client, "a.wav", wav(changing(2)))
        assert client.post(f"/api/sounds/{sound['id']}/classify?model=o").status_code == 200
        answer = client.get(f"/api/sounds/{sound['id']}/explanation?model=o")
        assert "ONNX" in problem(answer, 422, "not-possible")


def test_events_and_labels_are_those_of_detect(
    client: httpx.Client, model: Path, tmp_path: Path
) -> None:
    content = wav(changing(20))
    (tmp_path / "night.wav").write_bytes(content)
    detector = open_detector([model], DetectOptions(threshold=("0.36",)), device="cpu")
    expected = detector.detect(tmp_path / "night.wav")
    assert len(expected.events) > 3
    sound = upload(client, "night.wav", content)
    labels = f"/api/sounds/{sound['id']}/labels?model=m"
    assert "Find the events" in problem(client.get(labels), 422, "not-possible")
    lines = lines_of(client.post(f"/api/sounds/{sound['id']}/detect?model=m&threshold=0.36"))
    assert lines[0] == {"kind": "progress", "seconds": 0, "of": 20}
    assert lines[-1] == {"kind": "end", "events": len(expected.events), "error": ""}
    events = [line for line in lines if line["kind"] == "event"]
    found = sorted((one["start"], one["end"], one["label"], one["score"]) for one in events)
    assert found == [
        (
            pytest.approx(one.start),
            pytest.approx(one.end),
            one.label,
            pytest.approx(one.score, rel=1e-5),
        )
        for one in sorted(expected.events, key=lambda one: (one.start, one.end, one.label))
    ]
    out = tmp_path / "out"
    run([
        "detect", str(model), str(tmp_path / "night.wav"), "--out", str(out), "--threshold", "0.36",
        "--format", "csv,audacity,raven",
    ])  # fmt: skip
    audacity = client.get(f"{labels}&format=audacity&threshold=0.36")
    assert audacity.text == (out / "labels" / "night.wav.audacity.txt").read_text()
    assert "filename*=UTF-8''night.audacity.txt" in audacity.headers["content-disposition"]
    raven = client.get(f"{labels}&format=raven").text
    assert len(raven.splitlines()) == len(expected.events) + 1
    header, *rows = (line.split("\t") for line in raven.splitlines())
    assert "Begin Path" not in header
    assert {row[header.index("Begin File")] for row in rows} == {sound["name"]}
    assert all(len(row) == len(header) for row in rows)
    assert client.get(f"{labels}&format=csv").text.count("\n") == len(expected.events) + 1
    high = client.get(f"{labels}&format=csv&threshold=0.4").text.count("\n") - 1
    assert high == sum(one.score >= 0.4 for one in expected.events)
    problem(client.get(f"{labels}&format=csv&threshold=0.1"), 422, "not-possible")
    problem(client.get(f"{labels}&format=xml"), 422, "invalid-parameter")


def test_the_audio_can_be_read_in_parts(client: httpx.Client) -> None:
    content = wav(changing(2))
    sound = upload(client, "a.wav", content)
    address = f"/api/sounds/{sound['id']}/audio"
    assert client.get(address).content == content
    part = client.get(address, headers={"range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, content[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(content)}"


def test_a_sound_or_a_part_is_kept_in_a_class(client: httpx.Client) -> None:
    content = wav(np.stack([noise(4, 1, 48_000), noise(4, 2, 48_000)], axis=1), 48_000)
    sound = upload(client, "night 🦉.wav", content)
    keep = f"/api/sounds/{sound['id']}/keep"
    version = client.context.state.version  # type: ignore[attr-defined]
    whole = client.post(keep, json={"class": "owl", "start": None, "end": None}).json()
    assert (whole["class"], whole["file"], whole["stored"]) == ("owl", "night 🦉.wav", True)
    assert client.context.state.version > version  # type: ignore[attr-defined]
    project: Path = client.context.project.folder  # type: ignore[attr-defined]
    assert (project / "owl" / whole["file"]).read_bytes() == content
    assert client.post(keep, json={"class": "owl"}).json()["stored"] is False
    part = client.post(keep, json={"class": "owl", "start": 1, "end": 2.5}).json()
    assert part["file"] == "night 🦉_1.000-2.500.wav"
    assert part["seconds"] == 1.5
    cut, rate = soundfile.read(project / "owl" / part["file"], dtype="int16")
    assert (rate, cut.shape) == (48_000, (72_000, 2))
    for start, end in ((3, 3), (-1, 2), (9, 10)):
        answer = client.post(keep, json={"class": "owl", "start": start, "end": end})
        assert answer.status_code == 422
    assert len(list((project / "owl").iterdir())) == 2
    other = upload(client, "owl.txt", content)
    answer = client.post(f"/api/sounds/{other['id']}/keep", json={"class": "owl"})
    assert answer.status_code == 415
    assert len(list((project / "owl").iterdir())) == 2, "no reader would find it"
    brief = client.post(keep, json={"class": "owl", "start": 1, "end": 1.05}).json()
    assert [one["kind"] for one in brief["findings"]] == ["too_short"]
    client.post(keep, json={"class": "../out"})
    assert not (project.parent / "out").exists()
    assert not list((project / ".sonotype" / "incoming").iterdir())


def test_parameters_are_checked(client: httpx.Client) -> None:
    base = f"/api/sounds/{upload(client, 'a.wav', wav(changing(1)))['id']}"
    for query in ("start=1&end=1", "start=nan", "width=0", "width=99999", "height=-1"):
        problem(client.get(f"{base}/picture?{query}"), 422, "invalid-parameter")
    for threshold in ("2", "-1", "x"):
        answer = client.post(f"{base}/detect?model=m&threshold={threshold}")
        problem(answer, 422, "invalid-parameter")


def test_the_tray_is_empty_after_the_end(tmp_path: Path, classifier: Classifier) -> None:
    with sounds_app(tmp_path, {"m": classifier}) as client:
        upload(client, "a.wav", wav(changing(3)))
        assert (tmp_path / "tray").is_dir()
    assert not (tmp_path / "tray").exists()
