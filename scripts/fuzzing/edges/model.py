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
    models = [take_apart(content) for content in small_models(folder)]
    for parts in models:  # the digest of a file that was put together is right, or this fails
        content = parts.file(json.dumps(parts.card))
        for call in ("predict", "info", "detect"):
            _run(None, Case(call, {"prepared.safetensors": content}), folder)
    return models


def _make(models: list[Parts], rng: Random) -> Case:
    parts = rng.choice(models)
    if rng.random() < 0.12:
        content = mutated_bytes(parts.file(json_document(parts.card, rng)), [parts.data], rng)
        name = rng.choice(("m.safetensors", "m.safetensors", "m.onnx", "m.ckpt", "m.pt", "m"))
        return Case(rng.choice(("load", "card")), {name: content})
    document = json_document(mutated_value(parts.card, rng), rng)
    call = rng.choices(("card", "load", "predict", "info", "detect"), (80, 4, 7, 4, 5))[0]
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
            info(path)
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
    head = card["heads"][0]
    windows = {
        "head": head["name"], "hop": 0.25, "frame_scales": [], "tuned": {}, "seen": [],
        "shared": {name: value for name, value in EVENTS.items() if name != "threshold"},
        "events": [{"threshold": 0.3} for _ in head["classes"]],
    }  # fmt: skip
    return mutated_value(card.get("detection") or windows, rng)


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
