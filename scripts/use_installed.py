"""Use an installed sonotype once: ``python scripts/use_installed.py examples/esc10``.

It runs in an empty folder, without the internet, and fails at the first thing that does not work.
It uses the package with all extras that ``scripts/release.py`` installs, also the hub without
sending anything, and a storage and a service on this computer.
"""
# ruff: noqa: S101, S310, S603, T201 - a script checks, runs programs, asks itself, and prints

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import threading
import urllib.request
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MODULES = (
    "fastapi", "fsspec", "gcsfs", "huggingface_hub", "multipart", "onnx", "onnxruntime",
    "onnxscript", "prometheus_client", "pyarrow.parquet", "s3fs", "tensorboard", "usearch.index",
    "uvicorn", "websockets",
)  # fmt: skip
"""What the extras bring, besides sounddevice."""
RECORDING = "recording.wav"
EXPORTS = (2, 12)
"""The first version of torch that can export, see docs/onnx.md."""


def sonotype(*arguments: str | Path) -> str:
    """Run a command of the program; return what it prints."""
    command = [sys.executable, "-m", "sonotype", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def import_extras() -> None:
    """Import the packages of the extras."""
    for name in MODULES:
        importlib.import_module(name)
    try:
        importlib.import_module("sounddevice")
    except OSError as error:  # on Linux PortAudio is a package of the system
        print("sounddevice is installed, but cannot be used here:", error)


def use_models(data: Path, clips: Sequence[Path]) -> None:
    """Train, predict and detect; leave the run folder ``run`` and a recording."""
    sonotype("train", data, "--out", "run", "--backbone", "builtin")
    scores = json.loads(Path("run/scores.json").read_text(encoding="utf-8"))
    print("train, scores:", sorted(scores))
    rows = sonotype("predict", "run", *clips, "--format", "csv").splitlines()
    assert len(rows) == len(clips) + 1, rows
    samples = [soundfile.read(clip, dtype="float32") for clip in clips]
    [rate] = {rate for _, rate in samples}
    soundfile.write(RECORDING, np.concatenate([one for one, _ in samples]), rate)
    sonotype("detect", "run", RECORDING, "--out", "found", "--format", "csv,raven,parquet")
    assert Path("found/events.csv").stat().st_size > 0
    sonotype("info", "run")
    sonotype("doctor", data)
    print("predict, detect, info, doctor")


def use_exported(data: Path, clip: Path) -> str:
    """Train by gradients with TensorBoard, export, and compare the classes.

    Returns:
        The exported model, or the run folder if this torch is too old to export: then the export
        must end with an error that says so.
    """
    gradient = ("--recipe", "modern", "--epochs", "1", "--width", "0.05", "--seconds", "1")
    sonotype("train", data, "--out", "modern", "--backbone", "builtin", *gradient, "--tensorboard")
    assert any(Path("modern").rglob("events.out.tfevents*"))
    own = sonotype("predict", "modern", clip, "--format", "jsonl")
    export = ("export", "modern", "--out", "modern.onnx")
    torch = version("torch")
    if tuple(map(int, torch.split(".")[:2])) < EXPORTS:
        try:
            sonotype(*export)
        except SystemExit as failure:
            assert f"error: torch {torch}" in str(failure), failure
            assert not Path("modern.onnx").exists()
            print(
                f"train --tensorboard; no export: torch {torch} is too old, and the error says so"
            )
            return "modern"
    sonotype(*export)
    onnx = sonotype("predict", "modern.onnx", clip, "--format", "jsonl")
    assert json.loads(own)["event"] == json.loads(onnx)["event"]
    print("train --tensorboard, export, predict with onnxruntime")
    return "modern.onnx"


def use_extras(clip: Path) -> None:
    """Search, listen to a file, prepare what would be sent to the hub, and read from a storage."""
    sonotype("embed", "run", RECORDING, "--out", "archive")
    found = sonotype("search", "archive", "--like", clip, "--count", "3", "--out", "hits")
    assert len(list(Path("hits/clips").rglob("*.*"))) == 3, found
    sonotype("listen", "run", RECORDING, "--json")
    sent = sonotype("push", "run", "user/name", "--dry-run", "--no-onnx")
    assert "model.safetensors" in sent
    assert "nothing is sent" in sent
    handler = partial(SimpleHTTPRequestHandler, directory=os.fspath(Path.cwd()))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/{RECORDING}"
    sonotype("embed", "run", address, "--out", "from_storage")
    server.shutdown()
    print("search, listen, push --dry-run, embed from a storage")


@contextmanager
def served(model: str) -> Iterator[str]:
    """The address of a service, which is ended afterwards."""
    command = [sys.executable, "-m", "sonotype", "serve", model, "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if line.startswith("listening on "):
                break
        else:
            raise SystemExit(f"{' '.join(command)}\n{''.join(lines)}")
        yield line.split()[-1]
    finally:
        process.terminate()
        process.wait(timeout=60)


def use_service(model: str, clip: Path) -> None:
    """Serve a model, and classify a clip."""
    with served(model) as address:
        headers = {"Content-Type": "audio/ogg" if clip.suffix == ".ogg" else "audio/wav"}
        request = urllib.request.Request(f"{address}/v1/classify", clip.read_bytes(), headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert "event" in answer.read().decode()
    print("serve")


def main() -> None:
    """Use everything with the sounds of a folder."""
    data = Path(sys.argv[1])
    print(sonotype("--version"))
    clips = (sorted(data.rglob("*.ogg")) or sorted(data.rglob("*.wav")))[:4]
    import_extras()
    use_models(data, clips)
    model = use_exported(data, clips[0])
    use_extras(clips[0])
    use_service(model, clips[0])
    print("works")


if __name__ == "__main__":
    main()
