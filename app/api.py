"""The API: stories as JSON, JSONP or server-sent events, and stories that were stored."""

import json
import logging
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from hashlib import blake2b
from typing import Any, TypeVar

from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException, NotFound

from app.errors import explain
from app.library import StoredStory
from app.limits import client_address
from app.parameters import body_parameters, query_parameters, validate
from app.schemas import (
    Error,
    ErrorResponse,
    Health,
    Likes,
    ParameterError,
    Readiness,
    Relative,
    StoryRecord,
    StoryRequest,
    StoryResponse,
    address,
)
from app.service import service
from app.stories import Abandoned, Event, Reset, Stories, Text, Waiting
from app.visitor import Visitor
from engine import CheckpointError

blueprint = Blueprint("api", __name__)

_NAME = "[A-Za-z_$][0-9A-Za-z_$]*"
CALLBACK = f"^{_NAME}([.]{_NAME})*$"
"""What a JavaScript name looks like, of at most 64 characters."""

_VOTERS = secrets.token_bytes(32)

_logger = logging.getLogger(__name__)

Found = TypeVar("Found")

Present = Callable[[StoryResponse], str]
"""How an answer is written as JSON."""


@blueprint.get("/generate")
def generate() -> Response:
    """A story for the query's parameters."""
    return _answer_query(query_parameters(), StoryResponse.model_dump_json)


@blueprint.post("/generate")
def generate_from_body() -> Response:
    """A story for the body's parameters."""
    values, typed = body_parameters()
    story = validate(service().request_schema, values, typed=typed)
    return answer(story, StoryResponse.model_dump_json)


@blueprint.post("/")
def generate_as_cloud_run() -> Response:
    """A story for the parameters that gpt-2-cloud-run's page sent, numbers as strings."""
    values, _ = body_parameters()
    story = validate(service().request_schema, values)
    return answer(story, StoryResponse.model_dump_json)


@blueprint.get("/stories/<id>")
def read_story(id: str) -> Response:
    """A stored story."""
    return json_response(_record(stored_story(id)).model_dump_json())


@blueprint.post("/stories/<id>/like")
def like_story(id: str) -> Response:
    """One more like, once for each client."""
    return json_response(Likes(likes=like(id)).model_dump_json())


@blueprint.get("/healthz")
def healthz() -> Response:
    """Whether the process lives, and what it is doing."""
    queue = service().queue
    return json_response(Health(running=queue.running, waiting=queue.waiting).model_dump_json())


@blueprint.get("/readyz")
def readyz() -> Response:
    """Whether stories can be written, and by which model."""
    current = service().current_model
    try:
        model = current.get().model
    except CheckpointError as error:
        state = Readiness(status="unavailable", error=str(error))
        return json_response(state.model_dump_json(), 503)
    state = Readiness(status="ok", model=model.identity, error=current.error)
    return json_response(state.model_dump_json())


def is_for_api() -> bool:
    """Whether the present GET of / is one of a program, as the ancestors' were."""
    if not set(request.args).isdisjoint({*StoryRequest.model_fields, "sample", "callback"}):
        return True
    accepted = request.accept_mimetypes
    return accepted.best_match(["text/html", "application/json"]) == "application/json"


def answer_ancestor(values: dict[str, Any]) -> Response:
    """The ancestor's contract: `prefix`, or `sample` for an answer that calls its text so."""
    if "sample" not in values:
        return _answer_query(values, StoryResponse.model_dump_json)
    if "prefix" in values:
        raise ParameterError("sample", "is another name of prefix: give one of them")
    values["prefix"] = values.pop("sample")
    try:
        return _answer_query(values, _present_sample)
    except ParameterError as error:
        if error.field == "prefix":
            raise ParameterError("sample", error.message) from None
        raise


def answer(story: StoryRequest, present: Present) -> Response:
    """A story, at once or as a stream. HEAD writes none."""
    if request.method == "HEAD":
        return json_response("")
    stories = begin(story)
    if not story.stream:
        return json_response(present(stories.write()))
    return stream_response(
        stories,
        _events(stories, present),
        lambda _, words: _event("error", ErrorResponse(error=words).model_dump_json()),
    )


