"""The corpus as one ring of tokens, and the windows that training steps read from it."""

import codecs
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from corpus import read_documents
from training.errors import TrainingError

Tokens = npt.NDArray[np.int32]

_PREPARE = "run prepare_corpus.py on it first"


class Encoder(Protocol):
    """What this module needs of engine.Tokenizer."""

    @property
    def end_of_text(self) -> int: ...

    def encode(self, text: str, /) -> list[int]: ...


def check(path: Path) -> None:
    """Refuse, by its beginning, what is no corpus of this project.

    Raises:
        TrainingError: the file is missing, without a document, not UTF-8 text, or looks like a
            table, JSON or markup, which prepare_corpus.py reads and this package does not.
    """
    if path.is_dir():
        raise TrainingError(f"{path} is a folder, not a file; {_PREPARE}")
    try:
        with path.open("rb") as file:
            head = file.read(1 << 16)
    except FileNotFoundError:
        raise TrainingError(f"{path} does not exist; prepare_corpus.py writes it") from None
    except OSError as error:
        raise TrainingError(f"{path}: {error.strerror}") from error
    if not head.strip():
        raise TrainingError(f"{path} is empty; {_PREPARE}")
    try:
        # Incrementally, as the last bytes read may be a part of a character.
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head)
    except UnicodeError:
        raise TrainingError(f"{path} is not UTF-8 text; {_PREPARE}") from None
    if "\0" in text:
        raise TrainingError(f"{path} is a binary file, not text; {_PREPARE}")
    kind = _kind(path.suffix.lower(), text.strip())
    if kind:
        raise TrainingError(f"{path} looks like {kind}, not like text; {_PREPARE}")
    if not any(read_documents(path)):
        raise TrainingError(f"{path} has no documents; {_PREPARE}")


def _kind(suffix: str, text: str) -> str | None:
    """Name what is not a text of documents."""
    if suffix in {".json", ".jsonl", ".ndjson"} or _is_json(text.partition("\n")[0]):
        return "JSON"
    if suffix in {".csv", ".tsv"} or re.match(r"\w+([,;\t]\w+)+\r?\n", text):
        return "a table (CSV)"
    if suffix in {".xml", ".html", ".htm"} or re.match(r"<(\?xml|!doctype|html)\b", text, re.I):
        return "markup"
    return None


def _is_json(line: str) -> bool:
    """Whether a first line is a JSON object or array, or opens one that goes on below."""
    try:
        return isinstance(json.loads(line), dict | list)
    except ValueError:
        return line.strip() in {"{", "["}


@dataclass(frozen=True)
class Dataset:
    """Documents as one ring of tokens: `<|endoftext|>` before each, the first follows the last."""

    tokens: Tokens  # (n,)
    starts: Tokens  # (documents,): where each one's <|endoftext|> stands

    @classmethod
    def encode(cls, documents: Iterable[str], encoder: Encoder) -> "Dataset":
        """Encode documents one by one, as ordinary tokens."""
        parts = [
            np.array([encoder.end_of_text, *encoder.encode(document)], np.int32)
            for document in documents
        ]
        starts = np.cumsum([0, *map(len, parts[:-1])], dtype=np.int32)
        return cls(np.concatenate(parts), starts)

    def windows(self, *, count: int, length: int, random: np.random.Generator) -> Tokens:
        """Draw windows: one half begin with a document, the others anywhere.

        gpt-2-simple draws all of them anywhere, so that `<|endoftext|>` hardly ever stands at
        the first position, where the service puts it: a mini that knew its corpus by heart
        (0.6 nats a token) still had 4 nats on the first words of a story.

        Returns:
            (count, length) token ids; a corpus shorter than that gives shorter windows.
        """
        begins = np.where(
            random.random(count) < 0.5,
            random.choice(self.starts, count),
            random.integers(0, len(self.tokens), count),
        )
        # One more than the ring has, so that the end of a lone document is learned too.
        length = min(length, len(self.tokens) + 1)
        drawn: Tokens = np.take(self.tokens, begins[:, np.newaxis] + np.arange(length), mode="wrap")
        return drawn


def advise(data: Dataset, n_ctx: int, tokens_per_step: int) -> list[str]:
    """Warnings about what to expect of a corpus of this size."""
    warnings = []
    n_tokens = len(data.tokens)
    if len(data.starts) == 1:
        warnings.append(
            "the corpus has no line <|endoftext|>, so all of it is one document and the model "
            f"never learns where a text ends; {_PREPARE}"
        )
    if n_tokens < n_ctx:
        warnings.append(
            f"the corpus has {n_tokens:,} tokens, fewer than one window of {n_ctx:,}: windows are "
            f"shortened, and texts longer than {n_tokens:,} tokens will be poor"
        )
    elif n_tokens < 100_000:
        epoch = max(1, round(n_tokens / tokens_per_step))
        warnings.append(
            f"a corpus of {n_tokens:,} tokens is small: {epoch:,} steps read all of it once, and "
            f"after some {10 * epoch:,} the model learns little but to know it by heart"
        )
    return warnings
