"""What a run starts from: weights in a folder or a GGUF file, or none of its own."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from engine import GgufModel, HParams, Source, open_source, write_model_files
from training import vocabulary
from training.download import BASE_URL, download
from training.errors import TrainingError

SCRATCH = "scratch"
MINI = "mini"
MINI_FOLDER = Path(__file__).parents[1] / "models" / MINI
"""A small GPT-2 that comes with the project; pretrain_base.py made it."""
# 10.3 million parameters.
MINI_HPARAMS = HParams(n_vocab=8192, n_ctx=1024, n_embd=320, n_head=5, n_layer=6)

# https://github.com/openai/gpt-2
PUBLISHED = {
    "124M": HParams(n_vocab=50257, n_ctx=1024, n_embd=768, n_head=12, n_layer=12),
    "355M": HParams(n_vocab=50257, n_ctx=1024, n_embd=1024, n_head=16, n_layer=24),
    "774M": HParams(n_vocab=50257, n_ctx=1024, n_embd=1280, n_head=20, n_layer=36),
    "1558M": HParams(n_vocab=50257, n_ctx=1024, n_embd=1600, n_head=25, n_layer=48),
}

# 7.6 million parameters. Heads are 64 wide as in every GPT-2; with eight narrower ones a step
# takes a third longer on a CPU, where the attention matrices' memory traffic is what counts.
SCRATCH_HPARAMS = HParams(n_vocab=4096, n_ctx=1024, n_embd=256, n_head=4, n_layer=8)


@dataclass(frozen=True)
class Base:
    """A model's shape, and where its weights are; None: from scratch."""

    hparams: HParams
    source: Source | None


def locate(model: str, models: Path, base_url: str = BASE_URL) -> Path:
    """The folder or GGUF file of a model that has weights. Raises TrainingError as `find`."""
    if model == MINI:
        return MINI_FOLDER
    if model in PUBLISHED:
        return download(model, models, base_url)
    if Path(model).exists():
        return Path(model)
    if model == SCRATCH:
        raise TrainingError(f"{SCRATCH} has no weights before it is trained: name a run's folder")
    raise TrainingError(
        f"there is no model {model}: choose {MINI}, {', '.join(PUBLISHED)}, {SCRATCH}, a folder or "
        "a GGUF file"
    )


def find(model: str, models: Path, base_url: str = BASE_URL) -> Source | None:
    """What has the weights of a model, downloaded into models/ where it has a published name.

    Returns:
        None for `scratch`, which has no weights.

    Raises:
        TrainingError: there is no such model, or it cannot be downloaded.
        CheckpointError: its files are broken.
    """
    if model == SCRATCH:
        return None
    source = open_source(locate(model, models, base_url))
    if source.hparams.n_embd % source.hparams.n_head:
        raise TrainingError(f"{source.prefix}: n_head does not divide n_embd")
    return source


def begin(
    source: Source | None, run: Path, documents: Iterable[str], shape: HParams = SCRATCH_HPARAMS
) -> Base:
    """Write hparams.json, encoder.json and vocab.bpe of a new run.

    They are the source's; without one the run has the given shape and learns a vocabulary of at
    most as many tokens from the documents.
    """
    run.mkdir(parents=True, exist_ok=True)
    if source is None:
        learned = vocabulary.learn(documents, shape.n_vocab)
        hparams = replace(shape, n_vocab=len(learned.ids))
    else:
        learned, hparams = source.read_vocabulary(), source.hparams
    write_model_files(hparams, learned, run)
    return Base(hparams, source)


def reopen(model: str, run: Path, shape: HParams = SCRATCH_HPARAMS) -> Base:
    """The run's own weights, if it was begun from this model.

    Where they are a GGUF file, hparams.json, encoder.json and vocab.bpe are written beside it.

    Raises:
        TrainingError: the shapes or the vocabularies differ.
        CheckpointError: the run or the model is broken.
    """
    source = open_source(run)
    mine = source.hparams
    if model == SCRATCH:
        same = mine == replace(shape, n_vocab=mine.n_vocab)
    elif model in PUBLISHED:
        same = mine == PUBLISHED[model]
    else:
        other = open_source(MINI_FOLDER if model == MINI else model)
        same = mine == other.hparams and _encodes_alike(source, other)
    if not same:
        raise TrainingError(
            f"{run} was not begun from the model {model} (it has {mine.n_layer} layers of "
            f"{mine.n_embd} and {mine.n_vocab} tokens); give the --model that it was begun with, "
            "another --run, or --fresh"
        )
    if isinstance(source, GgufModel):  # a checkpoint has them, and may be served
        write_model_files(mine, source.read_vocabulary(), run)
    return Base(mine, source)


def _encodes_alike(source: Source, other: Source) -> bool:
    (_, *mine), (_, *others) = source.read_vocabulary(), other.read_vocabulary()
    return mine == others
