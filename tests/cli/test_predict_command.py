from __future__ import annotations

import csv
import io
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from heads import deep_heads, two_heads
from small_models import CATEGORIES, EVENTS, write_model
from training_data import RATE, tone, write_tones

import sonotype
from sonotype.cli.main import run
from sonotype.cli.prediction_output import write
from sonotype.data.readers.walk import BROKEN_LINK
from sonotype.data.suffixes import COMMON_SOUNDS, SOUND_SUFFIXES
from sonotype.inference.prediction import Failure, Prediction

KEYS = [
    "file",
    "category",
    "category_probability",
    "event",
    "event_probability",
    "unknown_score",
    "is_unknown",
    "top",
    "file_seconds",
    "clip_seconds",
    "error",
]


@pytest.fixture(scope="module")
def coarse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "coarse.safetensors", CATEGORIES)


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    """Sounds on three levels, a file of another kind, and a hidden one."""
    folder = tmp_path / "field"
    for name in ("b.wav", "a.FLAC", "night/c.wav", "night/deep/d.ogg"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, tone(100.0 * (ord(name[-5]) - 90), 1), RATE)
    (folder / "notes.txt").write_text("no sound")
    (folder / ".hidden.wav").write_text("no sound")
    return folder


SORTED = ["a.FLAC", "b.wav", "night/c.wav", "night/deep/d.ogg"]


