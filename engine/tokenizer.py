"""GPT-2's byte-level BPE, read from ``encoder.json`` and ``vocab.bpe``."""

import ctypes
import os
import weakref
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from engine._native import lib
from engine.files import CheckpointError, read_json, read_text

END_OF_TEXT = "<|endoftext|>"

_TABLES = 0x31425042  # "BPB1": byte pair tables, version 1
_HEAD = 5 + 256  # numbers: four counts and the end-of-text token, then the token of each byte


def bytes_to_unicode() -> dict[int, str]:
    """The printable character that stands for each byte in GPT-2's vocabulary files."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in printable]
    return {b: chr(b) for b in printable} | {b: chr(256 + i) for i, b in enumerate(others)}


class Vocabulary(NamedTuple):
    """What a tokenizer is made of; its strings show bytes as `bytes_to_unicode` does."""

    source: str
    """Where it is from, for messages."""
    ids: dict[str, int]
    """Token -> id."""
    merges: list[tuple[str, str]]
    """The pairs that are joined, the first ones first."""
    special: frozenset[str]
    """Tokens that need no merges to make them."""

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> "Vocabulary":
        """Reads ``encoder.json`` and ``vocab.bpe`` of a checkpoint or model folder.

        Raises CheckpointError when a file is missing or not what its name says.
        """
        ids = read_json(Path(folder) / "encoder.json")
        if not isinstance(ids, dict) or not all(type(i) is int for i in ids.values()):
            raise CheckpointError(f"{folder}/encoder.json: not a table of tokens and ids")
        try:
            "".join(ids).encode()
        except UnicodeEncodeError:
            raise CheckpointError(f"{folder}/encoder.json: a token is not Unicode text") from None
        try:
            lines = read_text(Path(folder) / "vocab.bpe").split("\n")[1:-1]
            merges = [(left, right) for left, right in (line.split() for line in lines)]
        except ValueError:
            raise CheckpointError(f"{folder}/vocab.bpe: a line is not a pair of tokens") from None
        special = frozenset(t for t in ids if t.startswith("<|") and t.endswith("|>"))
        return cls(str(folder), ids, merges, special)


def compile_vocabulary(vocabulary: Vocabulary) -> bytes:
    """A vocabulary as the tables that `Tokenizer` reads, checked.

    Raises CheckpointError where tokens and merges do not fit together.
    """
    where, ids, merges, special = vocabulary
    to_character = bytes_to_unicode()
    to_byte = {character: byte for byte, character in to_character.items()}
    n_vocab = len(ids)
    if sorted(ids.values()) != list(range(n_vocab)):
        raise CheckpointError(f"{where}: ids are not 0 to {n_vocab - 1}")
    try:
        byte_ids = [ids[to_character[byte]] for byte in range(256)]
    except KeyError as error:
        raise CheckpointError(f"{where}: no token for the byte {error}") from None
    known = set(to_byte)
    columns = array("i"), array("i"), array("i")
    for left, right in merges:
        if left not in known or right not in known or left + right not in ids:
            pair = f"{left[:64]!r} {right[:64]!r}"
            raise CheckpointError(f"{where}: the merge {pair} does not fit")
        known.add(left + right)
        for column, token in zip(columns, (left, right, left + right), strict=True):
            column.append(ids[token])
    for token in ids:
        if token not in known and token not in special:
            shown = repr(token[:64])
            raise CheckpointError(f"{where}: no merge makes {shown}: was it cut short?")
    if END_OF_TEXT not in ids:
        raise CheckpointError(f"{where}: no token {END_OF_TEXT}")
    ends = array("i")
    chunks = []
    for token in sorted(ids, key=ids.__getitem__):
        try:
            chunk = bytes(to_byte[character] for character in token)
        except KeyError:  # a special token outside the alphabet
            chunk = token.encode()
        chunks.append(chunk)
        ends.append((ends[-1] if ends else 0) + len(chunk))
    contents = b"".join(chunks)
    head = array("i", [_TABLES, n_vocab, len(merges), ids[END_OF_TEXT], len(contents), *byte_ids])
    return b"".join(map(bytes, (head, *columns, ends, contents)))


class Tokenizer:
    """Text to tokens and back, identical to gpt-2-simple's encoder.

    Safe to use from many threads.
    """

    def __init__(self, tables: bytes | memoryview) -> None:
        """tables: what `compile_vocabulary` made. Raises ValueError if they are something else."""
        tables = memoryview(tables)
        numbers = tables[: len(tables) // 4 * 4].cast("i")
        if len(numbers) < _HEAD or numbers[0] != _TABLES:
            raise ValueError("no tokenizer tables")
        _, self.n_vocab, n_merges, self.end_of_text, n_bytes = numbers[:5]
        """Ids are 0 to n_vocab - 1; end_of_text is the special token that delimits documents."""
        at = _HEAD + 3 * n_merges
        if len(tables) != 4 * (at + self.n_vocab) + n_bytes:
            raise ValueError("tokenizer tables of another size")
        self._ends = numbers[at : at + self.n_vocab]
        self._contents = tables[4 * (at + self.n_vocab) :]
        starts = [(_HEAD - 256, 256), *((_HEAD + i * n_merges, n_merges) for i in range(3))]
        memory = bytearray(tables) if tables.readonly else tables
        # These keep the memory that the tokenizer reads.
        self._columns = [(ctypes.c_int32 * n).from_buffer(memory, 4 * i) for i, n in starts]
        self._handle = lib.gpt2_tokenizer_new(*self._columns, n_merges)
        if not self._handle:
            raise MemoryError
        finalizer = weakref.finalize(self, lib.gpt2_tokenizer_free, self._handle)
        finalizer.atexit = False  # daemon threads may still be encoding

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> "Tokenizer":
        """The tokenizer of a checkpoint or model folder. Raises CheckpointError."""
        return cls(compile_vocabulary(Vocabulary.load(folder)))

    def encode(self, text: str) -> list[int]:
        """Tokens of a text; a literal ``<|endoftext|>`` is ordinary text here.

        Raises UnicodeEncodeError for lone surrogates.
        """
        data = text.encode()
        out = (ctypes.c_int32 * max(len(data), 1))()
        n = lib.gpt2_encode(self._handle, data, len(data), out)
        if n < 0:
            raise MemoryError
        return out[:n]

    def decode(self, tokens: Iterable[int]) -> bytes:
        """The bytes of tokens. A character may span tokens, so a part need not be valid UTF-8."""
        ends, contents = self._ends, self._contents
        return b"".join(contents[ends[token - 1] if token else 0 : ends[token]] for token in tokens)
