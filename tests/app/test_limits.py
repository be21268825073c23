"""Rate limits and API keys, as clients meet them."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app import create_app
from app.settings import SettingsError

from .conftest import StartNginx, StartUwsgi

ALICE = "alices-key-of-16-letters"
BOB = "bobs-key-of-16-letters"


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text(f"alice {ALICE} 5/hour\nbob {BOB}\n")
    return path


@pytest.fixture
def make_client(tiny_checkpoint: Path) -> Any:
    """A client of a new app with settings."""

    def make(**settings: object) -> FlaskClient:
        return create_app({"CHECKPOINT": str(tiny_checkpoint), **settings}).test_client()

    return make


def ask(
    client: FlaskClient, address: str = "192.0.2.1", key: str | None = None, **query: object
) -> TestResponse:
    return client.get(
        "/generate",
        query_string={"length": 1, **query},
        environ_overrides={"REMOTE_ADDR": address},
        headers={"Authorization": f"Bearer {key}"} if key else {},
    )


def statuses(client: FlaskClient, times: int, **how: Any) -> list[int]:
    return [ask(client, **how).status_code for _ in range(times)]


def test_a_client_may_so_much_and_is_told(make_client: Any) -> None:
    client = make_client(RATE_LIMIT="3/hour; 100/day")
    for remaining in ("2", "1", "0"):
        answer = ask(client)
        assert answer.status_code == 200
        assert answer.headers["X-RateLimit-Limit"] == "3"
        assert answer.headers["X-RateLimit-Remaining"] == remaining
        assert 0 <= int(answer.headers["X-RateLimit-Reset"]) - time.time() <= 3601
        assert "Retry-After" not in answer.headers
    answer = ask(client)
    assert answer.status_code == 429
    assert answer.headers["X-RateLimit-Remaining"] == "0"
    assert 0 < int(answer.headers["Retry-After"]) <= 3600
    assert answer.get_json()["error"]["message"].startswith("no more than 3 per 1 hour")
    assert ask(client, "192.0.2.2").status_code == 200
    assert client.get("/healthz").status_code == 200


def test_every_way_of_asking_counts(make_client: Any) -> None:
    client = make_client(RATE_LIMIT="9/hour")
    completion = {"model": "run1", "prompt": "Wren", "max_tokens": 1}
    for answer in (
        client.post("/", data={"length": 1}),
        client.post("/v1/completions", json=completion),
        client.get("/?prefix=Wren&length=1"),
        client.get("/?sample=Wren&length=1&callback=f"),
        client.get("/generate?length=1&stream=true"),
        client.post("/generate", json={"length": 1}),
        client.post("/generate", data={"length": 1}),
        client.get("/story?length=1", headers={"Accept": "text/html"}),
        client.post("/story", data={"length": 1}, headers={"Accept": "text/html"}),
    ):
        assert answer.status_code in (200, 303)
    assert client.get("/generate?length=1&stream=true").status_code == 429
    refused = client.post("/v1/completions", json=completion)
    assert refused.status_code == 429
    assert refused.get_json()["error"]["code"] == "rate_limit_exceeded"
    assert int(refused.headers["Retry-After"]) > 0
    page = client.get("/story?length=1", headers={"Accept": "text/html,*/*;q=0.8"})
    assert page.status_code == 429
    assert page.mimetype == "text/html"
    assert int(page.headers["Retry-After"]) > 0
    assert client.get("/").status_code == 200


def test_samples_count_each_and_what_is_refused_does_not(make_client: Any) -> None:
    client = make_client(RATE_LIMIT="10/hour")
    assert ask(client, nsamples=8).status_code == 200
    assert ask(client, top_p=7).status_code == 400
    assert ask(client, nsamples=3).status_code == 429
    assert ask(client, nsamples=2).headers["X-RateLimit-Remaining"] == "0"


def test_likes_have_a_limit_of_their_own(make_client: Any) -> None:
    client = make_client(RATE_LIMIT="2/hour", LIKE_LIMIT="3/hour")
    first, second = (ask(client).get_json()["id"] for _ in range(2))
    for id, status in ((first, 200), (first, 200), ("0" * 12, 404), (second, 429)):
        answer = client.post(f"/stories/{id}/like", environ_overrides={"REMOTE_ADDR": "192.0.2.1"})
        assert answer.status_code == status
    assert client.post(f"/stories/{second}/like").status_code == 200


def test_more_than_a_limit_allows_is_the_whole_of_it(make_client: Any) -> None:
    client = make_client(RATE_LIMIT="2/hour")
    assert ask(client, nsamples=5).status_code == 200
    assert ask(client).status_code == 429


def test_many_at_once_get_no_more(make_client: Any) -> None:
    client = make_client(RATE_LIMIT="7/hour")
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda _: ask(client.application.test_client()).status_code, range(24))
        )
    assert sorted(answers) == [200] * 7 + [429] * 17


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("", "unix:", False),
    ],
)
def test_who_is_one_client(make_client: Any, one: str, other: str, same: bool) -> None:
    client = make_client(RATE_LIMIT="1/hour")
    assert ask(client, one).status_code == 200
    assert ask(client, one).status_code == 429
    assert ask(client, other).status_code == (429 if same else 200)


def test_nobody_names_his_own_address(make_client: Any) -> None:
    client = make_client(RATE_LIMIT="1/hour")
    for i, status in ((1, 200), (2, 429)):
        forged = {"X-Forwarded-For": f"203.0.113.{i}", "X-Real-IP": f"203.0.113.{i}"}
        assert client.get("/generate?length=1", headers=forged).status_code == status


def test_a_key_has_its_own_limit_wherever_it_is_used(make_client: Any, keys: Path) -> None:
    client = make_client(RATE_LIMIT="2/hour", API_KEYS=str(keys))
    assert statuses(client, 3) == [200, 200, 429]
    assert statuses(client, 5, key=ALICE) == [200] * 5
    assert ask(client, "192.0.2.9", key=ALICE).status_code == 429
    assert statuses(client, 3, key=BOB) == [200, 200, 429]  # everybody's limit, for himself
    header = {"X-API-Key": BOB}
    assert client.get("/generate?length=1", headers=header).status_code == 429


def test_an_unknown_key_is_refused(make_client: Any, keys: Path) -> None:
    unknown = "unknown-key-of-16-letters"
    client = make_client(API_KEYS=str(keys))
    answer = ask(client, key=unknown)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.get_json()["error"] == {"field": None, "message": "this API key is unknown"}
    header = {"Authorization": f"Bearer {unknown}"}
    answer = client.post("/v1/completions", json={"model": "run1"}, headers=header)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.get_json()["error"]["code"] == "invalid_api_key"
    assert ask(make_client(), key=unknown).status_code == 200  # where there are none, none is asked


def test_a_key_may_be_needed(make_client: Any, keys: Path) -> None:
    client = make_client(API_KEYS=str(keys), REQUIRE_KEY="true")
    answer = ask(client)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert ask(client, key=ALICE).status_code == 200
    keys.write_text("# nobody any more\n")
    assert ask(client, key=ALICE).status_code == 401


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RATE_LIMIT", "often"),
        ("RATE_LIMIT", "0/minute"),
        ("LIKE_LIMIT", "1/fortnight"),
        ("REQUIRE_KEY", "true"),
        ("API_KEYS", "/nonexistent/keys"),
        ("ADMIN_KEY", "short"),
        ("CORS_ORIGIN", "example.org"),
        ("CORS_ORIGIN", "https://*.example.org"),
        ("CORS_ORIGIN", "* | https://example.org"),
        ("LOG_FORMAT", "xml"),
    ],
)
def test_a_wrong_setting_is_named(make_client: Any, name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name}: "):
        make_client(**{name: value})


def test_clients_of_a_trusted_proxy_are_told_apart(
    start_uwsgi: StartUwsgi, start_nginx: StartNginx, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    unix_socket = tmp_path / "uwsgi.sock"
    start_uwsgi(tiny_checkpoint, unix_socket, RATE_LIMIT="1/hour")
    url = start_nginx(unix_socket, "set_real_ip_from 127.0.0.1;\n")
    forged = "198.51.100.7, "
    seen = [
        requests.get(
            f"{url}/generate?length=1",
            headers={"X-Forwarded-For": f"{forged}{address}"},
            timeout=60,
        ).status_code
        for address in ("203.0.113.1", "203.0.113.2", "203.0.113.1", "2001:db8::1", "2001:db8::2")
    ]
    assert seen == [200, 200, 429, 200, 429]
