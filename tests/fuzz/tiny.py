"""The smallest model there can be, written without TensorFlow: what the Python targets start from.

Three merges, a context window of 4 tokens, one layer with one head.
"""

import itertools
import json
import struct
from math import prod
from pathlib import Path

from engine._native import lib
from engine.bundle import masked_crc32c
from engine.checkpoint import HParams, tensors
from engine.tokenizer import END_OF_TEXT, bytes_to_unicode

MERGES = [("t", "h"), ("th", "e"), ("Ġ", "the")]
_TOKENS = [*bytes_to_unicode().values(), *("".join(pair) for pair in MERGES), END_OF_TEXT]
HPARAMS = HParams(n_vocab=len(_TOKENS), n_ctx=4, n_embd=2, n_head=1, n_layer=1)
TEXT_FILES = {
    "hparams.json": json.dumps(vars(HPARAMS)).encode(),
    "encoder.json": json.dumps({token: i for i, token in enumerate(_TOKENS)}).encode(),
    "vocab.bpe": ("#version\n" + "".join(f"{a} {b}\n" for a, b in MERGES)).encode(),
    "checkpoint": b'model_checkpoint_path: "model"\n',
}
"""The files of a checkpoint folder that hold no weights."""


def write_checkpoint(folder: Path, hp: HParams = HPARAMS) -> None:
    """A checkpoint folder in gpt-2-simple's layout."""
    folder.mkdir(parents=True, exist_ok=True)
    index, data = bundle(hp)
    hparams = {"hparams.json": json.dumps(vars(hp)).encode()}
    files = {"model.index": index, "model.data-00000-of-00001": data, **TEXT_FILES, **hparams}
    for name, content in files.items():
        (folder / name).write_bytes(content)


# ---- TensorFlow's tensor bundle (the format: engine/bundle.py) ------------------------------


def bundle(hp: HParams = HPARAMS) -> tuple[bytes, bytes]:
    """Index and data file; the weights are small numbers."""
    entries, data = {b"": b"\x08\x01"}, b""  # the header: one data file
    numbers = itertools.cycle(i / 16 - 1 for i in range(31))
    for name, shape in sorted(tensors(hp)):
        tensor = struct.pack(f"<{prod(shape)}f", *itertools.islice(numbers, prod(shape)))
        dims = b"".join(_message(2, b"\x08" + varint(n)) for n in shape)
        crc = checksum(tensor).to_bytes(4, "little")
        entries[name.encode()] = (
            (b"\x08\x01" + _message(2, dims))
            + (b"\x20" + varint(len(data)) + b"\x28" + varint(len(tensor)))
            + (b"\x35" + crc)
        )
        data += tensor
    block = _block(entries)
    index = _block({b"z": varint(0) + varint(len(block) - 1)})
    footer = varint(0) * 2 + varint(len(block) + 4) + varint(len(index) - 1)
    table = b"".join(part + checksum(part).to_bytes(4, "little") for part in (block, index))
    return table + footer.ljust(40, b"\0") + MAGIC, data


MAGIC = bytes.fromhex("57fb808b247547db")


def checksum(data: bytes) -> int:
    """As the format stores it."""
    return masked_crc32c(lib.gpt2_crc32c(0, data, len(data)))


def varint(n: int) -> bytes:
    """A base-128 varint."""
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    return bytes([*out, n])


def _message(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + varint(len(content)) + content


def _block(entries: dict[bytes, bytes]) -> bytes:
    """With shared prefixes and one restart point; the last byte says that it is not compressed."""
    body, last = b"", b""
    for key, value in entries.items():
        same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(key, last, strict=False))
        shared = len(list(same))
        body += varint(shared) + varint(len(key) - shared) + varint(len(value))
        body += key[shared:] + value
        last = key
    return body + struct.pack("<IIB", 0, 1, 0)
