"""Truncated and unreadable files in every command that reads audio."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
import soundfile
from small_models import flags
from sound_files import encoded, noise
from training_data import RATE, tone, write_tones

from sonotype.cli.main import run
from sonotype.data.augment.augmented_copies import Waveforms
from sonotype.data.readers.source import SourceOptions, open_source
from sonotype.data.validate import check_sounds
from sonotype.modelfile.model_file import read_card


@pytest.fixture
def tones(tmp_path: Path) -> Path:
    """Tones in class folders, the first of which is cut in its middle."""
    folder = write_tones(tmp_path / "tones", clips=6)
    path = folder / "high" / "beep" / "beep_0.wav"
    path.write_bytes(path.read_bytes()[: 44 + RATE])
    return folder


CAUSE = "is truncated (16000 of 32000 bytes are there)"


def written(path: Path, name: str, seconds: float = 3) -> Path:
    """A whole file of each of three formats, and one that is cut off."""
    audio_spec = {
        "wav": {"format": "WAV", "subtype": "PCM_16"},
        "flac": {"format": "FLAC", "subtype": "PCM_16"},
        "mp3": {"format": "MP3"},
    }[name.partition(".")[2]]
    content = encoded(noise(seconds, rate=RATE), RATE, **audio_spec)
    (path / f"whole_{name}").write_bytes(content)
    (path / f"cut_{name}").write_bytes(content[: len(content) // 2])
    return path / f"cut_{name}"


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3"])
def test_predict_uses_the_readable_part(
    tmp_path: Path, model: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = written(tmp_path, name)
    assert run(["predict", str(model), str(tmp_path), "--format", "csv"]) == 3
    shown = capsys.readouterr()
    rows = {Path(row["file"]).name: row for row in csv.DictReader(io.StringIO(shown.out))}
    assert rows[f"whole_{name}"]["error"] == ""
    assert rows[cut.name]["error"].startswith("is truncated")
    assert rows[cut.name]["category"] in ("high", "low")
    assert 1.2 < float(rows[cut.name]["file_seconds"]) < 1.8
    assert "1 file truncated" in shown.err
    assert run(["predict", str(model), str(cut), "--format", "jsonl"]) == 3
    answer = json.loads(capsys.readouterr().out)
    assert answer["category"] == rows[cut.name]["category"]
    assert answer["error"] == rows[cut.name]["error"]
    assert run(["predict", str(model), str(cut)]) == 3
    assert "error: is truncated" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3"])
def test_windows_before_the_end_are_kept(
    tmp_path: Path, model: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = written(tmp_path, name)
    assert run(["predict", str(model), str(cut), "--hop", "0.5", "--format", "csv"]) == 3
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["start"] for row in rows] == ["0.0", "0.5", ""]
    assert rows[-1]["error"].startswith("is truncated")


def test_any_error_on_a_file_is_a_row(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from sonotype.inference import classifier

    for name in "abcd":
        soundfile.write(tmp_path / f"{name}.wav", tone(400, ord(name)), RATE)
    real = classifier.load_for_clip
    errors = {"b.wav": MemoryError(), "c.wav": RuntimeError("lost\nits way")}

    def failing(path: Path, *arguments: object, **more: object) -> object:
        if error := errors.get(Path(path).name):
            raise error
        return real(path, *arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(classifier, "load_for_clip", failing)
    assert run(["predict", str(model), str(tmp_path), "--format", "csv"]) == 3
    rows = {
        Path(row["file"]).name: row for row in csv.DictReader(io.StringIO(capsys.readouterr().out))
    }
    assert rows["b.wav"]["error"] == "not enough memory"
    assert rows["c.wav"]["error"] == "cannot be read: RuntimeError: lost its way"
    assert all(rows[f"{name}.wav"]["category"] for name in "ad")


def test_data_check_reports_a_truncated_file(
    tones: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["data", "check", str(tones), "--decode"]) == 4
    assert f"beep_0.wav: {CAUSE}" in capsys.readouterr().out
    assert run(["data", "check", str(tones), "--decode", "--use-truncated"]) == 0


def test_training_refuses_a_truncated_file(
    tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert run(["train", str(tones), "--out", str(out), *flags(epochs=1)]) == 4
    assert f"beep_0.wav: {CAUSE}" in capsys.readouterr().err
    assert not out.exists()
    command = ["train", str(tones), "--out", str(out), *flags(epochs=1), "--use-truncated"]
    assert run(command) == 0
    assert read_card(out / "model.safetensors").training["source"]["use_truncated"] is True


def test_training_on_a_truncated_file(tones: Path) -> None:
    manifest = check_sounds(open_source(tones, SourceOptions(use_truncated=True)))
    clip = next(clip for clip in manifest.clips if clip.path.name == "beep_0.wav")
    from sonotype.audio.clip import AudioSpec

    samples = Waveforms([clip], AudioSpec(RATE, 1.0, pad="start"))[0, 0]
    assert abs(samples[: RATE // 2]).max() > 0.2
    assert abs(samples[RATE // 2 :]).max() == 0


def test_evaluation_refuses_a_truncated_file(
    tones: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["evaluate", str(model), str(tones)]) == 4
    assert f"beep_0.wav: {CAUSE}" in capsys.readouterr().err
    assert run(["evaluate", str(model), str(tones), "--use-truncated"]) == 0
