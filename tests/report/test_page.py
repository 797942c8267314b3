"""The page as text: nothing unescaped, nothing loaded, small."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from heads import predicted, two_heads
from hostile_labels import HOSTILE, SCRIPT
from jinja2 import UndefinedError

from sonotype.cli.main import run
from sonotype.evaluation.calibration import Bin
from sonotype.evaluation.metrics import Interval
from sonotype.evaluation.power_law import Curve, Point
from sonotype.report.collect import Report, ReportOptions, collect
from sonotype.report.figures import curve_chart, reliability_chart, unknown_chart
from sonotype.report.page import percent, render_page
from sonotype.report.run_report import render_report, write_run_report

QUICK = ReportOptions(doctor=False)
VOID = {"meta", "link", "img", "input", "br", "line", "circle", "rect", "polyline", "polygon"}


class Page(HTMLParser):
    """Elements, their attributes and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("script", "style"):
            self.text += data


@pytest.fixture(scope="module")
def text(hostile: Path) -> str:
    return render_report(collect(hostile, QUICK))


def test_hostile_labels_and_names_are_text(text: str) -> None:
    page = Page(text)
    assert page.open == [], "every element is closed"
    assert SCRIPT not in text
    for label in HOSTILE:
        assert label in page.text
    assert "onerror=alert(0)" in page.text
    scripts = [attributes for tag, attributes in page.elements if tag == "script"]
    assert scripts == [{"type": "application/json", "id": "cells"}, {}]
    assert not any(name.startswith("on") for _, found in page.elements for name in found)
    cells = re.search(r'id="cells">(.*?)</script>', text, re.DOTALL)
    assert cells
    assert json.loads(cells[1])["levels"]["category"]["labels"] == sorted(HOSTILE)


def test_the_page_loads_nothing(text: str) -> None:
    page = Page(text)
    urls = [
        value or ""
        for _, attributes in page.elements
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "action", "poster", "data")
    ]
    assert urls
    assert [url[:40] for url in urls if not url.startswith(("data:", "#"))] == []
    assert "@import" not in text
    assert "url(" not in text
    [policy] = [a["content"] for _, a in page.elements if "http-equiv" in a]
    assert str(policy).startswith("default-src 'none'")


def test_the_sections_are_in_order(text: str) -> None:
    ids = [a["id"] for tag, a in Page(text).elements if tag == "section" and "id" in a]
    assert ids == [
        "data", "confusions", "classes", "trust", "curve", "unknown", "mistakes", "labels",
        "doctor", "repeat",
    ]  # fmt: skip


def test_links_lead_to_elements(text: str) -> None:
    page = Page(text)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [str(a["href"]) for tag, a in page.elements if tag == "a"]
    assert [link for link in links if link.removeprefix("#") not in ids] == []


def test_a_run_with_two_levels(two_levels: Path) -> None:
    page = Page(render_report(collect(two_levels, QUICK)))
    assert "taken for" in page.text
    matrices = [a["data-level"] for tag, a in page.elements if tag == "table" and "data-level" in a]
    assert matrices == ["category", "event"]


def test_windows_have_no_matrix(windows: Path) -> None:
    page = Page(render_report(collect(windows, QUICK)))
    assert "of the sounds of a class are found" in page.text
    assert not any("data-level" in a for tag, a in page.elements if tag == "table")
    assert any("data-open" in a for _, a in page.elements)
    assert re.search(r"site_\d\.wav, [\d.]+ to [\d.]+ s", page.text)


def test_what_is_not_known_is_said(unscored: Path) -> None:
    page = Page(render_report(collect(unscored, QUICK)))
    assert "was not measured" in page.text
    assert "--evaluation crossfit" in page.text
    assert "sonotype learning-curve" in page.text
    assert "were not examined" in page.text


def test_classes_with_one_recording_cannot_be_scored(unscored: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(unscored, tmp_path / "run"))
    header, *lines = (run / "split.csv").read_text().splitlines()
    group = header.split(",").index("group")
    rows = [line.split(",") for line in lines]
    rows = [[*row[:group], "one", *row[group + 1 :]] for row in rows]
    (run / "split.csv").write_text("\n".join([header, *map(",".join, rows)]) + "\n")
    page = Page(render_report(collect(run, QUICK)))
    assert "was not measured" in page.text
    assert "--evaluation crossfit" not in page.text.partition("Repeat the training")[0]
    assert "sonotype learning-curve" not in page.text


