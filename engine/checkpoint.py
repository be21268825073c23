"""A checkpoint folder in gpt-2-simple's layout, whoever trained it.

::

    checkpoint/run1/
      checkpoint  model-N.index  model-N.data-00000-of-00001  (model-N.meta)
      hparams.json  encoder.json  vocab.bpe  counter

The file ``checkpoint`` names the newest model. Training writes it last, so whoever finds it finds
what it names.
"""

import ctypes
import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from engine._native import lib
from engine.bundle import Bundle
from engine.files import CheckpointError, read_bytes, read_json, read_text
from engine.tokenizer import Vocabulary

MODEL_FILES = ("hparams.json", "encoder.json", "vocab.bpe")
"""What a folder holds beside its weights."""


@dataclass(frozen=True)
class HParams:
    """``hparams.json``: the shape of the model."""

    n_vocab: int
    n_ctx: int
    n_embd: int
    n_head: int
    n_layer: int


class Checkpoint:
    """A folder whose files fit together, as far as can be told without reading the weights.

    Raises CheckpointError, which says what is wrong and what to do.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.prefix = newest_prefix(self.folder)
        """Path of the newest model without its extensions: ``checkpoint/run1/model-20``."""
        self.caches = "*"
        """Pattern for the names, without extensions, of caches of this model and earlier ones."""
        self._bundle = Bundle(self.prefix)
        self.hparams = _read_hparams(self.folder / "hparams.json")
        self._tensors = [
            (name, self._bundle.find(name, shape)) for name, shape in tensors(self.hparams)
        ]
        digest = hashlib.sha256()
        for path in (self._bundle.index, *(self.folder / name for name in MODEL_FILES)):
            digest.update(hashlib.sha256(read_bytes(path)).digest())
        self.identity = digest.hexdigest()[:16]
        """16 hex digits, of the content: the index holds the checksum of every tensor."""

    def read_vocabulary(self) -> Vocabulary:
        """Raises CheckpointError where it is broken or another model's."""
        vocabulary = Vocabulary.load(self.folder)
        if len(vocabulary.ids) != self.hparams.n_vocab:
            raise CheckpointError(
                f"{self.folder}/encoder.json has {len(vocabulary.ids):,} tokens, the model "
                f"{self.hparams.n_vocab:,}: do the files belong together?"
            )
        return vocabulary

    def read_tensors(self) -> Iterator[bytearray]:
        """The float32 tensors in the order of `tensors`, one at a time, checksums verified."""
        for name, entry in self._tensors:
            data = self._bundle.read(name, entry)
            buffer = (ctypes.c_char * entry.size).from_buffer(data)
            if not lib.gpt2_all_finite(buffer, entry.size // 4):
                raise CheckpointError(
                    f"{self._bundle.data}: {name} holds NaN or infinity: the training diverged. "
                    "Use an earlier checkpoint, or train with a smaller learning rate"
                )
            yield data


def tensors(hp: HParams) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of GPT-2's variables, in the order in which the engine packs them."""
    e = hp.n_embd
    yield "model/wte", (hp.n_vocab, e)
    yield "model/wpe", (hp.n_ctx, e)
    for layer in range(hp.n_layer):
        h = f"model/h{layer}"
        yield f"{h}/ln_1/g", (e,)
        yield f"{h}/ln_1/b", (e,)
        yield f"{h}/attn/c_attn/w", (1, e, 3 * e)
        yield f"{h}/attn/c_attn/b", (3 * e,)
        yield f"{h}/attn/c_proj/w", (1, e, e)
        yield f"{h}/attn/c_proj/b", (e,)
        yield f"{h}/ln_2/g", (e,)
        yield f"{h}/ln_2/b", (e,)
        yield f"{h}/mlp/c_fc/w", (1, e, 4 * e)
        yield f"{h}/mlp/c_fc/b", (4 * e,)
        yield f"{h}/mlp/c_proj/w", (1, 4 * e, e)
        yield f"{h}/mlp/c_proj/b", (e,)
    yield "model/ln_f/g", (e,)
    yield "model/ln_f/b", (e,)


def newest_prefix(folder: Path) -> Path:
    """The model that the file ``checkpoint`` names, or the only one that is there.

    The path in the file may be absolute and of another machine: its last part counts.
    """
    try:
        if not folder.is_dir():
            raise CheckpointError(f"{folder} is not a folder: no checkpoint there")
        indexes = sorted(path.name.removesuffix(".index") for path in folder.glob("?*.index"))
        has_state = (folder / "checkpoint").exists()
    except OSError as error:
        raise CheckpointError(f"{folder} cannot be read: {error.strerror}") from None
    state = folder / "checkpoint"
    named = None
    if has_state:
        match = re.search(r'^model_checkpoint_path:\s*"([^"]*)"', read_text(state), re.MULTILINE)
        if match is None:
            raise CheckpointError(f"{state} names no model_checkpoint_path")
        named = re.split(r"[/\\]", match[1])[-1]
    if named in indexes:
        return folder / str(named)
    if len(indexes) == 1:
        return folder / indexes[0]
    if not indexes:
        raise CheckpointError(f"{folder} holds no model: no .index file is there")
    raise CheckpointError(
        f"{state} names the model {named!r}, which is not there; found: {', '.join(indexes)}"
        if named
        else f"{state} is missing, and there are several models: {', '.join(indexes)}"
    )


def _read_hparams(path: Path) -> HParams:
    content = read_json(path)
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is not a table of hyperparameters")
    values = {}
    for field in fields(HParams):
        value = content.get(field.name)
        if type(value) is not int or not 1 <= value <= 1 << 22:
            shown = repr(value)[:100]
            raise CheckpointError(f"{path}: {field.name} is {shown}, not a sensible number")
        values[field.name] = value
    return HParams(**values)
