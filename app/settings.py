"""Settings of the service, read from the environment.

Every field of Settings is an environment variable of the same name in capitals: `CHECKPOINT`,
`THREADS`, `TITLE`...
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationError,
)


def _lines(value: Any) -> Any:
    """Splits the environment's one string at `|`."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split("|") if part.strip())
    return value


# An empty string in the environment is no file.
OptionalPath = Annotated[Path | None, BeforeValidator(lambda value: value or None)]


class SettingsError(ValueError):
    """A setting has a value that it cannot have."""


class Settings(BaseModel):
    """What an operator may choose. Unset means the default beside it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

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
        10, gt=0, le=600, description="seconds until a story begins; who cannot begin is refused"
    )
    max_waiting: PositiveInt = Field(64, le=4096, description="requests in the queue")
    deadline: float = Field(60, gt=0, le=3600, description="seconds a request may take in all")

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
    max_body: PositiveInt = Field(64 * 1024, description="bytes")

    # What other sites' pages may do; empty forbids it
    cors_origin: str = Field("*", description="origin that may read GET answers")

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
