"""The commands that ``kills.py`` kills: their inputs, their start, and the results to compare."""

from __future__ import annotations

import hashlib
import http.server
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from safetensors import safe_open

from sonotype.app.project import Project
from sonotype.cli.main import run
from sonotype.config import SystemOptions
from sonotype.core.detections import DetectedEvent, DetectedRecording
from sonotype.core.io import atomic, is_part
from sonotype.core.types import Head
from sonotype.detect.job_folder import LEDGER, locked
from sonotype.detect.ledger import Ledger, iterate
from sonotype.detect.ledger_entry import Outputs, Stamp
from sonotype.experiments.run_folder import CONFIG, SCORES
from sonotype.modelfile import weights_registry
from sonotype.modelfile.card import ModelCard
from sonotype.modelfile.model_file import save_model
from sonotype.modelfile.weights_cache import weights_path
from sonotype.models.build import build_system

RATE = 16_000
TONES = {"beep": 1500.0, "buzz": 400.0, "hum": 200.0, "whistle": 3000.0}
NETWORK = {"system": "cbir_2", "backbone": "none", "width": 0.01, "seconds": 1.0}
BASE = ("--seconds=1", "--device=cpu", "--no-report")
LINEAR = (*BASE, "--recipe=linear", "--evaluation=crossfit")
GRADIENTS = (*BASE, "--system=cbir_2", "--backbone=none", "--width=0.01", "--recipe=modern",
             "--epochs=6", "--min-steps=0", "--batch-size=4", "--n-augmented=2")  # fmt: skip
RECORDINGS, LEDGER_ROWS, SOUNDS = 8, 80, 60
WEIGHTS = bytes(range(256)) * 8000
"""The file that the local server publishes."""
CHUNK, PAUSE = 32 * 1024, 0.004
"""Bytes of an answer of the server, and seconds after each."""

Results = dict[str, str]
"""By name the digest of a result."""


@dataclass(frozen=True)
class Kind:
    """A command that is killed.

    Attributes:
        prepare: writes the inputs into a folder.
        start: runs the command on the inputs, or goes on, in a working folder; returns the exit
            code.
        results: the results in the working folder, complete or not.
        growing: names of results that grow while the command runs; any other result is complete
            under its name.
    """

    prepare: Callable[[Path], object]
    start: Callable[[Path, Path], int]
    results: Callable[[Path], Results]
    growing: tuple[str, ...] = ()


def write_sounds(inputs: Path, clips: int = 6) -> None:
    """Folders of classes with tones of a second."""
    for label, hz in TONES.items():
        for number in range(clips):
            path = inputs / "sounds" / label / f"{label}_{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, _tone(hz, number, 1.0), RATE, subtype="PCM_16")


