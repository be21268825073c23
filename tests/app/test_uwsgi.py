"""The service as it runs: a real uWSGI from uwsgi.ini."""

import os
import re
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
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


def health(server: Server) -> dict[str, Any]:
    state: dict[str, Any] = requests.get(f"{server.url}/healthz", timeout=60).json()
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


def test_checkpoints_are_swapped_under_load_without_a_failed_request(
    start_uwsgi: StartUwsgi, tiny_checkpoint: Path, other_checkpoint: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_checkpoint, tmp_path / "run1"))
    server = start_uwsgi(folder)
    checkpoints = [tiny_checkpoint, other_checkpoint]
    identities = [Checkpoint(checkpoint).identity for checkpoint in checkpoints]
    parameters = {"prefix": "Wren", "seed": 3, "length": 200}
    expected = {}
    for checkpoint, identity in zip(checkpoints, identities, strict=True):
        swap(folder, checkpoint)
        wait_until(lambda identity=identity: health(server)["model"] == identity)  # type: ignore[misc]
        expected[identity] = ask(server, **parameters)
    assert len({story["text"] for story in expected.values()}) == 2

    done = Event()

    def visit(_: int) -> list[dict[str, Any]]:
        stories = []
        while not done.is_set():
            stories.append(ask(server, **parameters))
        return stories

    with ThreadPoolExecutor(4) as pool:
        visits = [pool.submit(visit, i) for i in range(4)]
        try:
            for i in range(6):
                swap(folder, checkpoints[i % 2])
                wait_until(lambda i=i: health(server)["model"] == identities[i % 2])  # type: ignore[misc]
            (folder / "model-3.index").write_bytes(b"half-writ")
            wait_until(lambda: health(server)["error"] is not None)
            assert health(server)["status"] == "ok"
            assert ask(server, **parameters)["model"] == identities[1]
        finally:
            done.set()
        stories = [story for one in visits for story in one.result()]
    for story in stories:
        assert story == expected[story["model"]] or story["model"] not in identities


def test_a_reader_who_leaves_frees_the_engine(server: Server) -> None:
    assert seconds_of_a_stream(str(server.url), whole=False) < (
        seconds_of_a_stream(str(server.url), whole=True) / 2
    )


def test_long_and_wrong_requests_are_answered(server: Server) -> None:
    for path in ("/", "/generate", "/story"):
        for length, status in ((4100, 400), (9000, 414)):
            answer = requests.get(f"{server.url}{path}?prefix={'é' * length}", timeout=60)
            assert answer.status_code == status
    answer = requests.post(f"{server.url}/generate", data={"prefix": "x" * 100_000}, timeout=60)
    assert answer.status_code == 413


def test_a_body_in_chunks_is_refused_not_overlooked(server: Server) -> None:
    chunks = iter([b"length=2&", b"seed=1"])
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = requests.post(f"{server.url}/generate", data=chunks, headers=headers, timeout=60)
    assert answer.status_code == 411


def test_it_reloads_on_sighup(start_uwsgi: StartUwsgi, tiny_checkpoint: Path) -> None:
    server = start_uwsgi(tiny_checkpoint)
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: server.log.read_bytes().count(b"WSGI app 0") == 2, server.process)
    assert requests.get(f"{server.url}/?prefix=Wren&length=3", timeout=60).ok


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


def test_a_wrong_setting_ends_it_with_the_reason() -> None:
    finished = subprocess.run(
        [Path(sys.executable).with_name("uwsgi"), "--ini", "uwsgi.ini"],
        cwd=ROOT,
        env={**os.environ, "THREADS": "many", "PORT": "0"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode != 0
    assert "THREADS: " in finished.stdout + finished.stderr
