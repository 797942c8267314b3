"""``sonotype.json``, the file about a data set: what is no description is an issue."""

from __future__ import annotations

from pathlib import Path

import pytest

from sonotype.data.dataset_info import INFO_FILE, read_dataset_info


@pytest.mark.parametrize(
    "content", ["[" * 100_000, '{"name": ' + "9" * 5000 + "}", "{", "\xff", "1"]
)
def test_damaged_files_are_issues(tmp_path: Path, content: str) -> None:
    (tmp_path / INFO_FILE).write_bytes(content.encode("latin-1"))
    info, issues = read_dataset_info(tmp_path)
    assert info.name == ""
    assert [Path(issue.file).name for issue in issues] == [INFO_FILE]
