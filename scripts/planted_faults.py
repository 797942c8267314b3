"""Measure which planted faults ``sonotype doctor`` finds, and what else it reports.

``python scripts/planted_faults.py ESC-50 --out runs/planted_faults``

In each draw, one fold is copied as class folders. Faults are planted in sounds of other folds that
have no finding of their own, with random parameters, and added; so are near copies of clips of the
fold. A second, small source is a table with folds and groups, for the faults that only a table can
have. The doctor examines both. A finding is expected if its kind was planted in one of its files.
Findings of files without a planted fault are findings of the data themselves.
"""
# ruff: noqa: T201 - a script prints

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from planted_sounds import (
    FAULTS,
    LOSSY,
    NEAR,
    Content,
    Rng,
    Samples,
    encoded,
    exact,
    excerpt,
    ogg_vorbis,
)

from sonotype.audio.decode import load_audio
from sonotype.core.errors import SonotypeError
from sonotype.core.types import Clip
from sonotype.data.readers.source import open_source
from sonotype.doctor.examine import examine
from sonotype.doctor.measure import measure
from sonotype.doctor.sound_checks import check_sound
from sonotype.evaluation.outputs import require_free_folder

TIMES = 3
"""Sounds of a draw with each fault of single sounds."""
COPIED = 8
"""Clips of a draw with near copies, one of each kind."""
TABLE_CLIPS = 40
"""Clips of each of the two folds of the table."""

# One draw


@dataclass
class Draw:
    """What was planted: kinds by file or label, as the doctor names them.

    Attributes:
        root: folder of the copied clips.
        rng: draws everything.
        planted: kind of a fault and where it is.
        near: kind of a near copy, and its file.
        recording: by file the recording that it is from.
    """

    root: Path
    rng: Rng
    planted: list[tuple[str, str]] = field(default_factory=list)
    near: list[tuple[str, str]] = field(default_factory=list)
    recording: dict[str, str] = field(default_factory=dict)

    def write(self, name: str, content: Content) -> str:
        """Write a file; its name relative to the folder."""
        path = self.root / (name + content[0])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content[1])
        return str(path.relative_to(self.root))


def sound_clips(clips: Sequence[Clip], rng: Rng) -> Iterator[tuple[Clip, Samples, int]]:
    """Clips in random order that have no finding and a second of sound, with samples and rate."""
    for index in rng.permutation(len(clips)):
        found = measure(clips[index].path)
        if found.active_seconds >= 1 and not list(check_sound(found)):
            audio = load_audio(clips[index].path)
            yield clips[index], audio.samples, audio.sample_rate
    raise SystemExit("error: too few clips without a finding; give a larger data set")


def as_it_is(clip: Clip) -> Content:
    """The file of a clip."""
    return clip.path.suffix, clip.path.read_bytes()


def label(clip: Clip) -> str:
    """The finest label."""
    return list(clip.labels.values())[-1][0]


def folders(draw: Draw, own: Sequence[Clip], others: Sequence[Clip]) -> None:
    """Copy clips into class folders, and plant faults in sounds of other clips."""
    for clip in own:
        name = draw.write(f"{label(clip)}/{clip.path.stem}", as_it_is(clip))
        draw.recording[name] = clip.group
    rng, fresh = draw.rng, sound_clips(others, draw.rng)
    for number in range(TIMES):
        for fault in FAULTS:
            clip, samples, rate = next(fresh)
            kind = fault.__name__
            content = fault(samples - samples.mean(), rate, rng)
            name = draw.write(f"{label(clip)}/{kind}_{number}", content)
            draw.planted.append((kind, name))
    known = sound_clips(own, rng)
    labels = sorted({label(clip) for clip in own})
    for number in range(TIMES):
        clip, samples, rate = next(known)
        name = draw.write(f"{label(clip)}/copy_{number}", exact(samples, rate, rng))
        draw.planted.append(("copies", name))
        for kind, copied in (
            ("copies_under_two_labels", exact),
            ("near_copies_under_two_labels", excerpt),
        ):
            clip, samples, rate = next(known)
            other = rng.choice([one for one in labels if one != label(clip)])
            name = draw.write(f"{other}/{kind}_{number}", copied(samples, rate, rng))
            draw.planted.append((kind, name))
    for _ in range(COPIED):
        clip, samples, rate = next(known)
        for change in NEAR:
            kind = change.__name__
            name = f"{label(clip)}/{kind}_of_{clip.path.stem}"
            name = draw.write(name, change(samples, rate, rng))
            draw.near.append((kind, name))
            draw.recording[name] = clip.group
    spelled(draw, *next(fresh))


def spelled(draw: Draw, clip: Clip, samples: Samples, rate: int) -> None:
    """Plant a label that is spelled in another way, which is a small class too."""
    other = label(clip).upper() if draw.rng.random() < 0.5 else label(clip).title() + "_"
    draw.write(f"{other}/spelled", encoded(samples, rate))
    draw.planted.append(("similar_labels", f"{other!r} and {label(clip)!r}"))
    draw.planted.append(("small_class", other))


