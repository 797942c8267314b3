"""Metrics of the service for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
BATCHES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Counters of one service, in a registry of their own.

    Labels are routes and statuses, never text of a client, so their number is bounded.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "sonotype_requests", "Answered requests", ["route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "sonotype_request_seconds", "From the headers of a request to the end of its answer",
            ["route"], buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self.problems = Counter(
            "sonotype_problems", "Problems of requests and of single sounds", ["kind"],
            registry=self.registry,
        )  # fmt: skip
        self.sounds = Counter(
            "sonotype_sounds", "Sounds that were analysed", ["route"], registry=self.registry
        )
        self.sound_seconds = Counter(
            "sonotype_sound_seconds", "Length of the sounds that were analysed", ["route"],
            registry=self.registry,
        )  # fmt: skip
        self.batch_size = Histogram(
            "sonotype_batch_size", "Clips in a batch", buckets=BATCHES, registry=self.registry
        )
        self.working = self._gauge("sonotype_requests_at_work", "Requests at work")
        self.waiting = self._gauge("sonotype_clips_waiting", "Clips that wait for the network")
        self.body_bytes = self._gauge("sonotype_body_bytes", "Bytes of all bodies in memory")
        self.streams = self._gauge("sonotype_streams", "Open streams")
        ProcessCollector(registry=self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, registry=self.registry)

    def text(self) -> bytes:
        """All metrics in the text format of Prometheus."""
        return generate_latest(self.registry)
