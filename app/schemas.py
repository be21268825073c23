"""What a request may say and what an answer says: one definition for every way of asking."""

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model, field_validator

from app.endings import End
from app.settings import Settings
from engine import END_OF_TEXT

FinishReason = Literal["stop", "length", "deadline", "filtered"]


# How numbers and booleans are spelled in a query or a form: pydantic also takes `yes` and `1_0`.
_INTEGER = re.compile(r"-?\d+", re.ASCII)
_NUMBER = re.compile(r"-?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?", re.ASCII)
_BOOLEAN = re.compile("true|false", re.IGNORECASE)


Plain = Annotated[str, Field(json_schema_extra={"pattern": "^[^\\u0000]*$"})]
"""Text without NUL, which the models' own validators refuse in plainer words."""
Prefix = Annotated[
    Plain,
    Field(
        description="how the story begins; the model sees the end of one that leaves no room for"
        " the story in its context window"
    ),
]
Length = Annotated[int, Field(ge=1, description="new tokens at most, the prefix not counted")]
Samples = Annotated[int, Field(ge=1, description="sample i has the seed (seed + i) mod 2^32")]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
StoryId = Annotated[str, Field(pattern="^[0-9a-z]{12}$")]


def address(story: str) -> str:
    """Where the story of that id has its page."""
    return f"/s/{story}"


class ParameterError(ValueError):
    """A parameter is wrong; field is its name, or None where the whole request is."""

    def __init__(self, field: str | None, message: str) -> None:
        super().__init__(message)
        self.field = field and field[:64].encode(errors="replace").decode()
        self.message = message


class StoryRequest(BaseModel):
    """The parameters of a story, named as in gpt-2-simple."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    prefix: Prefix = ""
    length: Length = 400
    temperature: float = Field(0.7, ge=0, le=10, description="0: always the likeliest token")
    top_k: int = Field(40, ge=0, le=100_000, description="0: off")
    top_p: float = Field(0.0, ge=0, le=1, description="0: off")
    repetition_penalty: float = Field(
        1.0,
        ge=0.1,
        le=10,
        description="above 1: tokens that the model sees already become less likely; 1: off",
    )
    stop: list[Annotated[Plain, Field(min_length=1, max_length=100)]] = Field(
        default_factory=list,
        max_length=8,
        description="the continuation ends before any of these; may be given several times",
    )
    truncate: Plain = Field("", max_length=100, description="gpt-2-simple's name of one stop")
    include_prefix: bool = Field(True, description="whether the text begins with the prefix")
    nsamples: Samples = 1
    seed: Seed | None = Field(None, description="random if absent")
    end: End = Field("sentence", description="where a text ends that ran out of tokens")
    stream: bool = Field(False, description="server-sent events")
    resample: int | None = Field(
        None,
        ge=0,
        le=5,
        description="how often a text that is empty, loops, is copied from the corpus or has a"
        " word of the owner's list is drawn anew with another seed; 3 if absent, but 0 where a"
        " seed is given, so that the seed replays its text",
    )
    parent: StoryId | None = Field(
        None, description="id of the story that this one continues, or is another version of"
    )

    @field_validator("prefix", "truncate", "stop", mode="before")
    @classmethod
    def _plain(cls, text: object) -> object:
        """Line ends as in the corpus, before anything is counted: forms send CRLF."""
        if isinstance(text, list):
            return [cls._plain(item) for item in text]
        if not isinstance(text, str):
            return text
        if "\0" in text:
            raise ValueError("must not contain NUL")
        return text.replace("\r\n", "\n")

    @field_validator("length", "top_k", "nsamples", "seed", "resample", mode="before")
    @classmethod
    def _integer(cls, value: object) -> object:
        if isinstance(value, bool) or (isinstance(value, str) and not _INTEGER.fullmatch(value)):
            raise ValueError("should be a valid integer")
        return value

    @field_validator("temperature", "top_p", "repetition_penalty", mode="before")
    @classmethod
    def _number(cls, value: object) -> object:
        if isinstance(value, bool) or (isinstance(value, str) and not _NUMBER.fullmatch(value)):
            raise ValueError("should be a valid number")
        return value

    @field_validator("include_prefix", "stream", mode="before")
    @classmethod
    def _boolean(cls, value: object) -> object:
        if isinstance(value, bool) or (isinstance(value, str) and _BOOLEAN.fullmatch(value)):
            return value
        raise ValueError("should be true or false")

    @field_validator("prefix")
    @classmethod
    def _one_document(cls, prefix: str) -> str:
        if END_OF_TEXT in prefix:
            raise ValueError(f"must not contain {END_OF_TEXT}")
        return prefix

    @property
    def stops(self) -> list[str]:
        """All strings that end the text."""
        return [*self.stop, self.truncate] if self.truncate else self.stop

    @property
    def draws(self) -> int:
        """How often a sample may be drawn, the first time counted."""
        if self.temperature == 0:
            return 1  # it would be the same text
        if self.resample is None:
            return 4 if self.seed is None else 1
        return 1 + self.resample


def bounded_request(settings: Settings) -> type[StoryRequest]:
    """StoryRequest with the bounds that this server's settings give."""
    most = min(settings.max_samples, settings.max_batch)
    return create_model(
        StoryRequest.__name__,
        __base__=StoryRequest,
        __doc__=StoryRequest.__doc__,
        prefix=(Annotated[Prefix, Field(max_length=settings.max_prefix)], ""),
        length=(Annotated[Length, Field(le=settings.max_length)], min(400, settings.max_length)),
        nsamples=(Annotated[Samples, Field(le=most)], 1),
    )


