"""What the scheduler holds: requests, the queues they wait in, and groups of those to retry."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from serving.engine.base import Answer, Batch, FinishReason
from serving.engine.repetition import RepetitionWatch


@dataclass(eq=False)
class Request:
    """One prompt of a batch on its way through the engine."""

    batch: Batch
    index: int
    watch: RepetitionWatch | None = None  # of the running attempt; None: it may repeat itself

    def finish(self, answer: Answer) -> None:
        """Record its answer."""
        self.batch.finish(self.index, answer)

    @property
    def cut_reason(self) -> FinishReason:
        """Why it ends unfinished: at its deadline, or because its caller is gone."""
        return "cancelled" if self.batch.cancelled else "deadline"

    @property
    def longest(self) -> int:
        """Tokens that its answer may have."""
        return self.batch.max_tokens[self.index]


@dataclass
class RetryGroup:
    """Requests that run together after a failure, and how often they have failed together."""

    requests: list[Request]
    failures: int = 0


class Queues:
    """Requests that wait: one queue a call, so that calls take turns."""

    def __init__(self) -> None:
        self._queues: dict[object, deque[Request]] = {}  # in the order of their turns

    def __len__(self) -> int:
        return sum(map(len, tuple(self._queues.values())))  # asked from other threads, too

    def __bool__(self) -> bool:
        return bool(self._queues)

    def __iter__(self) -> Iterator[Request]:
        return (request for queue in self._queues.values() for request in queue)

    def of(self, call: object) -> int:
        """How many requests of a call wait."""
        return len(self._queues.get(call, ()))

    def add(self, request: Request) -> None:
        """Behind those of its call."""
        self._queues.setdefault(request.batch.call, deque()).append(request)

    def add_first(self, request: Request) -> None:
        """Before those of its call."""
        self._queues.setdefault(request.batch.call, deque()).appendleft(request)

    def next(self) -> Request:
        """The head of the first call's queue; that call then goes to the end."""
        call = next(iter(self._queues))
        queue = self._queues.pop(call)
        request = queue.popleft()
        if queue:
            self._queues[call] = queue
        return request

    def release(self, count: int) -> list[Request]:
        """Take up to `count` requests out, the last ones first."""
        released: list[Request] = []
        for call in reversed(list(self._queues)):
            queue = self._queues[call]
            while queue and len(released) < count:
                released.append(queue.pop())
            if not queue:
                del self._queues[call]
        return released

    def take_late(self, now: float) -> list[Request]:
        """Take out all of the calls whose deadline has come. All that a call has in here have one
        deadline, so the first of its queue tells."""
        late = [c for c, queue in self._queues.items() if queue[0].batch.deadline <= now]
        return [request for call in late for request in self._queues.pop(call)]

    def clear(self) -> None:
        """Forget them all."""
        self._queues.clear()
