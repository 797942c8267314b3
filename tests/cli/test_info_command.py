from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from heads import predicted, two_heads
from small_models import CATEGORIES, EVENTS, HEADS, write_model

from sonotype.cli.main import run
from sonotype.evaluation.metrics import Scores, score, scores_to_json
from sonotype.evaluation.report import render
from sonotype.modelfile.model_file import load_model
from sonotype.models.summary import summarise

TRAINING = {
    "data": "recordings",
    "synthetic": True,
    "clips": {"test": 3, "train": 10, "val": 2},
    "best_epoch": 7,
    "interrupted": True,
}


def shown(path: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert run(["info", str(path)]) == 0
    output = capsys.readouterr()
    assert output.err == ""
    lines = output.out.splitlines()
    assert max(map(len, lines)) <= 80
    return lines


@pytest.fixture(scope="module")
def scores() -> Scores:
    """Scores of eight clips, of which one is wrong on both levels."""
    event = np.arange(8) % len(EVENTS)
    category = np.array(HEADS[1].parent_index)[event]
    wrong = [1, *event[1:]]
    proba = [np.eye(2)[np.array(HEADS[1].parent_index)[wrong]], np.eye(4)[wrong]]
    return score(predicted(HEADS, [category, event], proba))


def test_a_trained_model(
    tmp_path: Path, scores: Scores, capsys: pytest.CaptureFixture[str]
) -> None:
    training = TRAINING | {"synthetic": False, "interrupted": False}
    card = {"training": training, "scores": scores_to_json(scores)}
    model = write_model(tmp_path / "model.safetensors", card=card)
    lines = shown(model, capsys)
    assert lines[:7] == [
        "system         cbir_2, backbone none, width 0.05",
        "input          1 s at 16000 Hz",
        "2 categories   high, low",
        "4 events       beep, buzz, hum, whistle",
        "data           recordings: 10 training, 2 validation, 3 test clips",
        "best epoch     7",
        "",
    ]
    report = render(scores).partition("\n\ncategories, worst first")[0]
    assert "\n".join(lines[7:]).startswith(f"{report}\n\npart  ")
    assert not any("worst" in line or "confusions" in line for line in lines)
    assert "\n".join(lines).endswith(f"\n\n{summarise(load_model(model)[0], 1.0)}")


def test_the_scores_of_every_class_and_what_a_model_came_from(
    tmp_path: Path, scores: Scores, capsys: pytest.CaptureFixture[str]
) -> None:
    made_from = {"backbone": "first/model.safetensors", "teaching": {"teachers": ["runs/first"]}}
    card = {"training": TRAINING | made_from, "scores": scores_to_json(scores)}
    model = write_model(tmp_path / "m.safetensors", card=card)
    assert run(["info", str(model), "--classes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "branch 1 from  first/model.safetensors" in lines
    assert "teachers       runs/first" in lines
    listed = [line.split()[0] for line in lines if line.startswith(("beep", "buzz", "high", "low"))]
    assert sorted(listed) == ["beep", "buzz", "high", "low"]
    assert not any("confusions" in line for line in lines)


def test_a_model_of_an_interrupted_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = {"training": TRAINING, "licences": {"mn04": "MIT", "data recordings": "CC BY 4.0"}}
    lines = shown(write_model(tmp_path / "m.safetensors", card=card), capsys)
    assert lines[4:9] == [
        "data           recordings: synthetic sounds, 10 training, 2 validation, 3 test",
        "               clips",
        "best epoch     7; interrupted, not tested",
        "licence        data recordings: CC BY 4.0",
        "licence        mn04: MIT",
    ]
    assert lines[9:10] == [""]
    assert lines[10].split() == ["part", "parameters", "frozen", "multiply-adds"]


def test_a_bare_model_without_events(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(write_model(tmp_path / "m.safetensors", CATEGORIES), capsys)
    assert [line.split()[0] for line in lines[:4] if line] == ["system", "input", "2"]
    assert not any(line.startswith("4 events") for line in lines)


def test_many_labels_are_wrapped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = tuple(f"a class of number {number:02}" for number in range(20))
    lines = shown(write_model(tmp_path / "m.safetensors", two_heads(names)), capsys)
    start = lines.index(next(line for line in lines if line.startswith("20 categories")))
    end = lines.index("")
    text = " ".join(line[15:].strip() for line in lines[start:end])
    assert text == ", ".join(names)


def test_json_of_a_file_with_other_numbers_is_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Older versions wrote NaN into the header, and Python reads more numbers than JSON has."""
    monkeypatch.setattr("sonotype.modelfile.card.json_text", json.dumps)  # as they did
    path = write_model(
        tmp_path / "m.safetensors",
        card={"training": {"val_f1": float("nan"), "rates": [1, float("inf")]}},
    )
    assert run(["info", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert found["training"] == {"val_f1": None, "rates": [1, None]}


def test_json_is_the_whole_header(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = {"training": TRAINING, "versions": {"torch": "2"}}
    path = write_model(tmp_path / "m.safetensors", card=card)
    assert run(["info", str(path), "--json"]) == 0
    header = json.loads(capsys.readouterr().out)
    assert header["training"] == TRAINING
    assert header["versions"] == {"torch": "2"}
    assert header["heads"][1]["classes"] == list(EVENTS)
    assert header["options"]["system"] == "cbir_2"
    assert header["sample_rate"] == 16_000


def test_a_missing_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["info", str(tmp_path / "none")]) == 6
    assert capsys.readouterr().err.startswith(f"error: {tmp_path / 'none'}: ")
