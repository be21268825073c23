"""The deployment: a real nginx in front of a real uWSGI, both as configured."""

import http.client
import json
import re
import socket
import ssl
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from .conftest import StartNginx, StartUwsgi, free_port, seconds_of_a_stream, wait_until

ROOT = Path(__file__).parents[2]


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
    assert f'property="og:url" content="{page.url}"' in page.text
    assert page.url.startswith(f"{url}/s/")
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


def raw(url: str, request: bytes) -> http.client.HTTPResponse:
    """The answer to what no HTTP library would send."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname or "", address.port or 80)) as connection:
        connection.sendall(request)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        answer.read_body = answer.read()  # type: ignore[attr-defined]
        return answer


@pytest.mark.parametrize(
    ("status", "request_line", "headers"),
    [
        (400, "no HTTP at all", ""),
        (400, "GET / HTTP/1.1", "Host: two\r\nHost: hosts\r\n"),
        (403, "GET /static/ HTTP/1.1", "Host: x\r\n"),
        (404, "GET /static/none HTTP/1.1", "Host: x\r\n"),
        (404, "GET /error HTTP/1.1", "Host: x\r\n"),
        (405, "POST /static/style.css HTTP/1.1", "Host: x\r\n"),
        (405, "TRACE / HTTP/1.1", "Host: x\r\n"),
        (413, "POST /generate HTTP/1.1", "Host: x\r\nContent-Length: 300000\r\n"),
        (414, f"GET /generate?prefix={'a' * 20_000} HTTP/1.1", "Host: x\r\n"),
        (431, "GET / HTTP/1.1", f"Host: x\r\nCookie: {'a' * 20_000}\r\n"),
        (501, "POST / HTTP/1.1", "Host: x\r\nTransfer-Encoding: unheard-of\r\n"),
        (505, "GET / HTTP/4.2", "Host: x\r\n"),
    ],
)
def test_what_nginx_refuses_it_refuses_in_the_apps_words(
    url: str, status: int, request_line: str, headers: str
) -> None:
    answer = raw(url, f"{request_line}\r\n{headers}\r\n".encode())
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/json"
    error = json.loads(answer.read_body)["error"]  # type: ignore[attr-defined]
    assert error["field"] is None
    assert error["message"]
    expected = {
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
        "Referrer-Policy": "same-origin",
        "Access-Control-Allow-Origin": "*",
        "Server": "nginx",
    }
    assert {name: answer.headers.get_all(name) for name in expected} == {
        name: [value] for name, value in expected.items()
    }
    assert ("Allow" in answer.headers) == (status == 405)


def test_the_logs_have_no_text_that_anybody_typed(start_nginx: StartNginx, tmp_path: Path) -> None:
    log = tmp_path / "nginx.log"
    url = start_nginx(tmp_path / "nobody.sock", log=log)
    for _ in range(80):  # until it is too many
        requests.get(f"{url}/generate", params={"prefix": "confidential"}, timeout=60)
    raw(url, f"GET /generate?prefix={'confidential' * 2000} HTTP/1.1\r\n\r\n".encode())
    text = log.read_text()
    for status in (429, 503):
        assert re.search(rf"127.0.0.1 \[.*\] GET /generate {status} .* [0-9a-f]{{32}}\n", text)
    assert "confidential" not in text


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


def test_all_addresses_of_an_ipv6_network_are_one_client(
    start_nginx: StartNginx, unix_socket: Path
) -> None:
    url = start_nginx(unix_socket, "set_real_ip_from 127.0.0.1;\n")

    def statuses(addresses: list[str]) -> set[int]:
        headers = [{"X-Forwarded-For": address} for address in addresses]
        return {requests.get(f"{url}/", headers=h, timeout=60).status_code for h in headers}

    assert statuses([f"2001:db8:0:a::{i:x}" for i in range(80)]) == {200, 429}
    assert statuses([f"2001:db8:0:{i:x}::1" for i in range(16, 96)]) == {200}


def assert_it_says_when_to_return(answer: requests.Response, status: int) -> None:
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json()["error"]["message"]
    assert int(answer.headers["Retry-After"]) > 0


def test_without_the_app_it_says_so(start_nginx: StartNginx, tmp_path: Path) -> None:
    url = start_nginx(tmp_path / "nobody.sock")
    assert_it_says_when_to_return(requests.get(f"{url}/", timeout=60), 503)


@pytest.fixture
def silent_app(tmp_path: Path) -> Iterator[socket.socket]:
    """A Unix socket behind which nobody answers."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "silent.sock"))
        yield listening