def table(draw: Draw, own: Sequence[Clip], others: Sequence[Clip]) -> Path:
    """Write a table of two folds with groups, and plant faults that other sources cannot have."""
    rows, rng = [], draw.rng
    first, second = (
        [clips[index] for index in rng.permutation(len(clips))[:TABLE_CLIPS]]
        for clips in (own, others)
    )
    for fold, clips in (("1", first), ("2", second)):
        for clip in clips:
            name = draw.write(f"{fold}/{clip.path.stem}", as_it_is(clip))
            rows.append((name, label(clip), clip.group, fold))
    known = sound_clips(first, rng)
    for number in range(TIMES):
        for kind, change, group, fold in (
            ("copies_across_folds", exact, "", "2"),
            ("near_copies_across_folds", ogg_vorbis, "", "2"),
            ("near_copies_across_groups", excerpt, f"other_{number}", "1"),
        ):
            clip, samples, rate = next(known)
            name = draw.write(f"1/{kind}_{number}", change(samples, rate, rng))
            rows.append((name, label(clip), group or clip.group, fold))
            draw.planted.append((kind, name))
    rows.append(("1/missing.wav", label(own[0]), "missing", "1"))
    draw.planted.append(("listing", f"clips.csv:{len(rows) + 1}"))
    out = draw.root / "clips.csv"
    with out.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("path", "category", "group", "fold"), *rows])
    return out


# What the doctor says

FOLLOWING = ("mixed_rates", "imbalance")
"""Kinds that follow from planted sounds of other rates and from a planted small class."""


@dataclass
class Tally:
    """Counts over draws.

    Attributes:
        planted: by kind.
        found: of these, by kind.
        extra: by kind, findings of files with another planted fault.
        own: by kind, findings of files and labels without a planted fault.
        sounds: that were examined.
        wall: seconds.
        cpu: seconds of all threads.
    """

    planted: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    extra: Counter[str] = field(default_factory=Counter)
    own: Counter[str] = field(default_factory=Counter)
    sounds: int = 0
    wall: float = 0.0
    cpu: float = 0.0


def judge(draw: Draw, source: Path, tally: Tally) -> None:
    """Examine a source, count what is found, and print what is missed or was not planted."""
    wall, cpu = time.perf_counter(), time.process_time()
    diagnosis = examine(source)
    tally.wall += time.perf_counter() - wall
    tally.cpu += time.process_time() - cpu
    tally.sounds += len(diagnosis.measured)
    planted = {*draw.planted, *(("near", name) for _, name in draw.near)}
    changed, found = {name for _, name in planted}, set()
    for finding in diagnosis.findings:
        for place in finding.places:
            names = {*place.where.split(" = "), place.where}
            hits = {(finding.kind, name) for name in names} & planted
            follows = finding.kind in FOLLOWING or (
                finding.kind == "low_passed" and Path(place.where).name.startswith(LOSSY)
            )
            if finding.kind.startswith("near_copies"):
                pair = same_recording(draw, names)
                hits |= pair & planted
                follows = bool(pair)
            found |= hits
            if not hits and not follows:
                own = not names & changed
                (tally.own if own else tally.extra)[finding.kind] += 1
                if not own or finding.kind.startswith(("near_copies", "copies")):
                    print(f"not planted: {finding.kind}: {place}")
    keys = [(kind, (kind, name)) for kind, name in draw.planted]
    keys += [(f"near copy: {kind}", ("near", name)) for kind, name in draw.near]
    for kind, key in keys:
        tally.planted[kind] += 1
        tally.found[kind] += key in found
        if key not in found:
            print(f"missed: {kind}: {key[1]}")


def same_recording(draw: Draw, names: set[str]) -> set[tuple[str, str]]:
    """The near copies of a pair of sounds that are from one recording."""
    pair = [name for name in names if name in draw.recording]
    same = len(pair) == 2 and len({draw.recording[name] for name in pair}) == 1
    return {("near", name) for name in pair} if same else set()


def report(tally: Tally, draws: int) -> str:
    """A table of kinds, and totals."""
    lines = ["| kind | planted | found |", "|---|---|---|"]
    lines += [
        f"| {kind} | {count} | {tally.found[kind]} |" for kind, count in tally.planted.items()
    ]
    lines += [f"\n{tally.found.total()} of {tally.planted.total()} found in {draws} draws"]
    for what, counts in (("planted", tally.extra), ("unchanged", tally.own)):
        texts = (f"{kind} {count}" for kind, count in counts.most_common())
        lines.append(f"other findings of {what} sounds: {', '.join(texts) or 'none'}")
    lines.append(f"{tally.sounds} sounds in {tally.wall:.0f} s, {tally.cpu:.0f} s of CPU")
    return "\n".join(lines)


def main() -> int:
    """Run all draws; the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path, help="data with official folds, such as ESC-50")
    parser.add_argument("--out", type=Path, required=True, help="folder for the copies")
    parser.add_argument("--draws", type=int, default=5, help="number of draws")
    parser.add_argument("--seed", type=int, default=0, help="of the first draw")
    arguments = parser.parse_args()
    clips = open_source(arguments.data).clips
    folds = sorted({clip.fold for clip in clips if clip.fold is not None})
    if len(folds) < 2:
        raise SystemExit(f"error: {arguments.data} has no two folds")
    tally, seeds = Tally(), range(arguments.seed, arguments.seed + arguments.draws)
    require_free_folder(arguments.out, [f"{seed}_folders" for seed in seeds])
    for seed in seeds:
        fold = folds[seed % len(folds)]
        own = [clip for clip in clips if clip.fold == fold]
        others = [clip for clip in clips if clip.fold != fold]
        print(f"draw {seed}: fold {fold}", flush=True)
        rng = np.random.default_rng(seed)
        draw = Draw(arguments.out / f"{seed}_folders", rng)
        folders(draw, own, others)
        judge(draw, draw.root, tally)
        draw = Draw(arguments.out / f"{seed}_table", rng)
        judge(draw, table(draw, own, others), tally)
    print(report(tally, arguments.draws))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SonotypeError as error:
        sys.exit(f"error: {error}")
