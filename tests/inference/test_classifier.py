"""A loaded model predicts the same for a sound as a file, as bytes and as an array."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from small_models import CATEGORIES, HEADS, write_model
from training_data import RATE, tone, write_tones

import sonotype
from sonotype.core.errors import AudioError, ModelFileError, OptionsError
from sonotype.core.hierarchy import read_parent
from sonotype.inference.classifier import Classifier
from sonotype.inference.engine import Engine, EngineOutput
from sonotype.inference.load import load
from sonotype.inference.postprocess import NOT_FINITE
from sonotype.inference.prediction import Failure, Prediction
from sonotype.inference.torch_engine import TorchEngine
from sonotype.modelfile.model_file import load_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    return load(write_model(tmp_path_factory.mktemp("model") / "model.safetensors"))


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return sorted(write_tones(tmp_path_factory.mktemp("tones"), clips=5).rglob("*.wav"))


def vector(prediction: Prediction | Failure) -> np.ndarray:
    """All numbers of a prediction."""
    assert isinstance(prediction, Prediction)
    attention = [weights.ravel() for weights in prediction.attention]
    return np.concatenate([*prediction.proba.values(), prediction.embedding, *attention])


def write(path: Path, samples: np.ndarray, rate: int = RATE, subtype: str = "PCM_16") -> Path:
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


def test_predictions_of_the_small_model_differ_between_sounds(
    model: Classifier, tones: list[Path]
) -> None:
    """Otherwise the comparisons below would be empty."""
    predictions = [model.predict(path) for path in tones]
    shares = np.array([one.proba["event"] for one in predictions])
    distances = np.abs(shares[:, None] - shares[None]).max(-1) + np.eye(len(shares))
    assert distances.min() > 1e-3


def test_a_prediction_has_every_part(model: Classifier, tones: list[Path]) -> None:
    prediction = model.predict(tones[0])
    assert prediction.source == str(tones[0])
    assert list(prediction.probabilities) == ["category", "event"]
    for head in HEADS:
        probabilities = prediction.probabilities[head.name]
        assert tuple(probabilities) == head.classes
        assert sum(probabilities.values()) == pytest.approx(1, abs=1e-6)
        assert prediction.labels[head.name] == max(head.classes, key=probabilities.__getitem__)
    assert prediction.label == prediction.labels["event"]
    assert prediction.embedding.shape == (128,)
    assert prediction.embedding.dtype == np.float32
    assert [attention.ndim for attention in prediction.attention] == [2, 2]
    for attention in prediction.attention:
        assert attention.sum() == pytest.approx(1, abs=1e-5)
        assert attention.min() >= 0
    assert (prediction.file_seconds, prediction.clip_seconds) == (1.0, 1.0)
    assert not prediction.longer_than_clip


def test_a_prediction_holds_the_output_of_the_network(model: Classifier, tones: list[Path]) -> None:
    samples, _ = soundfile.read(tones[3], dtype="float32")
    with torch.no_grad():
        output = model.engine.system(torch.from_numpy(samples)[None])
    prediction = model.predict(tones[3])
    for name, logits in output.logits.items():
        exponents = np.exp(logits[0].numpy().astype(np.float64))
        wanted = exponents / exponents.sum()
        np.testing.assert_allclose(prediction.proba[name], wanted, atol=1e-6)
    np.testing.assert_allclose(prediction.embedding, output.embedding[0].numpy(), atol=1e-6)


@pytest.mark.parametrize("k", [1, 3, 4, 9])
def test_top_is_sorted(model: Classifier, tones: list[Path], k: int) -> None:
    prediction = model.predict(tones[0])
    ranked = sorted(((share, label) for label, share in prediction.probabilities["event"].items()))[
        ::-1
    ]
    assert prediction.top(k) == [(label, share) for share, label in ranked[:k]]
    assert len(prediction.top(k)) == min(k, 4)


@pytest.mark.parametrize("kind", ["path", "text", "bytes", "floats", "doubles", "int16"])
def test_file_bytes_and_array_have_the_same_prediction(
    model: Classifier, tones: list[Path], kind: str
) -> None:
    path = tones[2]
    whole = vector(model.predict(path))
    if kind in ("path", "text", "bytes"):
        source = {"path": path, "text": str(path), "bytes": path.read_bytes()}[kind]
        prediction = model.predict(source)
        assert prediction.source == ("<bytes>" if kind == "bytes" else str(path))
    else:
        dtype = {"floats": "float32", "doubles": "float64", "int16": "int16"}[kind]
        samples, rate = soundfile.read(path, dtype=dtype)
        prediction = model.predict(samples, rate)
        assert prediction.source == "<array>"
    np.testing.assert_array_equal(vector(prediction), whole)


@pytest.mark.parametrize(("seconds", "channels"), [(0.3, 2), (1.0, 1), (1.0, 2), (2.6, 1)])
@pytest.mark.parametrize("rate", [8_000, RATE, 44_100, 48_000])
def test_rate_length_and_channels_change_nothing_between_file_and_array(
    model: Classifier, tmp_path: Path, seconds: float, rate: int, channels: int
) -> None:
    rng = np.random.default_rng(3)
    samples = 0.3 * rng.standard_normal((round(seconds * rate), channels))
    path = write(tmp_path / "a.wav", samples, rate)
    decoded, _ = soundfile.read(path)
    from_file, from_array = model.predict(path), model.predict(decoded, rate)
    np.testing.assert_array_equal(vector(from_array), vector(from_file))
    np.testing.assert_array_equal(vector(model.predict(path.read_bytes())), vector(from_file))
    assert from_array.file_seconds == from_file.file_seconds
    assert from_array.longer_than_clip == from_file.longer_than_clip == (seconds > 1)


@pytest.mark.parametrize("options", [{"crop": "centre"}, {"trim": True}, {"pad": "repeat"}])
@pytest.mark.parametrize("rate", [RATE, 44_100])
def test_clip_options_change_nothing_between_file_and_array(
    tmp_path: Path, options: dict[str, object], rate: int
) -> None:
    model = load(write_model(tmp_path / "model.safetensors", **options))
    for seconds in (0.7, 2.345):
        samples = np.concatenate([np.zeros(round(0.2 * rate)), tone(900, 1, seconds)])
        path = write(tmp_path / f"{seconds}.wav", samples, rate)
        decoded, _ = soundfile.read(path)
        wanted = vector(model.predict(path))
        np.testing.assert_array_equal(vector(model.predict(decoded, rate)), wanted)
        np.testing.assert_array_equal(vector(model.predict(path.read_bytes())), wanted)


def test_a_sine_at_another_rate_has_nearly_the_same_embedding(model: Classifier) -> None:
    """The error of resampling is small against that of a wrong rate."""

    def sine(rate: int) -> np.ndarray:
        return np.sin(2 * np.pi * 700 * np.arange(rate) / rate).astype(np.float32) / 3

    plain = model.predict(sine(RATE), RATE).embedding
    other = model.predict(sine(44_100), 44_100).embedding
    wrong = model.predict(sine(44_100), RATE).embedding
    assert np.abs(plain - other).max() < np.abs(plain - wrong).max() / 20


def test_channels_are_averaged(model: Classifier) -> None:
    left, right = tone(300, 1), tone(2000, 2)
    both = model.predict(np.stack([left, right], axis=1), RATE)
    mean = model.predict((left + right) / 2, RATE)
    np.testing.assert_allclose(vector(both), vector(mean), atol=1e-6)


def test_an_array_without_sample_rate_is_refused(model: Classifier) -> None:
    with pytest.raises(OptionsError, match=r"an array needs its sample rate: .* sample_rate"):
        model.predict(tone(300, 1))


@pytest.mark.parametrize("as_bytes", [True, False])
def test_a_file_with_sample_rate_is_refused(
    model: Classifier, tones: list[Path], as_bytes: bool
) -> None:
    with pytest.raises(OptionsError, match="sample_rate is only for arrays"):
        model.predict(tones[0].read_bytes() if as_bytes else tones[0], 16_000)


def test_a_clip_is_the_start_of_a_long_file(model: Classifier, tmp_path: Path) -> None:
    samples = tone(500, 1, seconds=3)
    prediction = model.predict(write(tmp_path / "long.wav", samples))
    assert prediction.longer_than_clip
    assert (prediction.file_seconds, prediction.clip_seconds) == (3.0, 1.0)
    first = model.predict(write(tmp_path / "first.wav", samples[:RATE]))
    np.testing.assert_array_equal(vector(prediction), vector(first))
    assert not first.longer_than_clip


def test_an_unreadable_source_is_an_error(model: Classifier, tmp_path: Path) -> None:
    with pytest.raises(AudioError) as caught:
        model.predict(tmp_path / "nowhere.wav")
    assert str(caught.value) == f"{tmp_path / 'nowhere.wav'}: does not exist"
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(AudioError, match=r"text\.wav: is not a readable sound"):
        model.predict(tmp_path / "text.wav")
    with pytest.raises(AudioError, match="<bytes>: is empty"):
        model.predict(b"")
    with pytest.raises(AudioError, match="<array>: holds values that are no numbers"):
        model.predict(np.full(100, np.nan), RATE)


def test_predictions_of_batches_equal_those_of_single_files(
    model: Classifier, tones: list[Path]
) -> None:
    slow = [vector(model.predict(path)) for path in tones]
    for batch_size in (1, 3, 16, 100):
        predictions = list(model.predict_files(tones, batch_size=batch_size))
        assert [one.source for one in predictions] == [str(path) for path in tones]
        for prediction, wanted in zip(predictions, slow, strict=True):
            np.testing.assert_allclose(vector(prediction), wanted, atol=1e-5)


def test_a_bad_file_fails_in_its_place(
    model: Classifier, tones: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "empty.wav").touch()
    paths = [*tones[:2], tmp_path / "empty.wav", *tones[2:4], tmp_path / "none.wav", tones[4]]
    for batch_size in (1, 2, 16):
        predictions = list(model.predict_files(paths, batch_size=batch_size))
        assert [one.source for one in predictions] == [str(path) for path in paths]
        assert predictions[2] == Failure(str(tmp_path / "empty.wav"), "is empty (0 bytes)")
        assert predictions[5] == Failure(str(tmp_path / "none.wav"), "does not exist")
        for place in (0, 1, 3, 4, 6):
            wanted = vector(model.predict(paths[place]))
            np.testing.assert_allclose(vector(predictions[place]), wanted, atol=1e-5)


def test_a_batch_of_bad_files_only(model: Classifier, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.wav" for number in range(5)]
    predictions = list(model.predict_files(paths, batch_size=2))
    assert predictions == [Failure(str(path), "does not exist") for path in paths]


def test_paths_can_be_an_iterator(model: Classifier, tones: list[Path]) -> None:
    def some() -> Iterator[str]:
        yield from map(str, tones[:3])

    predictions = list(model.predict_files(some(), batch_size=2))
    assert [one.source for one in predictions] == [str(path) for path in tones[:3]]


def test_no_files_give_no_predictions(model: Classifier) -> None:
    assert list(model.predict_files([])) == []
    assert list(model.predict_files(iter([]), progress=True)) == []


def test_very_many_files_keep_their_order(tmp_path: Path) -> None:
    """Short and long files alternate, so that readers finish in another order than they start."""
    model = load(write_model(tmp_path / "model.safetensors", CATEGORIES, width=0.01))
    short = write(tmp_path / "short.wav", tone(300, 1, 0.1))
    long = write(tmp_path / "long.flac", np.tile(tone(2000, 2), 60), 44_100)
    missing = tmp_path / "missing.wav"
    rng = np.random.default_rng(0)
    paths = [(short, long, missing)[index] for index in rng.choice(3, 300, p=[0.7, 0.1, 0.2])]
    known = {path: vector(model.predict(path)) for path in (short, long)}
    assert np.abs(known[short] - known[long]).max() > 0.01
    count = 0
    for path, prediction in zip(paths, model.predict_files(paths, batch_size=7), strict=True):
        count += 1
        if path == missing:
            assert prediction == Failure(str(missing), "does not exist")
        else:
            np.testing.assert_allclose(vector(prediction), known[path], atol=1e-5)
    assert count == 300


@pytest.mark.parametrize("name", ["Ärger & Söhne.wav", "鳥の声.wav", "a\u0301 b'\"[x].wav"])
def test_names_in_any_script(model: Classifier, tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, tone(300, 1))
    prediction = model.predict(path)
    (listed,) = model.predict_files([path])
    assert prediction.source == listed.source == str(path)
    np.testing.assert_array_equal(vector(prediction), vector(listed))


def test_a_batch_size_below_one_is_refused_at_once(model: Classifier) -> None:
    with pytest.raises(OptionsError, match="batch_size is 0, must be at least 1"):
        model.predict_files([], batch_size=0)


@pytest.mark.parametrize("source", ["head", "events", "both"])
def test_category_sources(tmp_path: Path, tones: list[Path], source: str) -> None:
    path = write_model(tmp_path / "model.safetensors")
    head = load(path, category_source="head").predict(tones[0])
    prediction = load(path, category_source=source).predict(tones[0])  # type: ignore[arg-type]
    shares = head.probabilities["event"]
    summed = [shares["beep"] + shares["whistle"], shares["buzz"] + shares["hum"]]
    own = head.proba["category"]
    wanted = {
        "head": own,
        "events": summed,
        "both": [(a + b) / 2 for a, b in zip(own, summed, strict=True)],
    }[source]
    found = prediction.proba["category"]
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    by_hand = read_parent(own, head.proba["event"], *HEADS, source)  # type: ignore[arg-type]
    np.testing.assert_allclose(found, by_hand, atol=1e-6)
    assert prediction.labels["category"] == HEADS[0].classes[int(np.argmax(wanted))]
    assert prediction.probabilities["event"] == shares
    assert sum(found) == pytest.approx(1, abs=1e-6)


def test_the_card_sets_the_category_source(tmp_path: Path) -> None:
    path = write_model(tmp_path / "model.safetensors", card={"category_source": "events"})
    assert load(path).category_source == "events"
    assert load(path, category_source="both").category_source == "both"


def test_an_unknown_category_source(tmp_path: Path) -> None:
    path = write_model(tmp_path / "model.safetensors")
    with pytest.raises(OptionsError, match=r"category_source is 'tail', .* head, events, both"):
        load(path, category_source="tail")  # type: ignore[arg-type]


@pytest.mark.parametrize("source", ["head", "events", "both"])
def test_a_model_without_events(tmp_path: Path, tones: list[Path], source: str) -> None:
    path = write_model(tmp_path / "model.safetensors", CATEGORIES)
    prediction = load(path, category_source=source).predict(tones[0])  # type: ignore[arg-type]
    assert set(prediction.labels) == set(prediction.probabilities) == {"category"}
    assert prediction.proba["category"].sum() == pytest.approx(1, abs=1e-6)
    best = prediction.top(5)
    assert [label for label, _ in best] in (["high", "low"], ["low", "high"])
    assert best[0] == (
        prediction.labels["category"],
        max(prediction.probabilities["category"].values()),
    )


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_text("hello")
    with pytest.raises(ModelFileError, match="is no model file"):
        load(tmp_path / "model.safetensors")


def test_a_headerless_file_fails_in_its_place(
    model: Classifier, tones: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "a.raw").write_bytes(bytes(1_000))
    first, second = model.predict_files([tmp_path / "a.raw", tones[0]])
    assert isinstance(first, Failure)
    assert first.cause.startswith("is not a readable sound (by its name it is raw samples ")
    np.testing.assert_allclose(vector(second), vector(model.predict(tones[0])), atol=1e-5)


def test_an_unavailable_device_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_model(tmp_path / "model.safetensors")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    assert load(path, device="auto").engine.device == torch.device("cpu")
    for name in ("cuda", "mps", "tpu"):
        with pytest.raises(OptionsError) as caught:
            load(path, device=name)
        assert str(caught.value) == f"device {name} is not there; this machine has cpu"


def test_loading_does_not_import_the_training(tmp_path: Path) -> None:
    path = write_model(tmp_path / "model.safetensors")
    code = (
        "import sys, sonotype; sonotype.load(sys.argv[1]); "
        "assert 'pytorch_lightning' not in sys.modules and 'sklearn' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, capture_output=True)


# Test-time augmentation


def by_hand(model: Classifier, samples: np.ndarray, tta_shifts: int) -> dict[str, np.ndarray]:
    """Mean probabilities of a clip of one second over circular shifts, one shift at a time."""
    rolled = [np.roll(samples, round(k * len(samples) / tta_shifts)) for k in range(tta_shifts)]
    predictions = [model.predict(one, RATE) for one in rolled]
    return {
        name: np.mean([one.proba[name] for one in predictions], axis=0)
        for name in predictions[0].proba
    }


@pytest.mark.parametrize(
    ("tta_shifts", "source"), [(2, "head"), (3, "events"), (3, "both"), (16, "both")]
)
def test_probabilities_are_the_mean_over_circular_shifts(
    tmp_path: Path, tta_shifts: int, source: str
) -> None:
    path = write_model(tmp_path / "model.safetensors")
    plain = load(path, category_source=source, tta_shifts=1)  # type: ignore[arg-type]
    shifted = load(path, category_source=source, tta_shifts=tta_shifts)  # type: ignore[arg-type]
    samples = np.concatenate([tone(300, 1, 0.4), tone(2000, 2, 0.6)])
    once, prediction = plain.predict(samples, RATE), shifted.predict(samples, RATE)
    wanted = by_hand(plain, samples, tta_shifts)
    for head in HEADS:
        mean = wanted[head.name]
        np.testing.assert_allclose(prediction.proba[head.name], mean, atol=1e-6)
        assert prediction.labels[head.name] == head.classes[int(mean.argmax())]
    assert np.abs(wanted["event"] - once.proba["event"]).max() > 1e-3
    np.testing.assert_array_equal(prediction.embedding, once.embedding)
    for where, wanted in zip(prediction.attention, once.attention, strict=True):
        np.testing.assert_array_equal(where, wanted)


def test_shifts_of_many_clips_without_an_event_head(tmp_path: Path, tones: list[Path]) -> None:
    model = load(write_model(tmp_path / "model.safetensors", CATEGORIES), tta_shifts=3)
    plain = load(write_model(tmp_path / "model.safetensors", CATEGORIES))
    for path, prediction in zip(tones, model.predict_files(tones, batch_size=7), strict=True):
        assert isinstance(prediction, Prediction)
        assert set(prediction.proba) == {"category"}
        samples, _ = soundfile.read(path, dtype="float32")
        wanted = by_hand(plain, samples, 3)["category"]
        np.testing.assert_allclose(prediction.proba["category"], wanted, atol=1e-5)


def test_the_card_sets_the_number_of_shifts(tmp_path: Path, tones: list[Path]) -> None:
    path = write_model(tmp_path / "model.safetensors", card={"tta_shifts": 4})
    model = load(path)
    assert (model.card.tta_shifts, model.tta_shifts) == (4, 4)
    assert load(path, tta_shifts=2).tta_shifts == 2
    plain = load(path, tta_shifts=1)
    assert plain.tta_shifts == 1
    predictions = [
        vector(one.predict(tones[0])) for one in (model, load(path, tta_shifts=4), plain)
    ]
    np.testing.assert_array_equal(predictions[0], predictions[1])
    assert np.abs(predictions[0] - predictions[2]).max() > 1e-4
    assert load(write_model(tmp_path / "usual.safetensors")).tta_shifts == 1


@pytest.mark.parametrize("tta_shifts", [0, -2])
def test_shifts_below_one_are_refused(tmp_path: Path, tta_shifts: int) -> None:
    path = write_model(tmp_path / "model.safetensors")
    with pytest.raises(OptionsError, match=f"tta_shifts is {tta_shifts}, must be at least 1"):
        load(path, tta_shifts=tta_shifts)


def test_options_can_be_replaced(tmp_path: Path) -> None:
    card = {"tta_shifts": 4, "category_source": "both"}
    model = load(write_model(tmp_path / "model.safetensors", card=card))
    for options in ({}, {"tta_shifts": 2}, {"category_source": "head"}):
        other = model.with_options(**options)
        assert other.engine is model.engine
        assert other.tta_shifts == options.get("tta_shifts", 4)
        assert other.category_source == options.get("category_source", "both")


@pytest.mark.parametrize("windows_first", [False, True])
def test_a_classifier_can_be_pickled(model: Classifier, windows_first: bool) -> None:
    samples = np.concatenate([tone(700.0, 0), tone(300.0, 1)])
    if windows_first:
        list(model.predict_windows(samples, 0.5, sample_rate=RATE))
    copied = pickle.loads(pickle.dumps(model))
    for one, other in zip(
        copied.predict_windows(samples, 0.5, sample_rate=RATE),
        model.predict_windows(samples, 0.5, sample_rate=RATE),
        strict=True,
    ):
        np.testing.assert_array_equal(vector(one), vector(other))


def test_the_package_offers_load() -> None:
    assert sonotype.load is load


class Overflowing:
    """An engine whose output for loud clips is not finite."""

    def __init__(self, engine: Engine, part: str, *, side_by_side: bool) -> None:
        self.engine, self.part, self.side_by_side = engine, part, side_by_side

    def __call__(self, waveforms: np.ndarray) -> EngineOutput:
        output = self.engine(waveforms)
        values = {**output.proba, "embedding": output.embedding}
        values[self.part] = values[self.part].copy()
        values[self.part][np.abs(waveforms).max(1) > 0.6] = np.nan
        return replace(output, embedding=values.pop("embedding"), proba=values)

    def windows(
        self, pieces: Iterable[np.ndarray], samples: int, hop: float, pace: object = None
    ) -> None:
        """Windows share nothing."""


@pytest.mark.parametrize("part", ["category", "event", "embedding"])
@pytest.mark.parametrize("side_by_side", [False, True])
def test_an_output_that_is_not_finite_is_a_failure_of_its_file(
    model: Classifier, tmp_path: Path, part: str, side_by_side: bool
) -> None:
    paths = []
    for number, gain in enumerate((1.0, 3.0, 1.0, 3.0, 1.0)):
        paths.append(write(tmp_path / f"{number}.wav", gain * tone(700.0, number)))
    engine = Overflowing(model.engine, part, side_by_side=side_by_side)
    wrong = Classifier(engine, model.card, category_source="events")
    predictions = list(wrong.predict_files(paths, batch_size=4))
    assert [isinstance(one, Failure) for one in predictions] == [False, True, False, True, False]
    assert [one.source for one in predictions] == [str(path) for path in paths]
    failure = predictions[1]
    assert isinstance(failure, Failure)
    assert failure.cause == NOT_FINITE
    assert np.isfinite(np.concatenate([vector(predictions[number]) for number in (0, 2, 4)])).all()
    with pytest.raises(AudioError) as caught:
        wrong.predict(paths[3])
    assert (caught.value.source, caught.value.cause) == (str(paths[3]), failure.cause)


def test_windows_end_at_an_output_that_is_not_finite(model: Classifier) -> None:
    sound = np.concatenate([tone(700.0, 0), tone(700.0, 1), 3 * tone(700.0, 2), tone(700.0, 3)])
    wrong = Classifier(Overflowing(model.engine, "event", side_by_side=False), model.card)
    given = []
    with pytest.raises(AudioError) as caught:
        given.extend(wrong.predict_windows(sound, 1.0, sample_rate=RATE))
    assert [one.start for one in given] == [0.0, 1.0]
    assert str(caught.value) == f"<array>: window at 2 s: {NOT_FINITE}"


def test_a_network_with_broken_weights_gives_no_prediction(
    tmp_path: Path, tones: list[Path]
) -> None:
    system, card = load_model(write_model(tmp_path / "model.safetensors"))
    system.classifiers["category"].bias.data[0] = float("nan")
    wrong = Classifier(TorchEngine(system, card.heads), card)
    assert all(isinstance(one, Failure) for one in wrong.predict_files(tones[:3]))
    with pytest.raises(AudioError, match="not finite"):
        wrong.predict(tones[0])
    samples = np.concatenate([tone(700.0, 0), tone(700.0, 1)])
    for exact in (False, True):
        with pytest.raises(AudioError, match=r"window at 0 s: .* not finite"):
            list(wrong.predict_windows(samples, 0.25, sample_rate=RATE, exact=exact))
