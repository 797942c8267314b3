"""A diagnosis as text in 80 columns, JSON and HTML."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from html import escape
from typing import Any

from sonotype.core.json_text import json_text
from sonotype.core.text import WIDTH, counted, pad, printable, shorten, wrap
from sonotype.doctor.examine import Diagnosis
from sonotype.doctor.findings import SEVERITIES, Finding

EXAMPLES = 3
"""Places of a finding that the text shows."""
INDENT = " " * 9


def summary(diagnosis: Diagnosis) -> str:
    """One line: how many sounds, errors, warnings and notes."""
    counts = [
        counted(number, severity)
        for severity in SEVERITIES
        if (number := diagnosis.count(severity))
    ]
    sounds = counted(len(diagnosis.measured), "sound")
    return f"{sounds} examined: {', '.join(counts) or 'no findings'}"


def text_report(diagnosis: Diagnosis, examples: int = EXAMPLES) -> str:
    """The findings, each with severity, what, examples and remedy.

    Args:
        diagnosis: of an examination.
        examples: places of a finding to show; 0 for all.
    """
    lines = [line for finding in diagnosis.findings for line in _lines(finding, examples)]
    return "\n".join([*lines, *([""] if lines else []), *wrap(summary(diagnosis))])


def _lines(finding: Finding, examples: int) -> Iterable[str]:
    places = finding.places
    shown = places[:examples] if examples else places
    number = f"{len(places):,}"
    what = wrap(f"{finding.what} [{finding.kind}]", "")
    first = shorten(what[0], WIDTH - len(INDENT) - 7)
    yield f"{pad(finding.severity, len(INDENT))}{pad(number, 5, right=True)}  {first}"
    for place in shown:
        yield from _wrapped(str(place), INDENT + " " * 7)
    if len(shown) < len(places):
        yield f"{INDENT}{' ' * 7}... and {len(places) - len(shown):,} more"
    yield from _wrapped(f"-> {finding.remedy}", INDENT + " " * 7)


def _wrapped(text: str, indent: str) -> list[str]:
    """Lines of at most 80 columns, all indented."""
    first, *rest = wrap(text, indent + "  ")
    return [indent + first, *rest]


def json_report(diagnosis: Diagnosis) -> str:
    """Counts, and all findings with all places."""
    value: dict[str, Any] = {
        "source": str(diagnosis.sounds.source),
        "sounds": len(diagnosis.measured),
        **{f"{severity}s": diagnosis.count(severity) for severity in SEVERITIES},
        "findings": [asdict(finding) for finding in diagnosis.findings],
    }
    return json_text(value, indent=2, ensure_ascii=False)


def html_report(diagnosis: Diagnosis) -> str:
    """One page without scripts and without other files; all text is escaped."""
    title = f"Examination of {escape(printable(str(diagnosis.sounds.source)))}"
    rows = "\n".join(map(_row, diagnosis.findings))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font: 15px/1.45 sans-serif; margin: 2em auto; max-width: 70em; padding: 0 1em; }}
table {{ border-collapse: collapse; width: 100%; }}
td, th {{ border-bottom: 1px solid #ccc; padding: .5em; text-align: left; vertical-align: top; }}
.error {{ color: #b00020; }} .warning {{ color: #8a5a00; }} .note {{ color: #444; }}
ul {{ margin: 0; padding-left: 1.2em; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{escape(summary(diagnosis))}</p>
<table>
<tr><th>severity</th><th>what</th><th>where</th><th>remedy</th></tr>
{rows}
</table>
</body>
</html>
"""


def _row(finding: Finding) -> str:
    places = "".join(f"<li>{_escaped(str(place))}</li>" for place in finding.places)
    where = f"<details><summary>{len(finding.places):,}</summary><ul>{places}</ul></details>"
    return (
        f'<tr><td class="{finding.severity}">{finding.severity}</td>'
        f"<td>{_escaped(finding.what)}</td><td>{where}</td><td>{_escaped(finding.remedy)}</td></tr>"
    )


def _escaped(text: str) -> str:
    return escape(printable(text))
