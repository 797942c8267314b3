from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from label_texts import sound
from soundsets import esc50_folder, four_clips, tone, touch, write_table

from sonotype.cli.main import run


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def lines_of(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines()]


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "list"]) == 0
    lines = lines_of(capsys.readouterr().out)
    assert [line.split()[0] for line in lines[:3]] == ["name", "esc50", "msos"]
    assert "CC BY-NC 3.0" in lines[1]
    assert "msos: https://doi.org/10.17866/rd.salford.6901475" in lines
    assert max(map(len, lines)) <= 80


def test_list_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == ["esc50", "msos"]
    assert set(rows[0]) == {"name", "what", "clips", "size", "licence", "address", "citation"}


def test_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "check", str(esc50_folder(tmp_path))]) == 0
    assert lines_of(capsys.readouterr().out) == [
        "name        esc50",
        "clips       5",
        "copies      none found",
        "recordings  4",
        "folds       1, 2",
        "categories  2",
        "events      2",
        "licence     CC BY-NC 3.0",
        "",
        "category  clips  recordings",
        "animals       3           2",
        "urban         2           2",
        "",
        "event         category  clips  recordings",
        "dog           animals       3           2",
        "church_bells  urban         2           2",
    ]


def test_check_without_events_and_groups(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_table(tmp_path, '{"synthetic": true, "name": "[b]pets"}', "sonotype.json")
    assert run(["data", "check", str(four_clips(tmp_path))]) == 0
    assert lines_of(capsys.readouterr().out) == [
        "name        [b]pets (synthetic)",
        "clips       4",
        "copies      none found",
        "recordings  unknown; each clip is a group of its own",
        "folds       none",
        "categories  2",
        "events      none",
        "licence     not stated",
        "",
        "category  clips",
        "cat           2",
        "dog           2",
    ]


def test_check_fits_eighty_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    long = "a very long name " * 6
    touch(
        tmp_path, *(f"{c}{long}/{e}{long}/{n}.wav" for c in "ab" for e in c + "x" + c for n in "12")
    )
    assert run(["data", "check", str(tmp_path), "--qualify-events"]) == 0
    assert max(map(len, lines_of(capsys.readouterr().out)[7:])) <= 80


def test_check_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "check", str(esc50_folder(tmp_path)), "--label-set", "msos", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found.pop("citation").startswith("K. J. Piczak")
    assert found == {
        "name": "esc50",
        "synthetic": False,
        "licence": "CC BY-NC 3.0",
        "clips": 5,
        "copies": 0,
        "groups": 4,
        "folds": [1, 2],
        "categories": {"Music": 2, "Nature": 3},
        "events": {"Church bells": 2, "Dog": 3},
        "without_event": {},
    }


def test_check_reports_partly_labelled_categories(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ["a,cat,purr", "b,cat,purr", "c,cat,", "d,dog,bark", "e,dog,bark", "f,rain,", "g,rain,"]
    touch(tmp_path, *(f"{row[0]}.wav" for row in rows))
    lines = [row.replace(",", ".wav,", 1) for row in rows]
    table = write_table(tmp_path, "\n".join(["path,category,event", *lines]))
    assert run(["data", "check", str(table)]) == 0
    text = capsys.readouterr().out
    assert max(map(len, lines_of(text))) <= 80
    assert "(cat 1 of 3, rain 2 of 2)" in " ".join(text.split())
    assert run(["data", "check", str(table), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["without_event"] == {"cat": 1, "rain": 2}


def test_check_prints_all_issues(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "\n".join(f"{n}.wav,{'ab'[n % 2]}" for n in range(50))
    table = write_table(tmp_path, f"path,label\n{rows}")
    assert run(["data", "check", str(table)]) == 4
    found = capsys.readouterr()
    assert lines_of(found.out) == [f"{table}:{n + 2}: {n}.wav: no such file" for n in range(50)]
    assert found.err == f"{table}: 50 issues\n"
    assert run(["data", "check", str(table), "--json"]) == 4
    issues = json.loads(capsys.readouterr().out)["issues"]
    assert issues[0] == {"file": str(table), "line": 2, "cause": "0.wav: no such file"}
    assert len(issues) == 50


def test_check_takes_the_options_of_sources(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    touch(tmp_path, "r1_a.wav", "r1_b.wav", "r2_c.wav")
    table = write_table(
        tmp_path, "clip,kind,what,note\nr1_a.wav,x,i,\nr1_b.wav,x,i,\nr2_c.wav,x,j,"
    )
    arguments = ["data", "check", str(table), "--purpose", "evaluation", "--ignore-columns"]
    arguments += ["--column", "path=clip", "--column", "category=kind", "--column", "event=what"]
    arguments += ["--group-pattern", "r[0-9]", "--rare-events", "unlabel", "--json"]
    assert run(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["groups"], found["events"]) == (2, {"i": 2})
    assert run(["data", "check", str(table), "--subset", "evaluation"]) == 2
    assert capsys.readouterr().err == f"error: --subset is for MSoS, but {table} is a table\n"


def test_check_decodes_on_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("x/1.wav", "x/2.wav", "y/1.wav"):
        tone(tmp_path / name)
    (tmp_path / "y/2.wav").write_text("no sound")
    assert run(["data", "check", str(tmp_path)]) == 0
    capsys.readouterr()
    assert run(["data", "check", str(tmp_path), "--decode"]) == 4
    assert capsys.readouterr().out.startswith(f"{tmp_path}/y/2.wav: ")
    tone(tmp_path / "y/2.wav")
    assert run(["data", "check", str(tmp_path), "--decode"]) == 0


def test_get_known_and_unknown_data_sets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    esc50_folder(tmp_path)
    assert run(["data", "get", "esc50", "--out", str(tmp_path)]) == 0
    assert lines_of(capsys.readouterr().out)[:2] == [
        f"esc50 is in {tmp_path}; see: sonotype data check {tmp_path}",
        "licence: CC BY-NC 3.0",
    ]
    assert run(["data", "get", "msos", "--out", str(tmp_path / "msos")]) == 2
    assert "https://doi.org/10.17866/rd.salford.6901475" in capsys.readouterr().err
    assert run(["data", "get", "esc5", "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert all(name in error for name in ("'esc5'", "esc50", "msos"))


def test_nothing_heavy_is_imported_for_the_help() -> None:
    heavy = "{'torch', 'pandas', 'numpy', 'sklearn', 'matplotlib', 'soundfile', 'requests'}"
    code = f"import sys, sonotype.cli.data_command; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_check_of_three_levels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = ("animals/dog/bark", "animals/dog/growl", "animals/cat/purr", "urban/car/horn")
    touch(tmp_path, *(f"{folder}/{n}.wav" for folder in folders for n in "12"))
    touch(tmp_path, "animals/cat/once/1.wav")
    assert run(["data", "check", str(tmp_path), "--rare-events", "unlabel"]) == 0
    lines = lines_of(capsys.readouterr().out)
    assert lines[5:] == [
        "categories         2",
        "events             3",
        "labels of level_3  4; 1 clips without level_3",
        "licence            not stated",
        "",
        "category  clips",
        "animals       7",
        "urban         2",
        "",
        "event  category  clips",
        "cat    animals       3",
        "dog    animals       4",
        "car    urban         2",
        "",
        "level_3  event  clips",
        "horn     car        2",
        "purr     cat        2",
        "bark     dog        2",
        "growl    dog        2",
        "",
        "partly labelled: some clips have no level_3 label (cat 1 of 3); the model takes",
        "the event of such clips from the event head",
    ]
    assert run(["data", "check", str(tmp_path), "--rare-events", "unlabel", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["level_3"] == {"bark": 2, "growl": 2, "horn": 2, "purr": 2}
    assert found["events"] == {"car": 2, "cat": 3, "dog": 4}
    assert (found["without_event"], found["without_level_3"]) == ({}, {"cat": 1})


# Clips with several labels


def test_check_of_several_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    touch(tmp_path, *(f"{letter}.wav" for letter in "abcde"))
    lines = """path,label,event,group
        a.wav,dog;cat,bark;meow,1
        b.wav,cat,,1
        c.wav,none,,2
        d.wav,dog,bark,2
        e.wav,cat,meow,3"""
    table = write_table(tmp_path, lines)
    assert run(["data", "check", str(table)]) == 0
    found = lines_of(capsys.readouterr().out)
    assert "categories  2; 1 clips without category" in found
    assert "labels      1 clips with several, 1 with none" in found
    assert not any("partly labelled" in line for line in found)
    assert found[found.index("category  clips  recordings") + 1 :][:2] == [
        "cat           3           2",
        "dog           2           2",  # a is in the first recording, though cat comes before dog
    ]
    assert run(["data", "check", str(table), "--json"]) == 0
    read = json.loads(capsys.readouterr().out)
    assert (read["with_several_labels"], read["without_labels"]) == (1, 1)
    assert read["categories"] == {"cat": 3, "dog": 2}
    assert run(["data", "check", str(table), "--problem", "single", "--purpose", "evaluation"]) == 0
    assert "with several" not in capsys.readouterr().out


# Annotated recordings

ANNOTATIONS = """path,start,end,label,group,fold
    a.wav,1,1.5,dog,n,1
    a.wav,2,5,dog,n,1
    b.wav,0,1,dog,n,2
    b.wav,4,7.2,a long name of a class that does not fit into one line of a narrow terminal,n,2"""


def annotated(root: Path) -> Path:
    for number, name in enumerate("abcd"):
        sound(root / f"{name}.wav", 36 + number)
    write_table(root, ANNOTATIONS, "annotations.csv")
    return root


def test_check_of_annotated_recordings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = annotated(tmp_path / "night")
    assert run(["data", "check", str(folder)]) == 0
    found = lines_of(capsys.readouterr().out)
    assert max(map(len, found)) <= 80
    facts = dict(line.split("  ", 1) for line in found[: found.index("")])
    assert {name: value.strip() for name, value in facts.items()} == {
        "name": "night",
        "recordings": "2",
        "without label file": "2; not used",
        "copies": "none found",
        "groups": "1",
        "folds": "1, 2",
        "hours": "0.0203",
        "hours listened to": "0.00311",  # 4 s of a.wav and 7.2 s of b.wav
        "events": "4",
        "classes": "2",
        "licence": "not stated",
    }
    (header,) = (line for line in found if line.startswith("class  "))
    columns = ["events", "recordings", "shortest (s)", "median (s)", "longest (s)"]
    assert header.split(None, 1)[1] == "  ".join(columns)
    (dog,) = (line for line in found if line.startswith("dog"))
    assert dog.split() == ["dog", "3", "2", "0.500", "1.000", "3.000"]


def test_annotated_recordings_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = annotated(tmp_path / "night")
    assert run(["data", "check", str(folder), "--json", "--annotated", "whole", "--decode"]) == 0
    found = json.loads(capsys.readouterr().out)
    name = next(label for label in found["classes"] if label != "dog")
    assert found == {
        "name": "night",
        "synthetic": False,
        "licence": "",
        "citation": "",
        "recordings": 2,
        "not_annotated": 2,
        "copies": 0,
        "groups": 1,
        "folds": [1, 2],
        "hours": pytest.approx(73 / 3600),
        "hours_listened": pytest.approx(73 / 3600),
        "events": 4,
        "classes": {
            name: {"events": 1, "recordings": 1, "shortest": 3.2, "median": 3.2, "longest": 3.2},
            "dog": {"events": 3, "recordings": 2, "shortest": 0.5, "median": 1, "longest": 3},
        },
    }


def test_copies_and_issues_of_annotated_recordings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = annotated(tmp_path / "night")
    (folder / "b.wav").write_bytes((folder / "a.wav").read_bytes())
    write_table(folder, ANNOTATIONS.replace(",group", ",ignored"), "annotations.csv")
    for flags in ([], ["--decode"]):
        assert run(["data", "check", str(folder), *flags]) == 0
        found = lines_of(capsys.readouterr().out)
        assert any(line.startswith("copies  ") and " 1 " in line for line in found)
        assert max(map(len, found)) <= 80
    (folder / "a.wav").write_bytes((folder / "a.wav").read_bytes()[:-20_000])
    assert run(["data", "check", str(folder), "--decode"]) == 4
    assert "a.wav: is truncated" in capsys.readouterr().out
    write_table(folder, "path,start,end,label\na.wav,x,1,dog\ngone.wav,0,1,dog", "annotations.csv")
    assert run(["data", "check", str(folder), "--json"]) == 4
    assert [issue["line"] for issue in json.loads(capsys.readouterr().out)["issues"]] == [2, 3]
    assert run(["data", "check", str(folder), "--label-set", "msos"]) == 2
    assert "--label-set" in capsys.readouterr().err
