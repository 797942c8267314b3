"""Label files of every program whose annotations are read."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import soundfile

from fuzzing.case import Case, Edge
from fuzzing.label_corpus import LABEL_FILES
from fuzzing.mutate import encoded, mutated_bytes, mutated_text

CALLS = ("read", "read", "folder", "file", "open", "recognise")
COLUMNS = (None, None, None, "label", "calls", "Annotation", "\0", "")


def _prepare(folder: Path) -> Path:
    sound = folder / "night.wav"
    soundfile.write(sound, np.zeros(10_000, np.int16), 1000)
    return sound


def _make(_: Any, rng: Random) -> Case:
    name, text = rng.choice(list(LABEL_FILES.items()))
    if rng.random() < 0.1:  # the text of one program under the name of another
        text = rng.choice(list(LABEL_FILES.values()))
    content = encoded(mutated_text(text, rng, 4), rng)
    if rng.random() < 0.2:
        others = [other.encode() for other in LABEL_FILES.values()]
        content = mutated_bytes(content, others, rng)
    files = {name: content}
    if rng.random() < 0.1 or name == "spans.csv":
        files["night.audacity.txt"] = LABEL_FILES["night.audacity.txt"].encode()
    annotated = "spans.csv" if name == "spans.csv" else rng.choice(("labels", "whole"))
    return Case(rng.choice(CALLS), files, {"column": rng.choice(COLUMNS), "annotated": annotated})


def _run(sound: Path, case: Case, folder: Path) -> None:
    from sonotype.data.annotations.annotated import read_annotated
    from sonotype.data.annotations.label_file import read_label_file, recognise_labels
    from sonotype.data.readers.source import open_source
    from sonotype.data.source_options import SourceOptions

    os.link(sound, folder / "night.wav")
    for name, content in case.files.items():
        (folder / name).write_bytes(content)
    column, annotated = case.values["column"], case.values["annotated"]
    path = folder / next(iter(case.files))
    spans = str(path) if annotated == "spans.csv" else annotated
    if case.call == "recognise":
        recognise_labels(path)
    elif case.call == "read" and annotated != "spans.csv":
        read_label_file(path, column)
    elif case.call == "file" and annotated != "spans.csv":
        read_annotated(path, label_column=column, annotated=spans)
    elif case.call == "open":
        open_source(folder, SourceOptions(label_column=column, annotated=spans))
    else:
        read_annotated(folder, label_column=column, annotated=spans)


EDGE = Edge("labels", _prepare, _make, _run)
