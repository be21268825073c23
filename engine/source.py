"""What a model is loaded from: a checkpoint folder or a GGUF file.

Both have `hparams`, `identity`, `prefix` and `caches`, `read_vocabulary()` and `read_tensors()`.
"""

import os
import stat
from functools import lru_cache
from pathlib import Path

from engine.bundle import data_file, index_file
from engine.checkpoint import MODEL_FILES, Checkpoint, newest_prefix
from engine.files import CheckpointError
from engine.gguf_model import GgufModel

Source = Checkpoint | GgufModel


def open_source(path: str | os.PathLike[str]) -> Source:
    """A file is GGUF; a folder is a checkpoint, or holds a GGUF file in its stead.

    Raises CheckpointError.
    """
    path = Path(path)
    file = _gguf_file(path)
    return GgufModel(file) if file else Checkpoint(path)


def _gguf_file(path: Path) -> Path | None:
    """The file itself, or the one in a folder that has no checkpoint."""
    try:
        if path.is_file() or path.suffix == ".gguf":
            return path
        files = [] if any(path.glob("?*.index")) else sorted(path.glob("?*.gguf"))
    except OSError:
        return None
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise CheckpointError(f"{path} holds several models, give one: {names}")
    return files[0] if files else None


def signature(path: str | os.PathLike[str]) -> tuple[tuple[str, int, int, int], ...]:
    """What tells, without reading a weight, that the source has changed: a few stat() calls.

    Name, size, mtime in ns and inode of the file, or of each file of the folder that makes up the
    current model. A broken folder has a signature too.
    """
    path = os.fspath(path)
    itself, state = _stamp(path, ""), _stamp(path, "checkpoint")
    stamps = [itself, state, *(_stamp(path, name) for name in MODEL_FILES)]
    stamps += [_stamp(path, name) for name in _weights_files(path, itself, state)]
    return tuple(stamp[1:] for stamp in stamps if stamp and not stat.S_ISDIR(stamp[0]))


def _stamp(folder: str, name: str) -> tuple[int, str, int, int, int] | None:
    """Mode, name, size, mtime and inode; None of what is not there."""
    try:
        # At every request, and pathlib takes twice as long.
        s = os.stat(f"{folder}/{name}" if name else folder)  # noqa: PTH116
    except OSError:
        return None
    return s.st_mode, name, s.st_size, s.st_mtime_ns, s.st_ino


@lru_cache(maxsize=1)
def _weights_files(folder: str, *_stamps: object) -> tuple[str, ...]:
    """The names of the current model's files: looked up anew when the folder or its file
    ``checkpoint`` has another stamp."""
    try:
        if file := _gguf_file(Path(folder)):
            return (file.name,)
        prefix = newest_prefix(Path(folder))
    except CheckpointError:
        return ()
    return index_file(prefix).name, data_file(prefix).name
