"""The benchmark's own logic, on peers that only pretend, and once in full on the cheapest ones."""

from __future__ import annotations

import contextlib
import datetime
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from references import efficientat_log_mel, vggish_log_mel
from soundsets import tone

from benchmarks import companions, install, mel_references, worker
from benchmarks.__main__ import chosen, main
from benchmarks.clips import COUNT, real, write_clips
from benchmarks.markdown import figure, small, table
from benchmarks.measure import (
    QUICK,
    Effort,
    Phase,
    Ratio,
    Row,
    catching,
    compare,
    count_steps,
    deviation,
    many,
    measure,
    ratio,
    rounds_for,
    single,
    spread,
)
from benchmarks.mels import EFFICIENTAT, VGGISH
from benchmarks.peer import ASSETS_VARIABLE, Clips, Facts, Loaded, Peer
from benchmarks.peers import PEERS, find
from benchmarks.report import Page, render
from benchmarks.team import PeerError, Worker, environment
from benchmarks.ways import in_batches, one_by_one
from sonotype.core.errors import OptionsError

ROOT = Path(__file__).resolve().parent.parent
EFFORT = Effort(
    repeats=4, least=2, many_seconds=1.0, runs=10, single_seconds=1.0, starts=1, starters=1
)


def pretended(name: str, **more: Any) -> Peer:
    """A peer for what never runs."""
    common: dict[str, Any] = {
        "group": "classifier",
        "sample_rate": 16_000,
        "packages": (),
        "write": lambda folder: Facts(),
        "load": lambda folder, threads: Loaded(lambda clip: clip, {}),
        "slow": lambda folder: lambda clip: clip,
        "batch": 4,
    }
    return Peer(name=name, title=name, **common | more)


class Pretender:
    """A worker that takes as long as it is told to, and writes down in which order it is asked."""

    def __init__(self, name: str, seconds: float, diary: list[str], fails_at: str = "") -> None:
        self.name, self.seconds, self.diary, self.fails_at = name, seconds, diary, fails_at

    def ask(self, do: str, **order: Any) -> dict[str, Any]:
        self.diary.append(f"{self.name} {do}")
        if do == self.fails_at:
            raise PeerError("failed: out of luck")
        if do == "single":
            return {"seconds": [self.seconds] * order["runs"]}
        if do == "many":
            return {"wall": self.seconds * order["count"], "cpu": self.seconds * order["count"]}
        return {
            "choose": {"way": "1 x 1", "seconds": self.seconds},
            "memory": {"bytes": 1_000_000},
            "predictions": {},
        }[do]


def race(**fails_at: str) -> tuple[list[Row], dict[str, Pretender], list[str]]:
    diary: list[str] = []
    rows = [Row(pretended(name), phases={1: Phase()}) for name in ("fast", "slow")]
    workers = {
        "fast": Pretender("fast", 0.05, diary, fails_at.get("fast", "")),
        "slow": Pretender("slow", 0.5, diary, fails_at.get("slow", "")),
    }
    return rows, workers, diary


def test_repeats_take_turns_and_slow_peers_sit_some_of_them_out() -> None:
    rows, workers, diary = race()
    many(rows, workers, 1, EFFORT)
    asked = [entry for entry in diary if entry.endswith("many")]
    assert asked == [
        *("fast many", "slow many"),
        "fast many",
        *("fast many", "slow many"),
        "fast many",
    ]
    fast, slow = (row.phases[1] for row in rows)
    assert fast.wall == pytest.approx(dict.fromkeys(range(4), 100.0))
    assert slow.cpu == pytest.approx({0: 10.0, 2: 10.0})
    assert fast.way == slow.way == "1 x 1"
    assert fast.memory == (0, 1_000_000)


def test_runs_with_one_clip_take_turns_within_the_time_of_each_peer() -> None:
    rows, workers, diary = race()
    single(rows, workers, 1, EFFORT)
    both, alone = ["fast single", "slow single"], ["fast single"]
    assert diary[2:10] == [*both, *both, *alone, *both, *alone]
    assert [len(row.phases[1].single) for row in rows] == [10, 3]
    assert rows[0].phases[1].memory == (1_000_000, 0)


@pytest.mark.parametrize("step", [single, many])
def test_a_peer_that_fails_is_told_of_and_the_others_go_on(step: Any) -> None:
    rows, workers, diary = race(slow=step.__name__)
    step(rows, workers, 1, EFFORT)
    assert [row.fault for row in rows] == ["", "failed: out of luck"]
    assert diary.count(f"slow {step.__name__}") == 1
    assert diary.count(f"fast {step.__name__}") >= 4


