"""The commands and the Python of the documentation run, on small sounds.

``test_docs`` parses each command with the options of the real program. Here those that can run do
so, page by page, in the order of the page. What cannot run is listed with the reason.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from annotated_recordings import write_recordings
from documentation import PAGES, ROOT, blocks, commands, text_of

import sonotype
from sonotype.cli.main import run
from sonotype.core.errors import WeightsError

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
    r"sonotype (train|detect|predict|evaluate) .*examples/esc10": "10 s; the demo does the same",
    r"sonotype explain examples/esc10": "needs the sounds of the repository as current folder",
    r"sonotype learning-curve\b": "trains about thirty times",
    r"sonotype (train|crossval) .*--(recipe|system|checkpoint)": "minutes of gradient descent",
    r"sonotype distill\b": "minutes of gradient descent",
    r"sonotype compare runs/first runs/paper\b": "needs the run of --recipe paper",
    r"sonotype report .*--curve": "needs the learning curve",
    r"sonotype detect .*runs/second/model.safetensors": "needs a second model of the same classes",
    r"sonotype tune\b": "composes an hour of recordings",
    r"sonotype train results/clips\b": "needs clips that a person has corrected",
    r"sonotype train runs/first/corrected_labels.csv": "needs labels that a person has corrected",
    r"sonotype train --resume runs/first": "needs an interrupted run",
    r"sonotype export .*--int8": "calibrates on many clips",
}
"""Commands that are parsed and not run: a pattern, and the reason."""

PYTHON_NOT_RUN = {
    ("training.md", "audiomentations"): "trains on eight augmented copies by gradient descent",
    ("README.md", "epochs=20"): "20 epochs of gradient descent",
}
"""Python blocks that are compiled and not run: page and a part of the block, and the reason."""


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


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sounds, and the runs that pages expect, on the features of the built-in model."""
    root = tmp_path_factory.mktemp("documentation")
    write_sounds(root)
    before = Path.cwd()
    os.chdir(root)
    try:
        with pytest.MonkeyPatch.context() as patch:
            without_weights(patch)
            sonotype.train("recordings", "runs/first")
            sonotype.train("other_recordings", "runs/second")
            sonotype.train("site_a", "runs/site")
            assert run(["export", "runs/first", "--to", "onnx"]) == 0
    finally:
        os.chdir(before)
    return root


def without_weights(patch: pytest.MonkeyPatch) -> None:
    """Let ``auto`` choose the built-in model, without a download."""

    def none_here(name: str, **_: object) -> Path:
        raise WeightsError(f"no weights of {name}: tests download nothing")

    patch.setattr("sonotype.modelfile.pretrained.weights_path", none_here)


@pytest.fixture
def workspace(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A copy of the sounds and runs as the current folder."""
    root = tmp_path / "work"
    shutil.copytree(prepared, root)
    without_weights(monkeypatch)
    monkeypatch.chdir(root)
    return root


def remove_output(words: list[str]) -> None:
    """Remove an output of an earlier command or fixture, which would not be replaced."""
    for flag, value in zip(words, words[1:], strict=False):
        if flag == "--out":
            target = Path(value)
            shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)


def run_commands(page: Path) -> None:
    for line in commands(page):
        if not reason_not_to_run(line):
            words = shlex.split(line, comments=True)[1:]
            remove_output(words)
            if words[0] == "export":
                Path("runs/first/model.onnx").unlink()
            assert run(words) == 0, line


def run_python(page: Path) -> None:
    waveform = np.zeros((1, 5 * RATE), np.float32)
    names: dict[str, object] = {"sonotype": sonotype, "waveform": waveform}
    shutil.copy("runs/first/model.onnx", "model.onnx")
    for code in blocks(page, "python"):
        if not any(page.name == name and part in code for name, part in PYTHON_NOT_RUN):
            exec(compile(code, str(page), "exec"), names)


def runs_something(page: Path) -> bool:
    return any(not reason_not_to_run(line) for line in commands(page)) or bool(
        blocks(page, "python")
    )


@pytest.mark.parametrize(
    "page", [page for page in PAGES if runs_something(page)], ids=lambda page: page.name
)
@pytest.mark.filterwarnings("default")
def test_the_commands_and_the_python_of_a_page_run(page: Path, workspace: Path) -> None:
    run_commands(page)
    run_python(page)
    left = sorted(one.name for one in workspace.iterdir())
    assert {"recordings", "field", "runs"} <= set(left)


def test_each_exception_is_needed() -> None:
    lines = [line for page in PAGES for line in commands(page)]
    unused = [one for one in PARSED_ONLY if not any(re.match(one, line) for line in lines)]
    assert unused == []
    for name, part in PYTHON_NOT_RUN:
        [page] = [page for page in PAGES if page.name == name]
        assert any(part in code for code in blocks(page, "python")), part


def test_other_commands_name_files_and_extras_that_exist() -> None:
    extras = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]["optional-dependencies"]
    makefile = text_of(ROOT / "Makefile")
    for page in PAGES:
        for code in blocks(page, "sh"):
            for extra in re.findall(r"pip install.*'\.\[([\w,]+)\]'", code):
                assert set(extra.split(",")) <= set(extras), page.name
            for script in re.findall(r"^python ([\w/]+\.py)", code, re.MULTILINE):
                assert (ROOT / script).is_file(), f"{page.name}: {script}"
            for target in re.findall(r"^make ([\w-]+)", code, re.MULTILINE):
                assert f"\n{target}:" in makefile, f"{page.name}: make {target}"
