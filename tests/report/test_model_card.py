"""Model cards: the header that Hugging Face reads, real numbers, and nothing that is not known."""

from __future__ import annotations

import ast
import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
import yaml
from heads import predicted
from run_folders import of_another_version, write_run_folder
from small_models import EVENTS, HEADS, write_model

from sonotype.cli.main import program
from sonotype.config import EventOptions
from sonotype.core.errors import ModelFileError, SonotypeError
from sonotype.core.types import Head
from sonotype.evaluation.metrics import score, scores_to_json
from sonotype.evaluation.predictions import Predictions
from sonotype.experiments.run_options import RunOptions
from sonotype.modelfile.card import ModelCard
from sonotype.modelfile.detection import Detection
from sonotype.report.card_limits import licence_rows
from sonotype.report.front_matter import yaml_lines
from sonotype.report.markdown import md
from sonotype.report.model_card import model_card

TRAINING = {
    "data": "garden sounds",
    "synthetic": False,
    "fingerprint": "abc",
    "clips": {"train": 8, "val": 2, "test": 8},
    "grouped": True,
    "options": {"recipe": "modern", "seed": 7},
}


def eight() -> Predictions:
    """Eight clips, of which one is wrong on both levels."""
    event = np.arange(8) % len(EVENTS)
    category = np.array(HEADS[1].parent_index)[event]
    wrong = [1, *event[1:]]
    proba = [np.eye(2)[np.array(HEADS[1].parent_index)[wrong]], np.eye(4)[wrong]]
    return predicted(HEADS, [category, event], proba)


def write(path: Path, **card: Any) -> Path:
    scores = scores_to_json(score(eight(), notes=["cross-fitting: 5 models"]))
    entries = {"training": TRAINING, "scores": scores, "versions": {"sonotype": "0.1.0"}}
    return write_model(path, card=entries | card)


def header(text: str) -> dict[str, Any]:
    """The front matter, as PyYAML reads it."""
    start, values, _ = text.split("---\n", 2)
    assert start == ""
    found: dict[str, Any] = yaml.safe_load(values)
    return found


def section(text: str, title: str) -> str:
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_the_header_has_the_fields_of_hugging_face(tmp_path: Path) -> None:
    found = header(model_card(write(tmp_path / "garden" / "model.safetensors")))
    assert found["license"] == "other"
    assert found["license_name"] == "unknown"
    assert found["library_name"] == "sonotype"
    assert found["pipeline_tag"] == "audio-classification"
    assert "datasets" not in found  # garden sounds are not published
    assert set(found["metrics"]) == {"accuracy", "precision", "recall", "f1"}
    (entry,) = found["model-index"]
    assert entry["name"] == "garden"
    assert [one["task"]["type"] for one in entry["results"]] == ["audio-classification"] * 2
    for result in entry["results"]:
        assert {"type", "name"} <= result["dataset"].keys()
        assert result["dataset"]["type"] == "garden-sounds"


def test_the_numbers_are_those_of_the_model_file(tmp_path: Path) -> None:
    text = model_card(write(tmp_path / "model.safetensors"))
    scores = score(eight())
    results = header(text)["model-index"][0]["results"]
    for result, head in zip(results, scores.heads.values(), strict=True):
        for metric in result["metrics"]:
            known = getattr(head, metric["type"])
            assert metric["value"] == round(known.value, 4)
            assert f"{known.low:.3f} to {known.high:.3f}" in metric["name"]
            assert f"| {known.value:.3f} | {known.low:.3f} to {known.high:.3f} |" in text
    assert "| beep | 1.000 | 0.500 | 0.667 | 2 |" in section(text, "Scores")
    assert "cross-fitting: 5 models" in section(text, "Scores")
    assert "8 clips in 8 groups" in section(text, "Scores")


def test_a_published_data_set_is_named(tmp_path: Path) -> None:
    training = TRAINING | {"data": "esc50"}
    licences = {"mn04": "MIT", "data esc50": "CC BY-NC 3.0"}
    text = model_card(write(tmp_path / "m.safetensors", training=training, licences=licences))
    assert header(text)["datasets"] == ["esc50"]
    assert "| data esc50 | CC BY-NC 3.0 |" in section(text, "Licences")
    assert "Not for commercial use" in section(text, "Limits and intended use")
    assert "The licence is unknown" not in text


def test_an_unknown_licence_is_stated(tmp_path: Path) -> None:
    text = model_card(write(tmp_path / "m.safetensors"))
    assert "| data garden sounds | unknown |" in section(text, "Licences")
    assert "The licence is unknown of: data garden sounds." in text
    assert "commercial" not in text


def test_weights_without_a_licence_are_listed() -> None:
    options = RunOptions.of({"backbone": "mn04"}).system
    card = ModelCard(options, HEADS, 32_000, ("EfficientATLogMel",))
    assert licence_rows(card) == [("data", "unknown"), ("weights of mn04", "unknown")]


