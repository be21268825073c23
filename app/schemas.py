"""What a request may say and what an answer says: one definition for every way of asking."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from app.endings import End
from app.settings import Settings
from engine import END_OF_TEXT

FinishReason = Literal["stop", "length"]


Prefix = Annotated[
    str,
    Field(
        description="how the story begins; the model sees the end of one that leaves no room for"
        " the story in its context window"
    ),
]
Length = Annotated[
    int,
    Field(
        ge=1,
        description="new tokens at most, the prefix not counted",
    ),
]
Samples = Annotated[int, Field(ge=1, description="sample i has the seed (seed + i) mod 2^32")]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


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
    truncate: str = Field("", max_length=100, description="the continuation ends before this")
    include_prefix: bool = True
    nsamples: Samples = 1
    seed: Seed | None = Field(None, description="random if absent")
    end: End = Field("sentence", description="where a text ends that ran out of tokens")
    stream: bool = Field(False, description="server-sent events")

    @field_validator("prefix", "truncate", mode="before")
    @classmethod
    def _line_ends(cls, text: object) -> object:
        """As in the corpus, before anything is counted; forms send CRLF."""
        return text.replace("\r\n", "\n") if isinstance(text, str) else text

    @field_validator("prefix", "truncate")
    @classmethod
    def _no_nul(cls, text: str) -> str:
        if "\0" in text:
            raise ValueError("must not contain NUL")
        return text

    @field_validator("prefix")
    @classmethod
    def _one_document(cls, prefix: str) -> str:
        if END_OF_TEXT in prefix:
            raise ValueError(f"must not contain {END_OF_TEXT}")
        return prefix


def bounded_request(settings: Settings) -> type[StoryRequest]:
    """StoryRequest with the bounds that this server's settings give."""

    class BoundedRequest(StoryRequest):
        prefix: Annotated[Prefix, Field(max_length=settings.max_prefix)] = ""
        length: Annotated[Length, Field(le=settings.max_length)] = min(400, settings.max_length)
        nsamples: Annotated[Samples, Field(le=settings.max_samples)] = 1

    return BoundedRequest


class Sample(BaseModel):
    """One text. seed alone replays it, with the same model, prefix and parameters."""

    text: str
    seed: int
    tokens: int = Field(description="tokens that the model wrote")
    finish_reason: FinishReason = Field(
        description="stop: the text ended by itself or at truncate; length: it ran out of tokens"
    )


class StoryResponse(Sample):
    """The answer: sample 0's fields, and all samples where more than one was asked for."""

    prefix: str
    model: str = Field(description="identity of the model that wrote it")
    samples: list[Sample] | None = None


class Error(BaseModel):
    """What was wrong; field is the parameter's name where one was."""

    field: str | None = None
    message: str


class ErrorResponse(BaseModel):
    """The body of every error."""

    error: Error
