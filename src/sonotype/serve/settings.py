"""Options of the service, with the limits that protect it. Nothing here imports numpy."""

from __future__ import annotations

from dataclasses import dataclass

from sonotype.config import option

MEGABYTE = 1_000_000

STREAM_PATH = "/v1/stream"

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """Where the service listens, and its limits."""

    host: str = option(
        LOOPBACK[0], "Address to listen on; 0.0.0.0 for all networks of the machine",
        metavar="ADDRESS", common=True,
    )  # fmt: skip
    port: int = option(8000, "Port to listen on; 0 for a free one", low=0, high=65_535, common=True)
    max_body: float = option(
        16.0, "Largest body of a request in MB", low=0.001, high=1024, metavar="MB", common=True
    )
    max_seconds: float = option(
        600.0, "Longest sound that is accepted", low=1, high=86_400, metavar="SECONDS", common=True
    )
    max_requests: int = option(
        16, "Requests at work at once; others are refused with status 429", low=1, high=1024,
        metavar="N", common=True,
    )  # fmt: skip
    timeout: float = option(
        60.0, "Seconds for a request after its body", low=0.1, high=3600, metavar="SECONDS",
        common=True,
    )  # fmt: skip
    body_timeout: float = option(
        20.0, "Seconds for the body of a request", low=0.1, high=3600, metavar="SECONDS"
    )
    max_files: int = option(32, "Sounds in one request", low=1, high=1024, metavar="N")
    max_ratio: float = option(
        200.0,
        "Largest ratio of a sound, decoded with 16 bits, to its file; longer than 60 s only",
        low=1, high=1e6,
    )  # fmt: skip
    max_streams: int = option(4, "Open streams", low=0, high=1024, metavar="N")
    max_stream_seconds: float = option(
        86_400.0, "Longest stream", low=1, high=1e7, metavar="SECONDS"
    )
    threads: int = option(
        0, "Threads for decoding and detection, and for the network of a model.onnx "
        "[default: one for each processor]",
        low=0, high=256, metavar="N",
    )  # fmt: skip
    batch_size: int = option(
        0, "Most clips in a batch [default: 1 for a model.onnx, else 8]", low=0, high=256,
        metavar="N",
    )  # fmt: skip
    batch_wait: float = option(
        2.0, "Longest time that a clip waits for a fuller batch", low=0, high=1000,
        metavar="MILLISECONDS",
    )  # fmt: skip

    @property
    def body_bytes(self) -> int:
        """Largest body in bytes."""
        return round(self.max_body * MEGABYTE)
