"""A training that is killed or interrupted goes on to the same weights."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training_data import SMALL, write_tones

import sonotype
from sonotype.core.errors import OptionsError
from sonotype.experiments.run_options import RunOptions

OPTIONS = SMALL | {"epochs": 6, "patience": 6}

SCRIPT = """
import json, signal, sys
import sonotype
# A shell that starts the tests in the background has ctrl-C ignored in all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
data, out, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
def say(line):
    print(line, flush=True)
result = sonotype.train(data, out, say=say, **options)
print("interrupted" if result.interrupted else "finished", flush=True)
"""


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("tones"))


@pytest.fixture(scope="module")
def uninterrupted(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("whole") / "run"
    sonotype.train(tones, run, **OPTIONS)
    return run


def start(tones: Path, run: Path, options: dict[str, object]) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", SCRIPT, str(tones), str(run), json.dumps(options)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def wait_for(process: subprocess.Popen[str], beginning: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(beginning):
            return
    raise AssertionError(process.stderr.read() if process.stderr else "")


def kill_at(beginning: str, tones: Path, run: Path, options: dict[str, object]) -> None:
    """Train in another process, killed as soon as it says a line that begins so."""
    process = start(tones, run, options)
    wait_for(process, beginning)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def same_weights(one: Path, other: Path) -> None:
    first, second = (load_file(run / "model.safetensors") for run in (one, other))
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


def test_two_runs_of_one_seed_give_the_same_weights(
    tones: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    sonotype.train(tones, tmp_path / "run", **OPTIONS)
    same_weights(tmp_path / "run", uninterrupted)


def test_another_seed_gives_other_weights(tones: Path, uninterrupted: Path, tmp_path: Path) -> None:
    sonotype.train(tones, tmp_path / "run", **OPTIONS | {"seed": 1})
    first, second = (load_file(r / "model.safetensors") for r in (tmp_path / "run", uninterrupted))
    assert not torch.equal(first["category.weight"], second["category.weight"])


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"cache": False},
        {"n_augmented": 0},
        {"ema_decay": 0.9},
        {"ema_decay": 0.8, "checkpoint": "last"},
    ],
)
def test_a_killed_run_goes_on_to_the_same_weights(
    tones: Path, tmp_path: Path, extra: dict[str, object]
) -> None:
    options = OPTIONS | extra
    sonotype.train(tones, tmp_path / "whole", **options)
    kill_at("epoch   3/6", tones, tmp_path / "killed", options)
    assert not (tmp_path / "killed" / "scores.json").exists()
    resumed = sonotype.train(None, tmp_path / "killed", resume=True)
    assert not resumed.interrupted
    same_weights(tmp_path / "killed", tmp_path / "whole")
    scores = [json.loads((tmp_path / r / "scores.json").read_text()) for r in ("killed", "whole")]
    assert scores[0] == scores[1]


def test_a_kill_before_the_first_epoch_costs_only_the_start(
    tones: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    kill_at("cbir_2", tones, tmp_path / "run", OPTIONS)
    sonotype.train(None, tmp_path / "run", resume=True)
    same_weights(tmp_path / "run", uninterrupted)


def test_ctrl_c_leaves_a_usable_model_and_a_run_to_go_on_with(tones: Path, tmp_path: Path) -> None:
    options = OPTIONS | {"epochs": 4000, "patience": 4000}
    process = start(tones, tmp_path / "run", options)
    wait_for(process, "epoch   2/")
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert output.splitlines()[-1] == "interrupted"
    model = sonotype.load(tmp_path / "run" / "model.safetensors")
    answer = model.predict(tones / "low" / "hum" / "hum_0.wav")
    assert sum(answer.event_probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert model.card.training["interrupted"] is True
    assert model.card.scores == {}, "the test part must not have been read"
    config = tmp_path / "run" / "config.json"
    config.write_text(config.read_text().replace('"epochs": 4000', '"epochs": 5'))
    finished = sonotype.train(None, tmp_path / "run", resume=True)
    assert not finished.interrupted
    assert finished.scores["category"]["n"] == 6


def test_resuming_takes_no_options(uninterrupted: Path) -> None:
    with pytest.raises(OptionsError, match="--resume takes all options from the run; leave out ep"):
        sonotype.train(None, uninterrupted, resume=True, epochs=3)


def test_a_finished_run_is_not_resumed(uninterrupted: Path) -> None:
    with pytest.raises(OptionsError, match=r"is finished; its scores are in .*scores\.json"):
        sonotype.train(None, uninterrupted, resume=True)


def test_a_run_folder_is_not_used_twice(tones: Path, uninterrupted: Path) -> None:
    with pytest.raises(OptionsError, match="holds a run already; --resume"):
        sonotype.train(tones, uninterrupted, **OPTIONS)


def test_a_folder_with_other_things_is_not_used(tones: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OptionsError, match="is not empty; a run needs a folder of its own"):
        sonotype.train(tones, tmp_path, **OPTIONS)


def test_resuming_nothing_says_so(tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match=r"holds no run to go on with \(config\.json is missing"):
        sonotype.train(None, tmp_path, resume=True)


def test_a_moved_run_goes_on_to_the_same_weights(
    tones: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    kill_at("epoch   4/6", tones, tmp_path / "here", OPTIONS)
    (tmp_path / "here").rename(tmp_path / "there")
    sonotype.train(None, tmp_path / "there", resume=True)
    same_weights(tmp_path / "there", uninterrupted)


def test_a_finished_training_is_only_scored_again(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = OPTIONS | {"epochs": 30, "patience": 2}
    sonotype.train(tones, tmp_path / "run", **options)
    before = load_file(tmp_path / "run" / "model.safetensors")
    for name in ("scores.json", "model.safetensors"):
        (tmp_path / "run" / name).unlink()
    monkeypatch.setattr("sonotype.training.trainer._run", None)  # would be called to train on
    sonotype.train(None, tmp_path / "run", resume=True)
    after = load_file(tmp_path / "run" / "model.safetensors")
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_cbir_3_with_loading_processes_goes_on_to_the_same_weights(
    tones: Path, tmp_path: Path
) -> None:
    options = OPTIONS | {"system": "cbir_3", "workers": 1, "epochs": 3, "n_augmented": 0}
    sonotype.train(tones, tmp_path / "whole", **options | {"workers": 0})
    kill_at("epoch   2/3", tones, tmp_path / "killed", options)
    sonotype.train(None, tmp_path / "killed", resume=True)
    same_weights(tmp_path / "killed", tmp_path / "whole")


def test_resuming_takes_no_data(tones: Path, uninterrupted: Path) -> None:
    with pytest.raises(OptionsError, match="resuming takes the data from the run; leave them out"):
        sonotype.train(tones, uninterrupted, resume=True)


def test_resuming_on_other_names_or_groups_is_refused(tmp_path: Path) -> None:
    tones = write_tones(tmp_path / "tones")
    kill_at("epoch   1/6", tones, tmp_path / "run", OPTIONS)
    (tones / "low" / "hum" / "hum_0.wav").rename(tones / "low" / "hum" / "zzz.wav")
    with pytest.raises(OptionsError, match=r"would be parted otherwise than in .*split\.csv"):
        sonotype.train(None, tmp_path / "run", resume=True)


def test_resuming_on_changed_data_is_refused(tmp_path: Path) -> None:
    tones = write_tones(tmp_path / "tones")
    kill_at("epoch   1/6", tones, tmp_path / "run", OPTIONS)
    (tones / "low" / "hum" / "hum_0.wav").rename(tones / "low" / "buzz" / "moved.wav")
    with pytest.raises(OptionsError, match="it has changed"):
        sonotype.train(None, tmp_path / "run", resume=True)


def test_options_survive_the_run_folder(uninterrupted: Path) -> None:
    config = json.loads((uninterrupted / "config.json").read_text())
    assert RunOptions.of(config["options"]) == RunOptions.of(OPTIONS)


def test_data_named_from_where_one_stands(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tones.parent)
    run = tmp_path / "run"
    sonotype.train(tones.name, run, **OPTIONS | {"epochs": 2})
    scores = (run / "scores.json").read_text()
    (run / "scores.json").unlink()  # as after a kill at the very end
    monkeypatch.chdir(tmp_path)
    sonotype.train(None, run, resume=True)
    assert (run / "scores.json").read_text() == scores
