"""uWSGI and nginx as they are deployed, on paths and ports of their own."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.models import ROOT, BenchError

_START = 300  # seconds; several TensorFlows at once take their time


@contextmanager
def uwsgi(
    ini: Path, unix_socket: Path, environment: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """uWSGI, from the time its app is loaded; it ends with the block. Raises BenchError."""
    with _running(
        [Path(sys.executable).with_name("uwsgi"), "--ini", ini, "--binary-path", sys.executable],
        {**environment, "SOCKET": str(unix_socket)},
        log,
        lambda: b"WSGI app 0" in log.read_bytes(),
    ) as process:
        yield process


@contextmanager
def nginx(unix_socket: Path, folder: Path) -> Iterator[int]:
    """nginx from nginx/nginx.conf, changed in its paths and port alone: the port it listens on.

    It takes this machine's word on clients' addresses. `folder` gets its files. Raises BenchError.
    """
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if not program:
        raise BenchError("nginx is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    config = (ROOT / "nginx" / "nginx.conf").read_text()
    for shipped, here in {
        "/tmp/nginx": f"{folder}/nginx",  # noqa: S108
        "/dev/stdout": f"{folder}/access.log",
        "/run/app/uwsgi.sock": str(unix_socket),
        "/srv/static/": f"{ROOT}/app/static/",
        "listen 8080": f"listen 127.0.0.1:{port}",
    }.items():
        if shipped not in config:
            raise BenchError(f"nginx.conf has no {shipped}")
        config = config.replace(shipped, here)
    folder.mkdir()
    (folder / "nginx.conf").write_text(config)
    (folder / "trusted_proxies.conf").write_text("set_real_ip_from 127.0.0.1;\n")
    # As root, workers would become another user, who may not use the app's socket.
    directives = "daemon off;" + (" user root;" if os.geteuid() == 0 else "")
    with _running(
        [program, "-c", folder / "nginx.conf", "-g", directives],
        {},
        folder / "log",
        lambda: _listens(port),
    ):
        yield port


@contextmanager
def _running(
    command: list[str | Path], environment: Mapping[str, str], log: Path, ready: Callable[[], bool]
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603
            command,
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a group of its own, to be signalled as one
        )
    try:
        deadline = time.monotonic() + _START
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                said = log.read_text(errors="replace").strip().splitlines() or ["nothing"]
                raise BenchError(f"{Path(command[0]).name} does not start: {said[-1]}")
            time.sleep(0.05)
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # workers without a master have stayed
        process.wait()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True
