"""A model as a checkpoint folder that gpt-2-simple loads: see `checkpoint` for the layout."""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

from engine.bundle_writer import Tensor, write_bundle
from engine.checkpoint import HParams, tensors
from engine.files import write_aside, write_folder_aside
from engine.source import Source
from engine.tokenizer import Vocabulary


def write_checkpoint(
    source: Source,
    folder: Path,
    *,
    progress: Callable[[Iterable[bytearray]], Iterable[bytearray]] = iter,
) -> None:
    """Writes a model in float32, without gpt-2-simple or TensorFlow.

    In a folder that is there already, the files of the same names are replaced; nothing is touched
    before all are complete. progress: wraps the iteration over the tensors. Holds about one tensor
    in memory. Raises CheckpointError for a broken source, and OSError.
    """
    with write_folder_aside(folder) as aside:
        write_model_files(source.hparams, source.read_vocabulary(), aside)
        named = zip(tensors(source.hparams), progress(source.read_tensors()), strict=True)
        write_bundle(aside / "model", (Tensor(name, shape, data) for (name, shape), data in named))
        (aside / "checkpoint").write_text('model_checkpoint_path: "model"\n', encoding="ascii")


def write_model_files(hparams: HParams, vocabulary: Vocabulary, folder: Path) -> None:
    """Writes hparams.json, encoder.json and vocab.bpe. Raises OSError."""
    ids = dict(sorted(vocabulary.ids.items(), key=lambda item: item[1]))
    merges = "".join(f"{left} {right}\n" for left, right in vocabulary.merges)
    texts = {
        "hparams.json": json.dumps(asdict(hparams)) + "\n",
        # ASCII, because gpt-2-simple opens encoder.json in the platform's encoding.
        "encoder.json": json.dumps(ids),
        "vocab.bpe": "#version: 0.2\n" + merges,
    }
    for name, text in texts.items():
        with write_aside(folder / name) as file:
            file.write(text.encode())
