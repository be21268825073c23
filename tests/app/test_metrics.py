"""The metrics, as Prometheus reads them."""

from pathlib import Path

import pytest
import requests
from flask.testing import FlaskClient
from prometheus_client import generate_latest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families

from app import create_app
from app.metrics import Metrics, State
from engine import Checkpoint

from .conftest import StartUwsgi, wait_until

ADMIN = "the-operators-key"
HEADERS = {"Authorization": f"Bearer {ADMIN}"}


@pytest.fixture
def watched(tiny_checkpoint: Path) -> FlaskClient:
    return create_app({"CHECKPOINT": str(tiny_checkpoint), "ADMIN_KEY": ADMIN}).test_client()


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(client: FlaskClient, name: str, **labels: str) -> float:
    answer = client.get("/metrics", headers=HEADERS)
    assert answer.status_code == 200
    return samples(answer.text).get((name, frozenset(labels.items())), 0.0)


def test_without_an_operators_key_there_is_none(client: FlaskClient) -> None:
    for headers in ({}, HEADERS, {"Authorization": "Bearer "}):
        assert client.get("/metrics", headers=headers).status_code == 404


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer the-operators-kez"},
        {"Authorization": f"Basic {ADMIN}"},
        {"X-API-Key": f"{ADMIN} "[:-2]},
        {"X-API-Key": "é"},
    ],
)
def test_they_are_the_operators_alone(watched: FlaskClient, headers: dict[str, str]) -> None:
    answer = watched.get("/metrics", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.get_json()["error"]["message"]


def test_requests_are_counted_by_route_and_status(watched: FlaskClient) -> None:
    for path in ("/generate?length=2&seed=1", "/generate?length=2&seed=2", "/generate?top_p=7"):
        watched.get(path, buffered=True)
    for method in ("GET", "BREW", "PURGE"):
        watched.open("/no/where", method=method, buffered=True)
        watched.open(f"/no/{method}", method=method, buffered=True)
    name = "http_requests_total"
    route = {"method": "GET", "endpoint": "api.generate"}
    assert value(watched, name, **route, status="200") == 2
    assert value(watched, name, **route, status="400") == 1
    assert value(watched, name, method="GET", endpoint="none", status="404") == 2
    assert value(watched, name, method="other", endpoint="none", status="404") == 4
    assert value(watched, "http_request_duration_seconds_count", **route) == 3
    assert value(watched, "http_request_duration_seconds_sum", **route) > 0


def test_a_stream_counts_when_it_ends(watched: FlaskClient) -> None:
    count = {"method": "GET", "endpoint": "api.generate", "status": "200"}
    answer = watched.get("/generate?length=9&stream=true")
    assert next(answer.iter_encoded())
    assert value(watched, "http_requests_total", **count) == 0
    answer.close()
    assert value(watched, "http_requests_total", **count) == 1


def test_the_gauges_are_of_the_moment(tiny_checkpoint: Path) -> None:
    app = create_app({"CHECKPOINT": str(tiny_checkpoint), "ADMIN_KEY": ADMIN})
    client = app.test_client()
    identity = Checkpoint(tiny_checkpoint).identity
    assert value(client, "story_model_info", identity=identity) == 0
    client.get("/generate?length=2")
    assert value(client, "story_model_info", identity=identity) == 1
    assert value(client, "story_requests_running") == 0


def test_a_state_is_read_at_each_scrape() -> None:
    states = iter([State(3, 1, 90.0, 0, 0.0, None), State(4, 2, 80.5, 3, 4.5, "0123456789abcdef")])
    metrics = Metrics()
    metrics.watch(lambda: next(states))
    first, second = (samples(generate_latest(metrics.registry).decode()) for _ in range(2))
    assert first["story_requests_running", frozenset()] == 1
    assert first["story_batch_size", frozenset()] == 3
    assert second["story_requests_running", frozenset()] == 2
    assert second["story_requests_waiting", frozenset()] == 3
    assert second["story_tokens_per_second", frozenset()] == 80.5
    assert second["story_wait_seconds", frozenset()] == 4.5
    model = ("story_model_info", frozenset({("identity", "0123456789abcdef")}))
    assert model not in first
    assert second[model] == 1


def test_stories_and_their_tokens_are_counted(watched: FlaskClient) -> None:
    query = "length=4&seed=1&end=token"
    story = watched.get(f"/generate?prefix=Wren+and&{query}&nsamples=3").get_json()
    watched.get(f"/generate?{query}&stream=true", buffered=True)
    written = [*story["samples"], watched.get(f"/generate?{query}").get_json()]
    for reason in ("stop", "length"):
        count = sum(sample["finish_reason"] == reason for sample in [*written, written[-1]])
        assert value(watched, "stories_total", finish_reason=reason) == count
    tokens = sum(sample["tokens"] for sample in [*written, written[-1]])
    assert value(watched, "story_tokens_total", kind="generated") == tokens
    assert value(watched, "story_tokens_total", kind="prompt") > 0
    assert value(watched, "story_queue_seconds_count") == 3
    assert value(watched, "story_duration_seconds_count") == 3
    assert value(watched, "story_first_token_seconds_count") == 5


def test_drafts_that_the_gate_refused_are_counted(tiny_checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "words").write_text("\n".join("abcdefghijklmnopqrstuvwxyz"))
    config = {"CHECKPOINT": str(tiny_checkpoint), "ADMIN_KEY": ADMIN}
    client = create_app({**config, "BLOCKED_WORDS": str(tmp_path / "words")}).test_client()
    attempts = [client.get("/generate?length=200").get_json()["attempts"] for _ in range(5)]
    answer = client.get("/metrics", headers=HEADERS)
    resets = sum(v for (name, _), v in samples(answer.text).items() if name == "story_resets_total")
    assert resets == sum(attempts) - 5


def test_who_finds_the_queue_full_is_counted(tiny_checkpoint: Path) -> None:
    config = {"CHECKPOINT": str(tiny_checkpoint), "ADMIN_KEY": ADMIN, "MAX_BATCH": "1"}
    client = create_app({**config, "MAX_WAIT": "0.001"}).test_client()
    stream = client.get("/generate?length=1000&stream=true")  # not read: it keeps its place
    assert client.get("/generate?length=1").status_code == 429
    assert value(client, "story_rejections_total", reason="full") == 1
    assert value(client, "story_requests_running") == 1
    stream.close()
    assert value(client, "story_requests_running") == 0


def test_a_refusal_by_a_limit_is_counted(tiny_checkpoint: Path) -> None:
    config = {"CHECKPOINT": str(tiny_checkpoint), "ADMIN_KEY": ADMIN, "RATE_LIMIT": "1/hour"}
    client = create_app(config).test_client()
    assert [client.get("/generate?length=1").status_code for _ in range(3)] == [200, 429, 429]
    assert value(client, "story_rejections_total", reason="limit") == 2


def test_openmetrics_where_it_is_asked_for(watched: FlaskClient) -> None:
    accept = "application/openmetrics-text; version=1.0.0"
    answer = watched.get("/metrics", headers={**HEADERS, "Accept": accept})
    assert answer.mimetype == "application/openmetrics-text"
    families = {family.name: family for family in parse_openmetrics(answer.text)}
    assert families["http_requests"].type == "counter"
    assert families["http_request_duration_seconds"].type == "histogram"
    assert all(family.documentation for family in families.values())


def test_under_uwsgi(start_uwsgi: StartUwsgi, tiny_checkpoint: Path) -> None:
    server = start_uwsgi(tiny_checkpoint, ADMIN_KEY=ADMIN)
    stream = requests.get(f"{server.url}/generate?length=5&stream=true", timeout=60)
    assert stream.status_code == 200
    asset = requests.get(f"{server.url}/static/style.css", timeout=60)
    assert asset.status_code == 200

    def scraped() -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        answer = requests.get(f"{server.url}/metrics", headers=HEADERS, timeout=60)
        assert answer.headers["Content-Type"].startswith("text/plain")
        return samples(answer.text)

    def count(endpoint: str) -> float:
        labels = {"method": "GET", "endpoint": endpoint, "status": "200"}
        return scraped().get(("http_requests_total", frozenset(labels.items())), 0)

    wait_until(lambda: count("api.generate") == count("static") == 1)
    resident = scraped()["process_resident_memory_bytes", frozenset()]
    assert resident > 10_000_000
