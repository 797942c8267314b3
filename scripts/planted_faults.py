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
import io
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

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

Samples = npt.NDArray[np.float32]
Rng = np.random.Generator
Content = tuple[str, bytes]
"""Suffix and bytes of a file."""


def encoded(
    samples: npt.NDArray[np.floating], rate: int, form: str = "WAV", subtype: str | None = None
) -> Content:
    """A sound file with these samples; of Ogg Vorbis with a quality of 0.1 to 0.9 as subtype."""
    stream, quality = io.BytesIO(), {}
    if form == "OGG":
        quality = {"compression_level": 1 - float(subtype or 0.5)}
        subtype = "VORBIS"
    soundfile.write(stream, samples, rate, format=form, subtype=subtype, **quality)
    return f".{form.lower()}", stream.getvalue()


def any_format(samples: npt.NDArray[np.floating], rate: int, rng: Rng) -> Content:
    """In one of the usual formats without loss."""
    forms = (("WAV", "PCM_16"), ("WAV", "PCM_24"), ("FLAC", "PCM_16"), ("WAV", "FLOAT"))
    return encoded(samples, rate, *rng.choice(forms))


def scaled(samples: Samples, peak: float) -> Samples:
    """The samples with this peak."""
    return samples * np.float32(peak / np.abs(samples).max())


def loudest(samples: Samples, length: int) -> Samples:
    """The part of a length with the most energy."""
    energy = np.cumsum(np.square(samples, dtype=np.float64))
    start = int(np.argmax(energy[length:] - energy[:-length]))
    return samples[start : start + length]


# Faults of single sounds: from samples, rate and random numbers to a file


def unreadable(samples: Samples, rate: int, rng: Rng) -> Content:
    """An empty file, random bytes, or a web page."""
    contents = (b"", rng.bytes(3000), b"<html><body>404 Not Found</body></html>")
    return ".wav", contents[rng.integers(3)]


def truncated(samples: Samples, rate: int, rng: Rng) -> Content:
    """From 30 to 90 % of a file."""
    suffix, content = encoded(samples, rate, str(rng.choice(("WAV", "FLAC"))))
    return suffix, content[: int(len(content) * rng.uniform(0.3, 0.9))]


def silent(samples: Samples, rate: int, rng: Rng) -> Content:
    """Zeros, or hiss at -86 dBFS."""
    hiss = rng.choice((0, 5e-5)) * rng.uniform(-1, 1, len(samples))
    return encoded(hiss, rate, subtype="PCM_24")


def nearly_empty(samples: Samples, rate: int, rng: Rng) -> Content:
    """From 0.1 to 0.3 s of sound in 4 to 8 s of silence, or of hiss at -80 dBFS."""
    part = loudest(samples, round(rng.uniform(0.1, 0.3) * rate))
    whole = rng.normal(0, rng.choice((0, 1e-4)), round(rng.uniform(4, 8) * rate))
    start = rng.integers(len(whole) - len(part))
    whole[start : start + len(part)] += scaled(part, rng.uniform(0.2, 0.9))
    return any_format(whole, rate, rng)


def clipped(samples: Samples, rate: int, rng: Rng) -> Content:
    """From 0.5 to 5 % of the samples are at the limit, which is anywhere from 0.3 to 1."""
    limit = np.quantile(np.abs(samples), 1 - rng.uniform(0.005, 0.05))
    return any_format(scaled(np.clip(samples, -limit, limit), rng.uniform(0.3, 1)), rate, rng)


def dc_offset(samples: Samples, rate: int, rng: Rng) -> Content:
    """From 0.015 to 0.2 of full scale."""
    offset = rng.choice((-1, 1)) * rng.uniform(0.015, 0.2)
    return any_format(scaled(samples, rng.uniform(0.1, 0.75)) + offset, rate, rng)


def mains_hum(samples: Samples, rate: int, rng: Rng) -> Content:
    """At -45 to -25 dBFS, in a sound of a peak of -20 to -2 dBFS."""
    harmonics = np.arange(1, 11)
    levels = harmonics ** -rng.uniform(0.3, 1.5) * 10 ** (rng.normal(0, 0.2, 10))
    if rng.random() < 0.3:  # of a rectifier: even multiples
        levels[::2] *= 0.1
    angles = np.outer(np.arange(len(samples)) / rate, harmonics)
    hz = rng.choice((50, 60)) + rng.uniform(-0.05, 0.05)
    hum = np.sin(2 * np.pi * hz * angles + rng.uniform(0, 6, 10)) @ levels
    hum *= 10 ** (rng.uniform(-45, -25) / 20) / np.sqrt(np.mean(hum**2))
    return any_format(scaled(samples, 10 ** (rng.uniform(-20, -2) / 20)) + hum, rate, rng)


