"""Figures for Prometheus: `GET /metrics`.

prometheus_client comes with vLLM. The registry is this service's own, so that vLLM's metrics, or a
second service in the same process, do not collide with it.
"""

from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily

from serving.batch_record import BatchRecord

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LATENCY_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 240, 330, 360)
BATCH_SIZES = (1, 2, 8, 32, 128, 512, 2048, 8192, 32768)


class Metrics:
    """The figures of one service.

    gauges: called at each scrape, returns the figures of that moment by name.
    """

    def __init__(self, gauges: Callable[[], dict[str, float]]):
        self._registry = CollectorRegistry()
        self._gauges = gauges
        self._registry.register(self)
        self._responses = Counter(
            "serving_responses",
            "Answers of POST /predict by status",
            ["status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "serving_predict_seconds",
            "Seconds of an answered call",
            registry=self._registry,
            buckets=LATENCY_S,
        )
        self._size = Histogram(
            "serving_batch_questions",
            "Questions of a call",
            registry=self._registry,
            buckets=BATCH_SIZES,
        )
        self._tokens = Counter(
            "serving_tokens", "Tokens read and written", ["kind"], registry=self._registry
        )
        self._ended = Counter(
            "serving_answers", "Answers by how they ended", ["reason"], registry=self._registry
        )

        self._draws = Counter(
            "serving_draws",
            "Further draws (ANSWER_DRAWS) that took part, and answers that they changed",
            ["result"],
            registry=self._registry,
        )

    def response(self, status: int) -> None:
        """A reply of POST /predict; 499 stands for a client that left."""
        self._responses.labels(str(status)).inc()

    def batch(self, record: BatchRecord) -> None:
        """An answered call."""
        self._seconds.observe(record.seconds)
        self._size.observe(record.questions)
        self._tokens.labels("prompt").inc(record.prompt_tokens)
        self._tokens.labels("answer").inc(record.tokens)
        self._tokens.labels("draw").inc(record.draw_tokens)
        self._draws.labels("voted").inc(record.draws)
        self._draws.labels("changed the answer").inc(record.changed)
        for reason in ("stop", "length", "repeat", "cut", "failed", "blank"):
            self._ended.labels(reason).inc(getattr(record, reason))

    def collect(self) -> Iterable[Any]:
        """The gauges, for prometheus_client's registry."""
        for name, value in self._gauges().items():
            yield GaugeMetricFamily(f"serving_{name}", name.replace("_", " "), value=value)

    def describe(self) -> Iterable[Any]:
        """Nothing in advance: the gauges are known at the scrape."""
        return []

    def text(self) -> bytes:
        """The page of `GET /metrics`."""
        return generate_latest(self._registry)
