"""Requests a second of ``sonotype serve``, and its memory under a long mixed load.

``python -m benchmarks.serve MODEL [--mixed SECONDS]``. The service runs in a process of its own on
this machine, and the clients share its processors.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import numpy as np
import soundfile

from benchmarks.baseline import ROOT, asset
from sonotype.core.cpu import available_cpus
from sonotype.data.records import is_sound
from sonotype.inference.load import load

N_SOUNDS = 24
CLIENTS = (1, 16)
MIXED_CLIENTS = 8
"""Fewer than the places of the service: a good request is then never refused."""
BAD_SHARE = 1 / 3
MEMORY_SECONDS = 5.0
ADDRESS = re.compile(r"listening on http://(\S+)")
BINARY = "application/octet-stream"
FORM = "multipart/form-data; boundary=b"


@dataclass(frozen=True)
class Request:
    """A request, and the statuses that it may have."""

    kind: str
    body: bytes
    content_type: str = BINARY
    path: str = "/v1/classify"
    statuses: tuple[int, ...] = (200,)
    labels: tuple[str, ...] = ()


@dataclass
class Load:
    """What a load found."""

    seconds: list[float] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    wall: float = 0.0


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each load of one kind")
    parser.add_argument("--mixed", type=float, default=0.0, help="seconds of the mixed load alone")
    options = parser.parse_args(argv)
    source = asset("data/esc50") or ROOT / "examples" / "esc10"
    paths = sorted(path for path in source.rglob("*") if is_sound(path))
    paths = [paths[number * len(paths) // N_SOUNDS] for number in range(N_SOUNDS)]
    classifier = load(options.model)
    labels = [classifier.predict(path).label for path in paths]
    good = [
        Request("file", path.read_bytes(), labels=(label,))
        for path, label in zip(paths, labels, strict=True)
    ]
    if options.mixed:
        return mixed(options.model, good, options.mixed)
    print(f"{available_cpus()} processors; {N_SOUNDS} recordings of {source.name}\n")
    print("| service | clients | requests/s | p50 ms | p99 ms |\n|---|---|---|---|---|")
    found = Load()
    begin = time.perf_counter()
    while found.wall < options.seconds:
        start = time.perf_counter()
        classifier.predict(good[len(found.seconds) % N_SOUNDS].body)
        found.seconds.append(time.perf_counter() - start)
        found.wall = time.perf_counter() - begin
    print(row("none: Classifier.predict in a loop", 1, found))
    one_by_one = ["--threads", "1", "--batch-size", "1"]
    for name, flags in (
        ("one at a time", one_by_one),
        ("default", []),
        ("batches of up to 8", ["--batch-size", "8"]),
    ):
        for clients in CLIENTS:
            with served(options.model, flags) as (address, _):
                run(address, good, clients, 2.0)
                print(row(name, clients, run(address, good, clients, options.seconds)), flush=True)
    return 0


def row(name: str, clients: int, found: Load) -> str:
    p50, p99 = np.percentile(found.seconds, (50, 99)) * 1000
    return f"| {name} | {clients} | {len(found.seconds) / found.wall:.1f} | {p50:.0f} | {p99:.0f} |"


@contextmanager
def served(model: Path, flags: Sequence[str] = ()) -> Iterator[tuple[str, int]]:
    """Address and process id of a service."""
    command = [sys.executable, "-m", "sonotype", "serve", str(model), "--port", "0", *flags]
    with tempfile.TemporaryFile("w+") as log:  # a pipe that is not read would stop the service
        process = subprocess.Popen(command, stderr=log)
        try:
            while not (found := ADDRESS.search(read(log))):
                if process.poll() is not None:
                    raise SystemExit(read(log))
                time.sleep(0.1)
            while send(found[1], Request("ready", b"", path="/readyz"))[0] != 200:
                time.sleep(0.05)
            yield found[1], process.pid
        finally:
            begin = time.perf_counter()
            process.terminate()
            process.wait(120)
            lines = read(log).splitlines()
            if len(lines) > 1:
                seconds = time.perf_counter() - begin
                print(f"ended in {seconds:.1f} s; {len(lines)} lines of log, the last: {lines[-1]}")


def read(log: TextIO) -> str:
    """All of a log that another process writes."""
    log.seek(0)
    return log.read()


def send(address: str, request: Request) -> tuple[int, bytes]:
    """Status and body of the answer to a request on a connection of its own."""
    connection = http.client.HTTPConnection(address, timeout=60)
    try:
        if request.body:
            headers = {"content-type": request.content_type}
            connection.request("POST", request.path, request.body, headers)
        else:
            connection.request("GET", request.path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except ConnectionRefusedError:
        return 0, b""
    finally:
        connection.close()


def run(
    address: str,
    requests: Sequence[Request],
    clients: int,
    seconds: float,
    choose: Callable[[random.Random], Request] | None = None,
) -> Load:
    """Send requests from some clients for some time, each when its last one is answered."""
    found, begin = Load(), time.perf_counter()

    def client(number: int) -> None:
        rng = random.Random(number)
        while time.perf_counter() - begin < seconds:
            request = choose(rng) if choose is not None else rng.choice(requests)
            start = time.perf_counter()
            try:
                status, body = send(address, request)
            except OSError as error:
                status, body = -1, str(error).encode()
            if request.labels:
                found.seconds.append(time.perf_counter() - start)
            found.counts[f"{request.kind}: {status}"] += 1
            if cause := fault(request, status, body):
                found.failures.append(cause)

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(client, range(clients)))
    found.wall = time.perf_counter() - begin
    return found


def fault(request: Request, status: int, body: bytes) -> str:
    """How an answer is wrong; empty if it is right."""
    if status not in request.statuses:
        return f"{request.kind}: status {status}, {body[:200]!r}"
    if b"Traceback" in body or str(ROOT).encode() in body:
        return f"{request.kind}: gives away {body[:200]!r}"
    if request.labels:
        results = json.loads(body)["results"]
        labels = tuple(one["top"][0]["label"] for one in results if one["top"])
        if labels != request.labels:
            return f"{request.kind}: {labels} instead of {request.labels}"
    return ""


def mixed(model: Path, good: Sequence[Request], seconds: float) -> int:
    """A third of bad requests for a long time: no good one fails, and memory is flat."""
    bad = bad_requests(good)
    forms = [form_of(good[index : index + 3]) for index in range(0, len(good), 3)]
    detected = [Request("detect", one.body, path="/v1/detect") for one in good[::4]]
    right = [*good, *forms, *detected]

    def choose(rng: random.Random) -> Request:
        return rng.choice(bad) if rng.random() < BAD_SHARE else rng.choice(right)

    with served(model) as (address, pid), ThreadPoolExecutor(1) as watcher:
        stop: list[bool] = []
        memory = watcher.submit(watch, pid, stop)
        found = run(address, right, MIXED_CLIENTS, seconds, choose)
        stop.append(True)
        sizes = memory.result()
    total = found.counts.total()
    print(f"{total} requests in {found.wall:.0f} s from {MIXED_CLIENTS} clients")
    for kind, count in sorted(found.counts.items()):
        print(f"  {kind}: {count}")
    p50, p99 = np.percentile(found.seconds, (50, 99)) * 1000
    print(f"good requests of files: p50 {p50:.0f} ms, p99 {p99:.0f} ms")
    places = np.linspace(0, len(sizes) - 1, 11).astype(int)
    shown = [f"{sizes[place]:.0f}" for place in places]
    print(f"memory in MB at each tenth of the time: {', '.join(shown)}")
    print(f"wrong answers: {len(found.failures)}")
    for text in found.failures[:10]:
        print(f"  {text}")
    return 1 if found.failures else 0


def watch(pid: int, stop: Sequence[bool]) -> list[float]:
    """Resident memory of a process in MB, every few seconds."""
    sizes = []
    while not stop:
        text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        [line] = [line for line in text.splitlines() if line.startswith("VmRSS")]
        sizes.append(int(line.split()[1]) / 1024)
        time.sleep(MEMORY_SECONDS)
    return sizes


def form_of(requests: Sequence[Request]) -> Request:
    """Several files in one form, with a bad one between them."""
    bodies = [requests[0].body, b"no sound", *(one.body for one in requests[1:])]
    labels = tuple(label for one in requests for label in one.labels)
    return Request("form", form(bodies), FORM, labels=labels)


def form(bodies: Sequence[bytes]) -> bytes:
    head = b'--b\r\nContent-Disposition: form-data; name="f"; filename="../%d.wav"\r\n\r\n'
    parts = [head % number + body + b"\r\n" for number, body in enumerate(bodies)]
    return b"".join(parts) + b"--b--\r\n"


def bad_requests(good: Sequence[Request]) -> list[Request]:
    """Requests of all kinds that must be refused."""
    rng = np.random.default_rng(0)
    silence = io.BytesIO()
    with soundfile.SoundFile(silence, "w", 44_100, 1, format="FLAC") as file:
        for _ in range(1200):
            file.write(np.zeros(44_100, np.int16))
    noise = rng.bytes(100_000)
    content = good[0].body
    return [
        Request("noise", noise, statuses=(422,)),
        Request("text", b"no sound at all", statuses=(422,)),
        Request("header alone", content[:40], statuses=(422,)),
        Request("damaged", content[:60] + noise, statuses=(200, 422)),
        Request("20 minutes of silence in a small file", silence.getvalue(), statuses=(413,)),
        Request("too large", bytes(17_000_000), statuses=(413,)),
        Request("no form", content, FORM, statuses=(400,)),
        Request("form of bad files", form([b"x", b"", noise]), FORM, statuses=(422,)),
        Request("too many files", form([b"x"] * 40), FORM, statuses=(413,)),
        Request("another type", b"{}", "application/json", statuses=(415,)),
        Request("invalid parameter", content, path="/v1/classify?top=x", statuses=(422,)),
        Request("no address", content, path="/v2/classify", statuses=(404,)),
    ]


if __name__ == "__main__":
    sys.exit(main())
