"""A study as its file tells it: rows of options, folds and seeds, and the cells that these make.

The file is TOML::

    title = "Two systems"
    baseline = "cbir_2"          # the row that the others are compared with
    folds = [1, 2, 3, 4]         # official folds, each tests in turn; without: one split a seed
    seeds = [0, 1]

    [options]                    # of every training, as the flags of ``sonotype train``
    epochs = 20

    [rows.cbir_2]                # what this row has of its own; folds and seeds may be among it
    system = "cbir_2"
    width = 0.25

    [rows."cbir_2, category from events"]
    of = "cbir_2"                # the same trainings, read otherwise: nothing is trained
    category_source = "events"

    [rows."both"]
    ensemble = ["cbir_2", "cbir_4"]   # the mean of other rows' answers
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
from sonotype.experiments.cross_validation import refuse_parts
from sonotype.experiments.run_options import RunOptions

KEYS = {"title", "note", "data", "baseline", "folds", "seeds", "options", "rows"}
OWN = {"of", "ensemble", "folds", "seeds", "teachers"}
"""Keys of a row that are no options."""

READ_AGAIN = ("category_source",)
"""Options that a row with ``of`` may set: those that no training depends on."""


@dataclass(frozen=True)
class PlannedRun:
    """One training and its test: a row's options on one fold, or one split, with one seed.

    Attributes:
        row: the row that it belongs to.
        fold: the official fold that tests; ``None`` where the options' protocol makes the split.
        seed: of everything that is drawn.
    """

    row: str
    fold: int | None
    seed: int

    @property
    def folder(self) -> str:
        """Where it lies below the study's folder."""
        fold = "split" if self.fold is None else f"fold_{self.fold}"
        return f"runs/{slug(self.row)}/{fold}_seed_{self.seed}"


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        name: as it is shown.
        options: flat options of its trainings.
        folds: official folds that test in turn; empty for one split a seed.
        seeds: each makes a cell, or one for each fold.
        of: another row whose answers this one reads in another way.
        category_source: how this row reads the category.
        ensemble: rows whose answers it averages.
        teachers: rows whose models teach those of this one.
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
        """Whether it has trainings of its own."""
        return not self.of and not self.ensemble

    def planned_runs(self) -> list[PlannedRun]:
        """Its own trainings, or, of a row without, those that its answers come from."""
        folds: Sequence[int | None] = self.folds or (None,)
        return [PlannedRun(self.name, fold, seed) for seed in self.seeds for fold in folds]


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

    def planned_runs(self) -> list[PlannedRun]:
        """Every training, ordered so that neighbours share the maps of the frozen part."""
        own = [planned for row in self.rows if row.trains for planned in row.planned_runs()]
        return sorted(own, key=lambda one: (self.level(one.row), one.seed, one.fold or 0))

    def level(self, name: str) -> int:
        """How many rows have to be trained before this one, each taught by the one before it."""
        return max((self.level(one) + 1 for one in self.row(name).teachers), default=0)

    def teachers(self, name: str) -> list[PlannedRun]:
        """The trainings whose models teach a row."""
        return [
            planned for one in self.row(name).teachers for planned in self.row(one).planned_runs()
        ]


def slug(name: str) -> str:
    """A folder's name for a row."""
    return re.sub(r"[^0-9a-z._-]+", "-", name.lower()).strip("-.") or "row"


