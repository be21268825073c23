"""What browsers are told that pages of other sites may do."""

from pathlib import Path

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app import create_app

BLOG = "https://blog.example.org"
LOCAL = "http://localhost:8000"
EVIL = "https://blog.example.org.evil.example"
ASK = "/generate?prefix=Wren&seed=5&length=3"
ALLOW = "Access-Control-Allow-Origin"


@pytest.fixture(scope="module")
def chosen(tiny_checkpoint: Path) -> FlaskClient:
    """Of a service with two chosen origins."""
    config = {"CHECKPOINT": str(tiny_checkpoint), "CORS_ORIGIN": f"{BLOG} | {LOCAL}"}
    return create_app(config).test_client()


def preflight(client: FlaskClient, origin: str, method: str, headers: str = "") -> TestResponse:
    asked = {"Origin": origin, "Access-Control-Request-Method": method}
    if headers:
        asked["Access-Control-Request-Headers"] = headers
    return client.options("/generate", headers=asked)


@pytest.mark.parametrize("headers", [{}, {"Origin": EVIL}, {"Origin": "null"}])
def test_anybody_may_read_what_a_get_answers(client: FlaskClient, headers: dict[str, str]) -> None:
    for path in (ASK, "/generate?top_p=2", "/healthz", "/nowhere"):
        answer = client.get(path, headers=headers)
        assert answer.headers.getlist(ALLOW) == ["*"]
        assert "Access-Control-Allow-Credentials" not in answer.headers
        assert "Vary" not in answer.headers


def test_anybody_may_neither_post_nor_use_a_key(client: FlaskClient) -> None:
    answer = client.post("/generate", json={"length": 1}, headers={"Origin": EVIL})
    assert answer.status_code == 200
    assert ALLOW not in answer.headers
    for headers in ("content-type", "authorization", "x-api-key"):
        answer = preflight(client, EVIL, "POST", headers)
        assert "Access-Control-Allow-Headers" not in answer.headers
    assert "POST" not in answer.headers.get("Access-Control-Allow-Methods", "")


@pytest.mark.parametrize("origin", [BLOG, LOCAL])
def test_a_chosen_origin_may_post_with_a_key(chosen: FlaskClient, origin: str) -> None:
    answer = preflight(chosen, origin, "POST", "authorization, content-type, x-other")
    assert answer.headers[ALLOW] == origin
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    assert answer.headers["Access-Control-Allow-Headers"] == "authorization, content-type"
    for answer in (
        chosen.get(ASK, headers={"Origin": origin}),
        chosen.post("/generate", json={"length": 1}, headers={"Origin": origin}),
        chosen.post("/generate", json={"length": 0}, headers={"Origin": origin}),
    ):
        assert answer.headers.getlist(ALLOW) == [origin]
        assert answer.headers["Vary"] == "Origin"
        assert "X-RateLimit-Remaining" in answer.headers["Access-Control-Expose-Headers"]


@pytest.mark.parametrize("origin", [EVIL, "null", "https://blogxexample.org", ""])
def test_no_other_origin_may_anything(chosen: FlaskClient, origin: str) -> None:
    headers = {"Origin": origin} if origin else {}
    answer = chosen.get(ASK, headers=headers)
    assert ALLOW not in answer.headers
    assert answer.headers["Vary"] == "Origin"  # a cache must not keep this for a chosen one
    assert ALLOW not in preflight(chosen, origin, "POST", "content-type").headers


def test_pages_are_for_nobody_elses_scripts(client: FlaskClient, chosen: FlaskClient) -> None:
    for one in (client, chosen):
        for path in ("/", "/story?seed=1&length=3", "/nowhere"):
            answer = one.get(path, headers={"Origin": BLOG, "Accept": "text/html"})
            assert answer.mimetype == "text/html"
            assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]


def test_empty_it_allows_nothing(tiny_checkpoint: Path) -> None:
    closed = create_app({"CHECKPOINT": str(tiny_checkpoint), "CORS_ORIGIN": ""}).test_client()
    for answer in (
        closed.get("/healthz", headers={"Origin": BLOG}),
        preflight(closed, BLOG, "POST", "content-type"),
    ):
        assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]
