"""How many visitors at once: the service as it is deployed, and the ancestor beside it.

uWSGI and nginx run from the configuration files of this repository, and so many clients ask for
stories of 100 tokens, each for the next one as soon as it has read the last (bench/clients.py).
Meanwhile /healthz is asked ten times a second, and the memory of the servers is looked at. The
ancestor loads the model anew for every story, in five processes; it is asked by 16 clients at
most. Linux only.
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from threading import Event, Thread
from typing import Self

from bench import models
from bench.arguments import among, counts, parse
from bench.clients import Load, Outcome
from bench.load_report import ANCESTOR, OURS, Level, Results, markdown
from bench.machine import Memory, machine, memory, require_idle
from bench.models import ROOT, BenchError
from bench.servers import nginx, uninterrupted, uwsgi
from engine import CheckpointError

EXAMPLES = """\
examples:
  python -m bench.load
      the committed checkpoint: ten minutes
  python -m bench.load --model 124M
      GPT-2's 124M shape with random weights: a quarter of an hour, 20 GB for the ancestor
  python -m bench.load --servers ours --clients 64,640 --seconds 10
      a part of it
"""

PROMISE = 10
"""Seconds that a visitor waits at most for the first token, or else is refused at once."""


@dataclass(frozen=True)
class Served:
    """A service to be put under load."""

    ini: str
    """Of uWSGI."""
    path: str
    """Where stories are."""
    slots: int
    """Stories that it writes at once, at most."""
    environment: dict[str, str]
    healthz: bool
    """Whether it has /healthz."""
    most_clients: int
    """More are not tried."""


# The limits of one visitor are off, since all come from one place; those of the service hold.
SERVED = {
    OURS: Served(
        "uwsgi.ini",
        "/generate",
        slots=64,
        environment={"MAX_BATCH": "64", "MAX_WAIT": str(PROMISE), "RATE_LIMIT": ""},
        healthz=True,
        most_clients=100_000,
    ),
    ANCESTOR: Served(
        "bench/ancestor.ini", "/", slots=5, environment={}, healthz=False, most_clients=16
    ),
}


class Probe:
    """Asks /healthz in a thread of its own while a block runs.

    It is due every 100 ms. What is due while an answer is still awaited is asked afterwards, and
    its time counts from when it was due: else a long wait would count once, and as much of short
    ones a hundred times.
    """

    def __init__(self, port: int) -> None:
        self.seconds: list[float] = []
        """Until each answer."""
        self.failures: list[str] = []
        """What else was answered than that all is well."""
        self._port = port
        self._ended = Event()
        self._thread = Thread(target=self._run)

    def _run(self) -> None:
        due = time.perf_counter()
        while not self._ended.wait(due - time.perf_counter()):
            self._ask()
            self.seconds.append(time.perf_counter() - due)
            due += 0.1

    def _ask(self) -> None:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            connection.request("GET", "/healthz")
            status = connection.getresponse().status
            if status != 200:
                self.failures.append(f"/healthz: status {status}")
        except (OSError, HTTPException) as error:
            self.failures.append(f"/healthz: {error or type(error).__name__}")
        finally:
            connection.close()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


def measure(served: Served, model: Path, clients: list[int], seconds: float) -> list[Level]:
    """Starts a service and puts the loads on it, one after the other. Raises BenchError."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        unix_socket = folder / "uwsgi.sock"
        database = f"sqlite:///{folder}/stories.db"
        environment = {"CHECKPOINT": str(model), "DATABASE_URL": database, **served.environment}
        process = stack.enter_context(
            uwsgi(ROOT / served.ini, unix_socket, environment, folder / "uwsgi.log")
        )
        port = stack.enter_context(nginx(unix_socket, folder / "nginx"))
        # The first story quantises the model, or fills the file cache.
        first = _level(served, process.pid, Load(port, served.path, 1, 2))
        if not first.outcome.stories:
            raise BenchError(f"{served.ini}: no story, but {first.outcome.errors}")
        levels = []
        for number in clients:
            print(f"{served.ini}: {number} at once", file=sys.stderr)
            levels.append(_level(served, process.pid, Load(port, served.path, number, seconds)))
        return levels


def _level(served: Served, pid: int, load: Load) -> Level:
    held: list[Memory] = []
    with ExitStack() as stack:
        probe = Probe(load.port)
        if served.healthz:
            stack.enter_context(probe)
        with uninterrupted():
            clients = stack.enter_context(
                subprocess.Popen(  # noqa: S603
                    [sys.executable, "-m", "bench.clients", json.dumps(asdict(load))],
                    cwd=ROOT,
                    stdout=subprocess.PIPE,
                )
            )
            stack.callback(clients.kill)
        output = None
        while output is None:
            held.append(memory(pid))
            try:
                output, _ = clients.communicate(timeout=0.5)
            except subprocess.TimeoutExpired:
                continue
    if clients.returncode != 0:
        raise BenchError("the clients have failed")
    at_once = min(load.clients, served.slots)
    outcome = Outcome.from_json(output)
    return Level(load.clients, outcome, probe.seconds, probe.failures, held, at_once)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.load",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    names = list(SERVED)
    levels = [1, 4, 16, 64, 640]
    add("--model", default="mini", help="mini (the default), 124M, or the path of a checkpoint")
    add("--clients", type=counts, default=levels, metavar="N,...", help="default 1,4,16,64,640")
    add("--seconds", type=float, default=30, help="in which stories are begun; default 30")
    add("--servers", type=among(names), default=names, metavar="NAMES", help=",".join(names))
    args = parse(parser, arguments, "load.json")
    if not 0 < args.seconds < 3600:
        parser.error("--seconds: must be between 0 and 3600")
    return args


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code: 1 where an answer was neither a story nor a
    refusal."""
    args = _parse(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the servers are ended
    results = Results(machine(), args.model, PROMISE)
    try:
        if not args.busy:
            require_idle()
        args.cache.mkdir(parents=True, exist_ok=True)
        model = _model(args.model, args.cache)
        for name in args.servers:
            served = SERVED[name]
            clients = [n for n in args.clients if n <= served.most_clients]
            results.levels[name] = measure(served, model, clients, args.seconds)
    except BenchError as error:
        print(f"bench.load: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. No process is left.", file=sys.stderr)
        return 130
    args.json.write_text(json.dumps(asdict(results), indent=1) + "\n")
    print(markdown(results), end="")
    return int(any(level.errors for levels in results.levels.values() for level in levels))


def _model(name: str, cache: Path) -> Path:
    """The checkpoint folder that `--model` names. Raises BenchError."""
    if name == "124M":
        return models.random_124m(cache)
    folder = ROOT / "checkpoint" / "run1" if name == "mini" else Path(name)
    try:
        return models.for_gpt_2_simple(folder, cache)
    except CheckpointError as error:
        raise BenchError(str(error)) from error


if __name__ == "__main__":
    sys.exit(main())
