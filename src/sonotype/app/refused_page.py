"""What a browser shows of a request that is refused: a short page in place of JSON."""

from __future__ import annotations

from html import escape

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, Response

from sonotype.serve.problems import ProblemError

OPEN = (
    "Open the address that sonotype app printed in the terminal: it begins with page: and, where "
    "other devices can connect, ends with a key."
)

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} - sonotype</title>
</head>
<body>
<main>
<h1>{title}</h1>
<p>{detail}</p>
</main>
</body>
</html>
"""


def refused(problem: ProblemError, method: str, headers: Headers) -> Response:
    """The answer to a refused request: a page for a person who opens an address in a browser.

    Args:
        problem: why it is refused.
        method: of the request.
        headers: of the request; a browser accepts ``text/html`` where it shows the answer.
    """
    if method not in ("GET", "HEAD") or "text/html" not in headers.get("accept", ""):
        return Response(problem.body(), problem.kind.status, headers=problem.headers())
    if problem.name == "key-required":
        title, detail = "This page needs its key", OPEN
    else:
        title, detail = "This address is not for this page", f"{_sentence(problem.detail)} {OPEN}"
    return HTMLResponse(
        PAGE.format(title=escape(title), detail=escape(detail)), problem.kind.status
    )


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if text.endswith(".") else f"{text}."
