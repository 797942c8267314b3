"""MSoS, the Making Sense of Sounds challenge of 2018: 1,500 and 500 clips in five categories.

The development subset has a log sheet with category, event and file, and one folder for each
category. The evaluation subset has a master sheet with the category first and the file third, and
one folder.
"""

from __future__ import annotations

from pathlib import Path

from sonotype.core.errors import DataError, DataIssue, OptionsError
from sonotype.data.manifest import Manifest
from sonotype.data.readers.csv_table import Table, TableRow, read_csv
from sonotype.data.readers.walk import passed_over
from sonotype.data.records import ClipRecord, Listing, SoundFolder, nfc
from sonotype.data.splits.groups import assign_groups
from sonotype.data.validate import TRAINING, Rules, validate

LOG_SHEETS = {
    "development": "Logsheet_Development.csv",
    "evaluation": "Logsheet_EvaluationMaster.csv",
}
FOLDERS = {"development": "Development", "evaluation": "Evaluation"}
COLUMNS = ("Category", "Event", "File")

ADDRESS = "https://doi.org/10.17866/rd.salford.6901475"
LICENCE = "see its page"
CITATION = (
    "Making Sense Of Sounds: Data for the machine learning challenge 2018. "
    "University of Salford. https://doi.org/10.17866/rd.salford.6901475"
)


def find_log_sheets(root: Path, subset: str | None = None) -> list[tuple[str, Path]]:
    """The log sheets in a folder or up to two levels below, each with the name of its set."""
    depths = ("", "*/", "*/*/")
    return [
        (name, path)
        for name, sheet in LOG_SHEETS.items()
        if subset in (None, name)
        for depth in depths
        for path in sorted(root.glob(depth + sheet))
        if not any(map(passed_over, path.relative_to(root).parts))
    ]


def read_msos(
    root: str | Path,
    *,
    subset: str | None = None,
    group_pattern: str | None = None,
    rules: Rules = TRAINING,
) -> Manifest:
    """Read the development or the evaluation set of MSoS.

    The recordings of the clips are not known. Events with a single clip are issues; the data set
    has such events, and ``Rules(rare_events="unlabel")`` keeps their clips without the event.

    Args:
        root: the folder with the log sheet, one or two levels above it, or the sheet itself.
        subset: ``"development"`` or ``"evaluation"``; ``None`` takes the development subset
            if it exists, else the evaluation subset.
        group_pattern: regular expression over file names for clips of one recording.
        rules: how strict the checks are.

    Raises:
        DataError: with all issues.
        OptionsError: unknown ``subset``.
    """
    return validate(list_msos(root, subset=subset, group_pattern=group_pattern), rules)


def list_msos(
    root: str | Path, *, subset: str | None = None, group_pattern: str | None = None
) -> Listing:
    """Read the log sheet without validation."""
    subset, table = _choose(Path(root), subset)
    sheet = read_csv(table)
    if subset == "development":
        rows, issues = _development(table, sheet)
    else:
        rows, issues = _evaluation(table, sheet)
    assigned, unmatched = assign_groups(rows, group_pattern)
    return Listing(
        source=table,
        name=f"msos {subset}",
        records=assigned,
        issues=(*sheet.issues, *issues, *unmatched),
        grouped=group_pattern is not None,
        licence=LICENCE,
        citation=CITATION,
    )


def _choose(root: Path, subset: str | None) -> tuple[str, Path]:
    if subset is not None and subset not in LOG_SHEETS:
        raise OptionsError(f"--subset {subset}: has to be one of {', '.join(LOG_SHEETS)}")
    if root.is_file():
        found = [(name, root) for name, sheet in LOG_SHEETS.items() if root.name == sheet]
        found = [(name, path) for name, path in found if subset in (None, name)]
    else:
        found = find_log_sheets(root, subset)
    if not found:
        wanted = " or ".join(LOG_SHEETS.values() if subset is None else [LOG_SHEETS[subset]])
        cause = f"no {wanted} here or up to two folders below"
        raise DataError(root, [DataIssue(str(root), 0, cause)])
    same = [path for name, path in found if name == found[0][0]]
    if len(same) > 1:
        cause = f"several log sheets: {', '.join(map(str, same))}; name the folder of one"
        raise DataError(root, [DataIssue(str(root), 0, cause)])
    return found[0]


def _development(table: Path, sheet: Table) -> tuple[list[ClipRecord], list[DataIssue]]:
    if not sheet.header:
        return [], []
    missing = [name for name in COLUMNS if name not in sheet.header]
    if missing:
        return [], [_no_columns(table, sheet, missing)]
    above = table.parent / FOLDERS["development"]
    base = above if above.is_dir() else table.parent
    folders: dict[str, SoundFolder] = {}
    rows = []
    for record in sheet.records:
        category, event, file = (record.cells[name].strip() for name in COLUMNS)
        if category not in folders:
            folders[category] = SoundFolder(base / category)
        rows.append(_row(table, record, category, event, file, folders[category]))
    return rows, []


def _evaluation(table: Path, sheet: Table) -> tuple[list[ClipRecord], list[DataIssue]]:
    if not sheet.header:
        return [], []
    if len(sheet.header) < 3:
        return [], [_no_columns(table, sheet, ["File"])]
    category, second, file = sheet.header[:3]  # by position, as the sheet is described
    has_event = second.lower() == "event"
    folder = SoundFolder(_evaluation_folder(table, [item.cells[file] for item in sheet.records]))
    rows = []
    for record in sheet.records:
        event = record.cells[second].strip() if has_event else ""
        name = record.cells[file].strip()
        rows.append(_row(table, record, record.cells[category].strip(), event, name, folder))
    return rows, []


def _evaluation_folder(table: Path, files: list[str]) -> Path:
    """The one folder with the sounds: beside the sheet, or where the sheet is."""
    usual = table.parent / FOLDERS["evaluation"]
    others = sorted(
        entry for entry in table.parent.iterdir() if entry.is_dir() and not passed_over(entry.name)
    )
    stems = {nfc(Path(name.strip()).stem) for name in files}
    for folder in (usual, table.parent, *others):
        if folder.is_dir() and any(nfc(entry.stem) in stems for entry in folder.iterdir()):
            return folder
    return usual


def _row(
    table: Path, record: TableRow, category: str, event: str, file: str, folder: SoundFolder
) -> ClipRecord:
    return ClipRecord(
        path=folder.find(file),
        labels=(category, event),
        file=str(table),
        line=record.line,
        text=file,
    )


def _no_columns(table: Path, sheet: Table, missing: list[str]) -> DataIssue:
    cause = f"no column {', '.join(map(repr, missing))}; the sheet has {', '.join(sheet.header)}"
    return DataIssue(str(table), sheet.line, cause)
