"""Time, memory and recall of ``sonotype search`` over a million windows.

    python benchmarks/search.py embed --sounds ESC-50/audio --only '[123]-*' --out vectors
    python benchmarks/search.py settings --vectors vectors --sounds ESC-50/audio --only '4-*'
    python benchmarks/search.py measure --vectors vectors --sounds ESC-50/audio --only '4-*'

``embed`` composes recordings from clips (random clips, lengths and levels, two layers, noise) and
writes the embeddings of their windows, computed by the built-in model, as ``.npy`` files. The other
modes search for clips that no recording contains. ``settings`` compares types and parameters of the
graph; fewer ``--windows`` are enough for it. ``measure`` writes an archive of 1,000,000 windows and
runs the command: fewer embeddings are completed by copies that are moved a little towards others.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from sonotype.audio.decode import load_audio
from sonotype.core.io import file_sha256
from sonotype.core.json_text import json_text
from sonotype.inference.load import load
from sonotype.inference.prediction import Prediction
from sonotype.modelfile.builtin import builtin_path
from sonotype.search.graph import scaled
from sonotype.search.nearest import SearchableArchive, Wanted, open_archive

RATE, HOP, WINDOW = 16_000, 0.5, 5.0
SECONDS = 5000
"""Length of a composed recording."""
ROWS = 20_000
"""Rows of a part, and rows of a row group."""
MOVED = 0.2
"""How far a copy is moved, as a share of the distance of two random embeddings."""
COUNT = 50
Floats = npt.NDArray[np.float32]

SETTINGS: tuple[tuple[str, int, int], ...] = (
    ("f16", 16, 64), ("f16", 16, 128), ("i8, one scale", 16, 64), ("i8", 16, 64), ("i8", 16, 128),
    ("i8", 8, 64), ("i8", 32, 64),
)  # fmt: skip
"""Type, connectivity, and expansion while building."""


def main() -> int:
    """Run one mode; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("mode", choices=["embed", "settings", "measure"])
    parser.add_argument("--sounds", type=Path, required=True, help="folder of clips")
    parser.add_argument("--only", default="*", help="pattern of their names")
    parser.add_argument("--vectors", type=Path, help="folder that embed wrote")
    parser.add_argument("--out", type=Path, help="folder of embed; of the archive of measure")
    parser.add_argument("--hours", type=float, default=80, help="of composed sound")
    parser.add_argument("--windows", type=int, default=1_000_000, help="rows of vectors")
    parser.add_argument("--queries", type=int, default=100)
    arguments = parser.parse_args()
    clips = sorted(arguments.sounds.glob(arguments.only))
    if arguments.mode == "embed":
        embed(clips, arguments.hours, arguments.out)
        return 0
    clips = clips[:: max(len(clips) // arguments.queries, 1)][: arguments.queries]
    vectors = read_vectors(arguments.vectors, arguments.windows)
    if arguments.mode == "settings":
        compare_settings(vectors, embeddings(clips))
        return 0
    with tempfile.TemporaryDirectory(dir=arguments.out) as folder:
        measure(vectors, clips, Path(folder))
    return 0


def embed(clips: list[Path], hours: float, out: Path) -> None:
    """Write the embeddings of composed recordings; existing files are kept."""
    out.mkdir(parents=True, exist_ok=True)
    sounds = [load_audio(path, sample_rate=RATE).samples for path in clips]
    model = load(tta_shifts=1)
    for number in range(round(hours * 3600 / SECONDS)):
        path = out / f"{number:04d}.npy"
        if not path.exists():
            recording = compose(sounds, np.random.default_rng(number))
            windows = model.predict_windows(recording, HOP, sample_rate=RATE)
            np.save(path, np.stack([window.embedding for window in windows]))
            print(path, flush=True)


def compose(sounds: list[Floats], rng: np.random.Generator) -> Floats:
    """Clips in a row, over others, in noise: ``[samples]``."""

    def layer() -> Floats:
        track, at = np.zeros(SECONDS * RATE, dtype=np.float32), 0
        while at < len(track):
            clip = sounds[rng.integers(len(sounds))]
            length = int(len(clip) * rng.uniform(0.8, 1.25))
            places = np.linspace(0, len(clip) - 1, length)
            clip = np.interp(places, np.arange(len(clip)), clip).astype(np.float32)
            clip = clip[: len(track) - at] * 10 ** rng.uniform(-1.5, 0)
            track[at : at + len(clip)] = clip
            at += len(clip) + int(rng.exponential(2) * RATE)
        return track

    noise = 10 ** rng.uniform(-4, -2) * rng.standard_normal(SECONDS * RATE)
    return np.asarray(layer() + 0.3 * layer() + noise, dtype=np.float32)


def read_vectors(folder: Path, number: int) -> Floats:
    """``[number, features]``: the embeddings of a folder, and copies that are moved."""
    found = np.concatenate([np.load(path) for path in sorted(folder.glob("*.npy"))])[:number]
    print(f"{len(found):,} embeddings of recordings, {number - len(found):,} moved copies")
    rng = np.random.default_rng(0)
    all_of_them = np.empty((number, found.shape[1]), dtype=np.float32)
    all_of_them[: len(found)] = found
    for first in range(len(found), number, ROWS):
        size = min(ROWS, number - first)
        own, one, other = (found[rng.integers(len(found), size=size)] for _ in range(3))
        moved = own + MOVED * (one - other)
        all_of_them[first : first + size] = moved / np.linalg.norm(moved, axis=1, keepdims=True)
    return all_of_them


def embeddings(clips: list[Path]) -> Floats:
    """Embeddings ``[clips, features]`` by the built-in model."""
    results = load(tta_shifts=1).predict_files(clips)
    return np.stack([one.embedding for one in results if isinstance(one, Prediction)])


def exact_nearest(vectors: Floats, query: Floats, number: int) -> npt.NDArray[np.intp]:
    """The rows that are nearest to a query."""
    similarity = vectors @ query
    best = np.argpartition(-similarity, number)[:number]
    return np.asarray(best[np.argsort(-similarity[best])])


def compare_settings(vectors: Floats, queries: Floats) -> None:
    """Print speed, size and recall of types and parameters of the graph."""
    from usearch.index import Index

    expected = [set(exact_nearest(vectors, query, COUNT).tolist()) for query in queries]
    print("| type | connectivity | expansion | CPU s/1M rows | bytes/row | recall of 50 | of 200 |")
    for kind, connectivity, expansion in SETTINGS:
        index = Index(
            ndim=vectors.shape[1], metric="cos", dtype=kind[:3].rstrip(","),
            connectivity=connectivity, expansion_add=expansion, expansion_search=512,
        )  # fmt: skip
        own = kind == "i8"
        began = time.process_time()
        for first in range(0, len(vectors), ROWS):
            rows = vectors[first : first + ROWS]
            keys = np.arange(first, first + len(rows))
            index.add(keys, scaled(rows) if own else rows, threads=os.cpu_count() or 1)
        seconds = (time.process_time() - began) / len(vectors) * 1e6
        recalls = []
        for number in (COUNT, 4 * COUNT):
            found = [
                {*index.search(scaled(query[None])[0] if own else query, number).keys.tolist()}
                for query in queries
            ]
            pairs = zip(expected, found, strict=True)
            recalls.append(np.mean([len(one & other) / COUNT for one, other in pairs]))
        size = index.serialized_length / len(vectors)
        cells = (kind, connectivity, expansion, f"{seconds:.0f}", f"{size:.0f}")
        texts = [*map(str, cells), *(f"{one:.3f}" for one in recalls)]
        print("|", " | ".join(texts), "|", flush=True)


def measure(vectors: Floats, clips: list[Path], folder: Path) -> None:
    """Write an archive, build its index with the command, and print times and recall."""
    archive = folder / "archive"
    write_archive(vectors, archive)
    print(f"Parquet: {megabytes(archive / 'rows'):.0f} MB")
    for name in ("first search", "warm", "warm", "cold", "cold"):
        if name == "cold":
            evict(archive)
        print(f"command, {name}: {command(archive, clips[0], folder / 'found')}", flush=True)
    print(f"index: {megabytes(archive / 'index'):.0f} MB")
    queries = embeddings(clips)
    began = time.perf_counter()
    opened = open_archive(archive, print)
    print(f"open: {time.perf_counter() - began:.3f} s")
    evict(archive)
    print(f"first search, cold: {timed(opened, queries[0], exact=False)[0]:.3f} s")
    times = [timed(opened, query, exact=False) for query in queries]
    exact = [timed(opened, query, exact=True) for query in queries]
    for name, results in (("search", times), ("search --exact", exact)):
        seconds_each = np.array([one[0] for one in results])
        print(f"{name}: median {np.median(seconds_each):.4f} s, most {seconds_each.max():.4f} s")
    shares = [len(one[1] & other[1]) / COUNT for one, other in zip(times, exact, strict=True)]
    print(f"recall@{COUNT} after leaving out overlaps: {np.mean(shares):.4f}, least {min(shares)}")
    print(f"recall@{COUNT} of rows, against float32: {row_recall(opened, vectors, queries):.4f}")


def row_recall(opened: SearchableArchive, vectors: Floats, queries: Floats) -> float:
    """Mean share of the nearest rows, overlapping ones included, among the candidates."""
    shares = []
    for query in queries:
        expected = exact_nearest(vectors, query, COUNT)
        found = opened.nearest_rows(query[None], COUNT)
        shares.append(len(np.intersect1d(expected, found)) / COUNT)
    return float(np.mean(shares))


def timed(opened: SearchableArchive, query: Floats, *, exact: bool) -> tuple[float, set[Any]]:
    """Seconds of a search, and the windows that it finds."""
    began = time.perf_counter()
    found = opened.search(query[None], Wanted(COUNT, exact=exact))
    return time.perf_counter() - began, {(hit.path, hit.start) for hit in found.hits}


def write_archive(vectors: Floats, archive: Path) -> None:
    """Parts in the order of the vectors; all recordings are links to one file of noise."""
    import pyarrow
    import pyarrow.parquet

    sound = archive.parent / "sounds" / "sound.wav"
    sound.parent.mkdir()
    noise = 0.01 * np.random.default_rng(0).standard_normal(RATE * SECONDS)
    soundfile.write(sound, noise, RATE)
    info = {
        "command": "embed", "model": "builtin", "model_sha256": file_sha256(builtin_path()),
        "window_seconds": WINDOW, "hop": HOP,
    }  # fmt: skip
    for number, rows in enumerate(blocks(vectors)):
        recordings = number * 2 + np.arange(len(rows)) * 2 // ROWS
        names = {one: sound.with_name(f"recording{one}.wav") for one in set(recordings.tolist())}
        for name in names.values():
            name.symlink_to(sound)
        starts = np.arange(len(rows)) % (ROWS // 2) * HOP
        values = pyarrow.array(rows.ravel(), pyarrow.float32())
        columns = {
            "path": [str(names[one]) for one in recordings.tolist()],
            "start": starts,
            "end": starts + WINDOW,
            "embedding": pyarrow.FixedSizeListArray.from_arrays(values, rows.shape[1]),
        }
        table = pyarrow.table(columns).replace_schema_metadata({"sonotype": json_text(info)})
        path = archive / "rows" / f"site={number // 10:03d}" / f"part-{number:05d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pyarrow.parquet.write_table(table, path, compression="zstd")


def blocks(vectors: Floats) -> Iterator[Floats]:
    """Consecutive rows of the parts."""
    for first in range(0, len(vectors), ROWS):
        yield vectors[first : first + ROWS]


def command(archive: Path, clip: Path, out: Path) -> str:
    """Run the command: seconds, those of processors, peak memory, and what it says first."""
    subprocess.run(["rm", "-rf", str(out)], check=True)  # noqa: S607
    words = [sys.executable, "-m", "sonotype", "search", str(archive), "--like", str(clip)]
    peak = (
        "import runpy, sys; sys.argv = sys.argv[1:]\n"
        "try: runpy.run_module('sonotype', run_name='__main__')\n"
        "except SystemExit as stop: print('exit code', stop.code or 0)\n"
        "[line] = [one for one in open('/proc/self/status') if one.startswith('VmHWM')]\n"
        "print(line.split()[1])"
    )
    words[1:3] = ["-c", peak, "sonotype"]
    began, before = time.perf_counter(), os.times()
    done = subprocess.run([*words, "--out", str(out)], capture_output=True, text=True, check=True)
    seconds, after = time.perf_counter() - began, os.times()
    used = after.children_user + after.children_system
    used -= before.children_user + before.children_system
    first, *_, code, memory = done.stdout.splitlines()
    return f"{seconds:.1f} s, CPU {used:.1f} s, {int(memory) / 1024:.0f} MB; {first}; {code}"


def evict(archive: Path) -> None:
    """Remove the files of the index from the memory of the system."""
    for path in (archive / "index").iterdir():
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def megabytes(folder: Path) -> float:
    """Size of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


if __name__ == "__main__":
    sys.exit(main())
