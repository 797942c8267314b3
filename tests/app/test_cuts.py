"""Parts of sounds as WAV files, and what browsers play."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sound_files import encoded, noise, tone

from sonotype.app.cuts import cut, cut_name
from sonotype.app.playback import media_type, write_playable
from sonotype.app.sound_files import channels_of, examine
from sonotype.core.errors import AudioError
from sonotype.serve.problems import ProblemError

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")


def convert(source: Path, target: Path, *options: str) -> Path:
    command = ["ffmpeg", "-v", "error", "-y", "-i", str(source), *options, str(target)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return target


def stereo(seconds: float, rate: int) -> np.ndarray:
    return np.stack([noise(seconds, 1, rate), noise(seconds, 2, rate)], axis=1)


@pytest.mark.parametrize(
    ("form", "subtype", "bits"),
    [("wav", "PCM_16", "PCM_16"), ("wav", "PCM_24", "PCM_24"), ("flac", "PCM_16", "PCM_16"),
     ("flac", "PCM_24", "PCM_24")],
)  # fmt: skip
def test_a_cut_has_the_samples_of_the_recording(
    tmp_path: Path, form: str, subtype: str, bits: str
) -> None:
    path, target = tmp_path / f"a.{form}", tmp_path / "part.wav"
    soundfile.write(path, stereo(3, 96_000), 96_000, subtype=subtype)
    cut(path, target, 1.25, 2.0)
    whole, rate = soundfile.read(path, dtype="int32")
    part, new_rate = soundfile.read(target, dtype="int32")
    assert new_rate == rate == 96_000
    assert soundfile.info(target).subtype == bits
    assert np.array_equal(part, whole[120_000:192_000])


def test_floats_are_cut_with_24_bits(tmp_path: Path) -> None:
    path, target = tmp_path / "a.wav", tmp_path / "part.wav"
    soundfile.write(path, tone(2, rate=8000, level=0.5), 8000, subtype="FLOAT")
    cut(path, target, 0.5, 99)
    assert soundfile.info(target).subtype == "PCM_24"
    part, _ = soundfile.read(target)
    assert np.abs(part - soundfile.read(path)[0][4000:]).max() < 1e-6


@needs_ffmpeg
def test_a_cut_of_a_video_keeps_its_channels(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    sound = np.stack([tone(3, 500, 44_100), tone(3, 1500, 44_100)], axis=1)
    soundfile.write(path, sound, 44_100)
    video = convert(path, tmp_path / "a.m4a", "-c:a", "aac", "-b:a", "192k")
    cut(video, tmp_path / "part.wav", 1, 2)
    part, rate = soundfile.read(tmp_path / "part.wav")
    assert (part.shape, rate) == ((44_100, 2), 44_100)
    for channel in range(2):
        reference = sound[44_100:88_200, channel]
        assert np.corrcoef(part[:, channel], reference)[0, 1] > 0.99
    assert channels_of(video) == 2


def test_a_damaged_recording_is_cut_where_it_is_readable(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(4, rate=16_000), 16_000)
    path.write_bytes(path.read_bytes()[:64_044])
    cut(path, tmp_path / "part.wav", 1, 3.5)
    assert soundfile.info(tmp_path / "part.wav").frames == 16_000
    with pytest.raises(AudioError, match="no sound in this part"):
        cut(path, tmp_path / "none.wav", 3, 3.5)
    assert not (tmp_path / "none.wav").exists()


def test_names_of_cuts_begin_with_the_recording() -> None:
    assert cut_name("night 🦉.mp3", 1.5, 2.25) == "night 🦉_1.500-2.250.wav"


def test_usual_files_are_played_as_they_are(tmp_path: Path) -> None:
    samples = noise(1, rate=16_000)
    wanted = {
        "a.wav": ({"format": "WAV"}, "audio/wav"),
        "a.flac": ({"format": "FLAC"}, "audio/flac"),
        "a.ogg": ({"format": "OGG", "subtype": "VORBIS"}, "audio/ogg"),
        "a.mp3": ({"format": "MP3"}, "audio/mpeg"),
        "a.aiff": ({"format": "AIFF"}, ""),
        "b.wav": ({"format": "WAV", "subtype": "IMA_ADPCM"}, ""),
        "c.wav": ({"format": "WAV", "subtype": "DOUBLE"}, ""),
    }
    for name, (options, kind) in wanted.items():
        path = tmp_path / name
        path.write_bytes(encoded(samples, 16_000, **options))
        assert media_type(path) == kind, name


def test_other_files_are_played_as_wav(tmp_path: Path) -> None:
    path = tmp_path / "a.aiff"
    soundfile.write(path, stereo(1, 96_000), 96_000)
    write_playable(path, tmp_path / "a.wav")
    info = soundfile.info(tmp_path / "a.wav")
    assert (info.samplerate, info.channels, info.subtype) == (48_000, 1, "PCM_16")
    assert info.frames == 48_000
    assert media_type(tmp_path / "a.wav") == "audio/wav"


@needs_ffmpeg
def test_a_video_is_played_as_wav_and_examined(tmp_path: Path) -> None:
    silent = tmp_path / "silent.mp4"
    subprocess.run(
        ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc=size=64x64:rate=5:duration=1",
         "-c:v", "mpeg4", str(silent)], check=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    with pytest.raises(ProblemError) as refused:
        examine(silent, "holiday.mp4")
    assert refused.value.name == "unsupported-media-type"
    assert "holiday.mp4 holds no sound" in refused.value.detail
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(1, 440, 44_100), 44_100)
    video = convert(silent, tmp_path / "v.mp4", "-i", str(path), "-c:v", "copy", "-c:a", "aac")
    facts = examine(video, "v.mp4")
    assert facts.seconds == pytest.approx(1, abs=0.1)
    assert (facts.sample_rate, facts.channels, facts.note) == (44_100, 1, "")
    assert media_type(video) == ""
    write_playable(video, tmp_path / "v.wav")
    assert soundfile.info(tmp_path / "v.wav").duration == pytest.approx(1, abs=0.1)
