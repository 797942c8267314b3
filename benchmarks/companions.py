"""Further benchmarks beside this one, each a script that prints its own table."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.team import ROOT

FOLDER = Path(__file__).resolve().parent
SCRIPTS = {"windows.py": "Long recordings", "training.py": "Training"}
MOST_SECONDS = 600


def run_companion(path: Path, *, quick: bool) -> str:
    """What the script prints, ready for a page; or one line that says how it failed.

    Text that is no Markdown table is shown as it is.
    """
    command = [sys.executable, str(path), *(["--quick"] if quick else [])]
    try:
        done = subprocess.run(
            command, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=MOST_SECONDS
        )
    except subprocess.TimeoutExpired:
        return f"{path.name} took longer than {MOST_SECONDS} s and was ended."
    if done.returncode:
        return f"{path.name} failed with exit code {done.returncode}."
    printed = done.stdout.strip()
    if any(line.startswith("|") for line in printed.splitlines()):
        return printed
    return f"```text\n{printed}\n```"


def there() -> list[tuple[str, Path]]:
    """Titles and files of the scripts that exist."""
    return [(title, FOLDER / name) for name, title in SCRIPTS.items() if (FOLDER / name).exists()]