def above_full_scale(samples: Samples, rate: int, rng: Rng) -> Content:
    """A peak of 2.5 to 3,000."""
    return encoded(scaled(samples, 10 ** rng.uniform(0.4, 3.5)), rate, subtype="FLOAT")


def far_above_full_scale(samples: Samples, rate: int, rng: Rng) -> Content:
    """A peak of 12,600 to 10^9."""
    return encoded(scaled(samples, 10 ** rng.uniform(4.1, 9)), rate, subtype="FLOAT")


def not_numbers(samples: Samples, rate: int, rng: Rng) -> Content:
    """One sample is NaN or infinite."""
    samples = samples.copy()
    samples[rng.integers(len(samples))] = rng.choice((np.nan, np.inf))
    return encoded(samples, rate, subtype="FLOAT")


def quiet(samples: Samples, rate: int, rng: Rng) -> Content:
    """A peak of -76 to -61 dBFS."""
    return any_format(scaled(samples, 10 ** rng.uniform(-3.8, -3.05)), rate, rng)


def dead_channel(samples: Samples, rate: int, rng: Rng) -> Content:
    """A second channel of zeros, or of hiss at -86 dBFS."""
    other = rng.choice((0, 5e-5)) * rng.uniform(-1, 1, len(samples))
    return any_format(np.stack(rng.permutation([samples, other]), axis=1), rate, rng)


def cancelled(samples: Samples, rate: int, rng: Rng) -> Content:
    """Two channels, one inverted."""
    return any_format(np.stack([samples, -samples], axis=1), rate, rng)


def inverted_channel(samples: Samples, rate: int, rng: Rng) -> Content:
    """Two channels, one inverted, quieter and noisy."""
    noise = rng.normal(0, 0.1 * samples.std(), len(samples))
    other = -rng.uniform(0.3, 0.9) * samples + noise
    return any_format(np.stack([scaled(samples, 0.9), other], axis=1), rate, rng)


def too_short(samples: Samples, rate: int, rng: Rng) -> Content:
    """From 10 to 90 ms."""
    return any_format(loudest(samples, round(rng.uniform(0.01, 0.09) * rate)), rate, rng)


def low_passed(samples: Samples, rate: int, rng: Rng) -> Content:
    """Converted to a lower rate and back, or only to a higher one."""
    new = rng.uniform(0.25, 0.75) * rate
    if rng.random() < 0.5:
        return any_format(soxr.resample(soxr.resample(samples, rate, new), new, rate), rate, rng)
    higher = int(rng.choice([x for x in (22_050, 32_000, 44_100, 48_000, 96_000) if x > rate]))
    return any_format(soxr.resample(samples, rate, higher), higher, rng)


def wrong_extension(samples: Samples, rate: int, rng: Rng) -> Content:
    """Named as another format."""
    named, content = rng.permutation(("WAV", "FLAC", "OGG", "MP3"))[:2]
    return f".{named.lower()}", encoded(samples, rate, str(content))[1]


def passed_over(samples: Samples, rate: int, rng: Rng) -> Content:
    """Named with a suffix that is none of sounds."""
    return str(rng.choice((".dat", ".bin", ".wav_", ".part"))), encoded(samples, rate)[1]


FAULTS: tuple[Callable[[Samples, int, Rng], Content], ...] = (
    *(unreadable, truncated, silent, nearly_empty, clipped, dc_offset, mains_hum),
    *(above_full_scale, far_above_full_scale, not_numbers, quiet, dead_channel, cancelled),
    *(inverted_channel, too_short, low_passed, wrong_extension, passed_over),
)


# Copies


def exact(samples: Samples, rate: int, rng: Rng) -> Content:
    """The same samples in another format."""
    return encoded(samples, rate, subtype="FLOAT")


def shifted(samples: Samples, rate: int, rng: Rng) -> Content:
    """Up to a second of hiss before the sound."""
    pause = rng.normal(0, 1e-3, round(rng.uniform(0.05, 1) * rate)).astype(np.float32)
    return any_format(np.concatenate([pause, samples])[: len(samples)], rate, rng)


def ogg_vorbis(samples: Samples, rate: int, rng: Rng) -> Content:
    """Encoded again with a quality of 0.1 to 0.9."""
    return encoded(samples, rate, "OGG", f"{rng.uniform(0.1, 0.9):.2f}")


def louder(samples: Samples, rate: int, rng: Rng) -> Content:
    """By up to 20 dB louder or quieter, without clipping."""
    peak = float(np.abs(samples).max())
    return any_format(scaled(samples, min(0.99, peak * 10 ** rng.uniform(-1, 1))), rate, rng)


