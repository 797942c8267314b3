"""Compose annotated recordings from the clips of ESC-50.

``python studies/detection/compose.py ESC-50 --out runs/composed --test-fold 4``

Short events are mixed into two minutes of background noise. The recordings in ``train`` take events
and backgrounds from the clips of the other folds, those in ``test`` from the test fold. ``clips``
holds the events of ``train`` again, each cut from its recording. The same arguments give the same
files.
"""
# ruff: noqa: T201 - a script prints

from __future__ import annotations

import argparse
import csv
import io
import math
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import chain, combinations
from pathlib import Path

import numpy as np
import soundfile
from mixture import RATE, Event, Floats, Plan, Recording, compose

from sonotype.audio.decode import Samples
from sonotype.core.cpu import available_cpus
from sonotype.core.errors import OptionsError, SonotypeError
from sonotype.core.io import replacing, write_text
from sonotype.core.json_text import json_text
from sonotype.core.prefetch import prefetch
from sonotype.core.progress import track
from sonotype.core.text import align, listed
from sonotype.core.types import Clip
from sonotype.data.augment.event_mixture import EVENTS_PER_SECOND, OVERLAPPING, clip_deck, deck
from sonotype.data.manifest import Manifest
from sonotype.data.readers.source import open_source
from sonotype.evaluation.outputs import require_free_folder

CLASSES = (
    *("dog", "rooster", "cat", "crow", "sheep", "cow", "crying_baby", "sneezing", "clapping"),
    *("coughing", "footsteps", "laughing", "door_wood_knock", "mouse_click", "can_opening"),
    *("clock_alarm", "glass_breaking", "siren", "car_horn", "church_bells"),
)
BACKGROUNDS = ("rain", "wind", "sea_waves", "crickets", "engine", "pink noise")
"""In turn, one for each recording. The last is synthetic, the others are classes."""

SHORTEST_SECONDS = 10

CUT = 5 * RATE
CUT_LABEL = 3 * RATE // 10
"""Duration from which another event in a cut is a label of the cut; half of a shorter event."""

LABEL_FILES = {"audacity": ".txt", "raven": ".Table.1.selections.txt", "csv": ".csv"}
RAVEN_COLUMNS = (
    *("Selection", "View", "Channel", "Begin Time (s)", "End Time (s)"),
    *("Low Freq (Hz)", "High Freq (Hz)", "Annotation"),
)


def main() -> int:
    """Compose all recordings and print a table; returns the exit code."""
    arguments = parse()
    data, out = arguments.data, arguments.out
    manifest = open_source(data)
    check(arguments, manifest)
    inputs = [data, data / "audio", data / "meta", *(clip.path for clip in manifest.clips)]
    require_free_folder(out, ["train", "test", "clips"], inputs=inputs, force=arguments.force)
    plans = [
        *plan_subset("train", train_clips(manifest, arguments.test_fold), arguments),
        *plan_subset("test", manifest.of_folds([arguments.test_fold]).clips, arguments),
    ]
    composed = prefetch(compose, plans, threads=available_cpus())
    events: defaultdict[str, dict[str, tuple[Event, ...]]] = defaultdict(dict)
    truth: defaultdict[str, list[dict[str, object]]] = defaultdict(list)
    cuts: list[tuple[str, str, str]] = []
    for recording in track(composed, "composing", len(plans)):
        plan = recording.plan
        write_flac(out / plan.subset / f"{plan.name}.flac", recording.samples)
        if arguments.labels:
            path = out / plan.subset / (plan.name + LABEL_FILES[arguments.labels])
            write_text(path, label_file(arguments.labels, recording.events))
        if plan.subset == "train":
            cuts += write_cuts(out / "clips", recording)
        events[plan.subset][plan.name] = recording.events
        truth[plan.subset].append(truth_of(recording))
    write_csv(out / "clips" / "metadata.csv", ("path", "category", "group"), cuts)
    for subset, recordings in truth.items():
        facts = {"seed": arguments.seed, "test_fold": arguments.test_fold, "sample_rate": RATE}
        text = json_text({**facts, "recordings": recordings}, indent=1)
        write_text(out / subset / "truth.json", text + "\n")
        write_csv(
            out / subset / "annotations.csv",
            ("path", "onset", "offset", "label", "group"),
            annotation_rows(events[subset]),
        )
    print(table(events, arguments.seconds))
    return 0


