"""A WSGI app for test_visitor.py, whose answers wait for what the test does."""

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from app.visitor import Visitor, stop_gracefully, stopping

stop_gracefully()

FOLDER = Path(os.environ["FOLDER"])


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
    """Answers when the file `release` appears in FOLDER or the visitor has left, and writes what
    it has seen into a file of FOLDER that is named by the query."""
    start_response("200 OK", [("Content-Type", "application/json"), ("X-Accel-Buffering", "no")])
    name = environ["QUERY_STRING"]
    seen = {"left": False, "stopping": False, "asked": 0}
    visitor = Visitor.current()
    yield b" "
    while not (seen["left"] or (FOLDER / "release").exists()):
        seen = {
            "left": visitor.has_left(),
            "stopping": stopping(),
            "asked": seen["asked"] + 1,
        }
        note(name, seen)
        time.sleep(0.01)
    yield json.dumps(seen).encode()


def note(name: str, seen: dict[str, Any]) -> None:
    (FOLDER / f".{name}").write_text(json.dumps(seen))
    (FOLDER / f".{name}").replace(FOLDER / name)
