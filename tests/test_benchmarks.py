"""The logic of the benchmark on fake baselines, and a complete run of the cheapest rows."""

from __future__ import annotations

import os
import re
import socket
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from references import efficientat_log_mel, vggish_log_mel

from benchmarks import __main__ as program
from benchmarks import process
from benchmarks.baseline import Baseline, Clips, Facts, Loaded
from benchmarks.baselines import BASELINES, yamnet
from benchmarks.baselines.log_mels import DOUBLE, EFFICIENTAT, VGGISH
from benchmarks.measure import Effort, Phase, Row, race
from benchmarks.modes import in_batches, one_by_one
from benchmarks.process import CHECKED, Server, WorkerError, execute, largest_difference
from benchmarks.report import figure, render, small, table

ROOT = Path(__file__).resolve().parent.parent


def baseline(name: str, **fields: Any) -> Baseline:
    defaults: dict[str, Any] = {
        "sample_rate": 16_000,
        "packages": (),
        "write": lambda folder: Facts(),
        "load": lambda folder, threads: Loaded(lambda clip: clip, {}),
        "reference": lambda folder: lambda clip: clip,
        "batch": 4,
    }
    return Baseline(name=name, title=name, **defaults | fields)


class FakeWorker:
    """Replies at once, and logs the order of the commands."""

    def __init__(self, name: str, log: list[str], fails_at: str) -> None:
        self.name, self.log, self.fails_at = name, log, fails_at

    def send(self, command: str, *arguments: Any) -> Any:
        self.log.append(f"{self.name} {command}")
        if command == self.fails_at:
            raise WorkerError("failed: broken")
        if command == "single":
            assert arguments == (0.2, 2)  # a fifth of the seconds and of the runs
            return [0.05, 0.06], 1_000_000
        return "1 x 1", 100.0, 90.0, 2_000_000, [0.0, 0.5]


@pytest.mark.parametrize("fails_at", ["", "single", "many"])
def test_repeats_are_interleaved_and_a_failure_stops_one_row(fails_at: str) -> None:
    log: list[str] = []
    workers: list[Any] = [FakeWorker("first", log, ""), FakeWorker("other", log, fails_at)]
    rows = [Row(baseline(x.name), phases={1: Phase(x)}) for x in workers]
    race(rows, 1, Effort(repeats=3, many_seconds=1.0, runs=10, single_seconds=1.0, starts=1))
    phase = rows[0].phases[1]
    assert phase.single == [0.05, 0.06] * 5
    assert (phase.wall, phase.cpu, phase.mode) == ([100.0] * 3, [90.0] * 3, "1 x 1")
    assert (phase.memory, phase.deviation) == ((1_000_000, 2_000_000), [0.0, 0.5])
    assert rows[0].issue == "wrong"
    if fails_at:
        assert [row.error for row in rows] == ["", "failed: broken"]
        assert log.count(f"other {fails_at}") == 1
        assert log.count(f"first {fails_at}") >= 3
    else:
        assert log == ["first single", "other single"] * 5 + ["first many", "other many"] * 3


@pytest.mark.parametrize(("value", "wrong"), [(1e-3, False), (2e-3, True), (float("nan"), True)])
def test_times_of_wrong_predictions_are_discarded(value: float, wrong: bool) -> None:
    row = finished("inexact", 9.0)
    row.phases[2].deviation = (0.0, value)
    assert row.issue == ("wrong" if wrong else "")
    text = page([finished("ours", 1.0), row])
    assert ("| inexact | wrong " in compact(text)) is wrong
    assert ("- inexact: wrong, deviates by more than 0.001" in text) is wrong