@pytest.mark.parametrize(
    "name",
    [
        "on",
        "1.0",
        "a: b",
        'quo"te',
        "it's",
        "# x",
        "- y",
        "犬 🐕",
        "back\\slash",
        "~",
        "a\nb",
        "é\x07",
    ],
)
def test_any_text_is_a_yaml_scalar(name: str) -> None:
    found = yaml.safe_load("\n".join(yaml_lines({"x": name, "y": [name, {"z": name, "n": 0.5}]})))
    shown = name.replace("\n", " ").replace("\x07", "?")
    assert found == {"x": shown, "y": [shown, {"z": shown, "n": 0.5}]}


def test_names_do_not_become_markup() -> None:
    assert md("a|b <i> `c` [d] *e*") == r"a\|b \<i\> \`c\` \[d\] \*e\*"
    assert md("crying_baby _x_") == r"crying_baby \_x\_"
    assert md("a\nb") == "a b"
    assert md("# C# &lt; R&D ~x~ $y$") == r"\# C\# \&lt; R&D \~x\~ \$y\$"
    assert [md(text) for text in ("- a", "10. a", "-3 a", "2.5")] == [
        r"\- a",
        r"10\. a",
        "-3 a",
        "2.5",
    ]


def test_a_run_folder_adds_clips_of_classes_and_all_options(tmp_path: Path) -> None:
    run = write_run_folder(tmp_path / "runs" / "first", eight(), data="/home/ann/x", seed=7)
    write(run / "model.safetensors")
    rows = ["subset,fold,path,group,category,event"]
    rows += [f"train,,{n}.wav,{n},low,hum" for n in range(3)]
    rows += [f"train,,{n}.wav,{n},high,beep" for n in range(3, 15)] + ["test,,t.wav,t,low,hum"]
    (run / "split.csv").write_text("\n".join(rows) + "\n")
    text = model_card(run)
    assert header(text)["model-index"][0]["name"] == "first"
    assert "| beep | 1.000 | 0.500 | 0.667 | 2 | 12 |" in text
    limits = section(text, "Limits and intended use")
    assert "fewer than 10 training clips: buzz (0), hum (3), whistle (0)" in limits
    assert "beep (12)" not in limits
    assert "--seed 7" in section(text, "Repeat the training")
    assert "/home/ann" not in text
    rows = ["subset,fold,path,group,category,event"]
    parents = [HEADS[0].classes[index] for index in HEADS[1].parent_index]
    both = zip(parents, EVENTS, strict=True)
    rows += [f"train,,{e}{n}.wav,{e},{c},{e}" for c, e in both for n in range(2)]
    (run / "split.csv").write_text("\n".join(rows) + "\n")
    assert "10 training clips:" not in model_card(run)  # as many clips are scored
    assert str(tmp_path) not in text


def test_options_of_another_version(tmp_path: Path) -> None:
    run = of_another_version(write_run_folder(tmp_path / "run", eight(), data="/home/ann/x"))
    write(run / "model.safetensors")
    text = model_card(run)
    found = section(text, "Repeat the training")
    assert "is not known" in found
    assert "sonotype train" not in found
    assert "/home/ann" not in text
    assert str(tmp_path) not in text


def test_commands_and_python_are_valid(tmp_path: Path) -> None:
    tuned = Detection("category", (EventOptions(), EventOptions(threshold=0.25)))
    text = model_card(write(tmp_path / "m.safetensors", detection=tuned, unknown_threshold=0.5))
    command: Any = typer.main.get_command(program())
    lines = re.findall(r"^sonotype .*$", text, re.MULTILINE)
    assert {line.split()[1] for line in lines} == {"predict", "evaluate", "detect", "train"}
    for line in lines:
        _, name, *words = shlex.split(line, comments=True)
        command.commands[name].make_context(name, words)
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        ast.parse(code)


@pytest.mark.parametrize("name", ["two words", 'a"b', "it's", "a$b;c"])
def test_any_file_name_is_valid_in_the_commands(tmp_path: Path, name: str) -> None:
    text = section(model_card(write(tmp_path / f"{name}.safetensors")), "Use")
    lines = re.findall(r"^sonotype .*$", text, re.MULTILINE)
    assert lines
    for line in lines:
        assert shlex.split(line, comments=True)[2] == f"{name}.safetensors"
    [code] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names = [node.value for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Constant)]
    assert f"{name}.safetensors" in names


def test_clips_without_a_label_are_counted(tmp_path: Path) -> None:
    true = np.array([0, 0, 0, 1, 1, 1, -1, -1])
    found = predicted((Head("category", ("cat", "dog")),), [true], [np.eye(2)[np.abs(true)]])
    entries = {"training": TRAINING, "scores": scores_to_json(score(found))}
    path = write_model(
        tmp_path / "m.safetensors", (Head("category", ("cat", "dog")),), card=entries
    )
    text = section(model_card(path), "Scores")
    assert "Measured on 8 clips" in text
    assert "of the 6 clips" in text
    assert "2 of the 8 clips have none" in text
    every = section(model_card(write(tmp_path / "n.safetensors")), "Scores")
    assert "have none" not in every


