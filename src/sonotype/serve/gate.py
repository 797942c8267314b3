"""Back-pressure: how many requests are at work, and how many bytes their bodies have.

A request that does not fit is refused at once; nothing waits in a queue that grows. All methods
are called in the thread of the event loop.
"""

from __future__ import annotations

from sonotype.serve.problems import ProblemError

BUSY = "all {most} places for requests are taken; send the request again later"
BODIES = "the bodies of other requests fill the memory for bodies; send the request again later"


class Gate:
    """Counts requests at work and bytes of bodies.

    A request takes a place only when its body is complete, so clients that send slowly take none.

    Args:
        most: requests at work at once.
        most_bytes: of all bodies.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        self.most, self.most_bytes = most, most_bytes
        self.working = self.bytes = 0

    def check(self) -> None:
        """Raise ``too-many-requests`` if no place is free; called before a body is read."""
        if self.working >= self.most:
            raise ProblemError("too-many-requests", BUSY.format(most=self.most))


class Lease:
    """The bytes and the place of one request; :meth:`release` gives them back."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._bytes, self._works = 0, False

    def add(self, size: int) -> None:
        """Count bytes of the body.

        Raises:
            ProblemError: ``too-many-requests``, the bodies of all requests are too large together.
        """
        if self._gate.bytes + size > self._gate.most_bytes:
            raise ProblemError("too-many-requests", BODIES)
        self._gate.bytes += size
        self._bytes += size

    def start(self) -> None:
        """Take a place.

        Raises:
            ProblemError: ``too-many-requests``.
        """
        self._gate.check()
        self._gate.working += 1
        self._works = True

    def release(self) -> None:
        """Give everything back; a second call does nothing."""
        self._gate.bytes -= self._bytes
        self._gate.working -= self._works
        self._bytes, self._works = 0, False