def begin(story: StoryRequest) -> Stories:
    """Lets a request in: it counts for its client, and has its place in the queue.

    Raises werkzeug's Unauthorized and TooManyRequests, and what Stories raises.
    """
    stories = Stories(story, service(), Visitor.current(), _voter())
    try:
        service().limits.admit_stories(story.nsamples)
    except HTTPException:
        stories.close()
        raise
    return stories


def stream_response(
    stories: Stories, events: Iterator[str], tell: Callable[[int, Error], str]
) -> Response:
    """Server-sent events of stories being written; tell makes the last one of a failure's status
    and words."""
    response = Response(
        _until_it_fails(events, tell),
        mimetype="text/event-stream",
        headers={**_FRESH, "X-Accel-Buffering": "no"},  # nginx: pass each event on at once
    )
    response.call_on_close(stories.close)  # a reader may leave before the first event
    return response


def json_response(body: str, status: int = 200) -> Response:
    """An answer that nobody keeps."""
    return Response(body, status, mimetype="application/json", headers=_FRESH)


def stored_story(id: str) -> StoredStory:
    """The story of that id. Raises NotFound."""
    return _found(service().library.get(id))


def like(id: str) -> int:
    """Counts the present client's like; the likes of the story. Raises NotFound."""
    service().limits.admit_like()
    return _found(service().library.like(id, _voter()))


def is_served(story: StoredStory) -> bool:
    """Whether the model that wrote the story is the one that writes now."""
    try:
        return service().current_model.get().model.identity == story.model
    except CheckpointError:
        return False


def _voter() -> str:
    """What the present client is called where its picks are stored.

    A hash of its address with a key that nobody keeps. Until the service is started anew a client
    counts once for a story, and training can take few stories of each; nobody learns who it was.
    """
    return blake2b(client_address().encode(), key=_VOTERS, digest_size=16).hexdigest()


def _found(what: Found | None) -> Found:
    if what is None:
        raise NotFound("there is no such story")
    return what


def _record(story: StoredStory) -> StoryRecord:
    relatives = [
        Relative(**asdict(one), url=address(one.id)) for one in service().library.family(story.id)
    ]
    return StoryRecord(
        **asdict(story),
        url=address(story.id),
        is_served=is_served(story),
        family=relatives,
    )


def _answer_query(values: dict[str, Any], present: Present) -> Response:
    values.pop("_", None)  # what jQuery adds against caches
    callback = values.pop("callback", None)
    if callback is None:
        return answer(validate(service().request_schema, values), present)
    if len(callback) > 64 or not re.fullmatch(CALLBACK, callback):
        raise ParameterError("callback", "must be a JavaScript name of at most 64 characters")
    story = validate(service().request_schema, values)
    if story.stream:
        raise ParameterError("callback", "cannot be had together with stream")
    response = answer(story, present)
    # A script may end at </script>, and before 2019 at U+2028. The comment keeps an answer from
    # being taken for another kind of file (CVE-2014-4671).
    if body := response.get_data(as_text=True):
        text = json.dumps(json.loads(body)).replace("<", "\\u003c")
        response.set_data(f"/**/{callback}({text});")
    response.mimetype = "application/javascript"
    return response


def _events(stories: Stories, present: Present) -> Iterator[str]:
    """The events of stories being written, then the whole answer as the event `done`."""
    for event in stories.events():
        yield _event(*_describe(event))
    yield _event("done", present(stories.response()))


def _until_it_fails(events: Iterator[str], tell: Callable[[int, Error], str]) -> Iterator[str]:
    try:
        yield from events
    except Abandoned:
        return
    except Exception as error:
        status, words = explain(error)
        if status == 500:
            _logger.exception("a stream broke off")
        yield tell(status, words)


def _describe(event: Event) -> tuple[str, str]:
    match event:
        case Waiting(position, wait):
            return "queued", json.dumps({"position": position, "wait": wait})
        case Text(index, text):
            return "text", json.dumps({"index": index, "text": text}, ensure_ascii=False)
        case Reset(index, reason):
            return "reset", json.dumps({"index": index, "reason": reason})


def _event(name: str, data: str) -> str:
    return f"event: {name}\ndata: {data}\n\n"


def _present_sample(response: StoryResponse) -> str:
    values = json.loads(response.model_dump_json())
    return json.dumps({"sample_text": values.pop("text"), **values}, ensure_ascii=False)


_FRESH: Mapping[str, str] = {"Cache-Control": "no-store"}
