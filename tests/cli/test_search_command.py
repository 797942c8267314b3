"""``sonotype search``: arguments, output, exit codes, and training on what was found."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
import soundfile
from archives import Row, write_part
from small_models import flags, write_model
from training_data import RATE

from sonotype.cli.main import run
from sonotype.core.io import file_sha256
from sonotype.data.annotations.annotated import read_annotated
from sonotype.data.readers.source import open_source
from sonotype.inference.load import load

SECONDS, WINDOWS = 1.0, 8
HZ = {"low": 300.0, "high": 3000.0}


def tone(hz: float, rng: np.random.Generator, seconds: float = SECONDS) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    wave = 0.3 * np.sin(2 * np.pi * hz * rng.uniform(0.95, 1.05) * time)
    return wave + 0.01 * rng.standard_normal(len(time))


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    """Three recordings of low and high tones, their archive, and a query of each tone."""
    root = tmp_path_factory.mktemp("field")
    rng = np.random.default_rng(0)
    rows: list[Row] = []
    for number in range(3):
        path = root / "sounds" / f"Aufnahme ä{number}.wav"
        path.parent.mkdir(exist_ok=True)
        names = ["low", "high"] * (WINDOWS // 2)
        soundfile.write(path, np.concatenate([tone(HZ[name], rng) for name in names]), RATE)
        rows += [(str(path), index * SECONDS, (index + 1) * SECONDS) for index in range(WINDOWS)]
    for name, hz in HZ.items():
        soundfile.write(root / f"{name}.wav", tone(hz, rng), RATE)
    classifier = load(model)
    vectors = [
        window.embedding
        for path in dict.fromkeys(path for path, _, _ in rows)
        for window in classifier.predict_windows(path, SECONDS)
    ]
    for part in range(3):
        chosen = slice(part * WINDOWS, (part + 1) * WINDOWS)
        write_part(
            root / "archive", f"site={part}/part-0.parquet", rows[chosen],
            np.stack(vectors[chosen]), model=str(model), model_sha256=file_sha256(model),
        )  # fmt: skip
    return root


def search(*words: object) -> int:
    return run(["search", *map(str, words)])


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "found.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_from_a_search_to_a_model(
    field: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in HZ:
        words = ("--like", field / f"{name}.wav", "--count", 10, "--label", name)
        out = tmp_path / "found" / name
        assert search(field / "archive", *words, "--out", out, "--format", "raven") == 0
        lines = capsys.readouterr().out.splitlines()
        assert "10 of 24 windows" in lines[0]
        assert all(len(line) <= 80 for line in lines[:-1])
        rows = table(out)
        assert [row["rank"] for row in rows] == [str(rank) for rank in range(1, 11)]
        values = [float(row["similarity"]) for row in rows]
        assert values == sorted(values, reverse=True)
        expected = 0 if name == "low" else 1
        assert {float(row["start"]) % 2 for row in rows} == {expected}
        for row in rows:
            samples, rate = soundfile.read(out / row["clip"])
            whole, _ = soundfile.read(row["path"])
            first = round(float(row["start"]) * rate)
            assert np.allclose(samples, whole[first : first + len(samples)], atol=1e-4)
        assert len(list((out / "labels").iterdir())) == len({row["path"] for row in rows})
    # What was found wrongly is deleted; the clips of both searches are training data.
    clips = tmp_path / "sounds"
    for name in HZ:
        shutil.copytree(tmp_path / "found" / name / "clips", clips, dirs_exist_ok=True)
    next((clips / "low").glob("*.wav")).unlink()
    assert len(open_source(clips, purpose="evaluation").clips) == 19
    run_folder = tmp_path / "run"
    pattern = ["--group-pattern", r"^(.+)_[0-9.]+-[0-9.]+\.wav$"]
    words = ["train", str(clips), "--out", str(run_folder), *pattern]
    options = {"backbone": "none", "epochs": 1}
    assert run([*words, *flags(**options)]) == 0
    assert (run_folder / "model.safetensors").is_file()


def test_the_table_is_a_label_file(field: Path, tmp_path: Path) -> None:
    out = tmp_path / "found"
    words = (field / "archive", "--like", field / "low.wav", "--count", 6, "--label", "low")
    assert search(*words, "--out", out) == 0
    found = out / "found.csv"
    listing = read_annotated(found, annotated=str(found))
    events = [event for one in listing.recordings for event in one.events]
    assert sum(len(one.spans) for one in listing.recordings) == 6, "and no other part"
    assert {event.label for event in events} == {"low"}
    assert len(events) == 6


def test_the_part_of_a_recording_is_a_query(
    field: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    recording = next((field / "sounds").glob("*1.wav"))
    words = (field / "archive", "--like", recording, "--start", 3, "--end", 4, "--count", 5)
    assert search(*words) == 0
    assert "left out as the query itself: 1" in capsys.readouterr().out
    [out] = tmp_path.iterdir()
    assert out.name == f"found_{recording.stem}"
    rows = table(out)
    assert (str(recording), "3") not in {(row["path"], row["start"]) for row in rows}
    assert {float(row["start"]) % 2 for row in rows} == {1}
    assert search(*words, "--out", tmp_path / "all", "--keep-copies") == 0
    first = table(tmp_path / "all")[0]
    assert (first["path"], first["start"]) == (str(recording), "3")
    assert float(first["similarity"]) > 0.999


def test_several_queries(field: Path, tmp_path: Path) -> None:
    both = ("--like", field / "low.wav", "--like", field / "high.wav", "--count", 24)
    assert search(field / "archive", *both, "--combine", "best", "--out", tmp_path / "best") == 0
    assert search(field / "archive", *both, "--out", tmp_path / "mean") == 0
    best, mean = (
        np.mean([float(row["similarity"]) for row in table(tmp_path / name)])
        for name in ("best", "mean")
    )
    assert best != pytest.approx(mean)


def test_a_recording_that_is_gone(
    field: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    archive = tmp_path / "archive"
    shutil.copytree(field / "archive", archive, ignore=shutil.ignore_patterns("index"))
    rows = [("gone/a.wav", 0.0, 1.0), ("s3://bucket/b.wav", 0.0, 1.0)]
    part = next((archive / "rows").rglob("*.parquet"))
    vectors = np.random.default_rng(0).standard_normal((2, features_of(archive)))
    write_part(
        archive, "part-9.parquet", rows, vectors, model=str(model),
        model_sha256=file_sha256(model),
    )  # fmt: skip
    part.write_bytes(b"damaged")
    monkeypatch.chdir(tmp_path)
    words = (archive, "--like", field / "low.wav", "--count", 30, "--out", tmp_path / "found")
    assert search(*words) == 3
    out = capsys.readouterr().out
    assert "1 part" in out
    assert "could not read 2 recordings" in out
    found = table(tmp_path / "found")
    assert len(found) == 18
    by_path = {row["path"]: row for row in found}
    assert by_path["s3://bucket/b.wav"]["clip"] == ""
    assert by_path["gone/a.wav"]["clip"] == ""
    assert "start the search in the folder in which sonotype embed was started" in out
    assert all((tmp_path / "found" / row["clip"]).is_file() for row in found if row["clip"])


def features_of(archive: Path) -> int:
    """The size of the embeddings of an archive."""
    part = next((archive / "rows").rglob("*.parquet"))
    size: int = pq.read_schema(part).field("embedding").type.list_size
    return size


Change = Callable[[Path], object]


@pytest.mark.parametrize(
    ("words", "code", "words_of_error"),
    [
        (["arch", "--like", "low.wav"], 2, ["arch", "no such folder"]),
        (["sounds", "--like", "low.wav"], 2, ["sounds", "is no archive"]),
        (["archive"], 2, ["--like"]),
        (["archive", "--like", "lo.wav"], 3, ["lo.wav"]),
        (["archive", "--like", "notes.txt"], 3, ["notes.txt"]),
        (["archive", "--like", "low.wav", "--start", "3"], 3, ["low.wav", "the start is at 3 s"]),
        (["archive", "--like", "low.wav", "--start", "1", "--end", "1"], 2, ["--end 1"]),
        (["archive", "--like", "long.wav"], 2, ["long.wav", "60 s", "--start"]),
        (["archive", "--like", "low.wav", "--out", "sounds"], 2, ["--out sounds", "empty folder"]),
        (["archive", "--like", "low.wav", "--label", "a;b"], 2, ["--label", "';'"]),
        (["archive", "--like", "low.wav", "--format", "csv"], 2, ["--format", "raven"]),
        (["archive", "--like", "low.wav", "--count", "0"], 2, ["--count"]),
        (["archive", "--like", "low.wav", "--model", "m"], 2, ["--model m", "no such file"]),
        (["archive", "--like", "low.wav", "--model", "builtin"], 2, ["is not the model"]),
    ],
)
def test_wrong_arguments(
    field: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], words: list[str], code: int, words_of_error: list[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    for name in ("archive", "sounds", "low.wav"):
        Path(name).symlink_to(field / name)
    Path("notes.txt").write_text("no sound")
    if "long.wav" in words:
        soundfile.write("long.wav", np.zeros(61 * RATE), RATE)
    before = sorted(tmp_path.iterdir())
    assert search(*words) == code
    error = capsys.readouterr().err
    assert all(word in error for word in words_of_error)
    assert sorted(tmp_path.iterdir()) == before


def test_the_model_was_moved_or_changed(
    field: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = shutil.copy(model, tmp_path / "here.safetensors")
    archive = tmp_path / "archive"
    vectors = np.ones((1, features_of(field / "archive")))
    gone = tmp_path / "gone.safetensors"
    write_part(
        archive, "part-0.parquet", [("a.wav", 0.0, 1.0)], vectors, model=str(gone),
        model_sha256=file_sha256(model),
    )  # fmt: skip
    words = (archive, "--like", field / "low.wav", "--min-similarity", 1)
    assert search(*words, "--out", tmp_path / "found") == 1
    error = capsys.readouterr().err
    assert all(word in error for word in (str(gone), "is not there", "--model"))
    write_model(gone, seed=2)
    assert search(*words, "--out", tmp_path / "found") == 1
    assert "not of the present one" in capsys.readouterr().err
    assert search(*words, "--out", tmp_path / "found", "--model", here) == 0
    assert capsys.readouterr().out.startswith("0 of 1 windows")
    assert not (tmp_path / "found").exists()


def test_windows_that_embed_wrote_are_searched(tmp_path: Path) -> None:
    """The metadata of the embeddings name the model, and the ends are those of the recordings."""
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    for number, hz in enumerate((300.0, 310.0, 3000.0)):
        soundfile.write(
            sounds / f"{number}.wav",
            tone(hz, np.random.default_rng(number), 1.5),
            RATE,
            subtype="PCM_16",
        )
    model = write_model(tmp_path / "model.safetensors")
    archive = tmp_path / "archive"
    options = ["--hop", "0.5", "--workers", "1"]
    assert run(["embed", str(model), str(sounds), "--out", str(archive), *options]) == 0
    table = pyarrow.dataset.dataset(archive / "rows", partitioning="hive").to_table()
    assert max(table.column("end").to_pylist()) == 1.5
    out = tmp_path / "found"
    query = ["--like", str(sounds / "0.wav"), "--start", "0", "--end", "1", "--out", str(out)]
    assert run(["search", str(archive), *query, "--count", "2"]) == 0
    lines = (out / "found.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 3
    assert "0.wav" in lines[1] or "1.wav" in lines[1], "the windows of the same or a near tone"


def relative_archive(field: Path, model: Path, root: Path, names: list[str], **info: str) -> Path:
    """An archive of relative paths, each with the first two windows of a recording."""
    vectors = np.stack(
        [one.embedding for one in load(model).predict_windows(field / "low.wav", SECONDS)]
    )
    rows = [(name, start, start + 1.0) for name in names for start in (0.0, 1.0)]
    write_part(
        root / "archive", "part-0.parquet", rows, np.repeat(vectors, len(rows), axis=0),
        model=str(model), model_sha256=file_sha256(model), **info,
    )  # fmt: skip
    return root / "archive"


def test_relative_paths_are_relative_to_the_folder_of_embed(
    field: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded, here = tmp_path / "embedded", tmp_path / "here"
    for folder, value in ((embedded, 0.25), (here, 0.5)):
        (folder / "site").mkdir(parents=True)
        soundfile.write(folder / "site" / "a.wav", np.full(2 * RATE, value), RATE)
    archive = relative_archive(field, model, tmp_path, ["site/a.wav"], folder=str(embedded))
    monkeypatch.chdir(here)
    words = (archive, "--like", field / "low.wav", "--keep-copies", "--out", "found")
    assert search(*words) == 0
    for row in table(here / "found"):
        assert row["path"] == str(embedded / "site/a.wav")
        assert np.allclose(soundfile.read(here / "found" / row["clip"])[0], 0.25, atol=1e-4)
    (embedded / "site" / "a.wav").unlink()
    assert search(*words[:-1], "gone") == 3
    assert {row["clip"] for row in table(here / "gone")} == {""}


def test_another_recording_of_the_same_relative_path_is_not_cut(
    field: Path,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    archive = relative_archive(field, model, tmp_path, ["long.wav", "short.wav"])
    soundfile.write(tmp_path / "long.wav", np.zeros(2 * RATE), RATE)
    soundfile.write(tmp_path / "short.wav", np.zeros(RATE), RATE)
    monkeypatch.chdir(tmp_path)
    words = (archive, "--like", field / "low.wav", "--keep-copies", "--out", "found")
    assert search(*words) == 3
    out = capsys.readouterr().out
    assert "could not read 1 recording" in out
    assert "short.wav: cannot be found" in out
    assert "start the search in the folder in which sonotype embed was started" in out
    clips = {row["path"]: row["clip"] for row in table(tmp_path / "found")}
    assert clips["short.wav"] == ""
    assert (tmp_path / "found" / clips[str(tmp_path / "long.wav")]).is_file()


def test_a_window_of_almost_no_sound_is_not_found(field: Path, model: Path, tmp_path: Path) -> None:
    vectors = np.stack(
        [one.embedding for one in load(model).predict_windows(field / "low.wav", SECONDS)]
    )
    ends = {"a.wav": [(0.0, 1.0), (1.0, 1.001)], "b.wav": [(0.0, 0.3)], "c.wav": [(1.0, 1.5)]}
    rows = [(str(tmp_path / name), *span) for name, spans in ends.items() for span in spans]
    for name in ends:
        soundfile.write(tmp_path / name, np.zeros(2 * RATE), RATE)
    write_part(
        tmp_path / "archive", "part-0.parquet", rows, np.repeat(vectors, len(rows), axis=0),
        model=str(model), model_sha256=file_sha256(model),
    )  # fmt: skip
    out = tmp_path / "found"
    words = (tmp_path / "archive", "--like", field / "low.wav", "--keep-copies")
    assert search(*words, "--out", out) == 0
    found = {(Path(row["path"]).name, row["start"], row["end"]) for row in table(out)}
    assert found == {("a.wav", "0", "1"), ("b.wav", "0", "0.3"), ("c.wav", "1", "1.5")}


@pytest.mark.skipif(os.name == "nt", reason="names are text")
def test_clips_of_names_that_are_not_utf8_and_of_shorter_recordings(
    field: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/odd \xff.wav")
    soundfile.write(tmp_path / "odd.wav", np.full(2 * RATE, 0.25), RATE)
    Path(tmp_path / "odd.wav").rename(odd)
    soundfile.write(tmp_path / "cut.wav", np.zeros(RATE), RATE)
    names = [f"{tmp_path}/odd \\udcff.wav", f"{tmp_path}/cut.wav"]
    archive = relative_archive(field, model, tmp_path, names)
    out = tmp_path / "found"
    words = (archive, "--like", field / "low.wav", "--keep-copies", "--out", out)
    assert search(*words) == 3
    assert "cut.wav: ends before a found window" in capsys.readouterr().out
    clips = {(row["path"], row["start"]): row["clip"] for row in table(out)}
    assert clips.pop((names[1], "1")) == ""
    assert len(clips) == 3
    assert all((out / clip).is_file() for clip in clips.values())
