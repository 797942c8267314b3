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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sonotype.audio.special import special_kind
from sonotype.config import ScoreOptions, from_dict
from sonotype.core.errors import OptionsError
from sonotype.experiments.run_options import RunOptions, require_no_split_options

RUNS = "runs"
"""Folder of the runs in the folder of a study."""

DEFAULTS: dict[str, list[int]] = {"folds": [], "seeds": [0]}
KEYS = {"title", "note", "data", "baseline", "folds", "seeds", "options", "rows"}
ROW_KEYS = {"of", "ensemble", "folds", "seeds", "teachers"}
"""Keys of a row that are not options of its runs."""

SCORE_KEYS = ("category_source",)
"""Options that a row without runs may have: they do not change any training."""

INTEGERS = "a list of whole numbers is needed"
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


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        name: as it is shown.
        options: flat options of its runs.
        folds: official folds to test on in turn; empty for one split per seed.
        seeds: each gives one run, or one for each fold.
        of: another row, whose predictions are scored in another way.
        category_source: where the category is read from.
        ensemble: rows whose predictions are averaged.
        teachers: rows whose models are the teachers of this one.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    folds: tuple[int, ...] = ()
    seeds: tuple[int, ...] = (0,)
    of: str = ""
    category_source: str = "head"
    ensemble: tuple[str, ...] = ()
    teachers: tuple[str, ...] = ()

    @property
    def trains(self) -> bool:
        """Whether it has runs of its own."""
        return not self.of and not self.ensemble

    def runs(self) -> list[Run]:
        """One run for each seed and fold."""
        folds: Sequence[int | None] = self.folds or (None,)
        return [Run(self.name, fold, seed) for seed in self.seeds for fold in folds]


@dataclass(frozen=True)
class Plan:
    """A whole study."""

    title: str
    rows: tuple[Row, ...]
    baseline: str
    note: str = ""
    data: str = ""

    def row(self, name: str) -> Row:
        """The row of that name."""
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
    wrong = _wrong_types(values)
    issues += wrong
    rows: list[Row] = []
    baseline = ""
    if not wrong:
        rows, more = _rows(values)
        issues += more
        baseline = values.get("baseline", next(iter(values["rows"])))
        if baseline not in values["rows"]:
            issues.append(f"baseline {baseline!r} is not a row")
    if issues:
        raise OptionsError(f"{path}: " + "; ".join(issues))
    texts = {key: values[key] for key in ("note", "data") if key in values}
    return Plan(values.get("title", path.stem), tuple(rows), baseline, **texts)


def _wrong_types(values: Mapping[str, Any]) -> list[str]:
    texts = ("title", "note", "data", "baseline")
    kinds: dict[str, type] = {**dict.fromkeys(texts, str), "options": dict, "rows": dict}
    issues = [
        f"{key} is {values[key]!r}, a {'text' if kind is str else 'table'} is needed"
        for key, kind in kinds.items()
        if key in values and not isinstance(values[key], kind)
    ]
    issues += [
        f"{key} is {values[key]!r}, {INTEGERS}"
        for key in DEFAULTS
        if key in values and not _are_integers(values[key])
    ]
    if not values.get("rows"):
        issues.append("no rows; write at least one, for example [rows.cbir_2]")
    return issues


def _are_integers(value: Any) -> bool:
    """Whether the value is a list of different numbers from 0."""
    return (
        isinstance(value, list)
        and len(value) == len(set(map(repr, value)))
        and all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in value)
    )


def _rows(values: Mapping[str, Any]) -> tuple[list[Row], list[str]]:
    """The valid rows, and the issues of the others."""
    rows: dict[str, Row] = {}
    issues: list[str] = []
    for name, own in values["rows"].items():
        try:
            rows[name] = _row(name, own, values, rows)
        except OptionsError as error:
            issues.append(f"row {name!r}: {error}")
    slugs: dict[str, str] = {}
    for name in rows:
        other = slugs.setdefault(slug(name), name)
        if other != name:
            issues.append(f"rows {other!r} and {name!r} would share a folder; rename one")
    return list(rows.values()), issues


