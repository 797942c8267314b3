"""``sonotype listen``: events in live sound."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sonotype.cli.flags import Json, with_options
from sonotype.config import Device, from_flat
from sonotype.core.errors import AudioError, OptionsError, SonotypeError
from sonotype.core.text import counted, duration, shorten, wrap
from sonotype.detect.detect_options import DetectOptions
from sonotype.live.live_options import InputOptions, ListenOptions

if TYPE_CHECKING:
    from sonotype.detect.detector import Detector
    from sonotype.live.feed import Feed
    from sonotype.live.hooks import Hook
    from sonotype.live.listener import Observer, OnReport, Status
    from sonotype.live.reports import Report


@with_options(
    {"frequencies": "off"},
    {"frequencies": "Not possible with live sound, which is not kept"},
    Input=InputOptions,
    Detection=DetectOptions,
    Listening=ListenOptions,
)
def listen(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[MODEL] [INPUT]",
            help="A model; then - for standard input, or a file, or nothing",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for files of events")] = None,
    also: Annotated[
        list[Path] | None,
        typer.Option("--also", metavar="MODEL", help="Model to average with", hidden=True),
    ] = None,
    device: Annotated[Device, typer.Option("--device", help="Device", hidden=True)] = "cpu",
    json: Json = False,
    **options: Any,
) -> None:
    """Detect events in live sound, until it ends or Ctrl-C.

    Without an input it listens to the microphone. A WAV stream states its format.

    Example: arecord -f dat | sonotype listen model.safetensors -
    """
    inputs, detection, listening = from_flat([InputOptions, DetectOptions, ListenOptions], options)
    formats = listening.all_formats()
    if options.get("frequencies"):
        raise OptionsError("--frequencies: live sound is not kept, so they are not measured")
    if out is None and "formats" in options:
        raise OptionsError("--format is for the files in --out FOLDER, which is missing")
    model, source = _model_and_source(paths or [], inputs)
    from sonotype.detect.detector import open_detector
    from sonotype.live.hooks import command_hook, webhook

    with ExitStack() as stack:
        signals = stack.enter_context(_signals())
        detector = open_detector([model, *(also or [])], detection, device=device)
        with signals.at_once():
            feed = stack.enter_context(_open(source, inputs))
        for line in wrap(f"{detector.scored}; {feed.name}, {feed.sample_rate} Hz"):
            typer.echo(line, err=True)
        hooks = [command_hook(listening.exec)] if listening.exec else []
        hooks += [webhook(listening.webhook, feed.name)] if listening.webhook else []
        stack.push(lambda kind, *_: _close(hooks, at_once=kind is KeyboardInterrupt))
        files = _files(stack, out, formats, feed, detector)
        at_start = listening.when == "start"

        def call_hooks(report: Report) -> None:
            for hook in hooks:
                hook.add(report)

        def on_event(report: Report) -> None:
            files(report)
            if not at_start:
                call_hooks(report)

        from sonotype.live.listener import Listener

        with _observer(detector, feed, hooks, json=json) as observer:
            listener = Listener(
                detector, feed, listening, observer, on_event, call_hooks if at_start else None
            )
            status = listener.run(lambda: signals.stopped)
        print_status(status)
    if status.error:
        raise AudioError(feed.name, status.error)


def _close(hooks: list[Hook], *, at_once: bool) -> None:
    """Wait for the events of hooks, also after an error; print how often they worked."""
    for hook in hooks:
        hook.close(*([0.0] if at_once else []))
        typer.echo(hook_line(hook), err=True)


def print_status(status: Status) -> None:
    """Print what was found, what was lost and how long it took, on standard error."""
    found = f"{duration(status.seconds)} of sound, {counted(status.events.total(), 'event')}"
    if status.left_out:
        found += f", {status.left_out.total()} more within the pause"
    typer.echo(f"{found}, {counted(status.dropped, 'sample')} lost", err=True)
    if status.overflows:
        times = counted(status.overflows, "more overflow")
        typer.echo(f"{times} of the sound system, of unknown length", err=True)
    if status.unread:
        typer.echo(f"{counted(status.unread, 'sample')} had arrived but were not scored", err=True)
    if status.invalid:
        typer.echo(f"{counted(status.invalid, 'sample')} were no valid numbers", err=True)
    line = f"scores {status.behind:.1f} s after the sound, at most {status.longest:.1f} s"
    if status.delays:
        middle = sorted(status.delays)[len(status.delays) // 2]
        line += f"; events {middle:.1f} s after their end"
    typer.echo(line, err=True)


def hook_line(hook: Hook) -> str:
    """How often a hook worked, and why it failed."""
    line = f"{hook.name}: {counted(hook.done, 'event')}"
    return shorten(f"{line}, {hook.failed} failed: {hook.last_error}", 80) if hook.failed else line


def _model_and_source(paths: list[Path], inputs: InputOptions) -> tuple[Path | None, Path | None]:
    """The model, if any, and the source; ``None`` for the microphone.

    Raises:
        OptionsError: several sources, a folder or a missing file; --input with another source.
    """
    from sonotype.cli.prediction_inputs import STANDARD_INPUT, split_model
    from sonotype.inference.locate import find_model, names_model

    if len(paths) == 1 and names_model(paths[0]):
        return find_model(paths[0]), None
    model, sources = split_model(paths) if paths else (None, [])
    if len(sources) > 1:
        raise OptionsError("listen takes one input; for many recordings use sonotype detect")
    source = sources[0] if sources else None
    if source is None:
        return model, None
    if inputs.input:
        raise OptionsError(f"--input {inputs.input} is a microphone; leave out {source}")
    if str(source) in STANDARD_INPUT:
        if sys.stdin is None or sys.stdin.isatty():
            raise OptionsError("standard input is a terminal; pipe sound into the command")
        return model, Path("-")
    if not source.is_file():
        raise OptionsError(f"{source}: no such file or model; use - for standard input")
    return model, source


def _open(source: Path | None, inputs: InputOptions) -> AbstractContextManager[Feed]:
    from sonotype.live import sources

    if source is None:
        return sources.microphone(inputs)
    if str(source) != "-":
        return sources.file(source)
    # Without a buffer: at exit Python would wait for a thread that reads a buffered file.
    return sources.pipe(FileIO(sys.stdin.fileno(), closefd=False), inputs)


def _files(
    stack: ExitStack, out: Path | None, formats: tuple[str, ...], feed: Feed, detector: Detector
) -> OnReport:
    """A function that adds an event to the files in ``--out``."""
    if out is None:
        return lambda _: None
    from sonotype.detect.job_folder import output_errors
    from sonotype.live.outputs import EventFiles

    files = EventFiles(out, formats, feed.name, detector.highest)
    stack.callback(files.close)

    def add(report: Report) -> None:
        with output_errors(out):
            files.add(report)

    return add


@contextmanager
def _observer(
    detector: Detector, feed: Feed, hooks: list[Hook], *, json: bool
) -> Iterator[Observer]:
    """A live display on a terminal, lines of events elsewhere."""
    from sonotype.live.display import Lines, Screen, event_line
    from sonotype.live.outputs import json_line

    def notes() -> dict[str, str]:
        return {hook.name: hook_line(hook) for hook in hooks if hook.failed}

    if not json and sys.stdout.isatty() and sys.stderr.isatty():
        with Screen(
            detector.classes, detector.thresholds, lambda: list(notes().values())
        ) as screen:
            yield screen
        return

    def line_of(report: Report) -> str:
        return json_line(report, feed.name).rstrip("\n") if json else event_line(report.event)

    def write(line: str) -> None:
        try:
            typer.echo(line)
            sys.stdout.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, sys.stdout.fileno())  # for what Python writes at its end
            os.close(nothing)
            cause = error.strerror or error
            raise SonotypeError(f"standard output: cannot be written ({cause})") from error

    def warn(line: str) -> None:
        typer.echo(f"warning: {line}", err=True)

    yield Lines(write, line_of, warn, notes)


@dataclass
class Signals:
    """What signals ask for.

    Attributes:
        stopped: whether a signal came.
        waiting: whether a signal ends the program at once, since there is no sound yet.
    """

    stopped: bool = False
    waiting: bool = False

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Wait for sound. Elsewhere an exception might pass through code that is not Python."""
        self.waiting = True
        if self.stopped:
            raise SystemExit(0)
        yield
        self.waiting = False


@contextmanager
def _signals() -> Iterator[Signals]:
    """Ctrl-C and the signals TERM and HUP stop listening; a second one ends the program at once.

    The terminal is gone after HUP, so what would be written to it is left out.
    """
    signals = Signals()
    terminals = [number for number in (1, 2) if os.isatty(number)]

    def handle(number: int, frame: object) -> None:
        if number == hang_up:
            nothing = os.open(os.devnull, os.O_WRONLY)
            for terminal in terminals:
                os.dup2(nothing, terminal)
            os.close(nothing)
        if signals.stopped:
            raise KeyboardInterrupt
        signals.stopped = True
        if signals.waiting:
            raise SystemExit(0)

    hang_up = getattr(signal, "SIGHUP", None)  # unknown on Windows, ignored under nohup
    wanted = [signal.SIGINT, signal.SIGTERM]
    if hang_up is not None and signal.getsignal(hang_up) != signal.SIG_IGN:
        wanted.append(hang_up)
    old = {one: signal.signal(one, handle) for one in wanted}
    try:
        yield signals
    finally:
        for one, handler in old.items():
            signal.signal(one, handler)
