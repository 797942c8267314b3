"""Tuning: from a model of clips to a model that detects events, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from annotated_recordings import RATE, SOUNDS, write_recordings
from small_models import write_model

from sonotype.core.annotations import AnnotatedRecording, Event
from sonotype.core.errors import DataError, OptionsError, StoppedError
from sonotype.core.json_text import json_text
from sonotype.data import digest
from sonotype.data.readers.source import open_source
from sonotype.detect.detect_options import DetectOptions
from sonotype.detect.detector import open_detector
from sonotype.evaluation.evaluate import evaluate
from sonotype.experiments import tune as tune_module
from sonotype.experiments.pipeline import train
from sonotype.experiments.recording_folds import fold_of_groups
from sonotype.experiments.tune import Tuned, TuneOptions, tune
from sonotype.experiments.tune_report import report_text
from sonotype.modelfile.model_file import load_model, read_card

SHORT = TuneOptions(minutes=4, device="cpu")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recordings(tmp_path_factory.mktemp("site"), 4)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of classes with six clips of a second each."""
    root = tmp_path_factory.mktemp("clips")
    time = np.arange(RATE) / RATE
    for label, hz in SOUNDS.items():
        (root / label).mkdir()
        for take in range(6):
            rng = np.random.default_rng(take)
            sound = np.sin(2 * np.pi * hz * time) if hz else rng.standard_normal(RATE)
            sound = 0.1 * sound * (np.abs(time - 0.5) < rng.uniform(0.2, 0.4))
            soundfile.write(root / label / f"{label}_{take}.wav", sound, RATE)
    return root