def table_rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def csv_rows(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


def test_a_table_of_a_folder(model: Path, sounds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["predict", str(model), str(sounds)]) == 0
    output = capsys.readouterr()
    assert output.err == ""
    header, *rows = table_rows(output.out)
    assert header == ["file", "category", "most", "probable", "events"]
    assert [row[0] for row in rows] == SORTED, "sorted, and named below the folder in common"
    loaded = sonotype.load(model)
    for row in rows:
        answer = loaded.predict(sounds / row[0])
        category = answer.labels["category"]
        share = answer.probabilities["category"][category]
        assert row[1:3] == [category, f"{share:.2f}"]
        wanted = ", ".join(f"{label} {value:.2f}" for label, value in answer.top(3))
        assert " ".join(row[3:]) == wanted


@pytest.mark.parametrize(("top", "shown"), [(1, 1), (50, 4)])
def test_top_of_the_table(
    model: Path, sounds: Path, capsys: pytest.CaptureFixture[str], top: int, shown: int
) -> None:
    assert run(["predict", str(model), str(sounds / "b.wav"), "--top", str(top)]) == 0
    (row,) = table_rows(capsys.readouterr().out)[1:]
    assert sum(word in EVENTS for word in row) == shown
    assert row[0] == "b.wav"


def test_a_model_without_events(
    coarse: Path, sounds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["predict", str(coarse), str(sounds / "b.wav"), "--top", "2"]
    assert run(argv) == 0
    header, row = table_rows(capsys.readouterr().out)
    assert header == ["file", "category", "most", "probable", "categories"]
    assert row[1] == row[3], "the best of the list is the answer"
    assert {row[3], row[5]} == {"high", "low"}
    assert run([*argv, "--format", "jsonl"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert list(values) == KEYS
    assert (values["event"], values["event_probability"]) == (None, None)
    assert [entry["label"] for entry in values["top"]] == [row[3], row[5]]


def test_csv(model: Path, sounds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["predict", str(model), str(sounds), "--format", "csv", "--top", "2"]) == 0
    text = capsys.readouterr().out
    assert "\r" not in text
    header, *rows = csv_rows(text)
    assert header == [
        "file",
        "category",
        "category_probability",
        "event",
        "event_probability",
        "unknown_score",
        "is_unknown",
        "label_1",
        "probability_1",
        "label_2",
        "probability_2",
        "file_seconds",
        "clip_seconds",
        "error",
    ]
    assert [row[0] for row in rows] == [str(sounds / name) for name in SORTED]
    loaded = sonotype.load(model)
    for row in rows:
        answer = loaded.predict(row[0])
        (first, share), (second, next_share) = answer.top(2)
        category = answer.labels["category"]
        assert (row[1], row[3], row[7], row[9]) == (category, first, first, second)
        found = [float(row[place]) for place in (2, 4, 8, 10, 11, 12)]
        wanted = [answer.probabilities["category"][category], share, share, next_share, 1, 1]
        assert found == pytest.approx(wanted, abs=1e-5)
        assert row[5:7] == ["", ""], "this model has no unknown score"
        assert row[13] == ""


@pytest.mark.parametrize(("kind", "top"), [("model", 1), ("coarse", 9)])
def test_csv_has_as_many_columns_in_every_row(
    request: pytest.FixtureRequest,
    sounds: Path,
    capsys: pytest.CaptureFixture[str],
    kind: str,
    top: int,
) -> None:
    (sounds / "broken.wav").write_bytes(b"")
    path = request.getfixturevalue(kind)
    argv = ["predict", str(path), str(sounds), "--format", "csv", "--top", str(top)]
    assert run(argv) == 3
    rows = csv_rows(capsys.readouterr().out)
    assert {len(row) for row in rows} == {10 + 2 * top}
    errors = {Path(row[0]).name: row[-1] for row in rows[1:]}
    assert errors.pop("broken.wav") == "is empty (0 bytes)"
    assert set(errors.values()) == {""}


def test_json_lines(model: Path, sounds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["predict", str(model), str(sounds), str(sounds / "none.wav"), "--format", "jsonl"]
    assert run([*argv, "--top", "1"]) == 3
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [list(row) for row in rows] == [KEYS] * 5
    for row in rows[:4]:
        answer = sonotype.load(model).predict(row["file"])
        assert row["category"] == answer.labels["category"]
        assert row["event"] == answer.label == row["top"][0]["label"]
        assert row["event_probability"] == row["top"][0]["probability"]
        assert row["event_probability"] == pytest.approx(answer.top(1)[0][1], abs=1e-5)
        assert len(row["top"]) == 1
        assert row["error"] is None
    assert rows[4] == dict.fromkeys(KEYS) | {
        "file": str(sounds / "none.wav"),
        "top": [],
        "error": "does not exist",
    }


@pytest.mark.parametrize("form", ["table", "jsonl"])
def test_a_file_has_the_same_text_as_the_terminal(
    model: Path, sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    argv = ["predict", str(model), str(sounds), "--format", form]
    assert run(argv) == 0
    shown = capsys.readouterr().out
    out = tmp_path / "predictions"
    out.write_text("of an earlier run, much longer than what comes now " * 100)
    before = out.read_text()
    assert run([*argv, "--out", str(out)]) == 2
    assert out.read_text() == before
    error = capsys.readouterr().err
    assert f"--out {out}: exists" in error
    assert "--force" in error
    assert run([*argv, "--out", str(out), "--force"]) == 0
    output = capsys.readouterr()
    assert (output.out, output.err) == ("", "")
    assert out.read_text() == shown
    assert list(tmp_path.glob("*.part")) == []


def test_an_unreadable_file_is_a_row_and_an_exit_code(
    model: Path, sounds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (sounds / "night" / "bad.wav").write_text("no sound")
    assert run(["predict", str(model), str(sounds), str(sounds / "none.wav")]) == 3
    output = capsys.readouterr()
    rows = {row[0]: row[1:] for row in table_rows(output.out)}
    assert rows["night/bad.wav"][:6] == ["error", "is", "not", "a", "readable", "sound"]
    assert rows["none.wav"] == ["error", "does", "not", "exist"]
    assert rows["b.wav"][0] in ("high", "low")
    assert output.err == "could not read 2 of 6 files\n"


@pytest.mark.parametrize(
    ("options", "count", "note"),
    [
        ({}, 1, "note: used only the first 1 s of 1 file\n"),
        ({"crop": "centre"}, 2, "note: used only the middle 1 s of 2 files\n"),
    ],
)
def test_long_files_get_a_note(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: dict[str, str],
    count: int,
    note: str,
) -> None:
    model = write_model(tmp_path / "model.safetensors", **options)
    paths = [tmp_path / f"{number}.wav" for number in range(count + 1)]
    for number, path in enumerate(paths):
        soundfile.write(path, tone(300, 1, 2.5 if number else 1), RATE)
    assert run(["predict", str(model), *map(str, paths)]) == 0
    output = capsys.readouterr()
    assert output.err == note
    assert len(output.out.splitlines()) == 1 + len(paths)


def test_an_empty_folder(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty" / "inner").mkdir(parents=True)
    (tmp_path / "empty" / "notes.txt").write_text("no sound")
    assert run(["predict", str(model), str(tmp_path / "empty")]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert f"{tmp_path / 'empty'}: contains no sound files (wav, flac, " in output.err
    assert f"{len(SOUND_SUFFIXES) - len(COMMON_SOUNDS)} other suffixes" in output.err
    assert len(output.err) < 200 + len(str(tmp_path))


def test_a_place_that_cannot_be_written(
    model: Path, sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "nowhere" / "predictions.csv"
    assert run(["predict", str(model), str(sounds), "--out", str(out)]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == f"error: {out}: cannot be written (No such file or directory)\n"
    assert run(["predict", str(model), str(sounds), "--out", str(tmp_path)]) == 2
    assert f"--out {tmp_path}: is a folder" in capsys.readouterr().err


def test_a_full_disk_under_standard_output(
    model: Path, sounds: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", Full())
        code = run(["predict", str(model), str(sounds), "--format", "csv"])
    assert code == 1
    assert capsys.readouterr().err == (
        "error: standard output: cannot be written (No space left on device)\n"
    )


def test_wrong_format(model: Path, sounds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["predict", str(model), str(sounds), "--format", "xml"]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert "--format" in last
    assert all(name in last for name in ("table", "csv", "jsonl"))


def test_an_invalid_model_file(sounds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    notes = (sounds / "notes.txt").rename(sounds / "notes.safetensors")
    assert run(["predict", str(notes), str(sounds)]) == 6
    assert capsys.readouterr().err.startswith(f"error: {notes}: ")


def test_a_device_that_is_not_there(
    model: Path, sounds: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert run(["predict", str(model), str(sounds), "--device", "cuda"]) == 2
    assert "cuda" in capsys.readouterr().err


def test_sources_of_the_category(
    model: Path, sounds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for how in ("head", "events", "both"):
        argv = ["predict", str(model), str(sounds / "b.wav"), "--format", "jsonl"]
        assert run([*argv, "--category-source", how]) == 0
        row = json.loads(capsys.readouterr().out)
        answer = sonotype.load(model, category_source=how).predict(sounds / "b.wav")  # type: ignore[arg-type]
        wanted = answer.probabilities["category"][answer.labels["category"]]
        assert row["category_probability"] == pytest.approx(wanted, abs=1e-5)


def test_the_batch_size_changes_nothing(
    model: Path, sounds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["predict", str(model), str(sounds)])
    plain = capsys.readouterr().out
    run(["predict", str(model), str(sounds), "--batch-size", "3"])
    assert capsys.readouterr().out == plain


def test_names_are_text_not_markup(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["[red]x.wav", "[/red]y.wav", "Ärger.wav", "鳥.wav", "a\tb\x1b[31m.wav"]
    (tmp_path / "[").mkdir()
    for name in names:
        soundfile.write(tmp_path / name, tone(300, 1), RATE)
    paths = [str(tmp_path / name) for name in names]
    assert run(["predict", str(model), *paths]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    shown = ["[red]x.wav", "[/red]y.wav", "Ärger.wav", "鳥.wav", "a b?[31m.wav"]
    assert [line.partition("  ")[0] for line in lines] == shown
    assert run(["predict", str(model), *paths, "--format", "jsonl"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["file"] for row in rows] == paths


@pytest.mark.parametrize("form", ["table", "csv", "jsonl"])
def test_a_name_that_is_not_utf_8(tmp_path: Path, form: str) -> None:
    """Such names exist on Linux; one of them must not end a long run."""
    name = os.fsdecode(b"\xff.wav")
    out = tmp_path / "predictions"
    write([Failure(name, "is empty")], form, 3, out)
    text = out.read_text(encoding="utf-8")
    if form == "jsonl":
        assert json.loads(text)["file"] == name
    else:
        assert {"table": "?.wav", "csv": "\\udcff.wav"}[form] in text


def test_results_are_written_one_by_one(tmp_path: Path) -> None:
    """A run of hours that is stopped leaves what it has found."""
    out = tmp_path / "predictions"
    seen: list[int] = []

    def answers() -> object:
        for number in range(3):
            yield Failure(f"{number}.wav", "is empty")
            assert not out.exists()
            seen.append(len((tmp_path / "predictions.part").read_text().splitlines()))

    write(answers(), "jsonl", 3, out)  # type: ignore[arg-type]
    assert seen == [1, 2, 3]
    assert len(out.read_text().splitlines()) == 3
    assert not (tmp_path / "predictions.part").exists()


def test_a_long_table_row_is_folded_not_cut(tmp_path: Path) -> None:
    name = "a_very_long_name_" * 5 + ".wav"
    heads = two_heads(("cat",), tuple(f"a label of some length {n}" for n in range(10)), (0,) * 10)
    proba = {"category": np.ones(1), "event": np.full(10, 0.1)}
    answer = Prediction(name, heads, proba, np.zeros(128, np.float32), (), 1.0, 1.0)
    out = tmp_path / "predictions"
    write([answer], "table", 10, out)
    lines = out.read_text().splitlines()
    assert max(map(len, lines)) <= 80
    assert "".join(line[:34].strip() for line in lines[1:]) == name
    words = " ".join(" ".join(line[34:].split()) for line in lines[1:])
    assert all(f"length {number} 0.10" in words for number in range(10))
    assert "…" not in out.read_text()


def test_three_levels(tmp_path: Path) -> None:
    proba = {
        "category": np.array([0.75, 0.25]),
        "event": np.array([0.125, 0.5, 0.375]),
        "level_3": np.array([0.125, 0.125, 0.0625, 0.625, 0.0625]),
    }
    found = Prediction("a.wav", deep_heads(), proba, np.zeros(128, np.float32), (), 1.0, 1.0)
    levels = [head.name for head in deep_heads()]
    for form in ("table", "csv", "jsonl"):
        write([found, Failure("b.wav", "is empty")], form, 2, tmp_path / form, levels=levels)
    header, row, failed = table_rows((tmp_path / "table").read_text())
    assert header == ["file", "category", "event", "most", "probable", "labels", "of", "level_3"]
    assert row == ["a.wav", "x", "0.75", "b", "0.50", "b2", "0.62,", "a1", "0.12"]
    assert failed == ["b.wav", "error", "is", "empty"]
    row, failed = csv.DictReader(io.StringIO((tmp_path / "csv").read_text()))
    assert (row["category"], row["event"], row["event_probability"]) == ("x", "b", "0.5")
    assert (row["level_3"], row["level_3_probability"]) == ("b2", "0.625")
    assert (failed["level_3"], failed["error"]) == ("", "is empty")
    assert (row["label_1"], row["probability_1"], row["label_2"]) == ("b2", "0.625", "a1")
    values, failed = map(json.loads, (tmp_path / "jsonl").read_text().splitlines())
    assert list(values) == list(failed) == [
        *KEYS[:5], "level_3", "level_3_probability", *KEYS[5:],
    ]  # fmt: skip
    assert (values["level_3"], values["level_3_probability"]) == ("b2", 0.625)


def test_a_reader_that_leaves_early_ends_it_quietly(model: Path, tmp_path: Path) -> None:
    tones = write_tones(tmp_path / "tones", clips=3)
    command = shlex.join([sys.executable, "-m", "sonotype", "predict", str(model), str(tones)])
    done = subprocess.run(
        ["bash", "-c", f"{command} --format csv --batch-size 1 | head -n 1"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""


# Outputs


@pytest.mark.parametrize(
    ("name", "kind"),
    [("b.WAV", "a sound"), ("new.mp3", "a sound"), ("m.onnx", "a model"), ("m.ckpt", "a model")],
)
def test_predictions_never_go_into_sounds_or_models(
    model: Path,
    sounds: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    kind: str,
) -> None:
    out = tmp_path / name
    if name != "new.mp3":
        out.write_text("mine")
    argv = ["predict", str(model), str(sounds), "--out", str(out), "--force"]
    assert run(argv) == 2
    assert f"--out {out}: has the suffix of {kind}" in capsys.readouterr().err
    assert (out.read_text() if out.exists() else "mine") == "mine"


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_predictions_never_replace_an_input(
    model: Path, sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], force: list[str]
) -> None:
    """Whatever it is called: the sound, a sound in the folder, the model, the one beside it."""
    odd = (sounds / "b.wav").rename(sounds / "b")
    other = tmp_path / "other"
    other.write_bytes(model.read_bytes())
    link = tmp_path / "link.csv"
    for out, source, paths in (
        (odd, odd, [odd]),
        (link, sounds / "night/c.wav", [sounds]),
        (link, model, [odd]),
        (other, other, [odd, "--also", other]),
    ):
        if out == link:
            link.unlink(missing_ok=True)
            link.symlink_to(source)
        before = source.read_bytes()
        argv = ["predict", str(model), *map(str, paths), "--out", str(out), *force]
        assert run(argv) == 2
        assert f"--out {out}: is an input ({source})" in capsys.readouterr().err
        assert source.read_bytes() == before


def test_standard_output_by_its_names(
    model: Path, sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    argv = ["predict", str(model), str(sounds), "--format", "csv"]
    assert run(argv) == 0
    shown = capsys.readouterr().out
    for name in ("-", "/dev/stdout"):
        assert run([*argv, "--out", name]) == 0
        assert capsys.readouterr().out == shown
    assert run([*argv, "--out", "/dev/null"]) == 0
    assert capsys.readouterr().out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["field"]


def test_an_interrupted_run_keeps_its_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def answers() -> Iterator[Failure]:
        yield Failure("a.wav", "is empty")
        raise KeyboardInterrupt

    out, part = tmp_path / "out.csv", tmp_path / "out.csv.part"
    with pytest.raises(KeyboardInterrupt):
        write(answers(), "csv", 1, out)
    assert [row[0] for row in csv_rows(part.read_text())] == ["file", "a.wav"]
    assert not out.exists()
    assert str(part) in capsys.readouterr().err


def test_an_invalid_option_leaves_no_part(model: Path, sounds: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "out.csv"
    out.parent.mkdir()
    argv = ["predict", str(model), str(sounds), "--hop", "0", "--format", "csv"]
    assert run([*argv, "--out", str(out)]) == 2
    assert list(out.parent.iterdir()) == []


# Inputs


def test_each_file_once_in_order(
    model: Path, sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (sounds / "gone.wav").symlink_to("nothing.wav")
    (sounds / "loop").symlink_to(".")
    os.mkfifo(sounds / "pipe.wav")
    first = sounds / "night" / "c.wav"
    argv = ["predict", str(model), str(first), str(sounds), str(sounds / "b.wav"), str(first)]
    for extra in ([], ["--hop", "1"]):
        assert run([*argv, "--format", "csv", *extra]) == 3
        shown = capsys.readouterr()
        rows = {row[0]: row[-1] for row in csv_rows(shown.out)[1:]}
        assert list(rows) == [str(first)] + [
            str(sounds / name)
            for name in ("a.FLAC", "b.wav", "gone.wav", "night/deep/d.ogg", "pipe.wav")
        ]
        assert {Path(name).name: cause for name, cause in rows.items() if cause} == {
            "gone.wav": BROKEN_LINK,
            "pipe.wav": "is a named pipe, not a sound file",
        }
        assert shown.err.startswith("could not read 2 of 6 files")


@pytest.mark.parametrize("name", ["p", "p.wav", "/dev/null", "t.csv", "best.ckpt"])
def test_files_that_are_not_audio(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    path = tmp_path / name
    if name.startswith("p"):
        os.mkfifo(path)
    elif not path.exists():
        path.write_text("path,label\n")
    assert run(["predict", str(model), str(path), "--format", "jsonl"]) == 3
    cause = json.loads(capsys.readouterr().out)["error"]
    kinds = {
        "p": "is a named pipe",
        "p.wav": "is a named pipe",
        "/dev/null": "is a device",
        "t.csv": "is a table",
        "best.ckpt": "is a checkpoint",
    }
    assert cause.startswith(kinds[name])
    assert "not a sound" in cause


def test_models_among_the_sounds(
    model: Path, sounds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["predict", str(sounds), str(model)]) == 2
    assert f"{model} is a model, not a sound; put it before" in capsys.readouterr().err
    assert run(["predict", str(model), str(sounds), str(model)]) == 2
    assert f"{model} is a model, not a sound; use --also" in capsys.readouterr().err
    assert run(["predict", str(model)]) == 2
    assert f"{model} is a model; add sound files" in capsys.readouterr().err


class Piped(io.TextIOWrapper):
    terminal = False

    def isatty(self) -> bool:
        return self.terminal


@pytest.mark.parametrize(("name", "extra"), [("-", []), ("/dev/stdin", ["--hop", "1"])])
def test_a_sound_from_standard_input(
    model: Path, sounds: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    name: str, extra: list[str],
) -> None:  # fmt: skip
    sound = sounds / "b.wav"
    argv = ["predict", str(model), "--format", "jsonl", *extra]
    assert run([*argv, str(sound)]) == 0
    wanted = json.loads(capsys.readouterr().out) | {"file": "<stdin>"}
    monkeypatch.setattr(sys, "stdin", Piped(io.BytesIO(sound.read_bytes())))
    assert run([*argv, name]) == 0
    assert json.loads(capsys.readouterr().out) == wanted
    for content, cause in ((b"", "is empty (0 bytes)"), (b"no sound", "is not a readable sound (")):
        monkeypatch.setattr(sys, "stdin", Piped(io.BytesIO(content)))
        assert run([*argv, name]) == 3
        row = json.loads(capsys.readouterr().out)
        assert row["file"] == "<stdin>"
        assert row["error"].startswith(cause)


def test_a_terminal_is_not_read(
    model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Piped, "terminal", True)
    monkeypatch.setattr(sys, "stdin", Piped(io.BytesIO(b"x")))
    assert run(["predict", str(model), "-", "--format", "jsonl"]) == 3
    assert json.loads(capsys.readouterr().out)["error"].startswith("is a terminal")