def test_missing_predictions_are_named(two_levels: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(two_levels, tmp_path / "run"))
    (run / "predictions.npz").unlink()
    page = Page(render_report(collect(run, QUICK)))
    assert "predictions.npz" in page.text
    assert "No examples" not in page.text
    assert "Select a number" not in page.text
    assert not any({"data-open", "data-c"} & a.keys() for _, a in page.elements)
    assert "taken for" in page.text


def test_a_run_with_test_clips(holdout: Path) -> None:
    page = Page(render_report(collect(holdout, QUICK)))
    assert "looked for after cross-fitting" in page.text
    assert "was trained on all clips" not in page.text


def test_the_learning_curve_is_drawn(two_levels: Path, curve_folder: Path) -> None:
    options = ReportOptions(curve=curve_folder, doctor=False, examples=0)
    page = Page(render_report(collect(two_levels, options)))
    assert "Learning curve" in {a.get("aria-label") for tag, a in page.elements if tag == "svg"}
    assert "hum (+1.50 points)" in page.text
    dots = [a for tag, a in page.elements if tag == "circle"]
    assert all(a["aria-label"] == a["data-tip"] and "tabindex" in a for a in dots)
    tips = [str(a["data-tip"]) for a in dots]
    assert "2 clips per class: measured 50 % [40 % to 60 %]" in tips
    assert "8 clips per class: expected 50 % [40 % to 60 %]" in tips


def test_a_gain_of_zero_is_not_advised(two_levels: Path, curve_folder: Path) -> None:
    file = curve_folder / "curve.json"
    curve = json.loads(file.read_text())
    curve["advice"][0]["gain"] = 0.001
    file.write_text(json.dumps(curve))
    options = ReportOptions(curve=curve_folder, doctor=False, examples=0)
    assert "largest gain" not in Page(render_report(collect(two_levels, options))).text


def test_findings_and_missing_files_are_shown(hostile: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(hostile, tmp_path / "run"))
    found = collect(run, ReportOptions(examples=1))
    page = Page(render_report(found))
    assert found.examination is not None
    for finding in found.examination.findings:
        assert finding.what in page.text
        assert str(finding.places[0]) in page.text
    assert found.examination.date in page.text
    values = vars(found) | {"media": {}, "wanted": 5, "missing": 3}
    page = Page(render_report(Report(**values)))
    assert "3 of 5 sounds that were looked for cannot be found" in page.text
    assert not any(tag == "audio" for tag, _ in page.elements)
    assert any(a.get("class") == "clip" for _, a in page.elements)


def test_a_training_that_is_not_finished(two_levels: Path, tmp_path: Path) -> None:
    for name in ("config.json", "split.csv"):
        shutil.copy(two_levels / name, tmp_path)
    page = Page(render_report(collect(tmp_path, QUICK)))
    assert "The training is not finished" in page.text
    assert f"sonotype train --resume {tmp_path}" in page.text
    assert "20 clips" in page.text
    ids = {attributes.get("id") for _, attributes in page.elements}
    links = [str(a["href"]) for tag, a in page.elements if tag == "a"]
    assert {link.removeprefix("#") for link in links} <= ids


def test_file_names_that_are_not_utf_8(tmp_path: Path, two_levels: Path) -> None:
    found = collect(two_levels, ReportOptions(doctor=False, examples=0))
    values = vars(found) | {"names": [f"\udcff{name}" for name in found.names]}
    path = tmp_path / "page.html"
    path.write_text(render_report(Report(**values)), encoding="utf-8")
    assert "\udcff" not in path.read_text(encoding="utf-8")


def test_the_page_is_written_whole(two_levels: Path, tmp_path: Path) -> None:
    out = write_run_report(two_levels, tmp_path / "new" / "page.html", QUICK)
    assert out.read_text(encoding="utf-8").rstrip().endswith("</html>")
    assert out.stat().st_size < 1_500_000
    assert [path.name for path in out.parent.iterdir()] == ["page.html"]