def test_repeats_by_time() -> None:
    assert [rounds_for(seconds, EFFORT) for seconds in (0.1, 1.0, 1.5, 60.0)] == [4, 4, 2, 2]
    assert spread(3, 7) == {0, 2, 4}
    assert spread(7, 7) == set(range(7))
    assert spread(1, 3) == {0}


def test_a_ratio_is_the_median_of_pairs_of_one_repeat() -> None:
    ours = {0: 10.0, 1: 30.0, 2: 20.0, 3: 99.0}
    theirs = {0: 5.0, 1: 10.0, 2: 20.0}
    assert ratio(ours, theirs) == Ratio(2.0, 1.0, 3.0)


def test_deviations_are_in_parts_of_the_largest_answer_but_for_log_mels() -> None:
    actual, slow = np.array([1.0, 4.1]), np.array([1.0, 4.0])
    assert deviation(pretended("a"), actual, slow) == pytest.approx(0.025)
    log_mel = pretended("b", group="log-mel 16 kHz")
    assert deviation(log_mel, actual, slow) == pytest.approx(0.1)
    assert deviation(log_mel, actual[:1], slow) == float("inf")


def test_answers_are_compared_with_the_slow_ones(tmp_path: Path) -> None:
    rows, workers, _ = race()
    place = tmp_path / "fast"
    place.mkdir()
    slow = np.array([[1.0, 2.0]])
    np.save(place / "slow.npy", slow)
    np.savez(place / "predictions.npz", one=slow, many=slow + 0.5)
    compare(rows[0], workers["fast"], tmp_path, 1)
    assert rows[0].phases[1].deviation == (0.0, 0.25)
    assert rows[0].wrong


@pytest.mark.parametrize(("value", "wrong"), [(1e-3, False), (2e-3, True), (float("nan"), True)])
def test_times_of_wrong_answers_do_not_count(value: float, wrong: bool) -> None:
    row = finished("quick but wrong", 9.0)
    row.phases[2].deviation = (0.0, value)
    assert row.wrong is wrong
    text = render(page([finished("ours", 1.0), row]))
    assert ("| quick but wrong | wrong " in spaceless(text)) is wrong
    assert ("- quick but wrong: wrong, deviates by more than 0.001" in text) is wrong


def finished(name: str, speed: float, **more: Any) -> Row:
    """A row with figures for one and two threads."""
    phases = {
        threads: Phase(
            starts=[1.0, 2.0, 9.0],
            single=[0.001 * number for number in range(1, 101)],
            wall={number: threads * speed * (10 + number) for number in range(3)},
            cpu={number: speed * (10 + number) for number in range(3)},
            way="1 x 8",
            memory=(200_000_000, 300_000_000),
            deviation=(2e-7, 3e-6),
        )
        for threads in (1, 2)
    }
    return Row(pretended(name, **more), Facts(1_500_000, 2_000_000, 6_000_000), phases)


def page(rows: list[Row], **more: Any) -> Page:
    return Page(rows, [1, 2], "a machine", "Python 3", "16 clips", peaks={1: 1.0, 2: 2.0},
                date=datetime.date(2026, 1, 2), **more)  # fmt: skip


def spaceless(text: str) -> str:
    return re.sub(r" +", " ", text)


def test_the_page() -> None:
    absent = Row(pretended("absent"), fault="absent is not installed")
    broken = finished("broken", 1.0)
    broken.fault = "failed: RuntimeError: no"
    few = finished("few", 0.5, note="half as fast")
    few.phases[1].single = [0.002] * 5
    log_mel = finished("mel", 1.0, group="log-mel 16 kHz")
    rows = [finished("ours (torch)", 1.0), few, absent, broken, log_mel]
    text = render(page(rows, commands={"sonotype --help": 0.25}, companions={"More": "| a |"}))
    lines = spaceless(text).splitlines()
    for line in (
        "- Date: 2026-01-02",
        "- GFLOP/s of a float32 matrix product: 1 on 1 thread, 2 on 2 threads",
        "| | per CPU s | times slower | deviation |",
        "| ours (torch) | 11 | 1 | 3e-6 |",
        "| few | 5.5 | 2 [2, 2] | 3e-6 |",
        "| absent | missing | - | - |",
        "| broken | failed | - | - |",
        "| ours (torch) | 22 | 1 | 1 x 8 | 3e-6 |",
        "| absent | missing | - | - | - |",
        "Against ours (torch), on one thread, slower: few.",
        "| ours (torch) | 50.5 | 99 | 50.5 | 99 | 2e-7 |",
        "| few | 2 | 2* | 50.5 | 99 | 2e-7 |",
        "\\* of fewer than 100 runs, so next to the slowest of them.",
        "| ours (torch) | 1.50 M | 6 | 200 | 300 | 2 |",
        "| ours (torch) | 2 | 0.0088 | 1% | 0.0176 | 1% |",
        "- few: half as fast",
        "- absent: absent is not installed",
        "- broken: failed: RuntimeError: no",
        "## Log-mel 16 kHz",
        "| mel | 11 | 1 | 3e-6 |",
        "| `sonotype --help` | 0.25 |",
        "## More",
    ):
        assert line in lines, line
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("cores", [1, 2, 128])
def test_tables_with_the_real_titles_fit_80_columns(cores: int) -> None:
    rows = []
    for peer in PEERS:
        row = finished(peer.name, 123.4)
        row.peer = peer
        row.phases = {1: row.phases[1], cores: row.phases[2]}
        row.phases[cores].way = f"{cores} x 16"
        rows.append(row)
    made = page(rows)
    made.threads = sorted({1, cores})
    assert [line for line in render(made).splitlines() if len(line) > 80] == []


