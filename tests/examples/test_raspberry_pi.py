"""The script for small boards gives the predictions of sonotype; it needs no sonotype."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
from exported_models import RATE, with_options
from sound_files import noise

import sonotype

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "raspberry_pi" / "classify.py"

DRIVER = """
import json, runpy, sys

class Refuse:
    allowed = sys.stdlib_module_names | {"numpy", "onnxruntime"}

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] not in Refuse.allowed:
            raise ImportError(f"{name} is not installed")

sys.meta_path.insert(0, Refuse)
task, *sys.argv = sys.argv[1:]
if task == "run":
    runpy.run_path(sys.argv[0], run_name="__main__")
else:
    script = runpy.run_path(sys.argv[0])
    model, *sources = sys.argv[1:]
    print(json.dumps([list(script["classify"](model, source)) for source in sources]))
"""
"""Runs the script as a program, or prints all that it computes; other packages are refused."""


def started(task: str, *words: object, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-I", "-c", DRIVER, task, SCRIPT, *words]
    return subprocess.run([str(word) for word in command], input=stdin, capture_output=True)


def run(*words: object, stdin: bytes = b"") -> tuple[int, list[str], str]:
    """Exit code, lines of standard output, standard error."""
    done = started("run", *words, stdin=stdin)
    return done.returncode, done.stdout.decode().splitlines(), done.stderr.decode()


def results(
    model: Path, *sources: object, stdin: bytes = b""
) -> list[list[tuple[bool, dict[str, float]]]]:
    """For each source its clips: whether it is unknown, and the probabilities."""
    done = started("results", model, *sources, stdin=stdin)
    assert done.returncode == 0, done.stderr.decode()
    return [[(unknown, proba) for unknown, proba in clips] for clips in json.loads(done.stdout)]


def same(found: tuple[bool, dict[str, float]], wanted: sonotype.Prediction) -> bool:
    unknown, proba = found
    expected = wanted.probabilities["event"]
    assert proba == pytest.approx(expected, abs=1e-5)
    assert list(proba) == list(expected)
    return unknown == wanted.is_unknown


def pcm(samples: np.ndarray) -> np.ndarray:
    """Samples as a microphone gives them."""
    found: np.ndarray = (samples * 32767).astype("<i2")
    return found


@pytest.fixture(scope="module")
def wavs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Sounds of a clip, and shorter and longer ones; two channels; a file that was cut."""
    folder = tmp_path_factory.mktemp("wäv")
    lengths = (1.0, 1.0, 1.0, 0.4, 0.30001, 1.7001, 3.0)
    paths = [folder / f"{number}.wav" for number in range(len(lengths) + 2)]
    for seed, (path, seconds) in enumerate(zip(paths, lengths, strict=False)):
        soundfile.write(path, noise(seconds, seed, RATE), RATE, subtype="PCM_16")
    stereo = np.stack([noise(1.2, 20, RATE), noise(1.2, 21, RATE)], axis=1)
    soundfile.write(paths[-2], stereo, RATE, subtype="PCM_16")
    paths[-1].write_bytes(paths[-2].read_bytes()[:20_003])
    return paths


@pytest.mark.parametrize(
    ("pad", "crop"), [("centre", "front"), ("start", "centre"), ("repeat", "front")]
)
def test_files_have_the_predictions_of_sonotype(
    exported: Path, wavs: list[Path], tmp_path: Path, pad: str, crop: str
) -> None:
    path = with_options(exported, tmp_path / "model.onnx", pad=pad, crop=crop)
    model = sonotype.load(path)
    assert model.tta_shifts == 3
    wanted = [model.predict(wav) for wav in wavs]
    assert {prediction.is_unknown for prediction in wanted} == {True, False}
    for found, prediction in zip(results(path, *wavs), wanted, strict=True):
        assert len(found) == 1
        assert same(found[0], prediction), prediction.source


@pytest.mark.parametrize("seconds", [1.0, 0.4, 3.25])
def test_raw_samples_have_the_predictions_of_sonotype(exported: Path, seconds: float) -> None:
    samples = pcm(noise(seconds, 5, RATE))
    model = sonotype.load(exported)
    [found] = results(exported, "-", stdin=samples.tobytes() + b"\1")
    ends = [min(second * RATE, len(samples)) for second in range(1, int(np.ceil(seconds)) + 1)]
    assert len(found) == len(ends)
    for clip, end in zip(found, ends, strict=True):
        assert same(clip, model.predict(samples[max(end - RATE, 0) : end], RATE))


def test_what_is_printed(exported: Path, wavs: list[Path]) -> None:
    model = sonotype.load(exported)
    seen = set()
    for wav in wavs[:4]:
        prediction = model.predict(wav)
        best = [f"{name} {value:.3f}" for name, value in prediction.top(3)]
        code, lines, errors = run(exported, wav)
        assert (code, errors) == (0, "")
        assert lines == ["  ".join(["unknown"] * prediction.is_unknown + best)]
        seen.add(prediction.is_unknown)
    assert seen == {True, False}


def test_errors_name_the_file_and_the_remedy(
    exported: Path, wavs: list[Path], tmp_path: Path
) -> None:
    paths = {name: tmp_path / f"{name}.wav" for name in ("rate", "bits", "text", "empty", "none")}
    soundfile.write(paths["rate"], noise(1.0, 0, 44_100), 44_100, subtype="PCM_16")
    soundfile.write(paths["bits"], noise(1.0, 0, RATE), RATE, subtype="PCM_24")
    paths["text"].write_text("no sound, but some text that is longer than a header")
    paths["empty"].touch()
    soundfile.write(paths["none"], np.zeros(0), RATE, subtype="PCM_16")
    other = tmp_path / "other.onnx"
    proto = onnx.load(exported)
    del proto.metadata_props[:]
    onnx.save(proto, other)
    trims = with_options(exported, tmp_path / "trims.onnx", trim=True)
    cases: list[tuple[Path, Path, tuple[str, ...]]] = [
        (exported, paths["rate"], ("44100 Hz", f"-ar {RATE}", "ffmpeg")),
        (exported, paths["bits"], ("24 bits", "pcm_s16le")),
        (exported, paths["text"], ("RIFF",)),
        (exported, paths["empty"], ("EOFError",)),
        (exported, paths["none"], ("no samples",)),
        (exported, tmp_path / "missing.wav", ("No such file",)),
        (tmp_path / "missing.onnx", wavs[0], ("File doesn't exist",)),
        (wavs[0], wavs[0], ("parsing failed",)),
        (other, wavs[0], ("not exported by sonotype",)),
        (trims, wavs[0], ("trim silence",)),
    ]
    for model, source, parts in cases:
        code, lines, errors = run(model, source)
        assert (code, lines) == (1, [])
        assert "Traceback" not in errors
        assert str(model if model == other else source) in errors
        for part in parts:
            assert part in errors
    code, lines, errors = run()
    assert (code, lines) == (1, [])
    assert "'model' and 'source'" in errors


def test_a_source_of_raw_samples_without_sound(exported: Path) -> None:
    assert run(exported, "-", stdin=b"") == (0, [], "")


def test_the_script_is_short_and_refuses_reports_of_its_use() -> None:
    lines = SCRIPT.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 60
    setting = next(n for n, line in enumerate(lines) if "ORT_DISABLE_TELEMETRY" in line)
    assert setting < lines.index("import onnxruntime")
