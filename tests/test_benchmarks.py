"""The logic of the benchmark on fake baselines, and a complete run of the cheapest rows."""

from __future__ import annotations

import datetime
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from references import efficientat_log_mel, vggish_log_mel

from benchmarks import machine, server
from benchmarks.__main__ import main, select
from benchmarks.baseline import ASSETS_VARIABLE, Clips, Facts, Loaded, NotAvailableError
from benchmarks.baseline import Baseline as BaselineRow
from benchmarks.baselines import BASELINES, find
from benchmarks.baselines.log_mels import DOUBLE, EFFICIENTAT, VGGISH
from benchmarks.measure import Effort, Phase, Ratio, Row, many, ratio, single
from benchmarks.modes import in_batches, one_by_one
from benchmarks.report import Page, figure, render, small, table
from benchmarks.server import CHECKED, Server, largest_difference
from benchmarks.worker import WorkerError, set_environment
from sonotype.core.errors import OptionsError

ROOT = Path(__file__).resolve().parent.parent
EFFORT = Effort(repeats=3, many_seconds=1.0, runs=10, single_seconds=1.0, starts=1, starters=1)


def baseline(name: str, **fields: Any) -> BaselineRow:
    defaults: dict[str, Any] = {
        "group": "classifier",
        "sample_rate": 16_000,
        "packages": (),
        "write": lambda folder: Facts(),
        "load": lambda folder, threads: Loaded(lambda clip: clip, {}),
        "reference": lambda folder: lambda clip: clip,
        "batch": 4,
    }
    return BaselineRow(name=name, title=name, **defaults | fields)


class FakeWorker:
    """Replies at once with a constant duration, and logs the order of the commands."""

    def __init__(self, name: str, seconds: float, log: list[str], fails_at: str) -> None:
        self.name, self.seconds, self.log, self.fails_at = name, seconds, log, fails_at

    def send(self, command: str, **arguments: Any) -> dict[str, Any]:
        self.log.append(f"{self.name} {command}")
        if command == self.fails_at:
            raise WorkerError("failed: broken")
        if command == "single":
            return {"seconds": [self.seconds] * arguments["runs"]}
        if command == "many":
            return dict.fromkeys(("wall", "cpu"), self.seconds * arguments["count"])
        return {
            "choose": {"mode": "1 x 1", "seconds": self.seconds},
            "memory": {"bytes": 1_000_000},
            "deviation": {"single": 0.0, "many": 0.5},
        }[command]


def race(slow_fails_at: str = "") -> tuple[list[Any], list[str]]:
    log: list[str] = []
    race = []
    for name, seconds, fails_at in (("fast", 0.05, ""), ("slow", 0.5, slow_fails_at)):
        row = Row(baseline(name), phases={1: Phase()})
        race.append((row, row.phases[1], FakeWorker(name, seconds, log, fails_at)))
    return race, log


def test_repeats_with_many_clips_are_interleaved() -> None:
    rows, log = race()
    many(rows, EFFORT)
    assert log[2:8] == ["fast many", "slow many"] * 3
    (fast_row, fast, _), (_, slow, _) = rows
    assert fast.wall == fast.cpu == pytest.approx([100.0] * 3)
    assert slow.wall == pytest.approx([10.0] * 3)
    assert (fast.mode, fast.memory, fast.deviation) == ("1 x 1", (0, 1_000_000), (0.0, 0.5))
    assert fast_row.wrong


def test_runs_with_one_clip_are_interleaved_and_bounded_in_time() -> None:
    rows, log = race()
    single(rows, EFFORT)
    assert log[:12] == ["fast single", "slow single"] * 6  # the first of them plans
    assert [len(phase.single) for _, phase, _ in rows] == [10, 5]
    assert rows[0][1].memory == (1_000_000, 0)


