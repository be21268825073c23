"""Every failure as an answer: JSON for programs, a page for people, a stack trace for nobody."""

import logging
import math
from http import HTTPStatus

from flask import Flask, Response, make_response, render_template, request
from werkzeug.exceptions import HTTPException

from app.library import LibraryError
from app.queue import Overloaded
from app.schemas import Error, ErrorResponse, ParameterError
from app.service import service
from app.stories import Abandoned, Stopping
from engine import CheckpointError

_logger = logging.getLogger(__name__)

_CLIENT_CLOSED_REQUEST = 499  # nginx's name and number: for the log, nobody reads the answer


# What passes by itself: in which words, and in how many seconds perhaps.
_LATER: dict[type[Exception], tuple[str, int]] = {
    Stopping: ("the service is about to restart", 5),
    CheckpointError: ("no model can be served at present", 60),
    MemoryError: ("there is no memory for another story at present", 10),
    LibraryError: ("the stories cannot be read at present", 10),
}

EXPECTED: tuple[type[Exception], ...] = (ParameterError, Overloaded, *_LATER, HTTPException)
"""What a request may end with when all is well."""


def handle_errors(app: Flask) -> None:
    """Registers what the app does with errors."""
    for kind in EXPECTED:
        app.register_error_handler(kind, _expected)
    app.register_error_handler(Abandoned, lambda _: Response(status=_CLIENT_CLOSED_REQUEST))


def explain(error: Exception) -> tuple[int, Error]:
    """Status and words for a failure that is part of the service's life, or that HTTP has a status
    for; a bare 500 for others."""
    if isinstance(error, ParameterError):
        return 400, Error(field=error.field, message=error.message)
    if isinstance(error, Overloaded):
        return 429, _later("too many stories are being written", error.retry_after)
    if isinstance(error, HTTPException):
        retry_after = getattr(error, "retry_after", None)  # of TooManyRequests: seconds
        words = Error(message=error.description or error.name, retry_after=retry_after)
        return error.code or 500, words
    if isinstance(error, LibraryError):
        _logger.error("%s", error)
    for kind, (message, seconds) in _LATER.items():
        if isinstance(error, kind):
            return 503, _later(message, seconds)
    return 500, Error(message="the story could not be finished")


def add_headers(response: Response, error: Exception, words: Error) -> None:
    """What an error has to say in headers: which methods are allowed, when to come again..."""
    if words.retry_after is not None:
        response.headers["Retry-After"] = str(words.retry_after)
    if isinstance(error, HTTPException):
        for name, value in error.get_headers(request.environ):
            if name in ("Allow", "WWW-Authenticate"):
                response.headers[name] = value


def _later(message: str, seconds: float) -> Error:
    return Error(message=message, retry_after=math.ceil(seconds))


def _expected(error: Exception) -> Response:
    """Also what Flask makes of an unforeseen exception, which it has logged: a bare 500."""
    status, words = explain(error)
    accepted = request.accept_mimetypes.best_match(["application/json", "text/html"])
    if accepted == "text/html" and not isinstance(error, ParameterError):
        name = HTTPStatus(status).phrase
        page = render_template("error.html", settings=service().settings, name=name)
        response = make_response(page, status)
    else:
        text = ErrorResponse(error=words).model_dump_json()
        response = Response(text, status, mimetype="application/json")
        response.headers["Cache-Control"] = "no-store"
    add_headers(response, error, words)
    return response
