"""Give mutated inputs to every edge of the program where something comes from outside.

``python scripts/fuzz.py EDGE --inputs N --seed S --out FOLDER``

EDGE is decoder, model, onnx, tables, labels, outputs, http, app, saved or archive, or a Python file
with an ``EDGE``. Input number N of a seed is always the same. A worker process runs the inputs; a
find is

- a crash of the process, a hang, or memory beyond the bound of the edge;
- an exception that is neither a ``SonotypeError`` nor documented by the called function;
- a file that is written outside the folder of the input, code that is executed, a connection.

Finds are stored in ``FOLDER/EDGE/finds`` with their inputs; ``--replay FOLDER/EDGE/finds/N`` runs
one again. A later start resumes an interrupted run at the next input. Works on Linux alone. With
``TMPDIR`` in memory (``/dev/shm``), edges that write files are up to seven times as fast.
"""
# ruff: noqa: T201, E402 - a script prints, and imports from its folder

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), *(str(HERE.parent / name) for name in ("src", "tests"))]
os.environ.setdefault("OMP_NUM_THREADS", "1")

from fuzzing.watch import Run, replay
from fuzzing.worker import work


def main() -> int:
    """Run the script; the exit code is 1 if there are finds."""
    options = _options()
    if options.worker:
        work(options.edge, options.out, options.channel, json.loads(options.worker))
        return 0
    options.out.mkdir(parents=True, exist_ok=True)
    if options.replay:
        case = options.replay / "case.json" if options.replay.is_dir() else options.replay
        found = replay(options.edge, case, options.hang, options.out / "log.txt")
        print(found or "nothing found")
        return int(bool(found))
    run = Run(options.edge, options.out / Path(options.edge).stem, options.seed, options.hang)
    try:
        run.go(options.inputs)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
    state = run.state
    print(f"{options.edge}: {state.next} inputs in {state.seconds:.0f} s, "
          f"{sum(state.finds.values())} finds {dict(state.finds) or ''}")  # fmt: skip
    for place, number in state.places.most_common():
        print(f"  {number} {place}")
    return int(bool(state.finds))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("edge", help="name of an edge, or a Python file")
    parser.add_argument("--inputs", type=int, default=100_000, help="number of inputs in all")
    parser.add_argument("--seed", type=int, default=0, help="of the inputs")
    parser.add_argument("--out", type=Path, default=Path("fuzz"), help="folder of state and finds")
    parser.add_argument("--hang", type=float, default=10.0, help="seconds that an input may take")
    parser.add_argument("--replay", type=Path, help="folder of a find, to run it again")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--channel", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
