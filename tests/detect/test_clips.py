"""Clips of events: which samples, which names, and training with them."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sonotype.audio.decode import load_audio
from sonotype.core.detections import DetectedEvent
from sonotype.core.errors import AudioError
from sonotype.data.readers.folder import read_folder
from sonotype.data.validate import Rules
from sonotype.detect import clips
from sonotype.detect.clips import clip_names, cut_clips
from sonotype.detect.output_names import label_folders, safe_name

RATE = 11_025


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten seconds, stereo, 16 bits."""
    path = tmp_path_factory.mktemp("sounds") / "night.wav"
    samples = np.random.default_rng(0).uniform(-0.2, 0.2, (10 * RATE, 2))
    soundfile.write(path, samples, RATE)
    return path


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3"])
@pytest.mark.parametrize("block", [1 << 16, 1000])
def test_samples(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, block: int
) -> None:
    """Overlapping, nested, adjacent, equal spans, and spans beyond the ends, against slices."""
    monkeypatch.setattr(clips, "BLOCK", block)
    source = tmp_path / f"night{suffix}"
    samples, rate = soundfile.read(recording)
    rate = 8_000 if suffix in (".ogg", ".mp3") else rate
    soundfile.write(source, samples, rate)
    spans = [(0.0, 0.5), (1.0, 3.0), (1.5, 2.0), (1.5, 2.0), (2.9, 3.5), (6.9, 7.0), (7.2, 99.0)]
    files = {tmp_path / f"{number}.wav": span for number, span in enumerate(spans)}
    cut_clips(source, files, 0.1)
    whole = load_audio(source).samples
    for file, (start, end) in files.items():
        expected = whole[max(0, round((start - 0.1) * rate)) : round((end + 0.1) * rate)]
        found, found_rate = soundfile.read(file, dtype="float32")
        assert found_rate == rate
        assert len(found) == len(expected)
        assert np.abs(found - expected).max() < 2**-23


def test_the_format(recording: Path, tmp_path: Path) -> None:
    cut_clips(recording, {tmp_path / "x" / "clip.wav": (1.0, 2.0)}, 0)
    info = soundfile.info(tmp_path / "x" / "clip.wav")
    assert (info.samplerate, info.channels, info.frames) == (RATE, 1, RATE)
    assert (info.format, info.subtype) == ("WAV", "PCM_24")


def test_no_clip_behind_the_end_and_none_of_a_missing_recording(
    recording: Path, tmp_path: Path
) -> None:
    cut_clips(recording, {tmp_path / "a.wav": (9.0, 12.0), tmp_path / "b.wav": (11.0, 12.0)}, 0.5)
    assert soundfile.info(tmp_path / "a.wav").duration == pytest.approx(1.5, abs=1 / RATE)
    assert not (tmp_path / "b.wav").exists()
    with pytest.raises(AudioError, match="does not exist"):
        cut_clips(tmp_path / "none.wav", {tmp_path / "c.wav": (0.0, 1.0)}, 0)


def test_an_error_of_writing_leaves_no_part(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise soundfile.LibsndfileError(2)

    monkeypatch.setattr(soundfile.SoundFile, "write", fail)
    with pytest.raises(OSError):
        cut_clips(recording, {tmp_path / "a.wav": (0.0, 1.0)}, 0)
    assert list(tmp_path.iterdir()) == []


def test_memory_does_not_grow_with_a_clip(tmp_path: Path) -> None:
    source = tmp_path / "long.wav"
    with soundfile.SoundFile(source, "w", 8000, 1) as file:
        for _ in range(120):
            file.write(np.zeros(8000 * 10))
    tracemalloc.start()
    cut_clips(source, {tmp_path / "clip.wav": (0.0, 1200.0)}, 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert soundfile.info(tmp_path / "clip.wav").duration == 1200
    assert peak < 4e6  # the clip has 38 MB


def test_names() -> None:
    events = [DetectedEvent(1.0, 2.5, "dog/big", 0.5), DetectedEvent(3661.25, 3662, "cat", 0.5)]
    folders = label_folders(["cat", "dog/big"])
    assert clip_names(events, "a_night", folders) == {
        f"{folders['dog/big']}/a_night_1.000-2.500.wav": (1.0, 2.5),
        "cat/a_night_3661.250-3662.000.wav": (3661.25, 3662),
    }


LABELS = (
    "dog", "Dog", "dog/big", "dog:big", "..", ".hidden", "", " ", "con", "Aux.1", "test", "train",
    "x" * 300, "a\nb", "夜", "Ne\u0301e", "N\u00e9e", "lost+found", "end.", "\udcff",
)  # fmt: skip


def test_any_label_gets_a_folder_of_its_own(tmp_path: Path) -> None:
    folders = label_folders(LABELS)
    assert len({name.casefold() for name in folders.values()}) == len(LABELS)
    for number, name in enumerate(folders.values()):
        assert Path(name).parts == (name,)
        (tmp_path / name).mkdir()
        for clip in range(2):
            samples = np.random.default_rng([number, clip]).uniform(-0.5, 0.5, 8000)
            soundfile.write(tmp_path / name / f"{clip}.wav", samples, 8000)
    classes = {clip.labels["category"] for clip in read_folder(tmp_path, rules=Rules()).clips}
    assert len(classes) == len(LABELS)
    assert safe_name("dog") == "dog"
    assert folders["夜"] == "夜"
