"""The API: stories as JSON, JSONP or server-sent events, and the state of the service."""

import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from flask import Blueprint, Response

from app.parameters import body_parameters, query_parameters, validate
from app.schemas import Error, ErrorResponse, ParameterError, StoryRequest, StoryResponse
from app.service import service
from app.stories import Stories
from engine import CheckpointError

blueprint = Blueprint("api", __name__)

# jQuery adds `_` to every JSONP request, against caches.
_JSONP = {"callback", "_"}
_CALLBACK = re.compile(r"[A-Za-z_$][\w$]*(\.[A-Za-z_$][\w$]*)*", re.ASCII)

_logger = logging.getLogger(__name__)

Present = Callable[[StoryResponse], str]
"""How an answer is written as JSON."""


@blueprint.get("/generate")
def generate() -> Response:
    """A story for the query's parameters."""
    return _answer_query(query_parameters(), _present)


@blueprint.post("/generate")
def generate_from_body() -> Response:
    """A story for the body's parameters."""
    values, typed = body_parameters()
    return _answer(validate(service().request_schema, values, typed=typed), _present)


@blueprint.get("/healthz")
def healthz() -> tuple[dict[str, Any], int]:
    """Whether stories can be written, and by which model."""
    current = service().current_model
    try:
        model = current.get()
    except CheckpointError as error:
        return {"status": "unavailable", "model": None, "error": str(error)}, 503
    stats = model.stats()
    return {
        "status": "ok",
        "model": model.identity,
        "error": current.error,
        "running": stats.running,
        "waiting": stats.waiting,
    }, 200


def is_for_api(names: set[str]) -> bool:
    """Whether a request for / with these parameters is one of a program, as the ancestor's were."""
    return not names.isdisjoint({*StoryRequest.model_fields, "sample", "callback"})


def answer_ancestor(values: dict[str, str]) -> Response:
    """The ancestor's contract: `prefix`, or `sample` for an answer that calls its text so."""
    if "sample" not in values:
        return _answer_query(values, _present)
    if "prefix" in values:
        raise ParameterError("sample", "is another name of prefix: give one of them")
    values["prefix"] = values.pop("sample")
    try:
        return _answer_query(values, _present_sample)
    except ParameterError as error:
        if error.field == "prefix":
            raise ParameterError("sample", error.message) from None
        raise


def error_response(status: int, message: str, field: str | None = None) -> Response:
    """The answer to a request that failed."""
    body = ErrorResponse(error=Error(field=field, message=message))
    return _json(body.model_dump_json(), status)


def _answer_query(values: dict[str, str], present: Present) -> Response:
    callback = values.get("callback")
    if callback is None:
        return _answer(validate(service().request_schema, values), present)
    if len(callback) > 64 or not _CALLBACK.fullmatch(callback):
        raise ParameterError("callback", "must be a JavaScript name of at most 64 characters")
    values = {name: value for name, value in values.items() if name not in _JSONP}
    story = validate(service().request_schema, values)
    if story.stream:
        raise ParameterError("callback", "cannot be had together with stream")
    # A script may end at </script>, and before 2019 at U+2028. The comment keeps an answer from
    # being taken for another kind of file (CVE-2014-4671).
    text = json.dumps(json.loads(present(_write(story)))).replace("<", "\\u003c")
    return Response(f"/**/{callback}({text});", mimetype="application/javascript", headers=_FRESH)


def _answer(story: StoryRequest, present: Present) -> Response:
    if not story.stream:
        return _json(present(_write(story)))
    stories = Stories(service().current_model.get(), story)
    response = Response(
        _events(stories, present),
        mimetype="text/event-stream",
        headers={**_FRESH, "X-Accel-Buffering": "no"},  # nginx: pass each event on at once
    )
    response.call_on_close(stories.close)  # a reader may leave before the first event
    return response


def _write(story: StoryRequest) -> StoryResponse:
    return Stories(service().current_model.get(), story).write()


def _events(stories: Stories, present: Present) -> Iterator[str]:
    """Pieces of text as they come, then the whole answer as the event `done`."""
    try:
        for index, text in stories.pieces():
            yield _event("text", json.dumps({"index": index, "text": text}, ensure_ascii=False))
        yield _event("done", present(stories.response()))
    except Exception:
        _logger.exception("a stream broke off")
        error = Error(message="the story could not be finished")
        yield _event("error", ErrorResponse(error=error).model_dump_json())


def _event(name: str, data: str) -> str:
    return f"event: {name}\ndata: {data}\n\n"


def _present(response: StoryResponse) -> str:
    return response.model_dump_json(exclude_none=True)


def _present_sample(response: StoryResponse) -> str:
    values = response.model_dump(exclude_none=True)
    return json.dumps({"sample_text": values.pop("text"), **values}, ensure_ascii=False)


_FRESH: Mapping[str, str] = {"Cache-Control": "no-store"}


def _json(body: str, status: int = 200) -> Response:
    return Response(body, status, mimetype="application/json", headers=_FRESH)
