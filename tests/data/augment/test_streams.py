"""Simulated recordings: what is written about them holds for their samples."""

from __future__ import annotations

from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from sonotype.audio.decode import load_audio
from sonotype.core.annotations import AnnotatedRecording, Event
from sonotype.core.errors import AudioError, DataError
from sonotype.core.types import Clip
from sonotype.data.augment import streams
from sonotype.data.augment.backgrounds import shares
from sonotype.data.augment.noises import ambience
from sonotype.data.augment.streams import StreamOptions, minutes_for, simulate_streams

RATE = 16_000
SECONDS = 30.0
OPTIONS = StreamOptions(level="category", sample_rate=RATE, minutes=2.5, seconds=SECONDS)


def clip(path: Path, group: str, *labels: str) -> Clip:
    return Clip(path, {"category": labels} if labels else {}, group, None)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    """Three classes of five recordings with two clips each; one class is steady."""
    folder = tmp_path_factory.mktemp("clips")
    found = []
    for index, label in enumerate(("knock", "bark", "rain")):
        for take in range(10):
            rng = np.random.default_rng([index, take])
            sound = 0.2 * rng.standard_normal(3 * RATE)
            if label != "rain":
                sound[: RATE // 2] = sound[RATE:] = 0
            path = folder / f"{label}_{take}.wav"
            soundfile.write(path, sound, RATE)
            found.append(clip(path, f"{label}_{take // 2}", label))
    return found


@pytest.fixture(scope="module")
def background(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Five quiet recordings, as long as a simulated one."""
    folder = tmp_path_factory.mktemp("background")
    for number in range(5):
        noise = 0.003 * np.random.default_rng(number).standard_normal(round(SECONDS * RATE))
        soundfile.write(folder / f"{number}.wav", noise, RATE, subtype="PCM_24")
    return sorted(folder.glob("*.wav"))


def samples_of(path: Path) -> np.ndarray:
    return load_audio(path, sample_rate=RATE).samples.astype(np.float64)


def inside(event: Event) -> slice:
    return slice(round(event.start * RATE), round(event.end * RATE))


def rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(samples**2)))


def test_sounds_lie_where_the_events_say(
    clips: list[Clip], background: list[Path], tmp_path: Path
) -> None:
    found = simulate_streams(clips, tmp_path, OPTIONS, background=background)
    assert len(found) == 5
    levels, overlapping, total = [], set(), 0
    for number, (one, scene) in enumerate(zip(found, background, strict=True)):
        mix, noise = samples_of(one.path), samples_of(scene)
        assert len(mix) == len(noise) == round(one.seconds * RATE)
        assert one.spans == ((0.0, SECONDS),)
        assert 3 <= len(one.events) <= 5
        alone = np.ones(len(mix), dtype=bool)
        for event in one.events:
            alone[inside(event)] = False
            assert 0.1 <= event.end - event.start <= 4
            assert event.start * RATE == pytest.approx(round(event.start * RATE), abs=1e-6)
        gain = np.dot(mix[alone], noise[alone]) / np.dot(noise[alone], noise[alone])
        assert 0 < gain <= 1 + 1e-5
        added = mix / gain - noise
        assert np.abs(added[alone]).max() < 1e-5
        assert alone.mean() > 0.4, "background is learnt too"
        pairs = [
            pair for pair in combinations(range(len(one.events)), 2)
            if one.events[pair[0]].end > one.events[pair[1]].start
        ]  # fmt: skip
        overlapping |= {(number, index) for pair in pairs for index in pair}
        total += len(one.events)
        for index, event in enumerate(one.events):
            if (number, index) not in overlapping:
                sound = added[inside(event)]
                assert np.abs(sound[: RATE // 50]).max() > 0
                assert np.abs(sound[-RATE // 50 :]).max() > 0
                levels.append(20 * np.log10(rms(sound) / rms(noise[inside(event)])))
    assert -5.1 < min(levels) < max(levels) < 20.1
    assert max(levels) - min(levels) > 10
    assert 0 < len(overlapping) < total


def test_bursts_are_events_and_steady_sounds_are_long(clips: list[Clip], tmp_path: Path) -> None:
    lengths: dict[str, list[float]] = {}
    for one in simulate_streams(clips, tmp_path, OPTIONS):
        for event in one.events:
            lengths.setdefault(event.label, []).append(event.end - event.start)
    assert sorted(lengths) == ["bark", "knock", "rain"]
    np.testing.assert_allclose(lengths["knock"] + lengths["bark"], 0.5, atol=0.03)
    np.testing.assert_allclose(lengths["rain"], 3, atol=0.03)


def test_folds_share_no_recording(
    clips: list[Clip],
    background: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[Path] = []
    sources: dict[str, set[str]] = {}
    scenes: dict[str, set[Path]] = {}
    compose = streams._compose

    def load(path: Path, **options: Any) -> Any:
        read.append(path)
        return load_audio(path, **options)

    def spy(*arguments: Any) -> AnnotatedRecording:
        read.clear()
        one: AnnotatedRecording = compose(*arguments)
        group_of = {clip.path: clip.group for clip in clips}
        sources.setdefault(one.group, set()).update(group_of[path] for path in read)
        part = arguments[0].background
        scenes.setdefault(one.group, set()).add(part.path)
        return one

    monkeypatch.setattr(streams, "load_audio", load)
    monkeypatch.setattr(streams, "_compose", spy)
    options = StreamOptions(level="category", sample_rate=RATE, minutes=5, seconds=SECONDS)
    found = simulate_streams(clips, tmp_path, options, background=background)
    assert len(found) == 10
    assert {one.fold for one in found} == {1, 2, 3, 4, 5}
    assert len({(one.group, one.fold) for one in found}) == 5
    for folds in (sources, scenes):
        for one, other in combinations(folds.values(), 2):
            assert one and other and not one & other  # type: ignore[operator]


def test_the_seed(clips: list[Clip], tmp_path: Path) -> None:
    def written(name: str, seed: int) -> tuple[list[bytes], list[Any]]:
        (tmp_path / name).mkdir(exist_ok=True)
        found = simulate_streams(clips, tmp_path / name, OPTIONS, seed=seed)
        return [one.path.read_bytes() for one in found], [one.events for one in found]

    first = written("a", 0)
    assert written("a", 0) == first, "files of an earlier start are replaced"
    assert written("b", 0) == first
    other = written("c", 1)
    assert all(one != two for one, two in zip(first[0], other[0], strict=True))


def test_parts_of_the_background_that_remain_have_no_events(
    clips: list[Clip], background: list[Path], tmp_path: Path
) -> None:
    options = StreamOptions(level="category", sample_rate=RATE, minutes=1, seconds=10.0)
    found = simulate_streams(clips, tmp_path, options, background=background)
    empty = [one for one in found if not one.events]
    # Of the three parts of each recording one has events, and one more is used.
    assert (len(found), len(empty)) == (10, 5)
    scenes = np.concatenate([samples_of(path) for path in background]).reshape(-1, 10 * RATE)
    for one in empty:
        assert np.abs(scenes - samples_of(one.path)).max(axis=1).min() < 1e-5
        assert one.spans == ((0.0, 10.0),)


def test_negatives_silence_and_clips_with_several_labels(clips: list[Clip], tmp_path: Path) -> None:
    silent = tmp_path / "silent.wav"
    soundfile.write(silent, np.zeros(RATE), RATE)
    used = [replaced(one) for one in clips if "bark" in one.group] + [
        one for one in clips if "knock" in one.group
    ]
    several = [clip(one.path, one.group, "knock", "rain") for one in clips if "rain" in one.group]
    silence = [clip(silent, f"s{number}", "quiet") for number in range(3)]
    found = simulate_streams([*used, *several, *silence], tmp_path, OPTIONS)
    assert {event.label for one in found for event in one.events} == {"knock"}
    negatives = 0
    for one in found:
        samples = samples_of(one.path)
        for event in one.events:
            samples[inside(event)] = 0
        negatives += int(np.abs(samples).max() > 6 * rms(samples[: RATE // 2]))
    assert negatives, "sounds of no class are there, but are no events"
    for bad in (silence, several):
        with pytest.raises(DataError, match=r"silent|one label"):
            simulate_streams(bad, tmp_path, OPTIONS)


def replaced(one: Clip) -> Clip:
    return clip(one.path, one.group)


def test_shares_of_few_and_of_many_backgrounds(background: list[Path]) -> None:
    many = shares(background, 2, 10.0)
    assert [{part.path for part in share} for share in many] == [
        set(background[:3]), set(background[3:])
    ]  # fmt: skip
    few = shares(background[:1], 3, 60.0)
    parts = [(part.start, part.start + part.seconds) for share in few for part in share]
    assert parts[0][0] == 0 and parts[-1][1] == pytest.approx(SECONDS)
    assert all(one[1] == pytest.approx(two[0]) for one, two in pairwise(parts))
    assert all(len(share) == 2 for share in few)
    assert shares([], 3, 10.0) == ((), (), ())


def test_a_background_that_is_too_short_is_named(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "short.wav", np.zeros(RATE // 2), RATE)
    with pytest.raises(AudioError, match=r"short\.wav.*0\.5 s"):
        shares([tmp_path / "short.wav"], 2, 10.0)


def test_ambience_is_noise_of_one_level() -> None:
    one, two = (ambience(4 * RATE, RATE, np.random.default_rng(seed)) for seed in (0, 1))
    assert rms(one) == pytest.approx(1) and rms(two) == pytest.approx(1)
    assert np.abs(one - two).max() > 0.5
    power = np.abs(np.fft.rfft(one)) ** 2
    assert power[4 * 100 : 4 * 1000].mean() > power[4 * 4000 :].mean()


def test_minutes_grow_with_the_classes() -> None:
    # 8 events a minute, 24 of each class
    assert [minutes_for(number) for number in (1, 10, 20, 1000)] == [20, 30, 60, 60]
