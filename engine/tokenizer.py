"""GPT-2's byte-level BPE, read from ``encoder.json`` and ``vocab.bpe``."""

import ctypes
import os
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from engine._native import lib
from engine.files import CheckpointError, read_json, read_text

END_OF_TEXT = "<|endoftext|>"


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
            lines = read_text(Path(folder) / "vocab.bpe").split("\n")[1:-1]
            merges = [(left, right) for left, right in (line.split() for line in lines)]
        except ValueError:
            raise CheckpointError(f"{folder}/vocab.bpe: a line is not a pair of tokens") from None
        special = frozenset(t for t in ids if t.startswith("<|") and t.endswith("|>"))
        return cls(str(folder), ids, merges, special)


class Tokenizer:
    """Text to tokens and back, identical to gpt-2-simple's encoder.

    Use `Tokenizer.load`. Safe to use from many threads.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        """Raises CheckpointError where tokens and merges do not fit together."""
        where, ids, merges, special = vocabulary
        to_character = bytes_to_unicode()
        to_byte = {character: byte for byte, character in to_character.items()}
        self.n_vocab = len(ids)
        if sorted(ids.values()) != list(range(self.n_vocab)):
            raise CheckpointError(f"{where}: ids are not 0 to {self.n_vocab - 1}")
        try:
            byte_ids = [ids[to_character[byte]] for byte in range(256)]
        except KeyError as error:
            raise CheckpointError(f"{where}: no token for the byte {error}") from None
        known = set(to_byte)
        triples = []
        for left, right in merges:
            if left not in known or right not in known or left + right not in ids:
                raise CheckpointError(f"{where}: the merge {left!r} {right!r} does not fit")
            known.add(left + right)
            triples.append((ids[left], ids[right], ids[left + right]))
        for token in ids:
            if token not in known and token not in special:
                raise CheckpointError(f"{where}: no merge makes {token!r}: was it cut short?")
        if END_OF_TEXT not in ids:
            raise CheckpointError(f"{where}: no token {END_OF_TEXT}")
        self.end_of_text = ids[END_OF_TEXT]
        """Id of the special token that delimits documents."""
        self._bytes = [b""] * self.n_vocab
        for token, i in ids.items():
            try:
                self._bytes[i] = bytes(to_byte[character] for character in token)
            except KeyError:  # a special token outside the alphabet
                self._bytes[i] = token.encode(errors="replace")
        columns = list(zip(*triples, strict=True)) or [(), (), ()]
        arrays = [(ctypes.c_int32 * len(column))(*column) for column in columns]
        self._handle = lib.gpt2_tokenizer_new(
            (ctypes.c_int32 * 256)(*byte_ids), *arrays, len(triples)
        )
        if not self._handle:
            raise MemoryError
        finalizer = weakref.finalize(self, lib.gpt2_tokenizer_free, self._handle)
        finalizer.atexit = False  # daemon threads may still be encoding

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> "Tokenizer":
        """The tokenizer of a checkpoint or model folder. Raises CheckpointError."""
        return cls(Vocabulary.load(folder))

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
        return b"".join(self._bytes[token] for token in tokens)
