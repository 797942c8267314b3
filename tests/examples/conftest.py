"""One exported model for all examples."""

from __future__ import annotations

from pathlib import Path

import pytest
from exported_models import export_foreign


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_foreign(tmp_path_factory.mktemp("exported") / "model.onnx")
