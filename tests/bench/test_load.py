"""bench.load: it counts what comes, on a tiny model; nothing here depends on speed."""

import asyncio
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.clients import (
    AnswerError,
    Load,
    Outcome,
    Refused,
    Story,
    parse_answer,
    parse_events,
    run,
)
from bench.load import Probe
from bench.load_report import Level, Results, capacity, markdown, percentile
from bench.machine import Memory, memory
from tests.conftest import ROOT

LINE = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]))
NAME = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), min_size=1)
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\n"


def event(name: str, data: str) -> str:
    lines = "".join(f"data: {line}\n" for line in data.split("\n"))
    return f"event: {name}\n{lines}\n"


@given(st.lists(st.tuples(NAME.filter(lambda name: name[0] != " "), st.lists(LINE, min_size=1))))
def test_events_are_read_as_they_were_written(events: list[tuple[str, list[str]]]) -> None:
    wanted = [(name, "\n".join(lines)) for name, lines in events]
    assert list(parse_events("".join(event(*one) for one in wanted).encode())) == wanted


@given(st.binary())
def test_any_bytes_are_events_or_none(body: bytes) -> None:
    list(parse_events(body))


def test_an_unfinished_event_is_none() -> None:
    text = event("text", '{"text": "é"}') + event("done", "{}")
    for cut in range(len(text.encode())):
        names = [name for name, _ in parse_events(text.encode()[:cut])]
        assert names in ([], ["text"])


def test_a_stream_is_whole_with_its_last_event() -> None:
    queued, text = event("queued", '{"position": 1}'), event("text", '{"text": "Wren"}')
    done = event("done", '{"text": "Wren", "tokens": 87}')
    assert parse_answer(STREAM + (queued + text + done).encode()) == 87
    for body, last in (
        (queued + text, "text"),
        (text + event("error", "{}"), "error"),
        ("", "noth"),
    ):
        with pytest.raises(AnswerError, match=f"ends with {last}"):
            parse_answer(STREAM + body.encode())


def test_a_body_is_whole_with_its_length() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nCONTENT-LENGTH: 22\r\n\r\n"
    assert parse_answer(head + b'{"sample_text": "Odo"}') == 100
    with pytest.raises(AnswerError, match="cut short"):
        parse_answer(head + b'{"sample_text": "Odo"')


def test_a_refusal_says_when_to_come_again() -> None:
    for status in (429, 503):
        head = f"HTTP/1.1 {status} No\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"
        with pytest.raises(Refused) as refused:
            parse_answer(head.encode())
        assert (refused.value.status, refused.value.retry_after) == (status, 7.0)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 500 No\r\nRetry-After: 7\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{]",
        b"hello\r\n\r\n",
    ],
)
def test_everything_else_is_an_error(answer: bytes) -> None:
    with pytest.raises(ValueError):
        parse_answer(answer)


