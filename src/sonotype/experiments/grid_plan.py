"""The plan of a study: a grid of runs defined in a TOML file.

The file has rows of options, which are trained on every fold with every seed::

    title = "Two systems"
    baseline = "cbir_2"          # the row that the others are compared with
    folds = [1, 2, 3, 4]         # official folds, each tests in turn; without: one split per seed
    seeds = [0, 1]

    [options]                    # of every run, as the flags of ``sonotype train``
    epochs = 20

    [rows.cbir_2]                # the row's own options; it may also have folds and seeds
    system = "cbir_2"
    width = 0.25

    [rows."cbir_2, category from events"]
    of = "cbir_2"                # the same runs, scored in another way: nothing is trained
    category_source = "events"

    [rows."both"]
    ensemble = ["cbir_2", "cbir_4"]   # the mean of the predictions of other rows
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from sonotype.audio.special import special_kind
from sonotype.config import ScoreOptions, from_dict, option
from sonotype.core.errors import OptionsError
from sonotype.experiments.run_options import RunOptions, require_no_split_options
from sonotype.modelfile.pretrained import is_model_file

RUNS = "runs"
"""Folder of the runs in the folder of a study."""

SCORE_KEY = "category_source"
"""The option that a row without runs may have: it does not change any training."""

TRAINED = "a list of rows above that have runs is needed"


@dataclass(frozen=True)
class Run:
    """One training and its test: the options of a row on one fold, or split, with one seed.

    Attributes:
        row: name of its row.
        fold: the official fold to test on; ``None`` for a split by the options.
        seed: of all random numbers.
    """

    row: str
    fold: int | None
    seed: int

    @property
    def name(self) -> str:
        """Its name, unique in the study."""
        fold = "split" if self.fold is None else f"fold_{self.fold}"
        return f"{slug(self.row)}/{fold}_seed_{self.seed}"

    @property
    def folder(self) -> str:
        """Its folder in the study's folder."""
        return f"{RUNS}/{self.name}"


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of the table; ``folds``, ``seeds``, ``of``, ``ensemble`` and ``teachers`` are its keys.

    Attributes:
        name: of the row.
        options: flat options of its runs.
        folds: official folds to test on in turn; empty for one split per seed.
        seeds: each gives one run, or one for each fold.
        of: another row, whose predictions are scored in another way.
        category_source: where the category is read from.
        ensemble: rows whose predictions are averaged.
        teachers: rows whose models are the teachers of this one.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    folds: tuple[int, ...] = option((), "", low=0)
    seeds: tuple[int, ...] = option((0,), "", low=0)
    of: str | None = None
    category_source: str = "head"
    ensemble: tuple[str, ...] | None = None
    teachers: tuple[str, ...] = ()

    @property
    def trains(self) -> bool:
        """Whether it has runs of its own."""
        return self.of is None and self.ensemble is None

    @property
    def sources(self) -> tuple[str, ...]:
        """The rows whose predictions it has."""
        return self.ensemble or (self.of or self.name,)

    def runs(self) -> list[Run]:
        """One run for each seed and fold."""
        folds: Sequence[int | None] = self.folds or (None,)
        return [Run(self.name, fold, seed) for seed in self.seeds for fold in folds]


ROW_KEYS = ("of", "ensemble", "folds", "seeds", "teachers")
"""Keys of a row that are not options of its runs."""


@dataclass(frozen=True, kw_only=True)
class StudyFile:
    """The keys of the file."""

    title: str = ""
    note: str = ""
    data: str = ""
    baseline: str | None = None
    folds: tuple[int, ...] = option((), "", low=0)
    seeds: tuple[int, ...] = option((0,), "", low=0)
    options: dict[str, Any] = field(default_factory=dict)
    rows: dict[str, Any] = field(default_factory=dict)


KEYS = {item.name for item in fields(StudyFile)}


@dataclass(frozen=True)
class Plan:
    """A whole study."""

    title: str
    rows: tuple[Row, ...]
    baseline: str
    note: str = ""
    data: str = ""

    def row(self, name: str) -> Row:
        """A row by its name."""
        return next(row for row in self.rows if row.name == name)

    def runs(self) -> list[Run]:
        """Every run: teachers first; then those that share cached feature maps are neighbours."""
        runs = [run for row in self.rows if row.trains for run in row.runs()]
        return sorted(runs, key=lambda run: (self._level(run.row), run.seed, run.fold or 0))

    def _level(self, name: str) -> int:
        """The length of the chain of teachers before a row."""
        return max((self._level(teacher) + 1 for teacher in self.row(name).teachers), default=0)

    def teachers(self, name: str) -> list[Run]:
        """The runs whose models are the teachers of a row."""
        return [run for teacher in self.row(name).teachers for run in self.row(teacher).runs()]


def slug(name: str) -> str:
    """The folder name of a row."""
    return re.sub(r"[^0-9a-z._-]+", "-", name.lower()).strip("-.") or "row"


