"""The log: its lines, and what they must not hold."""

import json
import logging
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient

from .conftest import ROOT, Server, StartUwsgi, wait_until

ID = "0123456789abcdef-ABCDEF"


def records(server: Server) -> list[dict[str, Any]]:
    """The app's own lines; uWSGI's are no JSON."""
    lines = server.log.read_text().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def line_of(server: Server, request_id: str) -> dict[str, Any]:
    """The access log's line of a request, which is written after its answer."""

    def found() -> list[dict[str, Any]]:
        return [
            record
            for record in records(server)
            if record["request_id"] == request_id and record["logger"] == "app.access"
        ]

    wait_until(lambda: bool(found()))
    (record,) = found()
    return record


@pytest.fixture(scope="module")
def server(
    start_uwsgi: StartUwsgi, busy_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> Server:
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text("alice alices-key-of-16-letters 100/minute\n")
    return start_uwsgi(busy_checkpoint, LOG_FORMAT="json", API_KEYS=str(keys))


def test_a_request_is_one_line_of_json(server: Server) -> None:
    answer = requests.post(
        f"{server.url}/generate",
        json={"prefix": "confidential", "length": 3},
        headers={"X-Request-ID": ID, "X-API-Key": "alices-key-of-16-letters"},
        timeout=60,
    )
    assert answer.headers["X-Request-ID"] == ID
    record = line_of(server, ID)
    at = datetime.fromisoformat(record.pop("time"))
    assert at.tzinfo == UTC
    assert abs((datetime.now(UTC) - at).total_seconds()) < 600
    milliseconds = record.pop("ms")
    assert 0 < milliseconds < 60_000
    assert record == {
        "level": "INFO",
        "logger": "app.access",
        "message": f"POST /generate 200 {milliseconds} ms",
        "request_id": ID,
        "method": "POST",
        "path": "/generate",
        "endpoint": "api.generate_from_body",
        "status": 200,
        "bytes": len(answer.content),
        "key": "alice",
    }


@pytest.mark.parametrize("given", [None, "", "a b", "a" * 65, 'x"}', "é"])
def test_another_id_is_replaced(client: FlaskClient, given: str | None) -> None:
    headers = {} if given is None else {"X-Request-ID": given}
    answers = [client.get("/nowhere", headers=headers) for _ in range(2)]
    ids = {answer.headers["X-Request-ID"] for answer in answers}
    assert len(ids) == 2
    assert all(re.fullmatch("[0-9a-f]{32}", name) for name in ids)


def test_a_stream_is_logged_when_it_ends(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    def told() -> list[logging.LogRecord]:
        return [record for record in caplog.records if record.name == "app.access"]

    with caplog.at_level(logging.INFO):
        answer = client.get("/generate?length=9&stream=true")
        started = time.perf_counter()
        assert next(answer.iter_encoded())
        assert not told()
        seconds = time.perf_counter() - started
        answer.close()
    (record,) = told()
    values = vars(record)
    assert (values["path"], values["status"], values["bytes"]) == ("/generate", 200, None)
    assert values["ms"] >= round(seconds * 1000, 1)


def test_nothing_that_is_typed_is_logged(server: Server) -> None:
    query = {"prefix": "confidential", "length": "900", "end": "token", "stream": "true"}
    url = f"{server.url}/generate"
    with requests.get(
        url, params=query, headers={"X-Request-ID": "leaves"}, stream=True, timeout=60
    ) as answer:
        next(answer.iter_lines(chunk_size=1))  # and the reader leaves
    assert line_of(server, "leaves")["bytes"] is None
    for path, headers in (
        ("/?sample=confidential&length=2", {}),
        ("/story?prefix=confidential&length=2", {"Referer": "http://x/?prefix=confidential"}),
        ("/generate?prefix=confidential&top_p=confidential", {"User-Agent": "confidential"}),
        ("/generate?length=2", {"Authorization": "Bearer confidential-key-confidential"}),
    ):
        answer = requests.get(f"{server.url}{path}", headers=headers, timeout=60)
        line_of(server, answer.headers["X-Request-ID"])
    assert "confidential" not in server.log.read_text()


def test_what_a_stream_logs_has_its_id(tiny_checkpoint: Path) -> None:
    """In a process of its own, whose log is that of the app."""
    script = f"""
from app import create_app
from app.stories import Stories, Text
def events(self):
    yield Text(0, "Wren")
    raise RuntimeError("it broke")
Stories.events = events
client = create_app({{"CHECKPOINT": {str(tiny_checkpoint)!r}, "LOG_FORMAT": "json"}}).test_client()
client.get("/generate?stream=true", headers={{"X-Request-ID": "{ID}"}}, buffered=True)
client.get("/two%0Alines", buffered=True)
"""
    finished = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    lines = [json.loads(line) for line in finished.stderr.splitlines()]
    broken, access, other = [line for line in lines if line["logger"] in ("app.api", "app.access")]
    assert "it broke" in broken["exc_info"]
    assert broken["level"] == "ERROR"
    assert broken["request_id"] == access["request_id"] == ID
    assert other["path"] == "/two%0Alines"
    assert other["endpoint"] is None
    assert other["request_id"] != ID


def test_what_machines_ask_for_is_not_told(
    service_app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    client = service_app.test_client()
    with caplog.at_level(logging.INFO):
        for path in ("/healthz", "/static/style.css", "/"):
            assert client.get(path, buffered=True).status_code == 200
        client.get("/static/none", buffered=True)
    told = [record.getMessage() for record in caplog.records if record.name == "app.access"]
    assert [line.split(" ")[:3] for line in told] == [
        ["GET", "/", "200"],
        ["GET", "/static/none", "404"],
    ]


def test_without_a_setting_lines_are_for_people(tiny_checkpoint: Path) -> None:
    script = f"""
from app import create_app
create_app({{"CHECKPOINT": {str(tiny_checkpoint)!r}}}).test_client().get("/", buffered=True)
"""
    finished = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    last = finished.stderr.splitlines()[-1]
    assert re.fullmatch(r"INFO app\.access: GET / 200 [\d.]+ ms", last)
