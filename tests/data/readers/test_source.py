from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from soundsets import esc50_folder, faults_of, four_clips, tone, touch, write_table

from sonotype.core.errors import OptionsError
from sonotype.data import read_esc50, read_folder, read_msos, read_table
from sonotype.data.manifest import Manifest
from sonotype.data.readers.source import SourceOptions, inspect_source, open_source, recognise


def make_folder(root: Path) -> Path:
    return touch(root, "dog/1.wav", "dog/2.wav", "cat/1.wav", "cat/2.wav")


def make_metadata(root: Path) -> Path:
    four_clips(root).rename(root / "metadata.csv")
    return root


def make_msos(root: Path) -> Path:
    write_table(
        root / "v1",
        "Category,Event,File\nUrban,,1.wav\nUrban,,2.wav\nNature,,3.wav\nNature,,4.wav",
        "Logsheet_Development.csv",
    )
    touch(root / "v1/Development", "Urban/1.wav", "Urban/2.wav", "Nature/3.wav", "Nature/4.wav")
    return root


Make = Callable[[Path], Path]
SOURCES: list[tuple[Make, str, Callable[[Path], Manifest]]] = [
    (make_folder, "folder", read_folder),
    (four_clips, "table", read_table),
    (make_metadata, "table", read_table),
    (esc50_folder, "esc50", read_esc50),
    (make_msos, "msos", read_msos),
]


@pytest.mark.parametrize(("make", "kind", "read"), SOURCES)
def test_every_source_is_recognised(
    tmp_path: Path, make: Make, kind: str, read: Callable[[Path], Manifest]
) -> None:
    place = make(tmp_path)
    assert recognise(place) == (kind, place)
    assert open_source(str(place)) == read(place)


@pytest.mark.parametrize(("make", "kind", "read"), SOURCES)
def test_every_source_keeps_the_contract(
    tmp_path: Path, make: Make, kind: str, read: Callable[[Path], Manifest]
) -> None:
    manifest = read(make(tmp_path))
    paths = [clip.path for clip in manifest.clips]
    assert paths == sorted(paths)
    assert all(path.is_file() for path in paths)
    assert all(
        clip.label("category") and clip.group and clip.label("event") != ""
        for clip in manifest.clips
    )
    assert manifest.grouped == (kind == "esc50")
    if not manifest.grouped:
        assert len({clip.group for clip in manifest.clips}) == len(paths)
        assert not any(Path(clip.group).is_absolute() for clip in manifest.clips)
    assert manifest.name


@pytest.mark.parametrize(("make", "kind", "read"), SOURCES)
def test_every_source_names_a_missing_file(
    tmp_path: Path, make: Make, kind: str, read: Callable[[Path], Manifest]
) -> None:
    place = make(tmp_path)
    gone = read(place).clips[0].path
    gone.unlink()
    issues = faults_of(lambda: read(place), tmp_path)
    if kind == "folder":  # its absence cannot be noticed, but one clip is left of its class
        assert issues == [
            "cat/2.wav: category 'cat' has this one clip only; training and test need at least two"
        ]
    else:
        assert [issue.split(": ", 1)[1] for issue in issues] == [f"{gone.name}: no such file"]


def test_the_data_sets_own_tables_lead_to_them(tmp_path: Path) -> None:
    esc50_folder(tmp_path / "esc")
    make_msos(tmp_path / "msos")
    assert open_source(tmp_path / "esc/meta/esc50.csv") == open_source(tmp_path / "esc")
    sheet = tmp_path / "msos/v1/Logsheet_Development.csv"
    assert open_source(sheet) == open_source(tmp_path / "msos")


