from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sonotype.core.errors import OptionsError
from sonotype.data.readers.folder import read_folder
from sonotype.data.synth import EVENTS, folder, synthesise, synthesise_clip
from sonotype.data.synth.signals import FADE, Scene

NAMES = [name for sounds in EVENTS.values() for name in sounds]
PINNED_BELL = [-0.004449, -0.024201, -0.016839, -0.037046, 0.002869, 0.013666, -1.5e-05]
SEEDS = range(10)
QUICK = {"clips_per_event": 2, "sample_rate": 8000, "seconds": 0.2}


def test_five_categories_with_at_least_four_events_of_different_names() -> None:
    assert list(EVENTS) == ["Effects", "Human", "Music", "Nature", "Urban"]
    assert min(len(sounds) for sounds in EVENTS.values()) >= 4
    assert len(set(NAMES)) == len(NAMES) == 25


@pytest.mark.parametrize("event", NAMES)
def test_a_clip_is_mono_float32_finite_within_range_and_repeatable(event: str) -> None:
    clip = synthesise_clip(event, seconds=1.0, seed=3)
    assert clip.dtype == np.float32
    assert clip.shape == (16000,)
    assert 10 ** (-24.1 / 20) <= np.abs(clip).max() <= 10 ** (-0.9 / 20)
    np.testing.assert_array_equal(clip, synthesise_clip(event, seconds=1.0, seed=3))
    other = synthesise_clip(event, seconds=1.0, seed=4)
    assert abs(np.corrcoef(clip, other)[0, 1]) < 0.5


def test_events_of_one_seed_are_different() -> None:
    clips = np.array([synthesise_clip(name, seconds=0.5, seed=1) for name in NAMES])
    correlation = np.corrcoef(clips) - np.eye(len(NAMES))
    assert np.abs(correlation).max() < 0.5


def test_a_clip_is_the_same_in_every_process() -> None:
    """Pinned figures: neither Python's salted hash() nor an unnoticed change may move them."""
    clip = synthesise_clip("bell", seconds=0.5, seed=7)
    np.testing.assert_allclose(clip[1000:8000:1000], PINNED_BELL, atol=1e-5)


@pytest.mark.parametrize("event", NAMES)
@pytest.mark.parametrize(
    ("seconds", "sample_rate", "samples"),
    [
        (0.05, 16000, 800),
        (0.3, 44100, 13230),
        (0.3, 8000, 2400),
        (0.3, 4000, 1200),
        (1e-9, 4000, 1),
    ],
)
def test_any_length_and_rate(event: str, seconds: float, sample_rate: int, samples: int) -> None:
    clip = synthesise_clip(event, seconds=seconds, sample_rate=sample_rate)
    assert clip.shape == (samples,)
    assert np.isfinite(clip).all()
    assert np.abs(clip).max() <= 1


def clean(event: str, sample_rate: int, seed: int = 2, seconds: float = 2.0) -> np.ndarray:
    sound = next(sounds[event] for sounds in EVENTS.values() if event in sounds)
    return sound(Scene(seconds, sample_rate, np.random.default_rng(seed)))


def centroid(signal: np.ndarray, sample_rate: int, below: float) -> float:
    """Centre of mass of the magnitude spectrum under a frequency, in hertz."""
    hz = np.fft.rfftfreq(len(signal), 1 / sample_rate)
    weights = np.abs(np.fft.rfft(signal)) * (hz < below)
    return float((hz * weights).sum() / weights.sum())


@pytest.mark.parametrize("event", NAMES)
def test_another_sample_rate_gives_the_same_sound_below_both_nyquist_frequencies(
    event: str,
) -> None:
    low, high = clean(event, 8000), clean(event, 22050)
    shared = FADE * 4000
    # The loosest is the whoosh: a noise band is faded out before its upper flank can fold back.
    assert centroid(low, 8000, shared) == pytest.approx(centroid(high, 22050, shared), rel=0.1)


