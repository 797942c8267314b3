"""Every container and codec of the program ffmpeg is decoded like ffmpeg decodes it."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from sound_files import encoded, noise, tone

from sonotype.audio.decode import load_audio
from sonotype.audio.decoders.ffmpeg import AV_FORMATS
from sonotype.audio.stream import stream
from sonotype.core.errors import AudioError
from sonotype.data.suffixes import SOUND_SUFFIXES

FFMPEG = shutil.which("ffmpeg")
pytestmark = pytest.mark.skipif(FFMPEG is None, reason="the program ffmpeg is not installed")

PCM = ("u8", "s16le", "s24le", "s32le", "f32le", "f64le")
FILES = {
    **{f"{coding}.wav": ("-c:a", f"pcm_{coding}") for coding in PCM},
    "mulaw.wav": ("-c:a", "pcm_mulaw"),
    "alaw.wav": ("-c:a", "pcm_alaw"),
    "ms.wav": ("-c:a", "adpcm_ms"),
    "ima.wav": ("-c:a", "adpcm_ima_wav"),
    "mp3.wav": ("-c:a", "libmp3lame"),
    "rf64.wav": ("-rf64", "always"),
    "a.w64": (),
    "a.aiff": (),
    "le.aiff": ("-c:a", "pcm_s16le"),
    "a.au": (),
    "a.caf": (),
    "alac.caf": ("-c:a", "alac"),
    "a.voc": (),
    "a.flac": (),
    "s24.flac": ("-sample_fmt", "s32", "-strict", "-2"),
    "a.ogg": ("-c:a", "libvorbis"),
    "flac.oga": ("-c:a", "flac"),
    "a.opus": ("-c:a", "libopus"),
    "a.spx": ("-c:a", "libspeex", "-ar", "16000", "-ac", "1"),
    "a.mp3": (),
    "vbr.mp3": ("-q:a", "4"),
    "bare.mp3": ("-write_xing", "0", "-id3v2_version", "0"),
    "low.mp3": ("-ar", "11025", "-b:a", "16k"),
    "a.mp2": (),
    "a.m4a": (),
    "front.m4a": ("-movflags", "+faststart"),
    "fragments.mp4": ("-movflags", "frag_keyframe+empty_moov"),
    "alac.m4a": ("-c:a", "alac"),
    "a.aac": (),
    "a.3gp": ("-c:a", "aac"),
    "a.mov": ("-c:a", "pcm_s24be"),
    "a.wma": (),
    "v1.wma": ("-c:a", "wmav1"),
    "a.ac3": (),
    "a.eac3": (),
    "a.dts": ("-strict", "-2"),
    "a.tta": (),
    "a.wv": (),
    "a.webm": (),
    "vorbis.webm": ("-c:a", "libvorbis"),
    "a.mka": (),
    "pcm.mkv": ("-c:a", "pcm_s16le"),
    "a.avi": (),
    "a.flv": ("-ar", "44100"),
    "a.mpg": (),
    "a.m2ts": (),
    "a.rm": ("-c:a", "ac3"),
    "a.gsm": ("-ar", "8000", "-ac", "1"),
    "a.sph": ("-f", "nut"),
    "surround.ac3": ("-ac", "6"),
    "surround.m4a": ("-ac", "6"),
    "surround.flac": ("-ac", "6"),
    "mono.m4a": ("-ac", "1"),
    "rate_96k.m4a": ("-ar", "96000"),
}
"""By file name, the options of ffmpeg."""

LOSSLESS = (
    "u8.wav", "s16le.wav", "s24le.wav", "s32le.wav", "f32le.wav", "a.flac", "s24.flac", "a.w64",
    "a.aiff", "a.au", "a.caf", "alac.caf", "alac.m4a", "a.tta", "flac.oga", "pcm.mkv", "a.mov",
)  # fmt: skip
"""Decoded to the last digit."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stereo of two seconds: noise and a tone."""
    path = tmp_path_factory.mktemp("ffmpeg") / "source.wav"
    stereo = np.stack([noise(2.05), tone(2.05)], axis=1)
    path.write_bytes(encoded(stereo, format="WAV", subtype="FLOAT"))
    outputs = [word for name, how in FILES.items() for word in (*how, path.parent / name)]
    if run("-y", "-i", path, *outputs).returncode:  # an encoder is missing: one by one
        for name in FILES:
            (path.parent / name).unlink(missing_ok=True)
    return path


