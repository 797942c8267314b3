"""Data sets of Hugging Face: AudioFolder with splits, Parquet and Arrow with the sounds inside."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from training_data import SMALL

import sonotype
from sonotype.core.errors import DataError, OptionsError
from sonotype.data import SourceOptions, open_source, split
from sonotype.data.manifest import Manifest
from sonotype.data.readers.datasets import read_json_lines

pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow")
pytest.importorskip("pyarrow.parquet")

LABELS = ("cat", "dog")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SONOTYPE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def sound(seed: int) -> bytes:
    stream = io.BytesIO()
    samples = np.random.default_rng(seed).uniform(-0.5, 0.5, 800)
    soundfile.write(stream, samples, 8000, format="WAV")
    return stream.getvalue()


def table(first: int, count: int = 4, **columns: list[Any]) -> Any:
    """A table as the library ``datasets`` writes it."""
    audio = [{"bytes": sound(first + i), "path": f"{first + i}.wav"} for i in range(count)]
    values = {"audio": audio, "label": [i % 2 for i in range(count)], **columns}
    found = pyarrow.table(values)
    label = {"names": list(LABELS), "_type": "ClassLabel"}
    features: dict[str, Any] = {"audio": {"_type": "Audio"}, "label": label}
    if "label" in columns and isinstance(columns["label"][0], list):
        features["label"] = {"feature": label, "_type": "List"}
    document = json.dumps({"info": {"features": features}})
    return found.replace_schema_metadata({"huggingface": document})


def test_the_tables_are_those_that_datasets_writes() -> None:
    """Schemas and metadata that ``Dataset.to_parquet`` of datasets 5.2.0 wrote."""
    sounds = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    label = '{"names": ["cat", "dog"], "_type": "ClassLabel"}'
    for columns, kind, written in (
        ({}, pyarrow.int64(), label),
        ({"label": [[0], [], [1], [0, 1]]}, pyarrow.list_(pyarrow.int64()),
         f'{{"feature": {label}, "_type": "List"}}'),
    ):  # fmt: skip
        schema = table(0, **columns).schema
        assert schema.field("audio").type == sounds
        assert schema.field("label").type == kind
        features = f'{{"audio": {{"_type": "Audio"}}, "label": {written}}}'
        wanted = f'{{"info": {{"features": {features}}}}}'
        assert schema.metadata == {b"huggingface": wanted.encode()}


CARD = """---
dataset_info:
  features:
  - name: audio
    dtype: audio
  - name: label
    dtype:
      class_label:
        names:
          '0': cat
          '1': dog
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*
  - split: test
    path: data/test-*
