"""Examine a data source: one pass over its sounds, then over the set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sonotype.core.cpu import available_cpus
from sonotype.core.prefetch import prefetch
from sonotype.core.progress import track
from sonotype.core.text import counted
from sonotype.data.source_options import DEFAULTS, SourceOptions
from sonotype.doctor.duplicates import check_exact, check_near, exact_copies
from sonotype.doctor.file_format import format_of, wrong_suffix
from sonotype.doctor.findings import Finding, Place, findings_of
from sonotype.doctor.measure import Measurement, measure
from sonotype.doctor.set_checks import check_grouping, check_labels
from sonotype.doctor.sound_checks import check_sound
from sonotype.doctor.sound_set import Item, SoundSet, open_leniently

if TYPE_CHECKING:
    from sonotype.doctor.similar_sounds import SimilarSounds

Found = Iterator[tuple[str, Place]]


@dataclass(frozen=True)
class Diagnosis:
    """The result of an examination.

    Attributes:
        sounds: what was examined.
        measured: one measurement for each sound, in their order.
        findings: the most severe first.
    """

    sounds: SoundSet
    measured: tuple[Measurement, ...]
    findings: tuple[Finding, ...]

    def count(self, severity: str) -> int:
        """How many findings have a severity."""
        return sum(finding.severity == severity for finding in self.findings)


def examine(
    spec: str | Path,
    options: SourceOptions = DEFAULTS,
    *,
    near: bool = True,
    progress: bool = False,
    measured_by: Callable[[Path], Measurement] = measure,
) -> Diagnosis:
    """Examine all sounds of a data source, and the set.

    Args:
        spec: a folder or table, as for training.
        options: how to read it.
        near: also look for near copies.
        progress: draw a bar.
        measured_by: measures a file; only used without ``near``.

    Raises:
        DataError: there is no such source.
        OptionsError: an option that does not fit the source.
        WeightsError: no weights for near copies.
    """
    sounds = open_leniently(spec, options)
    similar = _similar_sounds() if near and len(sounds.items) > 1 else None
    measured = _measure_all(sounds, measured_by, similar, progress)
    copies = exact_copies(measured)
    places = [*_listing(sounds), *_passed_over(sounds), *_rates(measured)]
    for item, found in zip(sounds.items, measured, strict=True):
        places += _sound(sounds, item, found)
    places += check_exact(sounds, copies)
    if similar is not None:
        paths = [item.path for item in sounds.items]
        places += check_near(sounds, similar.pairs(paths, known=copies, progress=progress))
    places += check_labels(sounds.items)
    if not sounds.grouped and sounds.kind not in ("esc50", "msos"):
        places += check_grouping(sounds.items)
    return Diagnosis(sounds, measured, tuple(findings_of(places)))


def _similar_sounds() -> SimilarSounds:
    from sonotype.doctor.similar_sounds import SimilarSounds

    return SimilarSounds()


def _measure_all(
    sounds: SoundSet,
    measured_by: Callable[[Path], Measurement],
    similar: SimilarSounds | None,
    progress: bool,
) -> tuple[Measurement, ...]:
    """Measure all sounds in threads; embed them on the way."""

    def of(index: int) -> Measurement:
        path = sounds.items[index].path
        return measured_by(path) if similar is None else similar.measure(index, path)

    count = len(sounds.items)
    results = prefetch(of, range(count), threads=available_cpus(), buffer_size=2)
    measured = []
    for index, found in enumerate(track(results, "examining", count, show=progress)):
        measured.append(found)
        if similar is not None:
            similar.embed(index)
    return tuple(measured)


def _listing(sounds: SoundSet) -> Found:
    for issue in sounds.issues:
        where = sounds.name(issue.file)
        yield "listing", Place(f"{where}:{issue.line}" if issue.line else where, issue.cause)


def _sound(sounds: SoundSet, item: Item, found: Measurement) -> Found:
    name = sounds.name(item.path)
    for kind, detail in check_sound(found, negative=item.negative):
        yield kind, Place(name, detail)
    if not found.error and (real := wrong_suffix(item.path)):
        yield "wrong_extension", Place(name, f"is {real}")


def _passed_over(sounds: SoundSet) -> Found:
    for path in sounds.passed_over:
        content = format_of(path)
        yield "passed_over", Place(sounds.name(path), f"has {content} content" if content else "")


def _rates(measured: tuple[Measurement, ...]) -> Found:
    rates = Counter(found.rate for found in measured if found.rate)
    if len(rates) > 1:
        for rate, count in rates.most_common():
            yield "mixed_rates", Place(f"{rate} Hz", counted(count, "sound"))
