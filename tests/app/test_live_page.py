"""Live sound of a page: scores twice a second, the events of ``sonotype listen``, two clients."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
from small_models import write_model
from sound_files import noise, tone

pytest.importorskip("fastapi", reason="needs sonotype[app]")

from sounds_app import sounds_app
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from sonotype.app import live as live_module
from sonotype.app.live import LiveSession, Recent, Wanted, level_db
from sonotype.inference.classifier import Classifier
from sonotype.inference.load import load
from sonotype.live.listener import Status

EVENT_KEYS = ("start", "end", "label", "score")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "model.safetensors", seed=4)


@pytest.fixture(scope="module")
def classifier(model: Path) -> Classifier:
    return load(model)


@pytest.fixture(scope="module")
def client(
    tmp_path_factory: pytest.TempPathFactory, classifier: Classifier
) -> Iterator[httpx.Client]:
    with sounds_app(tmp_path_factory.mktemp("app"), {"m": classifier}) as found:
        yield found


def opened(client: httpx.Client, query: str, **options: Any) -> ClientConnection:
    address = str(client.base_url).replace("http", "ws", 1)
    return connect(f"{address}/api/live?{query}", compression=None, proxy=None, **options)


def changing(seconds: int, rate: int) -> np.ndarray:
    parts = [
        tone(1, 200 + 300 * (n % 7), rate) if n % 3 else noise(1, n, rate, 0.1)
        for n in range(seconds)
    ]
    return np.concatenate(parts)


def listened(
    client: httpx.Client, samples: np.ndarray, query: str, size: int = 2048, pause: float = 0.0
) -> list[dict[str, Any]]:
    """All messages for samples that are sent in pieces."""
    with opened(client, query) as stream:

        def send() -> None:
            with suppress(ConnectionClosed):  # after a problem
                for first in range(0, len(samples), size):
                    stream.send(samples[first : first + size].astype("<f4").tobytes())
                    time.sleep(pause)
                stream.send("end")

        sender = threading.Thread(target=send)
        sender.start()
        found = []
        with suppress(ConnectionClosed):
            while True:
                found.append(json.loads(stream.recv(timeout=60)))
        sender.join()
    return found


def of_kind(messages: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [message for message in messages if message["kind"] == kind]


@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_events_are_those_of_listen(
    client: httpx.Client, model: Path, tmp_path: Path, rate: int
) -> None:
    samples = changing(25, rate)
    soundfile.write(tmp_path / "a.wav", samples, rate, subtype="FLOAT")
    command = [sys.executable, "-m", "sonotype", "listen", str(model), str(tmp_path / "a.wav"),
               "--lookahead", "1", "--threshold", "0.36", "--json"]  # fmt: skip
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    expected = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(expected) > 3
    messages = listened(client, samples, f"model=m&rate={rate}&threshold=0.36")
    assert messages[-1] == {"kind": "end"}
    events = of_kind(messages, "event")
    assert [[one[key] for key in EVENT_KEYS] for one in events] == [
        [one[key] for key in EVENT_KEYS] for one in expected
    ]


@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_scores_are_those_of_the_last_clip(classifier: Classifier, rate: int) -> None:
    sent: list[dict[str, Any]] = []
    session = LiveSession(classifier, Wanted(rate, None), sent.append, lambda: 0)  # type: ignore[arg-type]
    samples = changing(3, rate)
    session.add(samples.astype("<f4").tobytes())
    worker = threading.Thread(target=session.score)
    worker.start()
    end = time.monotonic() + 20
    while not sent and time.monotonic() < end:
        time.sleep(0.01)
    session.stop()
    worker.join(20)
    [found] = sent
    expected = classifier.predict(samples[2 * rate :], rate)
    assert found["time"] == 3
    assert {one["label"]: one["probability"] for one in found["labels"]} == pytest.approx(
        dict(expected.top(10)), abs=1e-4
    )
    assert found["level_db"] == pytest.approx(level_db(samples[-rate:]), abs=0.2)


def test_scores_come_twice_a_second_and_soon(client: httpx.Client) -> None:
    rate = 48_000
    messages = listened(client, changing(4, rate), f"model=m&rate={rate}", 4800, 0.1)
    scores = of_kind(messages, "scores")
    assert 5 <= len(scores) <= 8
    steps = np.diff([one["time"] for one in scores])
    assert steps.min() >= 0.5
    assert scores[0]["time"] < 1.5
    assert len(scores[0]["labels"]) <= 10


def test_before_a_whole_clip_there_is_silence() -> None:
    recent = Recent(10)
    recent.add(np.ones(3, np.float32))
    assert recent.clip()[0].tolist() == [0] * 7 + [1] * 3
    for n in range(2, 30):
        recent.add(np.full(n, n, np.float32))
    samples, total = recent.clip()
    assert (len(samples), total) == (10, 3 + sum(range(2, 30)))
    assert set(samples) == {29}
    recent.end()
    assert not recent.wait(10_000)


def test_two_clients_at_once(client: httpx.Client) -> None:
    rate = 16_000
    sounds = [changing(20, rate), noise(20, 9, rate, 0.2)]
    query = f"model=m&rate={rate}&threshold=0.36"
    alone = [of_kind(listened(client, sound, query), "event") for sound in sounds]
    together: dict[int, list[dict[str, Any]]] = {}

    def work(number: int) -> None:
        together[number] = of_kind(listened(client, sounds[number], query), "event")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert alone[0] != alone[1]
    assert [together[0], together[1]] == alone


def test_silence_and_invalid_samples(client: httpx.Client) -> None:
    rate = 16_000
    samples = np.zeros(3 * rate, np.float32)
    samples[rate : rate + 100] = np.nan
    messages = listened(client, samples, f"model=m&rate={rate}", 1600, 0.02)
    assert messages[-1] == {"kind": "end"}
    assert {one["level_db"] for one in of_kind(messages, "scores")} == {-120}


def test_an_end_without_sound(client: httpx.Client) -> None:
    assert listened(client, np.zeros(0, np.float32), "model=m&rate=48000") == [{"kind": "end"}]


@pytest.mark.parametrize("query", ["model=m", "model=m&rate=10", "model=m&rate=48000&threshold=3"])
def test_wrong_parameters_are_refused(client: httpx.Client, query: str) -> None:
    with pytest.raises(InvalidStatus) as refused, opened(client, query):
        pass
    assert refused.value.response.status_code == 422


def test_another_site_is_refused(client: httpx.Client) -> None:
    with (
        pytest.raises(InvalidStatus) as refused,
        opened(client, "model=m&rate=48000", origin="http://elsewhere.example"),
    ):
        pass
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize(
    ("query", "message", "text"),
    [("model=none&rate=48000", None, "no model none"), ("model=m&rate=48000", b"abc", "4 bytes"),
     ("model=m&rate=48000", "stop", "end")],
)  # fmt: skip
def test_problems_are_messages(client: httpx.Client, query: str, message: Any, text: str) -> None:
    with opened(client, query) as stream:
        if message is not None:
            stream.send(message)
        found = json.loads(stream.recv(timeout=20))
        assert found["kind"] == "problem"
        assert text in found["detail"]
        with pytest.raises(ConnectionClosed):
            stream.recv(timeout=20)


def test_a_client_that_goes_away_ends_its_threads(client: httpx.Client) -> None:
    def threads() -> int:
        return sum(thread.name.startswith("live") for thread in threading.enumerate())

    with opened(client, "model=m&rate=16000") as stream:
        stream.send(changing(2, 16_000).astype("<f4").tobytes())
        assert json.loads(stream.recv(timeout=20))["kind"] == "scores"
        assert threads()
        stream.socket.close()
    end = time.monotonic() + 20
    while threads() and time.monotonic() < end:
        time.sleep(0.05)
    assert not threads()


def test_a_failure_of_the_model_is_told(
    tmp_path: Path, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(live_module.LiveSession, "_scores", fail)
    with sounds_app(tmp_path, {"m": classifier}) as client:
        messages = listened(client, changing(2, 16_000), "model=m&rate=16000", 1600, 0.05)
    assert messages[-1]["kind"] == "problem"
    assert "secret" not in messages[-1]["detail"]


def test_too_slow_a_computer_is_told(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[dict[str, Any]] = []
    now = 0.0
    monkeypatch.setattr(live_module, "monotonic", lambda: now)
    session = LiveSession(classifier, Wanted(1000, None), sent.append, lambda: 0)  # type: ignore[arg-type]
    for second, waits in enumerate([1, 6, 7, 8, 1, 9], start=1):
        session.add(bytes(4 * 1000))
        now += waits
        session.update(Status(seconds=second))
        session.update(Status(seconds=second, silent=100))
    assert [one["kind"] for one in sent] == ["problem", "problem"]
    assert "too slow" in sent[0]["detail"]


def test_the_end_of_the_server_ends_the_stream(tmp_path: Path, classifier: Classifier) -> None:
    with (
        sounds_app(tmp_path, {"m": classifier}) as client,
        opened(client, "model=m&rate=16000") as stream,
    ):
        stream.send(changing(2, 16_000).astype("<f4").tobytes())
        client.context.state.close()  # type: ignore[attr-defined]
        kinds = [json.loads(message)["kind"] for message in stream]
    assert kinds[-1] == "end"