class Refusing(BaseHTTPRequestHandler):
    """Refuses every other request, and breaks off every fourth stream."""

    asked: ClassVar[list[tuple[str, str]]] = []

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers["X-Forwarded-For"]))
        if len(self.asked) % 2:
            self.send_response(429)
            self.send_header("Retry-After", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write(event("text", '{"text": "Wren"}').encode())
        if len(self.asked) % 4:
            self.wfile.write(event("done", '{"tokens": 50}').encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever).start()
        yield server.server_address[1]
        server.shutdown()


def test_clients_count_what_comes_and_come_again() -> None:
    Refusing.asked.clear()
    with serving(Refusing) as port:
        outcome = asyncio.run(run(Load(port, "/generate", 1, 3.0)))
    accepted, errors = len(outcome.stories), sum(outcome.errors.values())
    assert accepted > 0
    assert set(outcome.refused) == {"429"}
    assert accepted + errors + outcome.refused["429"] == len(Refusing.asked)
    assert set(outcome.errors) <= {"a stream that ends with text"}
    for story in outcome.stories:
        assert story.tokens == 50
        assert 0 < story.first_token <= story.seconds
    # Each is another stranger's.
    assert len({address for _, address in Refusing.asked}) == len(Refusing.asked)
    assert len({path for path, _ in Refusing.asked}) == len(Refusing.asked)


def test_nobody_there_is_an_error() -> None:
    with serving(Refusing) as port:
        pass
    outcome = asyncio.run(run(Load(port, "/", 1, 0.01)))
    assert not outcome.stories
    assert sum(outcome.errors.values()) == 1


class Stalling(BaseHTTPRequestHandler):
    """Answers the first request after a second, and others at once."""

    stalled: ClassVar[bool] = False

    def do_GET(self) -> None:
        if not Stalling.stalled:
            Stalling.stalled = True
            time.sleep(1)
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_a_stall_counts_for_all_that_was_due_in_it() -> None:
    with serving(Stalling) as port, Probe(port) as probe:
        while len(probe.seconds) < 10:
            time.sleep(0.01)
    for i, seconds in enumerate(probe.seconds[:10]):
        assert seconds >= 1 - 0.1 * i
    assert probe.failures == []


@given(st.lists(st.floats(0, 1e6), min_size=1), st.sampled_from([1, 50, 95, 100]))
def test_percentiles_are_numpys(values: list[float], percent: int) -> None:
    assert percentile(values, percent) == np.percentile(values, percent, method="inverted_cdf")


def test_memory_counts_a_process_and_its_children() -> None:
    hold = "x = bytearray(50_000_000); print(flush=True); input()"
    family = f"import subprocess, sys; {hold.replace('input()', '')}"
    family += f"subprocess.run([sys.executable, '-c', {hold!r}])"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", family], **pipes) as parent:  # type: ignore[call-overload]
        parent.stdout.readline()
        parent.stdout.readline()
        held = memory(parent.pid)
        parent.communicate(b"\n")
    assert 100e6 < held.pss <= held.rss < 200e6
    assert memory(parent.pid) == Memory(0, 0)


def level(clients: int, seconds: list[float], held: list[int], at_once: int) -> Level:
    """100 tokens each but the first, which has 50; in 10 seconds."""
    stories = [Story(s / 10, s, 50 if i == 0 else 100) for i, s in enumerate(seconds)]
    sizes = [Memory(2 * size * 10**6, size * 10**6) for size in held]
    outcome = Outcome(10.0, 0.5, stories, {"429": 7}, {"status 500": 2})
    return Level(clients, outcome, [0.01, 0.02], ["/healthz: status 503"], sizes, at_once)


def rows(text: str, title: str) -> dict[str, dict[str, str]]:
    """A table's cells by row and column; the title is the header's first cell."""
    table = re.search(
        rf"^(\| {re.escape(title)} \|.*)\n\| ---.*\n((?:\|.*\n)+)", text, re.MULTILINE
    )
    assert table is not None, text
    header, *lines = ([c.strip() for c in x.split("|")[1:-1]] for x in table[0].splitlines())
    return {first: dict(zip(header[1:], rest, strict=True)) for first, *rest in lines[1:]}


OURS = [
    level(1, [0.1] * 20, [50, 60], 1),
    level(16, [1.0] * 96 + [9.0] * 5, [80, 100, 90, 104], 16),
    level(64, [5.0] * 200, [120, 128], 64),
]
ANCESTOR = [level(16, [40.0] * 3, [1000, 1280], 5)]


def test_the_table_says_what_was_measured() -> None:
    text = markdown(Results({"processor": "a fast one"}, "mini", 10, {"ours": OURS}))
    cells = rows(text, "mini, ours")["16 clients"]
    assert cells == {
        "stories/s": "10.1",
        "story p50, p95": "1.0 s, 1.0 s",
        "first token p50, p95": "100 ms, 100 ms",
        "accepted": "101",
        "429": "7",
        "503": "0",
        "errors": "3",
        "/healthz p95, max": "20 ms, 20 ms",
        "RSS": "208 MB",
        "growth": "8 MB",
        "PSS": "104 MB",
        "PSS a story": "6 MB",
        "clients' CPU": "5%",
    }
    assert "- processor: a fast one" in text
    assert "- 16 clients: 2 times status 500" in text
    assert "- ours: capacity 10.1 stories/s, 95 of 100 in less than 5 s, with 16 clients" in text
    assert "- the wait promised, 10 s: kept, p95 500 ms" in text
    assert "- /healthz in less than 50 ms: kept, p95 20 ms" in text


def test_capacity_is_the_best_level_in_time() -> None:
    assert capacity(OURS) is OURS[1]
    assert capacity(ANCESTOR) is None
    assert "ancestor: at every level" in markdown(Results({}, "mini", 10, {"ancestor": ANCESTOR}))


def test_a_broken_promise_is_called_so() -> None:
    late = level(1, [120.0], [50, 50], 1)
    assert "10 s: broken, p95 12.0 s" in markdown(Results({}, "mini", 10, {"ours": [late]}))


def test_ours_is_compared_with_the_ancestor() -> None:
    text = markdown(Results({}, "mini", 10, {"ours": OURS, "ancestor": ANCESTOR}))
    table = rows(text, "mini")
    assert list(table) == ["16 clients", "each at its best"]
    # 10.05 to 0.25 stories a second; 104 MB / 16, and 128 MB / 64, to 1280 MB / 5.
    assert [cells["ratio of stories/s"] for cells in table.values()] == ["**40**", "**40**"]
    assert [cells["ratio of PSS"] for cells in table.values()] == ["**2.5%**", "**0.8%**"]


def test_a_level_without_a_story_has_a_table_too() -> None:
    nothing = level(1, [], [50], 1)
    results = Results({}, "mini", 10, {"ours": [nothing], "ancestor": [nothing]})
    assert rows(markdown(results), "mini, ours")["1 client"]["story p50, p95"] == "-, -"


needs_nginx = pytest.mark.skipif(
    not shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin"), reason="needs nginx"
)


def command(checkpoint: Path, cache: Path, *options: str) -> list[str]:
    measure = [sys.executable, "-m", "bench.load", "--busy", "--model", str(checkpoint)]
    return [*measure, "--cache", str(cache), *options]


@needs_nginx
def test_the_command_measures_both(tiny_checkpoint: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        command(tiny_checkpoint, tmp_path, "--clients", "1,3", "--seconds", "0.5"),
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert list(rows(done.stdout, str(tiny_checkpoint))) == [
        "1 client",
        "3 clients",
        "each at its best",
    ]
    results = json.loads((tmp_path / "load.json").read_text())
    for levels in results["levels"].values():
        assert [x["clients"] for x in levels] == [1, 3]
        for x in levels:
            assert len(x["outcome"]["stories"]) >= x["clients"]
            assert x["outcome"]["errors"] == {}
            assert x["unhealthy"] == []


@needs_nginx
def test_an_interrupt_leaves_no_process_behind(tiny_checkpoint: Path, tmp_path: Path) -> None:
    options = ["--servers", "ours", "--clients", "2", "--seconds", "1000"]
    bench = subprocess.Popen(
        command(tiny_checkpoint, tmp_path, *options), cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    assert bench.stderr is not None
    assert "2 at once" in bench.stderr.readline()
    listed = Path(f"/proc/{bench.pid}/task/{bench.pid}/children")
    while len(started := listed.read_text().split()) < 3:  # uWSGI, nginx, the clients
        assert bench.poll() is None
        time.sleep(0.05)
    bench.send_signal(signal.SIGINT)
    _, errors = bench.communicate(timeout=60)
    assert bench.returncode == 130
    assert "Traceback" not in errors
    assert not [pid for pid in started if Path(f"/proc/{pid}").exists()]


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["--servers", "ours,IIS"], 2, "'IIS' is none of ours, ancestor"),
        (["--clients", "4,0"], 2, "at least one each"),
        (["--seconds", "0"], 2, "--seconds: must be between 0 and 3600"),
        (["--model", "nowhere"], 1, "bench.load: nowhere is not a folder: no checkpoint there"),
    ],
)
def test_wrong_arguments_are_explained(
    options: list[str], status: int, message: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.load", "--busy", "--cache", str(tmp_path), *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == status
    assert message in done.stderr
    assert "Traceback" not in done.stderr
