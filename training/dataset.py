"""The corpus as one stream of tokens, and the windows that training steps read from it.

Documents are encoded one by one as ordinary tokens and joined with GPT-2's one special token:
`<|endoftext|> document <|endoftext|> document ... <|endoftext|>`.
"""

import codecs
import json
import re
from collections.abc import Iterable
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


def encode(documents: Iterable[str], encoder: Encoder) -> Tokens:
    """Join documents as (n,) token ids: end-of-text before the first, after each."""
    parts = [np.array([encoder.end_of_text], np.int32)]
    for document in documents:
        parts.append(np.array([*encoder.encode(document), encoder.end_of_text], np.int32))
    return np.concatenate(parts)


def advise(n_tokens: int, n_documents: int, n_ctx: int, tokens_per_step: int) -> list[str]:
    """Warnings about what to expect of a corpus of this size."""
    warnings = []
    if n_documents == 1:
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
            f"after about {20 * epoch:,} the model begins to recite it by heart"
        )
    return warnings


def windows(tokens: Tokens, *, count: int, length: int, random: np.random.Generator) -> Tokens:
    """Draw windows at random places, as gpt-2-simple does.

    Returns:
        (count, length) token ids; a shorter corpus gives shorter windows.
    """
    length = min(length, len(tokens))
    starts = random.integers(0, len(tokens) - length, size=count, endpoint=True)
    drawn: Tokens = tokens[starts[:, np.newaxis] + np.arange(length)]
    return drawn
