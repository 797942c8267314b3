"""Sounds and spectrograms as data URIs: MP3 of about 3 kB a second, PNG of about 15 kB."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sonotype.audio.clip import AudioSpec, load_clip
from sonotype.audio.decode import Samples, load_audio
from sonotype.audio.pad import fit_length
from sonotype.core.errors import AudioError, SonotypeError

if TYPE_CHECKING:
    from sonotype.explain.methods import MethodName
    from sonotype.inference.classifier import Classifier

RATE = 24_000
"""Hz of sounds in the page; the MP3 format allows 16, 22.05, 24 and 32 kHz, among others."""
COMPRESSION = 0.7
"""Of libsndfile's MP3 encoder with a variable bit rate: from 0 to below 1, the smallest files."""
LONGEST = 15.0
"""Seconds of a clip that are embedded."""
FFT, HOP, BANDS = 1024, 256, 96
WIDTH, HEIGHT = 360, 96
"""Pixels of a spectrogram."""
LEVELS = 40
"""Colours of a spectrogram; fewer make a smaller file."""
COLOURS = ("000004", "1b0c41", "4a0c6b", "781c6d", "a52c60", "cf4446", "ed6925", "fb9b06", "f7d13d",
           "fcffa4")  # fmt: skip
"""From quiet to loud: matplotlib's inferno in ten steps."""
HIGHLIGHT = (86, 220, 255)
"""Colour of the importance; the spectrogram below it is grey."""
OPAQUE = 210
"""Of 255, where the importance is highest: the spectrogram stays visible."""

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Media:
    """The sound of a clip, and what it looks like; data URIs.

    Attributes:
        seconds: length of the spectrogram.
        sound: MP3; at most 15 s.
        picture: log-mel spectrogram; empty if it was not wanted.
        highest: Hz at the top of the picture.
        importance: transparent picture over the spectrogram; empty if not known.
        probability: of the explained class in the delivered model; ``None`` if not known.
        kept: the same for the marked part of the clip alone.
        rest: the same for the remainder.
    """

    seconds: float
    sound: str
    picture: str = ""
    highest: float = 0.0
    importance: str = ""
    probability: float | None = None
    kept: float | None = None
    rest: float | None = None


def load_samples(path: Path, audio_spec: AudioSpec, start: float | None) -> Samples:
    """What the model gets of a file or of a window of it, at the rate of the page.

    Raises:
        AudioError: the file cannot be read.
    """
    spec = replace(audio_spec, sample_rate=RATE, seconds=min(audio_spec.seconds, LONGEST))
    if spec.crop == "random":
        spec = replace(spec, crop="centre")
    if start is None:
        return load_clip(path, spec, partial=True)
    sound = load_audio(path, sample_rate=RATE, start=start, duration=spec.seconds, partial=True)
    return fit_length(sound.samples, spec.length, pad=spec.pad)


def media_of(path: Path, audio_spec: AudioSpec, start: float | None) -> Media | None:
    """The sound of a clip, without a picture; ``None`` if the file cannot be read."""
    try:
        samples = load_samples(path, audio_spec, start)
    except (AudioError, OSError):
        return None
    return Media(len(samples) / RATE, sound_uri(samples))


def pictured(media: Media, path: Path, audio_spec: AudioSpec, start: float | None) -> Media:
    """The media with a spectrogram."""
    top = min(audio_spec.sample_rate, RATE) / 2
    values = log_mel(load_samples(path, audio_spec, start), top)
    return replace(media, picture=picture_uri(values), highest=top)