def _tone(hz: float, seed: int, seconds: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    course = np.arange(round(seconds * RATE)) / RATE
    tone = 0.3 * np.sin(2 * np.pi * hz * rng.uniform(0.9, 1.1) * course)
    return tone + 0.02 * rng.standard_normal(len(course))


def write_model(inputs: Path) -> None:
    """A model file with random weights."""
    torch.manual_seed(1)
    options, heads = SystemOptions(**NETWORK), (Head("category", tuple(TONES)),)  # type: ignore[arg-type]
    system = build_system(options, heads)
    save_model(
        inputs / "model.safetensors", system, ModelCard(options, heads, RATE, ("VGGishLogMel",))
    )


def write_recordings(inputs: Path) -> None:
    """A model, and recordings of some seconds."""
    write_model(inputs)
    (inputs / "field").mkdir()
    for number, hz in enumerate(list(TONES.values()) * 2):
        path = inputs / "field" / f"{number}.wav"
        soundfile.write(path, _tone(hz, number, 3.0 + number), RATE)


def train_with(*options: str) -> Callable[[Path, Path], int]:
    """Start a training with these options, or resume it."""

    def start(inputs: Path, work: Path) -> int:
        folder = work / "run"
        if (folder / SCORES).exists():
            return 0  # finished: the last files were being written
        if (folder / CONFIG).exists():
            return run(["train", "--resume", str(folder), "--no-report"])
        return run(["train", str(inputs / "sounds"), "--out", str(folder), *options])

    return start


def run_results(work: Path) -> Results:
    """The files of a run without its logs, checkpoints and times."""
    names = (CONFIG, SCORES, "model.safetensors", "split.csv", "predictions.csv", "scores.txt")
    return _files(work / "run", names)


def detect(inputs: Path, work: Path) -> int:
    """Start a detection, or go on."""
    return run([
        "detect", str(inputs / "model.safetensors"), str(inputs / "field"), "--out",
        str(work / "out"), "--threshold=0.2", "--format=csv,audacity", "--clips", "--no-picture",
    ])  # fmt: skip


def detect_results(work: Path) -> Results:
    """All files except the ledger, whose bytes depend on its history, and hidden ones."""
    paths = [path for path in (work / "out").rglob("*.*") if not is_part(path.name)]
    names = [path.relative_to(work / "out").as_posix() for path in paths]
    return _files(work / "out", [name for name in names if not name.startswith("ledger.")])


def export(inputs: Path, work: Path) -> int:
    """Export a model to ONNX."""
    return run([
        "export", str(inputs / "model.safetensors"), "--out", str(work / "model.onnx"), "--force",
    ])  # fmt: skip


def download(inputs: Path, work: Path) -> int:
    """Download weights from the server of the inputs."""
    address = (inputs / "address").read_text("utf-8")
    digest = hashlib.sha256(WEIGHTS).hexdigest()
    entry = weights_registry.WeightsEntry(
        name="tiny", file="tiny.pt", address=address, size=len(WEIGHTS), parameters=1,
        sha256=digest, licence="MIT", citation="-",
    )  # fmt: skip
    weights_registry.WEIGHTS = (entry,)
    os.environ.pop("SONOTYPE_WEIGHTS", None)
    return 0 if weights_path("tiny").exists() else 1


def write_ledger(_: Path, work: Path) -> int:
    """Store results in a ledger as a job does; go on after the last complete one."""
    out = work / "out"
    with locked(out), Ledger(out / LEDGER) as ledger:
        for number in range(LEDGER_ROWS):
            path, name = Path(f"/recordings/{number}.wav"), f"{number}.txt"
            entry = ledger.entry(path)
            if entry is not None and entry.complete:
                if not (out / name).exists():
                    return 1  # the ledger promises a file that is not there
                continue
            ledger.claim(path, [name], new_result=True)
            with atomic(out / name) as part:
                part.write_text(f"row {number}\n", "utf-8")
            event = DetectedEvent(number, number + 1, "beep", 0.5)
            found = DetectedRecording(path, 1.0 + number, (event,), 4000.0, "")
            ledger.store(found, Stamp(number, number, "-"), Outputs(name, name, ("csv",), None))
    return 0


def ledger_results(work: Path) -> Results:
    """The rows of the ledger and the files."""
    out, found = work / "out", {}
    if (out / LEDGER).exists():
        with Ledger(out / LEDGER) as ledger:
            paths = ledger.others(())
            complete = [one for one in paths if (e := ledger.entry(one)) and e.complete]
            for recording in iterate(ledger, complete):
                found[f"row {recording.path.name}"] = repr(recording)
    return found | _files(out, [path.name for path in out.glob("*.txt")])


def store_sounds(inputs: Path, work: Path) -> int:
    """Store sounds in a project of the app, as the page does."""
    project = Project(work / "project")
    project.open()
    for number in range(SOUNDS):
        label, name = list(TONES)[number % len(TONES)], f"{number}.wav"
        with project.incoming(name) as path:
            soundfile.write(path, _tone(440, number, 0.2), RATE)
            project.store(label, name, path, 0.2)
    project.close()
    return 0


def project_results(work: Path) -> Results:
    """The sounds of the classes."""
    folder = work / "project"
    names = [path.relative_to(folder).as_posix() for path in folder.glob("*/*.wav")]
    return _files(folder, [name for name in names if not name.startswith(".")])


@contextmanager
def serve(inputs: Path) -> Iterator[None]:
    """Publish the weights on this computer, slowly, from another process."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(WEIGHTS)))
            self.end_headers()
            for begin in range(0, len(WEIGHTS), CHUNK):
                self.wfile.write(WEIGHTS[begin : begin + CHUNK])
                time.sleep(PAUSE)

        def handle(self) -> None:
            try:
                super().handle()
            except ConnectionError:
                self.close_connection = True  # the client was killed

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    (inputs / "address").write_text(f"http://127.0.0.1:{server.server_port}/tiny.pt", "utf-8")
    process = os.fork()
    if not process:
        server.serve_forever()
    server.server_close()
    try:
        yield
    finally:
        os.kill(process, 9)
        os.waitpid(process, 0)


def _files(folder: Path, names: list[str] | tuple[str, ...]) -> Results:
    return {name: _digest(folder / name) for name in sorted(names) if (folder / name).is_file()}


def _digest(path: Path) -> str:
    """SHA-256 of a file; of a model file, whose header has any order, of its metadata."""
    content = path.read_bytes()
    if path.suffix == ".safetensors":
        with safe_open(path, framework="pt") as file:  # has a digest of the weights
            content = repr(sorted(file.metadata().items())).encode()
    return hashlib.sha256(content).hexdigest()


KINDS = {
    "train-linear": Kind(write_sounds, train_with(*LINEAR), run_results),
    "train-gradients": Kind(
        write_sounds, train_with(*GRADIENTS, "--evaluation=holdout"), run_results
    ),
    "crossfit": Kind(write_sounds, train_with(*GRADIENTS, "--evaluation=crossfit"), run_results),
    "detect": Kind(write_recordings, detect, detect_results, ("events.csv",)),
    "export": Kind(write_model, export, lambda work: _files(work, ("model.onnx",))),
    "download": Kind(
        lambda _: None, download, lambda work: _files(work / "cache" / "weights", ("tiny.pt",))
    ),
    "ledger": Kind(lambda _: None, write_ledger, ledger_results),
    "app": Kind(lambda _: None, store_sounds, project_results),
}
