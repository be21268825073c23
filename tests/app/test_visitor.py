"""What the app learns from uWSGI, in a real one: its worker has as many threads as a test keeps
busy, so that none is left over."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from app.visitor import Visitor, stopping

from .conftest import ROOT, free_port, stop, wait_until

THREADS = 4


class WaitingServer:
    """waiting_app.py under uWSGI."""

    def __init__(self, folder: Path, *listen: str) -> None:
        self.folder = folder
        self.log = folder / "log"
        self.process = subprocess.Popen(
            [Path(sys.executable).with_name("uwsgi"), *listen]
            + ["--master", "--lazy-apps", "--die-on-term", "--enable-threads"]
            + ["--threads", str(THREADS), "--worker-reload-mercy", "60"]
            + ["--module", "tests.app.waiting_app", "--binary-path", sys.executable],
            cwd=ROOT,
            env={**os.environ, "FOLDER": str(folder)},
            stdout=self.log.open("wb"),
            stderr=subprocess.STDOUT,
        )
        wait_until(lambda: b"spawned uWSGI worker 1" in self.log.read_bytes(), self.process)
        wait_until(lambda: b"WSGI app 0" in self.log.read_bytes(), self.process)

    def seen(self, name: str) -> dict[str, Any]:
        """What the request of this name has noted last."""
        file = self.folder / name
        wait_until(file.exists)
        seen: dict[str, Any] = json.loads(file.read_text())
        return seen

    def release(self) -> None:
        (self.folder / "release").touch()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., WaitingServer]]:
    servers: list[WaitingServer] = []

    def start(*listen: str) -> WaitingServer:
        servers.append(WaitingServer(tmp_path, *listen))
        return servers[-1]

    yield start
    for server in servers:
        server.release()
        stop(server.process)


def connect(port: int, sent: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(sent)
    return connection


def test_who_leaves_is_noticed_and_nobody_else(start: Callable[..., WaitingServer]) -> None:
    port = free_port()
    server = start("--http-socket", f"127.0.0.1:{port}")
    request = "GET /?{} HTTP/1.1\r\nHost: x\r\n\r\n"
    quiet = connect(port, request.format("quiet").encode())
    eager = connect(port, (request.format("eager") + request.format("next")).encode())
    posting = connect(
        port, b"POST /?posting HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nunread"
    )
    for name, connection in {"quiet": quiet, "eager": eager, "posting": posting}.items():
        asked = server.seen(name)["asked"]
        wait_until(lambda name=name, asked=asked: server.seen(name)["asked"] > asked + 20)  # type: ignore[misc]
        assert not server.seen(name)["left"]
        connection.close()
        wait_until(lambda name=name: server.seen(name)["left"])  # type: ignore[misc]


def test_behind_nginx_too(
    start: Callable[..., WaitingServer], start_nginx: Callable[..., str], tmp_path: Path
) -> None:
    server = start("--socket", str(tmp_path / "uwsgi.sock"))
    url = start_nginx(tmp_path / "uwsgi.sock")
    with requests.Session() as session:  # keeps its connection for the next request
        answer = session.get(f"{url}/?visitor", stream=True, timeout=60)
        wait_until(lambda: server.seen("visitor")["asked"] > 20)
        assert not server.seen("visitor")["left"]
        answer.close()
        wait_until(lambda: server.seen("visitor")["left"])


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_finishes_what_runs_and_refuses_the_rest(
    start: Callable[..., WaitingServer],
    start_nginx: Callable[..., str],
    tmp_path: Path,
    how: signal.Signals,
) -> None:
    server = start("--socket", str(tmp_path / "uwsgi.sock"))
    url = start_nginx(tmp_path / "uwsgi.sock")
    names = [f"running{i}" for i in range(THREADS)]
    with ThreadPoolExecutor(THREADS + 1) as pool:
        try:
            running = [pool.submit(requests.get, f"{url}/?{name}", timeout=60) for name in names]
            assert not any(server.seen(name)["stopping"] for name in names)
            waiting = pool.submit(requests.get, f"{url}/?waiting", timeout=60)
            server.process.send_signal(how)
            for name in names:
                wait_until(lambda name=name: server.seen(name)["stopping"])  # type: ignore[misc]
            for refused in (waiting.result(), requests.get(f"{url}/?late", timeout=60)):
                assert refused.status_code == 503
                assert int(refused.headers["Retry-After"]) > 0
            assert server.process.poll() is None
        finally:
            server.release()
        assert all(answer.result().json()["stopping"] for answer in running)
    server.process.wait(60)
    assert not (tmp_path / "waiting").exists()


def test_a_reload_is_no_stop(start: Callable[..., WaitingServer]) -> None:
    port = free_port()
    server = start("--http-socket", f"127.0.0.1:{port}")
    with ThreadPoolExecutor(2) as pool:
        try:
            url = f"http://127.0.0.1:{port}"
            running = pool.submit(requests.get, f"{url}/?running", timeout=60)
            assert server.seen("running")["asked"]
            server.process.send_signal(signal.SIGHUP)
            wait_until(lambda: b"Gracefully killing worker" in server.log.read_bytes())
            waiting = pool.submit(requests.get, f"{url}/?waiting", timeout=60)
            asked = server.seen("running")["asked"]
            wait_until(lambda: server.seen("running")["asked"] > asked + 20)
        finally:
            server.release()
        assert not running.result().json()["stopping"]
        assert waiting.result().ok
    assert b"spawned uWSGI worker 1" in server.log.read_bytes()


def test_ctrl_c_at_the_worker_alone_changes_nothing(start: Callable[..., WaitingServer]) -> None:
    port = free_port()
    server = start("--http-socket", f"127.0.0.1:{port}")
    connection = connect(port, b"GET /?running HTTP/1.1\r\nHost: x\r\n\r\n")
    pid = server.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children")
    if not children.exists():
        pytest.skip("needs Linux's /proc")
    os.kill(int(children.read_text().split()[0]), signal.SIGINT)
    asked = server.seen("running")["asked"]
    wait_until(lambda: server.seen("running")["asked"] > asked + 20)
    assert not server.seen("running")["stopping"]
    connection.close()


def test_outside_uwsgi_nobody_leaves_and_nothing_ends() -> None:
    assert not Visitor.current().has_left()
    assert not stopping()
