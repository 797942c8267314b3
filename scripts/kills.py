"""Kill commands at random moments, start them again, and compare with an undisturbed run.

python scripts/kills.py train-gradients detect=50 --kills 30 --seed 1

Each command runs in a process group of its own, which is killed with SIGKILL at a random moment of
its usual length. It is then started again, as a user would, up to three times before it may end.
The script counts these losses; its exit code is 1 if there is one:

- a file that has its final name and differs from that of the undisturbed run,
- a restart that fails,
- a result that is missing, differs, or is there twice at the end,
- a temporary file at the end.

The processes are forked after PyTorch was imported: Linux and macOS only.
"""

# ruff: noqa: T201 - it prints
from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from kill_kinds import KINDS, Kind, serve

import sonotype.cli.detect_command
import sonotype.cli.export_command
import sonotype.cli.train_command
import sonotype.core.download
import sonotype.detect.detector
import sonotype.export.onnx
import sonotype.training.trainer  # noqa: F401 - imported before the processes are forked

IN_A_ROW = 3
"""Kills before a command may end."""
LONGEST = 600.0
"""Seconds after which a command that is not killed has failed."""
STEP = 0.002


@dataclass
class Count:
    """Kills of a command and what they cost."""

    kills: int = 0
    rounds: int = 0
    ended: int = 0
    losses: list[str] = field(default_factory=list)


def run_kills(name: str, kills: int, seed: int, folder: Path) -> Count:
    """Kill a command a number of times.

    Args:
        name: of the command, one of ``KINDS``.
        kills: how often.
        seed: of the moments.
        folder: an empty folder for inputs and results; those of rounds with a loss stay.
    """
    kind, generator, count = KINDS[name], random.Random(seed), Count()
    inputs, whole = folder / "inputs", folder / "whole"
    inputs.mkdir(parents=True)
    kind.prepare(inputs)
    with serve(inputs):
        begin = time.monotonic()
        if (code := _end(_start(kind, inputs, whole))) != 0:
            raise RuntimeError(f"{name}: the undisturbed run ended with {code}; see {whole}.log")
        length, expected = time.monotonic() - begin, kind.results(whole)
        while count.kills < kills:
            work = folder / f"round_{count.rounds}"
            losses = _round(kind, (inputs, work), (expected, length), generator, count, kills)
            count.rounds += 1
            count.losses += [f"{name}, {work}: {loss}" for loss in losses]
            if not losses:
                shutil.rmtree(work)
    return count


def _round(
    kind: Kind,
    folders: tuple[Path, Path],
    usual: tuple[dict[str, str], float],
    generator: random.Random,
    count: Count,
    kills: int,
) -> list[str]:
    """Kill a new run some times, let it end, and return the losses."""
    (inputs, work), (expected, length), losses = folders, usual, []
    for _ in range(min(IN_A_ROW, kills - count.kills)):
        code = _end(_start(kind, inputs, work), generator.uniform(0, length))
        if code == -signal.SIGKILL:
            count.kills += 1
        else:
            count.ended += 1
            if code != 0:
                return [*losses, f"a restart ended with {code}"]
        losses += [
            f"{name} has its final name and differs after a kill"
            for name, digest in kind.results(work).items()
            if name not in kind.growing and expected.get(name) != digest
        ]
        if code == 0:
            break
    if (code := _end(_start(kind, inputs, work))) != 0:
        return [*losses, f"the last restart ended with {code}"]
    found = kind.results(work)
    losses += [
        f"{name} is {'different' if name in found else 'missing'} at the end"
        for name in expected
        if found.get(name) != expected[name]
    ]
    losses += [f"{name} is there in addition" for name in found.keys() - expected.keys()]
    return losses + [f"{left.relative_to(work)} is left" for left in temporary_files(work)]


def temporary_files(folder: Path) -> list[Path]:
    """Temporary files and folders below a folder."""
    return [
        path
        for path in folder.rglob("*")
        if path.suffix == ".part" or path.name.startswith((".download-", "tmp"))
        or path.parent.name == "incoming"
    ]  # fmt: skip


def _start(kind: Kind, inputs: Path, work: Path) -> int:
    """Start a command in a process group; return its number."""
    work.mkdir(exist_ok=True)
    process = os.fork()
    if process:
        with suppress(OSError):
            os.setpgid(process, process)
        return process
    code = 1
    try:
        os.setpgid(0, 0)
        log = os.open(work.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for stream in (1, 2):
            os.dup2(log, stream)
        os.environ["SONOTYPE_CACHE"] = str(work / "cache")
        code = kind.start(inputs, work)
    except BaseException:
        traceback.print_exc()
    finally:
        for text in (sys.stdout, sys.stderr):
            text.flush()
        os._exit(code)


def _end(process: int, moment: float = LONGEST) -> int:
    """Wait for a process, and kill its group after some seconds; return the exit code."""
    end = time.monotonic() + moment
    while time.monotonic() < end:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(STEP)
    os.killpg(process, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def main() -> int:
    """Kill the named commands, and print the counts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "kinds", nargs="+", metavar="COMMAND[=KILLS]", help=f"commands: {', '.join(KINDS)}"
    )
    parser.add_argument("--kills", type=int, default=10, help="of each command without a number")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    wanted = {}
    for word in arguments.kinds:
        name, _, number = word.partition("=")
        if name not in KINDS or not (number or "1").isdecimal():
            parser.error(f"{word}: name one of {', '.join(KINDS)}, as in {next(iter(KINDS))}=5")
        wanted[name] = int(number or arguments.kills)
    losses = []
    for name, kills in wanted.items():
        folder = Path(tempfile.mkdtemp(prefix="sonotype-kills-"))
        begin = time.monotonic()
        count = run_kills(name, kills, arguments.seed, folder)
        print(
            f"{name}: {count.kills} kills, {len(count.losses)} losses in {count.rounds} rounds; "
            f"{count.ended} starts ended before their moment; {time.monotonic() - begin:.0f} s",
            flush=True,
        )
        losses += count.losses
        if not count.losses:
            shutil.rmtree(folder)
    print("\n".join(losses))
    return 1 if losses else 0


if __name__ == "__main__":
    sys.exit(main())
