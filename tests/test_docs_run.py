"""The commands and the Python of the documentation run, on small sounds.

``test_docs`` parses each command with the options of the real program. Here those that can run do
so, each once, trainings first. What cannot run is listed with the reason.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import tomllib
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from annotated_recordings import write_recordings
from archives import Row, write_part
from documentation import PAGES, ROOT, blocks, commands, text_of

import sonotype
from sonotype.cli.main import run
from sonotype.core.errors import WeightsError
from sonotype.core.io import file_sha256
from sonotype.modelfile.builtin import builtin_path

RATE = 16_000
HZ = {"dog": 400.0, "cat": 1600.0}

PARSED_ONLY = {
    r"sonotype app\b": "serves a page until it is stopped",
    r"sonotype serve\b": "serves requests until it is stopped",
    r"sonotype listen\b": "needs a microphone or a stream",
    r"sonotype suspects .*--review": "serves a page until it is stopped",
    r"sonotype weights get\b": "downloads",
    r"sonotype weights path mn04": "the weights may be missing",
    r"sonotype .*\bESC-50\b": "hours, on a data set that is not part of the repository",
    r"sonotype study\b": "hours, on a data set that is not part of the repository",
    r"sonotype train msos\b": "hours, on a data set that is not part of the repository",
    r"sonotype data check DATA\b": "DATA stands for any data set",
    r"sonotype (train|detect|predict|evaluate) .*examples/esc10": "about 10 s on the clips",
    r"sonotype learning-curve\b": "trains many models; not timed",
    r"sonotype (train|crossval) .*--(recipe|system|ensemble)": "gradient descent, over 20 s",
    r"sonotype train .*--devices": "several processes; tests/training/test_several_processes.py",
    r"sonotype distill\b": "gradient descent; not timed",
    r"sonotype compare runs/first runs/paper\b": "needs the run of --recipe paper",
    r"sonotype report .*--curve": "needs the learning curve",
    r"sonotype detect .*runs/second/model.safetensors": "needs a second model of the same classes",
    r"sonotype detect .*model-tuned": "needs a model of sonotype tune",
    r"sonotype evaluate .*--rename": "needs data with these labels",
    r"sonotype tune\b": "composes at least 20 minutes of recordings",
    r"sonotype train results/clips\b": "needs clips that a person has corrected",
    r"sonotype train dogs/found.csv": "needs labels that a person has corrected",
    r"sonotype train runs/first/corrected_labels.csv": "needs labels that a person has corrected",
    r"sonotype train --resume runs/first": "needs an interrupted run",
    r"sonotype export\b": "slow; tests/cli/test_several_labels_command.py runs it",
    r"sonotype predict runs/first/model.onnx": "needs the exported model",
    r"sonotype push\b": "exports the model; tests/cli/test_push_command.py runs it",
    r"sonotype \w+ hf:": "downloads",
    r"sonotype detect .*--engine ray": "starts a cluster; tests/archive runs one",
    r"sonotype crossval\b": "9 s of training",
}
"""Commands that are parsed and not run: a pattern, and the reason."""

PYTHON_NOT_RUN = {
    ("docs/training.md", "audiomentations"): "trains on eight augmented copies by gradient descent",
    ("README.md", "epochs=20"): "20 epochs of gradient descent",
    ("docs/hub.md", "hf://"): "downloads",
    ("docs/onnx.md", "onnxruntime"): "needs an exported model",
    ("docs/scikit-learn.md", ""): "a test of the estimators runs its blocks",
}
"""Python blocks that are compiled and not run: page and a part of the block, and the reason."""


OUTPUTS = ("--out", "--html", "--fix")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def reason_not_to_run(line: str) -> str:
    return next((why for pattern, why in PARSED_ONLY.items() if re.match(pattern, line)), "")


def write_tone(path: Path, hz: float, seed: int, seconds: float = 1.0) -> None:
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    clean = 0.3 * np.sin(2 * np.pi * hz * rng.uniform(0.9, 1.1) * time)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, clean + 0.02 * rng.standard_normal(len(time)), RATE)


def write_sounds(root: Path) -> None:
    """The files and folders that the documentation names."""
    for number, folder in enumerate(("recordings", "other_recordings", "sounds", ".")):
        for label, hz in HZ.items():
            for clip in range(2 if folder == "." else 6):
                name = f"site{clip}_{number}" if folder != "." else str(clip)
                write_tone(root / folder / label / f"{name}.wav", hz, 100 * number + clip)
    for number, folder in enumerate(("new_sounds", "field")):
        for clip in range(2):
            write_tone(root / folder / f"{clip}.wav", 400.0, 900 + 10 * number + clip, 6.0)
    write_tone(root / "dog.wav", 400.0, 7)
    write_tone(root / "night.flac", 400.0, 8, 12.0)
    for seed, site in enumerate(("site_a", "site_b")):
        write_recordings(root / site, 3, 12.0, seed=seed, tables=False)


def write_archive(root: Path) -> None:
    """The archive that the documentation names: windows of the recordings in ``field``."""
    model = sonotype.load()
    rows: list[Row] = []
    vectors = []
    for path in sorted((root / "field").glob("*.wav")):
        for window in model.predict_windows(path, 1.0):
            rows.append((str(path.relative_to(root)), window.start, window.end))
            vectors.append(window.embedding)
    write_part(
        root / "archive", "part-0.parquet", rows, np.stack(vectors),
        model_sha256=file_sha256(builtin_path()), window_seconds=model.audio_spec.seconds,
    )  # fmt: skip


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sounds, and a run on the features of the built-in model."""
    root = tmp_path_factory.mktemp("documentation")
    write_sounds(root)
    write_archive(root)
    before = Path.cwd()
    os.chdir(root)
    try:
        with pytest.MonkeyPatch.context() as patch:
            without_weights(patch)
            sonotype.train("recordings", "runs/first")
    finally:
        os.chdir(before)
    return root


