"""The small files of a checkpoint folder, the error that says what is wrong with one, and writing
a file whole or not at all."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


class CheckpointError(Exception):
    """A checkpoint or GGUF file that cannot be read: what is wrong, and what to do."""


def read_bytes(path: Path, limit: int = 8 << 20) -> bytes:
    """A small file, of at most `limit` bytes.

    Raises CheckpointError if it is missing, unreadable, larger or a Git LFS pointer.
    """
    try:
        with path.open("rb") as file:
            # What it holds now, and at least a page: a buffer of the limit takes long to get.
            size = max(4096, os.fstat(file.fileno()).st_size)
            data = file.read(min(size, limit) + 1)
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing: copy all files of the checkpoint") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > limit:
        raise CheckpointError(f"{path} is larger than {limit:,} bytes, too large for what it is")
    refuse_lfs_pointer(path, data)
    return data


def read_text(path: Path) -> str:
    """A small UTF-8 file. Raises CheckpointError as `read_bytes` does, and if it is not UTF-8."""
    try:
        return read_bytes(path).decode()
    except UnicodeDecodeError:
        raise CheckpointError(f"{path} is not UTF-8 text") from None


def read_json(path: Path) -> object:
    """A small JSON file. Raises CheckpointError as `read_text` does, and if it is not JSON."""
    try:
        content: object = json.loads(read_text(path))
    except (ValueError, RecursionError):
        raise CheckpointError(f"{path} is not JSON: was it cut short?") from None
    return content


def refuse_lfs_pointer(path: Path, head: bytes) -> None:
    """Raises CheckpointError if a file that begins with `head` is a Git LFS pointer."""
    if head.startswith(b"version https://git-lfs.github.com/spec/"):
        raise CheckpointError(
            f"{path} is a Git LFS pointer, not the file itself: run `git lfs pull` where it "
            "was cloned, then copy the folder again"
        )


@contextmanager
def write_aside(path: Path) -> Iterator[BinaryIO]:
    """Opens a file that takes `path`'s name only once it is written to its end and on the disk.

    So nobody ever reads or maps half a file. Raises OSError.
    """
    aside = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        with aside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def write_folder_aside(folder: Path) -> Iterator[Path]:
    """Gives an empty folder to write into; its files go to `folder` when all are complete.

    Files of the same names are replaced. Raises OSError.
    """
    aside = folder.with_name(f".{folder.name}.{os.urandom(4).hex()}")
    try:
        aside.mkdir()
        yield aside
        folder.mkdir(exist_ok=True)
        # Backwards: what tells of the others, checkpoint or config.json, comes last.
        for file in sorted(aside.iterdir(), reverse=True):
            file.replace(folder / file.name)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