---
"""


def test_a_data_set_of_push_to_hub_is_trained_on(tmp_path: Path) -> None:
    root = tmp_path / "set"
    write_parquet(root / "data" / "train-00000-of-00002.parquet", table(0, 8))
    write_parquet(root / "data" / "train-00001-of-00002.parquet", table(8, 8))
    write_parquet(root / "data" / "test-00000-of-00001.parquet", table(20, 4))
    (root / "README.md").write_text(CARD)
    assert open_source(root).subsets == {"train": 16, "test": 4}
    out = tmp_path / "run"
    small = {name: value for name, value in SMALL.items() if name != "test_fraction"}
    result = sonotype.train(root, out, **small | {"epochs": 1, "category_source": "head"})
    (head,) = sonotype.load(result.model).heads
    assert head.classes == LABELS
    with (out / "split.csv").open() as stream:
        tested = {Path(row["path"]).name for row in csv.DictReader(stream)
                  if row["subset"] == "test"}  # fmt: skip
    assert tested == {"20.wav", "21.wav", "22.wav", "23.wav"}


def write_parquet(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(content, path)
    return path


def write_arrow(folder: Path, content: Any) -> Path:
    """A folder of ``save_to_disk``."""
    folder.mkdir(parents=True)
    with pyarrow.ipc.new_stream(folder / "data-00000-of-00001.arrow", content.schema) as stream:
        stream.write_table(content)
    state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text("{}")
    return folder


def rows(manifest: Manifest) -> list[tuple[str, str | None, int | None]]:
    found = ((clip.path.name, clip.label("category"), clip.fold) for clip in manifest.clips)
    return sorted(found, key=lambda row: row[0])


def issues_of(path: Path, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        open_source(path, SourceOptions(**options))
    return str(caught.value)


FOUR = [("0.wav", "cat", None), ("1.wav", "dog", None), ("2.wav", "cat", None),
        ("3.wav", "dog", None)]  # fmt: skip


def test_a_parquet_file_with_its_sounds(tmp_path: Path, cache: Path) -> None:
    path = write_parquet(tmp_path / "x.parquet", table(0))
    manifest = open_source(path)
    assert rows(manifest) == FOUR
    for clip in manifest.clips:
        assert clip.path.read_bytes() == sound(int(clip.path.stem))
    assert all(clip.path.is_relative_to(cache) for clip in manifest.clips)
    before = {file: file.stat().st_mtime_ns for file in cache.rglob("*.wav")}
    assert rows(open_source(path, SourceOptions(group_pattern=r"^\d"))) == FOUR
    assert {file: file.stat().st_mtime_ns for file in cache.rglob("*.wav")} == before


@pytest.mark.parametrize("layout", ["data/{}-00000-of-00001.parquet", "{}.parquet", "{}/0.parquet"])
def test_splits_of_parquet_are_subsets(tmp_path: Path, layout: str) -> None:
    root = tmp_path / "set"
    for number, name in enumerate(("train", "validation", "test")):
        write_parquet(root / layout.format(name), table(10 * number))
    manifest = open_source(root)
    assert manifest.name == "set"
    assert manifest.folds_are_subsets
    assert manifest.subsets == {"train": 4, "validation": 4, "test": 4}
    chosen = split(manifest)
    assert {manifest.clips[i].fold for i in chosen.test} == {3}


def test_save_to_disk(tmp_path: Path) -> None:
    assert rows(open_source(write_arrow(tmp_path / "one", table(0)))) == FOUR
    root = tmp_path / "both"
    write_arrow(root / "train", table(0))
    write_arrow(root / "test", table(10))
    (root / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    assert open_source(root).subsets == {"train": 4, "test": 4}


def test_audiofolder_with_splits_and_json_lines(tmp_path: Path) -> None:
    root = tmp_path / "set"
    for number, name in enumerate(("train", "test")):
        (root / name).mkdir(parents=True)
        lines = []
        for i in range(4):
            (root / name / f"{i}.wav").write_bytes(sound(10 * number + i))
            lines.append((f"{i}.wav", LABELS[i % 2]))
        if name == "train":
            text = "".join(f"{file},{label}\n" for file, label in lines)
            (root / name / "metadata.csv").write_text(f"file_name,label\n{text}")
        else:
            text = "\n".join(json.dumps({"file_name": f, "label": label}) for f, label in lines)
            (root / name / "metadata.jsonl").write_text(text)
    manifest = open_source(root)
    assert manifest.subsets == {"train": 4, "test": 4}
    assert rows(open_source(root / "test")) == FOUR
    assert rows(open_source(root / "test" / "metadata.jsonl")) == FOUR


def test_several_labels(tmp_path: Path) -> None:
    content = table(0, label=[[0], [0, 1], [], [1]])
    manifest = open_source(write_parquet(tmp_path / "x.parquet", content))
    sets = {clip.path.name: clip.labels["category"] for clip in manifest.clips}
    assert sets == {"0.wav": ("cat",), "1.wav": ("cat", "dog"), "2.wav": (), "3.wav": ("dog",)}


def test_other_columns_are_named(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "x.parquet", table(0, site=["a", "a", "b", "b"]))
    assert "unknown column 'site'" in issues_of(path)
    manifest = open_source(path, SourceOptions(column=("group=site",)))
    groups = {clip.path.name: clip.group for clip in manifest.clips}
    assert groups == {"0.wav": "a", "1.wav": "a", "2.wav": "b", "3.wav": "b"}
    with pytest.raises(OptionsError, match="a data set of Hugging Face"):
        open_source(path, SourceOptions(label_set="esc50"))


def test_names_out_of_the_cache_stay_inside(tmp_path: Path, cache: Path) -> None:
    names = ["../../../a.wav", "/etc/b.wav", "C:\\x\\..\\c.exe", None]
    audio = [{"bytes": sound(i), "path": name} for i, name in enumerate(names)]
    manifest = open_source(write_parquet(tmp_path / "x.parquet", table(0, audio=audio)))
    assert [row[0] for row in rows(manifest)] == ["a.wav", "b.wav", "c.wav", "x-000004.wav"]
    assert all(clip.path.resolve().is_relative_to(cache.resolve()) for clip in manifest.clips)
    root = write_arrow(tmp_path / "one", table(0))
    (root / "state.json").write_text('{"_data_files": [{"filename": "../x.parquet"}]}')
    assert "no sound inside" in issues_of(root) or "category folders" in issues_of(root)


def test_issues_with_their_rows(tmp_path: Path) -> None:
    audio: list[Any] = [{"bytes": sound(0), "path": "a.wav"}, None, {"bytes": b"", "path": None}]
    content = table(0, 3, audio=audio, label=[0, 1, 5])
    text = issues_of(write_parquet(tmp_path / "x.parquet", content))
    assert "x.parquet:2: no sound in this row" in text
    assert "x.parquet:3: no sound in this row" in text
    root = write_arrow(tmp_path / "one", table(0))
    file = root / "data-00000-of-00001.arrow"
    file.write_bytes(file.read_bytes()[:100])
    assert "cannot be read" in issues_of(root)
    lines = tmp_path / "metadata.jsonl"
    lines.write_text('{"file_name": "a.wav", "label": "x"}\n[1]\n{"label": {"a": 1}}\n{')
    text = issues_of(lines)
    for number in (2, 3, 4):
        assert f"metadata.jsonl:{number}: not a JSON object" in text


def test_an_address_is_no_source() -> None:
    for path in (Path("hf://user/name"), Path("hf://datasets/user/name")):
        text = issues_of(path)
        assert "names a model, not labelled sounds" in text
        assert "hf download" in text


@pytest.mark.parametrize("document", ["1.5", "true", "null", '"a"', "[" * 100_000])
def test_damaged_files_of_save_to_disk_are_passed_over(tmp_path: Path, document: str) -> None:
    root = write_arrow(tmp_path / "one", table(0))
    (root / "state.json").write_text(f'{{"_data_files": {document}}}')
    with pytest.raises(DataError):
        open_source(root)


def test_offsets_beyond_the_data_of_an_arrow_file_are_an_issue(tmp_path: Path) -> None:
    values = pyarrow.table({"path": ["0.wav" + "x" * 40, "1.wav"], "label": ["a", "b"]})
    root = write_arrow(tmp_path / "one", values)
    [file] = [path for path in root.iterdir() if path.suffix == ".arrow"]
    offsets = np.array([0, 45, 50], "<i4").tobytes()
    content = file.read_bytes()
    assert offsets in content
    damaged = np.array([0, 45, 2**31 - 1], "<i4").tobytes()
    file.write_bytes(content.replace(offsets, damaged))
    with pytest.raises(DataError, match="cannot be read"):
        open_source(root)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
@pytest.mark.timeout(60)
@pytest.mark.parametrize("layout", ["parquet", "arrow", "state"])
def test_a_named_pipe_in_place_of_a_table(tmp_path: Path, layout: str) -> None:
    """Reading it would wait for a writer forever."""
    if layout == "parquet":
        os.mkfifo(tmp_path / "train-0.parquet")
    elif layout == "arrow":
        (tmp_path / "state.json").write_text('{"_data_files": [{"filename": "a.arrow"}]}')
        os.mkfifo(tmp_path / "a.arrow")
    else:
        os.mkfifo(tmp_path / "state.json")
    text = issues_of(tmp_path)
    if layout != "state":
        assert "a named pipe, not a table" in text


def test_numbers_of_any_size_in_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "metadata.jsonl"
    path.write_text(f'{{"file_name": "a.wav", "id": {10**40}}}\n')
    assert read_json_lines(path).records[0].cells == {"file_name": "a.wav", "id": str(10**40)}
    path.write_text("[" * 100_000)
    [issue] = read_json_lines(path).issues
    assert issue.line == 1
    assert "nested too deeply" in issue.cause
