"""Settings of the service, read from the environment.

Every field of Settings is an environment variable of the same name in capitals: `CHECKPOINT`,
`THREADS`, `TITLE`...
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from limits import RateLimitItem, parse_many
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)

LogFormat = Literal["text", "json"]

Rates = tuple[RateLimitItem, ...]
"""So many in so much time, each of them to be kept."""

_ORIGIN = re.compile(r"https?://[\w.-]+(:\d+)?", re.ASCII)


def _lines(value: Any) -> Any:
    """Splits the environment's one string at `|`."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split("|") if part.strip())
    return value


# Compose files and shells cannot unset a variable, only empty it.
_EmptyIsNone = BeforeValidator(lambda value: value or None)
OptionalPath = Annotated[Path | None, _EmptyIsNone]


def _origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    for origin in origins:
        if origins != ("*",) and not _ORIGIN.fullmatch(origin):
            raise ValueError(f"{origin} is no origin such as https://example.org")
    return origins


def parse_rates(text: str) -> Rates:
    """Limits from a string such as `60/minute;1000/hour`; none from an empty one.

    Raises ValueError.
    """
    rates = tuple(parse_many(text)) if text.strip() else ()
    if any(rate.amount < 1 or rate.get_expiry() < 1 for rate in rates):
        raise ValueError("a limit must allow something")
    return rates


class SettingsError(ValueError):
    """A setting has a value that it cannot have."""


class Settings(BaseModel):
    """What an operator may choose. Unset means the default beside it."""

    model_config = ConfigDict(extra="ignore", frozen=True, arbitrary_types_allowed=True)

    # The model
    checkpoint: Path = Field(
        Path("checkpoint/run1"), description="a gpt-2-simple checkpoint folder, or a GGUF file"
    )
    threads: PositiveInt | None = Field(
        None, le=256, description="of the engine; unset: one a core"
    )
    max_batch: PositiveInt = Field(
        64, le=4096, description="stories written at once; more wait their turn"
    )

    # The queue in front of the engine
    max_wait: float = Field(
        10, gt=0, le=60, description="seconds until a story begins; who cannot begin is refused"
    )
    max_waiting: PositiveInt = Field(64, le=4096, description="requests in the queue")
    deadline: float = Field(
        60, gt=0, le=60, description="seconds a request may take in all; nginx waits no longer"
    )

    # The output gate
    corpus: OptionalPath = Field(
        Path("data/train.txt"),
        description="what stories must not copy, for a checkpoint without corpus.copies",
    )
    blocked_words: OptionalPath = Field(
        None, description="a file of words that no story may contain, one a line"
    )

    # Stored stories
    database_url: str = Field(
        "sqlite:///data/stories.db", repr=False, description="sqlite:///PATH or postgresql://..."
    )
    keep_stories: PositiveInt = Field(100_000, description="beyond it, old ones make room")

    # Limits of one request
    max_length: PositiveInt = Field(1023, description="tokens")
    max_prefix: PositiveInt = Field(16_000, description="characters")
    max_samples: PositiveInt = 16
    max_body: PositiveInt = Field(256 * 1024, description="bytes")

    # Limits of one client: "60/minute;1000/hour", or empty for none
    rate_limit: Annotated[Rates, BeforeValidator(parse_rates)] = Field(
        parse_rates("60/minute;1000/hour"), description="stories"
    )
    like_limit: Annotated[Rates, BeforeValidator(parse_rates)] = parse_rates("30/minute")

    # Keys
    api_keys: OptionalPath = Field(None, description="file with a line `name key [limit]` for each")
    require_key: bool = Field(False, description="stories for who has an API key only")
    admin_key: Annotated[Annotated[SecretStr, Field(min_length=16)] | None, _EmptyIsNone] = Field(
        None, description="the operator's, for /metrics; unset: there is no /metrics"
    )

    # What other sites' pages may do
    cors_origin: Annotated[tuple[str, ...], BeforeValidator(_lines), AfterValidator(_origins)] = (
        Field(
            ("*",),
            description="origins whose pages may use the API, separated by |; *: any may read"
            " what a GET answers; empty: none",
        )
    )

    log_format: LogFormat = Field("text", description="of the log on stderr")

    # The page
    title: str = "One More Episode"
    tagline: str = "New episodes of the Lumin Isles, a cartoon that was never made."
    placeholder: str = "Wren and her friends are on their way to…"
    examples: Annotated[tuple[str, ...], BeforeValidator(_lines)] = Field(
        (
            "It is raining in Tidewell, and Fizzlet refuses to",
            "The Umbrage Trio has built a giant robot",
            "Odo falls in love with the Warden of",
        ),
        description="openings offered below the box, separated by |",
    )

    @field_validator("require_key")
    @classmethod
    def _some_key(cls, require_key: bool, info: ValidationInfo) -> bool:
        if require_key and not info.data.get("api_keys"):
            raise ValueError("API_KEYS is needed, or nobody may ask")
        return require_key

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> "Settings":
        """Settings from a mapping with names in capitals, such as os.environ.

        Raises SettingsError naming the first variable that is wrong.
        """
        named = {name: values[name.upper()] for name in cls.model_fields if name.upper() in values}
        try:
            return cls.model_validate(named)
        except ValidationError as error:
            first = error.errors()[0]
            raise SettingsError(f"{str(first['loc'][0]).upper()}: {first['msg']}") from None
