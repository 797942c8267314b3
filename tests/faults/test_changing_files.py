"""Files that change or vanish while they are read: a clear error or row, and the others go on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_detector import FakeDetector, job
from small_models import write_model
from sound_files import encoded, noise
from training_data import RATE, SMALL, write_tones

import sonotype
from sonotype.audio.stream import stream
from sonotype.cli.main import run
from sonotype.core.errors import SonotypeError
from sonotype.doctor import examine
from sonotype.experiments import pipeline

CHANGES: dict[str, Callable[[Path], object]] = {
    "vanishes": lambda path: path.unlink(),
    "is cut off": lambda path: path.write_bytes(path.read_bytes()[:30]),
    "is another file": lambda path: path.write_bytes(b"no sound " * 100),
}


@pytest.fixture
def tones(tmp_path: Path) -> Path:
    return write_tones(tmp_path / "tones", clips=4)


@pytest.fixture(params=CHANGES)
def change(request: pytest.FixtureRequest) -> Callable[[Path], object]:
    return CHANGES[request.param]


def test_prediction(
    tones: Path, tmp_path: Path, change: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file changes after the list of files was made."""
    model, out = write_model(tmp_path / "model.safetensors"), tmp_path / "found.jsonl"
    from sonotype.inference import classifier

    victim, decode = tones / "low" / "hum" / "hum_2.wav", classifier.load_for_clip

    def changed(source: Any, *arguments: Any, **options: Any) -> Any:
        if Path(source) == victim:
            change(victim)
        return decode(source, *arguments, **options)

    monkeypatch.setattr(classifier, "load_for_clip", changed)
    assert run(["predict", str(model), str(tones), "--format=jsonl", "--out", str(out)]) == 3
    rows = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert len(rows) == 16
    assert [Path(row["file"]).name for row in rows if row["error"]] == ["hum_2.wav"]


def test_detection(tones: Path, tmp_path: Path, change: Callable[[Path], object]) -> None:
    """The recording changes just before it is read; once it is whole again, it is read again."""
    victim = tones / "low" / "hum" / "hum_2.wav"
    content = victim.read_bytes()

    class Changed(FakeDetector):
        def detect(self, path: Path, **options: Any) -> Any:
            if path == victim:
                change(path)
            return super().detect(path, **options)

    first = job([tones], tmp_path / "out", detector=Changed())
    assert [path for path, _ in first.first_failures] == [victim]
    assert (first.recordings, first.detected) == (16, 16)
    victim.write_bytes(content)
    again = FakeDetector()
    assert job([tones], tmp_path / "out", detector=again, retry=True).failures == 0
    assert again.read == [victim]


def test_a_recording_that_is_replaced_while_it_is_read(tones: Path, tmp_path: Path) -> None:
    """Its result is of the file before; the next start reads the new file."""
    victim, other = tones / "low" / "hum" / "hum_2.wav", tones / "high" / "beep" / "beep_0.wav"

    class Replaced(FakeDetector):
        def detect(self, path: Path, **options: Any) -> Any:
            found = super().detect(path, **options)
            if path == victim:
                path.write_bytes(other.read_bytes() + b"\0\0")
            return found

    job([tones], tmp_path / "out", detector=Replaced())
    again = FakeDetector()
    job([tones], tmp_path / "out", detector=again)
    assert again.read == [victim]


FORMATS: dict[str, dict[str, str]] = {
    "wav": {"format": "WAV", "subtype": "PCM_16"},
    "flac": {"format": "FLAC", "subtype": "PCM_16"},
    "mp3": {"format": "MP3"},
    "ogg": {"format": "OGG", "subtype": "VORBIS"},
    "opus": {"format": "OGG", "subtype": "OPUS"},
}


