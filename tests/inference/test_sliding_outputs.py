"""Sliding windows: exact ones are clips of their own; shared ones are near them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from small_models import CATEGORIES, HEADS, write_model
from training_data import RATE, tone

from sonotype.core.errors import AudioError, OptionsError
from sonotype.inference.classifier import Classifier
from sonotype.inference.ensemble import load_ensemble
from sonotype.inference.load import load
from sonotype.inference.prediction import Prediction
from sonotype.inference.sliding_outputs import windows_in
from sonotype.models.system import System
from sonotype.sliding.shared import SharedWindows
from sonotype.sliding.system_windows import WindowOutputs, system_windows


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    return load(write_model(tmp_path_factory.mktemp("model") / "model.safetensors"))


def recording(seconds: float, seed: int = 0) -> np.ndarray:
    """Tones of half a second, of another pitch each."""
    rng = np.random.default_rng(seed)
    parts = [tone(rng.uniform(150, 3500), seed + n, 0.5) for n in range(int(2 * seconds) + 1)]
    return np.concatenate(parts)[: round(seconds * RATE)]


def numbers(prediction: Prediction) -> np.ndarray:
    return np.concatenate([*prediction.proba.values(), prediction.embedding])


def until_the_error(predictions: Iterator[Prediction]) -> tuple[list[Prediction], str]:
    given: list[Prediction] = []
    with pytest.raises(AudioError) as caught:
        given.extend(predictions)
    return given, str(caught.value)


@pytest.mark.parametrize("hop", [0.25, 0.3337, 1.0, 2.5])
@pytest.mark.parametrize("seconds", [1.01, 4.0, 6.3])
def test_exact_windows_are_clips_of_their_own(
    model: Classifier, hop: float, seconds: float
) -> None:
    sound = recording(seconds)
    predictions = list(model.predict_windows(sound, hop, sample_rate=RATE, exact=True))
    assert len(predictions) == windows_in(seconds, hop, 1.0)
    for index, prediction in enumerate(predictions):
        first = int(np.floor(index * hop * RATE + 0.5))
        assert prediction.start == first / RATE
        assert prediction.end == prediction.start + 1
        part = sound[first : first + RATE]
        alone = model.predict(np.pad(part, (0, RATE - len(part))), RATE)
        np.testing.assert_allclose(numbers(prediction), numbers(alone), rtol=0, atol=2e-6)
        assert prediction.labels == alone.labels
        for one, other in zip(prediction.attention, alone.attention, strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


def test_exact_windows_equal_the_output_of_the_network(model: Classifier) -> None:
    sound = recording(4.75)
    predictions = list(model.predict_windows(sound, 0.25, sample_rate=RATE, exact=True))
    clips = np.stack([sound[first : first + RATE] for first in range(0, 16 * 4_000, 4_000)])
    output = model.predict_proba(clips)
    assert len(predictions) == 16
    wanted = np.concatenate([*output.proba.values(), output.embedding], axis=1)
    np.testing.assert_array_equal([numbers(one).astype("f4") for one in predictions], wanted)


@pytest.mark.parametrize("hop", [0.25, 0.96])
def test_shared_windows_are_near_exact_ones(model: Classifier, hop: float) -> None:
    """The distance depends on the network; this test checks that the windows are the same."""
    sound = recording(15)
    shared = list(model.predict_windows(sound, hop, sample_rate=RATE))
    exact = list(model.predict_windows(sound, hop, sample_rate=RATE, exact=True))
    assert [one.start for one in shared] == [one.start for one in exact]
    assert {one.attention for one in shared} == {()}
    one, other = (np.stack([numbers(x) for x in predictions]) for predictions in (shared, exact))
    near = np.abs(one - other).mean()
    for moved in (1, 2, 5):
        assert near < np.abs(one[moved:] - other[:-moved]).mean()
        assert near < np.abs(other[moved:] - one[:-moved]).mean()


@pytest.mark.parametrize("options", [{}, {"exact": True}])
def test_file_bytes_and_array_have_the_same_predictions(
    model: Classifier, tmp_path: Path, options: dict[str, bool]
) -> None:
    path = tmp_path / "Wald am Fluß 川.flac"
    soundfile.write(path, recording(7.3), 44_100)
    decoded, rate = soundfile.read(path)
    sources = [(path, None), (str(path), None), (path.read_bytes(), None), (decoded, rate)]
    predictions = [
        list(model.predict_windows(source, 0.5, sample_rate=rate, **options))
        for source, rate in sources
    ]
    names = [{one.source for one in of_source} for of_source in predictions]
    assert names == [{str(path)}, {str(path)}, {"<bytes>"}, {"<array>"}]
    wanted = np.stack([numbers(one) for one in predictions[0]])
    for of_source in predictions[1:]:
        np.testing.assert_array_equal(np.stack([numbers(one) for one in of_source]), wanted)
        assert [one.start for one in of_source] == [one.start for one in predictions[0]]
    assert {round(one.file_seconds, 3) for of_source in predictions for one in of_source} == {
        round(len(decoded) / 44_100, 3)
    }


@pytest.mark.parametrize("pad", ["centre", "start", "repeat"])
@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("seconds", [0.1, 0.7, 1.0])
def test_a_recording_no_longer_than_a_window_is_a_clip(
    tmp_path: Path, pad: str, exact: bool, seconds: float
) -> None:
    model = load(write_model(tmp_path / "model.safetensors", pad=pad))
    sound = recording(seconds)
    [prediction] = model.predict_windows(sound, 0.1, sample_rate=RATE, exact=exact)
    alone = model.predict(sound, RATE)
    np.testing.assert_array_equal(numbers(prediction), numbers(alone))
    assert (prediction.start, prediction.end) == (0.0, 1.0)
    assert len(prediction.attention) == len(alone.attention)


def test_shared_windows_are_built_once_for_each_engine_and_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[int] = []

    def build(system: System, samples: int) -> SharedWindows[WindowOutputs]:
        built.append(samples)
        return system_windows(system, samples)

    monkeypatch.setattr("sonotype.inference.torch_engine.system_windows", build)
    model = load(write_model(tmp_path / "model.safetensors"))
    for seconds in (3, 4):
        list(model.predict_windows(recording(seconds), 0.5, sample_rate=RATE))
    assert built == [RATE]
    list(model.engine.windows([recording(3)], 2 * RATE, RATE) or ())
    list(model.with_options(tta_shifts=2).predict_windows(recording(3), 0.5, sample_rate=RATE))
    assert built == [RATE, 2 * RATE]


@pytest.mark.parametrize("hop", [1.0, 1.5, 3.0, 100.0])
def test_windows_that_do_not_overlap_are_exact(model: Classifier, hop: float) -> None:
    sound = recording(12.2)
    predictions = list(model.predict_windows(sound, hop, sample_rate=RATE))
    exact = list(model.predict_windows(sound, hop, sample_rate=RATE, exact=True))
    assert [one.start for one in predictions] == list(np.arange(0, 12.2, hop))
    for one, other in zip(predictions, exact, strict=True):
        np.testing.assert_array_equal(numbers(one), numbers(other))
        assert len(one.attention) == 2


def test_windows_are_neither_trimmed_nor_cropped(tmp_path: Path) -> None:
    plain = load(write_model(tmp_path / "plain.safetensors"))
    other = load(write_model(tmp_path / "other.safetensors", trim=True, crop="centre"))
    sound = np.concatenate([np.zeros(RATE, np.float32), recording(3)])
    for exact in (False, True):
        one, two = (
            list(model.predict_windows(sound, 0.5, sample_rate=RATE, exact=exact))
            for model in (plain, other)
        )
        np.testing.assert_array_equal(
            [numbers(prediction) for prediction in one], [numbers(prediction) for prediction in two]
        )


def test_a_prediction_states_its_number_of_shifts(tmp_path: Path) -> None:
    model = load(write_model(tmp_path / "model.safetensors", card={"tta_shifts": 3}))
    sound = recording(3)
    assert model.predict(sound, RATE).tta_shifts == 3
    for hop, exact, tta_shifts in ((0.5, False, 1), (0.5, True, 3), (1.0, False, 3)):
        predictions = model.predict_windows(sound, hop, sample_rate=RATE, exact=exact)
        assert {prediction.tta_shifts for prediction in predictions} == {tta_shifts}


def test_shifts_count_for_exact_windows(tmp_path: Path) -> None:
    path = write_model(tmp_path / "model.safetensors")
    plain, shifted = load(path), load(path, tta_shifts=3)
    sound = recording(3)
    for exact, same in ((False, True), (True, False)):
        one, two = (
            np.stack(
                [
                    numbers(prediction)
                    for prediction in model.predict_windows(
                        sound, 0.5, sample_rate=RATE, exact=exact
                    )
                ]
            )
            for model in (plain, shifted)
        )
        assert np.array_equal(one, two) == same


def test_exact_windows_side_by_side_are_the_same(tmp_path: Path) -> None:
    model = load(write_model(tmp_path / "model.safetensors"))
    wanted = list(model.predict_windows(recording(4.3), 0.4, sample_rate=RATE, exact=True))
    model.engine.side_by_side = True
    found = list(model.predict_windows(recording(4.3), 0.4, sample_rate=RATE, exact=True))
    assert [prediction.start for prediction in found] == [prediction.start for prediction in wanted]
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(numbers(one), numbers(other), atol=1e-5)


@pytest.mark.parametrize("category_source", ["head", "events", "both"])
def test_the_category_is_read_as_for_clips(tmp_path: Path, category_source: str) -> None:
    model = load(write_model(tmp_path / "model.safetensors"), category_source=category_source)
    for prediction in model.predict_windows(recording(3), 0.5, sample_rate=RATE):
        events = prediction.proba["event"]
        summed = [
            sum(share for share, owner in zip(events, HEADS[1].parent_index, strict=True)
                if owner == n)
            for n in range(2)
        ]  # fmt: skip
        if category_source == "events":
            np.testing.assert_allclose(prediction.proba["category"], summed, atol=1e-6)
        categories = prediction.probabilities["category"]
        assert prediction.labels["category"] == max(HEADS[0].classes, key=categories.__getitem__)


def test_a_model_without_events(tmp_path: Path) -> None:
    model = load(write_model(tmp_path / "model.safetensors", CATEGORIES))
    predictions = list(model.predict_windows(recording(3), 0.5, sample_rate=RATE))
    assert len(predictions) == 5
    assert all(set(one.probabilities) == set(one.labels) == {"category"} for one in predictions)


def test_an_ensemble_averages_windows(tmp_path: Path) -> None:
    paths = [write_model(tmp_path / f"{seed}.safetensors", seed=seed) for seed in (1, 2)]
    sound = recording(4)
    together = list(load_ensemble(paths).predict_windows(sound, 0.5, sample_rate=RATE))
    alone = [list(load(path).predict_windows(sound, 0.5, sample_rate=RATE)) for path in paths]
    assert [one.start for one in together] == [one.start for one in alone[0]]
    for one, *others in zip(together, *alone, strict=True):
        for name, values in one.proba.items():
            wanted = np.mean([other.proba[name] for other in others], axis=0)
            np.testing.assert_allclose(values, wanted, atol=1e-7)


def test_an_ensemble_needs_windows_of_one_length(tmp_path: Path) -> None:
    paths = [
        write_model(tmp_path / f"{seconds}.safetensors", seconds=seconds) for seconds in (1.0, 2.0)
    ]
    with pytest.raises(OptionsError, match="1 and 2 s long, must be equal"):
        load_ensemble(paths).predict_windows(recording(4), sample_rate=RATE)


@pytest.mark.parametrize("hop", [0.0, -1.0, 0.009, float("nan"), float("inf")])
def test_invalid_hops(model: Classifier, hop: float) -> None:
    with pytest.raises(OptionsError, match=f"hop is {hop:g} s, must be at least 0.01 s"):
        model.predict_windows(recording(2), hop, sample_rate=RATE)


def test_a_hop_of_a_frame(model: Classifier) -> None:
    predictions = list(model.predict_windows(recording(1.5), 0.01, sample_rate=RATE))
    np.testing.assert_allclose([one.start for one in predictions], np.arange(51) / 100, atol=1e-9)


def test_sample_rate_is_for_arrays(model: Classifier) -> None:
    with pytest.raises(OptionsError, match="an array needs its sample rate"):
        model.predict_windows(recording(2))
    with pytest.raises(OptionsError, match="sample_rate is only for arrays"):
        model.predict_windows("a.wav", sample_rate=RATE)


@pytest.mark.parametrize("exact", [False, True])
def test_a_truncated_file_keeps_its_windows(model: Classifier, tmp_path: Path, exact: bool) -> None:
    sound = recording(10)
    path = tmp_path / "a.wav"
    soundfile.write(path, sound, RATE)
    path.write_bytes(path.read_bytes()[: 44 + 2 * 6 * RATE])
    given, text = until_the_error(model.predict_windows(path, 0.5, exact=exact))
    assert text == f"{path}: is truncated (192000 of 320000 bytes are there)"
    soundfile.write(tmp_path / "b.wav", sound[: 6 * RATE], RATE)
    wanted = list(model.predict_windows(tmp_path / "b.wav", 0.5, exact=exact))
    np.testing.assert_array_equal([numbers(one) for one in given], [numbers(one) for one in wanted])


def test_unreadable_files(model: Classifier, tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no sound")
    soundfile.write(tmp_path / "nan.wav", np.full(RATE, np.nan), RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), RATE)
    for name in ("text.wav", "nan.wav", "empty.wav", "missing.wav"):
        with pytest.raises(AudioError) as wanted:
            model.predict(tmp_path / name)
        with pytest.raises(AudioError) as caught:
            list(model.predict_windows(tmp_path / name))
        assert str(caught.value) == str(wanted.value)


MEMORY = """
import os, resource, sys
# Each processor computes a chunk of its own: one processor has the same memory at any load.
os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
from sonotype.inference.load import load
model = load(sys.argv[1])
def peak(path):
    exact = sys.argv[4] == "exact"
    count = sum(1 for _ in model.predict_windows(path, 0.8 if exact else 0.25, exact=exact))
    return count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(*peak(sys.argv[2]), *peak(sys.argv[3]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss is kB on Linux only")
@pytest.mark.parametrize("way", ["shared", "exact"])
def test_memory_does_not_grow_with_the_recording(tmp_path: Path, way: str) -> None:
    """A recording of ten minutes after one of one minute; its samples alone would be 38 MB."""
    model = write_model(tmp_path / "model.safetensors", width=0.01)
    for name, minutes in (("short", 1), ("long", 10)):
        with soundfile.SoundFile(tmp_path / f"{name}.wav", "w", RATE, 1, "PCM_16") as file:
            for minute in range(minutes):
                file.write(np.tile(recording(2, minute), 30))
    names = [str(tmp_path / f"{name}.wav") for name in ("short", "long")]
    out = subprocess.run(
        [sys.executable, "-c", MEMORY, str(model), *names, way],
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    _, before, count, after = map(int, out)
    assert count == (2397 if way == "shared" else 750)
    assert after - before < 20_000
