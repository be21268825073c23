"""TensorFlow's tensor bundle, read without TensorFlow (`bundle_writer` writes it).

A checkpoint ``model-N`` is two files. ``model-N.index`` is a sorted table in LevelDB's format
(https://github.com/google/leveldb/blob/main/doc/table_format.md): tensor name -> BundleEntryProto
(tensorflow/core/protobuf/tensor_bundle.proto). ``model-N.data-00000-of-00001`` holds the tensors,
raw and little-endian. The bytes may be a stranger's: every offset and size is checked before use.
"""

import ctypes
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

from engine._native import lib
from engine.files import CheckpointError, read_bytes, refuse_lfs_pointer

FOOTER_BYTES = 48
MAGIC = 0xDB4775248B80FB57
_MAX_INDEX = 1 << 20  # bytes; GPT-2 XL's index has 26 kB
_MAX_KEY = 1000  # bytes
_MAX_DIMENSIONS = 8
DT_FLOAT = 1


@dataclass(frozen=True)
class Entry:
    """Where a tensor stands in the data file."""

    dtype: int  # tensorflow.DataType
    shape: tuple[int, ...]
    offset: int  # bytes
    size: int  # bytes
    crc32c: int  # masked, of the tensor's bytes


class _Malformed(Exception):
    """Bytes that are not what the format says."""


class Bundle:
    """The tensors of the files that begin with a prefix.

    Raises CheckpointError if one of them is missing or damaged, or the data cut short.
    """

    def __init__(self, prefix: Path) -> None:
        self.index = index_file(prefix)
        self.data = data_file(prefix)
        self._entries = read_index(self.index)
        self._check_size()

    def find(self, name: str, shape: tuple[int, ...]) -> Entry:
        """A float32 tensor. Raises CheckpointError if there is none of that name and shape."""
        entry = self._entries.get(name)
        if entry is None:
            raise CheckpointError(f"{self.index} has no tensor {name}: is this a GPT-2?")
        if entry.dtype != DT_FLOAT or entry.shape != shape or entry.size != 4 * prod(shape):
            raise CheckpointError(
                f"{self.index}: {name} is {_shape(entry.shape)}, but hparams.json asks "
                f"for float32 {_shape(shape)}: do the files belong together?"
            )
        return entry

    def read(self, name: str, entry: Entry) -> bytearray:
        """The bytes of a tensor, its checksum verified. Raises CheckpointError."""
        data = bytearray(entry.size)
        try:
            with self.data.open("rb") as file:
                file.seek(entry.offset)
                complete = file.readinto(data) == entry.size
        except OSError as error:
            raise CheckpointError(f"{self.data} cannot be read: {error.strerror}") from None
        if not complete:
            raise CheckpointError(f"{self.data} was cut short while it was read")
        if masked_crc32c(crc32c(data)) != entry.crc32c:
            raise CheckpointError(
                f"{self.data} is damaged or half-written: the checksum of {name} is "
                "wrong. Copy it again"
            )
        return data

    def _check_size(self) -> None:
        path = self.data
        try:
            size = path.stat().st_size
            with path.open("rb") as file:
                refuse_lfs_pointer(path, file.read(64))
        except FileNotFoundError:
            raise CheckpointError(
                f"{path} is missing, though {self.index.name} is there: copy all files of "
                "the checkpoint"
            ) from None
        except OSError as error:
            raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None
        ends = (entry.offset + entry.size for entry in self._entries.values())
        expected = max(ends, default=0)
        if size < expected:
            state = "is empty" if size == 0 else f"has only {size:,} bytes"
            raise CheckpointError(
                f"{path} {state}, but its index describes {expected:,} bytes: the copy is not "
                "complete"
            )


def index_file(prefix: Path) -> Path:
    """``model-N.index`` of ``model-N``."""
    return prefix.with_name(prefix.name + ".index")


def data_file(prefix: Path) -> Path:
    """``model-N.data-00000-of-00001`` of ``model-N``."""
    return prefix.with_name(prefix.name + ".data-00000-of-00001")


def read_index(path: Path) -> dict[str, Entry]:
    """The tensors that an ``.index`` file lists; no two share bytes of the data file.

    Raises CheckpointError when the file is missing, a Git LFS pointer, cut short or damaged.
    """
    data = read_bytes(path, limit=_MAX_INDEX)
    try:
        return _entries(data)
    except (_Malformed, UnicodeDecodeError) as error:
        raise CheckpointError(
            f"{path} is damaged or no TensorFlow checkpoint ({error}): copy it again"
        ) from None


