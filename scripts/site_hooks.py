"""Hooks of MkDocs for the documentation site (``mkdocs.yml``).

Pages in ``docs/`` are read both in the repository and on the site. The hooks turn links to files
outside of ``docs/`` into text, remove Sphinx roles from docstrings, and check that the site loads
nothing from other hosts.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

OUTSIDE = re.compile(r"\[([^\]]+)\]\(((?:\.\./)+)([^)#\s]+)[^)]*\)")
ROLE = re.compile(r":(?:func|meth|class|mod|attr|data):<code>~?([^<]+)</code>")
LOADED = re.compile(
    r"<(?:script|img|iframe|source|video|audio)\b[^>]*\bsrc=[\"']?((?:https?:)?//[^\"'\s>]+)"
    r"|<link\b(?=[^>]*\brel=[\"']?(?:stylesheet|preconnect|preload|icon))[^>]*"
    r"\bhref=[\"']?((?:https?:)?//[^\"'\s>]+)"
    r"|(?:@import|url\()\s*[\"']?((?:https?:)?//[^\"')\s]+)",
    re.IGNORECASE,
)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace each link to a file outside of ``docs/`` by its text and the path of the file."""
    return OUTSIDE.sub(_text_and_path, markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Show ``:func:`train``` of a docstring as code."""
    return ROLE.sub(r"<code>\1</code>", html)


def on_post_build(config: Any, **_: Any) -> None:
    """Check that no page and no style sheet loads a file from another host.

    Raises:
        ValueError: with the file and the address.
    """
    site = Path(config["site_dir"])
    for path in sorted([*site.rglob("*.html"), *site.rglob("*.css")]):
        for match in LOADED.finditer(path.read_text(encoding="utf-8")):
            address = next(group for group in match.groups() if group)
            raise ValueError(f"{path}: loads {address}; the site must not load from other hosts")


def _text_and_path(match: re.Match[str]) -> str:
    text, _, path = match.groups()
    return text if path in text.strip("`") else f"{text} (`{path}` in the repository)"
