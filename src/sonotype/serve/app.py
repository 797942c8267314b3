"""The HTTP application: addresses, and the OpenAPI document."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response, Security
from fastapi.security import APIKeyHeader, HTTPBearer

from sonotype.core.version import __version__
from sonotype.serve.answers import classified, detected, model_values
from sonotype.serve.bodies import Upload, read_uploads
from sonotype.serve.errors import handle_errors
from sonotype.serve.gate import Lease
from sonotype.serve.json_response import json_response
from sonotype.serve.keys import Keys
from sonotype.serve.middleware import Around
from sonotype.serve.origins import check_host, check_origin
from sonotype.serve.problems import PROBLEMS, ProblemError, type_of
from sonotype.serve.schemas import (
    EXAMPLES,
    SOUND_BODY,
    ClassifyAnswer,
    DetectAnswer,
    ModelAnswer,
    Problem,
    State,
    answers,
    code_samples,
)
from sonotype.serve.service import NOT_READY, Outcome, Service
from sonotype.serve.settings import LOOPBACK, STREAM_PATH
from sonotype.serve.stream import stream_endpoint

WORK_STATUSES = (400, 401, 403, 408, 413, 415, 422, 429, 500, 503)
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


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
        await asyncio.to_thread(service.close)  # streams that end need the event loop

    app = FastAPI(
        title="sonotype",
        version=__version__,
        description="Classifies sounds and detects events in recordings.",
        docs_url=None,  # its pages load scripts from other sites
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.service, app.state.keys = service, known
    app.state.end_streams = service.end_streams
    app.include_router(_open_routes(service))
    secured = [Security(HTTPBearer(auto_error=False)),
               Security(APIKeyHeader(name="X-API-Key", auto_error=False))]  # fmt: skip

    def require_key(request: Request) -> None:
        known.check(request.headers)
        if known:  # a page of another site does not know it
            return
        if service.settings.host in LOOPBACK:
            check_host(request.headers)
        if request.method == "POST":
            check_origin(request.headers)

    app.include_router(
        _work_routes(service), dependencies=[Depends(require_key), *(secured if known else [])]
    )
    app.add_api_websocket_route(STREAM_PATH, stream_endpoint(service, known))
    handle_errors(app, service.metrics)
    _complete_document(app)
    app.add_middleware(Around, metrics=service.metrics)
    return app


def _open_routes(service: Service) -> APIRouter:
    """Addresses that need no key."""
    router = APIRouter()

    @router.get(
        "/healthz", operation_id="healthz", responses=answers(State, 500),
        openapi_extra={"x-codeSamples": code_samples("healthz")},
    )  # fmt: skip
    async def healthz() -> Response:
        """Whether the process answers."""
        return json_response({"status": "ok"})

    @router.get(
        "/readyz", operation_id="readyz", responses=answers(State, 500, 503),
        openapi_extra={"x-codeSamples": code_samples("readyz")},
    )  # fmt: skip
    async def readyz() -> Response:
        """Whether the model is loaded and requests are accepted."""
        if not service.ready:
            raise ProblemError("not-ready", NOT_READY)
        return json_response({"status": "ready"})

    @router.get("/problems/{name}", include_in_schema=False)
    async def problem(name: str) -> Response:
        if name not in PROBLEMS:
            raise ProblemError("not-found", "there is no such kind of problem")
        kind = PROBLEMS[name]
        return json_response({"type": type_of(name), "title": kind.title, "status": kind.status})

    return router


def _work_routes(service: Service) -> APIRouter:
    """Addresses that need a key, if there are keys."""
    router = APIRouter()
    levels = [head.name for head in service.classifier.heads]

    @router.post(
        "/v1/classify", operation_id="classify",
        responses=answers(ClassifyAnswer, *WORK_STATUSES),
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
        return json_response(classified(outcomes, top, levels))

    @router.post(
        "/v1/detect", operation_id="detect",
        responses=answers(DetectAnswer, *WORK_STATUSES),
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
        detector = service.detector_with(threshold, classes or [])
        lease = Lease(service.gate)
        uploads = await _uploads(request, service, lease)
        outcomes = await service.detect(uploads, lease, detector)
        _count(service, "/v1/detect", outcomes)
        return json_response(detected(outcomes))

    @router.get(
        "/v1/model", operation_id="model", responses=answers(ModelAnswer, 401, 403, 500),
        openapi_extra={"x-codeSamples": code_samples("model")},
    )  # fmt: skip
    async def model() -> Response:
        """The classes and the format of the model, and the limits of the service."""
        return json_response(model_values(service))

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
        raise ProblemError("not-ready", NOT_READY)
    service.gate.check()
    try:
        return await read_uploads(request, service.settings, lease)
    except BaseException:
        lease.release()
        raise


def _count(service: Service, route: str, outcomes: list[Outcome]) -> None:
    """Count the sounds, and the problems of single sounds."""
    for outcome in outcomes:
        if isinstance(outcome.result, ProblemError):
            service.metrics.problems.labels(outcome.result.name).inc()
            continue
        service.metrics.sounds.labels(route).inc()
        seconds = getattr(outcome.result, "seconds", getattr(outcome.result, "file_seconds", 0.0))
        service.metrics.sound_seconds.labels(route).inc(seconds)


def _complete_document(app: FastAPI) -> None:
    """Add what FastAPI leaves out of the document: the schema of problems, and null in examples."""
    original = app.openapi

    def openapi() -> dict[str, Any]:
        document = original()
        document["components"]["schemas"]["Problem"] = Problem.model_json_schema()
        for methods in document["paths"].values():
            for operation in methods.values():
                if example := EXAMPLES.get(operation["operationId"]):
                    answer = operation["responses"]["200"]["content"]["application/json"]
                    answer["example"] = example
        return document

    app.openapi = openapi  # type: ignore[method-assign]