def _row(name: str, own: Any, values: Mapping[str, Any], above: Mapping[str, Row]) -> Row:
    if not isinstance(own, dict):
        raise OptionsError(f"is {own!r}, a table of options is needed")
    given = {key: value for key, value in own.items() if key not in ROW_KEYS}
    if "of" in own and "ensemble" in own:
        raise OptionsError("has both of and ensemble; leave out one")
    if ("of" in own or "ensemble" in own) and {"folds", "seeds", "teachers"} & own.keys():
        raise OptionsError("a row without runs has no folds, seeds or teachers; leave them out")
    if "of" in own:
        return _rescored(name, own["of"], given, above)
    if "ensemble" in own:
        return _ensemble(name, own["ensemble"], given, above)
    chosen = {key: own.get(key, values.get(key, default)) for key, default in DEFAULTS.items()}
    wrong = [key for key, value in chosen.items() if not _are_integers(value)]
    if wrong or not chosen["seeds"]:
        raise OptionsError(f"{', '.join(wrong) or 'seeds'}: {INTEGERS}")
    options = {**values.get("options", {}), **given}
    if "seed" in options:
        raise OptionsError("seed is not an option here; set seeds for the study or for a row")
    teachers = own.get("teachers", [])
    if not _have_runs(teachers, above):
        raise OptionsError(f"teachers {teachers!r}: {TRAINED}")
    checked = RunOptions.of({**options, "teachers": tuple(teachers)})
    if checked.split.protocol == "all":
        raise OptionsError("protocol all tests nothing, so there is nothing to compare")
    if chosen["folds"]:
        require_no_split_options(options)
    return Row(
        name,
        options,
        tuple(chosen["folds"]),
        tuple(chosen["seeds"]),
        category_source=checked.score.category_source,
        teachers=tuple(teachers),
    )


def _have_runs(names: Any, above: Mapping[str, Row]) -> bool:
    """Whether the value is a list of rows above, all with runs of their own."""
    return isinstance(names, list) and all(
        isinstance(name, str) and name in above and above[name].trains for name in names
    )


def _refuse_options(kind: str, given: Mapping[str, Any]) -> None:
    if wrong := sorted(given.keys() - set(SCORE_KEYS)):
        raise OptionsError(
            f"{kind} allows only {', '.join(SCORE_KEYS)}; leave out {', '.join(wrong)}"
        )


def _rescored(name: str, of: Any, given: Mapping[str, Any], above: Mapping[str, Row]) -> Row:
    if not _have_runs([of], above):
        raise OptionsError(f"of {of!r} is not a row above that has runs")
    _refuse_options("of", given)
    if not given:
        raise OptionsError(f"of needs {', '.join(SCORE_KEYS)}")
    score = from_dict(ScoreOptions, given)
    base = above[of]
    return Row(name, {}, base.folds, base.seeds, of=of, category_source=score.category_source)


def _ensemble(name: str, members: Any, given: Mapping[str, Any], above: Mapping[str, Row]) -> Row:
    if not members or not _have_runs(members, above):
        raise OptionsError(f"ensemble {members!r}: {TRAINED}")
    _refuse_options("ensemble", given)
    rows = [above[member] for member in members]
    sources = {row.category_source for row in rows}
    if not given and len(sources) > 1:
        raise OptionsError("the rows of the ensemble differ in category_source; set it")
    score = from_dict(ScoreOptions, given or {"category_source": sources.pop()})
    folds = {row.folds for row in rows}
    if len(folds) > 1 or () in folds:
        raise OptionsError("the rows of an ensemble must be tested on the same official folds")
    options = [RunOptions.of(row.options) for row in rows]
    if len({(each.source, each.system.event_head) for each in options}) > 1:
        raise OptionsError("the rows of an ensemble must have the same labels")
    # All seeds of all members are averaged, so only the folds vary.
    return Row(
        name,
        {},
        folds.pop(),
        rows[0].seeds[:1],
        category_source=score.category_source,
        ensemble=tuple(members),
    )
