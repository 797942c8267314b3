"""A few hundred inputs of each edge from outside; and the harness finds planted faults."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from script_modules import SCRIPTS

sys.path.append(str(SCRIPTS))  # for the package fuzzing

from fake_edges import CLEAN, FAULTS

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the harness needs Linux"),
    pytest.mark.timeout(600),
]

INPUTS = {
    "onnx": 25,  # its corpus is an export, which takes most of a minute
    "decoder": 200, "labels": 250, "tables": 150, "outputs": 40, "saved": 200, "archive": 100,
    "model": 200, "http": 200, "app": 60,
}  # fmt: skip
NEEDS = {"onnx": ("onnx", "onnxruntime"), "http": ("fastapi",), "app": ("fastapi",),
         "tables": ("pyarrow",), "outputs": ("pyarrow",),
         "archive": ("pyarrow", "usearch")}  # fmt: skip


def fuzz(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPTS / "fuzz.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=580)


@pytest.mark.parametrize("edge", INPUTS)
def test_no_input_breaks_an_edge(tmp_path: Path, edge: str) -> None:
    for module in NEEDS.get(edge, ()):
        pytest.importorskip(module)
    count = str(INPUTS[edge])
    done = fuzz(edge, "--inputs", count, "--seed", "7", "--out", str(tmp_path), "--hang", "30")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{edge}: {count} inputs" in done.stdout


def test_planted_faults_are_found(tmp_path: Path) -> None:
    edge = str(Path(__file__).parent / "fake_edges.py")
    arguments = [edge, "--inputs", str(CLEAN), "--seed", "7", "--out", str(tmp_path)]
    done = fuzz(*arguments, "--hang", "3")
    assert done.returncode == 1, done.stdout + done.stderr
    folder = tmp_path / "fake_edges"
    kinds = {"segfault": "crash", "abort": "crash", "link": "outside", "parent": "outside",
             "native": "outside"}  # fmt: skip
    found = {
        int(find.name): (find / "find.txt").read_text().splitlines()[0]
        for find in (folder / "finds").iterdir()
    }
    expected = {number: kinds.get(fault, fault) for number, fault in FAULTS.items()}
    assert found == expected
    state = json.loads((folder / "state.json").read_text())
    assert state["next"] == CLEAN
    for number in (4, 10):
        again = fuzz(edge, "--replay", str(folder / "finds" / str(number)), "--out", str(tmp_path))
        assert expected[number] in again.stdout


def test_a_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    arguments = ["labels", "--seed", "7", "--out", str(tmp_path)]
    assert fuzz(*arguments, "--inputs", "5").returncode == 0
    assert fuzz(*arguments, "--inputs", "8").stdout.startswith("labels: 8 inputs")
    other = fuzz("labels", "--seed", "8", "--out", str(tmp_path))
    assert other.returncode != 0
    assert "--seed 7" in other.stderr
