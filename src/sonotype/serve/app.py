"""The HTTP application: addresses, errors, and the OpenAPI document."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from sonotype.core.errors import OptionsError
from sonotype.core.json_text import json_text
from sonotype.core.text import listed
from sonotype.core.version import __version__
from sonotype.detect.detect_options import DetectOptions
from sonotype.detect.detector import Detector
from sonotype.serve.answers import Values, classified, detected, model_values
from sonotype.serve.bodies import Upload, read_uploads
from sonotype.serve.gate import Lease
from sonotype.serve.keys import Keys
from sonotype.serve.middleware import Around
from sonotype.serve.problems import PROBLEMS, ProblemError, of_status, type_of
from sonotype.serve.schemas import (
    SOUND_BODY,
    ClassifyAnswer,
    DetectAnswer,
    ModelAnswer,
    Problem,
    State,
    answers,
    code_samples,
)
from sonotype.serve.service import Outcome, Service

CLIENT_GONE = 499
"""Status, in the metrics alone, of a request whose client closed the connection."""
WORK_STATUSES = (400, 401, 408, 413, 415, 422, 429, 500, 503)
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"

log = logging.getLogger(__name__)


def create_app(service: Service, keys: Iterable[str] = ()) -> FastAPI:
    """The application of a service.

    Args:
        service: is started and closed with the application.
        keys: one of them is required, if there are any.
    """
    known = Keys(keys)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        service.close()

    app = FastAPI(
        title="sonotype",
        version=__version__,
        description="Classifies sounds and detects events in recordings.",
        docs_url=None,  # its pages load scripts from other sites
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.service, app.state.keys = service, known
    app.include_router(_open_routes(service))
    secured = [Security(HTTPBearer(auto_error=False)),
               Security(APIKeyHeader(name="X-API-Key", auto_error=False))]  # fmt: skip

    def require_key(request: Request) -> None:
        if not known.allow(request.headers):
            detail = "send a key as Authorization: Bearer KEY, or as X-API-Key: KEY"
            raise ProblemError("key-required", detail)

    app.include_router(
        _work_routes(service), dependencies=[Depends(require_key), *(secured if known else [])]
    )
    _handle_errors(app, service)
    _add_problem_schema(app)
    app.add_middleware(Around, metrics=service.metrics)
    return app


def _open_routes(service: Service) -> APIRouter:
    """Addresses that need no key."""
    router = APIRouter()

    @router.get(
        "/healthz", operation_id="healthz", responses=answers("healthz", State, 500),
        openapi_extra={"x-codeSamples": code_samples("healthz")},
    )  # fmt: skip
    async def healthz() -> Response:
        """Whether the process answers."""
        return _json({"status": "ok"})

    @router.get(
        "/readyz", operation_id="readyz", responses=answers("readyz", State, 500, 503),
        openapi_extra={"x-codeSamples": code_samples("readyz")},
    )  # fmt: skip
    async def readyz() -> Response:
        """Whether the model is loaded and requests are accepted."""
        if not service.ready:
            raise ProblemError("not-ready", "the service starts or stops")
        return _json({"status": "ready"})

    @router.get("/problems/{name}", include_in_schema=False)
    async def problem(name: str) -> Response:
        if name not in PROBLEMS:
            raise ProblemError("not-found", "there is no such kind of problem")
        kind = PROBLEMS[name]
        return _json({"type": type_of(name), "title": kind.title, "status": kind.status})

    return router


def _work_routes(service: Service) -> APIRouter:
    """Addresses that need a key, if there are keys."""
    router = APIRouter()
    levels = [head.name for head in service.classifier.heads]

    @router.post(
        "/v1/classify", operation_id="classify",
        responses=answers("classify", ClassifyAnswer, *WORK_STATUSES),
        openapi_extra={"requestBody": SOUND_BODY, "x-codeSamples": code_samples("classify")},
    )  # fmt: skip
    async def classify(
        request: Request,
        top: Annotated[int, Query(ge=1, le=100, description="Number of labels")] = 5,
    ) -> Response:
        """Classify sounds: one clip of the length of the model from each."""
        lease = Lease(service.gate)
        uploads = await _uploads(request, service, lease)
        outcomes = await service.classify(uploads, lease)
        _count(service, "/v1/classify", outcomes)
        return _json(classified(outcomes, top, levels))

    @router.post(
        "/v1/detect", operation_id="detect",
        responses=answers("detect", DetectAnswer, *WORK_STATUSES),
        openapi_extra={"requestBody": SOUND_BODY, "x-codeSamples": code_samples("detect")},
    )  # fmt: skip
    async def detect(
        request: Request,
        threshold: Annotated[
            float | None,
            Query(ge=0, le=1, description="Least score of an event [default: the model's]"),
        ] = None,
        classes: Annotated[
            list[str] | None, Query(alias="class", description="Detect only these classes")
        ] = None,
    ) -> Response:
        """Detect events in recordings."""
        detector = _detector(service, threshold, classes or [])
        lease = Lease(service.gate)
        uploads = await _uploads(request, service, lease)
        outcomes = await service.detect(uploads, lease, detector)
        _count(service, "/v1/detect", outcomes)
        return _json(detected(outcomes))

    @router.get(
        "/v1/model", operation_id="model", responses=answers("model", ModelAnswer, 401, 500),
        openapi_extra={"x-codeSamples": code_samples("model")},
    )  # fmt: skip
    async def model() -> Response:
        """The classes and the format of the model, and the limits of the service."""
        return _json(model_values(service))

    @router.get(
        "/metrics", operation_id="metrics",
        responses={200: {"content": {"text/plain": {}}, "description": "Metrics"}},
        response_class=Response, openapi_extra={"x-codeSamples": code_samples("metrics")},
    )  # fmt: skip
    async def metrics() -> Response:
        """Metrics for Prometheus."""
        return Response(service.metrics.text(), headers={"content-type": PROMETHEUS})

    return router


async def _uploads(request: Request, service: Service, lease: Lease) -> list[Upload]:
    """The sounds of a request; refused before its body is read if the service is busy."""
    if not service.ready:
        raise ProblemError("not-ready", "the service starts or stops")
    service.gate.check()
    try:
        return await read_uploads(request, service.settings, lease)
    except BaseException:
        lease.release()
        raise


def _detector(service: Service, threshold: float | None, classes: list[str]) -> Detector | None:
    """A detector with the options of a request; ``None`` if there are none."""
    if unknown := sorted(set(classes) - set(service.detector.classes)):
        known = listed(service.detector.classes, 30)
        raise ProblemError(
            "invalid-parameter", f"class: the model does not detect {listed(unknown)}, but {known}"
        )
    if threshold is None and not classes:
        return None
    texts = () if threshold is None else (str(threshold),)
    try:
        options = DetectOptions(threshold=texts, classes=tuple(classes))
        return Detector(service.ensemble, options, [service.digest])
    except OptionsError as error:
        raise ProblemError("invalid-parameter", str(error)) from None


def _count(service: Service, route: str, outcomes: list[Outcome]) -> None:
    """Count the sounds, and the problems of single sounds."""
    for outcome in outcomes:
        if isinstance(outcome.result, ProblemError):
            service.metrics.problems.labels(outcome.result.name).inc()
            continue
        service.metrics.sounds.labels(route).inc()
        seconds = getattr(outcome.result, "seconds", getattr(outcome.result, "file_seconds", 0.0))
        service.metrics.sound_seconds.labels(route).inc(seconds)


def _handle_errors(app: FastAPI, service: Service) -> None:
    """Answer every error with a problem document."""

    def answer(problem: ProblemError, headers: Mapping[str, str] | None = None) -> Response:
        service.metrics.problems.labels(problem.name).inc()
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

    async def on_unexpected(_: Request, error: Exception) -> Response:
        return answer(ProblemError("internal-error", "the error is in the log of the service"))

    app.add_exception_handler(ProblemError, on_problem)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(ClientDisconnect, on_gone)
    app.add_exception_handler(Exception, on_unexpected)


def _add_problem_schema(app: FastAPI) -> None:
    """Add the schema of problem documents, which no operation returns with status 200."""
    original = app.openapi

    def openapi() -> dict[str, Any]:
        document = original()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas.setdefault("Problem", Problem.model_json_schema())
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _json(values: Values) -> Response:
    text = json_text(values, ensure_ascii=False).encode("utf-8", "backslashreplace")
    return Response(text, media_type="application/json")