def finished(name: str, speed: float, **fields: Any) -> Row:
    worker: Any = None
    phases = {
        threads: Phase(
            worker,
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


def page(
    rows: list[Row], cores: int = 2, commands: dict[str, float] | None = None, **extras: str
) -> str:
    peaks = {count: float(count) for count in sorted({1, cores})}
    return render(rows, peaks, {"Date": "2026-01-02"}, commands or {}, extras)


def compact(text: str) -> str:
    return re.sub(r" +", " ", text)


def test_the_page() -> None:
    absent = Row(baseline("absent"), error="absent is not installed")
    broken = finished("broken", 1.0)
    broken.error = "failed: RuntimeError: no"
    few = finished("few", 0.5, note="half as fast")
    few.phases[1].single = [0.002] * 5
    few.phases[1].cpu = [2.5, 2.75, 12.0]
    log_mel = finished("mel", 1.0, group="Log-mel 16 kHz")
    rows = [finished("ours (torch)", 1.0), few, absent, broken, log_mel]
    text = page(rows, commands={"sonotype --help": 0.25}, More="| a |")
    lines = compact(text).splitlines()
    for line in (
        "- Date: 2026-01-02",
        "| | per CPU s | times slower | deviation |",
        "| ours (torch) | 11 | 1 | 3e-6 |",
        "| few | 2.75 | 4 [1, 4] | 3e-6 |",
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
    text = page(rows, cores)
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
        process.time.sleep(0.02)
        return clips

    modes = {"slow": slow, "fast": lambda clips: clips + 0.5}
    clips = np.arange(8, dtype=np.float32).reshape(4, 2)
    np.save(tmp_path / "clips_16000.npy", clips)
    (tmp_path / "x").mkdir()
    row = baseline("x", load=lambda folder, threads: Loaded(lambda clip: clip, modes))
    server = Server(row, tmp_path / "x")
    assert server.prepare() == Facts()
    server.load(1)
    seconds, peak = server.single(100.0, 5)
    assert len(seconds) == 5
    assert len(server.single(0.0, 5)[0]) == 1
    assert peak > 10e6
    mode, wall, cpu, peak, deviation = server.many(1e-3)
    assert (mode, deviation) == ("fast", pytest.approx([0.0, 0.5 / 3]))
    assert min(wall, cpu) > 0
    assert server.count % row.batch == 0
    assert largest_difference(clips, clips[:CHECKED]) == float("inf")


def test_the_log_mel_references() -> None:
    signal = (0.1 * np.random.default_rng(0).standard_normal(3_201)).astype(np.float32)
    np.testing.assert_allclose(DOUBLE(VGGISH)(signal), vggish_log_mel(signal), rtol=0, atol=1e-9)
    expected = 5 * efficientat_log_mel(signal).T - 4.5
    np.testing.assert_allclose(
        DOUBLE(EFFICIENTAT)(signal), expected, rtol=0, atol=1e-4
    )  # the window is in single precision


def test_names_and_groups_of_the_rows(capsys: pytest.CaptureFixture[str]) -> None:
    names = [row.name for row in BASELINES]
    assert len(set(names)) == len(names)
    assert [row.name for row in program.select([])] == names
    assert [row.name for row in program.select(["yamnet", "kaldi-vggish"])] == [
        *("cbir_4-onnx", "yamnet", "sonotype-vggish", "kaldi-vggish"),  # with the first rows
    ]
    with pytest.raises(SystemExit):
        program.main(["--only", "unknown"])
    assert re.search("--only.*unknown.*cbir_4-onnx", capsys.readouterr().err)


def test_each_package_is_in_the_extra_or_needed_by_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = (*project["optional-dependencies"]["bench"], *project["dependencies"])
    declared = {re.split(r"[>=\[]", requirement)[0] for requirement in requirements}
    # with panns-inference; the project's own name; the extra onnx, which is in dev
    declared |= {"torchlibrosa", "sonotype", "onnxruntime", "onnxscript"}
    assert {package for row in BASELINES for package in row.packages} <= declared


def test_clips_are_spread_over_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SONOTYPE_TEST_ASSETS", raising=False)
    assert program.write_clips(tmp_path) == "16 recordings of esc10"
    assert np.load(tmp_path / "clips_16000.npy").shape == (16, 80_000)
    assert np.load(tmp_path / "clips_32000.npy").shape == (16, 160_000)


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
    assert program.run_script(str(script), quick=True).endswith(text)


def test_the_environment_of_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {"OMP_WAIT_POLICY": "active", "HOME": "x"}
    monkeypatch.setattr(process.os, "environ", environment)
    process.set_environment(3)
    assert environment["OMP_NUM_THREADS"] == environment["MKL_NUM_THREADS"] == "3"
    assert environment["HF_HUB_OFFLINE"] == "1"
    assert "OMP_WAIT_POLICY" not in environment


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"packages": ("no-such-package",)}, "no-such-package is not installed"),
        ({"write": yamnet.write}, r"no file: SONOTYPE_TEST_ASSETS .*weights/yamnet"),
        ({"write": lambda folder: {}[1]}, "failed: KeyError: 1"),
    ],
)
def test_errors_of_a_server(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fields: dict[str, Any], text: str
) -> None:
    monkeypatch.delenv("SONOTYPE_TEST_ASSETS", raising=False)
    np.save(tmp_path / "clips_16000.npy", np.zeros((4, 2), dtype=np.float32))

    def open_server(name: str, folder: Path) -> Server:
        return Server(baseline(name, **fields), folder)

    monkeypatch.setattr(process, "open_server", open_server)
    with pytest.raises(WorkerError, match=text):
        execute("x", tmp_path / "x", "prepare")


def test_a_process_reports_errors_and_uses_no_network(tmp_path: Path) -> None:
    with process.Worker("kaldi-vggish", tmp_path / "missing") as worker:
        with pytest.raises(WorkerError, match="no file"):
            worker.send("prepare")
        with pytest.raises(OSError, match="no network"):
            worker.submit(socket.getaddrinfo, "localhost", 9).result()
        worker.submit(os._exit, 1)
        with pytest.raises(WorkerError, match="failed: the process ended"):
            worker.send("prepare")


def test_the_cheapest_row_in_full(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Threads of processes that share the cores with other tests wait for each other.
    monkeypatch.setattr("benchmarks.measure.set_environment", lambda threads: None)
    out = tmp_path / "page.md"
    assert program.main(["--quick", "--only", "sonotype-vggish", "--out", str(out)]) == 0
    text = out.read_text(encoding="utf-8")
    printed = capsys.readouterr()
    assert printed.out == text + "\n"
    assert "prepare" in printed.err
    [speed] = re.findall(r"^\| sonotype +\| +([\d.,]+) \| +1 \|", text, re.M)
    assert float(speed.replace(",", "")) > 10
    assert re.search(r"^- GFLOP/s of a float32 matrix product: [\d.]+ on 1 thread$", text, re.M)
    assert "wrong" not in text
