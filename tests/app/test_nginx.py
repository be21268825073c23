"""The deployment: a real nginx in front of a real uWSGI, both as configured."""

import http.client
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from .conftest import StartUwsgi, seconds_of_a_stream

StartNginx = Callable[..., str]


@pytest.fixture(scope="module")
def unix_socket(
    start_uwsgi: StartUwsgi, busy_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("run") / "uwsgi.sock"
    start_uwsgi(busy_checkpoint, path)
    return path


@pytest.fixture(scope="module")
def url(start_nginx: StartNginx, unix_socket: Path) -> str:
    return start_nginx(unix_socket)


def test_a_story_and_a_page(url: str) -> None:
    query = {"prefix": "Wren", "seed": "4", "length": "20"}
    story = requests.get(f"{url}/", params=query, timeout=60)
    assert story.status_code == 200
    assert story.json()["text"].startswith("Wren")
    assert requests.post(f"{url}/generate", json={"seed": 1, "length": 5}, timeout=60).ok
    page = requests.get(f"{url}/story", params=query, timeout=60)
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert requests.get(f"{url}/healthz", timeout=60).json()["status"] == "ok"


def test_security_headers_are_sent_once_on_whatever_is_answered(url: str) -> None:
    paths = (
        "/",
        "/story?seed=1&length=3",
        "/healthz",
        "/nowhere",
        "/static/style.css",
        "/static/x",
    )
    for path in paths:
        connection = http.client.HTTPConnection(urlsplit(url).netloc)
        connection.request("GET", path, headers={"Accept": "text/html"})
        headers = connection.getresponse().headers
        for name in ("X-Content-Type-Options", "Content-Security-Policy", "Referrer-Policy"):
            assert len(headers.get_all(name, [])) == 1, (path, name)
        assert headers["Server"] == "nginx"


def test_assets_are_compressed_and_kept(url: str) -> None:
    page = requests.get(f"{url}/", timeout=60).text
    addresses = re.findall(r'(?:src|href)="(/static/[^"]+)"', page)
    assert len(addresses) >= 3
    for address in addresses:
        asset = requests.get(url + address, timeout=60)
        assert asset.status_code == 200
        assert asset.headers["Content-Encoding"] == "gzip"
        assert "max-age=31536000" in asset.headers["Cache-Control"]
    kinds = {requests.head(url + a, timeout=60).headers["Content-Type"] for a in addresses}
    assert any("javascript" in kind for kind in kinds)
    assert any("text/css" in kind for kind in kinds)


def test_events_are_passed_on_one_by_one(url: str) -> None:
    connection = http.client.HTTPConnection(urlsplit(url).netloc)
    connection.request("GET", "/generate?prefix=Wren&length=900&seed=2&end=token&stream=true")
    answer = connection.getresponse()
    assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    first = answer.read1()
    rest = answer.read()
    assert first.startswith(b"event: text\n")
    assert len(first) < 1000 < len(rest)
    assert b"event: done\n" in rest


def test_a_reader_who_leaves_frees_the_engine(url: str) -> None:
    assert seconds_of_a_stream(url, whole=False) < seconds_of_a_stream(url, whole=True) / 2


def test_large_bodies_are_refused_in_the_apps_words(url: str) -> None:
    answer = requests.post(f"{url}/generate", data=b"x" * 100_000, timeout=60)
    assert answer.status_code == 413
    assert answer.json()["error"]["message"]


def test_long_addresses_are_refused_in_the_apps_words(url: str) -> None:
    answer = requests.get(f"{url}/generate", params={"prefix": "a" * 20_000}, timeout=60)
    assert answer.status_code == 414
    assert answer.json()["error"]["message"]


def test_one_client_cannot_take_everything(start_nginx: StartNginx, unix_socket: Path) -> None:
    url = start_nginx(unix_socket)
    answers = [
        requests.get(f"{url}/", headers={"X-Forwarded-For": f"203.0.113.{i}"}, timeout=60)
        for i in range(80)
    ]
    assert {answer.status_code for answer in answers} == {200, 429}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json()["error"]["message"]
    assert int(refused.headers["Retry-After"]) > 0
    assert requests.get(f"{url}/healthz", timeout=60).status_code == 200


def test_behind_a_trusted_proxy_its_clients_count(
    start_nginx: StartNginx, unix_socket: Path
) -> None:
    url = start_nginx(unix_socket, "set_real_ip_from 127.0.0.1;\n")
    for i in range(80):
        client = {"X-Forwarded-For": f"198.51.100.9, 203.0.113.{i}"}
        assert requests.get(f"{url}/", headers=client, timeout=60).status_code == 200


def test_without_the_app_it_says_so(start_nginx: StartNginx, tmp_path: Path) -> None:
    url = start_nginx(tmp_path / "nobody.sock")
    answer = requests.get(f"{url}/", timeout=60)
    assert answer.status_code == 503
    assert answer.json()["error"]["message"]
    assert answer.headers["Retry-After"]


@pytest.mark.parametrize("form", [True, False])
def test_bodies_may_come_in_chunks(url: str, form: bool) -> None:
    body = b"prefix=Wren&length=3&seed=1" if form else b'{"prefix": "Wren", "length": 3, "seed": 1}'
    kind = "application/x-www-form-urlencoded" if form else "application/json"
    chunks = iter([body[:9], body[9:]])
    answer = requests.post(
        f"{url}/generate", data=chunks, headers={"Content-Type": kind}, timeout=60
    )
    assert answer.status_code == 200
    assert (answer.json()["prefix"], answer.json()["seed"]) == ("Wren", 1)
