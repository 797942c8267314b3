"""A whole training: what it leaves behind, what it must never touch, what it refuses."""

from __future__ import annotations

import csv
import errno
import json
import logging
import os
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from sklearn.metrics import f1_score
from training_data import FOLDED, RATE, SMALL, write_table, write_tones

import sonotype
from sonotype.audio.clip import AudioSpec
from sonotype.config import NETWORKS, ScoreOptions, SystemOptions, TrainOptions, resolve
from sonotype.core.device import device_of
from sonotype.core.errors import (
    DataError,
    MissingExtraError,
    OptionsError,
    SonotypeError,
    StoppedError,
    WeightsError,
)
from sonotype.core.types import Labels
from sonotype.data.augment.augmented_copies import Waveforms
from sonotype.data.readers.folder import read_folder
from sonotype.data.splits.subsets import NoteKind
from sonotype.evaluation.predictions import load_predictions
from sonotype.experiments import pipeline as run_room
from sonotype.experiments.pipeline import TrainResult, train
from sonotype.experiments.run_folder import options_of
from sonotype.experiments.run_options import RunOptions
from sonotype.experiments.runner import run_planned
from sonotype.inference import classifier as classifier_room
from sonotype.modelfile.pretrained import Pretrained
from sonotype.models.backbones.mobilenet import MobileNet
from sonotype.models.build import cbir_2
from sonotype.training import checkpoint
from sonotype.training import trainer as trainer_module
from sonotype.training.history import read_history
from sonotype.training.module import Learner
from sonotype.training.sources import augmentation


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("tones"))


