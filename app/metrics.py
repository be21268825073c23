"""What the service counts, for Prometheus."""

import hmac
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from flask import Flask, Response, request
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from pydantic import SecretStr
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Unauthorized

from app.finished import Finished
from app.keys import offered_key

_METHODS = {"GET", "HEAD", "POST", "OPTIONS"}
# Seconds: from a page to a story that waited long.
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100)


@dataclass(frozen=True)
class State:
    """What the service is doing now."""

    stories: int
    """Stories that are being written: the engine's batch."""
    running: int
    """Requests that they are for."""
    speed: float
    """Tokens that are drawn in a second, all stories together."""
    waiting: int
    """Requests in the queue."""
    wait: float
    """Estimated seconds that a new request would wait."""
    model: str | None
    """Identity of the model that is served; None before there is one."""


class Metrics:
    """One app's counters and histograms. Label values are in the order of the names."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._requests = Counter(
            "http_requests",
            "Requests, counted when they are over.",
            ["method", "endpoint", "status"],
            registry=registry,
        )
        self._request_seconds = Histogram(
            "http_request_duration_seconds",
            "Time from a request's arrival to its answer's end.",
            ["method", "endpoint"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self.stories = Counter("stories", "Stories written.", ["finish_reason"], registry=registry)
        self.tokens = Counter(
            "story_tokens",
            "Tokens of stories; kind is prompt or generated.",
            ["kind"],
            registry=registry,
        )
        self.resets = Counter(
            "story_resets",
            "Drafts that the gate refused, so that the story was drawn anew.",
            ["reason"],
            registry=registry,
        )
        self.rejections = Counter(
            "story_rejections",
            "Requests refused for now; reason is full, deadline, stopping or limit.",
            ["reason"],
            registry=registry,
        )
        self.queue_seconds = Histogram(
            "story_queue_seconds",
            "Time from a request's entering the queue to its turn.",
            buckets=_BUCKETS,
            registry=registry,
        )
        self.first_token_seconds = Histogram(
            "story_first_token_seconds",
            "Time from a request's turn to its first token.",
            buckets=_BUCKETS,
            registry=registry,
        )
        self.story_seconds = Histogram(
            "story_duration_seconds",
            "Time from a request's turn to the end of its stories.",
            buckets=_BUCKETS,
            registry=registry,
        )
        ProcessCollector(registry=registry)

    def watch(self, read: Callable[[], State]) -> None:
        """Shows what read returns at each scrape."""
        self.registry.register(_StateCollector(read))

    def count_finished(self, finished: Finished) -> None:
        """Counts a request that is over."""
        # Strangers invent addresses and methods: not every one may be a label.
        method = finished.method if finished.method in _METHODS else "other"
        endpoint = finished.endpoint or "none"
        self._requests.labels(method, endpoint, str(finished.status)).inc()
        self._request_seconds.labels(method, endpoint).observe(finished.seconds)


class _StateCollector(Collector):
    def __init__(self, read: Callable[[], State]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        state = self._read()
        yield GaugeMetricFamily(
            "story_batch_size", "Stories that are being written.", value=state.stories
        )
        yield GaugeMetricFamily(
            "story_requests_running",
            "Requests whose stories are being written.",
            value=state.running,
        )
        yield GaugeMetricFamily(
            "story_tokens_per_second",
            "Tokens that are being drawn in a second, all stories together.",
            value=state.speed,
        )
        yield GaugeMetricFamily(
            "story_requests_waiting", "Requests in the queue.", value=state.waiting
        )
        yield GaugeMetricFamily(
            "story_wait_seconds",
            "Time that a new request would wait in the queue, estimated.",
            value=state.wait,
        )
        if state.model:
            yield InfoMetricFamily(
                "story_model", "The model that is served.", value={"identity": state.model}
            )


def offer_metrics(app: Flask, metrics: Metrics, admin_key: SecretStr | None) -> None:
    """Adds /metrics, for who has the operator's key; nothing where there is none."""
    if admin_key is None:
        return
    secret = admin_key.get_secret_value().encode()

    @app.get("/metrics")
    def scrape() -> Response:
        """The metrics in Prometheus' text format, or as OpenMetrics where that is asked for."""
        if not hmac.compare_digest((offered_key() or "").encode(), secret):
            bearer = WWWAuthenticate("bearer")
            raise Unauthorized("the operator's key is needed", www_authenticate=bearer)
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return Response(
            encode(metrics.registry),
            content_type=content_type,
            headers={"Cache-Control": "no-store"},
        )