def test_all_clients_together_get_no_more_than_the_app_has_threads_for(
    start_nginx: StartNginx, silent_app: socket.socket
) -> None:
    silent_app.listen(200)
    silent_app.settimeout(60)
    url = start_nginx(Path(silent_app.getsockname()), "set_real_ip_from 127.0.0.1;\n")
    threads = int(re.findall(r"^threads = (\d+)$", (ROOT / "uwsgi.ini").read_text(), re.M)[0])
    with ExitStack() as open_ones:
        for i in range(150):
            client = open_ones.enter_context(
                socket.create_connection(("127.0.0.1", urlsplit(url).port or 0))
            )
            client.sendall(
                f"GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.{i}\r\n\r\n".encode()
            )
            open_ones.enter_context(silent_app.accept()[0])
        assert threads > 150
        assert_it_says_when_to_return(requests.get(f"{url}/", timeout=60), 429)
        health = open_ones.enter_context(
            socket.create_connection(("127.0.0.1", urlsplit(url).port or 0))
        )
        health.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        open_ones.enter_context(silent_app.accept()[0])  # there is always room for that


def test_who_finds_no_place_in_the_apps_listen_queue_is_told_to_return(
    start_nginx: StartNginx, silent_app: socket.socket
) -> None:
    silent_app.listen(0)
    url = start_nginx(Path(silent_app.getsockname()))
    with socket.socket(socket.AF_UNIX) as first:
        first.connect(silent_app.getsockname())
        assert_it_says_when_to_return(requests.get(f"{url}/", timeout=60), 503)


def test_each_request_gets_an_id_that_nobody_can_choose(
    start_nginx: StartNginx, silent_app: socket.socket, tmp_path: Path
) -> None:
    silent_app.listen()
    silent_app.settimeout(60)
    log = tmp_path / "nginx.log"
    url = start_nginx(Path(silent_app.getsockname()), log=log)
    with socket.create_connection(("127.0.0.1", urlsplit(url).port or 0)) as visitor:
        visitor.sendall(b"GET / HTTP/1.0\r\nX-Request-ID: chosen\r\n\r\n")
        with silent_app.accept()[0] as asked:
            passed_on = asked.recv(65536)
            asked.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
        answer = http.client.HTTPResponse(visitor)
        answer.begin()
    assert b"chosen" not in passed_on
    (request_id,) = re.findall(rb"HTTP_X_REQUEST_ID\x20\x00([0-9a-f]{32})", passed_on)
    assert answer.headers.get_all("X-Request-ID") == [request_id.decode()]
    wait_until(lambda: "GET / 200 (app: 200) 0 bytes" in log.read_text())
    assert request_id.decode() in log.read_text()


