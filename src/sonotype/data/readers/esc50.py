"""ESC-50: 2,000 clips of 5 s in 50 classes, five official folds.

Karol J. Piczak, "ESC: Dataset for Environmental Sound Classification", ACM Multimedia 2015.
The fine classes are the events. The categories are the five groups into which the data set orders
them, ten classes each, or the categories of the Making Sense of Sounds challenge.
"""

from __future__ import annotations

from pathlib import Path

from sonotype.core.errors import DataIssue, OptionsError
from sonotype.data.manifest import Manifest
from sonotype.data.readers.csv_table import TableRow, read_csv
from sonotype.data.records import ClipRecord, Listing, SoundFolder
from sonotype.data.validate import TRAINING, Rules, validate

META = Path("meta", "esc50.csv")
AUDIO = "audio"
COLUMNS = ("filename", "fold", "target", "category", "src_file")

ADDRESS = "https://github.com/karolpiczak/ESC-50/archive/master.zip"
LICENCE = "CC BY-NC 3.0"
CITATION = (
    "K. J. Piczak. ESC: Dataset for Environmental Sound Classification. "
    "ACM Multimedia 2015. https://doi.org/10.1145/2733373.2806390"
)

NAMES = ("esc50", "msos")

# Ten classes a category, in the order of the data set's own targets 0 to 49.
CLASSES: dict[str, tuple[str, ...]] = {
    "animals": (
        *("dog", "rooster", "pig", "cow", "frog"),
        *("cat", "hen", "insects", "sheep", "crow"),
    ),
    "natural": (
        *("rain", "sea_waves", "crackling_fire", "crickets", "chirping_birds"),
        *("water_drops", "wind", "pouring_water", "toilet_flush", "thunderstorm"),
    ),
    "human": (
        *("crying_baby", "sneezing", "clapping", "breathing", "coughing"),
        *("footsteps", "laughing", "brushing_teeth", "snoring", "drinking_sipping"),
    ),
    "domestic": (
        *("door_wood_knock", "mouse_click", "keyboard_typing", "door_wood_creaks", "can_opening"),
        *("washing_machine", "vacuum_cleaner", "clock_alarm", "clock_tick", "glass_breaking"),
    ),
    "urban": (
        *("helicopter", "chainsaw", "siren", "car_horn", "engine"),
        *("train", "church_bells", "airplane", "fireworks", "hand_saw"),
    ),
}
TARGETS = {
    name: target for target, name in enumerate(name for names in CLASSES.values() for name in names)
}
_BY_TARGET = {str(target): name for name, target in TARGETS.items()}
CATEGORY = {name: category for category, names in CLASSES.items() for name in names}

# Under the MSoS names a class keeps its own name in plain words and its group's category, but for:
_MSOS_CATEGORY = {
    "animals": "Nature",
    "natural": "Nature",
    "human": "Human",
    "domestic": "Urban",
    "urban": "Urban",
    "toilet_flush": "Urban",
    "mouse_click": "Effects",
    "keyboard_typing": "Effects",
    "church_bells": "Music",
}
_MSOS_EVENT = {
    "crackling_fire": "Fire",
    "chirping_birds": "Birds",
    "water_drops": "Water",
    "pouring_water": "Water",
    "drinking_sipping": "Drinking",
    "door_wood_knock": "Door knock",
    "door_wood_creaks": "Wood creaks",
    "mouse_click": "Click",
}


def labels_of(name: str, names: str = "esc50") -> tuple[str, str]:
    """Category and event of an ESC-50 class, under its own names or those of MSoS."""
    if names == "esc50":
        return CATEGORY[name], name
    category = _MSOS_CATEGORY.get(name, _MSOS_CATEGORY[CATEGORY[name]])
    return category, _MSOS_EVENT.get(name, name.replace("_", " ").capitalize())


def is_esc50(root: Path) -> bool:
    """Whether the folder has the data set's own table."""
    return (root / META).is_file()


def read_esc50(root: str | Path, *, names: str = "esc50", rules: Rules = TRAINING) -> Manifest:
    """Read ESC-50 as it is published, or a part of its folds.

    The group of a clip is its ``src_file``, the recording it was cut from. Two recordings
    (131943 and 134049) have clips of two classes in folds 2 and 3. Sounds that were re-encoded are
    found under their new extension.

    Args:
        root: the folder with ``meta/esc50.csv`` and ``audio/``.
        names: ``"esc50"`` for the categories animals, natural, human, domestic and urban with the
            50 classes as events; ``"msos"`` for the categories Effects, Human, Music, Nature and
            Urban with the event names of MSoS, where drops and pouring are both Water: 49 events.
        rules: how strict the checks are.

    Raises:
        DataError: with all issues.
        OptionsError: unknown ``names``.
    """
    return validate(list_esc50(root, names=names), rules)


def list_esc50(root: str | Path, *, names: str = "esc50") -> Listing:
    """Read the data set's table without validation."""
    if names not in NAMES:
        raise OptionsError(f"--label-set {names}: has to be one of {', '.join(NAMES)}")
    root = Path(root)
    table = root / META
    content = read_csv(table)
    issues = list(content.issues)
    rows: list[ClipRecord] = []
    missing = [name for name in COLUMNS if name not in content.header]
    if content.header and missing:
        there = ", ".join(content.header)
        cause = f"no column {', '.join(map(repr, missing))}; the table has {there}"
        issues.append(DataIssue(str(table), content.line, cause))
    elif content.header:
        folder = SoundFolder(root / AUDIO)
        for record in content.records:
            row, cause = _row(record, table, folder, names)
            rows.append(row)
            if cause:
                issues.append(row.issue(cause))
    return Listing(
        source=root,
        name="esc50",
        records=tuple(rows),
        issues=tuple(issues),
        grouped=True,
        licence=LICENCE,
        citation=CITATION,
    )


def _row(record: TableRow, table: Path, folder: SoundFolder, names: str) -> tuple[ClipRecord, str]:
    cells = {name: record.cells[name].strip() for name in COLUMNS}
    name, target = cells["category"], cells["target"]
    cause = ""
    if name not in TARGETS:
        cause = f"{name!r} is not a class of ESC-50"
    elif target != str(TARGETS[name]):
        cause = f"class {name!r} has target {TARGETS[name]}, not {target!r}"
    # A misspelt class is found by its target, so that one error is reported once.
    known = name if name in TARGETS else _BY_TARGET.get(target)
    category, event = labels_of(known, names) if known else (name, "")
    row = ClipRecord(
        path=folder.find(cells["filename"]),
        labels=(category, event),
        group=cells["src_file"],
        fold=cells["fold"],
        file=str(table),
        line=record.line,
        text=cells["filename"],
    )
    return row, cause
