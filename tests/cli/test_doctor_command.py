from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sound_files import noise
from soundsets import write_table

from sonotype.cli.main import run

RATE = 16_000


def burst(seed: int) -> np.ndarray:
    """Two seconds of noise, with another course of its level for each seed."""
    samples = noise(2, seed, RATE) * np.sin(np.arange(2 * RATE) * (seed + 1) / 5000)
    return np.convolve(samples, [1, 0.6, 0.3, 0.1], "same").astype(np.float32)


def folders(root: Path) -> Path:
    for number, label in enumerate(("cat", "dog", "owl")):
        (root / label).mkdir(parents=True)
        for clip in range(5):
            soundfile.write(root / label / f"{clip}.wav", burst(10 * number + clip), RATE)
    return root


def findings(data: Path, capsys: pytest.CaptureFixture[str], *flags: str) -> Mapping[str, list]:
    run(["doctor", str(data), "--json", *flags])
    report = json.loads(capsys.readouterr().out)
    return {
        found["kind"]: [place["where"] for place in found["places"]] for found in report["findings"]
    }


def test_sound_data_have_no_findings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", str(folders(tmp_path))]) == 0
    assert capsys.readouterr().out.strip() == "15 sounds examined: no findings"


def test_faults_of_a_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = folders(tmp_path / "data")
    (root / "Dog").mkdir()
    soundfile.write(root / "Dog" / "x.wav", burst(99), 22_050)
    soundfile.write(root / "owl" / "copy.flac", *soundfile.read(root / "owl" / "0.wav"))
    soundfile.write(root / "cat" / "other.wav", *soundfile.read(root / "dog" / "1.wav"))
    soundfile.write(root / "cat" / "part.wav", 0.5 * burst(2)[RATE // 2 :], RATE)
    soundfile.write(root / "owl" / "part.wav", 0.5 * burst(2)[: RATE + RATE // 2], RATE)
    (root / "owl" / "note.dat").write_bytes(b"1")
    found = findings(root, capsys)
    assert found == {
        "copies_under_two_labels": ["dog/1.wav = cat/other.wav"],
        "near_copies_under_two_labels": found["near_copies_under_two_labels"],
        "copies": ["owl/copy.flac = owl/0.wav"],
        "near_copies": ["cat/part.wav = cat/2.wav"],
        "passed_over": ["owl/note.dat"],
        "mixed_rates": ["16000 Hz", "22050 Hz"],
        "similar_labels": ["'Dog' and 'dog'"],
        "small_class": ["Dog"],
    }
    pairs = {frozenset(pair.split(" = ")) for pair in found["near_copies_under_two_labels"]}
    assert frozenset(("owl/part.wav", "cat/2.wav")) in pairs
    assert run(["doctor", str(root), "--no-near"]) == 4
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert "dog/1.wav = cat/other.wav (dog and cat)" in " ".join(text.split())
    assert not {"near_copies"} & set(findings(root, capsys, "--no-near"))


def test_all_faults_of_a_table_and_copies_across_folds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = folders(tmp_path)
    rows = [f"{a}/{n}.wav,{a},{n % 2 + 1}" for a in ("cat", "dog", "owl") for n in range(5)]
    soundfile.write(root / "cat" / "copy.wav", *soundfile.read(root / "cat" / "0.wav"))
    rows += ["cat/copy.wav,cat,2", "missing.wav,dog,1", "gone.wav,dog,1"]
    table = write_table(root, "\n".join(["path,category,fold", *rows]))
    found = findings(table, capsys, "--no-near")
    assert found == {
        "listing": ["labels.csv:18", "labels.csv:19"],
        "copies_across_folds": ["cat/copy.wav = cat/0.wav"],
    }


def test_fix_and_html(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = folders(tmp_path / "data")
    soundfile.write(root / "cat" / "copy.wav", *soundfile.read(root / "cat" / "0.wav"))
    soundfile.write(root / "cat" / "other.wav", *soundfile.read(root / "dog" / "1.wav"))
    soundfile.write(root / "owl" / "silent.wav", np.zeros(RATE), RATE)
    (root / "owl" / "a<b>.wav").write_bytes(b"no sound")
    (root / "DOG").mkdir()
    soundfile.write(root / "DOG" / "x.wav", burst(98), RATE)
    before = {path: path.read_bytes() for path in root.rglob("*.*")}
    table, page = tmp_path / "fixed.csv", tmp_path / "page.html"
    flags = ["--no-near", "--fix", str(table), "--html", str(page)]
    assert run(["doctor", str(root), *flags]) == 4
    assert {path: path.read_bytes() for path in root.rglob("*.*")} == before
    rows = table.read_text().splitlines()
    assert rows[0] == "path,category"
    assert "data/DOG/x.wav,dog" in rows
    names = {row.split(",")[0] for row in rows}
    assert "data/cat/0.wav" in names
    assert not {f"data/{x}" for x in ("cat/copy.wav", "cat/other.wav", "dog/1.wav")} & names
    assert len(rows) == 1 + 15 - 1 + 1
    html = page.read_text()
    assert "owl/a&lt;b&gt;.wav" in html
    assert "a<b>" not in html
    capsys.readouterr()
    assert run(["data", "check", str(table), "--decode"]) == 0
    capsys.readouterr()
    assert findings(table, capsys, "--no-near") == {}
    assert run(["doctor", str(root), *flags]) == 2
    assert "--force" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--html", "--fix"])
def test_examined_sounds_are_never_replaced(
    tmp_path: Path, flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = folders(tmp_path / "data")
    (root / "cat" / "note.dat").write_bytes(b"1")
    table = write_table(root, "path,category\ncat/0.wav,cat\ndog/0.wav,dog")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    for data, out in ((root, "cat/0.wav"), (root, "cat/note.dat"), (table, "dog/0.wav")):
        assert run(["doctor", str(data), "--no-near", flag, str(root / out), "--force"]) == 2
        assert flag in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before


def test_the_page_on_standard_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = folders(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    argv = ["doctor", str(root), "--no-near"]
    assert run([*argv, "--html", "-"]) == 0
    assert capsys.readouterr().out.rstrip().endswith("</html>")
    assert run([*argv, "--html", "-", "--json"]) == 2
    assert run([*argv, "--fix", "/dev/stdout"]) == 2
    assert not Path("-").exists()
