"""Every error of the application as a problem document."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from sonotype.serve.metrics import Metrics
from sonotype.serve.problems import PROBLEMS, ProblemError, of_status

CLIENT_GONE = 499
"""Status, in the metrics alone, of a request whose client closed the connection."""


def handle_errors(app: FastAPI, metrics: Metrics) -> None:
    """Answer errors with problem documents; the middleware answers unexpected ones."""

    def answer(problem: ProblemError, headers: Mapping[str, str] | None = None) -> Response:
        metrics.problems.labels(problem.name).inc()
        every = {**(headers or {}), **problem.headers()}
        return Response(problem.body(), problem.kind.status, headers=every)

    async def on_problem(_: Request, error: Exception) -> Response:
        assert isinstance(error, ProblemError)  # noqa: S101 (for mypy)
        return answer(error)

    async def on_invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101 (for mypy)
        issues = [f"{one['loc'][-1]}: {one['msg']}" for one in error.errors()]
        return answer(ProblemError("invalid-parameter", "; ".join(issues)))

    async def on_http(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 (for mypy)
        name = of_status(error.status_code)
        return answer(ProblemError(name, PROBLEMS[name].title), error.headers)

    async def on_gone(_: Request, error: Exception) -> Response:
        return Response(status_code=CLIENT_GONE)

    app.add_exception_handler(ProblemError, on_problem)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(ClientDisconnect, on_gone)
