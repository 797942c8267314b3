"""What the routes of the page work with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sonotype.app.project import Project
from sonotype.app.state import State

if TYPE_CHECKING:
    from sonotype.app.findings import Findings
    from sonotype.app.models import Models
    from sonotype.app.training import Training
    from sonotype.app.tray import Tray


@dataclass(frozen=True)
class AppContext:
    """The parts of one server, shared by all its tabs.

    Attributes:
        project: the folder with classes, clips and runs.
        state: the version of everything that the tabs see.
        models: the models that can be chosen; ``values()`` gives the JSON values of all.
        training: the training job; ``values()`` gives its JSON values or ``None``, and ``close()``
            lets go of it without an end.
        tray: the uploaded sounds; ``close()`` removes them.
        findings: of the project.
    """

    project: Project
    state: State
    models: Models
    training: Training
    tray: Tray
    findings: Findings
