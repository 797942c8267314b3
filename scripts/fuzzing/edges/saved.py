"""Files that the program wrote earlier: ledgers, predictions, splits, runs; and zip archives."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from fuzzing.case import Case, Edge, FindError
from fuzzing.databases import change
from fuzzing.mutate import (
    encoded,
    json_document,
    mutated_bytes,
    mutated_text,
    mutated_value,
    odd_text,
    odd_value,
)
from sonotype.core.detections import DetectedEvent, DetectedRecording

SPLIT = "subset,path,group,category\ntrain,a.wav,g,a\ntest,b.wav,h,b\n"
TABLES = {
    "split": SPLIT,
    "seen": "path,category,file_digest,sound_digest\na.wav,a,0,1\nb.wav,b\n",
    "suspicious": "path,level,label,suggested,probability,probability_suggested\n"
                  "a.wav,category,a,b,0.125,0.5\n",
    "decisions": "path,level,label,choice,new_label\na.wav,category,a,relabel,b\n",
    "log": "epoch,step,train_loss,val_loss\n0,4,1.5,\n0,4,,2.5\n1,8,1.25,2.25\n",
}  # fmt: skip
"""CSV tables of a run, by what reads them."""
SUMS = f"{'0' * 64}  model.safetensors\n{'1' * 64}  README.md\n"
RECORDING = Path("/recordings/night.wav")
DIGEST, LABEL = "x", "owl"
STORED = {
    "events": [[1.0, 2.0, LABEL, 0.5, 100.0, None], [3.0, 4.0, LABEL, 0.5]],
    "outputs": {"name": "night", "clip_name": "night", "formats": ["csv"], "margin": 0.5,
                "picture": False},
}  # fmt: skip
"""Columns of a ledger that are JSON."""
INTERVAL = {"value": 0.5, "low": 0.25, "high": 1.0}
HIDDEN, RUN = ".sonotype", ".sonotype/runs/0001"
PAGE: dict[str, Any] = {
    f"{HIDDEN}/project.json": {"backbone": "builtin"},
    f"{HIDDEN}/training.json": {"run": "0002", "backbone": "builtin", "attempts": 1},
    f"{RUN}/config.json": {"sonotype": "1", "data": "/sounds", "fingerprint": "0",
                           "transform": None, "options": {"backbone": "builtin"}, "files": {}},
    f"{RUN}/scores.json": {"heads": {"category": {"accuracy": INTERVAL, "groups": 4}}},
    f"{RUN}/time.json": {"seconds": 1.0, "finished": "2026-01-01T10:00:00+00:00"},
    f"{RUN}/split.csv": SPLIT,
    f"{RUN}/model.safetensors": "",
}  # fmt: skip
"""JSON values and texts of the files that the page of a project reads."""


def _prepare(folder: Path) -> dict[str, bytes]:
    from sonotype.core.types import Head
    from sonotype.detect.ledger import Ledger
    from sonotype.detect.ledger_entry import Outputs, Stamp
    from sonotype.evaluation.predictions import Predictions, save_predictions

    found = DetectedRecording(RECORDING, 10.0, (DetectedEvent(1.0, 2.0, LABEL, 0.5),), 4000.0)
    with Ledger(folder / "ledger") as ledger:
        ledger.claim(RECORDING, ["labels/night.txt"], new_result=True)
        ledger.store(found, Stamp(1, 2, DIGEST), Outputs("night", "night", ("csv",)))
    probabilities = np.full((3, 2), 0.5, np.float32)
    predictions = Predictions(
        ("a.wav", "b.wav", "c.wav"), ("a", "b", "c"), {"category": np.array([0, 1, 0])},
        {"category": probabilities}, (Head("category", ("x", "y")),),
    )  # fmt: skip
    save_predictions(predictions, folder / "predictions.npz")
    return {
        "ledger": (folder / "ledger").read_bytes(),
        "predictions": (folder / "predictions.npz").read_bytes(),
        "zip": _zip((name, b"content") for name in ("set/a.wav", "set/b/c.wav")),
        **{name: text.encode() for name, text in TABLES.items()},
        "sums": SUMS.encode(),
        "page": b"",
    }


def _zip(files: Iterable[tuple[str, bytes]]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(zipfile.ZipInfo(name), content)
    return stream.getvalue()


def _make(corpus: dict[str, bytes], rng: Random) -> Case:
    call = rng.choice(list(corpus))
    content = corpus[call]
    if call in (*TABLES, "sums"):
        return Case(call, {"file": encoded(mutated_text(content.decode(), rng), rng)})
    if call == "page":
        return _page(rng)
    if call == "zip" and rng.random() < 0.4:
        names = [odd_text(rng).encode("utf-8", "replace").decode() for _ in range(3)]
        files = [(name, b"content") for name in names if name and "\0" not in name]
        return Case(call, {"file": _zip(files)})
    if call == "predictions" and rng.random() < 0.5:
        return Case(call, {"file": _with_changed_member(content, rng)})
    if call == "ledger" and rng.random() < 0.5:
        name = rng.choice(
            ("events", "events", "outputs", "outputs", "seconds", "highest", "digest", "error",
             "complete", "size")
        )  # fmt: skip
        value = odd_value(rng)
        if name in STORED and rng.random() < 0.8:
            value = json_document(mutated_value(STORED[name], rng), rng)
        elif isinstance(value, list | dict | int) and not isinstance(value, bool):
            value = repr(value)[:1000]
        if isinstance(value, str):
            value = value.encode("utf-8", "replace").decode()
        return Case("row", {"file": content}, {"column": name, "value": value})
    return Case(call, {"file": mutated_bytes(content, list(corpus.values()), rng)})


def _with_changed_member(content: bytes, rng: Random) -> bytes:
    """A zip archive with one changed file, whose checksum is right."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(list(members))
    members[name] = mutated_bytes(members[name], list(members.values()), rng)
    return _zip(members.items())


