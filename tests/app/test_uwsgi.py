"""The service as it runs: a real uWSGI from uwsgi.ini."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import requests

from engine import Checkpoint

from .conftest import ROOT, Server, StartUwsgi, seconds_of_a_stream, wait_until


@pytest.fixture(scope="module")
def server(start_uwsgi: StartUwsgi, busy_checkpoint: Path) -> Server:
    return start_uwsgi(busy_checkpoint)


def ask(server: Server, **parameters: object) -> dict[str, Any]:
    answer = requests.get(
        f"{server.url}/generate",
        params={name: str(v) for name, v in parameters.items()},
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    story: dict[str, Any] = answer.json()
    return story


def readiness(server: Server) -> dict[str, Any]:
    state: dict[str, Any] = requests.get(f"{server.url}/readyz", timeout=60).json()
    return state


def test_sixteen_at_once_each_get_what_they_get_alone(server: Server) -> None:
    asked = [
        {"prefix": "Wren and Fizzlet " * (seed % 5), "seed": seed, "length": 20 + 5 * seed}
        for seed in range(16)
    ]
    alone = [ask(server, **parameters) for parameters in asked]
    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(lambda parameters: ask(server, **parameters), asked))
    assert together == alone


def memory(pid: int, name: str) -> int:
    """VmRSS or VmHWM (its peak) of a process, in bytes."""
    match = re.search(rf"^{name}:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.M)
    assert match
    return int(match[1]) * 1024


def test_sixteen_stories_need_little_more_than_weights_and_their_cache(
    start_uwsgi: StartUwsgi, busy_checkpoint: Path
) -> None:
    fresh = start_uwsgi(busy_checkpoint)
    idle = memory(fresh.worker, "VmRSS")  # before the model is loaded
    length = 400
    with ThreadPoolExecutor(16) as pool:
        stories = pool.map(
            lambda seed: ask(fresh, prefix="Wren", seed=seed, length=length), range(16)
        )
        assert len(list(stories)) == 16
    shape = Checkpoint(busy_checkpoint).hparams
    (packed,) = busy_checkpoint.glob("*.q8_0.packed")
    float16 = 2
    cache = 16 * length * 2 * shape.n_layer * shape.n_embd * float16
    assert memory(fresh.worker, "VmHWM") - idle < 2 * (packed.stat().st_size + cache)


def swap(folder: Path, checkpoint: Path) -> None:
    """As a training run does: the file `checkpoint` comes last."""
    for file in sorted(checkpoint.iterdir(), key=lambda file: file.name == "checkpoint"):
        if file.suffix != ".packed":
            shutil.copy(file, folder / f".{file.name}")
            (folder / f".{file.name}").replace(folder / file.name)


class Visitors:
    """Four who ask for one story after another, at each address two: at once and in events."""

    def __init__(self, *urls: str) -> None:
        self.answers = [0] * 4
        self._urls = urls
        self._done = Event()

    def _visit(self, number: int) -> list[dict[str, Any]]:
        stories = []
        url = self._urls[number % len(self._urls)]
        while not self._done.is_set():
            parameters: dict[str, Any] = {
                "prefix": "Wren",
                "seed": self.answers[number] % 8,
                "length": 100,
                "stream": "true" if number < 2 else "false",
            }
            # Always another client, where limits count them.
            client = {"X-Forwarded-For": f"10.{number}.{self.answers[number]}.1"}
            with requests.get(
                f"{url}/generate", params=parameters, headers=client, stream=True, timeout=60
            ) as answer:
                assert answer.status_code == 200, answer.text
                stories.append(whole_story(answer))
            self.answers[number] += 1
        return stories

    @contextmanager
    def at_work(self) -> Iterator[list[dict[str, Any]]]:
        """While they ask; afterwards the list holds every story."""
        stories: list[dict[str, Any]] = []
        with ThreadPoolExecutor(4) as pool:
            visits = [pool.submit(self._visit, number) for number in range(4)]
            try:
                yield stories
            finally:
                self._done.set()
            for visit in visits:
                stories += visit.result()

    def wait_for_answers(self) -> None:
        """Until each has got another story."""
        before = list(self.answers)
        wait_until(lambda: all(now > then for now, then in zip(self.answers, before, strict=True)))


def whole_story(answer: requests.Response) -> dict[str, Any]:
    """The story of an answer; where it came in events, they tell it twice."""
    body = answer.content.decode()
    if not answer.headers["Content-Type"].startswith("text/event-stream"):
        story: dict[str, Any] = json.loads(body)
        return story
    events = [event.split("\ndata: ") for event in body.removesuffix("\n\n").split("\n\n")]
    assert events[-1][0] == "event: done"
    story = json.loads(events[-1][1])
    pieces = [json.loads(data)["text"] for name, data in events if name == "event: text"]
    assert "".join(pieces) == story["text"]
    return story


def texts(server: Server) -> dict[int, str]:
    """What Visitors are told, by seed."""
    return {seed: ask(server, prefix="Wren", seed=seed, length=100)["text"] for seed in range(8)}


def test_twenty_checkpoints_are_swapped_under_load_without_a_failed_request(
    start_uwsgi: StartUwsgi, tiny_checkpoint: Path, other_checkpoint: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_checkpoint, tmp_path / "run1"))
    server = start_uwsgi(folder)
    checkpoints = [tiny_checkpoint, other_checkpoint]
    identities = [Checkpoint(checkpoint).identity for checkpoint in checkpoints]
    expected = {}
    for checkpoint, identity in zip(checkpoints, identities, strict=True):
        swap(folder, checkpoint)
        wait_until(lambda identity=identity: readiness(server)["model"] == identity)  # type: ignore[misc]
        expected[identity] = texts(server)
    assert expected[identities[0]] != expected[identities[1]]

    visitors = Visitors(str(server.url))
    with visitors.at_work() as stories:
        for i in range(20):
            swap(folder, checkpoints[i % 2])
            wait_until(lambda i=i: readiness(server)["model"] == identities[i % 2])  # type: ignore[misc]
            visitors.wait_for_answers()
        (folder / "model-3.index").write_bytes(b"half-writ")
        wait_until(lambda: readiness(server)["error"] is not None)
        assert readiness(server)["status"] == "ok"
        assert ask(server, length=1)["model"] == identities[1]
        visitors.wait_for_answers()
    for story in stories:
        # Between two files of a swap it may find a third model: its index, the other's settings.
        if story["model"] in identities:
            assert story["text"] == expected[story["model"]][story["seed"]]


def test_twenty_reloads_under_load_without_a_failed_request(
    start_uwsgi: StartUwsgi,
    start_nginx: Callable[..., str],
    tiny_checkpoint: Path,
    tmp_path: Path,
) -> None:
    direct = start_uwsgi(tiny_checkpoint)
    behind_nginx = start_uwsgi(tiny_checkpoint, tmp_path / "uwsgi.sock")
    url = start_nginx(tmp_path / "uwsgi.sock", "set_real_ip_from 127.0.0.1;\n")
    expected = texts(direct)
    visitors = Visitors(str(direct.url), url)
    with visitors.at_work() as stories:
        for i in range(20):
            for server in (direct, behind_nginx):
                server.process.send_signal(signal.SIGHUP)
            for server in (direct, behind_nginx):
                wait_until(
                    lambda server=server, i=i: (  # type: ignore[misc]
                        server.log.read_bytes().count(b"WSGI app 0") == i + 2
                    ),
                    server.process,
                )
            visitors.wait_for_answers()
    for story in stories:
        assert story["text"] == expected[story["seed"]]


def test_a_killed_worker_is_replaced(start_uwsgi: StartUwsgi, tiny_checkpoint: Path) -> None:
    server = start_uwsgi(tiny_checkpoint)
    expected = texts(server)
    for _ in range(3):
        killed = server.worker
        os.kill(killed, signal.SIGKILL)
        # Who comes before the next one is there waits in the listen queue.
        assert texts(server) == expected
        assert server.worker != killed


def test_a_reader_who_leaves_frees_the_engine(server: Server) -> None:
    assert seconds_of_a_stream(str(server.url), whole=False) < (
        seconds_of_a_stream(str(server.url), whole=True) / 2
    )


def test_long_and_wrong_requests_are_answered(server: Server) -> None:
    for path in ("/", "/generate", "/story"):
        for prefix, status in (("a" * 16_001, 400), ("é" * 9000, 414)):
            answer = requests.get(f"{server.url}{path}?prefix={prefix}", timeout=60)
            assert answer.status_code == status
    answer = requests.post(f"{server.url}/generate", data={"prefix": "x" * 300_000}, timeout=60)
    assert answer.status_code == 413


def test_a_body_in_chunks_is_refused_not_overlooked(server: Server) -> None:
    chunks = iter([b"length=2&", b"seed=1"])
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = requests.post(f"{server.url}/generate", data=chunks, headers=headers, timeout=60)
    assert answer.status_code == 411


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_when_it_is_told_to(
    start_uwsgi: StartUwsgi, tiny_checkpoint: Path, tmp_path: Path, how: signal.Signals
) -> None:
    unix_socket = tmp_path / "uwsgi.sock"
    server = start_uwsgi(tiny_checkpoint, unix_socket)
    assert unix_socket.stat().st_mode & 0o777 == 0o660
    server.process.send_signal(how)
    server.process.wait(30)
    assert not unix_socket.exists()


@pytest.mark.parametrize(("name", "value"), [("THREADS", "many"), ("MAX_WAITING", "1000")])
def test_a_wrong_setting_ends_it_with_the_reason(name: str, value: str) -> None:
    finished = subprocess.run(
        [Path(sys.executable).with_name("uwsgi"), "--ini", "uwsgi.ini"],
        cwd=ROOT,
        env={**os.environ, name: value, "PORT": "0"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode != 0
    assert f"{name}: " in finished.stdout + finished.stderr
