"""Write the page of a run."""

from __future__ import annotations

from pathlib import Path

from sonotype.core.io import write_text
from sonotype.evaluation.outputs import write_page
from sonotype.report.collect import Report, ReportOptions, collect
from sonotype.report.page import render_page

REPORT = "report.html"
"""In the run folder."""
DEFAULTS = ReportOptions()


def write_run_report(run: Path, out: Path | None = None, options: ReportOptions = DEFAULTS) -> Path:
    """Write a run as one HTML page without other files.

    Args:
        run: its folder.
        out: the page, or a device; default: ``report.html`` in the run folder.
        options: what the page contains.

    Returns:
        the path of the page

    Raises:
        OptionsError: not a run folder, no finished learning curve, or the page cannot be written.
        SonotypeError: a file of the run is damaged.
    """
    text = render_report(collect(run, options))
    if out is None:
        write_text(run / REPORT, text)
        return run / REPORT
    write_page(out, text)
    return out


def render_report(report: Report) -> str:
    """The page as text."""
    return render_page("report.html", report=report)
