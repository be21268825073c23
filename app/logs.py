"""The log: lines on stderr, for people or as JSON, each with the id of the request it is about."""

import logging
import re
from contextvars import ContextVar
from urllib.parse import quote
from uuid import uuid4

from flask import Flask, Response, request
from pythonjsonlogger.json import JsonFormatter

from app.finished import Finished
from app.settings import LogFormat

_HEADER = "X-Request-ID"
_ID = re.compile("[0-9A-Za-z-]{1,64}")
# Asked for every few seconds by a machine.
_ROUTINE = ("/healthz", "/readyz", "/metrics", "/static/")

# Not Flask's g, which is gone while a stream is being sent. A thread serves one request at a time.
_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

_access = logging.getLogger("app.access")


def configure_logs(log_format: LogFormat) -> None:
    """Sends the process's log to stderr, unless somebody has already said where it goes."""
    handler = logging.StreamHandler()
    handler.setFormatter(_JSON if log_format == "json" else _TEXT)
    handler.addFilter(_add_request_id)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("alembic").setLevel(logging.WARNING)  # else two lines at each start


def name_requests(app: Flask) -> None:
    """Gives each request and its answer an id: that of nginx's X-Request-ID, if there is one."""
    app.before_request(_begin)
    app.after_request(_tell_id)


def log_finished(finished: Finished) -> None:
    """The access log's line of a request. Says nothing of the address, which nginx has seen."""
    path = quote(finished.path)
    milliseconds = round(finished.seconds * 1000, 1)
    routine = path.startswith(_ROUTINE) and finished.status < 400
    _access.log(
        logging.DEBUG if routine else logging.INFO,
        "%s %s %d %s ms",
        finished.method,
        path,
        finished.status,
        milliseconds,
        extra={
            "method": finished.method,
            "path": path,
            "endpoint": finished.endpoint,
            "status": finished.status,
            "ms": milliseconds,
            "bytes": finished.bytes,
            "key": finished.key,
        },
    )


def _begin() -> None:
    given = request.headers.get(_HEADER, "")
    _request_id.set(given if _ID.fullmatch(given) else uuid4().hex)


def _tell_id(response: Response) -> Response:
    response.headers[_HEADER] = _request_id.get()
    return response


def _add_request_id(record: logging.LogRecord) -> bool:
    record.request_id = _request_id.get()
    return True


_TEXT = logging.Formatter("%(levelname)s %(name)s: %(message)s")
_JSON = JsonFormatter(
    ["time", "levelname", "name", "message", "request_id"],
    rename_fields={"levelname": "level", "name": "logger"},
    timestamp="time",
)
