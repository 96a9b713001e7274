"""Admission control: beyond a number of calls, or of bytes, a call is refused at once.

A call that waits without end is worse than one that is told to come back.
"""

from collections.abc import Iterator
from contextlib import contextmanager

# Weight of the newest call in the running mean of their seconds.
CALL_WEIGHT = 0.1
# Bodies of the largest size that may be in memory at once.
LARGEST_BODIES = 16


class OverloadedError(RuntimeError):
    """Too much in progress; `retry_after` says in how many seconds to come back."""

    def __init__(self, message: str, retry_after: int):
        super().__init__(message)
        self.retry_after = retry_after


class Admission:
    """Counts the calls in progress and the bytes of their bodies. For one event loop's use."""

    def __init__(self, max_calls: int, max_body_bytes: int):
        self.max_calls = max_calls
        self.max_bytes = max_body_bytes * LARGEST_BODIES
        self.calls = 0
        self.bytes = 0
        self.refused = 0
        self.closed = False
        self._mean_seconds = 1.0

    @property
    def full(self) -> bool:
        """Whether the next call would be refused."""
        return self.closed or self.calls >= self.max_calls

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Count a call while it lasts. Raises OverloadedError at once when there is no room."""
        if self.closed:
            self._refuse("the service is stopping")
        if self.calls >= self.max_calls:
            self._refuse(f"{self.calls} calls in progress (MAX_QUEUE)")
        self.calls += 1
        try:
            yield
        finally:
            self.calls -= 1

    @contextmanager
    def reserve(self, count: int) -> Iterator[None]:
        """Count a body of `count` bytes while it is in memory. Raises OverloadedError when there
        are too many; one body alone is always admitted."""
        if self.bytes + count > self.max_bytes and self.bytes:
            self._refuse(f"{self.bytes} bytes of questions in progress")
        self.bytes += count
        try:
            yield
        finally:
            self.bytes -= count

    def record(self, seconds: float) -> None:
        """A call was answered in this time: what Retry-After is estimated from."""
        self._mean_seconds += CALL_WEIGHT * (seconds - self._mean_seconds)

    def _refuse(self, why: str) -> None:
        self.refused += 1
        retry_after = max(1, min(60, round(self._mean_seconds)))
        raise OverloadedError(f"{why}; come back later", retry_after)
