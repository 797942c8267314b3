"""The answers equal those of the classifier and the detector on the same files."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import assert_problem, running

from sonotype import __version__
from sonotype.core.io import file_sha256
from sonotype.detect.detect_options import DetectOptions
from sonotype.detect.detector import open_detector
from sonotype.detect.writers.event_rows import event_rows
from sonotype.inference.load import load


def equal(found: Any, expected: Any) -> bool:
    """Whether JSON values are equal, numbers nearly."""
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(
            equal(found[key], value) for key, value in expected.items()
        )
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(equal, found, expected))
    return bool(found == (pytest.approx(expected, abs=1e-5) if expected else expected))


def form(sounds: dict[str, Path], *names: str) -> list[tuple[str, tuple[str, bytes]]]:
    return [("file", (name, sounds[name].read_bytes())) for name in names]


def test_each_sound_has_the_prediction_of_the_classifier(
    client: httpx.Client, onnx_model: Path, sounds: dict[str, Path]
) -> None:
    answer = client.post("/v1/classify?top=2", files=form(sounds, *sounds))
    assert answer.status_code == 200
    found = answer.json()["results"]
    assert [one["file"] for one in found] == list(sounds)
    classifier = load(onnx_model)
    for one, path in zip(found, sounds.values(), strict=True):
        expected = classifier.predict(path).to_dict(2) | {"file": path.name, "problem": None}
        assert equal(one, expected), (one, expected)
    assert len({one["event_probability"] for one in found}) == len(sounds)


@pytest.mark.parametrize("kind", ["audio/wav", "application/octet-stream", None])
def test_a_body_is_a_sound(
    client: httpx.Client, onnx_model: Path, sounds: dict[str, Path], kind: str | None
) -> None:
    headers = {} if kind is None else {"content-type": kind}
    answer = client.post("/v1/classify", content=sounds["dog.wav"].read_bytes(), headers=headers)
    expected = load(onnx_model).predict(sounds["dog.wav"]).to_dict(5)
    [found] = answer.json()["results"]
    assert equal(found, expected | {"file": "sound", "problem": None})


@pytest.mark.parametrize(
    ("query", "options"),
    [
        ("", DetectOptions()),
        ("?threshold=0.3", DetectOptions(threshold=("0.3",))),
    ],
)  # fmt: skip
def test_events_are_those_of_the_detector(
    client: httpx.Client, onnx_model: Path, sounds: dict[str, Path], query: str,
    options: DetectOptions,
) -> None:  # fmt: skip
    answer = client.post("/v1/detect" + query, files=form(sounds, "night.flac", "dog.wav"))
    detector = open_detector([onnx_model], options)
    for one, name in zip(answer.json()["results"], ("night.flac", "dog.wav"), strict=True):
        expected = detector.detect(sounds[name])
        assert one["seconds"] == pytest.approx(expected.seconds)
        rows = [dict(row) for row in event_rows(expected)]
        assert one["events"] == [
            {key: row[key] for key in row if key not in ("file", "error")} for row in rows
        ]
        assert (one["file"], one["error"], one["problem"]) == (name, None, None)
    if "threshold" in query:
        assert answer.json()["results"][0]["events"]


def test_one_class_is_detected(
    client: httpx.Client, onnx_model: Path, sounds: dict[str, Path]
) -> None:
    label = open_detector([onnx_model]).classes[1]
    answer = client.post(
        "/v1/detect", params={"class": label, "threshold": 0.01}, files=form(sounds, "night.flac")
    )
    assert {event["label"] for event in answer.json()["results"][0]["events"]} == {label}
    refused = client.post("/v1/detect", params={"class": "unicorn"}, content=b"x")
    assert "unicorn" in assert_problem(refused, "invalid-parameter")["detail"]


@pytest.mark.parametrize("route", ["/v1/classify", "/v1/detect"])
def test_a_bad_sound_does_not_cost_the_answers_to_the_others(
    client: httpx.Client, sounds: dict[str, Path], route: str
) -> None:
    files = form(sounds, "dog.wav", "night.flac", "cat.mp3")
    files[1:1] = [("file", ("text.wav", b"no sound at all")), ("file", ("empty.wav", b""))]
    files.insert(4, ("x", ("cut.wav", sounds["dog.wav"].read_bytes()[:30])))
    found = client.post(route, files=files).json()["results"]
    assert [one["file"] for one in found] == [
        "dog.wav", "text.wav", "empty.wav", "night.flac", "cut.wav", "cat.mp3"
    ]  # fmt: skip
    bad = [one["file"] for one in found if one["problem"]]
    assert bad == ["text.wav", "empty.wav", "cut.wav"]
    for one in found:
        assert one["problem"] in (None, "/problems/unreadable-sound")
        assert bool(one["error"]) == bool(one["problem"])
    assert "0 bytes" in found[2]["error"]


def test_a_truncated_sound_has_a_prediction_and_an_error(
    client: httpx.Client, onnx_model: Path, sounds: dict[str, Path]
) -> None:
    cut = sounds["night.flac"].read_bytes()
    cut = cut[: len(cut) * 2 // 3]
    answer = client.post("/v1/classify", content=cut)
    [found] = answer.json()["results"]
    assert found["problem"] is None
    assert found["error"] == load(onnx_model).predict(cut).truncated != ""


def test_only_bad_sounds_are_a_problem(client: httpx.Client) -> None:
    files = [("file", (name, b"no sound")) for name in ("a.wav", "../b.wav")]
    values = assert_problem(client.post("/v1/classify", files=files), "unreadable-sound")
    assert [one["file"] for one in values["files"]] == ["a.wav", "b.wav"]
    assert_problem(client.post("/v1/detect", content=b"no sound"), "unreadable-sound")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Windows\\night.wav", "night.wav"),
        ("a\x07b\u202e.wav", "a?b?.wav"),
        ("<script>alert(1)<!--.wav", "<script>alert(1)<!--.wav"),
        ("..", "sound 1"),
        ("x" * 1000, "x" * 200),
        ("%2e%2e%2fetc%2fpasswd", "%2e%2e%2fetc%2fpasswd"),
        ("夜.wav", "夜.wav"),
    ],
)
def test_names_of_files_are_data(
    client: httpx.Client, sounds: dict[str, Path], name: str, shown: str
) -> None:
    head = b'--b\r\nContent-Disposition: form-data; name="f"; filename="'
    quoted = name.replace("\\", "\\\\").encode()
    body = head + quoted + b'"\r\n\r\n' + sounds["dog.wav"].read_bytes() + b"\r\n--b--\r\n"
    headers = {"content-type": "multipart/form-data; boundary=b"}
    answer = client.post("/v1/classify", content=body, headers=headers)
    assert answer.json()["results"][0]["file"] == shown
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_model_and_the_state(client: httpx.Client, onnx_model: Path) -> None:
    values = client.get("/v1/model").json()
    classifier = load(onnx_model)
    assert values["heads"] == [
        {"name": head.name, "classes": list(head.classes), "problem": "single"}
        for head in classifier.heads
    ]
    assert values["version"] == __version__
    assert values["sample_rate"] == classifier.audio_spec.sample_rate
    assert values["limits"]["body_bytes"] == 16_000_000
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready"}


def test_open_service_knows_the_digest(onnx_model: Path) -> None:
    from sonotype.serve.service import open_service
    from sonotype.serve.settings import ServeSettings

    service = open_service(onnx_model, ServeSettings())
    assert service.digest == file_sha256(onnx_model)
    assert not service.ready


def test_metrics_count_answers_problems_and_sounds(
    client: httpx.Client, sounds: dict[str, Path]
) -> None:
    def value(name: str) -> float:
        text = client.get("/metrics").text
        found = [line.split()[-1] for line in text.splitlines() if line.startswith(name + " ")]
        return float(found[0]) if found else 0.0

    names = {
        'sonotype_requests_total{route="/v1/classify",status="200"}': 1,
        'sonotype_sounds_total{route="/v1/classify"}': 2,
        'sonotype_sound_seconds_total{route="/v1/classify"}': 9.5,
        'sonotype_problems_total{kind="unreadable-sound"}': 1,
        'sonotype_problems_total{kind="not-found"}': 1,
    }
    before = {name: value(name) for name in names}
    files = form(sounds, "dog.wav", "night.flac")
    client.post("/v1/classify", files=[*files, ("f", ("bad", b"no sound"))])
    client.get("/nowhere/at/all")
    for name, more in names.items():
        assert value(name) - before[name] == pytest.approx(more), name
    text = client.get("/metrics").text
    assert "nowhere" not in text, "no text of a client becomes a label"
    for name in ("process_resident_memory_bytes", "sonotype_requests_at_work 0.0",
                 "sonotype_body_bytes 0.0", "sonotype_batch_size_count"):  # fmt: skip
        assert name in text


def test_an_onnx_model_is_served_without_torch_and_writes_no_file(
    onnx_model: Path, sounds: dict[str, Path], tmp_path: Path
) -> None:
    script = textwrap.dedent(
        f"""
        import asyncio, sys, httpx
        from pathlib import Path
        from sonotype.serve.app import create_app
        from sonotype.serve.service import open_service
        from sonotype.serve.settings import ServeSettings
        service = open_service(Path({str(onnx_model)!r}), ServeSettings())
        app = create_app(service)
        service.start()
        async def main():
            transport = httpx.ASGITransport(app)
            here = "http://localhost"
            async with httpx.AsyncClient(transport=transport, base_url=here) as client:
                content = Path({str(sounds["night.flac"])!r}).read_bytes()
                for route in ("/v1/classify", "/v1/detect"):
                    answer = await client.post(route, content=content)
                    assert answer.status_code == 200, answer.text
        asyncio.run(main())
        service.close()
        names = ("torch", "pytorch_lightning", "matplotlib", "sklearn", "onnx")
        print([name for name in names if name in sys.modules])
        """
    )
    environment = {name: value for name, value in os.environ.items() if "TELEMETRY" not in name}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False,
        cwd=tmp_path, env=environment | {"HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert list(tmp_path.rglob("*")) == [], "such as the identifier of onnxruntime's telemetry"
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def test_a_model_of_torch_is_served_too(onnx_model: Path, sounds: dict[str, Path]) -> None:
    classifier = load(onnx_model.with_suffix(".safetensors"))
    with running(classifier, batch_size=4) as client:
        found = client.post("/v1/classify", files=form(sounds, *sounds)).json()["results"]
    for one, path in zip(found, sounds.values(), strict=True):
        assert one["event"] == classifier.predict(path).labels["event"]
