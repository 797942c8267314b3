"""A microphone, with a fake of the package sounddevice in its place."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sonotype.core.errors import MissingExtraError, OptionsError, SonotypeError
from sonotype.live.feed import Feed
from sonotype.live.live_options import InputOptions
from sonotype.live.sources import STOPPED, microphone


class PortAudioError(Exception):
    pass


class FakeStream:
    """Keeps its arguments; :meth:`give` calls back as the thread of the sound system does."""

    def __init__(self, **arguments: Any) -> None:
        self.arguments, self.time, self.open = arguments, 100.0, False
        FakeStream.last = self

    last: FakeStream

    def __enter__(self) -> FakeStream:
        self.open = True
        return self

    def __exit__(self, *_: object) -> None:
        self.open = False
        self.arguments["finished_callback"]()

    def give(self, samples: np.ndarray, *, lost: int = 0) -> None:
        """Give 16-bit samples after a gap that the sound system notices."""
        rate = self.arguments["samplerate"]
        self.time += lost / rate
        self.arguments["callback"](
            memoryview(samples.astype("<i2").tobytes()),
            len(samples),
            SimpleNamespace(inputBufferAdcTime=self.time),
            SimpleNamespace(input_overflow=bool(lost)),
        )
        self.time += len(samples) / rate


DEVICES = [
    {"name": "speakers", "max_input_channels": 0, "default_samplerate": 48_000.0},
    {"name": "USB mic", "max_input_channels": 1, "default_samplerate": 44_100.0},
]


def fake(devices: list[dict[str, Any]]) -> ModuleType:
    module = ModuleType("sounddevice")

    def query_devices(device: str | int | None = None, kind: str | None = None) -> Any:
        if kind is None:
            return devices
        inputs = [one for one in devices if one["max_input_channels"]]
        found = [
            one for one in inputs if device in (None, one["name"]) or (devices[1:] and device == 1)
        ]
        if not found:
            raise ValueError(f"No input device matching {device!r}")
        return found[0]

    module.query_devices = query_devices  # type: ignore[attr-defined]
    module.RawInputStream = FakeStream  # type: ignore[attr-defined]
    module.PortAudioError = PortAudioError  # type: ignore[attr-defined]
    return module


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[dict[str, Any]]], None]:
    def use(found: list[dict[str, Any]]) -> None:
        monkeypatch.setitem(sys.modules, "sounddevice", fake(found))

    use(DEVICES)
    return use


def read(feed: Feed) -> list[int]:
    feed.end()
    return [
        round(float(value) * 32_768)
        for samples, _ in feed.items(lambda: False, lambda: None)
        if not isinstance(samples, int)
        for value in samples
    ]


def test_samples_arrive(devices: object) -> None:
    with microphone(InputOptions()) as feed:
        stream = FakeStream.last
        assert stream.open
        assert (feed.name, feed.sample_rate) == ("microphone", 44_100)
        given = {k: v for k, v in stream.arguments.items() if not k.endswith("callback")}
        assert given == {
            "samplerate": 44_100, "blocksize": 2205, "device": None, "channels": 1,
            "dtype": "int16",
        }  # fmt: skip
        stream.give(np.array([1, 2, 3]))
        stream.give(np.array([4]))
        assert read(feed) == [1, 2, 3, 4]
    assert not stream.open


def test_options_of_the_microphone(devices: object) -> None:
    options = InputOptions(input="1", rate=16_000, channels=2, sample_format="s24le")
    with microphone(options) as feed:
        arguments = FakeStream.last.arguments
        assert (arguments["device"], arguments["dtype"]) == (1, "int24")
        assert (feed.sample_rate, arguments["channels"]) == (16_000, 2)
    with microphone(InputOptions(input="USB mic")):
        assert FakeStream.last.arguments["device"] == "USB mic"


def test_lost_samples_are_counted_and_advance_the_time(devices: object) -> None:
    with microphone(InputOptions(rate=1000)) as feed:
        FakeStream.last.give(np.array([1, 2, 3]))
        FakeStream.last.give(np.array([4, 5]), lost=4)
        assert feed.dropped == 4
        assert read(feed) == [1, 2, 3, 0, 0, 0, 0, 4, 5]


def test_overflows_of_unknown_length_are_counted(devices: object) -> None:
    with microphone(InputOptions(rate=1000)) as feed:
        for overflow in (True, False, True):
            FakeStream.last.arguments["callback"](
                memoryview(bytes(20)), 10, SimpleNamespace(inputBufferAdcTime=0.0),
                SimpleNamespace(input_overflow=overflow),
            )  # fmt: skip
        assert (feed.overflows, feed.dropped) == (2, 0)


def test_a_slow_consumer(devices: object) -> None:
    with microphone(InputOptions(rate=1000)) as feed:
        for number in range(33):
            FakeStream.last.give(np.full(1000, number + 1))
        assert feed.dropped == 3000
        found = read(feed)
    assert len(found) == 33_000
    assert found[29_999:30_001] == [30, 0]


def test_a_microphone_that_is_unplugged(devices: object) -> None:
    with microphone(InputOptions()) as feed:
        FakeStream.last.arguments["finished_callback"]()
        assert feed.error == STOPPED


def test_no_such_device(devices: Callable[[list[dict[str, Any]]], None]) -> None:
    with (
        pytest.raises(OptionsError, match=r"--input piano.*1 USB mic"),
        microphone(InputOptions(input="piano")),
    ):
        pass
    devices(DEVICES[:1])
    with pytest.raises(OptionsError, match="no microphone"), microphone(InputOptions()):
        pass


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (ImportError("none"), MissingExtraError, "sonotype[live]"),
        (OSError("PortAudio library not found"), SonotypeError, "sudo apt install libportaudio2"),
    ],
)
def test_what_to_install(
    monkeypatch: pytest.MonkeyPatch, error: Exception, kind: type[Exception], words: str
) -> None:
    original = builtins.__import__

    def refuse(name: str, *arguments: Any, **more: Any) -> Any:
        if name == "sounddevice":
            raise error
        return original(name, *arguments, **more)

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(kind) as caught, microphone(InputOptions()):
        pass
    assert words in str(caught.value)
