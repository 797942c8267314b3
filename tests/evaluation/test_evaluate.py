"""Predictions of a classifier on labelled clips, against one sound at a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from heads import labelled, two_heads
from small_models import CATEGORIES, HEADS, write_model
from training_data import TONES, write_tones

from sonotype.core.errors import DataError
from sonotype.core.types import IGNORE_INDEX, Clip, Head
from sonotype.data.manifest import Manifest
from sonotype.data.readers.source import open_source
from sonotype.evaluation.evaluate import predict_clips, refuse_unknown_labels
from sonotype.inference.classifier import Classifier
from sonotype.inference.load import load


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("data") / "tones", clips=3)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Classifier]:
    folder = tmp_path_factory.mktemp("models")
    return {
        "two levels": load(write_model(folder / "two.safetensors"), category_source="events"),
        "one level": load(write_model(folder / "one.safetensors", CATEGORIES)),
    }


@pytest.mark.parametrize("batch_size", [1, 5, 16])
def test_answers_are_those_of_single_predictions(
    models: dict[str, Classifier], tones: Path, batch_size: int
) -> None:
    manifest = open_source(tones, purpose="evaluation")
    model = models["two levels"]
    predictions = predict_clips(model, manifest, batch_size=batch_size)
    assert predictions.heads == HEADS
    assert len(predictions) == 12
    heads = Classifier(model.engine, model.card, category_source="head")
    for row, clip in enumerate(manifest.clips):
        one = heads.predict(clip.path)
        assert predictions.paths[row] == str(clip.path)
        assert predictions.groups[row] == clip.group
        true = [head.classes[predictions.true[head.name][row]] for head in HEADS]
        assert true == [clip.path.parent.parent.name, clip.path.parent.name]
        # The output of each head is kept, though this model reads its category from the events.
        for name, proba in one.proba.items():
            np.testing.assert_allclose(predictions.proba[name][row], proba, atol=1e-5)
    for how in ("events", "both"):
        read = Classifier(model.engine, model.card, category_source=how)  # type: ignore[arg-type]
        for row, clip in enumerate(manifest.clips):
            wanted = read.predict(clip.path).proba["category"]
            found = predictions.read(how)["category"][row]  # type: ignore[arg-type]
            np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_answers_are_averaged_over_shifts_as_the_classifier_does(
    models: dict[str, Classifier], tones: Path
) -> None:
    manifest = open_source(tones, purpose="evaluation")
    model = models["two levels"]
    plain = predict_clips(model, manifest)
    requested = Classifier(model.engine, model.card, tta_shifts=3)
    told = Classifier(model.engine, replace(model.card, tta_shifts=3))
    single = Classifier(model.engine, model.card, category_source="head", tta_shifts=3)
    for shifted in (requested, told):
        predictions = predict_clips(shifted, manifest, batch_size=5)
        for row, clip in enumerate(manifest.clips):
            one = single.predict(clip.path)
            for name, proba in one.proba.items():
                np.testing.assert_allclose(predictions.proba[name][row], proba, atol=1e-5)
        assert np.abs(predictions.proba["event"] - plain.proba["event"]).max() > 1e-3


def test_a_model_without_events_on_two_levels(models: dict[str, Classifier], tones: Path) -> None:
    predictions = predict_clips(models["one level"], open_source(tones, purpose="evaluation"))
    assert predictions.proba.keys() == {"category"}
    assert predictions.true["category"].tolist() == [0] * 6 + [1] * 6


def test_a_model_with_events_on_one_level(
    models: dict[str, Classifier], tones: Path, tmp_path: Path
) -> None:
    for category, events in TONES.items():
        (tmp_path / category).mkdir()
        for event in events:
            source = tones / category / event / f"{event}_0.wav"
            (tmp_path / category / source.name).write_bytes(source.read_bytes())
    predictions = predict_clips(models["two levels"], open_source(tmp_path, purpose="evaluation"))
    assert predictions.true["event"].tolist() == [IGNORE_INDEX] * 4
    assert predictions.proba["event"].shape == (4, 4)


def test_labels_that_the_model_does_not_know_are_all_named(
    models: dict[str, Classifier], tmp_path: Path
) -> None:
    for name in ("low/hum", "low/growl", "deep/boom", "high/beep"):
        (tmp_path / name).mkdir(parents=True)
        for number in range(2):
            (tmp_path / name / f"{number}.wav").write_bytes(b"never read")
    manifest = open_source(tmp_path, purpose="evaluation")
    with pytest.raises(DataError) as caught:
        predict_clips(models["two levels"], manifest)
    name = tmp_path.name
    assert str(caught.value) == (
        f"{name}: 3 issues\n"
        f"  {name}: the model has no category 'deep'; it has high, low\n"
        f"  {name}: the model has no event 'boom'; it has beep, buzz, hum, whistle\n"
        f"  {name}: the model has no event 'growl'; it has beep, buzz, hum, whistle"
    )
    with pytest.raises(DataError) as caught:
        predict_clips(models["one level"], manifest)
    assert [issue.cause for issue in caught.value.issues] == [
        "the model has no category 'deep'; it has high, low"
    ]


def test_a_long_list_of_known_labels_is_cut() -> None:
    labels = two_heads(tuple(f"class {number:02}" for number in range(20)))
    manifest = Manifest("some", (labelled(Path("a.wav"), "other", None, "a", None),))
    with pytest.raises(DataError) as caught:
        refuse_unknown_labels(manifest, labels)
    listed = ", ".join(f"class {number:02}" for number in range(12))
    assert caught.value.issues[0].cause == (
        f"the model has no category 'other'; it has {listed} and 8 more"
    )


def test_sounds_that_cannot_be_read_are_all_named(
    models: dict[str, Classifier], tmp_path: Path
) -> None:
    tones = write_tones(tmp_path / "tones", clips=3)
    (tones / "low" / "hum" / "hum_1.wav").write_bytes(b"")
    (tones / "high" / "beep" / "beep_2.wav").write_text("no sound at all")
    with pytest.raises(DataError) as caught:
        predict_clips(models["two levels"], open_source(tones, purpose="evaluation"), batch_size=4)
    assert str(caught.value) == (
        "tones: 2 issues\n"
        f"  {tones}/high/beep/beep_2.wav: is not a readable sound (Format not recognised); "
        "wav, flac, ogg, opus, mp3, m4a and other formats of libsndfile and FFmpeg are read\n"
        f"  {tones}/low/hum/hum_1.wav: is empty (0 bytes)"
    )


def test_several_labels_for_a_model_of_one() -> None:
    clips = [
        Clip(Path(f"{number}.wav"), {"category": labels}, "", None)
        for number, labels in enumerate([("a",), ("a", "b"), (), ("b", "c")])
    ]
    manifest = Manifest("made", tuple(clips), problem="multi")
    with pytest.raises(DataError) as caught:
        refuse_unknown_labels(manifest, (Head("category", ("a", "b")),))
    assert [issue.file for issue in caught.value.issues] == ["made", "1.wav", "3.wav"]
    assert "has 2 labels (a, b)" in caught.value.issues[1].cause
    with pytest.raises(DataError) as caught:
        refuse_unknown_labels(manifest, (Head("category", ("a", "b"), "multi"),))
    assert [issue.file for issue in caught.value.issues] == ["made"]
    refuse_unknown_labels(manifest, (Head("category", ("a", "b", "c"), "multi"),))