def test_tables() -> None:
    assert table(["name", "s"], [["a", "1"], ["bcdef", "2,000"]]) == (
        "| name  |     s |\n| ----- | ----: |\n| a     |     1 |\n| bcdef | 2,000 |"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.00123456, "0.00123"), (1.5, "1.5"), (12.34, "12.3"), (999.6, "1,000"),
     (123456, "123,000"), (0.0000123, "0.0000123"), (100.0, "100")],
)  # fmt: skip
def test_figures_have_three_digits(value: float, text: str) -> None:
    assert figure(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (1.234e-7, "1e-7"), (0.25, "2e-1"), (float("inf"), "inf")]
)
def test_deviations_have_one_digit(value: float, text: str) -> None:
    assert small(value) == text


def test_ways_keep_the_order_of_the_clips() -> None:
    clips = np.arange(14, dtype=np.float32).reshape(7, 2)
    sums = clips.sum(1)
    for run in in_batches(lambda batch: batch.sum(1), (1, 3, 16)).values():
        np.testing.assert_array_equal(run(clips), sums)
    for count in (1, 2, 3):
        ones = [lambda clip: clip.sum() for _ in range(count)]
        np.testing.assert_array_equal(one_by_one(ones)(clips), sums)


def test_the_fastest_way_is_taken(tmp_path: Path) -> None:
    def sleepy(clips: Clips) -> Any:
        worker.time.sleep(0.02)
        return clips

    loaded = Loaded(lambda clip: clip, {"sleepy": sleepy, "awake": lambda clips: clips})
    clips = np.arange(8, dtype=np.float32).reshape(4, 2)
    desk = worker.Desk(loaded, clips, tmp_path, 6)
    assert desk.choose()["way"] == "awake"
    assert set(desk.many(6)) == {"wall", "cpu"}
    assert len(desk.single(5)["seconds"]) == 5
    desk.many(4)
    assert desk.answers() == {}
    with np.load(tmp_path / "predictions.npz") as answers:
        np.testing.assert_array_equal(answers["many"], clips[: worker.CHECKED])
        np.testing.assert_array_equal(answers["one"], clips[: worker.CHECKED])
    assert desk.memory()["bytes"] > 10e6


# The quick references, here against the slow ones of the tests, which spell the figures again.
def test_the_log_mel_references() -> None:
    signal = (0.1 * np.random.default_rng(0).standard_normal(3_201)).astype(np.float32)
    np.testing.assert_allclose(
        mel_references.published(VGGISH, signal), vggish_log_mel(signal), rtol=0, atol=1e-9
    )
    expected = 5 * efficientat_log_mel(signal).T - 4.5
    np.testing.assert_allclose(
        mel_references.published(EFFICIENTAT, signal), expected, rtol=0, atol=1e-4
    )  # the window is in single precision


def test_names_and_groups_of_the_rows() -> None:
    names = [peer.name for peer in PEERS]
    assert len(set(names)) == len(names)
    assert [peer.name for peer in chosen([])] == names
    assert [peer.name for peer in chosen(["yamnet", "kaldi-vggish"])] == [
        *("cbir_4-onnx", "yamnet", "sonotype-vggish", "kaldi-vggish"),  # with their measures
    ]
    assert find("yamnet").title == "YAMNet (ai-edge-litert)"
    with pytest.raises(SystemExit, match="error: --only: no row nobody; there are cbir_4-onnx, "):
        chosen(["nobody"])


def test_each_peer_package_is_in_the_extra_or_needed_by_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {
        re.split(r"[>=\[]", one)[0] for one in (*install.requirements(), *project["dependencies"])
    }
    # with panns-inference; the project's own name; the extra onnx, which is in dev
    declared |= {"torchlibrosa", "sonotype", "onnxruntime", "onnxscript"}
    assert {package for peer in PEERS for package in peer.packages} <= declared


