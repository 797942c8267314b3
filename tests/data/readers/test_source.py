from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from label_texts import sound
from soundsets import esc50_folder, faults_of, four_clips, tone, touch, write_table

from sonotype.core.errors import DataError, OptionsError
from sonotype.data import read_esc50, read_folder, read_msos, read_table
from sonotype.data.dataset_info import INFO_FILE
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
        (
            make_msos,
            {"column": ("path=x",)},
            "--column is for a table or a data set of Hugging Face, but {} is MSoS",
        ),
        (
            make_msos,
            {"ignore_columns": True},
            "--ignore-columns is for a table or a data set of Hugging Face, but {} is MSoS",
        ),
        (
            esc50_folder,
            {"group_pattern": "x"},
            (
                "--group-pattern is for MSoS or a table or a data set of Hugging Face "
                "or annotated recordings or class folders, but {} is ESC-50"
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
            "x.wav: neither a folder nor a table (.csv or .parquet or .jsonl): one sound; "
            "name the folder or the table of labelled sounds, or classify it with sonotype predict"
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
    assert issue.startswith(
        f"{name}: neither a folder nor a table (.csv or .parquet or .jsonl): {advice}"
    )


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


# Annotated recordings


def make_annotated(root: Path, name: str = "annotations.csv") -> Path:
    """Three recordings of 10 s, two of them with events."""
    for recording in ("a.wav", "b.wav", "c.wav"):
        sound(root / recording)
    write_table(root, "path,start,end,label\na.wav,1,2,x\na.wav,4,8,y\nb.wav,3,4,x", name)
    return root


def test_annotated_recordings_are_recognised(tmp_path: Path) -> None:
    folder = make_annotated(tmp_path / "set")
    assert recognise(folder) == ("annotated", folder)
    table = folder / "annotations.csv"
    assert recognise(table) == ("annotated", table)
    found = open_source(folder)
    assert (found.clips, found.name, found.grouped) == ((), "set", True)
    assert [one.path.name for one in found.recordings] == ["a.wav", "b.wav"]
    assert [(one.seconds, one.spans) for one in found.recordings] == [
        (10, ((1, 8),)),
        (10, ((3, 4),)),
    ]
    assert found.not_annotated == 1
    assert open_source(table).recordings == found.recordings
    single = tmp_path / "single"
    sound(single / "a.wav")
    write_table(single, "1\t2\tx", "a.txt")
    assert recognise(single / "a.txt")[0] == "annotated"
    assert len(open_source(single / "a.txt").recordings) == 1


def test_options_of_annotated_recordings(tmp_path: Path) -> None:
    folder = make_annotated(tmp_path)
    whole = open_source(folder, SourceOptions(annotated="whole"))
    assert [one.spans for one in whole.recordings] == [((0, 10),), ((0, 10),)]
    grouped = open_source(folder, SourceOptions(group_pattern="[.]wav"))
    assert {one.group for one in grouped.recordings} == {".wav"}
    assert open_source(folder, SourceOptions(use_truncated=True)).partial
    windows = SourceOptions(window_hop=0.5, min_overlap=0.2, background=3).windows(2.0, seed=4)
    assert (windows.step, windows.min_overlap, windows.background, windows.seed) == (0.5, 0.2, 3, 4)
    assert (windows.seconds, SourceOptions().windows(2.0, 0).step) == (2, 0.5)


@pytest.mark.parametrize(
    ("make", "options"),
    [
        *(
            (make_annotated, option)
            for option in (
                {"label_set": "msos"},
                {"subset": "evaluation"},
                {"column": ("category=label",)},
                {"ignore_columns": True},
                {"rare_events": "unlabel"},
                {"qualify_events": True},
            )
        ),
        *(
            (make, option)
            for make in (make_folder, four_clips, esc50_folder, make_msos)
            for option in (
                {"label_column": "x"},
                {"annotated": "whole"},
                {"window_hop": 1.0},
                {"min_overlap": 0.4},
                {"background": 2.0},
            )
        ),
    ],
)
def test_options_that_do_not_fit_annotated_recordings_or_others(
    tmp_path: Path, make: Make, options: dict[str, object]
) -> None:
    place = make(tmp_path)
    flag = "--" + next(iter(options)).replace("_", "-")
    for read in (open_source, inspect_source):
        with pytest.raises(OptionsError, match=f"^{flag} is for "):
            read(place, SourceOptions(**options))  # type: ignore[arg-type]


def test_issues_of_annotated_recordings(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav")
    write_table(tmp_path, "path,start,end,label\na.wav,1,2,noise", "annotations.csv")
    (issue,) = faults_of(lambda: open_source(tmp_path), tmp_path)
    assert "no recording has a labelled event" in issue
    write_table(tmp_path, "path,start,end,label\na.wav,2,1,x\ngone.wav,1,2,x", "annotations.csv")
    issues = faults_of(lambda: open_source(tmp_path), tmp_path)
    assert [issue.split(": ")[0] for issue in issues] == ["annotations.csv:2", "annotations.csv:3"]


def test_copies_of_annotated_recordings(tmp_path: Path) -> None:
    """All of them are silent: with or without decoding, they are one group."""
    folder = make_annotated(tmp_path)
    for decode in (False, True):
        found = inspect_source(folder, decode=decode)
        assert [one.group for one in found.recordings] == ["a.wav", "a.wav"]
        assert all(one.content is not None for one in found.recordings)
    (folder / "b.wav").write_bytes((folder / "b.wav").read_bytes()[:-8000])
    (issue,) = faults_of(lambda: inspect_source(folder, decode=True), tmp_path)
    assert issue.startswith("b.wav: is truncated")
    assert (
        len(inspect_source(folder, SourceOptions(use_truncated=True), decode=True).recordings) == 2
    )


def test_what_a_set_of_annotated_recordings_says_of_itself(tmp_path: Path) -> None:
    folder = make_annotated(tmp_path)
    facts = '{"name": "night", "synthetic": true, "licence": "CC0", "citation": "me"}'
    (folder / INFO_FILE).write_text(facts)
    found = open_source(folder)
    assert (found.name, found.synthetic, found.licence, found.citation) == (
        "night",
        True,
        "CC0",
        "me",
    )
    (folder / INFO_FILE).write_text("{}x")
    with pytest.raises(DataError, match="not JSON"):
        open_source(folder)
