"""Short sounds in all formats that the program decodes, made from nothing."""

# ruff: noqa: E501 - tables of odd values

from __future__ import annotations

import io
from functools import cache

import av
import numpy as np
import soundfile

FORMATS = (
    *("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC", "OGG", "MP3", "NIST", "SVX"),
    *("VOC", "PAF", "IRCAM", "AVR", "MAT5", "PVF", "HTK", "SDS", "XI", "MPC2K", "WVE"),
)
"""Of libsndfile."""

CONTAINERS = {
    "aac.m4a": ("ipod", "aac"), "alac.m4a": ("ipod", "alac"), "aac.adts": ("adts", "aac"),
    "opus.webm": ("webm", "libopus"), "opus.ogg": ("ogg", "libopus"), "flac.mkv": ("matroska", "flac"),
    "pcm.mkv": ("matroska", "pcm_s16le"), "aac.mp4": ("mp4", "aac"), "mp2.mp2": ("mp2", "mp2"),
    "mp3.mp3": ("mp3", "libmp3lame"), "ac3.ac3": ("ac3", "ac3"), "wma.wma": ("asf", "wmav2"),
    "pcm.mov": ("mov", "pcm_s16be"), "aac.ts": ("mpegts", "aac"), "aac.flv": ("flv", "aac"),
    "wavpack.wv": ("wv", "wavpack"), "tta.tta": ("tta", "tta"), "amr.amr": ("amr", "libopencore_amrnb"),
    "flac.ogg": ("ogg", "flac"), "mp3.avi": ("avi", "libmp3lame"), "vorbis.webm": ("webm", "libvorbis"),
    "adpcm.wav": ("wav", "adpcm_ms"), "mp3.wav": ("wav", "libmp3lame"), "aac.caf": ("caf", "aac"),
}  # fmt: skip
"""Suffix, format and codec of FFmpeg."""


def _samples(seconds: float, rate: int, channels: int) -> np.ndarray:
    samples = np.random.default_rng(1).uniform(-0.3, 0.3, (round(seconds * rate), channels))
    return samples.astype(np.float32)


@cache
def sound_corpus() -> dict[str, bytes]:
    """Sound files by name; formats and codecs that are not built in are left out."""
    found = {}
    for form in FORMATS:
        for subtype in soundfile.available_subtypes(form):
            for rate, channels in ((8000, 1), (16_000, 2)):
                stream = io.BytesIO()
                try:
                    samples = _samples(0.12, rate, channels)
                    soundfile.write(stream, samples, rate, format=form, subtype=subtype)
                except (soundfile.LibsndfileError, ValueError, TypeError):
                    continue
                found[f"{subtype}_{rate}.{form.lower()}"] = stream.getvalue()
    for name, (form, codec) in CONTAINERS.items():
        content = _muxed(form, codec)
        if content:
            found[name] = content
    mp3 = found.get("MPEG_LAYER_III_8000.mp3")
    if mp3:
        tag = b"ID3\x03\0\0\0\0\x02\0TIT2\0\0\0\x06\0\0\0hello" + bytes(245)
        found["tagged.mp3"] = tag + mp3
    return found


def _muxed(form: str, codec: str) -> bytes:
    stream = io.BytesIO()
    rate = 8000 if codec.startswith("libopencore") else 48_000
    try:
        with av.open(stream, "w", format=form, options={"fflags": "+bitexact"}) as file:
            track = file.add_stream(codec, rate=rate, layout="mono")
            samples = _samples(0.15, rate, 1).T
            frame = av.AudioFrame.from_ndarray(samples, format="flt", layout="mono")
            frame.sample_rate, frame.pts = rate, 0
            resampler = av.AudioResampler(track.format, "mono", rate)
            for one in resampler.resample(frame):
                file.mux(track.encode(one))
            file.mux(track.encode(None))
    except (av.FFmpegError, ValueError, OSError, KeyError):
        return b""
    return stream.getvalue()
