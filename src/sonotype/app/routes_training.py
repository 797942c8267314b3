"""The routes of training and of finished runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Body, FastAPI
from starlette.concurrency import run_in_threadpool

from sonotype.app.comparison import comparison_values
from sonotype.app.context import AppContext
from sonotype.app.runs import Run, file_of, onnx_of, run_of
from sonotype.app.stored_file import StoredFile
from sonotype.experiments.run_files import MODEL, REPORT
from sonotype.serve.problems import ProblemError

REPORT_POLICY = (
    "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; sandbox allow-scripts "
    "allow-popups allow-downloads"
)
"""A report is one page with its own style, scripts, sounds and pictures; it has no origin."""
BINARY = "application/octet-stream"


def router(context: AppContext) -> APIRouter:
    """The routes; while they are served, the training is open.

    Every function without ``async`` runs in a thread.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(context.training.open)
        yield
        await run_in_threadpool(context.training.close)

    routes = APIRouter(lifespan=lifespan)

    @routes.post("/api/training", status_code=202)
    def start(wanted: Any = Body(None)) -> dict[str, Any]:  # noqa: B008
        return context.training.start(_backbone(wanted))

    @routes.delete("/api/training")
    def cancel() -> dict[str, Any] | None:
        return context.training.cancel()

    @routes.get("/api/runs/{run_id}/report")
    def report(run_id: str) -> StoredFile:
        path = file_of(run_of(context.project, run_id), REPORT)
        headers = {"Content-Security-Policy": REPORT_POLICY, "Cache-Control": "no-store"}
        return StoredFile(path, media_type="text/html", headers=headers)

    @routes.get("/api/runs/{run_id}/model")
    def model(run_id: str) -> StoredFile:
        run = run_of(context.project, run_id)
        return _download(context, run, file_of(run, MODEL))

    @routes.get("/api/runs/{run_id}/onnx")
    def onnx(run_id: str) -> StoredFile:
        run = run_of(context.project, run_id)
        return _download(context, run, onnx_of(run))

    @routes.get("/api/runs/{run_id}/comparison")
    def comparison(run_id: str) -> dict[str, Any]:
        return comparison_values(context.project, run_id)

    return routes


def _backbone(wanted: Any) -> str | None:
    """The backbone in the body of a request; ``None`` for that of the project."""
    if wanted is None:
        return None
    backbone = wanted.get("backbone") if isinstance(wanted, dict) else ""
    if backbone is not None and not isinstance(backbone, str):
        backbone = ""
    if backbone == "":
        detail = 'The body is a JSON object such as {"backbone": "builtin"}, or empty.'
        raise ProblemError("invalid-parameter", detail)
    return backbone


def _download(context: AppContext, run: Run, path: Path) -> StoredFile:
    name = f"{context.project.folder.name}-{run.id}{path.suffix}"
    return StoredFile(path, media_type=BINARY, filename=name, headers={"Cache-Control": "no-store"})
