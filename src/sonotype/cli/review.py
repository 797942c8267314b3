"""Go through suspicious clips one after the other: play the sound, ask what to do with its label.

The answers are lines, a letter each, so that they can also come from a pipe.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from sonotype.cli.player import find_player, playing
from sonotype.core.text import counted, listed, printable
from sonotype.core.types import Heads
from sonotype.evaluation.outputs import require_free
from sonotype.evaluation.suspects import Suspect
from sonotype.experiments.label_review import (
    CORRECTED,
    Decision,
    decisions_file,
    read_decisions,
    reviewed_clips,
    write_corrected,
    write_decisions,
)
from sonotype.experiments.run_folder import absolute

QUESTION = "k keep, r relabel (or r CLASS), d drop from the table, s skip, p play, q quit: "


def review_labels(
    run: Path, heads: Heads, ranked: Sequence[Suspect], out: Path | None, *, force: bool
) -> None:
    """Ask about each clip that is not decided yet, and write the corrected table.

    The decisions are saved after each answer. The review ends with the last clip, with ``q``, at
    the end of the input, or with an interrupt.

    Args:
        run: its folder.
        heads: of the run.
        ranked: the clips, the most suspicious first.
        out: the table; default: in the run folder.
        force: replace a file that no review has written.

    Raises:
        OptionsError: the table exists or cannot be written; the run has no clips to correct.
        DataError: the data of the run cannot be read.
    """
    manifest, clips = reviewed_clips(run, [one.path for one in ranked])
    table = out or run / CORRECTED
    state = decisions_file(table)
    inputs = [clip.path for clip in manifest.clips]
    ours = out is None or state.exists()
    require_free(table, inputs=[*inputs, *run.glob("*.npz")], force=force or ours)
    decisions = read_decisions(state)
    player = find_player()
    if not player:
        typer.echo("no player found (ffplay, afplay or aplay): open the sounds in another program")
    before = len(decisions)
    try:
        for number, one in enumerate(ranked, start=1):
            path = absolute(clips[one.path].path)
            decided = decisions.get(path)
            if decided is not None and (decided.level, decided.label) == (one.level, one.label):
                continue
            typer.echo(f"\n{number} of {len(ranked)}: {printable(path)}")
            typer.echo(f"label {one.label}, suspected {_suggestion(one)}, score {one.score:.3f}")
            decision = _ask(one, path, heads, player)
            if decision is None:
                continue
            decisions[path] = decision
            write_decisions(state, decisions)
    except (EOFError, KeyboardInterrupt):
        typer.echo("")
    write_decisions(state, decisions)
    write_corrected(table, manifest, heads, decisions)
    typer.echo(f"\n{counted(len(decisions) - before, 'decision')}, {len(decisions)} in total")
    typer.echo(f"corrected table: {table}")


def _suggestion(one: Suspect) -> str:
    if one.foreign:
        return f"foreign (nearest class {one.suggested}, {one.probability_suggested:.2f})"
    return f"{one.suggested} ({one.probability_suggested:.2f})"


def _ask(one: Suspect, path: str, heads: Heads, player: tuple[str, ...]) -> Decision | None:
    """The decision about a clip; ``None`` to skip it.

    Raises:
        EOFError: the user quits, or the input ends.
    """
    classes = next(head.classes for head in heads if head.name == one.level)
    while True:
        with playing(player, Path(path)):
            key, _, name = _line().partition(" ")
        name = name.strip() or one.suggested
        if key == "k":
            return Decision(path, one.level, one.label, "keep")
        if key == "d":
            return Decision(path, one.level, one.label, "drop")
        if key == "r" and name in classes:
            return Decision(path, one.level, one.label, "relabel", name)
        if key == "r":
            typer.echo(f"no class {name!r}; there are {listed(classes, most=len(classes))}")
        elif key == "s":
            return None
        elif key == "q":
            raise EOFError
        elif key != "p":
            typer.echo("answer with one of k, r, d, s, p, q")


def _line() -> str:
    """The next line of the input.

    Raises:
        EOFError: there is none.
    """
    typer.echo(QUESTION, nl=False)
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.strip()