@pytest.fixture(scope="module")
def run(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    return train(tones, tmp_path_factory.mktemp("runs") / "run", **SMALL | {"epochs": 8})


def parts_of(run: TrainResult) -> dict[str, list[dict[str, str]]]:
    with (run.folder / "split.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return {part: [r for r in rows if r["part"] == part] for part in ("train", "val", "test")}


def test_a_run_leaves_everything_where_the_docs_say(run: TrainResult) -> None:
    found = {str(path.relative_to(run.folder)) for path in run.folder.rglob("*") if path.is_file()}
    assert found == {
        "predictions.csv",
        "predictions.npz",
        "config.json",
        "model.safetensors",
        "plots/category_confusion.png",
        "plots/category_f1.png",
        "plots/event_confusion.png",
        "plots/event_f1.png",
        "plots/training.png",
        "scores.json",
        "scores.txt",
        "split.csv",
        "training.csv",
        "training/best.ckpt",
        "training/done.json",
        "training/last.ckpt",
        "training/log/part_1/metrics.csv",
    }


def test_every_clip_is_in_one_part(run: TrainResult, tones: Path) -> None:
    parts = parts_of(run)
    paths = [row["path"] for rows in parts.values() for row in rows]
    assert sorted(paths) == sorted(str(path) for path in tones.rglob("*.wav"))
    assert {name: len(rows) for name, rows in parts.items()} == {"train": 13, "val": 5, "test": 6}


def test_the_model_holds_the_best_epoch(run: TrainResult) -> None:
    rows = [row for row in read_history(run.folder / "training") if row.get("val_f1")]
    scores = [float(row["val_f1"]) for row in rows]
    assert run.best_score == pytest.approx(max(scores), abs=1e-6)
    assert scores[run.best_epoch - 1] == pytest.approx(max(scores), abs=1e-6)
    model = sonotype.load(run.model)
    assert model.category_source == "events"  # what it answers is what chooses the epoch
    val = parts_of(run)["val"]
    answers = [model.predict(row["path"]) for row in val]
    category = f1_score(
        [row["category"] for row in val], [one.category for one in answers], average="macro"
    )
    event = f1_score([row["event"] for row in val], [one.event for one in answers], average="macro")
    assert (category + event) / 2 == pytest.approx(run.best_score, abs=1e-3)


def test_the_scores_are_those_of_the_model_on_the_test_part(run: TrainResult) -> None:
    model = sonotype.load(run.model)
    right = [model.predict(row["path"]).event == row["event"] for row in parts_of(run)["test"]]
    assert run.scores["event"]["accuracy"]["value"] == pytest.approx(np.mean(right))
    assert model.card.scores == json.loads((run.folder / "scores.json").read_text())


def test_the_model_file_tells_where_it_comes_from(run: TrainResult, tones: Path) -> None:
    card = sonotype.load(run.model).card
    assert card.training["data"] == tones.name
    assert card.training["fingerprint"] == read_folder(tones).fingerprint()
    assert card.training["clips"] == {"train": 13, "val": 5, "test": 6}
    assert card.training["options"]["seed"] == 0
    assert card.front_ends == ("VGGishLogMel", "VGGishLogMel")
    assert set(card.versions) >= {"sonotype", "python", "torch", "soundfile"}


def test_the_test_part_is_read_once_and_never_augmented(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SONOTYPE_CACHE", str(tmp_path / "cache"))  # so that everything is read
    answered: list[list[str]] = []
    augmented: set[str] = set()
    ask = classifier_room.Classifier.predict_files
    draw = Waveforms._drawn
    read, learnt_from = Waveforms._read, set()

    def noted(self: Any, path: Path, *arguments: Any) -> Any:
        learnt_from.add(str(path))
        return read(self, path, *arguments)

    monkeypatch.setattr(Waveforms, "_read", noted)

    def asked(self: Any, paths: Any, **options: Any) -> Any:
        answered.append(sorted(map(str, paths)))
        return ask(self, paths, **options)

    def drawn(self: Any, index: int, *arguments: Any, **options: Any) -> Any:
        augmented.add(str(self.clips[index].path))
        return draw(self, index, *arguments, **options)

    monkeypatch.setattr(classifier_room.Classifier, "predict_files", asked)
    monkeypatch.setattr(Waveforms, "_drawn", drawn)
    result = train(tones, tmp_path / "run", **SMALL | {"system": "cbir_3"})
    parts = parts_of(result)
    assert answered == [sorted(row["path"] for row in parts["test"])]
    assert augmented == {row["path"] for row in parts["train"]}
    assert learnt_from == {row["path"] for row in parts["train"] + parts["val"]}


def stand_in_backbone(monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """Let a random mn01 stand for the pretrained one; a copy of its weights."""
    torch.manual_seed(5)
    backbone = MobileNet(width=0.1)
    found = Pretrained(backbone, "mn01", {"mn01": "MIT"})
    monkeypatch.setattr(run_room, "load_pretrained", lambda *_, **__: found)
    return {name: x.clone() for name, x in backbone.state_dict().items()}


def test_frozen_means_frozen_through_a_whole_training(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = stand_in_backbone(monkeypatch)
    options = SMALL | {"backbone": "mn01", "recipe": "modern", "epochs": 2}
    for name, extra in (("cached", {}), ("fresh", {"n_augmented": 0})):
        result = train(tones, tmp_path / name, **options | extra)
        after = sonotype.load(result.model).engine.system.branch_1.state_dict()
        for key, x in before.items():
            assert torch.equal(after[key], x), key


def test_unfrozen_blocks_learn_and_those_before_do_not(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = stand_in_backbone(monkeypatch)
    options = SMALL | {"backbone": "mn01", "unfreeze_from": 4, "epochs": 2}
    result = train(tones, tmp_path / "run", **options)
    after = sonotype.load(result.model).engine.system.branch_1.state_dict()
    moved = {name.split(".")[1] for name, x in before.items() if not torch.equal(after[name], x)}
    assert moved == {"3"}


@pytest.mark.parametrize("system", ["cbir_1", "cbir_3", "cbir_4"])
def test_the_other_systems_train_too(tones: Path, tmp_path: Path, system: str) -> None:
    result = train(tones, tmp_path / "run", **SMALL | {"system": system, "recipe": "paper"})
    assert sonotype.load(result.model).card.options.system == system


def test_one_level_of_labels_gives_a_category_head_alone(tones: Path, tmp_path: Path) -> None:
    result = train(tones / "low", tmp_path / "run", **SMALL)
    answer = sonotype.load(result.model).predict(tones / "low" / "hum" / "hum_0.wav")
    assert answer.event is None
    assert set(answer.category_probabilities) == {"hum", "buzz"}
    assert result.scores["event"] is None


def test_the_papers_split_says_that_it_is_not_grouped(tones: Path, tmp_path: Path) -> None:
    result = train(tones, tmp_path / "run", **SMALL | {"protocol": "random"})
    assert any("not grouped" in note for note in result.scores["notes"])
    assert sonotype.load(result.model).card.training["grouped"] is False


@pytest.fixture(scope="module")
def partly(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
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


def test_a_category_without_events_is_predicted(partly: Path, tmp_path: Path) -> None:
    """By default the category is read from the events, which know nothing of this one."""
    options = SMALL | {"epochs": 20, "learning_rate": 0.01}
    result = train(partly, tmp_path / "run", **options)
    model = sonotype.load(result.model)
    assert model.category_source == "events"
    assert model.labels.event_less == (1.0, pytest.approx(2 / 12))
    assert (
        load_predictions(result.folder / "predictions.npz").labels.event_less
        == model.labels.event_less
    )
    head = sonotype.load(result.model, category_source="head")
    paths = [row["path"] for rows in parts_of(result).values() for row in rows]
    found = [one.predict(path).category == "high" for one in (model, head) for path in paths]
    assert found[: len(paths)] == found[len(paths) :]
    assert 6 <= sum(found[: len(paths)]) <= 18
    recall = {one["label"]: one["recall"] for one in result.scores["category"]["per_class"]}
    assert recall["high"] > 0.6


def test_a_diverging_training_stops_and_is_not_taken_as_finished(
    tones: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    with pytest.raises(
        SonotypeError, match=r"the \w+ loss is nan in epoch \d on .*\.wav"
    ) as caught:
        train(tones, folder, **SMALL | {"learning_rate": 1e30})
    assert "lower --learning-rate" in str(caught.value)
    there = {path.name for path in folder.rglob("*") if path.is_file()}
    assert not there & {"model.safetensors", "scores.json", "done.json", "best.ckpt"}
    with pytest.raises(SonotypeError, match="loss is nan"):
        train(None, folder, resume=True)


def test_a_last_step_that_breaks_the_weights_writes_no_model(tones: Path, tmp_path: Path) -> None:
    """No loss follows it: there is one step in all, and nothing to validate on."""
    folder = tmp_path / "run"
    options = SMALL | {"protocol": "all", "checkpoint": "last", "epochs": 1, "batch_size": 32}
    for name in ("val_fraction", "test_fraction"):
        options.pop(name)

    def broken(self: Any, batch: Any, number: int) -> torch.Tensor:
        loss = training_step(self, batch, number)
        return loss + (loss - loss.detach()) * float("inf")  # the loss as it is, and its gradient

    training_step = Learner.training_step
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Learner, "training_step", broken)
        with pytest.raises(SonotypeError, match="are not finite") as caught:
            train(tones, folder, **options)
    assert "last.ckpt: the weights " in str(caught.value)
    assert "of epoch 1 are not finite; train again with a lower --learning-rate" in str(
        caught.value
    )
    there = {path.name for path in folder.rglob("*") if path.is_file()}
    assert not there & {"model.safetensors", "scores.json", "done.json"}


def states() -> list[object]:
    """Of the random generators that a caller may have seeded."""
    numbers = np.random.get_state()  # noqa: NPY002
    return [torch.get_rng_state().tolist(), str(numbers), random.getstate()]


@pytest.mark.parametrize("how", ["done", "failed", "folds", "in a study"])
def test_the_callers_random_numbers_go_on_as_if_nothing_had_been(
    tones: Path, tmp_path: Path, how: str
) -> None:
    before = states()
    if how == "done":
        train(tones, tmp_path / "run", **SMALL | {"epochs": 1})
    elif how == "failed":
        with pytest.raises(SonotypeError):
            train(tones, tmp_path / "run", **SMALL | {"learning_rate": 1e30})
    elif how == "folds":
        table = write_table(tones, tmp_path / "labels.csv")
        sonotype.crossval(table, tmp_path / "run", **FOLDED | {"epochs": 1})
    else:
        manifest, options = read_folder(tones), RunOptions.of(SMALL | {"epochs": 1})
        parts = run_room.parts_of(manifest, options)
        where = {"data": tones, "fingerprint": manifest.fingerprint()}
        assert run_planned(manifest, parts, tmp_path / "run", options, **where) == ""
    assert states() == before


def test_events_need_not_be_learnt(tones: Path, tmp_path: Path) -> None:
    result = train(tones, tmp_path / "run", **SMALL | {"event_head": False, "class_weights": True})
    model = sonotype.load(result.model)
    assert model.labels == Labels(("high", "low"))
    assert model.engine.system.event is None
    assert result.scores["event"] is None
    category = result.scores["category"]
    right = [
        model.predict(row["path"]).category == row["category"] for row in parts_of(result)["test"]
    ]
    assert category["accuracy"]["value"] == pytest.approx(np.mean(right))
    history = read_history(result.folder / "training")
    assert not [name for row in history for name in row if "event" in name]
    assert {"val_f1", "val_category_f1"} <= history[-1].keys()


def test_the_last_epoch_is_kept_where_nothing_chooses(tones: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    options = SMALL | {"checkpoint": "last", "patience": 1, "learning_rate": 1e-9, "tta_shifts": 2}
    result = train(tones, tmp_path / "run", on_message=lines.append, **options)
    assert (result.best_epoch, result.best_score) == (3, None)
    assert lines[0] == "cbir_2 with backbone none: 18 clips to train on, 0 to validate, 6 to test"
    parts = parts_of(result)
    assert {name: len(rows) for name, rows in parts.items()} == {"train": 18, "val": 0, "test": 6}
    uncontaminated = run_room.parts_of(read_folder(tones), RunOptions.of(SMALL))
    paths = [str(clip.path) for clip in read_folder(tones).clips]
    assert [row["path"] for row in parts["test"]] == [paths[index] for index in uncontaminated.test]
    assert sorted(path.name for path in (result.folder / "training").glob("*.ckpt")) == [
        "last.ckpt"
    ]
    state = torch.load(result.folder / "training" / "last.ckpt", weights_only=True)["state_dict"]
    model = sonotype.load(result.model)
    for name, tensor in model.engine.system.state_dict().items():
        assert torch.equal(tensor, state[f"system.{name}"]), name
    assert model.card.training["clips"] == {"train": 18, "val": 0, "test": 6}
    assert (model.card.training["best_epoch"], model.card.training["val_f1"]) == (3, None)
    history = read_history(result.folder / "training")
    assert [sorted(row) for row in history] == [["epoch", "train_loss"]] * 3
    # The scores are those of the model as its file has it, shifts and all.
    assert model.tta_shifts == model.card.tta_shifts == 2
    right = [model.predict(row["path"]).event == row["event"] for row in parts["test"]]
    assert result.scores["event"]["accuracy"]["value"] == pytest.approx(np.mean(right))


def test_the_test_part_chooses_the_epoch_as_in_the_paper(tones: Path, tmp_path: Path) -> None:
    manifest = read_folder(tones)
    options = SMALL | {"select_on": "test", "category_source": "head"}
    uncontaminated, parts = (
        run_room.parts_of(manifest, RunOptions.of(one)) for one in (SMALL, options)
    )
    assert (parts.train, parts.val, parts.test) == (
        uncontaminated.train,
        uncontaminated.test,
        uncontaminated.test,
    )
    result = train(tones, tmp_path / "run", **options)
    note = str(NoteKind.SELECTED_ON_TEST)
    assert result.scores["notes"] == [f"{uncontaminated.note}; {note}"]
    assert note in " ".join(result.report.split())
    assert {name: len(rows) for name, rows in parts_of(result).items()} == {
        "train": 13,
        "val": 0,
        "test": 6,
    }
    training = sonotype.load(result.model).card.training
    assert training["clips"] == {"train": 13, "val": 6, "test": 6}
    assert training["split"]["select_on"] == "test"
    # What chose the epoch is the score that is told.
    f1 = [result.scores[level]["f1"]["value"] for level in ("category", "event")]
    assert result.best_score == pytest.approx(np.mean(f1), abs=1e-6)


def test_nothing_can_choose_where_the_last_epoch_is_kept(tones: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionsError) as caught:
        train(tones, tmp_path / "run", **SMALL | {"checkpoint": "last", "select_on": "test"})
    assert str(caught.value) == (
        "checkpoint is last, so nothing chooses the epoch; leave out select_on"
    )
    assert not (tmp_path / "run").exists()


def test_a_training_without_branch_2(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = stand_in_backbone(monkeypatch)
    options = SMALL | {"backbone": "mn01", "width": 0, "epochs": 2}
    result = train(tones, tmp_path / "run", **options)
    model = sonotype.load(result.model)
    assert model.card.front_ends == ("EfficientATLogMel",)
    assert model.engine.system.branch_2 is None
    assert model.engine.system.pool_blocks == (3, 4)
    after = model.engine.system.branch_1.state_dict()
    assert all(torch.equal(after[name], x) for name, x in before.items())


def test_contradictions_of_the_network_stop_it_before_any_training(
    tones: Path, tmp_path: Path
) -> None:
    with pytest.raises(OptionsError, match="width is 0 with backbone none"):
        train(tones, tmp_path / "run", **SMALL | {"width": 0})
    assert not (tmp_path / "run").exists()


def test_early_stopping_ends_a_training_that_does_not_rise(tones: Path, tmp_path: Path) -> None:
    options = SMALL | {"epochs": 40, "patience": 2, "learning_rate": 0.0, "recipe": "paper"}
    train(tones, tmp_path / "run", **options)
    rows = [row for row in read_history(tmp_path / "run" / "training") if row.get("val_f1")]
    assert len(rows) == 3


def test_class_weights_and_mixed_precision_run(tones: Path, tmp_path: Path) -> None:
    options = SMALL | {"class_weights": True, "precision": "bf16-mixed", "n_augmented": 0}
    result = train(tones, tmp_path / "run", **options)
    assert result.scores["event"]["n"] == 6


def test_class_weights_reach_the_head_they_are_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tones = write_tones(tmp_path / "tones")
    for number in (3, 4, 5):
        (tones / "low" / "hum" / f"hum_{number}.wav").unlink()
    made: list[Any] = []
    build = trainer_module.Learner

    def noted(*arguments: Any, **options: Any) -> Any:
        made.append(build(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(trainer_module, "Learner", noted)
    result = train(tones, tmp_path / "run", **SMALL | {"class_weights": True, "epochs": 1})
    rows = parts_of(result)["train"]
    card = sonotype.load(result.model).card
    for kind, names, weight in (
        ("category", card.labels.categories, made[0].label_loss.category_weights),
        ("event", card.labels.events, made[0].label_loss.event_weights),
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


def test_tensorboard_logs_are_written_when_asked_for(tones: Path, tmp_path: Path) -> None:
    train(tones, tmp_path / "run", **SMALL | {"tensorboard": True, "epochs": 1})
    assert list((tmp_path / "run" / "training" / "tensorboard").glob("events.out.tfevents*"))


def test_tensorboard_without_its_package_names_the_extra(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'sonotype\[tensorboard\]'"):
        train(tones, tmp_path / "run", **SMALL | {"tensorboard": True})
    assert not (tmp_path / "run").exists()


def test_a_device_that_is_not_there_is_named(tones: Path, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has what the test wants to be missing")
    with pytest.raises(OptionsError, match="device cuda is not there; this machine has cpu"):
        train(tones, tmp_path / "run", **SMALL | {"device": "cuda"})
    assert device_of("auto") in (torch.device("cpu"), torch.device("mps"))
    assert not (tmp_path / "run").exists()


def test_unreadable_sounds_are_all_told_before_any_training(tmp_path: Path) -> None:
    tones = write_tones(tmp_path / "tones", clips=4)
    (tones / "low" / "hum" / "hum_0.wav").write_text("no sound")
    soundfile.write(tones / "high" / "beep" / "beep_1.wav", np.full(99, np.nan), RATE, "FLOAT")
    with pytest.raises(DataError) as caught:
        train(tones, tmp_path / "run", **SMALL)
    assert [Path(fault.file).name for fault in caught.value.issues] == ["beep_1.wav", "hum_0.wav"]
    assert not (tmp_path / "run").exists()


def test_weights_that_cannot_be_had_stop_it_before_any_training(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise WeightsError("no network")

    monkeypatch.setattr(run_room, "load_pretrained", refuse)
    with pytest.raises(WeightsError, match="no network"):
        train(tones, tmp_path / "run", **SMALL | {"backbone": "mn04"})
    assert not (tmp_path / "run").exists()


def test_a_full_disk_says_how_to_go_on(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(trainer_module.AtomicCheckpoints, "save_checkpoint", full)
    with pytest.raises(SonotypeError, match=r"no space left on the disk.*--resume"):
        train(tones, tmp_path / "run", **SMALL)


def test_unknown_and_wrong_options_are_told_together() -> None:
    with pytest.raises(OptionsError, match="unknown options epoch, sytem; there are adapters"):
        RunOptions.of({"sytem": "cbir_1", "epoch": 3})
    with pytest.raises(OptionsError) as caught:
        RunOptions.of({"epochs": 0, "batch_size": 1, "recipe": "newer"})
    assert str(caught.value) == (
        "recipe must be one of paper, modern, student, got 'newer'; "
        "epochs must be at least 1, got 0; batch_size must be at least 2, got 1"
    )


def test_as_many_epochs_as_are_asked_for(tones: Path, tmp_path: Path) -> None:
    """Three steps an epoch; the recipe would make 400 steps."""
    options = {name: value for name, value in SMALL.items() if name != "min_steps"}
    run = train(tones, tmp_path / "run", **options | {"epochs": 2, "checkpoint": "last"})
    config = json.loads((run.folder / "config.json").read_text())["options"]
    assert (config["epochs"], config["min_steps"]) == (2, 0)
    assert len(read_history(run.folder / "training")) == 2


def test_a_run_that_was_begun_with_more_steps_keeps_them() -> None:
    begun = RunOptions.of({}).flat() | {"epochs": 2, "min_steps": 400}
    assert options_of({"options": begun}).train.min_steps == 400
    assert RunOptions.of(options_of({"options": begun}).flat()).train.min_steps == 400


def test_a_recipe_says_what_network_it_means_where_nothing_else_is_asked_for() -> None:
    paper = RunOptions.of({"recipe": "paper"})
    assert (paper.system, paper.score) == (SystemOptions(), ScoreOptions())
    modern = RunOptions.of({})
    network = {
        name: value for name, value in NETWORKS["modern"].items() if name != "category_source"
    }
    assert modern.system == SystemOptions(**network)
    assert modern.score == ScoreOptions(category_source=NETWORKS["modern"]["category_source"])
    mine = {"width": 0.5, "pooling": "max", "pool_blocks": [2], "category_source": "both"}
    chosen = RunOptions.of(mine)
    assert chosen.system == SystemOptions(width=0.5, pooling="max", pool_blocks=(2,))
    assert chosen.score == ScoreOptions(category_source="both")
    assert RunOptions.of(modern.flat()) == modern
    assert RunOptions.of({"system": "cbir_1"}).system == SystemOptions(
        system="cbir_1", pooling="attention_mean"
    )


def test_without_data_there_is_nothing_to_train_on(tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match="there is no data to train on"):
        train(None, tmp_path / "run")


def test_a_transform_is_needed_again_to_go_on(tones: Path, tmp_path: Path) -> None:
    def louder(samples: np.ndarray, _: int) -> np.ndarray:
        return samples * 2

    train(tones, tmp_path / "run", transform=louder, **SMALL | {"epochs": 1})
    (tmp_path / "run" / "scores.json").unlink()
    with pytest.raises(OptionsError, match=r"was trained with the transform .*louder"):
        train(None, tmp_path / "run", resume=True)
    again = train(None, tmp_path / "run", resume=True, transform=louder, cache_gb=30.0)
    assert again.best_epoch == 1


def test_cbir_3_mixes_by_default_and_the_others_do_not() -> None:
    for system in ("cbir_1", "cbir_2", "cbir_3", "cbir_4"):
        how = augmentation(resolve(TrainOptions(recipe="paper"), system))
        assert (how.mixing is not None) is (system == "cbir_3")
        assert how.fresh is (system == "cbir_3")
        modern = augmentation(resolve(TrainOptions(recipe="modern"), system))
        assert (modern.mixing, modern.n_augmented, modern.fresh) == (how.mixing, 4, False)


def test_nothing_to_vary_means_one_version() -> None:
    options = resolve(TrainOptions(recipe="modern", time_shift=0.0, gain=0.0), "cbir_2")
    assert augmentation(options).n_augmented == 1


def test_what_is_asked_for_beside_the_papers_recipe_is_heard(tones: Path, tmp_path: Path) -> None:
    options = resolve(TrainOptions(recipe="paper", time_shift=1.0), "cbir_2")
    assert augmentation(options).n_augmented == 0
    seen: list[int] = []

    def noted(samples: np.ndarray, rate: int) -> np.ndarray:
        seen.append(rate)
        return samples

    for recipe in ("paper", "modern"):
        seen.clear()
        own = {name: value for name, value in SMALL.items() if name != "n_augmented"}
        run = tmp_path / recipe
        train(tones, run, transform=noted, **own | {"recipe": recipe, "epochs": 1})
        assert set(seen) == {RATE}, recipe


def test_a_transform_that_would_never_be_heard_is_refused(tones: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match="variants is 1, every clip as recorded: the transform"):
        train(tones, tmp_path / "run", transform=lambda x, _: x, **SMALL | {"n_augmented": 1})


def test_a_stop_before_the_first_epoch_has_the_exit_code_of_ctrl_c(tmp_path: Path) -> None:
    system = cbir_2(categories=2, backbone="none", width=0.01)
    text = r"before the first epoch was done.*--resume"
    for keep in ("best", "last"):
        options = resolve(TrainOptions(checkpoint=keep), "cbir_2")
        with pytest.raises(StoppedError, match=text):
            checkpoint.load_chosen_weights(system, tmp_path, options)
    assert StoppedError.exit_code == 130


def test_settings_of_the_caller_stay_as_they_were(tones: Path, tmp_path: Path) -> None:
    before = torch.are_deterministic_algorithms_enabled()
    level = logging.getLogger("pytorch_lightning").level
    train(tones, tmp_path / "run", **SMALL | {"epochs": 1})
    assert torch.are_deterministic_algorithms_enabled() is before
    assert logging.getLogger("pytorch_lightning").level == level


def test_the_model_tells_its_split_and_how_the_source_was_read(run: TrainResult) -> None:
    training = sonotype.load(run.model).card.training
    assert training["split"]["test_fraction"] == 0.25
    assert training["source"]["rare_events"] == "error"


def test_names_that_are_no_valid_text_are_trained_on(tmp_path: Path) -> None:
    tones = write_tones(tmp_path / "tones")
    odd = os.fsdecode(b"hum_\xff.wav")
    (tones / "low" / "hum" / "hum_0.wav").rename(tones / "low" / "hum" / odd)
    result = train(tones, tmp_path / "run", **SMALL | {"epochs": 1})
    assert b"hum_\xff.wav" in (result.folder / "split.csv").read_bytes()


def test_training_says_an_epoch_a_line(tones: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    train(tones, tmp_path / "run", on_message=lines.append, **SMALL)
    assert lines[0] == ("cbir_2 with backbone none: 13 clips to train on, 5 to validate, 6 to test")
    epochs = [line for line in lines if line.startswith("epoch")]
    assert [line[:11] for line in epochs] == ["epoch   1/3", "epoch   2/3", "epoch   3/3"]
    assert all(len(line) <= 80 for line in epochs)
    assert epochs[0].endswith("left at most")


def test_a_run_on_real_sounds_hears_what_it_learnt(
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
    parts = {"val_fraction": 0.34, "test_fraction": 0.25, "batch_size": 4}
    result = train(tmp_path / "data", tmp_path / "run", **options, **parts)
    model = sonotype.load(result.model)
    assert model.audio_spec == AudioSpec(32_000)
    right = [
        model.predict(path).category == path.parent.name
        for path in sorted((tmp_path / "data").rglob("*.ogg"))
    ]
    assert np.mean(right) >= 0.75
    assert SystemOptions(system="cbir_4", backbone="mn04") == model.card.options


def test_training_needs_no_terminal(tones: Path, tmp_path: Path, capfd: Any) -> None:
    train(tones, tmp_path / "run", progress=True, **SMALL)
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == ""
