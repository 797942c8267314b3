"""Open the parts of a server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sonotype.app.context import AppContext
from sonotype.app.findings import Findings
from sonotype.app.models import Models
from sonotype.app.project import Project
from sonotype.app.scratch import open_scratch
from sonotype.app.state import State
from sonotype.app.training import Training
from sonotype.app.tray import Tray
from sonotype.app.warm_up import start_warm_up


def open_context(folder: Path, models: Sequence[Path]) -> AppContext:
    """Open a project with what works on it.

    Args:
        folder: of the project, which may not exist yet.
        models: model files or run folders to choose from.

    Raises:
        OptionsError: the folder cannot be opened.
        SonotypeError: another server uses the project, or a model cannot be used.
    """
    project, state = Project(folder), State()
    project.open()
    try:
        chosen = Models(project, models)
    except BaseException:
        project.close()
        raise
    scratch = open_scratch()
    tray = Tray(scratch.folder, scratch.close)
    start_warm_up()
    findings = Findings(project)
    return AppContext(project, state, chosen, Training(project, state), tray, findings)