def _page(rng: Random) -> Case:
    """The folder of a project, with one odd file; sometimes that is a named pipe."""
    files = {name: _content(value) for name, value in PAGE.items()}
    name = rng.choice([name for name, content in files.items() if content])
    if rng.random() < 0.1:
        return Case("page", files, {"pipe": name})
    value = PAGE[name]
    if isinstance(value, str) or rng.random() < 0.2:
        changed = mutated_bytes(files[name], list(files.values()), rng)
    else:
        text = json_document(mutated_value(value, rng), rng)
        changed = text.encode("utf-8", "surrogatepass")
    return Case("page", files | {name: changed})


def _content(value: Any) -> bytes:
    return (value if isinstance(value, str) else json.dumps(value)).encode()


def _run(_: Any, case: Case, folder: Path) -> None:
    from sonotype.data.readers.unpack import unpack_zip
    from sonotype.evaluation.predictions import load_predictions
    from sonotype.modelfile.checksums import read_checksums

    if case.call == "page":
        _read_page(folder / "project", case)
        return
    path = folder / "file"
    path.write_bytes(case.files["file"])
    if case.call == "zip":
        (folder / "out").mkdir()
        unpack_zip(path, folder / "out" / "set")
        if sorted(one.name for one in folder.iterdir()) != ["file", "out"]:
            raise FindError("outside", "the archive wrote beside its folder")
    elif case.call == "predictions":
        load_predictions(path)
    elif case.call in TABLES:
        _read_table(case.call, path)
    elif case.call == "sums":
        read_checksums(path, "SHA256SUMS")
    else:
        if case.call == "row":
            statement = f"UPDATE recordings SET {case.values['column']} = ?"  # noqa: S608
            change(path, statement, case.values["value"])
        _read_ledger(path)


def _read_table(call: str, path: Path) -> None:
    """Read a table of a run, as what needs it does."""
    from sonotype.data.splits.split_file import read_split
    from sonotype.experiments.label_review import read_decisions
    from sonotype.report.run_record import read_suspicious
    from sonotype.training.history import read_history
    from sonotype.training.provenance import read_seen_clips

    if call == "split":
        read_split(path)
    elif call == "suspicious":
        read_suspicious(path)
    elif call == "decisions":
        read_decisions(path)
    elif call == "seen":
        read_seen_clips(path)
    else:
        log = path.parent / "log" / "part_1"
        log.mkdir(parents=True)
        path.rename(log / "metrics.csv")
        read_history(path.parent)


def _read_ledger(path: Path) -> None:
    """Read a ledger, and write the files of its recording that are missing."""
    from sonotype.detect.ledger import Ledger, iterate
    from sonotype.detect.ledger_entry import Outputs
    from sonotype.detect.recording_writer import RecordingWriter
    from sonotype.detect.tables import write_table

    with Ledger(path, {DIGEST: (LABEL,)}) as ledger:
        ledger.files(RECORDING)
        ledger.others([RECORDING])
        entry = ledger.entry(RECORDING)
        if entry is None:
            return
        found = ledger.recording(RECORDING)
        for event in found.events:
            if not 0 <= event.start <= event.end <= 1e9:
                raise FindError("answer", f"an event from {event.start} to {event.end}")
        write_table(path.parent / "events.csv", "csv", iterate(ledger, [RECORDING]))
        if entry.stamp.digest == DIGEST:  # only these are written again
            writer = RecordingWriter(path.parent, ledger, (LABEL,))
            writer.write_missing(RECORDING, entry, Outputs("night", "night", ("csv",), 0.5))


def _read_page(project: Path, case: Case) -> None:
    """What the page reads when it starts and when it is loaded."""
    from sonotype.app.project import Project
    from sonotype.app.runs import run_values
    from sonotype.app.training import JOB, read_job
    from sonotype.core.errors import SonotypeError
    from sonotype.core.json_text import json_text
    from sonotype.experiments.run_folder import config_of_folder, seconds_of

    for name, content in case.files.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_bytes(content)
    if pipe := case.values.get("pipe"):
        (project / pipe).unlink()
        os.mkfifo(project / pipe)
    opened = Project(project)
    try:
        json_text(run_values(opened))
        read_job(opened.hidden / JOB)
        seconds_of(project / RUN)
        _ = opened.backbone
        opened.set_backbone("builtin")
    except SonotypeError as error:
        raise FindError("answer", f"the page cannot start: {error}") from error
    finally:
        opened.close()
    config_of_folder(project / RUN)


EDGE = Edge("saved", _prepare, _make, _run, documented=(OSError,))
