"""``sonotype report``: the files that it reads are never replaced."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from training_data import write_tones

import sonotype
from sonotype.cli.main import run as program


@pytest.fixture(scope="module")
def table_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A run on a table, the table, and a sound in it."""
    root = tmp_path_factory.mktemp("table")
    tones = write_tones(root / "tones", clips=2)
    sounds = sorted(tones.rglob("*.wav"))
    table = root / "clips.csv"
    with table.open("w", newline="") as stream:
        rows = [[str(sound), sound.parent.name] for sound in sounds]
        csv.writer(stream).writerows([["path", "category"], *rows])
    options = {"backbone": "builtin", "seconds": 1.0, "evaluation": "none"}
    return sonotype.train(table, root / "run", **options).folder, table, sounds[0]


@pytest.mark.parametrize("moved", [False, True])
def test_inputs_are_not_replaced(
    table_run: tuple[Path, Path, Path], tmp_path: Path, moved: bool
) -> None:
    run, table, sound = table_run
    if moved:  # the run is read where the table is missing, but the sounds are there
        run = Path(shutil.copytree(run, tmp_path / "run"))
        config = json.loads((run / "config.json").read_text())
        (run / "config.json").write_text(json.dumps(config | {"data": str(tmp_path / "no.csv")}))
    curve = tmp_path / "curve"
    curve.mkdir()
    (curve / "curve.json").write_text("{}")
    command = ["report", str(run), "--no-doctor", "--force", "--examples", "0"]
    inputs = [sound, run / "model.safetensors", *([] if moved else [table])]
    for path in inputs:
        before = path.read_bytes()
        assert program([*command, "--out", str(path)]) == 2
        assert path.read_bytes() == before
    out = str(curve / "curve.json")
    assert program([*command, "--curve", str(curve), "--out", out]) == 2
    assert (curve / "curve.json").read_text() == "{}"
    assert program([*command, "--out", str(run / "report.html")]) == 0
    assert program([*command, "--out", str(run / "report.html")]) == 0


def test_sounds_of_a_data_folder_are_not_replaced(tmp_path: Path) -> None:
    tones = write_tones(tmp_path / "tones", clips=2)
    options = {"backbone": "builtin", "seconds": 1.0, "evaluation": "none"}
    run = sonotype.train(tones, tmp_path / "run", **options).folder
    other = tones / "notes.txt"
    other.write_text("by hand")
    for path in (other, next(tones.rglob("*.wav"))):
        assert program(["report", str(run), "--no-doctor", "--force", "--out", str(path)]) == 2
