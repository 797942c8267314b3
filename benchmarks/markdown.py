"""Markdown tables that are readable as plain text: figures to the right, at most 80 columns."""

from __future__ import annotations

from collections.abc import Sequence

WIDTH = 80


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The first column to the left, all others to the right."""
    widths = [max(3, *(len(row[column]) for row in (head, *rows))) for column in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        first, *others = zip(cells, widths, strict=True)
        aligned = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
        return f"| {' | '.join(aligned)} |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([line(head), line(rule), *map(line, rows)])


def figure(value: float, digits: int = 3) -> str:
    """Three significant digits, with commas and without exponents."""
    if value == 0:
        return "0"
    whole = f"{value:.{digits}g}"
    return f"{float(whole):,.0f}" if abs(value) >= 10 ** (digits - 1) else plain(float(whole))


def plain(value: float) -> str:
    """Without an exponent, however small."""
    text = f"{value:.10f}".rstrip("0").rstrip(".")
    return text or "0"


def small(value: float) -> str:
    """A deviation: one digit and its power of ten."""
    return "0" if value == 0 else f"{value:.0e}".replace("e-0", "e-")