def masked_crc32c(crc: int) -> int:
    """LevelDB's mask, which keeps the CRC of data that holds CRCs from being its own."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def crc32c(data: bytes | bytearray | memoryview) -> int:
    """CRC-32C (Castagnoli) of bytes, or of all bytes of a writable buffer."""
    size = memoryview(data).nbytes
    buffer = data if isinstance(data, bytes) else (ctypes.c_char * size).from_buffer(data)
    return int(lib.gpt2_crc32c(0, buffer, size))


# ---- The table ------------------------------------------------------------------------------


def _entries(data: bytes) -> dict[str, Entry]:
    if len(data) < FOOTER_BYTES:
        raise _Malformed("it is cut short" if data else "it is empty")
    footer = data[-FOOTER_BYTES:]
    if struct.unpack_from("<Q", footer, 40)[0] != MAGIC:
        raise _Malformed("no table footer at its end")
    _, at = _handle(footer, 0)  # the metaindex
    index, _ = _handle(footer, at)
    entries = {}
    end = 0  # of the blocks read so far: none is read twice
    for _, handle in _block(data, index):
        block, _ = _handle(handle, 0)
        if block[0] < end:
            raise _Malformed("its blocks overlap")
        end = sum(block)
        for key, value in _block(data, block):
            if key:
                entries[key.decode()] = _entry(value)
            else:
                _check_header(value)
    _check_apart(entries)
    return entries


def _check_apart(entries: dict[str, Entry]) -> None:
    """So that what a checkpoint unfolds to is bounded by the size of its data file."""
    end = 0
    for entry in sorted(entries.values(), key=lambda entry: (entry.offset, entry.size)):
        if entry.size and entry.offset < end:
            raise _Malformed("its tensors overlap")
        end = max(end, entry.offset + entry.size)


def _handle(data: bytes, at: int) -> tuple[tuple[int, int], int]:
    """A BlockHandle (offset, size) and where it ends."""
    offset, at = _varint(data, at)
    size, at = _varint(data, at)
    return (offset, size), at


def _block(data: bytes, handle: tuple[int, int]) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of one block; its checksum is verified first."""
    offset, size = handle
    if offset + size + 5 > len(data) - FOOTER_BYTES:
        raise _Malformed("a block reaches beyond its end")
    block = data[offset : offset + size]
    compression, crc = struct.unpack_from("<BI", data, offset + size)
    checked = data[offset : offset + size + 1]
    if masked_crc32c(crc32c(checked)) != crc:
        raise _Malformed("a block's checksum is wrong")
    if compression != 0:
        raise _Malformed("its blocks are compressed, which TensorFlow's checkpoints are not")
    if size < 4:
        raise _Malformed("a block is too short")
    n_restarts = struct.unpack_from("<I", block, size - 4)[0]
    end = size - 4 - 4 * n_restarts
    if end < 0:
        raise _Malformed("a block is too short")
    at, key = 0, b""
    while at < end:
        shared, at = _varint(block, at)
        unshared, at = _varint(block, at)
        length, at = _varint(block, at)
        if shared > len(key) or at + unshared + length > end:
            raise _Malformed("an entry reaches beyond its block")
        if shared + unshared > _MAX_KEY:
            raise _Malformed("a name is too long")
        key = key[:shared] + block[at : at + unshared]
        at += unshared
        yield key, block[at : at + length]
        at += length


# ---- Protocol buffers -----------------------------------------------------------------------


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A base-128 varint of at most 64 bits, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise _Malformed("a number is cut short")


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Field numbers and values of a message: ints, or bytes of length-delimited fields."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        value: int | bytes
        match tag & 7:
            case 0:
                value, at = _varint(data, at)
            case 2:
                length, at = _varint(data, at)
                value, at = data[at : at + length], at + length
            case 1:
                value, at = int.from_bytes(data[at : at + 8], "little"), at + 8
            case 5:
                value, at = int.from_bytes(data[at : at + 4], "little"), at + 4
            case _:
                raise _Malformed("a field of an unknown type")
        if at > len(data):
            raise _Malformed("a message is cut short")
        yield tag >> 3, value


def _integer(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise _Malformed("bytes where a number belongs")
    return value


def _message(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise _Malformed("a number where a message belongs")
    return value


def _check_header(data: bytes) -> None:
    """BundleHeaderProto: num_shards = 1, endianness = 2."""
    header = {number: value for number, value in _fields(data) if number in (1, 2)}
    if header.get(1, 0) != 1:
        raise _Malformed("it does not have exactly one data file")
    if header.get(2, 0) != 0:
        raise _Malformed("its numbers are big-endian")


def _entry(data: bytes) -> Entry:
    """BundleEntryProto: dtype = 1, shape = 2, shard_id = 3, offset = 4, size = 5, crc32c = 6."""
    numbers = {1: 0, 3: 0, 4: 0, 5: 0, 6: 0}
    shape: tuple[int, ...] = ()
    for number, value in _fields(data):
        if number == 2:
            shape = tuple(_dimensions(_message(value)))
            if len(shape) > _MAX_DIMENSIONS:
                raise _Malformed("a tensor has too many dimensions")
        elif number in numbers:
            numbers[number] = _integer(value)
    if numbers[3] != 0:
        raise _Malformed("a tensor in a second data file")
    return Entry(numbers[1], shape, numbers[4], numbers[5], numbers[6])


def _dimensions(data: bytes) -> Iterator[int]:
    """TensorShapeProto: repeated Dim dim = 2 { int64 size = 1 }."""
    for number, value in _fields(data):
        if number == 2:
            sizes = [_integer(v) for n, v in _fields(_message(value)) if n == 1]
            yield sizes[-1] if sizes else 0


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a scalar"