def test_detection_settings(tmp_path: Path) -> None:
    facts = {"simulated": True, "recordings": 3, "seconds": 600.0, "events": 40, "held_out": False}
    facts |= {"rates": {"recall": 0.75, "precision": 0.5, "f1": 0.6, "false_alarms": 2.25}}
    events = (EventOptions(threshold=0.125), EventOptions(threshold=0.75))
    tuned = Detection("category", events, hop=0.5, tuned=facts)
    text = model_card(write(tmp_path / "m.safetensors", detection=tuned))
    found = section(text, "Detection in recordings")
    for part in (
        "every 0.5 s", "3 simulated recordings", "40 events", "| precision | 0.500 |",
        "| false alarms in an hour | 2.2 |", "on others they are lower",
        "| low | change_point | 0.75 | 0 |",
    ):  # fmt: skip
        assert part in found
    assert "sound-event-detection" in header(text)["tags"]
    assert "Detection" not in model_card(write(tmp_path / "n.safetensors"))


def test_a_model_without_scores_says_so(tmp_path: Path) -> None:
    interrupted = TRAINING | {"interrupted": True, "synthetic": True}
    text = model_card(write(tmp_path / "m.safetensors", scores={}, training=interrupted))
    found = header(text)
    assert "model-index" not in found
    assert "metrics" not in found
    assert "synthetic-data" in found["tags"]
    assert "no scores" in section(text, "Scores")
    assert "interrupted" in section(text, "Training")
    limits = section(text, "Limits and intended use")
    assert "synthetic sounds" in limits
    assert "how good it is is unknown" in limits


def test_a_bare_model_invents_nothing(tmp_path: Path) -> None:
    text = model_card(write_model(tmp_path / "m.safetensors"))
    assert "does not record its training" in section(text, "Training")
    assert "does not record how it was trained" in section(text, "Repeat the training")
    assert "None" not in text


def test_several_labels(tmp_path: Path) -> None:
    head = Head("category", ("cat", "dog"), "multi", thresholds=(0.25, 0.5))
    true = np.array([[1, 0], [0, 1], [1, 1], [0, 0]] * 3)
    proba = np.linspace(0.1, 0.9, 24).reshape(12, 2)
    found = score(predicted((head,), [true], [proba]))
    entries = {"training": TRAINING, "scores": scores_to_json(found)}
    text = model_card(write_model(tmp_path / "m.safetensors", (head,), card=entries))
    metrics = {one["type"]: one for one in header(text)["model-index"][0]["results"][0]["metrics"]}
    ranking = found.heads["category"].ranking
    assert ranking is not None
    assert metrics["average_precision"]["value"] == round(ranking.average_precision.value, 4)
    assert "prediction.present" in text
    assert "is_unknown" not in text
    assert "get a class too" not in text


def test_unknown_sounds(tmp_path: Path) -> None:
    scores = scores_to_json(score(eight()))
    scores["unknown"] = {
        "known": 20, "kept": 0.95, "negatives": 8, "false_alarms": 0.125, "foreign": 0,
        "recognised": None, "auroc": None,
    }  # fmt: skip
    text = model_card(write(tmp_path / "m.safetensors", scores=scores, unknown_threshold=0.5))
    found = section(text, "Unknown sounds and calibration")
    assert "above 0.5" in found
    assert re.search(r"kept \| 95\s% \| 20 \|", found)
    assert re.search(r"false alarms\) \| 12.5\s% \| 8 \|", found)


def test_an_exported_model(tmp_path: Path) -> None:
    onnx = pytest.importorskip("sonotype.export.onnx")
    model = write(tmp_path / "model.safetensors")
    onnx.export_onnx(model, tmp_path / "model.onnx")
    exported = model_card(tmp_path / "model.onnx")
    assert exported == model_card(model).replace("model.safetensors", "model.onnx")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="cannot be read"):
        model_card(tmp_path / "none.safetensors")
    run = write_run_folder(tmp_path / "run", eight())
    with pytest.raises(ModelFileError, match="unfinished run"):
        model_card(run)
    write(run / "model.safetensors")
    for wrong in ("{", "[" * 100_000, "[]", json.dumps({"heads": {}})):
        (run / "scores.json").write_text(wrong)
        with pytest.raises(SonotypeError, match=r"scores\.json"):
            model_card(run)


@pytest.mark.parametrize("name", ["source", "options", "split", "teaching"])
def test_options_of_other_types_are_no_command(tmp_path: Path, name: str) -> None:
    """A card says that they are unknown, whatever a file has in their place."""
    odd = {
        "recipe": "linear",
        "seed": 3,
        "group_pattern": 5,
        "split": [],
        "epochs": {},
        "teachers": [],
    }
    model = write(tmp_path / "model.safetensors", training={**TRAINING, name: odd})
    assert "does not record how it was trained" in model_card(model)


def test_numbers_of_a_tuning_that_no_program_wrote(tmp_path: Path) -> None:
    tuned = {"recordings": 2, "seconds": 1e300, "events": 7, "rates": {"f1": 1e300}}
    detection = Detection("event", (EventOptions(),) * 4, hop=0.5, tuned=tuned)
    text = model_card(write(tmp_path / "model.safetensors", detection=detection))
    assert "Detection in recordings" in text
    assert "were fitted to" not in text
