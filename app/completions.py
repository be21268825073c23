"""OpenAI's completions API (`/v1`), for the programs that speak it: a face of the same stories.

Source: OpenAI API reference, "Completions" and "Models", 2025.
"""

import logging
import time
from collections.abc import Iterator
from typing import Annotated, Any
from uuid import uuid4

from flask import Blueprint, Response
from pydantic import BaseModel, ConfigDict, Field
from werkzeug.exceptions import UnsupportedMediaType

from app.api import begin, json_response, stream_response
from app.endings import End
from app.errors import add_headers, explain
from app.parameters import body_parameters, validate
from app.schemas import Answer, Error, ParameterError, Plain, Sample, StoryResponse
from app.service import service
from app.stories import Abandoned, Stories, Text
from engine import END_OF_TEXT

blueprint = Blueprint("completions", __name__, url_prefix="/v1")

STORY_NAMES = {"prefix": "prompt", "length": "max_tokens", "nsamples": "n"}
"""What our own API's parameters are called here, where they are called otherwise."""

_FINISH = {"stop": "stop", "length": "length", "deadline": "length", "filtered": "content_filter"}
_CODES = {401: "invalid_api_key", 429: "rate_limit_exceeded"}

_logger = logging.getLogger(__name__)

Stop = Annotated[Plain, Field(min_length=1, max_length=100)]


class StreamOptions(BaseModel):
    """What a stream ends with."""

    model_config = ConfigDict(extra="forbid")

    include_usage: bool = False


class CompletionRequest(BaseModel):
    """What OpenAI's clients send. Names that mean nothing here are taken at their defaults alone.

    top_k, repetition_penalty, end and resample are ours, for a client's `extra_body`.
    """

    model_config = ConfigDict(
        extra="forbid",
        allow_inf_nan=False,
        json_schema_extra={
            "not": {
                "required": ["stream", "resample"],
                "properties": {
                    "stream": {"const": True},
                    "resample": {"type": "integer", "minimum": 1},
                },
            }
        },
    )

    model: str = Field(max_length=200, description="a name of /v1/models")
    prompt: Plain | Annotated[list[Plain], Field(min_length=1, max_length=1)] | None = None
    max_tokens: int | None = Field(None, ge=1, description="16 if absent")
    temperature: float = Field(1.0, ge=0, le=2)
    top_p: float = Field(1.0, gt=0, le=1)
    n: int = Field(1, ge=1)
    stop: Stop | Annotated[list[Stop], Field(max_length=4)] | None = None
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    echo: bool = False
    stream: bool = False
    stream_options: StreamOptions | None = None
    user: str | None = Field(None, max_length=200, description="not used")
    best_of: int | None = Field(None, ge=1, le=1)
    frequency_penalty: float | None = Field(None, ge=0, le=0)
    presence_penalty: float | None = Field(None, ge=0, le=0)
    logprobs: None = None
    logit_bias: Annotated[dict[str, float], Field(max_length=0)] | None = None
    suffix: None = None

    top_k: int = Field(0, ge=0, le=100_000)
    repetition_penalty: float = Field(1.0, ge=0.1, le=10)
    end: End = "token"
    resample: int | None = Field(
        None, ge=0, le=5, description="0 in a stream, whose reader cannot take words back"
    )

    def story_parameters(self) -> dict[str, Any]:
        """The same as our own API would have it."""
        prompt = self.prompt[0] if isinstance(self.prompt, list) else self.prompt or ""
        return {
            "prefix": "" if prompt == END_OF_TEXT else prompt,  # their default, where all begins
            "length": 16 if self.max_tokens is None else self.max_tokens,
            "temperature": self.temperature,
            "top_k": self.top_k,
            "top_p": self.top_p,
            "repetition_penalty": self.repetition_penalty,
            "stop": [self.stop] if isinstance(self.stop, str) else self.stop or [],
            "include_prefix": self.echo,
            "nsamples": self.n,
            "seed": None if self.seed is None else self.seed % 2**32,
            "end": self.end,
            "resample": 0 if self.stream else self.resample,
        }


class Choice(Answer):
    """One text, or a piece of it."""

    text: str
    index: int
    logprobs: None = None
    finish_reason: str | None = None


class Usage(Answer):
    """Tokens of the prompt and of all choices."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Completion(Answer):
    """The answer, or a chunk of it."""

    id: str
    object: str = "text_completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage | None = None
    samples: list[Sample] | None = Field(
        default=None, description="what our own API tells of the choices: seeds, permalinks, copies"
    )


class ServedModel(Answer):
    """The one model there is."""

    id: str
    object: str = "model"
    created: int
    owned_by: str = "one-more-episode"


class ModelList(Answer):
    """All models that are served."""

    object: str = "list"
    data: list[ServedModel]


class CompletionError(Answer):
    """What was wrong, in OpenAI's words."""

    message: str
    type: str
    param: str | None
    code: str | None


