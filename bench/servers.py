"""uWSGI and nginx as they are deployed, on paths and ports of their own."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
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
    """nginx as nginx/ has it, changed in its paths and ports alone: the port instead of 8080.

    It takes this machine's word on clients' addresses. `folder` gets its files. Raises BenchError.
    """
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if not program:
        raise BenchError("nginx is not installed")
    ports: defaultdict[str, int] = defaultdict(_free_port)
    config = {file.name: file.read_text() for file in (ROOT / "nginx").iterdir()}
    for shipped, here in {
        "/tmp/nginx": f"{folder}/nginx",  # noqa: S108
        "/dev/stdout": f"{folder}/access.log",
        "/run/app/uwsgi.sock": str(unix_socket),
        "/srv/static/": f"{ROOT}/app/static/",
    }.items():
        if not any(shipped in text for text in config.values()):
            raise BenchError(f"nginx's configuration has no {shipped}")
        config = {name: text.replace(shipped, here) for name, text in config.items()}
    config["trusted_proxies.conf"] = "set_real_ip_from 127.0.0.1;\n"
    folder.mkdir()
    for name, text in config.items():
        listening = re.sub(r"listen (\d+)", lambda x: f"listen 127.0.0.1:{ports[x[1]]}", text)
        (folder / name).write_text(listening)
    # As root, workers would become another user, who may not use the app's socket.
    directives = "daemon off;" + (" user root;" if os.geteuid() == 0 else "")
    with _running(
        [program, "-c", folder / "nginx.conf", "-g", directives],
        {},
        folder / "log",
        lambda: _listens(ports["8080"]),
    ):
        yield ports["8080"]


@contextmanager
def _running(
    command: list[str | Path], environment: Mapping[str, str], log: Path, ready: Callable[[], bool]
) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, **environment}
    environment.pop("PORT", None)  # which uwsgi.ini would listen on besides
    with ExitStack() as stack:
        with log.open("wb") as output, uninterrupted():
            process = subprocess.Popen(  # noqa: S603
                command,
                cwd=ROOT,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a group of its own, to be signalled as one
            )
            stack.callback(_end, process)
        deadline = time.monotonic() + _START
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                sys.stderr.write(log.read_text(errors="replace"))
                raise BenchError(f"{Path(command[0]).name} does not start; its log stands above")
            time.sleep(0.05)
        yield process


@contextmanager
def uninterrupted() -> Iterator[None]:
    """What starts a process and sees to its end: Ctrl-C and SIGTERM wait until both are done."""
    waiting: list[int] = []
    handlers = {
        number: signal.signal(number, lambda number, _: waiting.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    for interrupt in waiting:
        signal.raise_signal(interrupt)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # workers without a master have stayed
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True
