"""GGUF, the file format of ggml and llama.cpp: metadata, and where the tensors are.

Specification: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3,
little-endian. The bytes may be a stranger's: every count, size and offset is checked before use.
"""

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import BinaryIO

from engine.files import CheckpointError, refuse_lfs_pointer

_MAX_HEADER = 16 << 20  # bytes; GPT-2's has 1.8 million
_MAX_ENTRIES = 1 << 16  # keys, and tensors
_MAX_DIMENSIONS = 4
_MAX_ALIGNMENT = 1 << 20  # bytes
_ALIGNMENT = 32  # bytes, where general.alignment says nothing else

# Types of metadata values, and how struct writes those that are numbers.
_UINT32, _INT32, _FLOAT32, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9
_CODES = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}

Value = int | float | str | list[str] | list[int]


@dataclass(frozen=True)
class TensorType:
    """How a tensor's elements are stored: a ggml_type of ggml.h."""

    name: str
    number: int
    block: int  # elements
    block_size: int  # bytes


F32 = TensorType("F32", 0, 1, 4)
F16 = TensorType("F16", 1, 1, 2)
Q8_0 = TensorType("Q8_0", 8, 32, 34)
_TYPES = {
    t.number: t
    for t in (
        F32,
        F16,
        Q8_0,
        TensorType("Q4_0", 2, 32, 18),
        TensorType("Q6_K", 14, 256, 210),
        TensorType("BF16", 30, 1, 2),
    )
}
_UNREADABLE = {3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 10: "Q2_K", 11: "Q3_K", 12: "Q4_K", 13: "Q5_K"}


@dataclass(frozen=True)
class Tensor:
    """What the header says of a tensor."""

    type: TensorType
    shape: tuple[int, ...]  # the innermost dimension last, as in numpy; in the file it is first
    offset: int  # bytes, from the beginning of the file

    @property
    def size(self) -> int:
        """Bytes. Rows are whole blocks."""
        return prod(self.shape) // self.type.block * self.type.block_size


@dataclass(frozen=True)
class Header:
    """All of a file but the weights."""

    metadata: dict[str, Value]
    """Numbers, strings, and arrays of strings or int32; other arrays are left out."""
    tensors: dict[str, Tensor]


class _Malformed(Exception):
    """Bytes that are not what the format says."""


# ---- Reading --------------------------------------------------------------------------------


def read_header(file: BinaryIO) -> Header:
    """The header of a GGUF file. Every tensor in it lies within the file, apart from the others.

    Raises CheckpointError when the file is not GGUF, cut short or damaged, and OSError.
    """
    size = os.fstat(file.fileno()).st_size
    data = file.read(min(size, _MAX_HEADER))
    refuse_lfs_pointer(Path(file.name), data)
    if data[:4] != b"GGUF":
        raise CheckpointError(f"{file.name} is {'not a GGUF file' if data else 'empty'}")
    try:
        return _Reader(data, size).header()
    except _Malformed as error:
        raise CheckpointError(f"{file.name} cannot be used: {error}") from None


