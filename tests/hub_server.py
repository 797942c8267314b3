"""A small server with the parts of the Hugging Face Hub that sonotype uses, and its settings."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

WRITER, READER = "hf_writer", "hf_reader"
LARGE = (".safetensors", ".onnx")
"""Suffixes of files that are stored by their SHA-256."""

Headers = dict[str, str]
Answer = tuple[int, Any, Headers]


@dataclass
class Repository:
    """The files of each commit, and the last commit of each branch."""

    private: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        kept = dict(self.commits.get(self.branches.get(branch, ""), {}))
        name = hashlib.sha1(repr((len(self.commits), branch, files)).encode()).hexdigest()
        self.commits[name] = kept | files
        self.branches[branch] = name
        return name

    def find(self, revision: str) -> str | None:
        return self.branches.get(revision) or (revision if revision in self.commits else None)


@dataclass
class Hub:
    """The state of the server.

    ``storage`` is the other name of the host that large files come from; ``elsewhere`` is an
    address to which all files are redirected; ``broken`` are digests whose upload ends half-way,
    ``held`` those whose upload is not answered: it sets ``reached``. ``loses_commits`` closes the
    connection after a commit, without an answer.
    """

    base: str
    repositories: dict[str, Repository] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    held: set[str] = field(default_factory=set)
    reached: threading.Event = field(default_factory=threading.Event)
    loses_commits: bool = False
    storage: str = ""
    elsewhere: str = ""
    status: int = 0

    def create(self, name: str, files: dict[str, bytes], *, private: bool = False) -> Repository:
        found = self.repositories[name] = Repository(private)
        found.commit(files)
        return found

    def asked(self, method: str, part: str = "") -> list[str]:
        return [path for verb, path, _ in self.requests if verb == method and part in path]


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def git_digest(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def identity(name: str, content: bytes) -> str:
    return (digest if name.endswith(LARGE) else git_digest)(content)


def not_found(code: str) -> Answer:
    return 404, {"error": code}, {"X-Error-Code": code}


def answer_of(hub: Hub, method: str, path: str, token: str, body: Callable[[], Any]) -> Answer:
    if hub.status:
        return hub.status, {"error": "fails"}, {}
    if path == "/api/validate-yaml":
        assert body()["content"].startswith("---\n")
        return 200, {"errors": [], "warnings": []}, {}
    if path == "/api/whoami-v2":
        return (200, {"name": "user"}, {}) if token in (WRITER, READER) else (401, {}, {})
    if path == "/api/repos/create":
        return created(hub, token, body())
    if path.endswith("/info/lfs/objects/batch"):
        return batch(hub, body()["objects"])
    if path.startswith("/stored/"):
        return 200, hub.stored[path.rpartition("/")[2]], {}
    if path.startswith("/api/models/"):
        user, name, *rest = path.removeprefix("/api/models/").split("/", 3)
    else:
        user, name, *rest = (*path.strip("/").split("/", 3), "")[:4]
    found = hub.repositories.get(f"{user}/{name}")
    if found is None or (found.private and token not in (WRITER, READER)):
        status = 404 if token else 401
        return status, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"}
    if not path.startswith("/api/"):
        assert rest[0] == "resolve"
        return resolved(hub, found, unquote(rest[1]))
    action, argument = (*rest, "", "")[:2]
    if method == "POST" and token != WRITER:
        return 403, {"error": "forbidden"}, {}
    return model_answer(hub, found, f"{user}/{name}", (action, unquote(argument)), body)


def created(hub: Hub, token: str, wanted: dict[str, Any]) -> Answer:
    if token not in (WRITER, READER):
        return 401, {"error": "Invalid username or password."}, {}
    name = f"{wanted.get('organization') or 'user'}/{wanted['name']}"
    if token == READER or not name.startswith("user/"):
        return 403, {"error": "forbidden"}, {}
    if name in hub.repositories:
        return 409, {"url": f"{hub.base}/{name}", "error": "exists"}, {}
    is_private = bool(wanted.get("private")) or wanted.get("visibility") == "private"
    hub.create(name, {".gitattributes": b"*.onnx filter=lfs\n"}, private=is_private)
    return 200, {"url": f"{hub.base}/{name}", "name": name, "id": "1"}, {}


def batch(hub: Hub, objects: list[dict[str, Any]]) -> Answer:
    answers = []
    for wanted in objects:
        answer = {"oid": wanted["oid"], "size": wanted["size"]}
        if wanted["oid"] not in hub.stored:
            answer["actions"] = {"upload": {"href": f"{hub.base}/upload/{wanted['oid']}"}}
        answers.append(answer)
    return 200, {"objects": answers, "transfer": "basic"}, {}


def resolved(hub: Hub, found: Repository, argument: str) -> Answer:
    revision = next((one for one in (*found.branches, *found.commits)
                     if argument.startswith(f"{one}/")), None)  # fmt: skip
    if revision is None:
        return not_found("RevisionNotFound")
    commit, name = found.find(revision), argument.removeprefix(f"{revision}/")
    assert commit is not None
    content = found.commits[commit].get(name)
    headers = {"X-Repo-Commit": commit}
    if content is None:
        status, answer, more = not_found("EntryNotFound")
        return status, answer, headers | more
    if hub.elsewhere:
        return 302, b"", headers | {
            "Location": f"{hub.elsewhere}/stored/{digest(content)}",
            "X-Linked-Etag": f'"{identity(name, content)}"', "X-Linked-Size": str(len(content)),
        }  # fmt: skip
    if name.endswith(LARGE):
        hub.stored.setdefault(digest(content), content)
        return 302, b"", headers | {
            "Location": f"{hub.storage}/stored/{digest(content)}", "ETag": '"pointer"',
            "X-Linked-Etag": f'"{digest(content)}"', "X-Linked-Size": str(len(content)),
        }  # fmt: skip
    return 200, content, headers | {"ETag": f'"{git_digest(content)}"'}


def model_answer(
    hub: Hub, found: Repository, name: str, what: tuple[str, str], body: Callable[[], Any]
) -> Answer:
    action, argument = what
    if action == "branch":
        found.branches[argument] = found.branches["main"]
        return 200, {}, {}
    commit = found.find(argument or "main")
    if commit is None:
        return not_found("RevisionNotFound")
    files = found.commits[commit]
    if action in ("", "revision"):
        siblings = [{"rfilename": one} for one in files]
        answer = {"id": name, "modelId": name, "sha": commit, "private": found.private,
                  "tags": [], "siblings": siblings, "downloads": 0, "likes": 0}  # fmt: skip
        return 200, answer, {}
    if action == "tree":
        listed = [
            {"type": "file", "path": one, "size": len(content), "oid": git_digest(content)}
            for one, content in files.items()
        ]
        return 200, listed, {}
    if action == "preupload":
        answers = []
        for one in body()["files"]:
            mode = "lfs" if one["path"].endswith(LARGE) else "regular"
            there = files.get(one["path"])
            oid = None if there is None else identity(one["path"], there)
            answers.append({"path": one["path"], "uploadMode": mode, "shouldIgnore": False,
                            "oid": oid})  # fmt: skip
        return 200, {"files": answers}, {}
    assert action == "commit"
    new = {}
    for line in body():
        value = line["value"]
        if line["key"] == "file":
            new[value["path"]] = base64.b64decode(value["content"])
        elif line["key"] == "lfsFile":
            new[value["path"]] = hub.stored[value["oid"]]
    oid = found.commit(new, argument)
    url = f"{hub.base}/{name}/commit/{oid}"
    return 200, {"commitUrl": url, "commitOid": oid, "success": True}, {}


class Handler(BaseHTTPRequestHandler):
    hub: Hub

    def answer(self) -> None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        path = urlsplit(self.path).path
        self.hub.requests.append((self.command, path, token))
        length = int(self.headers.get("Content-Length") or 0)
        if self.command == "PUT":
            return self.store(path.rpartition("/")[2], length)
        content = self.rfile.read(length)

        def body() -> Any:
            if path.partition("/commit/")[1]:
                return [json.loads(line) for line in content.splitlines()]
            return json.loads(content)

        status, value, headers = answer_of(self.hub, self.command, path, token, body)
        if self.hub.loses_commits and "/commit/" in path:
            return self.hang_up()
        sent = value if isinstance(value, bytes) else json.dumps(value).encode()
        return self.send(status, sent, headers)

    def store(self, oid: str, length: int) -> None:
        if oid in self.hub.broken:
            self.rfile.read(1000)
            return self.hang_up()
        if oid in self.hub.held:
            self.hub.reached.set()
            with suppress(OSError):
                while self.connection.recv(100_000):
                    pass
            return self.hang_up()
        content = self.rfile.read(length) if length else b"".join(self.chunks())
        assert digest(content) == oid
        self.hub.stored[oid] = content
        return self.send(200, b"", {})

    def hang_up(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(2)

    def chunks(self) -> Iterator[bytes]:
        """The body of a request of unknown length."""
        while length := int(self.rfile.readline(), 16):
            yield self.rfile.read(length)
            self.rfile.readline()
        self.rfile.readline()

    def send(self, status: int, content: bytes, headers: Headers) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_HEAD = do_POST = do_PUT = answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serve_hub(host: str = "127.0.0.1") -> Iterator[Hub]:
    """A server on a free port."""

    class Own(Handler):
        pass

    with ThreadingHTTPServer((host, 0), Own) as listener:
        listener.daemon_threads = True
        port = listener.server_port
        Own.hub = Hub(f"http://{host}:{port}", storage=f"http://localhost:{port}")
        thread = threading.Thread(target=listener.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield Own.hub
        finally:
            listener.shutdown()
            thread.join()


@contextmanager
def own_hub(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[Hub]:
    """A server that huggingface_hub uses as the Hub, an empty cache and no token."""
    constants = pytest.importorskip("huggingface_hub.constants", reason="needs huggingface_hub")
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(folder / "token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True, raising=False)
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)
    with serve_hub() as hub:
        use_address(monkeypatch, hub.base)
        yield hub
        close_session()


def use_address(monkeypatch: pytest.MonkeyPatch, base: str) -> None:
    """Let huggingface_hub ask another address; its older versions copy the template of it."""
    template = base + "/{repo_id}/resolve/{revision}/{filename}"
    name = "HUGGINGFACE_CO_URL_TEMPLATE"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", base)
    monkeypatch.setattr(f"huggingface_hub.constants.{name}", template, raising=False)
    monkeypatch.setattr(f"huggingface_hub.file_download.{name}", template, raising=False)


def close_session() -> None:
    """Close the connections of huggingface_hub, which it keeps otherwise."""
    from huggingface_hub.utils import _http

    close = getattr(_http, "close_session", None) or getattr(_http, "reset_sessions", None)
    if close is not None:
        close()
