"""Unknown scores of predictions, and their way through model files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from small_models import write_model
from sound_files import noise, tone
from torch import nn

import sonotype
from sonotype.config import SystemOptions
from sonotype.core.errors import ModelFileError
from sonotype.core.types import Head
from sonotype.inference.ensemble import Ensemble
from sonotype.inference.prediction import Failure, Prediction
from sonotype.modelfile.card import ModelCard
from sonotype.modelfile.model_file import load_model, read_card, save_model
from sonotype.models.build import build_system
from sonotype.models.system import System
from sonotype.models.unknown import UnknownScore

HEADS = (Head("category", ("high", "low")),)
OPTIONS = SystemOptions(backbone="compact", width=0.0, pooling="statistics", seconds=1.0)
RATE = 16_000


def sound_of(seed: int, seconds: float = 1.0) -> np.ndarray:
    """A noise with a tone.

    Noises alone have almost equal embeddings, whose differences the scores would stretch, rounding
    included.
    """
    return 0.3 * noise(seconds, seed, RATE) + tone(seconds, 200 * 1.5**seed, RATE, level=0.3)


def made(seed: int = 0) -> System:
    """A system whose unknown scores differ from sound to sound, though they mean nothing."""
    torch.manual_seed(seed)
    system = build_system(OPTIONS, HEADS).eval()
    score = UnknownScore(2, system.embedding_size, 3)
    for buffer in (score.centres, score.axes):
        nn.init.normal_(buffer, std=system.embedding_size**-0.5)
    nn.init.normal_(score.gate, std=20.0)
    system.set_unknown("category", score)
    output = system(torch.from_numpy(np.stack([sound_of(seed) for seed in range(8)])))
    sums = score.sum(output.embedding, output.logits["category"])
    score.threshold.copy_(sums.median())
    score.width.copy_(sums.std())
    return system


def card(threshold: float | None = 0.5, head: str = "category", shifts: int = 1) -> ModelCard:
    return ModelCard(
        OPTIONS, HEADS, RATE, ("VGGishLogMel",), tta_shifts=shifts, unknown_head=head,
        unknown_threshold=threshold,
    )  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model") / "m.safetensors", made(), card())


def scores_of(predictions: list[Prediction]) -> list[float]:
    assert all(prediction.unknown_score is not None for prediction in predictions)
    return [float(prediction.unknown_score or 0.0) for prediction in predictions]


def test_a_model_file_keeps_the_unknown_score(model: Path) -> None:
    system, read = load_model(model)
    assert (read.unknown_head, read.unknown_threshold) == ("category", 0.5)
    original = made()
    assert system.unknown is not None
    assert original.unknown is not None
    for name, tensor in original.unknown.state_dict().items():
        assert torch.equal(system.unknown.state_dict()[name], tensor), name
    waveform = torch.from_numpy(sound_of(3))[None]
    with torch.inference_mode():
        one, other = system(waveform).unknown, original(waveform).unknown
    torch.testing.assert_close(one, other)


def test_predictions_have_scores_and_decide_by_the_threshold(model: Path) -> None:
    classifier = sonotype.load(model)
    sounds = [sound_of(seed) for seed in range(8)]
    predictions = [classifier.predict(sound, RATE) for sound in sounds]
    found = scores_of(predictions)
    assert all(0 <= score <= 1 for score in found)
    decided = [prediction.is_unknown for prediction in predictions]
    assert decided == [score > 0.5 for score in found]
    assert 0 < sum(decided) < 8
    values = predictions[0].to_dict()
    assert (values["unknown_score"], values["is_unknown"]) == (found[0], decided[0])
    system, expected = made(), []
    with torch.inference_mode():
        # One by one, as they were predicted: batches of other sizes round otherwise.
        for sound in sounds:
            output = system(torch.from_numpy(sound)[None])
            assert output.unknown is not None
            expected.append(output.unknown.item())
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_scores_without_a_threshold_decide_nothing(tmp_path: Path) -> None:
    path = save_model(tmp_path / "m.safetensors", made(), card(threshold=None))
    classifier = sonotype.load(path)
    predictions = [classifier.predict(sound_of(seed), RATE) for seed in range(8)]
    assert max(scores_of(predictions)) > 0.5
    assert not any(prediction.is_unknown for prediction in predictions)


def test_a_model_without_the_score(tmp_path: Path) -> None:
    """As all models of earlier versions are."""
    path = write_model(tmp_path / "m.safetensors")
    assert read_card(path).unknown_head == ""
    prediction = sonotype.load(path).predict(sound_of(0), RATE)
    assert prediction.unknown_score is None
    assert prediction.is_unknown is False
    values = prediction.to_dict()
    assert (values["unknown_score"], values["is_unknown"]) == (None, None)
    failure = Failure("x.wav", "cannot be read").to_dict()
    assert failure.keys() == values.keys()


def test_shifts_and_models_are_averaged(model: Path, tmp_path: Path) -> None:
    sound = sound_of(2)
    classifier = sonotype.load(model)
    step = len(sound) / 3
    rolled = [classifier.predict(np.roll(sound, round(number * step)), RATE) for number in range(3)]
    averaged = classifier.with_options(tta_shifts=3).predict(sound, RATE)
    assert scores_of([averaged])[0] == pytest.approx(np.mean(scores_of(rolled)), abs=1e-5)

    path = save_model(tmp_path / "m.safetensors", made(seed=5), card(threshold=0.25))
    other = sonotype.load(path)
    each = [member.predict(sound, RATE) for member in (classifier, other)]
    together = Ensemble([classifier, other]).predict(sound, RATE)
    assert scores_of([together])[0] == pytest.approx(np.mean(scores_of(each)), abs=1e-6)
    assert together.unknown_threshold == 0.375
    plain = write_model(tmp_path / "plain.safetensors", HEADS)
    mixed = Ensemble([classifier, sonotype.load(plain)]).predict(sound, RATE)
    assert (mixed.unknown_score, mixed.unknown_threshold, mixed.is_unknown) == (None, None, False)


@pytest.mark.parametrize("exact", [True, False])
def test_windows_have_scores(model: Path, exact: bool) -> None:
    classifier = sonotype.load(model)
    sound = sound_of(1, 3.0)
    found = list(classifier.predict_windows(sound, 0.5, sample_rate=RATE, exact=exact))
    assert len(found) == 5
    assert np.ptp(scores_of(found)) > 0
    system = made()
    with torch.no_grad():
        embedding = torch.from_numpy(np.stack([prediction.embedding for prediction in found]))
        logits = {name: layer(embedding) for name, layer in system.classifiers.items()}
        expected = system.unknown_score(logits, embedding)
    assert scores_of(found) == pytest.approx(expected, abs=1e-4)
    if exact:
        clip = classifier.predict(sound[8000 : 8000 + RATE], RATE)
        assert scores_of(found[1:2]) == pytest.approx(scores_of([clip]), abs=1e-5)


@pytest.mark.parametrize(
    ("unknown", "head", "text"),
    [
        (False, "category", "the weights do not fit the header \\(no unknown score\\)"),
        (True, "", "the weights do not fit the header"),
        (True, "event", 'unknown_head is "event", must be a head'),
    ],
)
def test_a_header_that_does_not_fit_the_unknown_score(
    tmp_path: Path, unknown: bool, head: str, text: str
) -> None:
    system = made()
    if not unknown:
        system.unknown = None
    path = save_model(tmp_path / "m.safetensors", system, card(head=head))
    with pytest.raises(ModelFileError, match=text):
        load_model(path)
