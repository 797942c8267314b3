"""Render templates into one self-contained HTML page."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from sonotype.core.text import counted, printable, shorten
from sonotype.core.version import __version__


def render_page(template: str, **values: Any) -> str:
    """A page from a template of this package; all texts are escaped.

    File names that are not UTF-8 are shown with ``?`` for each stray byte.

    Args:
        template: file name in ``templates``.
        values: by name in the template.
    """
    environment = Environment(
        loader=PackageLoader("sonotype.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters.update(printable=printable, percent=percent)
    environment.globals.update(counted=counted, shorten=shorten, version=__version__)
    text = environment.get_template(template).render(values)
    return text.encode("utf-8", "replace").decode("utf-8")


def percent(share: float, digits: int = 1) -> str:
    """A share as a percentage without a zero at the end, in one piece: 98.8 %, 100 %."""
    text = f"{100 * share:.{digits}f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text}\u00a0%"
