"""The packed model: weights in kernel layout and the tokenizer's tables, ready to be mapped.

It is a cache beside the checkpoint, ``NAME.IDENTITY.WEIGHTS.packed``, safe to delete: the header of
csrc/model.c, the weights, then what `compile_vocabulary` makes of the vocabulary.
"""

import ctypes
import mmap
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine import _native
from engine._native import lib
from engine.files import CheckpointError, write_aside
from engine.source import Source
from engine.tokenizer import Tokenizer, compile_vocabulary

Weights = Literal["q8_0", "f32"]

_TYPES: dict[Weights, int] = {"f32": 0, "q8_0": 1}
_HEADER = 64  # bytes


@dataclass(frozen=True)
class Packed:
    """Memory that several processes share where it is the mapped file."""

    memory: mmap.mmap
    size: int
    """Bytes of the weights, with which the memory begins."""
    tokenizer: Tokenizer
    """On the tables that follow."""


def pack(source: Source, weights: Weights) -> Packed:
    """Maps the cache of a model, which is written first where there is none.

    Where the folder cannot be written the packed model lives in memory. Raises CheckpointError
    where the source is broken, and MemoryError.
    """
    hp = _native.HParams(*vars(source.hparams).values())
    size = lib.gpt2_packed_size(ctypes.byref(hp), _TYPES[weights])
    if size == 0:
        raise CheckpointError(f"{source.prefix}: no GPT-2 has the shape {source.hparams}")
    header = ctypes.create_string_buffer(_HEADER)
    lib.gpt2_pack_header(ctypes.byref(hp), _TYPES[weights], header)
    path = source.prefix.with_name(f"{source.prefix.name}.{source.identity}.{weights}.packed")
    with suppress(OSError, ValueError):
        return _map(path, size, header.raw)
    tables = compile_vocabulary(source.read_vocabulary())
    try:
        memory = mmap.mmap(-1, size + len(tables))
    except OSError as error:
        raise MemoryError(f"{size:,} bytes for the weights") from error
    out = (ctypes.c_char * size).from_buffer(memory)
    for i, tensor in enumerate(source.read_tensors()):
        floats = (ctypes.c_char * len(tensor)).from_buffer(tensor)
        lib.gpt2_pack_tensor(ctypes.byref(hp), _TYPES[weights], i, floats, out)
    memory[:_HEADER] = header.raw
    memory[size:] = tables
    with suppress(OSError, ValueError):
        with write_aside(path) as file:
            file.write(memory)
        packed = _map(path, size, header.raw)
        with suppress(OSError):
            for stale in path.parent.glob(f"{source.caches}.{weights}.packed"):
                if stale != path:
                    stale.unlink(missing_ok=True)
        return packed
    return Packed(memory, size, Tokenizer(memoryview(memory)[size:]))


def _map(path: Path, size: int, header: bytes) -> Packed:
    """Raises OSError or ValueError unless the file is a whole packed model of this header."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size > size:
            # Private pages that nobody writes to are shared; ctypes asks for a writable buffer.
            memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
            if memory[:_HEADER] == header:
                return Packed(memory, size, Tokenizer(memoryview(memory)[size:]))
    raise ValueError(f"{path} is not what it should be")
