"""Write the page of a run."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from sonotype.core.errors import SonotypeError
from sonotype.core.io import write_text
from sonotype.doctor.sound_set import open_leniently
from sonotype.evaluation.outputs import write_page
from sonotype.experiments.run_folder import REPORT
from sonotype.report.clip_names import find_file, place_of
from sonotype.report.collect import Report, ReportOptions, collect
from sonotype.report.page import render_page
from sonotype.report.run_record import read_run

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


def write_training_report(run: Path) -> Path:
    """Write the page of a run at the end of its training, which does not wait for the doctor.

    Raises:
        OptionsError: the page cannot be written.
        SonotypeError: a file of the run is damaged.
    """
    return write_run_report(run, options=ReportOptions(doctor=False, progress=True))


def files_read(run: Path, curve: Path | None = None) -> list[Path]:
    """All files that a page is made from: of the run, of its data, of the learning curve.

    Args:
        run: its folder.
        curve: folder of a learning curve.

    Raises:
        OptionsError: not a run folder.
        SonotypeError: a file of the run is damaged.
    """
    record = read_run(run)
    data = Path(record.data)
    found = [path for path in run.rglob("*") if path != run / REPORT]
    found += curve.rglob("*") if curve is not None else ()
    found += data.rglob("*") if data.is_dir() else [data]
    # The sounds of a table, and those of data that were moved.
    names = {row["path"] for row in record.rows}
    if record.predictions is not None:
        names |= {place_of(name, windows=record.windows).path for name in record.predictions.paths}
    found += [path for name in names if (path := find_file(name, record.data)) is not None]
    if data.is_file() and record.options is not None:
        with suppress(SonotypeError, OSError):
            found += [item.path for item in open_leniently(data, record.options.source).items]
    return [path for path in found if path.is_file()]


def render_report(report: Report) -> str:
    """The page as text."""
    return render_page("report.html", report=report)
