"""Names in tables are found in whatever Unicode normal form the disk has them."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pandas as pd
import pytest
from soundsets import faults_of, touch, write_table

from sonotype.data import read_esc50, read_msos, read_table
from sonotype.data.file_names import Names
from sonotype.data.readers.source import open_source


def nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def nfd(text: str) -> str:
    return unicodedata.normalize("NFD", text)


SOUNDS = ("été/pluie_é0.wav", "été/pluie_é1.wav", "hiver/Ångström.wav", "hiver/한국.wav")
LABELS = ("x", "x", "y", "y")


def slow_find(path: Path) -> Path:
    """Part by part: the exact entry, else the first that is canonically equal."""
    found = Path(path.anchor)
    for part in path.parts[1:]:
        entries = sorted(one.name for one in found.iterdir()) if found.is_dir() else []
        equal = [entry for entry in entries if nfc(entry) == nfc(part)]
        found = found / (part if part in entries or not equal else equal[0])
    return found


@pytest.mark.parametrize(("disk", "text"), [(nfd, nfc), (nfc, nfd), (nfd, nfd)])
@pytest.mark.parametrize("kind", ["csv", "parquet", "metadata"])
def test_tables(tmp_path: Path, disk: object, text: object, kind: str) -> None:
    touch(tmp_path, *map(disk, SOUNDS))  # type: ignore[arg-type,call-overload]
    names = [text(name) for name in SOUNDS]  # type: ignore[operator]
    if kind == "parquet":
        table = tmp_path / "t.parquet"
        pd.DataFrame({"path": names, "label": LABELS}).to_parquet(table)
    else:
        rows = "\n".join(f"{name},{label}" for name, label in zip(names, LABELS, strict=True))
        table = write_table(tmp_path, f"path,label\n{rows}", f"{kind.removesuffix('csv')}.csv")
        table = tmp_path if kind == "metadata" else table
    clips = read_table(table).clips
    wanted = sorted(tmp_path / disk(name) for name in SOUNDS)  # type: ignore[operator]
    assert [clip.path for clip in clips] == wanted
    assert all(slow_find(tmp_path / name) in wanted for name in names)


def test_paths_from_the_root_and_from_windows(tmp_path: Path) -> None:
    touch(tmp_path, *map(nfd, SOUNDS))
    rows = "\n".join(
        f"{tmp_path}/{name},{label}" for name, label in zip(SOUNDS, LABELS, strict=False)
    )
    assert len(read_table(write_table(tmp_path, f"path,label\n{rows}")).clips) == 4
    rows = rows.replace(f"{tmp_path}/", "").replace("/", "\\")
    assert len(read_table(write_table(tmp_path, f"path,label\n{rows}")).clips) == 4


def test_the_exact_name_wins(tmp_path: Path) -> None:
    touch(tmp_path, nfc("é.wav"), nfd("é.wav"))
    names = Names()
    for audio_spec in (nfc, nfd):
        assert names.find(tmp_path / audio_spec("é.wav")) == tmp_path / audio_spec("é.wav")


def test_case_and_compatible_letters_stay_apart(tmp_path: Path) -> None:
    touch(tmp_path, nfd("Été.wav"), "ﬁn.wav", "x²/a.wav")
    names = Names()
    for wrong in ("été.wav", "fin.wav", "x2/a.wav", "gone/été.wav", "a\0.wav"):
        assert names.find(tmp_path / wrong) == tmp_path / wrong
    table = write_table(tmp_path, "path,label\nété.wav,x", "t.csv")
    assert "t.csv:2: été.wav: no such file" in faults_of(lambda: read_table(table), tmp_path)


def test_each_folder_is_listed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, *(nfd(f"été/{number}é.wav") for number in range(50)))
    listed: list[str] = []
    plain = os.listdir

    def listdir(path: Path) -> list[str]:
        listed.append(str(path))
        return plain(path)

    monkeypatch.setattr(os, "listdir", listdir)
    names = Names()
    for number in range(50):
        assert names.find(tmp_path / nfc(f"été/{number}é.wav")).is_file()
        names.find(tmp_path / nfc(f"été/gone{number}é.wav"))
    assert listed == [str(tmp_path), str(tmp_path / nfd("été"))]


def test_the_data_sets_own_tables(tmp_path: Path) -> None:
    lines = "filename,fold,target,category,esc10,src_file,take"
    for number in range(4):
        name, target = ("dog", 0) if number < 2 else ("rain", 10)
        touch(tmp_path / "esc", nfd(f"audio/é{number}.flac"))
        lines += f"\né{number}.wav,{number % 2 + 1},{target},{name},False,{number},A"
    write_table(tmp_path / "esc/meta", lines, "esc50.csv")
    found = [clip.path.name for clip in read_esc50(tmp_path / "esc").clips]
    assert found == [nfd(f"é{number}.flac") for number in range(4)]
    sheet = "Category,Event,File\n" + "\n".join(f"Été,,é{n}.wav\nNature,,ü{n}.wav" for n in "12")
    write_table(tmp_path / "msos", sheet, "Logsheet_Development.csv")
    touch(tmp_path / "msos", *(nfd(f"Development/Été/é{n}.wav") for n in "12"))
    touch(tmp_path / "msos", *(nfd(f"Development/Nature/ü{n}.wav") for n in "12"))
    assert len(read_msos(tmp_path / "msos").clips) == 4


def test_the_data_itself(tmp_path: Path) -> None:
    touch(tmp_path / nfd("été"), "x/1.wav", "x/2.wav", "y/1.wav", "y/2.wav")
    assert open_source(tmp_path / nfc("été")).name == nfd("été")
