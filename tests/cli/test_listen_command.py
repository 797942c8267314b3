"""``sonotype listen``: a pipe at real time and faster, stops, kills, wrong usage."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from frame_models import write, write_sound

from sonotype.audio.decode import load_audio
from sonotype.cli.main import run
from sonotype.detect.detect_options import DetectOptions
from sonotype.detect.detector import open_detector
from sonotype.detect.score_sources import joined
from sonotype.live.feed import Feed
from sonotype.live.live_options import InputOptions
from sonotype.live.outputs import EventFiles
from sonotype.live.reports import Report

RATE = 16_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("listen")
    write(folder / "model.safetensors")
    write_sound(folder / "sound.wav")
    return folder


@pytest.fixture(scope="module")
def limit(folder: Path) -> str:
    """A threshold of the class bell that gives many events."""
    detector = open_detector([folder / "model.safetensors"], device="cpu")
    scores = np.sort(joined(list(detector.score_blocks(folder / "sound.wav"))).scores[:, 0])
    upper = scores[len(scores) // 2 :]
    return f"{upper[np.argmax(np.diff(upper)) :][:2].mean():.6f}"


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Use bytes as standard input, written to a pipe by a thread."""
    opened = []

    def use(content: bytes) -> None:
        reading, writing = os.pipe()

        def feed() -> None:
            # The command may end, and close the pipe, before all is written.
            with suppress(BrokenPipeError), os.fdopen(writing, "wb") as pipe:
                pipe.write(content)

        thread = threading.Thread(target=feed)
        thread.start()
        file = os.fdopen(reading)
        opened.append((file, thread))
        monkeypatch.setattr(sys, "stdin", file)

    yield use
    for file, thread in opened:
        file.close()
        thread.join()


def events_of(folder: Path, limit: str, sound: str = "sound.wav") -> list[tuple[float, float]]:
    options = DetectOptions(threshold=(limit,), classes=("bell",), frequencies=False)
    found = open_detector([folder / "model.safetensors"], options, device="cpu").detect(
        folder / sound
    )
    return [(one.start, one.end) for one in found.events]