@pytest.mark.parametrize("step", [single, many])
def test_a_failing_baseline_is_noted_and_the_others_go_on(step: Any) -> None:
    rows, log = race(slow_fails_at=step.__name__)
    step(rows, EFFORT)
    assert [row.error for row, _, _ in rows] == ["", "failed: broken"]
    assert log.count(f"slow {step.__name__}") == 1
    assert log.count(f"fast {step.__name__}") >= 3


def test_a_ratio_is_the_median_over_repeats() -> None:
    assert ratio([10.0, 30.0, 20.0], [5.0, 10.0, 20.0]) == Ratio(2.0, 1.0, 3.0)


@pytest.mark.parametrize(("value", "wrong"), [(1e-3, False), (2e-3, True), (float("nan"), True)])
def test_times_of_wrong_predictions_are_discarded(value: float, wrong: bool) -> None:
    row = finished("inexact", 9.0)
    row.phases[2].deviation = (0.0, value)
    assert row.wrong is wrong
    text = render(page([finished("ours", 1.0), row]))
    assert ("| inexact | wrong " in compact(text)) is wrong
    assert ("- inexact: wrong, deviates by more than 0.001" in text) is wrong


def finished(name: str, speed: float, **fields: Any) -> Row:
    phases = {
        threads: Phase(
            starts=[1.0, 2.0, 9.0],
            single=[0.001 * number for number in range(1, 101)],
            wall=[threads * speed * (10 + number) for number in range(3)],
            cpu=[speed * (10 + number) for number in range(3)],
            mode="1 x 8",
            memory=(200_000_000, 300_000_000),
            deviation=(2e-7, 3e-6),
        )
        for threads in (1, 2)
    }
    return Row(baseline(name, **fields), Facts(1_500_000, 2_000_000, 6_000_000), phases)


def page(rows: list[Row], threads: tuple[int, ...] = (1, 2), **fields: Any) -> Page:
    return Page(rows, threads, "a machine", "Python 3", "16 clips",
                peaks={count: float(count) for count in threads},
                date=datetime.date(2026, 1, 2), **fields)  # fmt: skip


def compact(text: str) -> str:
    return re.sub(r" +", " ", text)


def test_the_page() -> None:
    absent = Row(baseline("absent"), error="absent is not installed")
    broken = finished("broken", 1.0)
    broken.error = "failed: RuntimeError: no"
    few = finished("few", 0.5, note="half as fast")
    few.phases[1].single = [0.002] * 5
    log_mel = finished("mel", 1.0, group="log-mel 16 kHz")
    rows = [finished("ours (torch)", 1.0), few, absent, broken, log_mel]
    text = render(page(rows, commands={"sonotype --help": 0.25}, extras={"More": "| a |"}))
    lines = compact(text).splitlines()
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
        "| ours (torch) | 50.5 | 99 | 50.5 | 99 | 2e-7 |",
        "| few | 2 | 2* | 50.5 | 99 | 2e-7 |",
        "\\* of fewer than 100 runs, so close to the slowest of them.",
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
    for real in BASELINES:
        row = finished(real.name, 123.4)
        row.baseline = real
        row.phases = {1: row.phases[1], cores: row.phases[2]}
        row.phases[cores].mode = f"{cores} x 16"
        rows.append(row)
    text = render(page(rows, tuple(sorted({1, cores}))))
    assert [line for line in text.splitlines() if len(line) > 80] == []


def test_tables_and_figures() -> None:
    assert table(["name", "s"], [["a", "1"], ["bcdef", "2,000"]]) == (
        "| name  |     s |\n| ----- | ----: |\n| a     |     1 |\n| bcdef | 2,000 |"
    )
    values = (0, 0.00123456, 1.5, 12.34, 999.6, 123456, 0.0000123, 100.0)
    texts = ["0", "0.00123", "1.5", "12.3", "1,000", "123,000", "0.0000123", "100"]
    assert [figure(value) for value in values] == texts
    assert [small(x) for x in (0.0, 1.234e-7, 0.25, float("inf"))] == ["0", "1e-7", "2e-1", "inf"]


