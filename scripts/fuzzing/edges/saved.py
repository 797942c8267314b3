"""Files that the program wrote earlier: ledgers, predictions, splits; and zip archives."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from fuzzing.case import Case, Edge, FindError
from fuzzing.databases import change
from fuzzing.mutate import encoded, mutated_bytes, mutated_text, odd_text, odd_value
from sonotype.core.detections import DetectedEvent, DetectedRecording

SPLIT = "subset,path,group,category\ntrain,a.wav,g,a\ntest,b.wav,h,b\n"
SUMS = f"{'0' * 64}  model.safetensors\n{'1' * 64}  README.md\n"
RECORDING = Path("/recordings/night.wav")


def _prepare(folder: Path) -> dict[str, bytes]:
    from sonotype.core.types import Head
    from sonotype.detect.ledger import Ledger
    from sonotype.detect.ledger_entry import Outputs, Stamp
    from sonotype.evaluation.predictions import Predictions, save_predictions

    found = DetectedRecording(RECORDING, 10.0, (DetectedEvent(1.0, 2.0, "owl", 0.5),), 4000.0)
    with Ledger(folder / "ledger") as ledger:
        ledger.claim(RECORDING, ["labels/night.txt"], new_result=True)
        ledger.store(found, Stamp(1, 2, "x"), Outputs("night", "night", ("csv",)))
    probabilities = np.full((3, 2), 0.5, np.float32)
    predictions = Predictions(
        ("a.wav", "b.wav", "c.wav"), ("a", "b", "c"), {"category": np.array([0, 1, 0])},
        {"category": probabilities}, (Head("category", ("x", "y")),),
    )  # fmt: skip
    save_predictions(predictions, folder / "predictions.npz")
    return {
        "ledger": (folder / "ledger").read_bytes(),
        "predictions": (folder / "predictions.npz").read_bytes(),
        "zip": _zip(["set/a.wav", "set/b/c.wav"]),
        "split": SPLIT.encode(),
        "sums": SUMS.encode(),
    }


def _zip(names: list[str]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), b"content")
    return stream.getvalue()


def _make(corpus: dict[str, bytes], rng: Random) -> Case:
    call = rng.choice(list(corpus))
    content = corpus[call]
    if call in ("split", "sums"):
        return Case(call, {"file": encoded(mutated_text(content.decode(), rng), rng)})
    if call == "zip" and rng.random() < 0.4:
        names = [odd_text(rng).encode("utf-8", "replace").decode() for _ in range(3)]
        return Case(call, {"file": _zip([name for name in names if name and "\0" not in name])})
    if call == "ledger" and rng.random() < 0.5:
        name = rng.choice(("events", "outputs", "seconds", "digest", "error", "complete", "size"))
        value = odd_value(rng)
        if isinstance(value, list | dict | int) and not isinstance(value, bool):
            value = repr(value)[:1000]
        if isinstance(value, str):
            value = value.encode("utf-8", "replace").decode()
        return Case("row", {"file": content}, {"column": name, "value": value})
    return Case(call, {"file": mutated_bytes(content, list(corpus.values()), rng)})


def _run(_: Any, case: Case, folder: Path) -> None:
    from sonotype.data.readers.unpack import unpack_zip
    from sonotype.data.splits.split_file import read_split
    from sonotype.evaluation.predictions import load_predictions
    from sonotype.modelfile.checksums import read_checksums

    path = folder / "file"
    path.write_bytes(case.files["file"])
    if case.call == "zip":
        (folder / "out").mkdir()
        unpack_zip(path, folder / "out" / "set")
        if sorted(one.name for one in folder.iterdir()) != ["file", "out"]:
            raise FindError("outside", "the archive wrote beside its folder")
    elif case.call == "predictions":
        load_predictions(path)
    elif case.call == "split":
        read_split(path)
    elif case.call == "sums":
        read_checksums(path, "SHA256SUMS")
    else:
        if case.call == "row":
            statement = f"UPDATE recordings SET {case.values['column']} = ?"  # noqa: S608
            change(path, statement, case.values["value"])
        _read_ledger(path)


def _read_ledger(path: Path) -> None:
    from sonotype.detect.ledger import Ledger

    with Ledger(path) as ledger:
        ledger.files(RECORDING)
        ledger.others([RECORDING])
        if ledger.entry(RECORDING) is not None:
            ledger.recording(RECORDING)


EDGE = Edge("saved", _prepare, _make, _run, documented=(OSError,))
