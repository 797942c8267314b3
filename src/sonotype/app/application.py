"""The application of the page: all addresses, and what is around them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from sonotype.app import (
    routes_live,
    routes_page,
    routes_project,
    routes_sounds,
    routes_training,
)
from sonotype.app.context import AppContext
from sonotype.app.security import Guard
from sonotype.core.version import __version__
from sonotype.serve.errors import handle_errors
from sonotype.serve.metrics import Metrics
from sonotype.serve.middleware import Around


def create_app(context: AppContext, key: str = "") -> FastAPI:
    """The application of a context; it closes the parts of the context at its end.

    Args:
        context: the project, and what works on it.
        key: that a browser must know; empty where only this machine can connect.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(context.tray.close)
        await run_in_threadpool(context.project.close)

    app = FastAPI(
        title="sonotype app",
        version=__version__,
        docs_url=None,  # its pages load scripts from other sites
        redoc_url=None,
        openapi_url=None,
        lifespan=lifespan,
    )
    app.state.end_streams = context.state.close
    app.include_router(routes_page.router())
    for routes in (routes_project, routes_training, routes_sounds, routes_live):
        app.include_router(routes.router(context))
    metrics = Metrics()
    handle_errors(app, metrics)
    app.add_middleware(Around, metrics=metrics)
    app.add_middleware(Guard, key=key)  # the last one is the outermost
    return app
