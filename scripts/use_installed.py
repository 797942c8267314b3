"""Use an installed sonotype once: ``python scripts/use_installed.py examples/esc10``.

It runs in an empty folder, without a network, and fails at the first thing that does not work.
"""
# ruff: noqa: S101, S603, T201 - a script checks, runs programs and prints

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile


def sonotype(*arguments: str | Path) -> str:
    """Run a command of the program; return what it prints."""
    command = [sys.executable, "-m", "sonotype", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def main() -> None:
    """Train, predict, detect and export with the sounds of a folder."""
    data = Path(sys.argv[1])
    print(sonotype("--version"))
    clips = sorted(data.rglob("*.ogg")) or sorted(data.rglob("*.wav"))
    run = Path("run")
    sonotype("train", data, "--out", run, "--backbone", "builtin")
    scores = json.loads((run / "scores.json").read_text(encoding="utf-8"))
    print("scores:", sorted(scores))
    rows = sonotype("predict", run, *clips[:4], "--format", "csv").splitlines()
    assert len(rows) == 5, rows
    samples = [soundfile.read(clip, dtype="float32") for clip in clips[:4]]
    [rate] = {rate for _, rate in samples}
    soundfile.write("recording.wav", np.concatenate([one for one, _ in samples]), rate)
    sonotype("detect", run, "recording.wav", "--out", "found", "--format", "csv,raven,parquet")
    assert (Path("found") / "events.csv").stat().st_size > 0
    gradient = ("--recipe", "modern", "--epochs", "1", "--width", "0.05", "--seconds", "1")
    sonotype("train", data, "--out", "modern", "--backbone", "builtin", *gradient)
    sonotype("export", "modern", "--out", "modern.onnx")
    own = sonotype("predict", "modern", clips[0], "--format", "jsonl")
    onnx = sonotype("predict", "modern.onnx", clips[0], "--format", "jsonl")
    assert json.loads(own)["event"] == json.loads(onnx)["event"]
    sonotype("info", run)
    sonotype("doctor", data)
    print("works")


if __name__ == "__main__":
    main()
