"""Run a command of sonotype in a process that gets little more memory after a model is loaded.

python little_memory.py MEGABYTES COMMAND ...
"""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path
from typing import Any

import sonotype.detect.job
import sonotype.inference.classifier  # noqa: F401 - imported before memory is limited
from sonotype.cli.main import run
from sonotype.inference.torch_engine import TorchEngine


def limit(megabytes: int) -> None:
    """Refuse more address space than the present one and some megabytes."""
    found = re.search(r"VmSize:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    size = int(found[1]) * 1024 + megabytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


def main() -> int:
    """Run the command, and return its exit code."""
    start = TorchEngine.__init__

    def limited(*arguments: Any, **options: Any) -> None:
        start(*arguments, **options)
        limit(int(sys.argv[1]))

    TorchEngine.__init__ = limited  # type: ignore[method-assign]
    return run(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