def test_installing_goes_on_after_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tried = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        tried.append(command[-1])
        return subprocess.CompletedProcess(command, int(command[-1] == "bad"))

    monkeypatch.setattr(install, "requirements", lambda: ["bad", "good"])
    monkeypatch.setattr(install.subprocess, "run", run)
    assert install.main() == 1
    assert tried == ["bad", "good"]
    said = capsys.readouterr().err
    assert said == "bad could not be installed; the benchmark goes on without it\n"


def test_real_clips_are_spread_over_the_folder(tmp_path: Path) -> None:
    for number in range(20):
        tone(tmp_path / "sounds" / f"{number}.wav")
    clips = real(tmp_path / "sounds", 16_000)
    assert len(clips) == COUNT
    assert {clip.shape for clip in clips} == {(80_000,)}
    assert write_clips(tmp_path, tmp_path / "sounds") == "16 recordings of sounds"
    assert np.load(tmp_path / "clips_32000.npy").shape == (16, 160_000)


def test_a_folder_with_too_few_sounds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match="holds 0 sounds; the benchmark wants at least 16"):
        real(tmp_path, 16_000)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("import sys; print('| a |', sys.argv[1:])", "| a | ['--quick']"),
        ("print('plain')", "```text\nplain\n```"),
        ("raise SystemExit(3)", "more.py failed with exit code 3."),
    ],
)
def test_further_benchmarks_are_run_and_shown(tmp_path: Path, code: str, text: str) -> None:
    script = tmp_path / "more.py"
    script.write_text(code)
    assert companions.run_companion(script, quick=True) == text


def test_a_worker_refuses_the_network(tmp_path: Path) -> None:
    code = (
        "import os, socket\nfrom benchmarks.worker import refuse_the_network\n"
        "refuse_the_network()\n"
        "for do in (lambda: socket.create_connection(('localhost', 9)),\n"
        "           lambda: socket.socket().connect(('127.0.0.1', 9)),\n"
        "           lambda: os.system('true')):\n"
        "    try:\n        do()\n    except OSError as error:\n        print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "benchmarks use no network\n" * 3


def test_a_worker_has_its_number_of_threads_and_looks_for_nothing_on_the_net(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    made = environment(3)
    assert made["OMP_NUM_THREADS"] == made["MKL_NUM_THREADS"] == "3"
    assert made["HF_HUB_OFFLINE"] == "1"
    assert "OMP_WAIT_POLICY" not in made


def test_a_peer_whose_file_is_not_given_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")
    monkeypatch.delenv(ASSETS_VARIABLE, raising=False)
    write_clips(tmp_path, None)
    [row] = measure([find("yamnet")], tmp_path, [1], QUICK, quiet)
    assert row.fault == (
        "no file: SONOTYPE_TEST_ASSETS names no folder with weights/yamnet_dynamic_range.tflite"
    )


@contextlib.contextmanager
def quiet(what: str) -> Iterator[None]:
    yield


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ('print(\'{"missing": "x is not installed"}\')', "x is not installed"),
        ('print(\'{"failed": "KeyError: 1"}\')', "failed: KeyError: 1"),
        ("", "failed: the process ended without an answer"),
    ],
)
def test_what_a_worker_says_of_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, text: str
) -> None:
    program = tmp_path / "program"
    program.write_text(f"#!{sys.executable}\n{code}\n")
    program.chmod(0o755)
    monkeypatch.setattr("benchmarks.team.sys.executable", str(program))
    row = Row(pretended("pretended"))
    with catching(row):
        Worker(row.peer, tmp_path)
    assert row.fault == text


def test_a_peer_that_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    absent = pretended("absent", packages=("no-such-package",))
    monkeypatch.setattr(worker, "find", lambda name: absent)
    monkeypatch.setattr(worker, "refuse_the_network", lambda: None)
    monkeypatch.setattr(worker, "own_output", lambda: sys.stdout)
    monkeypatch.setattr(sys, "argv", ["worker", "prepare", "absent", str(tmp_path)])
    assert worker.main() == 0
    assert json.loads(capfd.readouterr().out) == {"missing": "no-such-package is not installed"}


def test_the_cheapest_rows_in_full(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Threads of processes that share the cores with other tests wait for each other.
    monkeypatch.setattr("benchmarks.__main__.processors", lambda: 1)
    out = tmp_path / "page.md"
    assert main(["--quick", "--only", "stft-vggish", "--out", str(out)]) == 0
    text = out.read_text(encoding="utf-8")
    said = capsys.readouterr()
    assert said.out == text + "\n"
    assert len(said.err.splitlines()) == count_steps(2, 1)
    rows = re.findall(r"^\| (sonotype|torch\.stft, mel product) +\| +([\d.,]+) \|", text, re.M)
    assert [name for name, _ in rows[:2]] == ["sonotype", "torch.stft, mel product"]
    assert all(float(speed.replace(",", "")) > 10 for _, speed in rows)
    assert "wrong" not in text
