"""Real parts for the service's tests: checkpoints, uWSGI, nginx, PostgreSQL and a browser."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from sqlalchemy import make_url

from app import create_app
from app.database import open_engine
from tests.conftest import make_checkpoint

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def other_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As tiny_checkpoint, with other weights."""
    hparams = {"n_ctx": 256, "n_embd": 48, "n_head": 3, "n_layer": 2}
    return make_checkpoint(tmp_path_factory.mktemp("other") / "run1", hparams, "--seed", "2")


@pytest.fixture(scope="session")
def busy_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten million weights whose texts go on and on: enough work to watch it being done."""
    hparams = {"n_ctx": 1024, "n_embd": 384, "n_head": 6, "n_layer": 6}
    return make_checkpoint(tmp_path_factory.mktemp("busy") / "run1", hparams, "--seed", "2")


@pytest.fixture(scope="session", autouse=True)
def stored_apart(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test writes into the stories of the checkout that it runs in."""
    os.environ["DATABASE_URL"] = f"sqlite:///{tmp_path_factory.mktemp('stories')}/stories.db"
    os.environ["CORPUS"] = ""


@pytest.fixture(scope="session", autouse=True)
def unlimited() -> None:
    """Tests ask more often than a visitor may; those of limits give their own."""
    os.environ["RATE_LIMIT"] = os.environ["LIKE_LIMIT"] = ""


@pytest.fixture(scope="session")
def service_app(tiny_checkpoint: Path) -> Flask:
    return create_app({"CHECKPOINT": str(tiny_checkpoint), "THREADS": 1, "MAX_PREFIX": 600})


@pytest.fixture
def client(service_app: Flask) -> FlaskClient:
    return service_app.test_client()


