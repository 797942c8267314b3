"""The page itself: its HTML, CSS and JavaScript files."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from fastapi import APIRouter, Response

from sonotype.serve.json_response import json_response
from sonotype.serve.problems import PAGE_PROBLEMS, PROBLEMS, ProblemError, type_of

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""Media types by suffix; other files are no part of the page."""


def router() -> APIRouter:
    """The addresses of the page."""
    routes = APIRouter()

    @routes.get("/")
    def index() -> Response:
        return _file("index.html")

    @routes.get("/page/{name}")
    def file(name: str) -> Response:
        return _file(name)

    @routes.get("/problems/{name}")
    def problem(name: str) -> Response:
        kinds = {**PROBLEMS, **PAGE_PROBLEMS}
        if name not in kinds:
            raise ProblemError("not-found", "there is no such kind of problem")
        kind = kinds[name]
        return json_response({"type": type_of(name), "title": kind.title, "status": kind.status})

    return routes


@cache
def page_files() -> dict[str, bytes]:
    """The files of the page by name."""
    folder = files("sonotype.app").joinpath("page")
    return {
        entry.name: entry.read_bytes()
        for entry in folder.iterdir()
        if f".{entry.name.rpartition('.')[2]}" in TYPES
    }


def _file(name: str) -> Response:
    content = page_files().get(name)
    if content is None:
        raise ProblemError("not-found", f"the page has no file {name}")
    return Response(content, media_type=TYPES[f".{name.rpartition('.')[2]}"])