def test_when_the_app_is_told_to_end_stories_are_finished_and_others_told_to_return(
    start_uwsgi: StartUwsgi, start_nginx: StartNginx, busy_checkpoint: Path, tmp_path: Path
) -> None:
    server = start_uwsgi(busy_checkpoint, tmp_path / "uwsgi.sock", MAX_BATCH="16", MAX_WAIT="60")
    url = start_nginx(tmp_path / "uwsgi.sock")
    query = {"length": "900", "nsamples": "16", "seed": "2", "end": "token", "stream": "true"}
    with (
        ThreadPoolExecutor(1) as pool,
        requests.get(f"{url}/generate", params=query, stream=True, timeout=60) as story,
    ):
        lines = story.iter_lines(chunk_size=1)
        assert next(lines) == b"event: text"
        in_line = pool.submit(requests.get, f"{url}/generate", timeout=60)
        wait_until(lambda: requests.get(f"{url}/healthz", timeout=60).json()["waiting"] == 1)
        server.process.terminate()
        assert_it_says_when_to_return(in_line.result(), 503)
        wait_until(lambda: not requests.get(f"{url}/healthz", timeout=60).ok)
        assert_it_says_when_to_return(requests.get(f"{url}/", timeout=60), 503)
        assert b"event: done" in list(lines)
    assert server.process.wait(60) == 0


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


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As certbot leaves them, but signed by nobody."""
    folder = tmp_path_factory.mktemp("certificates")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        + [
            "-nodes",
            "-days",
            "1",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
        ]
        + ["-keyout", folder / "privkey.pem", "-out", folder / "fullchain.pem"],
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture(scope="module")
def public(
    start_nginx: StartNginx, unix_socket: Path, certificates: Path, tmp_path_factory
) -> dict[str, str]:
    """URLs of the service over HTTPS, over HTTP where a domain leads, and over plain HTTP."""
    ports = {8081: free_port(), 8443: free_port()}
    challenges = tmp_path_factory.mktemp("acme")
    (challenges / ".well-known" / "acme-challenge").mkdir(parents=True)
    (challenges / ".well-known" / "acme-challenge" / "token").write_text("proof")
    plain = start_nginx(unix_socket, ports=ports, certificates=certificates, challenges=challenges)
    return {
        "https": f"https://localhost:{ports[8443]}",
        "http": f"http://localhost:{ports[8081]}",
        "plain": plain,
        "trusted": str(certificates / "fullchain.pem"),
    }


def test_https_serves_the_same_and_asks_to_be_kept_to(public: dict[str, str]) -> None:
    for path in ("/", "/generate?seed=1&length=3", "/static/style.css", "/static/none"):
        secure = requests.get(public["https"] + path, verify=public["trusted"], timeout=60)
        plain = requests.get(public["plain"] + path, timeout=60)
        assert secure.content == plain.content
        assert secure.headers["Strict-Transport-Security"] == "max-age=63072000"
        assert "Strict-Transport-Security" not in plain.headers
        assert set(secure.headers) == {*plain.headers, "Strict-Transport-Security"}


def test_http_leads_to_https(public: dict[str, str]) -> None:
    for path in ("/", "/story?prefix=Wren%20and&seed=1", "/.well-known/security.txt"):
        answer = requests.get(public["http"] + path, allow_redirects=False, timeout=60)
        assert answer.status_code == 308
        assert answer.headers["Location"] == f"https://localhost{path}"
        assert "Strict-Transport-Security" not in answer.headers
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_the_certificate_authoritys_question_is_answered_over_http(public: dict[str, str]) -> None:
    url = f"{public['http']}/.well-known/acme-challenge"
    assert requests.get(f"{url}/token", allow_redirects=False, timeout=60).text == "proof"
    missing = requests.get(f"{url}/none", allow_redirects=False, timeout=60)
    assert missing.status_code == 404
    assert missing.json()["error"]["message"]


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1:DeprecationWarning")
@pytest.mark.parametrize(
    ("version", "cipher", "accepted"),
    [
        (ssl.TLSVersion.TLSv1_3, None, True),
        (ssl.TLSVersion.TLSv1_2, None, True),
        (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES256-SHA384", False),  # CBC
        (ssl.TLSVersion.TLSv1_1, "DEFAULT@SECLEVEL=0", False),
    ],
)
def test_old_tls_is_refused(
    public: dict[str, str], version: ssl.TLSVersion, cipher: str | None, accepted: bool
) -> None:
    context = ssl.create_default_context(cafile=public["trusted"])
    context.set_alpn_protocols(["h2", "http/1.1"])
    context.minimum_version = context.maximum_version = version
    if cipher:
        context.set_ciphers(cipher)
    port = urlsplit(public["https"]).port or 0
    with socket.create_connection(("localhost", port)) as connection:
        try:
            with context.wrap_socket(connection, server_hostname="localhost") as secure:
                assert secure.selected_alpn_protocol() == "h2"
                assert accepted
        except ssl.SSLError:
            assert not accepted


def test_a_certificate_is_taken_when_there_is_one_and_when_it_is_renewed(
    start_nginx: StartNginx, unix_socket: Path, certificates: Path, tmp_path: Path
) -> None:
    port = free_port()
    site = tmp_path / "site"
    start_nginx(unix_socket, ports={8443: port}, certificates=site)
    url = f"https://localhost:{port}/healthz"
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(url, verify=False, timeout=60)
    site.symlink_to(certificates)
    assert requests.get(url, verify=str(certificates / "fullchain.pem"), timeout=60).ok