def test_modes_keep_the_order_of_the_clips() -> None:
    clips = np.arange(14, dtype=np.float32).reshape(7, 2)
    modes = in_batches(lambda batch: batch.sum(1), 1, 3, 16)
    for count in (1, 2, 3):
        modes |= one_by_one(*[lambda clip: clip.sum()] * count)
    assert set(modes) == {"1 x 1", "1 x 3", "1 x 16", "2 x 1", "3 x 1"}
    for mode in modes.values():
        np.testing.assert_array_equal(mode(clips), clips.sum(1))


def test_a_server_takes_the_fastest_mode_and_compares_its_predictions(tmp_path: Path) -> None:
    def slow(clips: Clips) -> Any:
        server.time.sleep(0.02)
        return clips

    modes = {"slow": slow, "fast": lambda clips: clips + 0.5}
    clips = np.arange(8, dtype=np.float32).reshape(4, 2)
    np.save(tmp_path / "clips_16000.npy", clips)
    np.save(tmp_path / "reference.npy", clips[:CHECKED])
    (tmp_path / "x").mkdir()
    np.save(tmp_path / "x" / "reference.npy", clips[:CHECKED])
    row = baseline("x", load=lambda folder, threads: Loaded(lambda clip: clip, modes))
    served = Server(row, tmp_path / "x", 1)
    assert served.choose()["mode"] == "fast"
    assert set(served.many(6)) == {"wall", "cpu"}
    assert len(served.single(5)["seconds"]) == 5
    assert served.deviation() == pytest.approx({"single": 0.0, "many": 0.5 / 3})
    assert served.memory()["bytes"] > 10e6
    assert largest_difference(clips, clips[:1]) == float("inf")


def test_the_log_mel_references() -> None:
    signal = (0.1 * np.random.default_rng(0).standard_normal(3_201)).astype(np.float32)
    np.testing.assert_allclose(DOUBLE(VGGISH)(signal), vggish_log_mel(signal), rtol=0, atol=1e-9)
    expected = 5 * efficientat_log_mel(signal).T - 4.5
    np.testing.assert_allclose(
        DOUBLE(EFFICIENTAT)(signal), expected, rtol=0, atol=1e-4
    )  # the window is in single precision


def test_names_and_groups_of_the_rows() -> None:
    names = [row.name for row in BASELINES]
    assert len(set(names)) == len(names)
    assert [row.name for row in select([])] == names
    assert [row.name for row in select(["yamnet", "kaldi-vggish"])] == [
        *("cbir_4-onnx", "yamnet", "sonotype-vggish", "kaldi-vggish"),  # with the first rows
    ]
    with pytest.raises(SystemExit, match=r"--only: .*unknown.*cbir_4-onnx, "):
        select(["unknown"])


def test_each_package_is_in_the_extra_or_needed_by_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = (*project["optional-dependencies"]["bench"], *project["dependencies"])
    declared = {re.split(r"[>=\[]", requirement)[0] for requirement in requirements}
    # with panns-inference; the project's own name; the extra onnx, which is in dev
    declared |= {"torchlibrosa", "sonotype", "onnxruntime", "onnxscript"}
    assert {package for row in BASELINES for package in row.packages} <= declared


def test_clips_are_spread_over_the_folder(tmp_path: Path) -> None:
    assert machine.write_clips(tmp_path, None) == "16 recordings of esc10"
    assert np.load(tmp_path / "clips_16000.npy").shape == (16, 80_000)
    assert np.load(tmp_path / "clips_32000.npy").shape == (16, 160_000)
    (tmp_path / "empty").mkdir()
    with pytest.raises(OptionsError, match=r"empty has 0 sounds.* 16"):
        machine.write_clips(tmp_path, tmp_path / "empty")


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("import sys; print('| a |', sys.argv[1:])", "| a | ['--quick']"),
        ("raise SystemExit(3)", "more.py failed with exit code 3."),
    ],
)
def test_other_benchmarks_are_run(tmp_path: Path, code: str, text: str) -> None:
    script = tmp_path / "more.py"
    script.write_text(code)
    assert machine.run_script(script, quick=True) == text