@pytest.fixture(scope="module")
def model(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of a run on clips, without a frame head."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    return train(clips, folder, backbone="builtin", device="cpu").model


@pytest.fixture(scope="module")
def tuned(model: Path, clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    """The model, tuned on simulated recordings."""
    out = tmp_path_factory.mktemp("tuned") / "out.safetensors"
    return tune(model.parent, clips, out, SHORT)


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with attention, whose windows are scored, and the classes of the recordings."""
    from heads import two_heads

    path = tmp_path_factory.mktemp("windows") / "model.safetensors"
    return write_model(path, two_heads(tuple(sorted(SOUNDS))))


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load_model(path)[0].state_dict()


def test_a_model_of_clips_gets_a_frame_head(model: Path, tuned: Tuned, site: Path) -> None:
    before, after = weights(model), weights(tuned.path)
    added = after.keys() - before.keys()
    assert added and all(name.startswith("frame_head.") for name in added)
    assert all(torch.equal(before[name], after[name]) for name in before)
    card = read_card(tuned.path)
    assert read_card(model).detection is None
    assert card.detection == tuned.detection
    assert card.detection is not None and card.detection.frame_scales
    assert len(card.detection.events) == len(SOUNDS)
    found = card.detection.tuned
    assert json.loads(json_text(found)) == found
    assert found["simulated"] and found["scores"] == "new frame head"
    assert found["seconds"] >= 4 * 60 and found["events"] >= 15
    assert found["rates"]["f1"] == pytest.approx(tuned.report.rates.f1)
    assert found["rates"]["f1"] > 0.5
    assert found["false_alarms_limit"] == 6
    assert not tuned.notes


def test_detect_uses_the_tuned_model(tuned: Tuned, model: Path, site: Path) -> None:
    detector, plain = (open_detector([path], device="cpu") for path in (tuned.path, model))
    assert detector.from_frames and not plain.from_frames
    assert detector.events == tuned.detection.events
    right = total = 0
    for one in open_source(site).recordings:
        found = detector.detect(one.path).events
        total += len(one.events)
        for event in one.events:
            right += any(e.label == event.label and abs(e.start - event.start) < 0.5 for e in found)
    assert right > total / 2


def test_a_model_with_a_frame_head_keeps_it(tuned: Tuned, site: Path, tmp_path: Path) -> None:
    again = tune(tuned.path, site, tmp_path / "again.safetensors", TuneOptions(device="cpu"))
    assert again.facts["scores"] == "frames" and again.facts["recordings"] == 4
    before, after = weights(tuned.path), weights(again.path)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert again.detection.frame_scales == tuned.detection.frame_scales
    options = TuneOptions(refit=True, device="cpu")
    new = tune(tuned.path, site, tmp_path / "new.safetensors", options)
    assert new.facts["scores"] == "new frame head" and not new.facts["simulated"]
    name = "frame_head.classify.weight"
    assert not torch.equal(weights(new.path)[name], before[name])


def test_windows_of_other_models(windows: Path, site: Path, tmp_path: Path) -> None:
    found = tune(windows, site, tmp_path / "out.safetensors", TuneOptions(device="cpu"))
    card = read_card(found.path)
    assert card.detection is not None and card.detection.frame_scales == ()
    assert (found.facts["scores"], card.detection.hop) == ("windows", 0.25)
    detector = open_detector([found.path], device="cpu")
    assert not detector.from_frames and detector.events == card.detection.events
    options = DetectOptions(hop=0.5)
    assert open_detector([found.path], options, device="cpu").hop == 0.5


def test_backgrounds_count_for_false_alarms(
    windows: Path, site: Path, tmp_path: Path, model: Path
) -> None:
    folder = tmp_path / "quiet"
    folder.mkdir()
    for seed, name in enumerate("ab"):
        noise = 0.003 * np.random.default_rng(seed).standard_normal(60 * RATE)
        soundfile.write(folder / f"{name}.wav", noise, RATE)
    shutil.copy(folder / "b.wav", folder / "copy.wav")  # counts once
    without = tune(windows, site, tmp_path / "a.safetensors", TuneOptions(device="cpu"))
    options = TuneOptions(background=(folder,), device="cpu")
    found = tune(windows, site, tmp_path / "b.safetensors", options)
    assert found.facts["recordings"] == without.facts["recordings"] + 2
    (folder / "bad.wav").write_bytes(b"no sound")
    again = tune(windows, site, tmp_path / "again.safetensors", options)
    [note] = again.notes
    assert "1 unreadable background recording" in note and "bad.wav" in note
    assert again.detection.events == found.detection.events
    alone = TuneOptions(background=(folder / "bad.wav",), device="cpu")
    with pytest.raises(DataError, match=r"bad\.wav"):
        tune(windows, site, tmp_path / "bad.safetensors", alone)
    assert found.report.background - without.report.background == pytest.approx(2 / 60)
    fitted = tune(model, site, tmp_path / "c.safetensors", options)
    assert fitted.facts["scores"] == "new frame head"
    assert fitted.report.background == pytest.approx(found.report.background)


def test_the_limit_on_false_alarms(tuned: Tuned, site: Path, tmp_path: Path) -> None:
    few, many = (
        tune(tuned.path, site, tmp_path / f"{limit:g}.safetensors",
             TuneOptions(false_alarms=limit, device="cpu"))
        for limit in (0.0, 1e6)
    )  # fmt: skip
    assert few.detection.tuned["false_alarms_limit"] == 0
    assert few.report.rates.false_alarms <= many.report.rates.false_alarms
    for one, other in zip(few.detection.events, many.detection.events, strict=True):
        assert one.threshold >= other.threshold


def test_the_report_fits_a_terminal(tuned: Tuned) -> None:
    lines = report_text(tuned.report, tuned.facts, ("a note",)).splitlines()
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    for part in ("as chosen", "false alarms an hour", *SOUNDS, "simulated", "note: a note"):
        assert part in text
    assert len([line for line in lines if line.startswith("x ")]) >= 6


def test_events_of_unknown_classes_are_named(windows: Path, site: Path, tmp_path: Path) -> None:
    table = tmp_path / "annotations.csv"
    text = (site / "annotations.csv").read_text()
    rows = text.replace("path,", "path,", 1).splitlines()
    moved = [rows[0], *(f"{site}/{row}" for row in rows[1:])]
    changed = [row.replace("hiss", "owl") if "site_0" in row else row for row in moved]
    table.write_text("\n".join(changed) + "\n")
    found = tune(windows, table, tmp_path / "out.safetensors", TuneOptions(device="cpu"))
    assert any("owl" in note for note in found.notes)
    assert found.detection.tuned["notes"] == list(found.notes)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"minutes": 5.0}, ["--minutes", "annotated"]),
        ({"minutes": -1.0}, ["--minutes"]),
        ({"false_alarms": float("nan")}, ["--false-alarms"]),
        ({"background": (Path("missing"),)}, ["--background-folder missing"]),
        ({"refit": True}, ["--refit", "--recipe linear"]),
    ],
)
def test_refused_options(
    windows: Path, site: Path, tmp_path: Path, options: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(OptionsError) as caught:
        tune(windows, site, tmp_path / "out.safetensors", TuneOptions(**options, device="cpu"))
    assert all(word in str(caught.value) for word in words)
    assert not list(tmp_path.iterdir())


def test_refused_files(windows: Path, site: Path, tmp_path: Path) -> None:
    content = windows.read_bytes()
    for out in (windows, tmp_path / "model.onnx"):
        with pytest.raises(OptionsError, match=r"is an input|\.safetensors"):
            tune(windows, site, out, force=True)
    assert windows.read_bytes() == content
    with pytest.raises(OptionsError, match=r"model\.onnx.*model\.safetensors"):
        tune(tmp_path / "model.onnx", site)
    taken = tmp_path / "out.safetensors"
    taken.write_bytes(b"mine")
    with pytest.raises(OptionsError, match="--force"):
        tune(windows, site, taken)
    assert taken.read_bytes() == b"mine"
    tune(windows, site, taken, TuneOptions(device="cpu"), force=True)
    assert read_card(taken).detection is not None


def test_refused_data(model: Path, clips: Path, site: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    for label in ("low", "owl"):
        (tmp_path / "other" / label).symlink_to(clips / "low", target_is_directory=True)
    out = tmp_path / "out.safetensors"
    with pytest.raises(DataError, match="owl"):
        tune(model, tmp_path / "other", out, SHORT)
    alone = write_recordings(tmp_path / "alone", 1)
    with pytest.raises(DataError, match="one group"):
        tune(model, alone, out, TuneOptions(device="cpu"))
    assert not out.exists()


def test_interrupted(
    windows: Path, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tune_module, "joined", stop)
    with pytest.raises(StoppedError):
        tune(windows, site, tmp_path / "out.safetensors", TuneOptions(device="cpu"))
    assert not list(tmp_path.iterdir())


def test_folds_of_recordings() -> None:
    def one(name: str, *labels: str, group: str = "", fold: int | None = None) -> Any:
        events = tuple(Event(0, 1, label) for label in labels)
        return AnnotatedRecording(Path(name), 10, events, ((0, 10),), group, fold)

    own = [one("a", "x", group="g", fold=3), one("b", "x", group="h", fold=7)]
    assert fold_of_groups(own) == {"g": 3, "h": 7}
    many = [one(f"{number}", "x", "y", group=f"g{number // 2}") for number in range(12)]
    found = fold_of_groups([*many, one("quiet")])
    assert found.keys() == {*(f"g{number}" for number in range(6)), "quiet"}
    assert len(set(found.values())) == 5
    different = fold_of_groups([one("a", "x"), one("b", "y")])
    assert len(set(different.values())) == 2
    quiet = [one("c", group="i", fold=7), one("d", group="j", fold=5), one("e")]
    found = fold_of_groups([*own, *quiet])
    assert found == {"g": 3, "h": 7, "i": 7, "j": 3, "e": 7}  # only folds with events are kept


def test_a_background_with_labels_is_refused(windows: Path, site: Path, tmp_path: Path) -> None:
    for background in (site, tmp_path):
        shutil.copy(site / "site_1.wav", tmp_path / "copy.wav")
        options = TuneOptions(background=(background,), device="cpu")
        with pytest.raises(OptionsError, match="--background-folder"):
            tune(windows, site, tmp_path / "out.safetensors", options)
    assert not (tmp_path / "out.safetensors").exists()


def test_copies_are_in_one_fold(windows: Path, site: Path, tmp_path: Path) -> None:
    double = tmp_path / "double"
    shutil.copytree(site, double)
    rows = (site / "annotations.csv").read_text().splitlines()
    for number in range(4):
        shutil.copy(site / f"site_{number}.wav", double / f"copy_{number}.wav")
    copies = [row.replace("site_", "copy_") for row in rows[1:]]
    (double / "annotations.csv").write_text("\n".join([*rows, *copies]) + "\n")
    options = TuneOptions(device="cpu")
    once = tune(windows, site, tmp_path / "once.safetensors", options)
    twice = tune(windows, double, tmp_path / "twice.safetensors", options)
    assert twice.facts["recordings"] == 8 and twice.facts["folds"] == once.facts["folds"] == 4


def test_a_frame_head_needs_events_in_two_recordings(
    model: Path, tuned: Tuned, site: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "one"
    folder.mkdir()
    shutil.copy(site / "site_0.wav", folder)
    rows = (site / "annotations.csv").read_text().splitlines()
    alone = [rows[0], *(row for row in rows if row.startswith("site_0"))]
    (folder / "annotations.csv").write_text("\n".join(alone) + "\n")
    quiet = tmp_path / "quiet.wav"
    soundfile.write(quiet, 0.003 * np.random.default_rng(0).standard_normal(20 * RATE), RATE)
    out = tmp_path / "out.safetensors"
    for path, refit, words in ((model, False, "annotate"), (tuned.path, True, "omit --refit")):
        options = TuneOptions(background=(quiet,), refit=refit, device="cpu")
        with pytest.raises(DataError, match=words):
            tune(path, folder, out, options)
    found = tune(tuned.path, folder, out, TuneOptions(background=(quiet,), device="cpu"))
    assert not found.report.held_out and found.facts["folds"] == 0
    text = " ".join(report_text(found.report, found.facts, found.notes).split())
    assert "chosen on; on others they are worse" in text


def test_an_output_that_cannot_be_written_is_refused_at_once(
    windows: Path, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tune_module, "load", lambda *_, **__: pytest.fail("work began"))
    (tmp_path / "file").write_text("")
    with pytest.raises(OptionsError, match="cannot be written"):
        tune(windows, site, tmp_path / "file" / "out.safetensors")


def test_recordings_of_the_tuning_are_known(
    windows: Path, site: Path, clips: Path, tuned: Tuned, tmp_path: Path
) -> None:
    found = tune(windows, site, tmp_path / "out.safetensors", TuneOptions(device="cpu"))
    assert found.report.held_out and not any("tuned on" in note for note in found.notes)
    assert len(found.detection.seen) == 2 * 4  # bytes and samples of four recordings
    again = tune(found.path, site, tmp_path / "again.safetensors", TuneOptions(device="cpu"))
    assert not any("tuned on" in note for note in again.notes)  # no head has learnt from them
    assert again.detection.seen == found.detection.seen
    scores = evaluate(found.path, site, device="cpu")
    assert any("was tuned on 4 of 4 recordings" in note for note in scores.notes)
    with pytest.raises(OptionsError, match="--unseen"):
        evaluate(found.path, site, device="cpu", unseen=True)
    options = TuneOptions(minutes=4, device="cpu")
    from_clips = tune(tuned.path, clips, tmp_path / "clips.safetensors", options)
    assert any("was tuned on 18 of 18 clips" in note for note in from_clips.notes)
    other = tune(tuned.path, site, tmp_path / "site.safetensors", TuneOptions(device="cpu"))
    assert not any("tuned on" in note for note in other.notes)
    assert set(other.detection.seen) == {*tuned.detection.seen, *found.detection.seen}


def test_each_sound_of_the_data_is_decoded_once(
    tuned: Tuned, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    original = digest.read_content
    monkeypatch.setattr(
        digest, "read_content", lambda path, *args, **more: (
            read.append(path), original(path, *args, **more)
        )[1],
    )  # fmt: skip
    found = tune(tuned.path, site, tmp_path / "out.safetensors", TuneOptions(device="cpu"))
    assert sorted(read) == [site / f"site_{number}.wav" for number in range(4)]
    assert len(found.detection.seen) > len(tuned.detection.seen)
