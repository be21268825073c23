"""Which addresses anybody may use. A new route fails here until it is listed as public, or needs a
key where keys are needed."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from app import create_app
from app.library import StoredStory

# What is only read, and likes.
PUBLIC = {
    ("GET", "/"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/openapi.json"),
    ("GET", "/docs"),
    ("GET", "/stories/<id>"),
    ("POST", "/stories/<id>/like"),
    ("GET", "/s/<string(length=12):id>"),
    ("GET", "/s/<string(length=12):id>.png"),
    ("POST", "/s/<string(length=12):id>/like"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/<name>"),
    ("GET", "/static/<path:filename>"),
}
# What is no route of its own, or would be refused for another reason: a correct request for it.
REQUESTS: dict[tuple[str, str], list[dict[str, Any]]] = {
    ("GET", "/"): [{"query_string": {"prefix": "Wren"}}, {"query_string": {"sample": "Wren"}}],
    ("POST", "/"): [{"data": {"prefix": "Wren"}}],
    ("POST", "/story"): [{"data": {"prefix": "Wren"}}],
    ("POST", "/v1/completions"): [{"json": {"model": "run1"}}],
    ("POST", "/generate"): [{"json": {}}, {"data": {"prefix": "Wren"}}],
}
STORY = StoredStory(
    id="0123456789ab",
    created=datetime.now(UTC),
    model="0123456789abcdef",
    prefix="Wren",
    text=" runs.",
    seed=1,
    tokens=2,
    finish_reason="stop",
    attempts=1,
    copied=None,
    parameters={"length": 5},
)


@pytest.fixture(scope="module")
def app(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Flask:
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text("alice alices-key-of-16-letters\n")
    return create_app(
        {
            "CHECKPOINT": str(tiny_checkpoint),
            "API_KEYS": str(keys),
            "REQUIRE_KEY": "true",
            "ADMIN_KEY": "the-operators-key",
        }
    )


def routes(app: Flask) -> set[tuple[str, str]]:
    return {
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }


def test_what_is_not_public_needs_a_key(app: Flask) -> None:
    assert routes(app) >= PUBLIC, "a public route is gone: take it from the list"
    app.extensions["service"].library.save([STORY])
    client = app.test_client()
    for method, rule in sorted(routes(app)):
        known = REQUESTS.get((method, rule), [])
        if (method, rule) not in PUBLIC and not known:
            known = [{}]
        for request in known:
            address = rule.replace("<string(length=12):id>", STORY.id)
            answer = client.open(address, method=method, **request)
            assert answer.status_code == 401, (method, rule, request)
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_what_is_public_needs_none(app: Flask) -> None:
    client = app.test_client()
    for method, rule in PUBLIC:
        answer = client.open(rule, method=method)
        assert answer.status_code in (200, 404), (method, rule)
