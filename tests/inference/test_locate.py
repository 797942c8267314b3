"""The path of a model is its file or its run folder; an error states what another path is."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from small_models import write_model
from training_data import write_tones

import sonotype
from sonotype.cli.main import run
from sonotype.core.errors import ModelFileError
from sonotype.inference.locate import find_model, names_model


def finished(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"sonotype": "1", "options": {}}))
    write_model(folder / "model.safetensors")
    return folder


def refusal(path: Path) -> str:
    with pytest.raises(ModelFileError) as caught:
        find_model(path)
    return str(caught.value)


def test_a_file_or_its_run_folder(tmp_path: Path) -> None:
    folder = finished(tmp_path / "first")
    assert find_model(folder) == find_model(folder / "model.safetensors")
    assert find_model(folder) == folder / "model.safetensors"
    assert sonotype.load(folder).card == sonotype.load(folder / "model.safetensors").card
    (folder / "model.onnx").touch()
    assert find_model(folder) == folder / "model.safetensors"
    (folder / "model.safetensors").unlink()
    assert find_model(folder) == folder / "model.onnx"
    assert find_model(tmp_path / "gone.safetensors") == tmp_path / "gone.safetensors"


def test_an_unfinished_run_and_several_runs(tmp_path: Path) -> None:
    folder = finished(tmp_path / "first")
    (folder / "model.safetensors").unlink()
    assert refusal(folder) == (
        f"{folder}: is an unfinished run without a model.safetensors; finish it with "
        f"sonotype train --resume {folder}"
    )
    folds = [finished(tmp_path / "folds" / f"fold_{number}") for number in (1, 2)]
    assert refusal(tmp_path / "folds") == (
        f"{tmp_path / 'folds'}: holds 2 runs; name the folder of one, such as {folds[0]}"
    )
    finished(tmp_path / "study" / "runs" / "row" / "fold_1_seed_0")
    assert "study: holds 1 runs; name the folder of one, such as" in refusal(tmp_path / "study")


def test_checkpoints_lead_to_the_model(tmp_path: Path) -> None:
    folder = finished(tmp_path / "first")
    checkpoint = folder / "training" / "best.ckpt"
    checkpoint.parent.mkdir()
    checkpoint.touch()
    text = "is a training checkpoint, or a model of another program, not a sonotype model"
    assert refusal(checkpoint) == f"{checkpoint}: {text}; the model is {folder}/model.safetensors"
    (folder / "model.safetensors").unlink()
    assert refusal(checkpoint).endswith(
        f"; its run is not finished: sonotype train --resume {folder}"
    )
    for name in ("best.CKPT", "net.pt", "net.pth"):
        (tmp_path / name).touch()
        assert refusal(tmp_path / name) == (
            f"{tmp_path / name}: {text}; the model of a run is RUN/model.safetensors"
        )


@pytest.mark.parametrize(
    ("name", "make", "text"),
    [
        ("a.wav", Path.touch, "is a sound, not a model; name a model.safetensors or model.onnx"),
        ("t.csv", Path.touch, "is a table or a text, not a model; name a model.safetensors or"),
        ("p", os.mkfifo, "is a named pipe, not a model file; name a model.safetensors"),
        ("p.safetensors", os.mkfifo, "is a named pipe, not a model file; name a"),
        (
            "empty",
            Path.mkdir,
            "is a folder without a model.safetensors or a model.onnx; name a model file or a run",
        ),
    ],
)
def test_other_paths_are_refused(
    tmp_path: Path, name: str, make: Callable[[Path], None], text: str
) -> None:
    make(tmp_path / name)
    assert refusal(tmp_path / name).startswith(f"{tmp_path / name}: {text}")


def test_a_folder_of_sounds_is_no_model(tmp_path: Path) -> None:
    folder = finished(tmp_path / "first")
    assert names_model(folder)
    assert names_model(folder / "model.safetensors")
    (folder / "field").mkdir()
    (folder / "field" / "a.wav").touch()
    assert not names_model(folder)
    assert not names_model(folder / "field")
    (tmp_path / "settings").mkdir()
    (tmp_path / "settings" / "config.json").write_text('{"volume": 1}')
    assert not names_model(tmp_path / "settings")
    assert not names_model(tmp_path / "gone")


def test_every_command_takes_a_run_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = finished(tmp_path / "first")
    tones = write_tones(tmp_path / "tones", clips=2)
    model = str(folder / "model.safetensors")
    for argv in (["predict", "MODEL", str(tones)], ["evaluate", "MODEL", str(tones)],
                 ["info", "MODEL"]):  # fmt: skip
        shown = []
        for one in (model, str(folder)):
            assert run([one if word == "MODEL" else word for word in argv]) == 0
            shown.append(capsys.readouterr())
        assert shown[0] == shown[1]
    sound = str(next(tones.rglob("*.wav")))
    assert run(["predict", model, sound, "--also", str(folder)]) == 0
    assert run(["predict", model, sound, "--also", sound]) == 6
    assert f"{sound}: is a sound, not a model" in capsys.readouterr().err
    assert run(["info", sound]) == run(["export", sound]) == run(["evaluate", sound, sound]) == 6
