"""What a run starts from: a published GPT-2, a folder in the same layout, or `mini`."""

import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from training import checkpoint, vocabulary
from training.checkpoint import HParams
from training.download import BASE_URL, download
from training.errors import TrainingError

MINI = "mini"

# https://github.com/openai/gpt-2; 1558M is the one that the paper calls GPT-2.
PUBLISHED = {
    "124M": HParams(n_vocab=50257, n_ctx=1024, n_embd=768, n_head=12, n_layer=12),
    "355M": HParams(n_vocab=50257, n_ctx=1024, n_embd=1024, n_head=16, n_layer=24),
    "774M": HParams(n_vocab=50257, n_ctx=1024, n_embd=1280, n_head=20, n_layer=36),
    "1558M": HParams(n_vocab=50257, n_ctx=1024, n_embd=1600, n_head=25, n_layer=48),
}

# 7.6 million parameters. Heads are 64 wide as in every GPT-2; eight narrower ones cost a third
# of the speed on a CPU, where the attention matrices' memory traffic is what counts.
MINI_HPARAMS = HParams(n_vocab=4096, n_ctx=1024, n_embd=256, n_head=4, n_layer=8)


def prepare(
    model: str,
    run: Path,
    documents: Iterable[str],
    *,
    models: Path,
    base_url: str = BASE_URL,
) -> Path | None:
    """Write hparams.json, encoder.json and vocab.bpe of a new run.

    `mini` learns its vocabulary from the documents; the other bases give theirs.

    Returns:
        The prefix of the weights to start from; None: from scratch.

    Raises:
        TrainingError: there is no such model, it is broken, or it cannot be downloaded.
    """
    if model == MINI:
        run.mkdir(parents=True, exist_ok=True)
        n_vocab = vocabulary.write(vocabulary.learn(documents, MINI_HPARAMS.n_vocab), run)
        replace(MINI_HPARAMS, n_vocab=n_vocab).write(run)
        return None
    if model in PUBLISHED:
        folder = download(model, models, base_url)
    elif Path(model).is_dir():
        folder = Path(model)
    else:
        raise TrainingError(
            f"there is no model {model}: choose {', '.join(PUBLISHED)}, {MINI} or a folder"
        )
    weights = checkpoint.current_weights(folder)
    if weights is None:
        raise TrainingError(f"{folder} has no file 'checkpoint': it is no whole model")
    run.mkdir(parents=True, exist_ok=True)
    HParams.read(folder).write(run)
    for name in checkpoint.DESCRIPTION[1:]:
        shutil.copyfile(folder / name, run / name)
    return weights


def check_same(model: str, run: Path) -> None:
    """Make sure that a run to be continued was begun from this model.

    Raises:
        TrainingError: the shapes or the vocabularies differ.
    """
    mine = HParams.read(run)
    if model == MINI:
        same = mine == replace(MINI_HPARAMS, n_vocab=mine.n_vocab)
    elif model in PUBLISHED:
        same = mine == PUBLISHED[model]
    else:
        same = mine == HParams.read(Path(model)) and all(
            (run / name).read_bytes() == (Path(model) / name).read_bytes()
            for name in checkpoint.DESCRIPTION[1:]
        )
    if not same:
        raise TrainingError(
            f"{run} was not begun from the model {model} (it has {mine.n_layer} layers of "
            f"{mine.n_embd}, {mine.n_vocab} tokens); give the --model that it was begun with, "
            "another --run, or --fresh"
        )
