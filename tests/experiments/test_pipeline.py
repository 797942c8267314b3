"""A whole run: its files, its scores, and the subsets that it must not read."""

from __future__ import annotations

import csv
import json
import logging
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from heads import two_heads
from sklearn.metrics import f1_score
from training_data import FOLDED, RATE, SMALL, write_tones

import sonotype
from sonotype.audio.clip import AudioSpec
from sonotype.config import SystemOptions, TrainOptions, resolve
from sonotype.core.errors import (
    SonotypeError,
)
from sonotype.core.types import Clip
from sonotype.data.augment import augmented_copies
from sonotype.data.augment.augmented_copies import Waveforms
from sonotype.data.readers.folder import read_folder
from sonotype.data.splits.split import Split
from sonotype.data.splits.subsets import NoteKind
from sonotype.data.splits.training_split import split_by_options
from sonotype.evaluation.predictions import load_predictions
from sonotype.experiments import pipeline
from sonotype.experiments.opening import open_run
from sonotype.experiments.pipeline import TrainResult, train
from sonotype.experiments.run_options import RunOptions
from sonotype.experiments.runner import run_or_resume
from sonotype.inference.classifier import Classifier
from sonotype.modelfile.pretrained import Pretrained
from sonotype.models.backbones.mobilenet import MobileNet
from sonotype.models.build import cbir_2
from sonotype.training import trainer
from sonotype.training.history import read_history
from sonotype.training.sources import augmentation


def subsets_of(run: TrainResult) -> dict[str, list[dict[str, str]]]:
    with (run.folder / "split.csv").open(
        newline="", encoding="utf-8", errors="surrogateescape"
    ) as stream:
        rows = list(csv.DictReader(stream))
    return {name: [r for r in rows if r["subset"] == name] for name in ("train", "val", "test")}


def split_of(tones: Path, options: dict[str, Any]) -> Split:
    """The split of a run with these options."""
    chosen = RunOptions.of(options)
    seed, checkpoint = chosen.train.seed, chosen.train.checkpoint
    return split_by_options(read_folder(tones), chosen.split, checkpoint=checkpoint, seed=seed)


def test_the_files_of_a_run(run: TrainResult) -> None:
    found = {str(path.relative_to(run.folder)) for path in run.folder.rglob("*") if path.is_file()}
    assert found == {
        "predictions.csv",
        "predictions.npz",
        "config.json",
        "model.safetensors",
        "plots/category_confusion.png",
        "plots/category_f1.png",
        "plots/category_reliability.png",
        "plots/event_confusion.png",
        "plots/event_f1.png",
        "plots/event_reliability.png",
        "plots/training.png",
        "scores.json",
        "scores.txt",
        "split.csv",
        "time.json",
        "training.csv",
        "training/best.ckpt",
        "training/done.json",
        "training/last.ckpt",
        "training/log/part_1/metrics.csv",
    }


def test_every_clip_is_in_one_subset(run: TrainResult, tones: Path) -> None:
    subsets = subsets_of(run)
    paths = [row["path"] for rows in subsets.values() for row in rows]
    assert sorted(paths) == sorted(str(path) for path in tones.rglob("*.wav"))
    assert {name: len(rows) for name, rows in subsets.items()} == {"train": 13, "val": 5, "test": 6}


def test_the_model_holds_the_best_epoch(run: TrainResult) -> None:
    rows = [row for row in read_history(run.folder / "training") if row.get("val_f1")]
    scores = [float(row["val_f1"]) for row in rows]
    assert run.best_score == pytest.approx(max(scores), abs=1e-6)
    assert scores[run.best_epoch - 1] == pytest.approx(max(scores), abs=1e-6)
    model = sonotype.load(run.model)
    assert model.category_source == "events"  # its predictions select the epoch
    val = subsets_of(run)["val"]
    found = [model.predict(row["path"]) for row in val]
    category, event = (
        f1_score([row[level] for row in val], [p.labels[level] for p in found], average="macro")
        for level in ("category", "event")
    )
    assert (category + event) / 2 == pytest.approx(run.best_score, abs=1e-3)


