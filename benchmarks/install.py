"""Install the peers, each by itself, so that one that cannot be had does not stop the others."""
# ruff: noqa: T201 - a script talks to whoever runs it

from __future__ import annotations

import subprocess
import sys
import tomllib

from benchmarks.team import ROOT

EXTRA = "bench"


def requirements() -> list[str]:
    """The extra's, one by one."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return list(project["optional-dependencies"][EXTRA])


def main() -> int:
    """Install; 1 where something could not be, which is said and tried again next time."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--constraint", "constraints.txt"]
    failed = [
        one
        for one in requirements()
        if subprocess.run([*pip, one], cwd=ROOT, check=False).returncode
    ]
    for one in failed:
        print(f"{one} could not be installed; the benchmark goes on without it", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