def without_weights(patch: pytest.MonkeyPatch) -> None:
    """Let ``auto`` choose the built-in model, without a download."""

    def none_here(name: str, **_: object) -> Path:
        raise WeightsError(f"no weights of {name}: tests download nothing")

    patch.setattr("sonotype.modelfile.pretrained.weights_path", none_here)


@pytest.fixture
def workspace(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the sounds and runs as the current folder."""
    root = tmp_path / "work"
    shutil.copytree(prepared, root)
    without_weights(monkeypatch)
    monkeypatch.chdir(root)
    return root


def remove_outputs(words: list[str]) -> None:
    """Remove what an earlier command or the fixture wrote, which would not be replaced."""
    targets = [Path(value) for flag, value in pairwise(words) if flag in OUTPUTS]
    for target in targets:
        if target.is_dir():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)


@pytest.mark.filterwarnings("default")
def test_the_commands_run(workspace: Path) -> None:
    lines = [shlex.split(line, comments=True) for page in PAGES for line in commands(page)]
    distinct = list(dict.fromkeys(shlex.join(line) for line in lines))
    distinct.sort(key=lambda line: not line.startswith("sonotype train "))  # others need the runs
    failed = []
    for line in distinct:
        if not reason_not_to_run(line):
            words = shlex.split(line)[1:]
            remove_outputs(words)
            if code := run(words):
                failed.append(f"exit code {code}: {line}")
    assert failed == []


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=name_of)
@pytest.mark.filterwarnings("default")
def test_the_python_of_a_page_runs(page: Path, workspace: Path) -> None:
    names: dict[str, object] = {"sonotype": sonotype}
    for code in blocks(page, "python"):
        if not any(name_of(page) == name and part in code for name, part in PYTHON_NOT_RUN):
            exec(compile(code, str(page), "exec"), names)


def test_each_exception_is_needed() -> None:
    lines = [line for page in PAGES for line in commands(page)]
    unused = [one for one in PARSED_ONLY if not any(re.match(one, line) for line in lines)]
    assert unused == []
    for name, part in PYTHON_NOT_RUN:
        [page] = [page for page in PAGES if name_of(page) == name]
        assert any(part in code for code in blocks(page, "python")), part


def test_other_commands_name_files_and_extras_that_exist() -> None:
    extras = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]["optional-dependencies"]
    makefile = text_of(ROOT / "Makefile")
    for page in PAGES:
        for code in blocks(page, "sh"):
            for extra in re.findall(r"pip install.*'\.\[([\w,]+)\]'", code):
                assert set(extra.split(",")) <= set(extras), name_of(page)
            for script in re.findall(r"^python ([\w/]+\.py)", code, re.MULTILINE):
                assert (ROOT / script).is_file(), f"{name_of(page)}: {script}"
            for target in re.findall(r"^make ([\w-]+)", code, re.MULTILINE):
                assert f"\n{target}:" in makefile, f"{name_of(page)}: make {target}"