def excerpt(samples: Samples, rate: int, rng: Rng) -> Content:
    """The loudest part, 20 to 70 % of the length."""
    return any_format(loudest(samples, round(rng.uniform(0.2, 0.7) * len(samples))), rate, rng)


def all_together(samples: Samples, rate: int, rng: Rng) -> Content:
    """An excerpt at another level and rate, as MP3."""
    part = loudest(samples, round(rng.uniform(0.3, 0.8) * len(samples)))
    other = int(rng.choice((22_050, 32_000, 44_100)))
    return encoded(soxr.resample(scaled(part, rng.uniform(0.2, 0.9)), rate, other), other, "MP3")


NEAR = (shifted, ogg_vorbis, louder, excerpt, all_together)


# One draw


@dataclass
class Draw:
    """What was planted: kinds by file or label, as the doctor names them.

    Attributes:
        root: folder of the copied clips.
        rng: draws everything.
        planted: kind of a fault and where it is.
        near: kind of a near copy, its file, and the clip that it is of.
    """

    root: Path
    rng: Rng
    planted: list[tuple[str, str]] = field(default_factory=list)
    near: list[tuple[str, str, str]] = field(default_factory=list)

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


def label(clip: Clip) -> str:
    """The finest label."""
    return list(clip.labels.values())[-1][0]


def folders(draw: Draw, own: Sequence[Clip], others: Sequence[Clip]) -> None:
    """Copy clips into class folders, and plant faults in sounds of other clips."""
    for clip in own:
        folder = draw.root / label(clip)
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip.path, folder)
    rng, fresh = draw.rng, sound_clips(others, draw.rng)
    for number in range(TIMES):
        for fault in FAULTS:
            clip, samples, rate = next(fresh)
            kind = fault.__name__
            name = draw.write(f"{label(clip)}/{kind}_{number}", fault(samples, rate, rng))
            draw.planted.append((kind, name))
    known = sound_clips(own, rng)
    labels = sorted({label(clip) for clip in own})
    for number in range(TIMES):
        clip, samples, rate = next(known)
        name = draw.write(f"{label(clip)}/copy_{number}", exact(samples, rate, rng))
        draw.planted.append(("copies", name))
        for kind, change in (
            ("copies_under_two_labels", exact),
            ("near_copies_under_two_labels", excerpt),
        ):
            clip, samples, rate = next(known)
            other = rng.choice([one for one in labels if one != label(clip)])
            name = draw.write(f"{other}/{kind}_{number}", change(samples, rate, rng))
            draw.planted.append((kind, name))
    for _ in range(COPIED):
        clip, samples, rate = next(known)
        original = f"{label(clip)}/{clip.path.name}"
        for change in NEAR:
            kind = change.__name__
            name = f"{label(clip)}/{kind}_of_{clip.path.stem}"
            draw.near.append((kind, draw.write(name, change(samples, rate, rng)), original))
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
            content = clip.path.suffix, clip.path.read_bytes()
            name = draw.write(f"{fold}/{clip.path.stem}", content)
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
    draw.planted.append(("listing", "1/missing.wav"))
    out = draw.root / "clips.csv"
    with out.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("path", "category", "group", "fold"), *rows])
    return out


# What the doctor says

IMPLIED = ("mixed_rates", "imbalance")
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
    left = {*draw.planted, *(("near", copy) for _, copy, _ in draw.near)}
    planted = {where for _, where in left}
    original = {copy: clip for _, copy, clip in draw.near}
    for finding in diagnosis.findings:
        for place in finding.places:
            # A pair is "file = file"; labels and lines of a table are one name.
            names = {place.where, place.where.rsplit(":", 1)[0], *place.where.split(" = ")}
            hits = {(finding.kind, name) for name in names} & {*draw.planted}
            if finding.kind.startswith("near_copies"):
                family = {original.get(name, name) for name in place.where.split(" = ")}
                if len(family) == 1:
                    hits |= {("near", name) for name in names & original.keys()}
            left -= hits
            if not hits and finding.kind not in IMPLIED:
                known = names & planted
                (tally.extra if known else tally.own)[finding.kind] += 1
                if known:
                    print(f"not planted: {finding.kind}: {place}")
    kinds = [(kind, (kind, where)) for kind, where in draw.planted]
    kinds += [(f"near copy: {kind}", ("near", copy)) for kind, copy, _ in draw.near]
    for kind, key in kinds:
        tally.planted[kind] += 1
        tally.found[kind] += key not in left
        if key in left:
            print(f"missed: {kind}: {key[1]}")


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