def parse() -> argparse.Namespace:
    """The arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path, help="ESC-50")
    parser.add_argument("--out", type=Path, required=True, help="folder for the recordings")
    parser.add_argument("--test-fold", type=int, required=True, help="fold of the test recordings")
    parser.add_argument("--train-recordings", type=int, default=20)
    parser.add_argument("--test-recordings", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=120.0, help="length of a recording")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--classes", type=lambda text: tuple(text.split(",")), default=CLASSES,
        help="events, separated by commas; default: " + ",\n".join(
            ",".join(CLASSES[first : first + 6]) for first in range(0, len(CLASSES), 6)
        ),
    )  # fmt: skip
    parser.add_argument("--labels", choices=LABEL_FILES, help="also write label files")
    parser.add_argument("--force", action="store_true", help="replace existing files")
    return parser.parse_args()


def check(arguments: argparse.Namespace, manifest: Manifest) -> None:
    """Refuse invalid arguments.

    Raises:
        OptionsError: names all of them.
    """
    issues = [
        f"--{name} must be at least {least}, got {value:g}"
        for name, value, least in (
            ("train-recordings", arguments.train_recordings, 1),
            ("test-recordings", arguments.test_recordings, 1),
            ("seconds", arguments.seconds, SHORTEST_SECONDS),
            ("seed", arguments.seed, 0),
        )
        if not least <= value < math.inf
    ]
    data, out = arguments.data.resolve(), arguments.out.resolve()
    if data in (out, *out.parents):
        issues.append(f"--out {arguments.out}: lies in the data; name another folder")
    if len(set(arguments.classes)) < max(2, len(arguments.classes)):
        issues.append("--classes must be at least two different classes")
    known = {clip.label("event") for clip in manifest.clips}
    for label in dict.fromkeys((*arguments.classes, *BACKGROUNDS[:-1])):
        if label not in known:
            issues.append(f"{manifest.name} has no class {label!r}")
        elif label in arguments.classes and label in BACKGROUNDS:
            issues.append(f"--classes: {label!r} is a background")
    fold = arguments.test_fold
    if fold not in manifest.folds or len(manifest.folds) < 2:
        there = listed(manifest.folds) or "no folds"
        issues.append(f"--test-fold {fold}: {manifest.name} has {there}; two are needed")
    elif not issues:
        subsets = {
            "test": manifest.of_folds([fold]).clips,
            "train": train_clips(manifest, fold),
        }
        for name, clips in subsets.items():
            found = {clip.label("event") for clip in clips}
            missing = [x for x in (*arguments.classes, *BACKGROUNDS[:-1]) if x not in found]
            if missing:
                issues.append(f"the {name} folds have no clips of {listed(missing)}")
    if issues:
        raise OptionsError("\n".join(issues))


def train_clips(manifest: Manifest, test_fold: int) -> tuple[Clip, ...]:
    """The clips of the other folds, without those from a recording that is in the test fold too."""
    tested = {clip.group for clip in manifest.clips if clip.fold == test_fold}
    return tuple(
        clip for clip in manifest.clips if clip.fold != test_fold and clip.group not in tested
    )


def plan_subset(
    subset: str, clips: Sequence[Clip], arguments: argparse.Namespace
) -> Iterator[Plan]:
    """The recordings of a subset: classes, source recordings and backgrounds occur evenly."""
    seed = (arguments.seed, ("train", "test").index(subset))
    rng = np.random.default_rng([*seed, 0])
    decks = {
        label: clip_deck([clip for clip in clips if clip.label("event") == label], rng)
        for label in (*arguments.classes, *BACKGROUNDS[:-1])
    }
    labels = deck(arguments.classes, rng)
    recordings = getattr(arguments, f"{subset}_recordings")
    fewest, most = (round(rate * arguments.seconds) for rate in EVENTS_PER_SECOND)
    digits = max(2, len(str(recordings)))
    for number in range(1, recordings + 1):
        count = int(rng.integers(fewest, most + 1))
        background = BACKGROUNDS[(number - 1) % len(BACKGROUNDS)]
        yield Plan(
            subset=subset,
            name=f"{subset}_{number:0{digits}}",
            clips=tuple(next(decks[next(labels)]) for _ in range(count)),
            pairs=int(count * OVERLAPPING / 2 + rng.random()),
            background=background,
            loop=next(decks[background]) if background in decks else None,
            length=round(arguments.seconds * RATE),
            seed=(*seed, number),
        )


def write_cuts(folder: Path, recording: Recording) -> Iterator[tuple[str, str, str]]:
    """Write a cut around each event; yields path, labels and group."""
    for number, event in enumerate(recording.events, 1):
        middle = (event.onset + event.offset) // 2
        first, end = max(0, middle - CUT // 2), min(recording.plan.length, middle + CUT // 2)
        name = f"{recording.plan.name}_{number:02}_{event.label}.flac"
        write_flac(folder / name, recording.samples[first:end])
        labels = labels_in(first, end, event, recording.events)
        yield name, ";".join(labels), recording.plan.name


def labels_in(first: int, end: int, event: Event, events: Iterable[Event]) -> list[str]:
    """The labels of a cut around an event: its own first, then those of other events."""
    labels = [event.label]
    for other in events:
        needed = min(CUT_LABEL, (other.offset - other.onset) / 2)
        if other.common(first, end) >= needed and other.label not in labels:
            labels.append(other.label)
    return labels


def write_flac(path: Path, samples: Samples) -> None:
    """Write a mono file of 16 bits."""
    with replacing(path) as part:
        soundfile.write(part, samples, RATE, format="FLAC", subtype="PCM_16")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def seconds(samples: int) -> str:
    """A time in seconds, exact for every sample: 1 / 32,000 s has eight decimals."""
    return f"{samples / RATE:.8f}"


def annotation_rows(recordings: dict[str, tuple[Event, ...]]) -> Iterator[tuple[str, ...]]:
    """The rows of the table of annotations."""
    for name, events in recordings.items():
        for event in events:
            onset, offset = seconds(event.onset), seconds(event.offset)
            yield f"{name}.flac", onset, offset, event.label, name


def label_file(kind: str, events: Iterable[Event]) -> str:
    """The labels of one recording as text, in the format of a program."""
    rows = [(seconds(event.onset), seconds(event.offset), event.label) for event in events]
    if kind == "csv":
        lines = ["onset,offset,label", *(",".join(row) for row in rows)]
    elif kind == "audacity":
        lines = ["\t".join(row) for row in rows]
    else:
        lines = ["\t".join(RAVEN_COLUMNS)]
        for number, (onset, offset, label) in enumerate(rows, 1):
            cells = (str(number), "Spectrogram 1", "1", onset, offset, "0", str(RATE // 2), label)
            lines.append("\t".join(cells))
    return "\n".join(lines) + "\n"


def truth_of(recording: Recording) -> dict[str, object]:
    """What is known of a recording, for JSON; onsets and offsets in samples."""
    plan = recording.plan
    return {
        "path": f"{plan.name}.flac",
        "background": plan.background,
        "background_source": plan.loop.path.name if plan.loop else None,
        "gain_db": recording.gain_db,
        "events": [asdict(event) for event in recording.events],
    }


def overlap_share(recordings: Iterable[Sequence[Event]]) -> float:
    """Share of the events that overlap another event."""
    overlapping = total = 0
    for events in recordings:
        pairs = [pair for pair in combinations(range(len(events)), 2)
                 if events[pair[0]].overlaps(events[pair[1]])]  # fmt: skip
        overlapping += len({index for pair in pairs for index in pair})
        total += len(events)
    return overlapping / total


def table(subsets: dict[str, dict[str, tuple[Event, ...]]], length: float) -> str:
    """Counts, lengths and levels of the subsets, and the events of each class, as text."""
    columns = {name: figures(recordings, length) for name, recordings in subsets.items()}
    widths = (36, *[-18] * len(columns))
    counts = [
        Counter(event.label for events in recordings.values() for event in events)
        for recordings in subsets.values()
    ]
    rows = [("", *columns)]
    rows += [(row, *(x[row] for x in columns.values())) for row in next(iter(columns.values()))]
    rows += [(), ("events of a class", *columns)]
    rows += [(label, *(str(x[label]) for x in counts)) for label in sorted({*chain(*counts)})]
    return "\n".join(align(row, *widths) if row else "" for row in rows)


def figures(recordings: dict[str, tuple[Event, ...]], length: float) -> dict[str, str]:
    """The column of a subset."""
    events = [event for found in recordings.values() for event in found]
    counts = [len(found) for found in recordings.values()]
    places: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for name, found in recordings.items():
        for event in found:
            places[event.label, event.source_group].add(name)
    durations = np.array([(event.offset - event.onset) / RATE for event in events])
    levels = np.array([event.level_db for event in events])

    def spread(values: Floats) -> str:
        return " ".join(f"{value:.1f}" for value in np.percentile(values, [0, 50, 100]))

    return {
        "recordings": str(len(counts)),
        "minutes": f"{len(counts) * length / 60:.1f}",
        "events": str(len(events)),
        "events in a recording": f"{min(counts)} to {max(counts)}",
        "events that overlap another": f"{overlap_share(recordings.values()):.1%}",
        "duration in s: least, median, most": spread(durations),
        "level in dB: least, median, most": spread(levels),
        "clips": str(len({event.source for event in events})),
        "sources": str(len(places)),
        "sources in several recordings": str(sum(len(names) > 1 for names in places.values())),
    }


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SonotypeError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