class Answer(BaseModel):
    """What the service says. A field is always there, unless it has exclude_if."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)


def _is_none(value: object) -> bool:
    return value is None


class Copied(Answer):
    """A run of 12 words or more that stands so in the corpus, whatever its case and punctuation."""

    text: str
    words: int
    source: str = Field(description="title of the document, or how it begins")


class Sample(Answer):
    """One text. Its seed replays it, with the same model, prefix and parameters."""

    text: str
    seed: int
    tokens: int = Field(description="tokens that the model wrote")
    finish_reason: FinishReason = Field(
        description="stop: the text ended by itself or at a stop; length: it ran out of tokens;"
        " deadline: it ran out of time; filtered: it ends before a word of the owner's list, or"
        " before it began to loop"
    )
    id: StoryId | None = Field(default=None, description="null where it could not be stored")
    url: str | None = Field(default=None, description="address of its page")
    copied: list[Copied] | None = Field(
        default=None,
        description="what is copied from the corpus; null where there is no index of it",
    )
    attempts: int = Field(default=1, description="how often it was drawn")


class StoryResponse(Sample):
    """The answer: sample 0's fields, and all samples where more than one was asked for."""

    prefix: str
    model: str = Field(description="identity of the model that wrote it")
    samples: list[Sample] | None = Field(
        default=None, exclude_if=_is_none, description="left out where there is one alone"
    )


class Relative(Answer):
    """A story of the same tree of continuations and other versions."""

    id: StoryId
    url: str
    parent: str | None
    excerpt: str
    likes: int
    created: datetime


class StoryRecord(Answer):
    """A stored story, and what it takes to write it again: model, prefix, parameters, seed."""

    id: StoryId
    url: str
    created: datetime
    prefix: str
    text: str = Field(description="what follows the prefix")
    model: str
    is_served: bool = Field(description="whether that model is the one that writes now")
    parameters: dict[str, Any]
    seed: int
    tokens: int
    finish_reason: FinishReason
    attempts: int
    copied: list[Copied] | None
    parent: str | None
    likes: int
    family: list[Relative] = Field(description="parents first")


class Likes(Answer):
    """How often a story is liked now."""

    likes: int


class Health(Answer):
    """The process lives."""

    status: Literal["ok"] = "ok"
    running: int = Field(description="requests whose stories are being written")
    waiting: int = Field(description="requests in the queue")


class Readiness(Answer):
    """Whether stories can be written."""

    status: Literal["ok", "unavailable"]
    model: str | None = Field(default=None, description="identity of the model that writes")
    error: str | None = Field(
        default=None, description="why the checkpoint's present content is not served"
    )


class Error(Answer):
    """What was wrong; field is the parameter's name where one was."""

    field: str | None = None
    message: str
    retry_after: int | None = Field(
        default=None, exclude_if=_is_none, description="seconds, as in Retry-After; else left out"
    )


class ErrorResponse(Answer):
    """The body of every error."""

    error: Error