def read_plan(path: str | Path) -> Plan:
    """Read a study's file; all that is wrong with it is reported at once.

    Raises:
        OptionsError: no such file, no TOML, or every wrong key, row and option.
    """
    path = Path(path)
    if kind := special_kind(path):
        raise OptionsError(f"{path}: is {kind}; a study is a TOML file")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise OptionsError(f"{path}: there is no such file; a study is a TOML file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise OptionsError(f"{path}: is no TOML file that can be read ({error})") from None
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
            issues.append(f"baseline {baseline!r} is no row")
    if issues:
        raise OptionsError(f"{path}: " + "; ".join(issues))
    return Plan(
        title=values.get("title", path.stem),
        rows=tuple(rows),
        baseline=baseline,
        note=values.get("note", ""),
        data=values.get("data", ""),
    )


def _wrong_types(values: Mapping[str, Any]) -> list[str]:
    wanted: dict[str, type | tuple[type, ...]] = {
        **dict.fromkeys(("title", "note", "data", "baseline"), str),
        "options": dict,
        "rows": dict,
    }
    issues = [
        f"{key} is {values[key]!r}, a {'text' if kind is str else 'table'} is wanted"
        for key, kind in wanted.items()
        if key in values and not isinstance(values[key], kind)
    ]
    issues += [
        f"{key} is {values[key]!r}, a list of whole numbers is wanted"
        for key in ("folds", "seeds")
        if key in values and not _numbers(values[key])
    ]
    if not values.get("rows"):
        issues.append("there are no rows; write at least one, as in [rows.cbir_2]")
    return issues


def _numbers(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == len(set(map(repr, value)))
        and all(isinstance(one, int) and not isinstance(one, bool) and one >= 0 for one in value)
    )


def _rows(values: Mapping[str, Any]) -> tuple[list[Row], list[str]]:
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
        raise OptionsError(f"is {own!r}, a table of options is wanted")
    given = {key: value for key, value in own.items() if key not in OWN}
    if "of" in own and "ensemble" in own:
        raise OptionsError("has of and ensemble; one row is one of the two")
    if ("of" in own or "ensemble" in own) and {"folds", "seeds", "teachers"} & own.keys():
        raise OptionsError(
            "folds, seeds and teachers are those of the rows that it reads; leave them out"
        )
    if "of" in own:
        return _read_again(name, own["of"], given, above)
    if "ensemble" in own:
        return _ensemble(name, own["ensemble"], given, above)
    chosen = {key: own.get(key, values.get(key, default)) for key, default in _TIMES.items()}
    wrong = [key for key, value in chosen.items() if not _numbers(value)]
    if wrong or not chosen["seeds"]:
        raise OptionsError(f"{', '.join(wrong) or 'seeds'}: a list of whole numbers is wanted")
    options = {**values.get("options", {}), **given}
    if "seed" in options:
        raise OptionsError("seed is told by seeds, for the whole study or for a row")
    teachers = _teachers(own.get("teachers", []), above)
    run = RunOptions.of({**options, "teachers": teachers})
    if run.split.protocol == "all":
        raise OptionsError("protocol all tests nothing, and a study compares tests")
    if chosen["folds"]:
        refuse_parts(options)
    return Row(
        teachers=teachers,
        name=name,
        options=options,
        folds=tuple(chosen["folds"]),
        seeds=tuple(chosen["seeds"]),
        category_source=run.score.category_source,
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _teachers(names: Any, above: Mapping[str, Row]) -> tuple[str, ...]:
    known = isinstance(names, list) and all(map(_is_text, names))
    if not known or not all(name in above and above[name].trains for name in names):
        raise OptionsError(f"teachers {names!r}: a list of rows above that train is wanted")
    return tuple(names)


_TIMES: dict[str, list[int]] = {"folds": [], "seeds": [0]}


def _read_again(name: str, of: Any, given: Mapping[str, Any], above: Mapping[str, Row]) -> Row:
    if not isinstance(of, str) or of not in above or not above[of].trains:
        raise OptionsError(f"of {of!r} is no row above that trains")
    refused = sorted(given.keys() - set(READ_AGAIN))
    if refused or not given:
        raise OptionsError(
            f"of goes with {', '.join(READ_AGAIN)} alone"
            + (f", not with {', '.join(refused)}" if refused else "")
        )
    score = from_dict(ScoreOptions, given)
    base = above[of]
    return Row(name, {}, base.folds, base.seeds, of=of, category_source=score.category_source)


def _ensemble(name: str, members: Any, given: Mapping[str, Any], above: Mapping[str, Row]) -> Row:
    known = isinstance(members, list) and members and all(map(_is_text, members))
    known = known and all(one in above for one in members)
    if not known or not all(above[one].trains for one in members):
        raise OptionsError(f"ensemble {members!r}: a list of rows above that train is wanted")
    refused = sorted(given.keys() - set(READ_AGAIN))
    if refused:
        raise OptionsError(f"ensemble goes with {', '.join(READ_AGAIN)}, not {', '.join(refused)}")
    ways = {above[one].category_source for one in members}
    if not given and len(ways) > 1:
        raise OptionsError("its rows read the category in different ways; say category_source")
    score = from_dict(ScoreOptions, given or {"category_source": ways.pop()})
    folds = {above[one].folds for one in members}
    if len(folds) > 1 or () in folds:
        raise OptionsError("the rows of an ensemble have to be tested on the same official folds")
    runs = [RunOptions.of(above[one].options) for one in members]
    if len({(run.source, run.system.event_head) for run in runs}) > 1:
        raise OptionsError("the rows of an ensemble have to answer with the same labels")
    # All seeds of all members are one ensemble: what is left to vary is the folds.
    return Row(
        name,
        {},
        folds.pop(),
        above[members[0]].seeds[:1],
        category_source=score.category_source,
        ensemble=tuple(members),
    )