def test_a_wav_stream_and_a_file(
    folder: Path, limit: str, stdin: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = events_of(folder, limit)
    assert len(wanted) > 2
    common = ["--threshold", limit, "--class", "bell", "--json"]
    content = (folder / "sound.wav").read_bytes()
    unknown = content[:40] + b"\xff" * 4 + content[44:]
    found = []
    for source in (content, unknown, folder / "sound.wav"):
        if isinstance(source, bytes):
            stdin(source)
        name = "-" if isinstance(source, bytes) else str(source)
        out = tmp_path / "out"
        argv = ["listen", str(folder / "model.safetensors"), name, *common]
        assert run([*argv, "--out", str(out), "--format", "jsonl,raven"]) == 0
        output = capsys.readouterr()
        rows = [json.loads(line) for line in output.out.splitlines()]
        assert [(row["start"], row["end"]) for row in rows] == [
            (pytest.approx(start, abs=1e-4), pytest.approx(end, abs=1e-4)) for start, end in wanted
        ]
        found.append([{**row, "time": 0, "file": 0} for row in rows])
        assert f"12 s of sound, {len(wanted)} events, 0 samples lost" in output.err
    assert found[0] == found[1] == found[2]
    assert len(list(out.glob("*.jsonl"))) == len(list(out.glob("*.selections.txt"))) == 3


@pytest.mark.parametrize(
    ("sample_format", "subtype", "rate"),
    [("s16le", "PCM_16", 44_100), ("s24le", "PCM_24", 16_000), ("f32le", "FLOAT", 16_000)],
)
def test_raw_stereo(
    folder: Path, limit: str, stdin: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    sample_format: str, subtype: str, rate: int,
) -> None:  # fmt: skip
    samples = load_audio(folder / "sound.wav", sample_rate=rate).samples
    stereo = np.stack([samples * 1.5, samples * 0.5], axis=1)
    soundfile.write(folder / "stereo.wav", stereo, rate, subtype)
    wanted = events_of(folder, limit, "stereo.wav")
    content = (folder / "stereo.wav").read_bytes()
    stdin(content[content.index(b"data") + 8 :])
    argv = ["listen", str(folder / "model.safetensors"), "-", "--json", "--class", "bell"]
    argv += ["--threshold", limit, "--rate", str(rate), "--channels", "2"]
    assert run([*argv, "--sample-format", sample_format]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["start"], row["end"]) for row in rows] == [
        (pytest.approx(start, abs=1e-3), pytest.approx(end, abs=1e-3)) for start, end in wanted
    ]
    assert rows


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (["-"], 2, ["--rate"]),
        (["-", "--rate", "16000", "--format", "csv"], 2, ["--out"]),
        (["-", "--rate", "16000", "--out", "x", "--format", "textgrid"], 2, ["textgrid", "jsonl"]),
        (["-", "--rate", "16000", "--frequencies"], 2, ["--frequencies"]),
        (["-", "--rate", "16000", "--input", "1"], 2, ["--input 1"]),
        (["-", "more.wav"], 2, ["sonotype detect"]),
        (["missing.wav"], 2, ["missing.wav"]),
        (["-", "--sample-format", "u8"], 2, ["u8", "s16le"]),
        (["-", "--rate", "16000", "--exec", "'"], 2, ["--exec"]),
        (["-", "--rate", "16000", "--exec", "no-such-x"], 2, ["--exec no-such-x"]),
        (["-", "--rate", "16000", "--webhook", "ftp://x"], 2, ["--webhook"]),
    ],
)
def test_wrong_usage(
    folder: Path, stdin: Any, argv: list[str], code: int, words: list[str],
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    stdin(b"raw samples without a header")
    assert run(["listen", str(folder / "model.safetensors"), *argv]) == code
    output = capsys.readouterr()
    assert output.out == ""
    assert all(word in output.err for word in words)
    assert not list(tmp_path.iterdir())


def test_the_microphone(
    folder: Path, limit: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without an input the microphone is read; here it plays the recording."""
    opened = []

    @contextmanager
    def microphone(options: InputOptions) -> Iterator[Feed]:
        opened.append(options)
        feed = Feed("microphone", RATE)
        feed.offer(load_audio(folder / "sound.wav").samples, lost=0)
        feed.offer(np.zeros(RATE, np.float32), lost=RATE)
        feed.end("the microphone stopped")
        yield feed

    monkeypatch.setattr("sonotype.live.sources.microphone", microphone)
    model = str(folder / "model.safetensors")
    assert run(["listen", model, "--input", "USB", "--rate", "16000", "--threshold", limit]) == 3
    output = capsys.readouterr()
    assert opened == [InputOptions(input="USB", rate=16_000)]
    assert output.out
    assert f"{RATE} samples lost" in output.err
    assert output.err.splitlines()[-1] == "error: microphone: the microphone stopped"
    monkeypatch.setattr("sonotype.modelfile.pretrained.builtin_path", lambda: Path(model))
    assert run(["listen", "--max-seconds", "2"]) == 0
    assert "2 s of sound" in capsys.readouterr().err


def test_a_full_disk(
    folder: Path, limit: str, stdin: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def full(self: EventFiles, report: Report) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(EventFiles, "add", full)
    stdin((folder / "sound.wav").read_bytes())
    argv = ["listen", str(folder / "model.safetensors"), "-", "--out", str(tmp_path)]
    argv += ["--when", "start", "--exec", f"{sys.executable} -c ''"]
    assert run([*argv, "--threshold", limit]) == 1
    lines = capsys.readouterr().err
    assert f"--out {tmp_path}: cannot be written (No space" in lines
    assert "--exec: " in lines, "what the hooks did is shown"


def test_an_empty_pipe(folder: Path, stdin: Any, capsys: pytest.CaptureFixture[str]) -> None:
    stdin(b"")
    assert run(["listen", str(folder / "model.safetensors"), "-", "--rate", "8000"]) == 3
    assert "empty" in capsys.readouterr().err


def test_hooks(
    folder: Path, limit: str, stdin: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stdin((folder / "sound.wav").read_bytes())
    script = tmp_path / "note.py"
    script.write_text("import sys; open(sys.argv[1], 'a').write(sys.argv[2] + '\\n')")
    argv = ["listen", str(folder / "model.safetensors"), "-", "--threshold", limit]
    argv += ["--class", "bell", "--exec", f"{sys.executable} {script} {tmp_path}/out {{label}}"]
    assert run([*argv, "--when", "start", "--pause", "100"]) == 0
    assert (tmp_path / "out").read_text() == "bell\n"
    output = capsys.readouterr()
    assert "--exec: 1 event" in output.err
    assert "more within the pause" in output.err
    assert len(output.out.splitlines()) == 1


def test_a_model_onnx_needs_no_torch(folder: Path, tmp_path: Path, limit: str) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from sonotype.export.onnx import export_onnx

    model = tmp_path / "model.onnx"
    export_onnx(folder / "model.safetensors", model)
    code = (
        "import sys; sys.modules['torch'] = None; from sonotype.cli.main import run; "
        "sys.exit(run(sys.argv[1:]))"
    )
    argv = [sys.executable, "-c", code, "listen", str(model), "-", "--threshold", limit]
    done = subprocess.run(
        argv, input=(folder / "sound.wav").read_bytes(), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def start(folder: Path, *more: str) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-m", "sonotype", "listen", str(folder / "model.safetensors"), "-"]
    argv += ["--rate", str(RATE), "--json", "--every", "0.5", "--lookahead", "0.5", *more]
    pipe = subprocess.PIPE
    earlier = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # tests may run under nohup
    try:
        return subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe)
    finally:
        signal.signal(signal.SIGHUP, earlier)


def raw(folder: Path) -> bytes:
    return (load_audio(folder / "sound.wav").samples * 32_768).astype("<i2").tobytes()


def send(process: subprocess.Popen[bytes], content: bytes, speed: float = 1.0) -> None:
    """Write 16-bit samples in blocks of 0.1 s, that much faster than real time."""
    assert process.stdin is not None
    block = RATE // 10 * 2
    for first in range(0, len(content), block):
        process.stdin.write(content[first : first + block])
        process.stdin.flush()
        time.sleep(0.1 / speed)


def test_a_pipe_at_real_time_with_a_stall(folder: Path, limit: str) -> None:
    content, chosen = raw(folder), ("--threshold", limit, "--class", "bell")
    process = start(folder, *chosen)
    send(process, content[: RATE * 8], 40)  # until the model is loaded
    send(process, content[RATE * 8 : RATE * 16])
    time.sleep(1.0)
    send(process, content[RATE * 16 :], 10)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    rows = [json.loads(line) for line in out.splitlines()]
    fast = start(folder, *chosen)
    other, _ = fast.communicate(content, timeout=60)
    assert [{**row, "time": 0} for row in rows] == [
        {**json.loads(line), "time": 0} for line in other.splitlines()
    ], "the answers do not depend on the speed"
    assert len(rows) > 2
    assert b"12 s of sound" in err
    assert b" 0 samples lost" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_with_all_events(
    folder: Path, limit: str, tmp_path: Path, number: int
) -> None:
    process = start(folder, "--threshold", limit, "--out", str(tmp_path))
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(raw(folder)[: RATE * 2 * 10])
    process.stdin.flush()
    first = process.stdout.readline()  # it listens
    process.send_signal(number)
    rest = process.stdout.read()
    assert process.wait(60) == 0
    assert process.stderr is not None
    assert b"samples lost" in process.stderr.read()
    [file] = tmp_path.iterdir()
    assert file.read_bytes() == first + rest
    for stream in (process.stdin, process.stdout, process.stderr):
        stream.close()


def wait_for_handler(process: subprocess.Popen[bytes], number: int) -> None:
    """Wait until a process catches a signal: before, the signal ends it as it ends any program."""
    status, end = Path(f"/proc/{process.pid}/status"), time.monotonic() + 60
    if not status.exists():  # not Linux
        time.sleep(5)
        return
    while True:
        caught = re.search(r"^SigCgt:\s*(\w+)$", status.read_text(), re.MULTILINE)
        if caught and int(caught[1], 16) >> (number - 1) & 1:
            return
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("seconds", [0.0, 4.0])
def test_a_signal_before_the_first_sound(folder: Path, seconds: float) -> None:
    """While the model is loaded, and while it waits for sound."""
    process = start(folder)
    wait_for_handler(process, signal.SIGTERM)
    time.sleep(seconds)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_standard_output(folder: Path, limit: str) -> None:
    argv = [sys.executable, "-m", "sonotype", "listen", str(folder / "model.safetensors")]
    argv += [str(folder / "sound.wav"), "--json", "--threshold", limit]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(argv, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(b"error: standard output: cannot be written")


def test_a_kill_leaves_whole_lines(folder: Path, limit: str, tmp_path: Path) -> None:
    process = start(folder, "--threshold", limit, "--out", str(tmp_path))
    assert process.stdin is not None
    process.stdin.write(raw(folder))
    process.stdin.flush()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if any(file.stat().st_size for file in tmp_path.iterdir()):
            break
        time.sleep(0.02)
    process.kill()
    process.communicate(timeout=60)
    [file] = tmp_path.iterdir()
    text = file.read_text()
    assert text.endswith("\n")
    assert all(json.loads(line)["label"] for line in text.splitlines())