class CompletionErrorResponse(Answer):
    """The body of every error under /v1."""

    error: CompletionError


class ModelNotFound(Exception):
    """No model of that name is served."""


@blueprint.get("/models")
def models() -> Response:
    """The one model that is served."""
    return json_response(ModelList(data=[_served()]).model_dump_json())


@blueprint.get("/models/<name>")
def model(name: str) -> Response:
    """The model of that name."""
    _check_name(name)
    return json_response(_served().model_dump_json())


@blueprint.post("/completions")
def completions() -> Response:
    """A story as a completion of a prompt."""
    values, typed = body_parameters()
    if not typed:
        raise UnsupportedMediaType("send application/json")
    asked = validate(CompletionRequest, values, typed=True)
    if asked.stream and asked.resample:
        raise ParameterError("resample", "cannot be had together with stream")
    _check_name(asked.model)
    try:
        story = validate(service().request_schema, asked.story_parameters(), typed=True)
        stories = begin(story)
    except ParameterError as error:
        name = error.field and STORY_NAMES.get(error.field, error.field)
        raise ParameterError(name, error.message) from None
    blank = Completion(
        id=f"cmpl-{uuid4().hex}", created=int(time.time()), model=asked.model, choices=[]
    )
    if asked.stream:
        with_usage = bool(asked.stream_options and asked.stream_options.include_usage)
        return stream_response(
            stories,
            _chunks(stories, blank, with_usage=with_usage),
            lambda status, words: f"data: {_error_text(status, words)}\n\n",
        )
    answer = stories.write()
    choices = [
        Choice(text=sample.text, index=i, finish_reason=_FINISH[sample.finish_reason])
        for i, sample in enumerate(_samples(answer))
    ]
    completion = blank.model_copy(update={"choices": choices, **_facts(stories, answer)})
    return json_response(completion.model_dump_json())


@blueprint.errorhandler(Exception)
def fail(error: Exception) -> Response:
    """The error, as OpenAI's clients read it."""
    if isinstance(error, Abandoned):
        raise error
    if isinstance(error, ModelNotFound):
        words = Error(message=str(error), field="model")
        return json_response(_error_text(404, words, "model_not_found"), 404)
    status, words = explain(error)
    if status == 500:
        _logger.exception("a completion failed")
    response = json_response(_error_text(status, words), status)
    add_headers(response, error, words)
    return response


def _error_text(status: int, error: Error, code: str | None = None) -> str:
    kind = "invalid_request_error" if status < 500 else "server_error"
    code = code or _CODES.get(status)
    words = CompletionError(message=error.message, type=kind, param=error.field, code=code)
    return CompletionErrorResponse(error=words).model_dump_json()


def _served() -> ServedModel:
    since = service().current_model.get().since
    return ServedModel(id=service().settings.checkpoint.name, created=since)


def _check_name(name: str) -> None:
    identity = service().current_model.get().model.identity
    if name not in (service().settings.checkpoint.name, identity):
        raise ModelNotFound(f"there is no model {name!r}: see /v1/models")


def _samples(answer: StoryResponse) -> list[Sample]:
    return answer.samples or [Sample(**answer.model_dump(include=set(Sample.model_fields)))]


def _facts(stories: Stories, answer: StoryResponse) -> dict[str, Any]:
    """A completion's usage and samples."""
    samples = _samples(answer)
    written = sum(sample.tokens for sample in samples)
    usage = Usage(
        prompt_tokens=stories.prompt_tokens,
        completion_tokens=written,
        total_tokens=stories.prompt_tokens + written,
    )
    return {"usage": usage, "samples": samples}


def _chunks(stories: Stories, blank: Completion, *, with_usage: bool) -> Iterator[str]:
    """Server-sent events as OpenAI's clients read them."""

    def chunk(**values: Any) -> str:
        return f"data: {blank.model_copy(update=values).model_dump_json()}\n\n"

    for event in stories.events():
        match event:
            case Text(index, text):
                yield chunk(choices=[Choice(text=text, index=index)])
            case _:  # the place in the line: a comment keeps the connection
                yield ": waiting\n\n"
    answer = stories.response()
    for i, sample in enumerate(_samples(answer)):
        end = Choice(text="", index=i, finish_reason=_FINISH[sample.finish_reason])
        yield chunk(choices=[end])
    if with_usage:
        yield chunk(**_facts(stories, answer))
    yield "data: [DONE]\n\n"
