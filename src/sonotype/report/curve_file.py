"""The learning curve that a page shows, read from the folder of ``sonotype learning-curve``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sonotype.core.errors import OptionsError, SonotypeError
from sonotype.core.json_text import read_json
from sonotype.evaluation.metrics import Interval
from sonotype.evaluation.power_law import Advice, Curve, Point
from sonotype.report.levels import Level
from sonotype.report.run_record import RunRecord

CURVE = "curve.json"


def require_same_classes(curve: Curve, folder: Path, levels: Sequence[Level]) -> None:
    """Refuse a curve of other classes.

    Raises:
        OptionsError: names a class or the level.
    """
    labels = {level.name: level.labels for level in levels}
    if not labels:
        return
    foreign = [one.label for one in curve.advice if one.label not in labels.get(curve.level, ())]
    if curve.level not in labels or foreign:
        what = f"class {foreign[0]}" if curve.level in labels else f"level {curve.level}"
        raise OptionsError(
            f"--curve {folder}: is the learning curve of other data: the run has no {what}"
        )


def curve_note(record: RunRecord, folder: Path) -> str:
    """That a learning curve is of other data; empty if it is not, or if that is not known."""
    found = read_json(folder / CURVE)
    known = None if record.card is None else record.card.training.get("fingerprint")
    if known is None or found.get("fingerprint", known) == known:
        return ""
    return f"This curve is of other sounds or labels than the run: {found.get('data', 'unknown')}."


def read_curve(folder: Path) -> Curve:
    """The finished learning curve in a folder.

    Raises:
        OptionsError: there is no curve, or it is damaged.
    """
    path = folder / CURVE
    if not path.is_file():
        raise OptionsError(
            f"--curve {folder}: holds no finished learning curve ({CURVE} is missing); compute it "
            f"with sonotype learning-curve DATA --out {folder}"
        )
    try:
        value = read_json(path)
        points = {
            name: tuple(
                Point(one["clips_per_class"], Interval(**one["accuracy"])) for one in value[name]
            )
            for name in ("points", "forecast", "band")
        }
        if not points["points"]:
            raise SonotypeError("it has no points")
        advice = tuple(Advice(**one) for one in value["advice"])
        return Curve(level=value["level"], more=value["more"], advice=advice, **points)
    except (OSError, ValueError, KeyError, TypeError, SonotypeError) as error:
        raise OptionsError(f"{path} cannot be read ({error})") from None
