"""What a run starts from: a published GPT-2, a folder in the same layout, or `mini`."""

import json
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from engine import Checkpoint, HParams
from training import vocabulary
from training.download import BASE_URL, download
from training.errors import TrainingError
from training.files import write_text

MINI = "mini"

# https://github.com/openai/gpt-2
PUBLISHED = {
    "124M": HParams(n_vocab=50257, n_ctx=1024, n_embd=768, n_head=12, n_layer=12),
    "355M": HParams(n_vocab=50257, n_ctx=1024, n_embd=1024, n_head=16, n_layer=24),
    "774M": HParams(n_vocab=50257, n_ctx=1024, n_embd=1280, n_head=20, n_layer=36),
    "1558M": HParams(n_vocab=50257, n_ctx=1024, n_embd=1600, n_head=25, n_layer=48),
}

# 7.6 million parameters. Heads are 64 wide as in every GPT-2; with eight narrower ones a step
# takes a third longer on a CPU, where the attention matrices' memory traffic is what counts.
MINI_HPARAMS = HParams(n_vocab=4096, n_ctx=1024, n_embd=256, n_head=4, n_layer=8)

_VOCABULARY = ("encoder.json", "vocab.bpe")
MODEL_FILES = ("hparams.json", *_VOCABULARY)
"""What a folder with weights needs beside them."""


@dataclass(frozen=True)
class Base:
    """A model's shape, and the prefix of its weights' files; None: from scratch."""

    hparams: HParams
    weights: Path | None


def find(model: str, models: Path, base_url: str = BASE_URL) -> Checkpoint | None:
    """The checkpoint of a model, downloaded into models/ where it has a published name.

    Returns:
        None for `mini`, which has no weights of its own.

    Raises:
        TrainingError: there is no such model, or it cannot be downloaded.
        CheckpointError: its folder is broken.
    """
    if model == MINI:
        return None
    if model in PUBLISHED:
        folder = download(model, models, base_url)
    elif Path(model).is_dir():
        folder = Path(model)
    else:
        raise TrainingError(
            f"there is no model {model}: choose {', '.join(PUBLISHED)}, {MINI} or a folder"
        )
    checkpoint = Checkpoint(folder)
    if checkpoint.hparams.n_embd % checkpoint.hparams.n_head:
        raise TrainingError(f"{folder}/hparams.json: n_head does not divide n_embd")
    return checkpoint


def begin(checkpoint: Checkpoint | None, run: Path, documents: Iterable[str]) -> Base:
    """Write hparams.json, encoder.json and vocab.bpe of a new run.

    They are the checkpoint's; without one they are `mini`'s, which learns its vocabulary from
    the documents.
    """
    run.mkdir(parents=True, exist_ok=True)
    if checkpoint is None:
        n_vocab = vocabulary.write(vocabulary.learn(documents, MINI_HPARAMS.n_vocab), run)
        base = Base(replace(MINI_HPARAMS, n_vocab=n_vocab), None)
    else:
        for name in _VOCABULARY:
            shutil.copyfile(checkpoint.folder / name, run / name)
        base = Base(checkpoint.hparams, checkpoint.prefix)
    write_hparams(base.hparams, run)
    return base


def write_hparams(hparams: HParams, folder: Path) -> None:
    """Write folder/hparams.json."""
    write_text(folder / "hparams.json", json.dumps(asdict(hparams)) + "\n")


def reopen(model: str, run: Path) -> Base:
    """The run's own weights, if it was begun from this model.

    Raises:
        TrainingError: the shapes or the vocabularies differ.
        CheckpointError: one of the two folders is broken.
    """
    checkpoint = Checkpoint(run)
    mine = checkpoint.hparams
    if model == MINI:
        same = mine == replace(MINI_HPARAMS, n_vocab=mine.n_vocab)
    elif model in PUBLISHED:
        same = mine == PUBLISHED[model]
    else:
        same = mine == Checkpoint(model).hparams and all(
            (run / name).read_bytes() == (Path(model) / name).read_bytes() for name in _VOCABULARY
        )
    if not same:
        raise TrainingError(
            f"{run} was not begun from the model {model} (it has {mine.n_layer} layers of "
            f"{mine.n_embd} and {mine.n_vocab} tokens); give the --model that it was begun with, "
            "another --run, or --fresh"
        )
    return Base(mine, checkpoint.prefix)
