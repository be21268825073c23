"""Every failure as an answer: JSON for programs, a page for people, a stack trace for nobody."""

from flask import Flask, Response, make_response, render_template, request
from werkzeug.exceptions import HTTPException

from app.api import error_response
from app.schemas import ParameterError
from app.service import service
from engine import CheckpointError


def handle_errors(app: Flask) -> None:
    """Registers what the app does with errors."""
    app.register_error_handler(ParameterError, _wrong_parameter)
    app.register_error_handler(CheckpointError, _no_model)
    app.register_error_handler(MemoryError, _no_memory)
    app.register_error_handler(HTTPException, _http_error)


def _wrong_parameter(error: ParameterError) -> Response:
    return error_response(400, error.message, error.field)


def _no_model(_: CheckpointError) -> Response:
    return _later("no model can be served at present", seconds=60)


def _no_memory(_: MemoryError) -> Response:
    return _later("there is no memory for another story at present", seconds=10)


def _later(message: str, seconds: int) -> Response:
    response = error_response(503, message)
    response.headers["Retry-After"] = str(seconds)
    return response


def _http_error(error: HTTPException) -> Response:
    """Also what Flask makes of an unforeseen exception, which it has logged: a bare 500."""
    status = error.code or 500
    if request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html":
        page = render_template("error.html", settings=service().settings, name=error.name)
        response = make_response(page, status)
    else:
        response = error_response(status, error.description or error.name)
    for name, value in error.get_headers(request.environ):
        if name == "Allow":
            response.headers[name] = value
    return response