def changed_while_read(path: Path, change: Callable[[], object]) -> tuple[np.ndarray, str]:
    """The samples of a file that changes after some blocks, and the error."""
    blocks: list[np.ndarray] = []
    try:
        for number, samples in enumerate(stream(path, block=1000)):
            blocks.append(samples)
            if number == 10:
                change()
    except SonotypeError as error:
        return np.concatenate(blocks), str(error)
    return np.concatenate(blocks), ""


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("rest", ["a quarter", "another file"])
def test_a_file_that_is_cut_off_while_it_is_read_is_an_error(
    tmp_path: Path, kind: str, rest: str
) -> None:
    """The samples before the error are those of the file."""
    path, content = tmp_path / f"sound.{kind}", encoded(noise(30, rate=RATE), RATE, **FORMATS[kind])
    path.write_bytes(content)
    whole = np.concatenate(list(stream(path)))
    left = content[: len(content) // 4] if rest == "a quarter" else b"no sound " * 50
    found, error = changed_while_read(path, lambda: path.write_bytes(left))
    assert path.name in error
    assert 10_000 <= len(found) < len(whole)
    np.testing.assert_allclose(found, whole[: len(found)], atol=1e-3)


@pytest.mark.skipif(os.name == "nt", reason="Windows replaces no open file")
@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("what", ["replaced", "removed"])
def test_a_file_that_is_replaced_or_removed_while_it_is_read_is_read_to_its_end(
    tmp_path: Path, kind: str, what: str
) -> None:
    path = tmp_path / f"sound.{kind}"
    path.write_bytes(encoded(noise(30, rate=RATE), RATE, **FORMATS[kind]))
    whole = np.concatenate(list(stream(path)))
    (tmp_path / "other").write_bytes(b"no sound " * 50)
    other = tmp_path / "other"
    change = (lambda: other.replace(path)) if what == "replaced" else path.unlink
    found, error = changed_while_read(path, change)
    assert error == ""
    np.testing.assert_array_equal(found, whole)


def test_a_stream_ends_where_a_file_is_cut_off_meanwhile(tmp_path: Path) -> None:
    path = write_tones(tmp_path / "tones", clips=1) / "low" / "hum" / "hum_0.wav"
    seconds = 0.0
    with pytest.raises(SonotypeError, match="hum_0"):
        for samples in stream(path, sample_rate=16_000, block=1000):
            seconds += len(samples) / 16_000
            with path.open("rb+") as file:
                file.truncate(8000)
    assert seconds < 1


@pytest.mark.parametrize("cache", [True, False])
def test_training(
    tones: Path, tmp_path: Path, change: Callable[[Path], object],
    monkeypatch: pytest.MonkeyPatch, cache: bool,
) -> None:  # fmt: skip
    """A clip changes after the data was checked: the run stops with its name."""
    build = pipeline.build

    def changed(context: Any) -> Any:
        built = build(context)
        change(context.clips("train")[0].path)
        if context.manifest.decoded is not None:
            context.manifest.decoded.clear()
        names.append(context.clips("train")[0].path.name)
        return built

    names: list[str] = []
    monkeypatch.setattr(pipeline, "build", changed)
    monkeypatch.setenv("SONOTYPE_CACHE", str(tmp_path / "cache"))  # so that every clip is read
    with pytest.raises(SonotypeError) as caught:
        sonotype.train(tones, tmp_path / "run", **SMALL | {"cache": cache, "n_augmented": 2})
    assert names[0] in str(caught.value)
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_the_doctor(
    tones: Path, change: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """A clip changes after the folder was listed: it is a finding, and all others are read."""
    victim = tones / "low" / "hum" / "hum_2.wav"
    open_leniently = examine.open_leniently

    def opened(*arguments: Any, **options: Any) -> Any:
        sounds = open_leniently(*arguments, **options)
        change(victim)
        return sounds

    monkeypatch.setattr(examine, "open_leniently", opened)
    assert run(["doctor", str(tones)]) != 0
    shown = capsys.readouterr().out
    assert "hum_2.wav" in shown
    assert "hum_1.wav" not in shown
