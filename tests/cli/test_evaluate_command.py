from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from small_models import CATEGORIES, write_model
from training_data import RATE, tone, write_tones

import sonotype
from sonotype.cli.main import run
from sonotype.evaluation.metrics import scores_to_json
from sonotype.evaluation.report import render


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("data") / "tones", clips=3)


def test_the_report(model: Path, tones: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", str(model), str(tones)]) == 0
    output = capsys.readouterr()
    assert output.out == f"{render(sonotype.evaluate(model, tones))}\n"
    assert output.err == ""
    assert max(map(len, output.out.splitlines())) <= 80


def test_json_and_nothing_else(
    model: Path, tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["evaluate", str(model), str(tones), "--json", "--out", str(tmp_path / "out")]
    assert run(argv) == 0
    output = capsys.readouterr()
    assert json.loads(output.out) == scores_to_json(sonotype.evaluate(model, tones))
    assert output.err == ""
    assert json.loads((tmp_path / "out" / "scores.json").read_text()) == json.loads(output.out)


def test_files(
    model: Path, tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "out"
    assert run(["evaluate", str(model), str(tones), "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-3:] == ["", f"scores: {out / 'scores.json'}", f"plots:  {out / 'plots'}"]
    assert "\n".join(lines[:-3]) == (out / "scores.txt").read_text()
    assert (out / "predictions.csv").read_text().count("\n") == 13
    assert {path.stem for path in (out / "plots").glob("*.png")} == {
        f"{level}_{kind}"
        for level in ("category", "event")
        for kind in ("confusion", "f1", "reliability")
    }


def test_the_source_of_the_category(
    tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The default is that of the model."""
    path = write_model(tmp_path / "model.safetensors", card={"category_source": "events"})
    for flags, wanted in (([], "events"), (["--category-source", "head"], "head")):
        assert run(["evaluate", str(path), str(tones), "--json", *flags]) == 0
        assert json.loads(capsys.readouterr().out)["category_source"] == wanted


@pytest.mark.parametrize("text", ["x", "1,x", "", "1.5"])
def test_invalid_folds(
    model: Path, tones: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    assert run(["evaluate", str(model), str(tones), "--folds", text]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert "--folds" in output.err
    assert repr(text) in output.err


def test_folds(
    model: Path, tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ["path,category,event,fold"]
    for path in sorted(tones.rglob("*.wav")):
        category, event, name = path.parts[-3:]
        rows.append(f"{path},{category},{event},{int(name[-5]) + 1}")
    table = tmp_path / "tones.csv"
    table.write_text("\n".join(rows))
    assert run(["evaluate", str(model), str(table), "--folds", "1,3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["clips"] == 8
    assert run(["evaluate", str(model), str(table), "--folds", "1,5"]) == 2
    assert "no fold 5" in capsys.readouterr().err
    assert run(["evaluate", str(model), str(tones), "--folds", "1"]) == 2
    assert "no fold 1" in capsys.readouterr().err


def test_options_of_the_data(model: Path, tones: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["evaluate", str(model), str(tones), "--group-pattern", r"_(\d)\.wav", "--json"]
    assert run(argv) == 0
    assert json.loads(capsys.readouterr().out)["groups"] == 3


def test_unknown_labels(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tones = write_tones(tmp_path / "tones", clips=2)
    (tones / "low" / "hum").rename(tones / "low" / "growl")
    assert run(["evaluate", str(model), str(tones), "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["foreign"] == {"growl": 2}
    assert scores["heads"]["event"]["n"] == 6
    assert scores["heads"]["category"]["n"] == 8
    assert any("growl" in note for note in scores["notes"])
    for label in ("low", "high"):
        (tones / label).rename(tones / f"very {label}")
    for event in tones.glob("*/*"):
        event.rename(event.parent / f"other {event.name}")
    assert run(["evaluate", str(model), str(tones)]) == 4
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("error: tones: 1 issue\n")
    for name in ("very low", "other growl", "high, low", "hum, whistle"):
        assert name in output.err


def test_renamed_labels(
    tmp_path: Path, model: Path, tones: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two levels, with one label under a name that otherwise stands for sounds of no class."""
    other = write_tones(tmp_path / "tones", clips=3)
    for theirs, ours in (("growl", "low/hum"), ("Buzz", "low/buzz"), ("noise", "high")):
        (other / ours).rename((other / ours).parent / theirs)
    flags = [x for name in ("growl=hum", "Buzz=buzz", "noise=high") for x in ("--rename", name)]
    assert run(["evaluate", str(model), str(other), "--json", *flags]) == 0
    found = json.loads(capsys.readouterr().out)
    wanted = scores_to_json(sonotype.evaluate(model, tones))
    assert found["foreign"] == {}
    for level in ("category", "event"):
        theirs, ours = (one["heads"][level] for one in (found, wanted))
        assert theirs["n"] == ours["n"]
        assert theirs["f1"]["value"] == pytest.approx(ours["f1"]["value"])
    assert run(["evaluate", str(model), str(other), "--rename", "grwl=hum"]) == 2
    error = capsys.readouterr().err
    assert "'grwl' (similar: growl)" in error
    assert "beep, buzz, hum, whistle" in error
    assert run(["evaluate", str(model), str(other), "--rename", "growl"]) == 2
    assert "THEIRS=OURS" in capsys.readouterr().err


def test_unreadable_sounds(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tones = write_tones(tmp_path / "tones", clips=2)
    (tones / "low" / "hum" / "hum_0.wav").write_bytes(b"")
    (tones / "low" / "buzz" / "buzz_1.wav").write_bytes(b"")
    assert run(["evaluate", str(model), str(tones), "--json"]) == 4
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == (
        "error: tones: 2 issues\n"
        f"  {tones}/low/buzz/buzz_1.wav: is empty (0 bytes)\n"
        f"  {tones}/low/hum/hum_0.wav: is empty (0 bytes)\n"
    )


def test_synthetic_sounds_are_called_so(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tones = write_tones(tmp_path / "tones", clips=2)
    (tones / "sonotype.json").write_text('{"synthetic": true}')
    assert run(["evaluate", str(model), str(tones), "--json"]) == 0
    [note] = json.loads(capsys.readouterr().out)["notes"]
    assert note.startswith("synthetic")
    assert run(["evaluate", str(model), str(tones)]) == 0
    assert capsys.readouterr().out.startswith(f"note: {note}\n")


def test_a_model_without_events(
    tmp_path: Path, tones: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    coarse = write_model(tmp_path / "coarse.safetensors", CATEGORIES)
    assert run(["evaluate", str(coarse), str(tones)]) == 0
    text = capsys.readouterr().out
    assert "2 categories" in text
    assert "events" not in text


def test_a_place_that_cannot_be_written(
    model: Path, tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").write_text("a file")
    assert run(["evaluate", str(model), str(tones), "--out", str(tmp_path / "out")]) == 2
    assert f"--out {tmp_path / 'out'}: is a file" in capsys.readouterr().err
    argv = ["evaluate", str(model), str(tones), "--out", str(tmp_path / "out" / "inside")]
    assert run(argv) == 2
    error = capsys.readouterr().err
    place = tmp_path / "out" / "inside" / "scores.txt"
    assert error.startswith(f"error: {place}")
    assert error.count("\n") == 1


def test_other_files_are_not_replaced(
    model: Path,
    tones: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "predictions.csv").write_text("mine")
    argv = ["evaluate", str(model), str(tones), "--out", str(tmp_path)]
    assert run(argv) == 2
    error = capsys.readouterr().err
    assert f"--out {tmp_path}: holds predictions.csv" in error
    assert "--force" in error
    assert (tmp_path / "predictions.csv").read_text() == "mine"
    written: list[Path] = []
    monkeypatch.setattr(
        "sonotype.evaluation.evaluate.write_report", lambda _, __, folder: written.append(folder)
    )
    assert run([*argv, "--force"]) == 0
    assert written == [tmp_path]


def test_a_table_in_the_folder_is_not_replaced_even_with_force(
    model: Path, tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sounds = sorted(tones.rglob("*.wav"))
    rows = "".join(f"{path},{path.parts[-3]},{path.parts[-2]}\n" for path in sounds)
    table = tmp_path / "predictions.csv"
    table.write_text(f"path,category,event\n{rows}")
    argv = ["evaluate", str(model), str(table), "--out", str(tmp_path), "--force"]
    assert run(argv) == 2
    assert f"predictions.csv is an input ({table})" in capsys.readouterr().err
    assert table.read_text().startswith("path,category,event")


@pytest.fixture(scope="module")
def annotated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings of 3 s with a hum from 1 to 2 s."""
    folder = tmp_path_factory.mktemp("data") / "site"
    folder.mkdir()
    for number in range(2):
        samples = np.zeros(3 * RATE, np.float32)
        samples[RATE : 2 * RATE] = tone(200.0, number)
        soundfile.write(folder / f"r{number}.wav", samples, RATE)
        (folder / f"r{number}.txt").write_text("1.0\t2.0\thum\n")
    return folder


def test_annotated_recordings(
    model: Path, annotated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["evaluate", str(model), str(annotated), "--annotated", "whole"]
    assert run([*argv, "--hop", "0.5", "--collar", "0.3", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert list(values["heads"]) == ["event"]
    assert values["clips"] == 2 * 5
    assert values["events"]["options"]["onset_collar"] == 0.3
    assert values["events"]["psds"] is None
    assert run([*argv, "--out", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    assert "event-based F1" in text
    assert max(map(len, text.splitlines()[:-3])) <= 80
    assert (tmp_path / "out" / "event_scores.csv").exists()


def test_psds_without_their_package(
    model: Path,
    annotated: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "sed_scores_eval", None)
    assert run(["evaluate", str(model), str(annotated), "--psds"]) != 0
    assert "sonotype[sed]" in capsys.readouterr().err


@pytest.mark.parametrize("flag", [["--hop", "1"], ["--collar", "1"]])
def test_clips_have_no_options_of_recordings(
    model: Path, tones: Path, capsys: pytest.CaptureFixture[str], flag: list[str]
) -> None:
    assert run(["evaluate", str(model), str(tones), *flag]) == 2
    assert flag[0] in capsys.readouterr().err
