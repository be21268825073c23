"""TensorFlow's tensor bundle, written without TensorFlow: what `bundle` reads.

One block of the index holds all entries, and no name is shortened to what the one before lacks:
both are allowed by LevelDB's format, and an index is small.
"""

import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from engine.bundle import DT_FLOAT, FOOTER_BYTES, MAGIC, Entry, crc32c, data_file, index_file
from engine.bundle import masked_crc32c as masked
from engine.files import write_aside

# BundleHeaderProto: num_shards = 1: 1, version = 3: VersionDef { producer = 1: 1 }.
_HEADER = b"\x08\x01\x1a\x02\x08\x01"


class Tensor(NamedTuple):
    """A float32 tensor by its name."""

    name: str
    shape: tuple[int, ...]
    data: bytearray | memoryview
    """Little-endian, in row-major order; a memoryview must be of one dimension."""


def write_bundle(prefix: Path, tensors: Iterable[Tensor]) -> None:
    """Writes ``<prefix>.data-00000-of-00001`` and ``<prefix>.index``, in this order.

    Each takes its name only when it is complete. Holds one tensor in memory. Raises OSError.
    """
    entries: dict[str, Entry] = {}
    offset = 0
    with write_aside(data_file(prefix)) as file:
        for name, shape, data in tensors:
            size = file.write(data)
            entries[name] = Entry(DT_FLOAT, shape, offset, size, masked(crc32c(data)))
            offset += size
    records = [(b"", _HEADER)]
    records += [(name.encode(), _entry(entries[name])) for name in sorted(entries)]
    with write_aside(index_file(prefix)) as file:
        file.write(_table(records))


def _table(records: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Footer: the handles of the metaindex and of the index, padded, and the magic number."""
    table = bytearray()

    def add(block: bytes) -> bytes:
        """Appends a block, uncompressed, with its checksum; returns its handle."""
        handle = varint(len(table)) + varint(len(block))
        compression = b"\0"
        checksum = masked(crc32c(block + compression))
        table.extend(block + compression + struct.pack("<I", checksum))
        return handle

    data = add(_block(records))
    metaindex = add(_block([]))
    index = add(_block([(records[-1][0], data)]))
    handles = (metaindex + index).ljust(FOOTER_BYTES - 8, b"\0")
    return bytes(table) + handles + struct.pack("<Q", MAGIC)


def _block(records: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Records, each a restart point; the offsets of those, and how many they are."""
    block = bytearray()
    restarts = []
    for key, value in records:
        restarts.append(len(block))
        block += b"\0" + varint(len(key)) + varint(len(value)) + key + value
    restarts = restarts or [0]
    return (
        bytes(block)
        + struct.pack(f"<{len(restarts)}I", *restarts)
        + struct.pack("<I", len(restarts))
    )


def _entry(entry: Entry) -> bytes:
    """BundleEntryProto: dtype = 1, shape = 2, shard_id = 3, offset = 4, size = 5, crc32c = 6."""
    # TensorShapeProto: repeated Dim dim = 2 { int64 size = 1 }.
    dims = (b"\x08" + varint(size) for size in entry.shape)
    shape = b"".join(b"\x12" + varint(len(dim)) + dim for dim in dims)
    return b"".join(
        (
            *(b"\x08", varint(entry.dtype)),
            *(b"\x12", varint(len(shape)), shape),
            *(b"\x20", varint(entry.offset)),
            *(b"\x28", varint(entry.size)),
            *(b"\x35", struct.pack("<I", entry.crc32c)),
        )
    )


def varint(number: int) -> bytes:
    """Base 128, the lowest seven bits first."""
    low = bytearray()
    while number > 0x7F:
        low.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*low, number))
