"""Model files: their cards, their bytes, and the models that load."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from random import Random
from typing import Any

from fuzzing.case import Case, Edge, FindError
from fuzzing.model_parts import Parts, small_models, take_apart
from fuzzing.mutate import json_document, mutated_bytes, mutated_value
from fuzzing.tables import sound_bytes
from sonotype.config import EventOptions, to_dict

SOUND = sound_bytes(0.5)
SECONDS = 4.0
LONG = sound_bytes(SECONDS)
EVENTS = to_dict(EventOptions())


def _prepare(folder: Path) -> list[Parts]:
    models = [_complete(take_apart(content)) for content in small_models(folder)]
    for parts in models:  # the digest of a file that was put together is right, or this fails
        content = parts.file(json.dumps(parts.card))
        for call in ("predict", "info", "text", "detect"):
            _run(None, Case(call, {"prepared.safetensors": content}), folder)
    return models


def _complete(parts: Parts) -> Parts:
    """A model whose card also has what a run records of its training, and scores."""
    from sonotype.config import ScoreOptions
    from sonotype.experiments.run_options import RunOptions

    options = RunOptions.of({"recipe": "linear", "evaluation": "crossfit"})
    training = {
        "data": "sounds", "synthetic": True, "fingerprint": "0" * 64, "seen": ["0" * 16, "1" * 16],
        "clips": {"train": 8, "val": 2, "test": 2}, "protocol": "crossfit", "grouped": True,
        "options": to_dict(options.train), "split": to_dict(options.split),
        "source": to_dict(options.source), "backbone": "builtin",
        "teaching": {**to_dict(options.teaching), "teachers": ["runs/a", "runs/b"]},
        "best_epoch": 3, "val_f1": 0.5, "interrupted": False,
    }  # fmt: skip
    scores = {
        "heads": {head["name"]: _scores(head["classes"]) for head in parts.card["heads"]},
        "category_source": ScoreOptions().category_source, "clips": 8, "groups": 4,
        "notes": ["one note"], "foreign": {},
        "unknown": {"known": 8, "kept": 0.9, "negatives": 2, "false_alarms": 0.1, "foreign": 2,
                    "recognised": 0.5, "auroc": 0.8},
    }  # fmt: skip
    card = {**parts.card, "training": training, "scores": scores, "licences": {"weights x": "MIT"}}
    return Parts(card, parts.tensors, parts.data)


def _scores(classes: list[str]) -> dict[str, Any]:
    """Scores of a head."""
    interval = {"value": 0.5, "low": 0.25, "high": 1.0}
    one = {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2}
    return {
        "labels": classes, "n": 8, "groups": 4,
        **dict.fromkeys(("accuracy", "precision", "recall", "f1"), interval),
        "per_class": [{"label": name, **one} for name in classes],
        "confusion": [[1] * len(classes) for _ in classes],
        "calibration": {"error": 0.1, "brier": 0.2, "log_loss": 0.3},
        "ranking": {"average_precision": interval, "micro_average_precision": interval,
                    "lwlrap": interval},
    }  # fmt: skip


def _make(models: list[Parts], rng: Random) -> Case:
    parts = rng.choice(models)
    if rng.random() < 0.12:
        content = mutated_bytes(parts.file(json_document(parts.card, rng)), [parts.data], rng)
        name = rng.choice(("m.safetensors", "m.safetensors", "m.onnx", "m.ckpt", "m.pt", "m"))
        return Case(rng.choice(("load", "card")), {name: content})
    document = json_document(mutated_value(parts.card, rng), rng)
    call = rng.choices(("card", "load", "predict", "info", "text", "detect"), (64, 4, 7, 6, 14, 5))[
        0
    ]
    if call in ("info", "text") and rng.random() < 0.8:  # both show these entries
        name = rng.choice(("training", "training", "scores", "detection"))
        entry = parts.card[name] or _windows(parts.card)
        document = json_document({**parts.card, name: mutated_value(entry, rng)}, rng)
    if call == "detect" and rng.random() < 0.7:
        document = json_document({**parts.card, "detection": _detection(parts.card, rng)}, rng)
    content = parts.file(document)
    if call == "card" and rng.random() < 0.9:
        return Case("document", {"m.json": document.encode("utf-8", "replace")})
    return Case(call, {"m.safetensors": content})


def _run(_: Any, case: Case, folder: Path) -> None:
    import sonotype
    from sonotype.cli.info_command import info
    from sonotype.modelfile.card import card_of, document_of
    from sonotype.modelfile.card_file import read_card
    from sonotype.report.model_card import model_card

    [(name, content)] = case.files.items()
    path = folder / name
    if case.call == "document":
        document_of(card_of(content.decode(), path))
        return
    path.write_bytes(content)
    if case.call == "card":
        read_card(path)
        return
    if case.call == "info":
        with contextlib.redirect_stdout(io.StringIO()):
            info(path, classes=True)
        return
    if case.call == "text":
        model_card(path).encode("utf-8", "surrogatepass")
        return
    if case.call == "detect":
        _detect(path)
        return
    classifier = sonotype.load(path)
    if case.call == "predict" and classifier.card.options.seconds <= 5:
        # Longer clips take more memory, as the card states.
        prediction = classifier.predict(SOUND)
        values = [float(value) for proba in prediction.proba.values() for value in proba]
        if not all(0 <= value <= 1 for value in values):
            raise FindError("answer", f"no probabilities: {values[:5]}")
        prediction.to_dict()


def _detection(card: dict[str, Any], rng: Random) -> Any:
    """Mutated settings of detection, also of a model without any."""
    return mutated_value(card.get("detection") or _windows(card), rng)


def _windows(card: dict[str, Any]) -> dict[str, Any]:
    """Settings of detection for a model without any."""
    head = card["heads"][0]
    rates = {"recall": 0.5, "precision": 0.5, "f1": 0.5, "false_alarms": 2.0}
    return {
        "head": head["name"], "hop": 0.25, "frame_scales": [], "seen": [],
        "tuned": {"recordings": 2, "seconds": 90.5, "events": 7, "simulated": False,
                  "held_out": True, "rates": rates, "notes": ["one note"]},
        "shared": {name: value for name, value in EVENTS.items() if name != "threshold"},
        "events": [{"threshold": 0.3} for _ in head["classes"]],
    }  # fmt: skip


def _detect(path: Path) -> None:
    from sonotype.detect.detector import open_detector
    from sonotype.modelfile.card_file import read_card

    if read_card(path).options.seconds > 5:
        return
    found = open_detector([path]).detect(LONG)
    for one in found.events:
        if not 0 <= one.start < one.end <= SECONDS:
            raise FindError("answer", f"an event from {one.start} to {one.end}")


EDGE = Edge("model", _prepare, _make, _run)