def test_options_reach_the_readers(tmp_path: Path) -> None:
    esc50 = esc50_folder(tmp_path / "esc")
    assert open_source(esc50, SourceOptions(label_set="msos")) == read_esc50(esc50, names="msos")
    folder = make_folder(tmp_path / "folder")
    grouped = open_source(folder, SourceOptions(group_pattern=r"\d"))
    assert [clip.group for clip in grouped.clips] == ["1", "2", "1", "2"]
    touch(tmp_path, "a.wav", "b.wav")
    table = write_table(tmp_path, "path,kind,extra\na.wav,x,1\nb.wav,x,2")
    options = SourceOptions(column=("category=kind",), ignore_columns=True)
    assert len(open_source(table, options, purpose="evaluation").clips) == 2


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (make_folder, {"label_set": "msos"}, "--label-set is for ESC-50, but {} is class folders"),
        (make_folder, {"subset": "evaluation"}, "--subset is for MSoS, but {} is class folders"),
        (make_msos, {"column": ("path=x",)}, "--column is for a table, but {} is MSoS"),
        (make_msos, {"ignore_columns": True}, "--ignore-columns is for a table, but {} is MSoS"),
        (
            esc50_folder,
            {"group_pattern": "x"},
            (
                "--group-pattern is for MSoS or a table or annotated recordings or class folders, "
                "but {} is ESC-50"
            ),
        ),
        (four_clips, {"column": ("x",)}, "--column x: use FIELD=COLUMN, such as category=species"),
    ],
)
def test_options_that_would_do_nothing(
    tmp_path: Path, make: Make, options: dict[str, object], message: str
) -> None:
    place = make(tmp_path)
    with pytest.raises(OptionsError) as caught:
        open_source(place, SourceOptions(**options))  # type: ignore[arg-type]
    assert str(caught.value) == message.format(place)


def test_places_that_are_none(tmp_path: Path) -> None:
    touch(tmp_path, "x.wav")
    assert faults_of(lambda: open_source(tmp_path / "gone"), tmp_path) == [
        "gone: no such file or folder"
    ]
    assert faults_of(lambda: open_source(tmp_path / "x.wav"), tmp_path) == [
        (
            "x.wav: neither a folder nor a table (.csv or .parquet): one sound; name the folder or "
            "the table of labelled sounds, or classify it with sonotype predict"
        )
    ]


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("m.safetensors", "a model, not labelled sounds; name the folder or the table of"),
        ("m.ONNX", "a model, not labelled sounds; name the folder or the table of"),
        ("best.ckpt", "a checkpoint, not labelled sounds; name the folder or the table of"),
        ("t.xlsx", "a spreadsheet; save it as CSV in UTF-8"),
        ("t.tsv", "a table is read where its name ends in .csv"),
        ("d.zip", "an archive; unpack it first"),
        ("notes", "name the folder or the table of labelled sounds"),
    ],
)
def test_files_that_are_no_data(tmp_path: Path, name: str, advice: str) -> None:
    touch(tmp_path, name)
    (issue,) = faults_of(lambda: open_source(tmp_path / name), tmp_path)
    assert issue.startswith(f"{name}: neither a folder nor a table (.csv or .parquet): {advice}")


def test_pipes_and_devices_are_named_and_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p.csv")
    for path, kind in ((tmp_path / "p.csv", "a named pipe"), (Path("/dev/null"), "a device")):
        for read in (open_source, read_table) if path.suffix else (open_source,):
            (issue,) = faults_of(lambda: read(path), tmp_path.parent)  # noqa: B023
            assert f": {kind}, " in issue
    touch(tmp_path, "a.wav")
    os.mkfifo(tmp_path / "q.wav")
    (tmp_path / "gone.wav").symlink_to("nothing.wav")
    table = write_table(tmp_path, "path,label\na.wav,x\nq.wav,x\ngone.wav,y\na.wav/b,y", "t.csv")
    assert faults_of(lambda: open_source(table), tmp_path)[:3] == [
        "t.csv:3: q.wav: a named pipe, not a file",
        "t.csv:4: gone.wav: a link to nothing",
        "t.csv:5: a.wav/b: no such file",
    ]


def test_names_that_are_too_long_are_missing_files(tmp_path: Path) -> None:
    table = write_table(tmp_path, f"path,label\n{'x' * 300}.wav,x", "t.csv")
    issue = f"t.csv:2: {'x' * 300}.wav: no such file"
    assert issue in faults_of(lambda: open_source(table), tmp_path)
    assert faults_of(lambda: open_source(tmp_path / ("y" * 300)), tmp_path) == [
        f"{'y' * 300}: no such file or folder"
    ]


def test_survey_decodes_what_is_there_and_reports_all_together(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav", "c.wav"):
        tone(tmp_path / name)
    touch(tmp_path, "d.wav")
    table = write_table(
        tmp_path, "path,label\na.wav,x\nb.wav,x\nc.wav,y\nd.wav,y\ngone.wav,y", "t.csv"
    )
    first, second = faults_of(lambda: inspect_source(table, decode=True), tmp_path)
    assert first.startswith("d.wav: ")
    assert second == "t.csv:6: gone.wav: no such file"
    tone(tmp_path / "d.wav")
    tone(tmp_path / "gone.wav")
    assert inspect_source(table, decode=True) == inspect_source(table) == open_source(table)