@pytest.mark.parametrize("event", ["crickets", "birdsong", "beep", "laser", "siren"])
def test_what_lies_above_the_nyquist_frequency_is_not_folded_back(event: str) -> None:
    """Nothing may sound at 4 kHz sampling where the same sound at 44.1 kHz has no power."""
    for seed in range(3):
        spectra = [
            np.abs(np.fft.rfft(clean(event, rate, seed), norm="forward")) ** 2
            for rate in (4000, 44100)
        ]
        low, high = (spectrum[:3600].reshape(-1, 100).sum(axis=1) for spectrum in spectra)
        assert np.all(low <= 1.5 * high + 1e-3 * spectra[1].sum())


def summary(clip: np.ndarray) -> np.ndarray:
    """Mean and spread over time of a 32-band log spectrum, of the clip at full level."""
    frames = np.lib.stride_tricks.sliding_window_view(clip / np.abs(clip).max(), 512)[::256]
    spectrum = np.abs(np.fft.rfft(frames * np.hanning(512)))
    edges = np.unique(np.geomspace(1, 256, 33).astype(int))
    bands = np.log(np.add.reduceat(spectrum[:, :256], edges[:-1], axis=1) + 1e-2)
    return np.concatenate([bands.mean(axis=0), bands.std(axis=0)])


def test_events_can_be_learnt_but_not_by_level_and_not_trivially() -> None:
    clips = [
        [synthesise_clip(name, seconds=2.0, seed=seed) for seed in range(10)] for name in NAMES
    ]
    labels = np.repeat(np.arange(len(NAMES)), 5)

    def accuracy(features: np.ndarray) -> float:
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        train, test = (part.reshape(len(labels), -1) for part in np.split(features, 2, axis=1))
        return float(model.fit(train, labels).score(test, labels))

    spectral = accuracy(np.array([[summary(clip) for clip in row] for row in clips]))
    level = accuracy(np.array([[[np.log(np.abs(clip).max())] for clip in row] for row in clips]))
    assert 0.4 < spectral < 0.9  # chance is 0.04
    assert level < 0.15


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seconds": 0.0}, "seconds is 0.0; a clip's length must be above 0"),
        ({"seconds": float("nan")}, "seconds is nan; a clip's length must be above 0"),
        ({"seconds": float("inf")}, "seconds is inf; a clip's length must be finite"),
        ({"sample_rate": 3999}, "sample_rate is 3999; it must be 4000 or more"),
        ({"seed": -1}, "seed is -1; it must be 0 or more"),
    ],
)
def test_numbers_out_of_range_are_named(options: dict[str, float], message: str) -> None:
    with pytest.raises(OptionsError) as caught:
        synthesise_clip("rain", **options)  # type: ignore[arg-type]
    assert str(caught.value) == message


def test_an_unknown_event_is_told_which_there_are() -> None:
    with pytest.raises(OptionsError) as caught:
        synthesise_clip("kazoo")
    names = ", ".join(sorted(NAMES))
    assert str(caught.value) == f"no synthetic event 'kazoo'; there are: {names}"


def contents(root: Path) -> dict[str, bytes]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def test_the_folder_has_the_layout_the_marker_and_the_manifest(tmp_path: Path) -> None:
    root = tmp_path / "deep" / "set"
    manifest = synthesise(root, **QUICK, progress=True)
    expected = [
        f"{category}/{event}/{event}_{index:03d}.wav"
        for category, sounds in EVENTS.items()
        for event in sounds
        for index in range(2)
    ]
    assert set(contents(root)) == {*expected, "sonotype.json", ".synth-settings.json"}
    assert json.loads((root / "sonotype.json").read_text()) == {
        "name": "synthetic",
        "synthetic": True,
        "licence": "CC0-1.0",
    }
    info = soundfile.info(root / expected[0])
    assert (info.samplerate, info.frames, info.channels, info.subtype) == (8000, 1600, 1, "PCM_16")

    assert (manifest.name, manifest.synthetic, manifest.grouped) == ("synthetic", True, False)
    assert manifest.licence == "CC0-1.0"
    assert [clip.group for clip in manifest.clips] == sorted(expected)
    for clip in manifest.clips:
        assert clip.path == root / clip.group
        assert (clip.category, clip.event) == tuple(clip.group.split("/")[:2])
        assert clip.fold is None


