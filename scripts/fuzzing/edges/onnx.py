"""The metadata of exported ONNX files: the card, and the graphs for windows and frames."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import helper, numpy_helper

from fuzzing.case import Case, Edge, FindError
from fuzzing.mutate import json_document, mutated_bytes, mutated_value
from fuzzing.tables import sound_bytes
from sonotype.sliding.layout import Pace

KEY, WINDOWS = "sonotype", "sonotype_windows"
SOUND = sound_bytes(2.5)
SHORT = sound_bytes(0.5)
EMBEDDING = 768
"""Values of the embedding of the exported model."""


class Parts(NamedTuple):
    """An exported file: its graph, the values of its metadata, and the whole file."""

    graph: bytes
    card: dict[str, Any]
    windows: dict[str, Any]
    whole: bytes


def _prepare(folder: Path) -> list[Parts]:
    from frame_models import write

    from sonotype.export.onnx import export_onnx

    path = export_onnx(write(folder / "model.safetensors"), folder / "model.onnx").path
    proto = onnx.load(path)
    found = {entry.key: entry.value for entry in proto.metadata_props}
    card, windows = json.loads(found[KEY]), json.loads(found[WINDOWS])
    real = Parts(_without_metadata(proto), card, windows, path.read_bytes())
    tiny = Parts(_tiny(proto), card, _tiny_windows(card, windows), b"")
    for parts in (real, tiny):
        content = _file(parts.graph, json.dumps(parts.card), json.dumps(parts.windows))
        for call in ("predict", "windows"):
            _run(None, Case(call, {"prepared.onnx": content}), folder)
    _run(None, Case("windows", {"prepared.onnx": real.whole}), folder)
    return [tiny, real]


def _without_metadata(proto: onnx.ModelProto) -> bytes:
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    del copy.metadata_props[:]
    content: bytes = copy.SerializeToString()
    return content


def _file(graph: bytes, card: str, windows: str | None) -> bytes:
    """The graph with other texts in its metadata."""
    entries = onnx.ModelProto()
    for key, value in ((KEY, card), (WINDOWS, windows)):
        if value is not None:
            entry = entries.metadata_props.add()
            entry.key, entry.value = key, value.encode("utf-8", "replace").decode()
    content: bytes = graph + entries.SerializeToString()  # fields of a protocol buffer add up
    return content


def _tiny(proto: onnx.ModelProto) -> bytes:
    """A graph with the same inputs and outputs, which are constant; it loads in a millisecond."""
    nodes, constants = [], []
    for output in proto.graph.output:
        shape = [one.dim_value or 1 for one in output.type.tensor_type.shape.dim]
        constant = numpy_helper.from_array(np.full(shape, 0.5, np.float32), f"{output.name}_value")
        constants.append(constant)
        nodes.append(helper.make_node("Identity", [constant.name], [output.name]))
    graph = helper.make_graph(
        nodes, "tiny", list(proto.graph.input), list(proto.graph.output), constants
    )
    opset = [helper.make_opsetid("", 18)]
    made = helper.make_model(graph, opset_imports=opset, ir_version=proto.ir_version)
    content: bytes = made.SerializeToString()
    return content


def _tiny_windows(card: dict[str, Any], windows: dict[str, Any]) -> dict[str, Any]:
    """Windows and frames of tiny graphs, with short chunks."""
    from tiny_windows import tiny_document

    classes = {head["name"]: len(head["classes"]) for head in card["heads"]}
    outputs = {**classes, "embedding": EMBEDDING}
    layout = {**windows["layout"], "context": 16, "step": 64}
    reductions = [("sum", [0]), ("maximum", [1]), ("log_sum", [0, 1])]
    frames = classes[card["detection"]["head"]]
    return tiny_document(layout, outputs, frames, reductions=reductions)


def _make(models: list[Parts], rng: Random) -> Case:
    tiny, real = models
    parts = tiny if rng.random() < 0.98 else real
    choice = rng.random()
    if choice < 0.03 and parts is real:
        return Case("load", {"model.onnx": mutated_bytes(parts.whole, [parts.graph], rng)})
    if choice < 0.05:
        content = _file(parts.graph, json.dumps(parts.card), None)
        return Case("predict", {"model.onnx": mutated_bytes(content, [parts.graph], rng)})
    if choice < 0.55:
        document = json_document(mutated_value(parts.card, rng), rng)
        call = rng.choice(("load", "load", "predict"))
        return Case(call, {"model.onnx": _file(parts.graph, document, None)})
    call = rng.choice(("prepare", "windows", "windows", "live"))
    if rng.random() < 0.2:
        document = json.dumps(_with_mutated_graph(parts.windows, rng))
        return Case(call, {"model.onnx": _file(parts.graph, json.dumps(parts.card), document)})
    document = json_document(mutated_value(parts.windows, rng), rng)
    if rng.random() < 0.05:
        content = document.encode("utf-8", "surrogatepass")
        document = mutated_bytes(content, [b"{}"], rng).decode("utf-8", "replace")
    return Case(call, {"model.onnx": _file(parts.graph, json.dumps(parts.card), document)})


def _with_mutated_graph(windows: dict[str, Any], rng: Random) -> dict[str, Any]:
    """A document one of whose graphs has other bytes."""

    def mutated(text: str) -> str:
        return b64encode(mutated_bytes(b64decode(text), [b"rows_0", b"Pad"], rng)).decode()

    name = rng.choice(("front_ends", "rows", "outputs", "frames"))
    if name == "frames":
        frames = windows["frames"]
        return {**windows, "frames": {**frames, "scores": mutated(frames["scores"])}}
    return {**windows, name: mutated(windows[name])}


def _run(_: Any, case: Case, folder: Path) -> None:
    import sonotype

    [(name, content)] = case.files.items()
    path = folder / name
    path.write_bytes(content)
    classifier = sonotype.load(path)
    if case.call == "prepare":
        classifier.engine.prepare()  # type: ignore[attr-defined]
    elif case.call == "windows":
        for prediction in classifier.predict_windows(SOUND, 0.5):
            _check(prediction)
        _frames(classifier, None)
    elif case.call == "live":
        _frames(classifier, Pace(0.25, 0.1))
    elif case.call == "predict" and classifier.card.options.seconds <= 5:
        _check(classifier.predict(SHORT))


def _frames(classifier: Any, pace: Any) -> None:
    """Scores of frames, and of live windows."""
    spec = classifier.card.audio_spec
    pieces = [np.zeros(spec.length, np.float32)] * 3
    for _, scores in classifier.engine.frames(pieces, spec.length, pace) or ():
        if scores.ndim != 2:
            raise FindError("answer", f"scores of the shape {scores.shape}")
    if pace is not None:
        hop = spec.length / 2
        for _, output in classifier.engine.windows(pieces, spec.length, hop, pace) or ():
            if len(output.embedding) == 0:
                raise FindError("answer", "no windows")


def _check(prediction: Any) -> None:
    values = [float(value) for proba in prediction.proba.values() for value in proba]
    if not all(0 <= value <= 1 for value in values):
        raise FindError("answer", f"no probabilities: {values[:5]}")


EDGE = Edge("onnx", _prepare, _make, _run)
