"""The pages of the documentation and their code blocks, for the tests of the documentation."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
README = ROOT / "README.md"
EXAMPLES = sorted(ROOT.glob("examples/*/README.md"))
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md")), *EXAMPLES]
CODE_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?:^|^\$ |\.venv/bin/|\| )(sonotype .*)$")


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, *languages: str) -> list[str]:
    return [code for language, code in CODE_BLOCK.findall(text_of(page)) if language in languages]


def commands(page: Path) -> list[str]:
    """Whole commands of the code blocks; a backslash continues a line."""
    codes = [code.replace("\\\n", " ") for code in blocks(page, "", "sh", "console")]
    lines = [line for code in codes for line in code.splitlines()]
    return [match[1].strip() for line in lines if (match := COMMAND.search(line.strip()))]