def test_the_folder_reader_finds_the_same_manifest(tmp_path: Path) -> None:
    written = synthesise(tmp_path, **QUICK)
    assert read_folder(tmp_path) == written


def test_no_two_clips_are_alike_and_another_seed_shares_none(tmp_path: Path) -> None:
    synthesise(tmp_path / "a", **QUICK, seed=0)
    synthesise(tmp_path / "b", **QUICK, seed=1)
    sounds = [
        data
        for root in ("a", "b")
        for name, data in contents(tmp_path / root).items()
        if name.endswith(".wav")
    ]
    assert len(set(sounds)) == len(sounds) == 100


def test_a_finished_set_is_not_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = synthesise(tmp_path, **QUICK)
    before = contents(tmp_path)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("written again")

    monkeypatch.setattr(folder, "synthesise_clip", refuse)
    monkeypatch.setattr(folder, "_write_text", refuse)
    assert synthesise(tmp_path, **QUICK) == first
    assert contents(tmp_path) == before


def test_a_stopped_run_is_completed_to_the_same_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    synthesise(whole, **QUICK)
    written, write = 0, soundfile.write

    def stop_after_seven(*args: object, **options: object) -> None:
        nonlocal written
        if written == 7:
            Path(str(args[0])).write_bytes(b"RIFF half a file")
            raise KeyboardInterrupt
        written += 1
        write(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(folder.soundfile, "write", stop_after_seven)
        with pytest.raises(KeyboardInterrupt):
            synthesise(stopped, **QUICK)
    half = contents(stopped)
    assert sum(name.endswith(".wav") for name in half) == 7
    assert json.loads(half["sonotype.json"])["synthetic"] is True
    synthesise(stopped, **QUICK)
    assert contents(stopped) == contents(whole)


@pytest.mark.parametrize(
    "left", [".synth-settings.json.part", "..synth-settings.json.0123456789abcdef.part"]
)
def test_a_run_stopped_before_its_settings_were_kept_can_be_repeated(
    tmp_path: Path, left: str
) -> None:
    (tmp_path / left).write_text("{")
    synthesise(tmp_path, **QUICK)
    assert left not in contents(tmp_path)


def test_other_settings_in_the_same_folder_are_refused(tmp_path: Path) -> None:
    synthesise(tmp_path, **QUICK)
    with pytest.raises(OptionsError) as caught:
        synthesise(tmp_path, clips_per_event=3, sample_rate=8000, seconds=0.2, seed=9)
    assert str(caught.value) == (
        f"{tmp_path}: holds a synthetic set with clips_per_event 2 instead of 3, "
        "seed 0 instead of 9; choose another folder"
    )


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(OptionsError) as caught:
        synthesise(tmp_path, **QUICK)
    assert str(caught.value) == f"{tmp_path}: holds other files already; choose another folder"
    assert contents(tmp_path) == {"thesis.txt": b"mine"}


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_damaged_settings_are_refused(tmp_path: Path, text: str) -> None:
    kept = tmp_path / ".synth-settings.json"
    kept.write_text(text)
    with pytest.raises(OptionsError) as caught:
        synthesise(tmp_path, **QUICK)
    assert str(caught.value) == f"{kept}: is damaged; choose another folder"


@pytest.mark.parametrize(("place", "cause"), [("", "File exists"), ("set", "Not a directory")])
def test_a_file_in_the_way_is_named(tmp_path: Path, place: str, cause: str) -> None:
    (tmp_path / "file").write_text("")
    root = tmp_path / "file" / place
    with pytest.raises(OptionsError) as caught:
        synthesise(root, **QUICK)
    assert str(caught.value) == f"{root}: cannot be made a folder ({cause}); choose another"


def test_a_set_has_at_least_one_clip_an_event(tmp_path: Path) -> None:
    with pytest.raises(OptionsError) as caught:
        synthesise(tmp_path / "set", clips_per_event=0)
    assert str(caught.value) == "clips_per_event is 0; it must be 1 or more"
    assert not (tmp_path / "set").exists()