def test_files_of_the_run_are_never_replaced(
    two_levels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in two_levels.rglob("*.*") if path.is_file()}
    for name in ("model.safetensors", "training/new.txt"):
        assert run(["report", str(two_levels), "--out", str(two_levels / name), "--force"]) == 2
        assert name in capsys.readouterr().err
    assert {path: path.read_bytes() for path in two_levels.rglob("*.*") if path.is_file()} == before


def test_the_page_on_standard_output(
    two_levels: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    argv = ["report", str(two_levels), "--out", "-", "--no-doctor", "--examples", "0"]
    assert run(argv) == 0
    page = capsys.readouterr().out
    assert page.startswith("<!DOCTYPE html>")
    assert page.rstrip().endswith("</html>")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_value_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="report"):
        render_page("report.html")


@pytest.mark.parametrize(
    ("share", "shown"), [(1.0, "100 %"), (0.9875, "98.8 %"), (0.5, "50 %"), (0.0, "0 %")]
)
def test_percent(share: float, shown: str) -> None:
    assert percent(share) == shown.replace(" ", "\u00a0")


def test_a_reliability_chart_has_a_dot_for_each_bin() -> None:
    chart = reliability_chart([Bin(4, 0.0, 0.0), Bin(16, 1.0, 1.0)], unit="clip", several=False)
    first, last = chart.dots
    assert (first.x, first.y) == (chart.left, chart.bottom)
    assert (last.x, last.y) == (chart.right, chart.top)
    assert first.tip == "4 clips: predicted 0 %, right 0 %"
    assert last.radius - 3 == pytest.approx(2 * (first.radius - 3))


def test_a_curve_chart_is_logarithmic_and_its_ticks_are_apart() -> None:
    points = tuple(Point(n, Interval(0.5, 0.4, 0.6)) for n in (1, 4, 16, 16.1))
    chart = curve_chart(Curve("event", points, (), (), 20, ()))
    first, second, third, _ = (dot.x for dot in chart.dots)
    assert second - first == pytest.approx(third - second, abs=0.8)
    assert [text for _, text in chart.x_ticks] == ["1", "4", "16.1"]
    assert [text for _, text in chart.y_ticks] == ["25 %", "50 %", "75 %", "100 %"]
    one = curve_chart(Curve("event", points[:1], (), (), 20, ()))
    assert len(one.dots) == 1


def test_a_histogram_of_unknown_scores() -> None:
    chart = unknown_chart(np.array([0.01, 0.02, 0.99, 1.2]), np.array([0.5]), 0.5)
    known = [one for one in chart.columns if one.style == "column"]
    assert [one.tip.split()[0] for one in known] == ["2", "2"]
    assert known[0].height == known[1].height
    [other] = [one for one in chart.columns if one.style == "other"]
    assert other.height == pytest.approx(chart.bottom - chart.top)


def test_many_classes_show_those_with_confusions(two_levels: Path) -> None:
    from sonotype.evaluation.metrics import score
    from sonotype.report.levels import MOST_CLASSES, _shown

    n = MOST_CLASSES + 30
    heads = two_heads(tuple(f"class {number:03}" for number in range(n)))
    true = np.arange(n)
    guess = true.copy()
    guess[[3, 100]] = [100, 3]
    names = [f"{number}.wav" for number in range(n)]
    predictions = predicted(heads, [true], [np.eye(n)[guess]], names, names)
    shown = _shown(score(predictions, resamples=0).heads["category"])
    assert len(shown) == MOST_CLASSES
    assert {3, 100} <= set(shown)


def test_scores_of_clips_that_the_first_branch_has_seen_promise_nothing(
    two_levels: Path, tmp_path: Path
) -> None:
    shutil.copytree(two_levels, tmp_path / "run")
    scores = json.loads((tmp_path / "run" / "scores.json").read_text())
    scores["notes"].append("one fold; branch 1 comes from x: the score is too high")
    (tmp_path / "run" / "scores.json").write_text(json.dumps(scores))
    page = Page(render_report(collect(tmp_path / "run", QUICK)))
    assert "Fewer are recognised on new recordings: branch 1 comes from x" in page.text
    assert "Expect about the same" not in page.text
