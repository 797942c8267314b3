"""Sources of live sound: standard input, a file, or a microphone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from sonotype.audio.decode import Samples
from sonotype.audio.decoders.open_sound import open_sound
from sonotype.audio.stream import stream
from sonotype.core.errors import MissingExtraError, OptionsError, SonotypeError
from sonotype.core.text import listed
from sonotype.live.feed import Feed, start_reading
from sonotype.live.live_options import InputOptions
from sonotype.live.pcm import NAME, ByteStream, PcmFormat, PcmStream, samples_of

MICROPHONE = "microphone"
BLOCKS_A_SECOND = 20
"""Blocks in which the sound system gives the samples of a microphone."""
TYPES = {"s16le": "int16", "s24le": "int24", "s32le": "int32", "f32le": "float32"}
"""Names that sounddevice has for the sample formats."""
NO_PORTAUDIO = (
    "the sound system needs the library PortAudio: sudo apt install libportaudio2, or the package "
    "portaudio of your system"
)
STOPPED = "the microphone stopped: is it still connected?"


@contextmanager
def _read(feed: Feed, pieces: Iterable[Samples]) -> Iterator[Feed]:
    """Fill a feed in a thread; close it at the end."""
    start_reading(feed, pieces)
    try:
        yield feed
    finally:
        feed.close()


def pipe(byte_stream: ByteStream, options: InputOptions) -> AbstractContextManager[Feed]:
    """Raw samples or a WAV stream; errors as for :class:`PcmStream`."""
    pcm = PcmStream(byte_stream, options)
    return _read(Feed(NAME, pcm.format.rate), pcm.pieces())


def file(path: Path) -> AbstractContextManager[Feed]:
    """A sound file, as fast as it can be scored.

    Raises:
        AudioError: it cannot be opened.
    """
    with open_sound(path, str(path)) as sound:
        feed = Feed(str(path), sound.rate)
    return _read(feed, stream(path))


@contextmanager
def microphone(options: InputOptions) -> Iterator[Feed]:
    """A microphone, through the package sounddevice.

    Raises:
        MissingExtraError: sounddevice is not installed.
        SonotypeError: PortAudio is not installed.
        OptionsError: no such device, or one that does not have the rate or the channels.
    """
    sounddevice = _sounddevice()
    device: str | int | None = int(options.input) if options.input.isdigit() else options.input
    device = None if device == "" else device
    try:
        info = sounddevice.query_devices(device, "input")
        pcm = PcmFormat(
            options.rate or round(info["default_samplerate"]),
            options.channels,
            options.sample_format,
        )
        feed = Feed(MICROPHONE, pcm.rate)
        sound = sounddevice.RawInputStream(
            samplerate=pcm.rate,
            blocksize=pcm.rate // BLOCKS_A_SECOND,
            device=device,
            channels=pcm.channels,
            dtype=TYPES[pcm.sample_format],
            callback=_callback(feed, pcm),
            finished_callback=lambda: feed.end(STOPPED),
        )
    except (ValueError, sounddevice.PortAudioError) as error:
        raise OptionsError(_device_issue(sounddevice, options, error)) from None
    with sound:
        try:
            yield feed
        finally:
            feed.close()


def _sounddevice() -> Any:
    try:
        import sounddevice
    except ImportError:
        raise MissingExtraError("a microphone", "live") from None
    except OSError:  # the package is there, the library is not
        raise SonotypeError(NO_PORTAUDIO) from None
    return sounddevice


def _callback(feed: Feed, pcm: PcmFormat) -> Callable[[Any, int, Any, Any], None]:
    """Takes up a block of samples, in a thread of the sound system, which must never wait."""
    expected: float | None = None

    def take(data: Any, frames: int, time: Any, status: Any) -> None:
        nonlocal expected
        lost, start = 0, time.inputBufferAdcTime
        if status.input_overflow and expected is not None:
            lost = max(round((start - expected) * pcm.rate), 0)
        if status.input_overflow and not lost:
            feed.overflows += 1
        expected = start + frames / pcm.rate
        feed.offer(samples_of(bytes(data), pcm), lost)

    return take


def _device_issue(sounddevice: Any, options: InputOptions, error: Exception) -> str:
    """What is wrong with the device, and which ones there are."""
    names = [
        f"{number} {one['name']}"
        for number, one in enumerate(sounddevice.query_devices())
        if one["max_input_channels"] > 0
    ]
    if not names:
        return "there is no microphone; connect one, or pipe sound into: sonotype listen MODEL -"
    reason = " ".join(str(error).split())
    which = f"--input {options.input}" if options.input else "the microphone"
    return f"{which}: {reason}; with --input, --rate and --channels choose one of {listed(names)}"