def explained(
    media: Media,
    classifier: Classifier,
    path: Path,
    start: float | None,
    question: tuple[str, str],
    method: MethodName,
) -> Media:
    """The media with the importance for a class, and the spectrogram that the network gets.

    Where the model cannot be explained, the spectrogram alone.

    Args:
        media: of the clip.
        classifier: the delivered model.
        path: the file.
        start: of the window in seconds; ``None`` for a whole file.
        question: level and class.
        method: of the explanation.
    """
    from sonotype.explain.explanation import explain

    level, label = question
    try:
        found = explain(classifier, path, label, level=level, method=method, start=start)
    except (SonotypeError, OSError):
        return pictured(media, path, classifier.audio_spec, start)
    branch = found.branches[0]
    return replace(
        media,
        seconds=branch.seconds,
        picture=picture_uri(branch.log_mel),
        highest=float(branch.band_frequencies[-1]),
        importance=importance_uri(branch.importance),
        probability=found.probability,
        kept=found.kept_probability,
        rest=found.rest_probability,
    )


def sound_uri(samples: Samples) -> str:
    """Mono samples at the rate of the page as MP3."""
    import soundfile

    stream = io.BytesIO()
    with soundfile.SoundFile(
        stream, "w", RATE, 1, "MPEG_LAYER_III", format="MP3",
        compression_level=COMPRESSION, bitrate_mode="VARIABLE",
    ) as file:  # fmt: skip
        file.write(np.clip(samples, -1, 1))
    return data_uri("audio/mpeg", stream.getvalue())


def log_mel(samples: Samples, top: float) -> Floats:
    """Decibels in mel bands up to a frequency in Hz, ``[frames, bands]``."""
    from sonotype.frontends.mel import mel_bands

    weights = mel_bands(sample_rate=RATE, fft_size=FFT, bands=BANDS, low=50.0, high=top)
    padded = np.pad(samples, (0, max(FFT - len(samples), 0)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, FFT)[::HOP]
    power = np.abs(np.fft.rfft(frames * np.hanning(FFT).astype(np.float32))) ** 2
    return np.asarray(10 * np.log10(power @ weights + 1e-9))


def picture_uri(values: Floats) -> str:
    """A log-mel ``[time, bands]`` of any unit as PNG, low frequencies at the bottom."""
    from PIL import Image

    low, high = (float(x) for x in np.percentile(values, (5, 99.8)))
    scaled = np.clip((values - low) / max(high - low, 1e-6), 0, 1)
    pixels = Image.fromarray(np.ascontiguousarray(scaled.T[::-1]).astype(np.float32))
    width = min(WIDTH, values.shape[0])
    pixels = pixels.resize((width, min(HEIGHT, values.shape[1])), Image.Resampling.BOX)
    picture = Image.fromarray(np.round(np.asarray(pixels) * (LEVELS - 1)).astype(np.uint8))
    picture = picture.convert("P")
    anchors = np.array([[*bytes.fromhex(colour)] for colour in COLOURS])
    steps = np.linspace(0, len(COLOURS) - 1, LEVELS)
    channels = [np.interp(steps, range(len(COLOURS)), anchors[:, n]) for n in range(3)]
    picture.putpalette(np.stack(channels, axis=1).round().astype(np.uint8).tobytes())
    return _png_uri(picture)


def importance_uri(values: Floats) -> str:
    """Importance ``[time, bands]`` as a PNG of one colour, most opaque where it is highest."""
    from PIL import Image

    scaled = np.clip(values / max(float(np.percentile(values, 99.7)), 1e-12), 0, 1)
    alpha = Image.fromarray(np.ascontiguousarray(OPAQUE * scaled.T[::-1]).astype(np.uint8))
    size = (min(100, values.shape[0]), min(32, values.shape[1]))
    alpha = alpha.resize(size, Image.Resampling.BILINEAR)
    picture = Image.new("RGBA", size, (*HIGHLIGHT, 0))
    picture.putalpha(alpha)
    return _png_uri(picture)


def _png_uri(picture: object) -> str:
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True)  # type: ignore[attr-defined]
    return data_uri("image/png", stream.getvalue())


def data_uri(kind: str, content: bytes) -> str:
    """Bytes as a data URI of a media type."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