@dataclass(frozen=True)
class Server:
    """A running uWSGI; url is None where it listens on a Unix socket."""

    url: str | None
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def worker(self) -> int:
        """Process id of the worker."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children")
        if not children.exists():
            pytest.skip("needs Linux's /proc")
        return int(children.read_text().split()[0])


StartUwsgi = Callable[..., Server]
StartNginx = Callable[..., str]


@pytest.fixture(scope="module")
def start_uwsgi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartUwsgi]:
    """Starts uWSGI from uwsgi.ini on a checkpoint, with settings: on a free port, or on a Unix
    socket."""
    running: list[subprocess.Popen[bytes]] = []

    def start(checkpoint: Path, unix_socket: Path | None = None, **settings: str) -> Server:
        log = tmp_path_factory.mktemp("uwsgi") / "log"
        port = free_port()
        environment = {**os.environ, "CHECKPOINT": str(checkpoint), **settings}
        for name in ("PORT", "SOCKET"):
            environment.pop(name, None)
        environment |= {"SOCKET": str(unix_socket)} if unix_socket else {"PORT": str(port)}
        uwsgi = Path(sys.executable).with_name("uwsgi")
        process = subprocess.Popen(
            [uwsgi, "--ini", "uwsgi.ini", "--binary-path", sys.executable],
            cwd=ROOT,
            env=environment,
            stdout=log.open("wb"),
            stderr=subprocess.STDOUT,
        )
        running.append(process)
        url = None if unix_socket else f"http://127.0.0.1:{port}"
        with explained_by(log):
            if unix_socket:
                # Not before its handlers are there, which a signal may reach.
                wait_until(lambda: b"WSGI app 0" in log.read_bytes(), process)
            else:
                wait_until(lambda: answers(f"{url}/"), process)
        return Server(url, process, log)

    yield start
    for process in running:
        stop(process)


@pytest.fixture(scope="module")
def start_nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartNginx]:
    """Starts nginx from nginx/, changed in its paths and ports alone; returns its URL. ports says
    where it listens instead of at a shipped port; a free one else."""
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if not nginx:
        pytest.skip("needs nginx")
    running: list[subprocess.Popen[bytes]] = []

    def start(
        unix_socket: Path,
        trusted_proxies: str = "",
        *,
        ports: Mapping[int, int] | None = None,
        certificates: Path = Path("nowhere"),
        challenges: Path = Path("nowhere"),
        log: Path | None = None,
    ) -> str:
        folder = tmp_path_factory.mktemp("nginx")
        log = log or folder / "log"
        listening = {shipped: free_port() for shipped in (8080, 8081, 8443)} | dict(ports or {})
        config = {file.name: file.read_text() for file in (ROOT / "nginx").iterdir()}
        for shipped, here in {
            "/tmp/nginx": f"{folder}/nginx",
            "/dev/stdout": f"{log}",
            "/run/app/uwsgi.sock": str(unix_socket),
            "/srv/static/": f"{ROOT}/app/static/",
            "/srv/acme": str(challenges),
            "/etc/letsencrypt/live/site": str(certificates),
            **{f"listen {port}": f"listen 127.0.0.1:{listening[port]}" for port in listening},
        }.items():
            assert any(shipped in text for text in config.values())
            config = {name: text.replace(shipped, here) for name, text in config.items()}
        config["trusted_proxies.conf"] += trusted_proxies
        for name, text in config.items():
            (folder / name).write_text(text)
        # As root, workers would become another user, who may not use the app's socket.
        directives = "daemon off;" + (" user root;" if os.geteuid() == 0 else "")
        process = subprocess.Popen(
            [nginx, "-c", folder / "nginx.conf", "-g", directives],
            stdout=log.open("ab"),
            stderr=subprocess.STDOUT,
        )
        running.append(process)
        url = f"http://127.0.0.1:{listening[8080]}"
        with explained_by(log):
            wait_until(lambda: answers(f"{url}/static/style.css"), process)
        return url

    yield start
    for process in running:
        stop(process)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a real PostgreSQL on a Unix socket, as its superuser."""
    path = ":".join([os.environ["PATH"], *map(str, Path("/usr/lib/postgresql").glob("*/bin"))])
    initdb, server = shutil.which("initdb", path=path), shutil.which("postgres", path=path)
    if not initdb or not server:
        pytest.skip("needs postgresql")
    # It refuses to run as root.
    user: dict[str, Any] = {}
    if os.geteuid() == 0:
        user = {"user": "postgres", "group": "postgres", "extra_groups": []}
    with tempfile.TemporaryDirectory() as created:
        folder = Path(created)  # not pytest's: other users may not go there
        if user:
            shutil.chown(folder, "postgres", "postgres")
        log = folder / "log"
        command = [initdb, "--pgdata=data", "--username=stories", "--auth=trust", "--no-sync"]
        command += ["--encoding=UTF8", "--locale=C"]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, **user)
        process = subprocess.Popen(
            [server, "-D", "data", "-k", folder, "-c", "listen_addresses=", "-F"],
            cwd=folder,
            stdout=log.open("wb"),
            stderr=subprocess.STDOUT,
            **user,
        )
        try:
            with explained_by(log):
                wait_until(lambda: b"ready to accept connections" in log.read_bytes(), process)
            yield f"postgresql://stories@/postgres?unix_sock={folder}/.s.PGSQL.5432"
        finally:
            stop(process)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database, once of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/data/stories.db"
        return
    server = request.getfixturevalue("postgresql")
    name = f"test_{uuid4().hex}"
    engine = open_engine(server).execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
        yield make_url(server).set(database=name).render_as_string(hide_password=False)
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    engine.dispose()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real Chromium. Playwright's event loop runs in this thread until it is closed: no longer
    than a module, for other tests may need one of their own."""
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if not executable:
        pytest.skip("needs Chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def site(
    start_uwsgi: StartUwsgi,
    start_nginx: Callable[..., str],
    tiny_checkpoint: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """The address of the whole service: nginx, uWSGI, a small model."""
    socket = tmp_path_factory.mktemp("run") / "uwsgi.sock"
    start_uwsgi(tiny_checkpoint, socket)
    return start_nginx(socket, "set_real_ip_from 127.0.0.1;\n")


Visit = Callable[..., Page]


@pytest.fixture
def visit(browser: Browser, site: str) -> Iterator[Visit]:
    """Opens a page for a visitor of his own, with Playwright's options of a context.

    The test fails on any error on it, on anything that its policy refuses, and on any request to
    another host. A response of 4xx, which Chromium puts on the console too, is no error.
    """
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def complain(words: str) -> None:
        if "the server responded with a status of 4" not in words:
            complaints.append(words)

    def visit(url: str = site, **options: Any) -> Page:
        context = browser.new_context(
            base_url=url,
            # For nginx each is another client, whose requests are counted apart.
            extra_http_headers={"X-Forwarded-For": str(IPv4Address(secrets.randbits(32)))},
            **options,
        )
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complain(str(error)))
        page.on("console", lambda message: complain(message.text))
        page.on(
            "request",
            lambda request: None if request.url.startswith(f"{url}/") else complain(request.url),
        )
        return page

    yield visit
    for context in contexts:
        context.close()
    assert not complaints


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.ConnectionError:
        return False


def seconds_of_a_stream(url: str, *, whole: bool) -> float:
    """From the first event of sixteen long stories until the engine is idle, whether all is read
    or the reader leaves."""
    parameters = {"length": "500", "nsamples": "16", "seed": "1", "end": "token", "stream": "true"}
    with requests.get(f"{url}/generate", params=parameters, stream=True, timeout=60) as answer:
        lines = answer.iter_lines(chunk_size=1)
        assert next(lines) == b"event: text"
        started = time.monotonic()
        if whole:
            assert b"event: done" in list(lines)
    wait_until(lambda: requests.get(f"{url}/healthz", timeout=60).json()["running"] == 0)
    return time.monotonic() - started


def wait_until(
    condition: Callable[[], bool],
    process: subprocess.Popen[bytes] | None = None,
    seconds: float = 60,
) -> None:
    """Waits for a condition, not for a time: seconds only ends a test that has failed."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert process is None or process.poll() is None, "the server has ended"
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@contextmanager
def explained_by(log: Path) -> Iterator[None]:
    try:
        yield
    except AssertionError as error:
        raise AssertionError(f"{error}; its log:\n{log.read_text(errors='replace')}") from None


def stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
