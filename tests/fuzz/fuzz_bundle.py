"""The reader of tensor bundles, among files that fit a tiny model.

Input: a byte that says whether the checksums of the index are put right, so that not every input
ends there; the size of the index in two bytes; index and data file.
"""

import struct
from pathlib import Path

from tests.fuzz.harness import load, main
from tests.fuzz.tiny import MAGIC, checksum, write_checkpoint


def try_input(folder: Path, data: bytes) -> None:
    if len(data) < 3:
        return
    checkpoint = folder / "run1"
    if not checkpoint.is_dir():
        write_checkpoint(checkpoint)
    size = int.from_bytes(data[1:3], "little")
    index, tensors = data[3 : 3 + size], data[3 + size :]
    if data[0]:
        index = _put_right(index)
    (checkpoint / "model.index").write_bytes(index)
    (checkpoint / "model.data-00000-of-00001").write_bytes(tensors)
    load(checkpoint)


def _put_right(index: bytes) -> bytes:
    """The same table with its magic number, and with the checksum of every block that it names."""
    table = bytearray(index[:-8] + MAGIC)
    numbers = _varints(table, max(len(table) - 48, 0))
    _, _, offset, size = (*numbers, 0, 0, 0, 0)[:4]
    _seal(table, offset, size)
    at, end = offset, offset + size - 8
    while at < end:
        lengths = _varints(table, at)[:3]
        if len(lengths) < 3:
            break
        at += 3 + lengths[1]  # lengths of small entries take a byte each
        _seal(table, *(*_varints(table, at), 0, 0)[:2])
        at += max(lengths[2], 1)
    return bytes(table)


def _seal(table: bytearray, offset: int, size: int) -> None:
    end = offset + size + 1
    if end + 4 <= len(table) - 48:
        struct.pack_into("<I", table, end, checksum(bytes(table[offset:end])))


def _varints(table: bytearray, at: int) -> list[int]:
    """The first four numbers from there on."""
    numbers, value, shift = [], 0, 0
    for byte in table[at : at + 40]:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(value)
            value = shift = 0
    return numbers[:4]


if __name__ == "__main__":
    main(try_input)