class _Reader:
    """A cursor over the bytes that a file begins with."""

    def __init__(self, data: bytes, size: int) -> None:
        """size: of the whole file, in bytes."""
        self._data = data
        self._size = size
        self._at = 4  # after the magic

    def header(self) -> Header:
        version = self._uint32()
        if version & 0xFFFF == 0:
            raise _Malformed("its numbers are big-endian")
        if version not in (2, 3):
            raise _Malformed(f"its GGUF version is {version}, not 2 or 3")
        n_tensors, n_keys = self._uint64(), self._uint64()
        if max(n_tensors, n_keys) > _MAX_ENTRIES:
            raise _Malformed(f"{n_tensors} tensors and {n_keys} keys are too many")
        metadata: dict[str, Value | None] = {}
        for _ in range(n_keys):
            key = self._new_name(metadata)
            metadata[key] = self._value(self._uint32())
        tensors: dict[str, Tensor] = {}
        for _ in range(n_tensors):
            name = self._new_name(tensors)
            tensors[name] = self._tensor(name)
        kept = {key: value for key, value in metadata.items() if value is not None}
        return Header(kept, self._place(tensors, kept.get("general.alignment", _ALIGNMENT)))

    def _take(self, n: int) -> bytes:
        if n > len(self._data) - self._at:
            self._refuse_end()
        self._at += n
        return self._data[self._at - n : self._at]

    def _refuse_end(self) -> None:
        if len(self._data) < self._size:
            raise _Malformed(f"its header has more than {_MAX_HEADER:,} bytes")
        raise _Malformed("it is cut short")

    def _uint32(self) -> int:
        return int.from_bytes(self._take(4), "little")

    def _uint64(self) -> int:
        return int.from_bytes(self._take(8), "little")

    def _string(self) -> str:
        return _decode(self._take(self._uint64()))

    def _new_name(self, seen: Mapping[str, object]) -> str:
        name = self._string()
        if name in seen:
            raise _Malformed(f"it lists {name[:64]!r} twice")
        return name

    def _value(self, kind: int) -> Value | None:
        """A metadata value, or None for an array that nobody needs."""
        if kind == _STRING:
            return self._string()
        if kind == _ARRAY:
            return self._array(self._uint32(), self._uint64())
        code = _code(kind)
        value: int | float = struct.unpack(code, self._take(struct.calcsize(code)))[0]
        return value

    def _array(self, kind: int, n: int) -> Value | None:
        if kind == _STRING:
            return self._strings(n)
        data = self._take(n * struct.calcsize(_code(kind)))
        return list(struct.unpack(f"<{n}i", data)) if kind == _INT32 else None

    def _strings(self, n: int) -> list[str]:
        # A hundred thousand of them: worth a tight loop.
        data, at, end = self._data, self._at, len(self._data)
        length_at = struct.Struct("<Q").unpack_from
        strings = []
        for _ in range(n):
            start = at + 8
            if start > end or (at := start + length_at(data, at)[0]) > end:
                self._refuse_end()
            strings.append(data[start:at])
        self._at = at
        return [_decode(string) for string in strings]

    def _tensor(self, name: str) -> Tensor:
        """Its offset still counts from the first tensor."""
        n_dims = self._uint32()
        if not 1 <= n_dims <= _MAX_DIMENSIONS:
            raise _Malformed(f"{name[:64]!r} has {n_dims} dimensions")
        shape = tuple(self._uint64() for _ in range(n_dims))[::-1]
        number, offset = self._uint32(), self._uint64()
        kind = _TYPES.get(number)
        if kind is None:
            raise _Malformed(
                f"{name[:64]!r} is of the type {_UNREADABLE.get(number, number)}; only "
                f"{', '.join(t.name for t in _TYPES.values())} can be read"
            )
        if not prod(shape) or shape[-1] % kind.block:
            raise _Malformed(f"{name[:64]!r} has a shape that {kind.name} cannot have")
        return Tensor(kind, shape, offset)

    def _place(self, tensors: dict[str, Tensor], alignment: Value) -> dict[str, Tensor]:
        """The tensors with their offsets in the file."""
        if (
            not isinstance(alignment, int)
            or not 1 <= alignment <= _MAX_ALIGNMENT
            or alignment & (alignment - 1)
        ):
            raise _Malformed(f"its alignment is {alignment!r}"[:100])
        start = end = _round_up(self._at, alignment)
        placed = {}
        for name, tensor in sorted(tensors.items(), key=lambda item: item[1].offset):
            here = replace(tensor, offset=start + tensor.offset)
            if tensor.offset % alignment or here.offset < end:
                raise _Malformed(f"{name[:64]!r} overlaps another tensor or is not aligned")
            end = here.offset + here.size
            if end > self._size:
                raise _Malformed(
                    f"it is cut short: {name[:64]!r} would end at {end:,} of {self._size:,} bytes"
                )
            placed[name] = here
        return placed


def _decode(string: bytes) -> str:
    try:
        return string.decode()
    except UnicodeDecodeError:
        raise _Malformed("a string is not UTF-8") from None


def _code(kind: int) -> str:
    """Of struct, for a number."""
    if kind not in _CODES:
        raise _Malformed(f"a metadata value of the unknown type {kind}")
    return "<" + _CODES[kind]


def _round_up(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple


# ---- Writing --------------------------------------------------------------------------------


def layout(
    metadata: Mapping[str, Value], tensors: Mapping[str, tuple[TensorType, tuple[int, ...]]]
) -> tuple[bytes, dict[str, Tensor]]:
    """The bytes that a file begins with, and where its tensors (type, shape) then stand.

    The tensors follow in their order, the gaps between them are zeros. An int is written as uint32,
    a float as float32.
    """
    infos, offset = b"", 0
    placed = {}
    for name, (kind, shape) in tensors.items():
        placed[name] = Tensor(kind, shape, offset)
        infos += _packed_string(name) + struct.pack(
            f"<I{len(shape)}QIQ", len(shape), *shape[::-1], kind.number, offset
        )
        offset = _round_up(offset + placed[name].size, _ALIGNMENT)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    head += b"".join(_packed_string(key) + _packed_value(v) for key, v in metadata.items()) + infos
    head += bytes(_round_up(len(head), _ALIGNMENT) - len(head))
    return head, {name: replace(t, offset=len(head) + t.offset) for name, t in placed.items()}


def _packed_string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _packed_value(value: Value) -> bytes:
    match value:
        case bool():
            return struct.pack("<I?", _BOOL, value)
        case int():
            return struct.pack("<II", _UINT32, value)
        case float():
            return struct.pack("<If", _FLOAT32, value)
        case str():
            return struct.pack("<I", _STRING) + _packed_string(value)
    if value and isinstance(value[0], int):
        return struct.pack(f"<IIQ{len(value)}i", _ARRAY, _INT32, len(value), *value)
    strings = b"".join(_packed_string(str(item)) for item in value)
    return struct.pack("<IIQ", _ARRAY, _STRING, len(value)) + strings