def read_plan(path: str | Path) -> Plan:
    """Read the file of a study; all its issues are reported at once.

    Relative paths in it start at the working directory, or else at the folder of the file.

    Raises:
        OptionsError: no such file, not TOML, or every wrong key, row and option.
    """
    path = Path(path)
    if kind := special_kind(path):
        raise OptionsError(f"{path}: is {kind}; a study is a TOML file")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise OptionsError(f"{path}: no such file; a study is a TOML file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise OptionsError(f"{path}: is not a readable TOML file ({error})") from None
    issues = [f"unknown key {key}" for key in sorted(values.keys() - KEYS)]
    try:
        file = from_dict(StudyFile, {key: values[key] for key in values.keys() & KEYS})
        rows = _rows(file, path.parent)
    except OptionsError as error:
        issues.append(str(error))
    if issues:
        raise OptionsError(f"{path}: {'; '.join(issues)}")
    data = file.data and _located(file.data, path.parent)
    return Plan(file.title or path.stem, rows, file.baseline or rows[0].name, file.note, data)


def _located(name: str, folder: Path) -> str:
    return str(folder / name) if not Path(name).exists() and (folder / name).exists() else name


def _rows(file: StudyFile, folder: Path) -> tuple[Row, ...]:
    """All rows.

    Raises:
        OptionsError: every invalid row, rows with the same folder, and an unknown baseline.
    """
    if not file.rows:
        raise OptionsError("no rows; write at least one, for example [rows.cbir_2]")
    rows: dict[str, Row] = {}
    issues: list[str] = []
    for name, own in file.rows.items():
        try:
            row = _row(name, own, file, rows)
            if same := [other for other in rows if slug(other) == slug(name)]:
                raise OptionsError(f"would share a folder with row {same[0]!r}; rename one")
        except OptionsError as error:
            issues.append(f"row {name!r}: {error}")
            continue
        options = {**row.options}
        if is_model_file(options.get("backbone", "")):
            options["backbone"] = _located(options["backbone"], folder)
        if "unlabelled" in options:
            options["unlabelled"] = [_located(each, folder) for each in options["unlabelled"]]
        rows[name] = replace(row, options=options)
    if file.baseline is not None and file.baseline not in file.rows:
        issues.append(f"baseline {file.baseline!r} is not a row")
    if issues:
        raise OptionsError("; ".join(issues))
    return tuple(rows.values())


def _row(name: str, own: Any, file: StudyFile, above: Mapping[str, Row]) -> Row:
    if not isinstance(own, dict):
        raise OptionsError(f"is {own!r}, a table of options is needed")
    keys = {key: own[key] for key in ROW_KEYS if key in own}
    given = {key: value for key, value in own.items() if key not in ROW_KEYS}
    row = from_dict(Row, {"name": name, "folds": file.folds, "seeds": file.seeds, **keys})
    if not row.trains:
        return _without_runs(row, keys, given, above)
    if not row.seeds or any(len({*value}) < len(value) for value in (row.folds, row.seeds)):
        raise OptionsError("seeds or folds repeat a number, or seeds is empty; name each once")
    options = {**file.options, **given}
    if "seed" in options:
        raise OptionsError("seed is not an option here; set seeds for the study or for a row")
    if not _have_runs(row.teachers, above):
        raise OptionsError(f"teachers {list(row.teachers)}: {TRAINED}")
    checked = RunOptions.of({**options, "teachers": row.teachers})
    if checked.split.protocol == "all":
        raise OptionsError("protocol all tests nothing, so there is nothing to compare")
    if row.folds:
        require_no_split_options(options)
    return replace(row, options=options, category_source=checked.score.category_source)


def _have_runs(names: Sequence[str], above: Mapping[str, Row]) -> bool:
    return all(name in above and above[name].trains for name in names)


def _without_runs(
    row: Row, keys: Mapping[str, Any], given: Mapping[str, Any], above: Mapping[str, Row]
) -> Row:
    """A row of predictions of other rows, from its keys and options in the file."""
    if row.of is not None and row.ensemble is not None:
        raise OptionsError("has both of and ensemble; leave out one")
    if {"folds", "seeds", "teachers"} & keys.keys():
        raise OptionsError("a row without runs has no folds, seeds or teachers; leave them out")
    kind, names = ("ensemble", row.ensemble) if row.of is None else ("of", (row.of,))
    if not names or not _have_runs(names, above):
        raise OptionsError(f"{kind} {keys[kind]!r}: {TRAINED}")
    if wrong := sorted(given.keys() - {SCORE_KEY}):
        raise OptionsError(f"{kind} allows only {SCORE_KEY}; leave out {', '.join(wrong)}")
    rows = [above[name] for name in names]
    sources = {row.category_source for row in rows}
    if not given and (kind == "of" or len(sources) > 1):
        found = " and ".join(sorted(sources))
        raise OptionsError(f"{kind} needs {SCORE_KEY}; it is {found} in {', '.join(names)}")
    score = from_dict(ScoreOptions, given or {SCORE_KEY: sources.pop()})
    seeds = rows[0].seeds
    if kind == "ensemble":
        if len({row.folds for row in rows}) > 1 or not rows[0].folds:
            raise OptionsError("the rows of an ensemble must be tested on the same official folds")
        options = [RunOptions.of(row.options) for row in rows]
        if len({(each.source, each.system.event_head) for each in options}) > 1:
            raise OptionsError("the rows of an ensemble must have the same labels")
        seeds = seeds[:1]  # all seeds of all members are averaged, so only the folds vary
    return replace(row, folds=rows[0].folds, seeds=seeds, category_source=score.category_source)