def run(*words: str | Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([str(FFMPEG), "-v", "error", *words], capture_output=True, check=False)


def written(source: Path, name: str, how: tuple[str, ...]) -> Path:
    path = source.parent / name
    if not path.exists():
        done = run("-y", "-i", source, *how, path)
        error = done.stderr.decode()
        if done.returncode and "encoder" in error.lower():
            pytest.skip(f"this ffmpeg lacks what it takes: {error.strip()[:80]}")
        assert done.returncode == 0, error
    return path


def mono_by_ffmpeg(path: Path) -> tuple[np.ndarray, int]:
    """Mean of the channels as ffmpeg decodes them, and the sample rate."""
    wav = run("-i", path, "-f", "wav", "-c:a", "pcm_f32le", "-fflags", "+bitexact", "-").stdout
    chunk = wav.index(b"fmt ") + 8
    channels = int.from_bytes(wav[chunk + 2 : chunk + 4], "little")
    rate = int.from_bytes(wav[chunk + 4 : chunk + 8], "little")
    samples = np.frombuffer(wav[wav.index(b"data") + 8 :], "<f4")
    return samples.reshape(-1, channels).mean(axis=1), rate


@pytest.mark.parametrize("name", FILES)
def test_each_sample_is_that_of_ffmpeg(source: Path, name: str) -> None:
    path = written(source, name, FILES[name])
    expected, rate = mono_by_ffmpeg(path)
    sound = load_audio(path)
    assert (sound.sample_rate, len(sound.samples), sound.truncated) == (rate, len(expected), "")
    # Two decoders of Vorbis, and two versions of FFmpeg, differ in the last digits of floats.
    # FFmpeg 6 changed how ADPCM rounds.
    most = 2e-3 if "ima" in name else 0 if name in LOSSLESS else 3e-6
    np.testing.assert_allclose(sound.samples, expected, rtol=0, atol=most)
    pieces = list(stream(path, block=5_003))
    np.testing.assert_allclose(np.concatenate(pieces), sound.samples, rtol=0, atol=3e-7)
    part = load_audio(path, start=0.7, duration=0.5).samples
    first = round(0.7 * rate)
    np.testing.assert_allclose(
        part, sound.samples[first : first + round(0.5 * rate)], rtol=0, atol=3e-7
    )
    assert path.suffix in SOUND_SUFFIXES


def test_a_file_from_a_pipe(source: Path) -> None:
    """ffmpeg cannot complete headers in a pipe."""
    for container in ("wav", "flac", "mp3", "ogg", "adts", "matroska"):
        content = run("-i", source, "-f", container, "-").stdout
        sound = load_audio(content)
        assert sound.truncated == ""
        assert len(sound.samples) / sound.sample_rate == pytest.approx(2.05, abs=0.06)


def test_the_sound_of_a_film(source: Path) -> None:
    path = source.parent / "film.mp4"
    film = ("-f", "lavfi", "-i", "testsrc=size=64x64:rate=10:duration=4")
    done = run("-y", *film, "-i", source, "-c:v", "mpeg4", "-c:a", "aac", path)
    assert done.returncode == 0, done.stderr.decode()
    expected, _ = mono_by_ffmpeg(path)
    sound = load_audio(path)
    assert sound.truncated == ""
    np.testing.assert_allclose(sound.samples, expected, rtol=0, atol=3e-6)


@pytest.mark.parametrize("name", ["front.m4a", "a.mka", "a.aac", "a.ac3", "a.wv", "a.tta", "a.dts"])
@pytest.mark.parametrize("kept", [0.6, 0.8])
def test_truncated_files_give_the_samples_that_are_present(
    source: Path, name: str, kept: float
) -> None:
    content = written(source, name, FILES[name]).read_bytes()
    whole = load_audio(content).samples
    sound = load_audio(content[: int(kept * len(content))], partial=True)
    assert sound.truncated.startswith("is truncated")
    assert 0.2 * len(whole) < len(sound.samples) < len(whole)
    same = len(sound.samples) - 4_096
    np.testing.assert_allclose(sound.samples[:same], whole[:same], rtol=0, atol=1e-6)


def test_an_mp4_without_its_index_says_so(source: Path) -> None:
    content = written(source, "a.m4a", FILES["a.m4a"]).read_bytes()
    with pytest.raises(AudioError) as caught:
        load_audio(content[: len(content) // 2])
    assert caught.value.cause == "is truncated: its index (the box moov) is missing"


def test_containers_are_known_to_ffmpeg() -> None:
    listed = run("-demuxers").stdout.decode().split()
    known = {name for word in listed for name in word.split(",")}
    assert {"aac", "mov", "matroska", "wav", "flac", "mp3", "ogg"} <= known & set(
        AV_FORMATS.split(",")
    )


def test_frames_of_64_bit_integers_are_no_sound() -> None:
    """Its header states 65,535 bits a sample, which FFmpeg decodes as 64 bits."""
    header = b"2BIT" + bytes(8) + struct.pack(">HHHHHII", 0xFFFF, 64, 255, 0, 0xFFFF, 16_000, 1920)
    content = header.ljust(128, b"\0") + np.random.default_rng(1).bytes(3840)
    with pytest.raises(AudioError):
        load_audio(content)