def test_the_scores_are_those_of_the_model_on_the_test_subset(run: TrainResult) -> None:
    model = sonotype.load(run.model)
    right = [model.predict(row["path"]).label == row["event"] for row in subsets_of(run)["test"]]
    assert run.scores["heads"]["event"]["accuracy"]["value"] == pytest.approx(np.mean(right))
    assert model.card.scores == json.loads((run.folder / "scores.json").read_text())


def test_the_model_file_records_its_training(run: TrainResult, tones: Path) -> None:
    card = sonotype.load(run.model).card
    assert card.training["data"] == tones.name
    assert card.training["fingerprint"] == read_folder(tones).fingerprint()
    assert card.training["clips"] == {"train": 13, "val": 5, "test": 6}
    assert card.training["options"]["seed"] == 0
    assert card.training["split"]["test_fraction"] == 0.25
    assert card.training["source"]["rare_events"] == "error"
    assert card.front_ends == ("VGGishLogMel", "VGGishLogMel")
    assert set(card.versions) >= {"sonotype", "python", "torch", "soundfile"}


def test_the_test_subset_is_read_once_and_never_augmented(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SONOTYPE_CACHE", str(tmp_path / "cache"))  # so that everything is read
    predicted: list[list[str]] = []
    augmented: set[str] = set()
    predict_files = Classifier.predict_files
    samples = Waveforms._samples
    read, trained_on = Waveforms._read, set()

    def recorded(self: Any, clip: Clip, *arguments: Any) -> Any:
        trained_on.add(str(clip.path))
        return read(self, clip, *arguments)

    monkeypatch.setattr(Waveforms, "_read", recorded)

    def predict(self: Any, paths: Any, **options: Any) -> Any:
        predicted.append(sorted(map(str, paths)))
        return predict_files(self, paths, **options)

    def augment(self: Any, index: int, draw: tuple[int, int]) -> Any:
        if draw != augmented_copies._UNAUGMENTED:
            augmented.add(str(self.clips[index].path))
        return samples(self, index, draw)

    monkeypatch.setattr(Classifier, "predict_files", predict)
    monkeypatch.setattr(Waveforms, "_samples", augment)
    result = train(tones, tmp_path / "run", **SMALL | {"system": "cbir_3", "epochs": 1})
    subsets = subsets_of(result)
    assert predicted == [sorted(row["path"] for row in subsets["test"])]
    assert augmented == {row["path"] for row in subsets["train"]}
    assert trained_on == {row["path"] for row in subsets["train"] + subsets["val"]}


def random_backbone(monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """Replace the pretrained mn01 by a random one; returns a copy of its weights."""
    torch.manual_seed(5)
    backbone = MobileNet(width=0.1)
    found = Pretrained(backbone, "mn01", {"mn01": "MIT"})
    monkeypatch.setattr(pipeline, "load_pretrained", lambda *_, **__: found)
    return {name: x.clone() for name, x in backbone.state_dict().items()}


@pytest.mark.parametrize("extra", [{"width": 0}, {"n_augmented": 0}], ids=["cached", "fresh"])
def test_frozen_means_frozen_through_a_whole_training(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extra: dict[str, Any]
) -> None:
    before = random_backbone(monkeypatch)
    result = train(tones, tmp_path / "run", **SMALL | {"backbone": "mn01", "epochs": 1} | extra)
    model = sonotype.load(result.model)
    after = model.engine.system.branch_1.state_dict()
    for key, x in before.items():
        assert torch.equal(after[key], x), key
    if "width" in extra:  # without branch 2
        assert model.card.front_ends == ("EfficientATLogMel",)
        assert model.engine.system.branch_2 is None
        assert model.engine.system.pool_blocks == (3, 4)


def test_unfrozen_blocks_learn_and_those_before_do_not(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = random_backbone(monkeypatch)
    options = SMALL | {"backbone": "mn01", "unfreeze_from": 4, "epochs": 1}
    result = train(tones, tmp_path / "run", **options)
    after = sonotype.load(result.model).engine.system.branch_1.state_dict()
    moved = {name.split(".")[1] for name, x in before.items() if not torch.equal(after[name], x)}
    assert moved == {"3"}


@pytest.mark.parametrize("system", ["cbir_1", "cbir_4"])
def test_the_other_systems_train_too(tones: Path, tmp_path: Path, system: str) -> None:
    result = train(
        tones, tmp_path / "run", **SMALL | {"system": system, "recipe": "paper", "epochs": 1}
    )
    assert sonotype.load(result.model).card.options.system == system


def test_one_level_of_labels_and_the_split_of_the_paper(tones: Path, tmp_path: Path) -> None:
    options = SMALL | {"protocol": "random", "epochs": 1}
    result = train(tones / "low", tmp_path / "run", **options)
    model = sonotype.load(result.model)
    prediction = model.predict(tones / "low" / "hum" / "hum_0.wav")
    assert list(prediction.probabilities) == ["category"]
    assert set(prediction.probabilities["category"]) == {"hum", "buzz"}
    assert list(result.scores["heads"]) == ["category"]
    assert any("not grouped" in note for note in result.scores["notes"])
    assert model.card.training["grouped"] is False


@pytest.fixture(scope="module")
def partly_labelled(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of the tones, in which "high" has no event labels and "low" lacks two."""
    table = tmp_path_factory.mktemp("partly") / "labels.csv"
    with table.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "category", "event"])
        for sound in sorted(tones.rglob("*.wav")):
            category, event = sound.parent.parent.name, sound.parent.name
            written = category == "low" and sound.stem not in ("hum_1", "buzz_1")
            writer.writerow([sound, category, event if written else ""])
    return table


def test_a_category_without_events_is_predicted(partly_labelled: Path, tmp_path: Path) -> None:
    """By default the category is read from the events, and this one has none."""
    options = SMALL | {"epochs": 10, "learning_rate": 0.02}
    result = train(partly_labelled, tmp_path / "run", **options)
    model = sonotype.load(result.model)
    assert model.category_source == "events"
    assert model.heads[1].unlabelled == (1.0, pytest.approx(2 / 12))
    assert (
        load_predictions(result.folder / "predictions.npz").heads[1].unlabelled
        == model.heads[1].unlabelled
    )
    head = sonotype.load(result.model, category_source="head")
    paths = [row["path"] for rows in subsets_of(result).values() for row in rows]
    predicted = [each.predict(path) for each in (model, head) for path in paths]
    found = [prediction.labels["category"] == "high" for prediction in predicted]
    assert found[: len(paths)] == found[len(paths) :]
    assert 6 <= sum(found[: len(paths)]) <= 18
    per_class = result.scores["heads"]["category"]["per_class"]
    recall = {row["label"]: row["recall"] for row in per_class}
    assert recall["high"] > 0.6


def random_states() -> list[object]:
    """The states of the random generators that a caller may have seeded."""
    numbers = np.random.get_state()  # noqa: NPY002
    return [torch.get_rng_state().tolist(), str(numbers), random.getstate()]


@pytest.mark.parametrize("how", ["done", "failed", "folds"])
def test_random_state_and_settings_of_the_caller_are_kept(
    tones: Path, table: Path, tmp_path: Path, how: str
) -> None:
    deterministic = torch.are_deterministic_algorithms_enabled()
    level = logging.getLogger("pytorch_lightning").level
    before = random_states()
    if how == "failed":
        with pytest.raises(SonotypeError):
            train(tones, tmp_path / "run", **SMALL | {"learning_rate": 1e30})
    elif how == "folds":
        sonotype.crossval(table, tmp_path / "run", **FOLDED | {"epochs": 1})
    else:
        context = open_run(tones, tmp_path / "run", RunOptions.of(SMALL | {"epochs": 1}))
        before = random_states()
        assert run_or_resume(context) is None
    assert random_states() == before
    assert torch.are_deterministic_algorithms_enabled() is deterministic
    assert logging.getLogger("pytorch_lightning").level == level


def test_a_training_without_event_head(tones: Path, tmp_path: Path) -> None:
    result = train(tones, tmp_path / "run", **SMALL | {"event_head": False, "epochs": 1})
    model = sonotype.load(result.model)
    assert model.heads == two_heads(("high", "low"))
    assert list(model.engine.system.classifiers) == ["category"]
    assert list(result.scores["heads"]) == ["category"]
    category = result.scores["heads"]["category"]
    right = [
        model.predict(row["path"]).label == row["category"] for row in subsets_of(result)["test"]
    ]
    assert category["accuracy"]["value"] == pytest.approx(np.mean(right))
    history = read_history(result.folder / "training")
    assert not [name for row in history for name in row if "event" in name]
    assert {"val_f1", "val_category_f1"} <= history[-1].keys()


def test_the_last_epoch_is_kept_without_validation(tones: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    options = SMALL | {"checkpoint": "last", "patience": 1, "learning_rate": 1e-9, "tta_shifts": 2}
    del options["min_steps"]  # the recipe's 400 steps do not extend the epochs that are set
    result = train(tones, tmp_path / "run", on_message=lines.append, **options)
    assert (result.best_epoch, result.best_score) == (3, None)
    assert lines[0] == "cbir_2 with backbone none: 18 clips to train on, 0 to validate, 6 to test"
    subsets = subsets_of(result)
    assert {name: len(rows) for name, rows in subsets.items()} == {"train": 18, "val": 0, "test": 6}
    paths = [str(clip.path) for clip in read_folder(tones).clips]
    assert [row["path"] for row in subsets["test"]] == [
        paths[index] for index in split_of(tones, SMALL).test
    ]
    assert sorted(path.name for path in (result.folder / "training").glob("*.ckpt")) == [
        "last.ckpt"
    ]
    state = torch.load(result.folder / "training" / "last.ckpt", weights_only=True)["state_dict"]
    model = sonotype.load(result.model)
    for name, tensor in model.engine.system.state_dict().items():
        assert torch.equal(tensor, state[f"system.{name}"]), name
    assert model.card.training["clips"] == {"train": 18, "val": 0, "test": 6}
    assert (model.card.training["best_epoch"], model.card.training["val_f1"]) == (3, None)
    config = json.loads((result.folder / "config.json").read_text())["options"]
    assert (config["epochs"], config["min_steps"]) == (3, 0)
    history = read_history(result.folder / "training")
    assert [sorted(row) for row in history] == [["epoch", "train_loss"]] * 3
    # The scores are those of the saved model, with its shifts.
    assert model.tta_shifts == model.card.tta_shifts == 2
    right = [model.predict(row["path"]).label == row["event"] for row in subsets["test"]]
    assert result.scores["heads"]["event"]["accuracy"]["value"] == pytest.approx(np.mean(right))


def test_the_test_subset_selects_the_epoch_as_in_the_paper(tones: Path, tmp_path: Path) -> None:
    options = SMALL | {"select_on": "test", "category_source": "head"}
    usual, split = split_of(tones, SMALL), split_of(tones, options)
    assert (split.train, split.val, split.test) == (usual.train, usual.test, usual.test)
    result = train(tones, tmp_path / "run", **options)
    note = NoteKind.SELECTED_ON_TEST
    assert result.scores["notes"] == [f"{usual.note}; {note}"]
    assert note in " ".join(result.report.split())
    assert {name: len(rows) for name, rows in subsets_of(result).items()} == {
        "train": 13,
        "val": 0,
        "test": 6,
    }
    training = sonotype.load(result.model).card.training
    assert training["clips"] == {"train": 13, "val": 6, "test": 6}
    assert training["split"]["select_on"] == "test"
    # The score that selected the epoch is the reported one.
    f1 = [result.scores["heads"][level]["f1"]["value"] for level in ("category", "event")]
    assert result.best_score == pytest.approx(np.mean(f1), abs=1e-6)


def test_early_stopping_ends_a_training_that_does_not_rise(tones: Path, tmp_path: Path) -> None:
    options = SMALL | {"epochs": 40, "patience": 2, "learning_rate": 0.0, "recipe": "paper"}
    train(tones, tmp_path / "run", **options)
    rows = [row for row in read_history(tmp_path / "run" / "training") if row.get("val_f1")]
    assert len(rows) == 3


def test_class_weights_reach_the_head_they_are_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tones = write_tones(tmp_path / "tones")
    for number in (3, 4, 5):
        (tones / "low" / "hum" / f"hum_{number}.wav").unlink()
    made: list[Any] = []
    build = trainer.Learner

    def recorded(*arguments: Any, **options: Any) -> Any:
        made.append(build(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(trainer, "Learner", recorded)
    options = SMALL | {"class_weights": True, "epochs": 1, "precision": "bf16-mixed"}
    options["n_augmented"] = 0
    result = train(tones, tmp_path / "run", **options)
    rows = subsets_of(result)["train"]
    card = sonotype.load(result.model).card
    for kind, names, weight in (
        ("category", card.heads[0].classes, made[0].label_loss.weights_category),
        ("event", card.heads[1].classes, made[0].label_loss.weights_event),
    ):
        counts = [sum(row[kind] == name for row in rows) for name in names]
        wanted = [len(rows) / (len(names) * count) for count in counts]
        assert weight.tolist() == pytest.approx(wanted), kind


def test_frozen_maps_are_exact_under_mixed_precision() -> None:
    system = cbir_2(categories=2, events=2, backbone="mn01", width=0.01)
    waveform = torch.randn(2, 32_000, generator=torch.manual_seed(1))
    exact = system.frozen_part(waveform)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = system.frozen_part(waveform)
    for name, x in exact.items():
        assert torch.equal(mixed[name], x), name


def test_the_transform_and_the_recipe_of_the_paper(tones: Path, tmp_path: Path) -> None:
    options = resolve(TrainOptions(recipe="paper", time_shift=1.0), "cbir_2")
    assert augmentation(options).n_augmented == 0
    seen: list[int] = []

    def noted(samples: np.ndarray, rate: int) -> np.ndarray:
        seen.append(rate)
        return samples

    own = {name: value for name, value in SMALL.items() if name != "n_augmented"}
    train(tones, tmp_path, transform=noted, **own | {"recipe": "paper", "epochs": 1})
    assert set(seen) == {RATE}


def test_tensorboard_logs_and_file_names_that_are_not_valid_text(tmp_path: Path) -> None:
    tones = write_tones(tmp_path / "tones")
    odd = os.fsdecode(b"hum_\xff.wav")
    (tones / "low" / "hum" / "hum_0.wav").rename(tones / "low" / "hum" / odd)
    result = train(tones, tmp_path / "run", **SMALL | {"tensorboard": True, "epochs": 1})
    assert b"hum_\xff.wav" in (result.folder / "split.csv").read_bytes()
    logs = result.folder / "training" / "tensorboard"
    assert list(logs.glob("events.out.tfevents*"))


def test_a_message_for_each_epoch_and_no_output(tones: Path, tmp_path: Path, capfd: Any) -> None:
    lines: list[str] = []
    train(tones, tmp_path / "run", on_message=lines.append, progress=True, **SMALL)
    assert lines[0] == ("cbir_2 with backbone none: 13 clips to train on, 5 to validate, 6 to test")
    epochs = [line for line in lines if line.startswith("epoch")]
    assert [line[:11] for line in epochs] == ["epoch   1/3", "epoch   2/3", "epoch   3/3"]
    assert all(len(line) <= 80 for line in epochs)
    assert epochs[0].endswith("left at most")
    assert capfd.readouterr() == ("", "")


def test_a_run_on_real_sounds(
    assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SONOTYPE_WEIGHTS", str(assets / "weights"))
    folder = assets / "data" / "esc10_44k1"
    names = ["001 - Dog bark", "002 - Rain", "009 - Rooster"]
    for name in names:
        (tmp_path / "data" / name).mkdir(parents=True)
        for path in (folder / name).iterdir():
            (tmp_path / "data" / name / path.name).write_bytes(path.read_bytes())
    options = {"system": "cbir_4", "backbone": "mn04", "recipe": "paper", "epochs": 30}
    fractions = {"val_fraction": 0.34, "test_fraction": 0.25, "batch_size": 4}
    result = train(tmp_path / "data", tmp_path / "run", **options, **fractions)
    model = sonotype.load(result.model)
    assert model.audio_spec == AudioSpec(32_000)
    right = [
        model.predict(path).label == path.parent.name
        for path in sorted((tmp_path / "data").rglob("*.ogg"))
    ]
    assert np.mean(right) >= 0.75
    assert SystemOptions(system="cbir_4", backbone="mn04") == model.card.options
