from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open
from small_models import flags
from training_data import SMALL, write_tones

import sonotype
from sonotype.cli.main import run
from sonotype.core.errors import OptionsError
from sonotype.experiments.pipeline import TrainResult

BOTH = "error: give either --out FOLDER for a new run, or --resume RUN to go on\n"


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("data") / "tones", clips=4)


def header_and_weights(path: Path) -> tuple[dict[str, str], dict[str, bytes]]:
    with safe_open(path, framework="np") as file:
        tensors = {name: file.get_tensor(name).tobytes() for name in file.keys()}  # noqa: SIM118
        return file.metadata(), tensors


def test_the_command_does_what_the_function_does(
    tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert run(["train", str(tones), "--out", str(out), *flags(category_source="both")]) == 0
    output = capsys.readouterr()
    assert output.err == ""
    result = sonotype.train(tones, tmp_path / "other", **SMALL, category_source="both")
    assert header_and_weights(out / "model.safetensors") == header_and_weights(result.model)
    assert json.loads((out / "scores.json").read_text()) == result.scores
    lines = output.out.splitlines()
    assert lines[0] == "cbir_2 with backbone none: 9 clips to train on, 3 to validate, 4 to test"
    assert sum(line.startswith("epoch ") for line in lines) == 3
    best = f"best epoch {result.best_epoch}, macro F1 on validation {result.best_score:.3f}"
    assert best in lines
    assert f"\n\n{result.report}\n\n" in output.out
    assert lines[-4:] == [
        "",
        f"model:  {out / 'model.safetensors'}",
        f"scores: {out / 'scores.json'}",
        f"plots:  {out / 'plots'}",
    ]


def test_the_last_epoch_is_said_to_be_kept(
    tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = [
        "train",
        str(tones),
        "--out",
        str(tmp_path / "run"),
        *flags(checkpoint="last", epochs=2),
    ]
    assert run(argv) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "cbir_2 with backbone none: 12 clips to train on, 0 to validate, 4 to test"
    assert "epoch 2, the last, is kept" in lines
    assert not any(line.startswith("best") or "val F1" in line for line in lines)


def test_a_finished_run_is_not_gone_on_with(
    tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    sonotype.train(tones, out, **SMALL | {"epochs": 1})
    assert run(["train", "--resume", str(out)]) == 2
    assert capsys.readouterr().err == (
        f"error: {out} is finished; its scores are in {out / 'scores.json'}\n"
    )
    assert run(["train", str(tones), "--out", str(out)]) == 2
    assert capsys.readouterr().err == (
        f"error: {out} holds a run already; --resume {out} goes on with it, or name another --out\n"
    )


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["train", "data"], BOTH),
        (["train"], BOTH),
        (["train", "data", "--out", "a", "--resume", "b"], BOTH),
        (
            ["train", "data", "--resume", "b"],
            "error: --resume takes the data from the run; leave DATA out\n",
        ),
        (
            ["train", "--out", "a"],
            "error: there is no data to train on; name a folder or a table\n",
        ),
        (
            ["train", "--resume", "b", "--epochs", "3"],
            "error: --resume takes all options from the run; leave out epochs\n",
        ),
        (
            ["train", "--resume", "b"],
            "error: b holds no run to go on with (config.json is missing)\n",
        ),
    ],
)
def test_what_does_not_go_together(
    argv: list[str],
    text: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(argv) == 2
    output = capsys.readouterr()
    assert (output.out, output.err) == ("", text)
    assert list(tmp_path.iterdir()) == []


def test_impossible_values_are_named_together(
    tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["train", str(tones), "--out", str(tmp_path / "run"), "--epochs", "0", "--mixup", "-1"]
    assert run(argv) == 2
    assert capsys.readouterr().err == (
        "error: epochs must be at least 1, got 0; mixup must be at least 0, got -1.0\n"
    )
    assert not (tmp_path / "run").exists()


def test_faults_of_the_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["train", str(tmp_path / "none"), "--out", str(tmp_path / "run")]
    assert run(argv) == 4
    assert capsys.readouterr().err == (
        f"error: {tmp_path / 'none'}: 1 fault\n  {tmp_path / 'none'}: no such file or folder\n"
    )


def test_ctrl_c_tells_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"

    def train(*_: Any, **__: Any) -> TrainResult:
        return TrainResult(folder, folder / "model.safetensors", {}, "", 7, 0.51, True)

    monkeypatch.setattr("sonotype.experiments.pipeline.train", train)
    assert run(["train", "data", "--out", str(folder)]) == 130
    assert capsys.readouterr().out.splitlines() == [
        "best epoch 7, macro F1 on validation 0.510",
        f"model so far: {folder / 'model.safetensors'}; the test part was not read",
        f"go on with: sonotype train --resume {folder}",
    ]


def test_resuming_takes_the_run_and_no_options(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found: dict[str, Any] = {}

    def train(data: Any, out: Path, **options: Any) -> None:
        found.update(data=data, out=out, **options)
        raise OptionsError("stopped here")

    monkeypatch.setattr("sonotype.experiments.pipeline.train", train)
    assert run(["train", "--resume", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "error: stopped here\n"
    assert set(found) == {"data", "out", "resume", "progress", "say"}
    assert (found["data"], found["out"], found["resume"]) == (None, tmp_path, True)
