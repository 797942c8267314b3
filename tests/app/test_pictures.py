"""Pictures of sounds: orientation, levels, parts of recordings, memory of long ones."""

import io
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image
from sound_files import noise, tone, wav

from sonotype.app.pictures import BANDS, Overview, overview_of, picture, thumbnail
from sonotype.core.errors import AudioError


def pixels(png: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(png))
    assert image.mode == "L"
    return np.asarray(image)


def overview(folder: Path, samples: np.ndarray, rate: int) -> Overview:
    path = folder / "a.wav"
    soundfile.write(path, samples, rate)
    return overview_of(path, folder / "a.overview")


@pytest.mark.parametrize("rate", [8000, 44_100, 96_000])
def test_high_tones_are_above_low_ones(tmp_path: Path, rate: int) -> None:
    samples = np.concatenate([tone(1, 300, rate), tone(1, 3000, rate)])
    found = pixels(picture(overview(tmp_path, samples, rate), 0, 2, (200, 100)))
    assert found.shape == (100, 200)
    low, high = found[:, 20:80].mean(1).argmax(), found[:, 120:180].mean(1).argmax()
    assert high < low - 20
    assert found.max() == 255


def test_stereo_is_shown(tmp_path: Path) -> None:
    samples = np.stack([tone(1, 500, 96_000), tone(1, 500, 96_000)], axis=1)
    assert pixels(picture(overview(tmp_path, samples, 96_000), 0, 1, (50, 40))).max() == 255


def test_a_silent_sound_is_black(tmp_path: Path) -> None:
    found = overview(tmp_path, np.zeros(44_100, np.float32), 44_100)
    assert not pixels(picture(found, 0, 1, (80, 40))).any()


def test_a_part_has_its_events_at_their_times(tmp_path: Path) -> None:
    samples = np.zeros(30 * 16_000, np.float32)
    samples[20 * 16_000 : 21 * 16_000] = tone(1, 1000, 16_000)
    found = overview(tmp_path, samples, 16_000)
    whole = pixels(picture(found, 0, 30, (300, 48))).max(0)
    loud = np.flatnonzero(whole > 100)
    assert abs(loud[0] - 200) <= 1
    assert abs(loud[-1] - 209) <= 1
    part = np.flatnonzero(pixels(picture(found, 19.5, 21.5, (400, 48))).max(0) > 100)
    assert abs(part[0] - 100) <= 8
    assert abs(part[-1] - 300) <= 8


def test_outside_of_the_sound_is_black(tmp_path: Path) -> None:
    found = overview(tmp_path, noise(2, rate=16_000), 16_000)
    shown = pixels(picture(found, -1, 4, (500, 30)))
    assert shown[:, 120:280].min() > 0
    assert not shown[:, :90].any()
    assert not shown[:, 310:].any()
    assert not pixels(picture(found, 100, 200, (50, 30))).any()


def test_the_overview_of_a_damaged_file_ends_with_it(tmp_path: Path) -> None:
    path = tmp_path / "cut.wav"
    soundfile.write(path, noise(4, rate=16_000), 16_000)
    path.write_bytes(path.read_bytes()[:64_044])
    found = overview_of(path, tmp_path / "o")
    assert len(found.levels) * found.hop == pytest.approx(2, abs=0.1)


def test_memory_does_not_grow_with_the_recording(tmp_path: Path) -> None:
    path = tmp_path / "long.flac"
    soundfile.write(path, np.zeros(60 * 8000, np.float32), 8000)
    peaks = []
    for minutes in (2, 20):
        with soundfile.SoundFile(path, "w", 8000, 1) as file:
            for _ in range(minutes):
                file.write(noise(60, rate=8000, level=0.1))
        tracemalloc.start()
        found = overview_of(path, tmp_path / "o")
        png = picture(found, 0, minutes * 60, (800, 160))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert pixels(png).shape == (160, 800)
        assert isinstance(found.levels, np.memmap)
    assert peaks[1] < peaks[0] * 1.5 + 3_000_000


def test_a_wrong_sample_rate_takes_no_memory(tmp_path: Path) -> None:
    content = bytearray(wav(noise(20)))
    content[24:28] = (2_000_000_000).to_bytes(4, "little")
    path = tmp_path / "wrong.wav"
    path.write_bytes(content)
    tracemalloc.start()
    found = overview_of(path, tmp_path / "o")
    png = thumbnail(path, 160, 48)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found.levels) > 0
    assert pixels(png).shape == (48, 160)
    assert peak < 300_000_000


def test_an_overview_ends_when_it_is_stopped(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(60, rate=16_000), 16_000)
    assert len(overview_of(path, tmp_path / "o", lambda: True).levels) < 1000


def test_a_thumbnail_is_small_and_refuses_what_is_no_sound(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(40, rate=16_000), 16_000)
    assert pixels(thumbnail(path, 160, 48)).shape == (48, 160)
    soundfile.write(path, noise(0.01, rate=16_000), 16_000)
    assert pixels(thumbnail(path, 160, 48)).max() == 255
    path.write_bytes(b"no sound")
    with pytest.raises(AudioError):
        thumbnail(path, 160, 48)


def test_short_events_stay_visible_in_hours() -> None:
    levels = np.zeros((100_000, BANDS), np.uint8)
    levels[50_000] = 200
    found = pixels(picture(Overview(levels, 0.05), 0, 5000, (500, 50)))
    assert found[:, 250].min() > 100
