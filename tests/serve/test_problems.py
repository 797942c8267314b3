"""Every error is a problem document that gives nothing away."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import assert_problem, running

from sonotype.audio.clip import load_for_clip
from sonotype.core.errors import AudioError
from sonotype.inference.load import load
from sonotype.serve.problems import PROBLEMS
from sonotype.serve.sounds import failure_of

DOCS = Path(__file__).resolve().parents[2] / "docs" / "serve.md"


@pytest.mark.parametrize(
    ("method", "path", "problem"),
    [
        ("GET", "/", "not-found"),
        ("GET", "/docs", "not-found"),
        ("GET", "/../../etc/passwd", "not-found"),
        ("GET", "/v1/classify/%00", "not-found"),
        ("GET", "/problems/unknown", "not-found"),
        ("GET", "/v1/classify", "method-not-allowed"),
        ("PUT", "/v1/detect", "method-not-allowed"),
        ("TRACE", "/healthz", "method-not-allowed"),
        ("POST", "/v1/classify?top=0", "invalid-parameter"),
        ("POST", "/v1/classify?top=many", "invalid-parameter"),
        ("POST", "/v1/detect?threshold=2", "invalid-parameter"),
        ("POST", "/v1/detect?threshold=nan", "invalid-parameter"),
    ],
)
def test_errors_of_the_framework(
    client: httpx.Client, method: str, path: str, problem: str
) -> None:
    answer = client.request(method, path)
    values = assert_problem(answer, problem)
    if problem == "method-not-allowed":
        assert answer.headers["allow"]
    if "?" in path:
        assert re.search(r"top|threshold", values["detail"])


def test_unexpected_errors_tell_nothing(
    onnx_model: Path, sounds: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = load(onnx_model)
    content = sounds["dog.wav"].read_bytes()
    secret = "/home/secret/model.onnx"

    def fail(*_: object) -> None:
        raise RuntimeError(f"cannot run {secret}")

    with running(classifier) as client:
        service = client.app.state.service  # type: ignore[attr-defined]
        monkeypatch.setattr("sonotype.serve.sounds.load_for_clip", fail)
        values = assert_problem(client.post("/v1/classify", content=content), "unreadable-sound")
        assert secret not in str(values)
        monkeypatch.undo()
        monkeypatch.setattr(classifier, "predict_proba", fail)
        values = assert_problem(client.post("/v1/classify", content=content), "internal-error")
        assert secret not in str(values)
        monkeypatch.undo()
        monkeypatch.setattr("sonotype.serve.app.classified", fail)
        values = assert_problem(client.post("/v1/classify", content=content), "internal-error")
        assert secret not in str(values)
        monkeypatch.undo()
        counted = 'sonotype_requests_total{route="/v1/classify",status="500"} 2.0'
        assert counted in client.get("/metrics").text
        service.ready = False
        assert_problem(client.get("/readyz"), "not-ready")
        assert_problem(client.post("/v1/classify", content=content), "not-ready")
        service.ready = True
        assert client.post("/v1/classify", content=content).status_code == 200


def test_errors_of_the_system_are_not_repeated() -> None:
    error = AudioError("x", "cannot be read: /secret")
    error.__cause__ = OSError("/secret")
    assert failure_of(error).detail == "cannot be read"
    memory = failure_of(RuntimeError("/secret: std::bad_alloc"))
    assert memory.name == "not-enough-memory"
    assert "secret" not in memory.detail


def test_missing_memory_is_a_fault_of_the_service_and_not_of_the_sound(
    onnx_model: Path, sounds: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client may send the same sound again; other sounds of the request keep their answers."""
    classifier = load(onnx_model)
    content = sounds["dog.wav"].read_bytes()
    loaded = load_for_clip

    def fail(source: bytes, *arguments: Any, **options: Any) -> Any:
        if source == content:
            raise MemoryError
        return loaded(source, *arguments, **options)

    with running(classifier) as client:
        with monkeypatch.context() as patch:
            patch.setattr("sonotype.serve.sounds.load_for_clip", fail)
            answer = client.post("/v1/classify", content=content)
            assert_problem(answer, "not-enough-memory")
            assert int(answer.headers["retry-after"]) > 0
            files = [("file", (name, sounds[name].read_bytes())) for name in ("dog.wav", "cat.mp3")]
            first, second = client.post("/v1/classify", files=files).json()["results"]
            assert first["problem"] == "/problems/not-enough-memory"
            assert second["problem"] is None
        monkeypatch.setattr(classifier, "predict_proba", lambda *_: fail(content))
        assert_problem(client.post("/v1/classify", content=content), "not-enough-memory")


def test_the_type_of_a_problem_is_an_address(client: httpx.Client) -> None:
    for name, kind in PROBLEMS.items():
        values = client.get(f"/problems/{name}").json()
        assert values == {"type": f"/problems/{name}", "title": kind.title, "status": kind.status}


def test_the_page_lists_all_kinds() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| (\d+) \|", DOCS.read_text(encoding="utf-8"), re.M)
    assert {name: int(status) for name, status in rows} == {
        name: kind.status for name, kind in PROBLEMS.items()
    }
