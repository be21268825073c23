"""What a model is loaded from: a checkpoint folder or a GGUF file.

Both have `hparams`, `identity`, `prefix` and `caches`, `read_vocabulary()` and `read_tensors()`.
"""

import os
from pathlib import Path

from engine.checkpoint import Checkpoint
from engine.gguf_model import GgufModel

Source = Checkpoint | GgufModel


def open_source(path: str | os.PathLike[str]) -> Source:
    """A file is GGUF, everything else should be a checkpoint folder. Raises CheckpointError."""
    path = Path(path)
    try:
        is_file = path.is_file()
    except OSError:
        is_file = False
    return GgufModel(path) if is_file or path.suffix == ".gguf" else Checkpoint(path)
