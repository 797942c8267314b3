"""Change a value in an SQLite database."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from sonotype.core.errors import SonotypeError


def change(path: Path, statement: str, value: Any) -> None:
    """Run a statement with a value.

    Raises:
        SonotypeError: the schema refuses the value.
    """
    database = sqlite3.connect(path)
    try:
        database.execute(statement, (value,))
        database.commit()
    except sqlite3.Error as error:
        raise SonotypeError(str(error)) from None
    finally:
        database.close()