def test_a_server_refuses_the_network() -> None:
    code = (
        "import os, socket\nfrom benchmarks.server import refuse_network\n"
        "refuse_network()\n"
        "for do in (lambda: socket.create_connection(('localhost', 9)),\n"
        "           lambda: socket.socket().connect(('127.0.0.1', 9)),\n"
        "           lambda: os.system('true')):\n"
        "    try:\n        do()\n    except OSError as error:\n        print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "benchmarks use no network\n" * 3


def test_the_environment_of_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {"OMP_WAIT_POLICY": "active", "HOME": "x"}
    monkeypatch.setattr("benchmarks.worker.os.environ", environment)
    set_environment(3)
    assert environment["OMP_NUM_THREADS"] == environment["MKL_NUM_THREADS"] == "3"
    assert environment["HF_HUB_OFFLINE"] == "1"
    assert "OMP_WAIT_POLICY" not in environment


class Connection(list[Any]):
    """Of a server; the parent process sends nothing."""

    def send(self, reply: dict[str, Any]) -> None:
        self.append(reply)

    def recv(self) -> None:
        raise EOFError


@pytest.mark.parametrize(
    ("fields", "reply"),
    [
        ({"packages": ("no-such-package",)}, "no-such-package is not installed"),
        ({"load": NotAvailableError("no file")}, "no file"),
        ({"load": KeyError(1)}, "failed: KeyError: 1"),
        ({}, None),
    ],
)
def test_replies_of_a_server(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fields: dict[str, Any], reply: str | None
) -> None:
    if isinstance(error := fields.get("load"), Exception):

        def load(folder: Path, threads: int) -> Loaded:
            raise error

        fields = {"load": load}
    monkeypatch.setattr(server, "find", lambda name: baseline(name, **fields))
    monkeypatch.setattr(server, "refuse_network", lambda: None)
    monkeypatch.setattr(server.os, "dup2", lambda *_: None)
    (tmp_path / "x").mkdir()
    np.save(tmp_path / "clips_16000.npy", np.zeros((4, 2), dtype=np.float32))
    connection = Connection()
    if reply is not None and reply.startswith("failed"):
        with pytest.raises(KeyError):
            server.serve(connection, "serve", "x", tmp_path / "x", 1)  # type: ignore[arg-type]
    else:
        server.serve(connection, "serve", "x", tmp_path / "x", 1)  # type: ignore[arg-type]
    assert connection[0].get("error") == reply
    assert len(connection) == 1


def test_a_missing_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ASSETS_VARIABLE, raising=False)
    with pytest.raises(NotAvailableError, match=r"SONOTYPE_TEST_ASSETS.*weights/yamnet"):
        find("yamnet").write(tmp_path)


def test_the_cheapest_rows_in_full(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Threads of processes that share the cores with other tests wait for each other.
    monkeypatch.setattr("benchmarks.__main__.available_cpus", lambda: 1)
    monkeypatch.setattr("benchmarks.measure.set_environment", lambda threads: None)
    out = tmp_path / "page.md"
    assert main(["--quick", "--only", "stft-vggish", "--out", str(out)]) == 0
    text = out.read_text(encoding="utf-8")
    printed = capsys.readouterr()
    assert printed.out == text + "\n"
    assert "prepare" in printed.err
    rows = re.findall(r"^\| (sonotype|torch\.stft, mel product) +\| +([\d.,]+) \|", text, re.M)
    assert [name for name, _ in rows[:2]] == ["sonotype", "torch.stft, mel product"]
    assert all(float(speed.replace(",", "")) > 10 for _, speed in rows)
    assert "wrong" not in text
