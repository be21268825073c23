"""A whole fine-tuning run: check the corpus, open the run's folder, train."""

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from corpus import read_documents
from engine import CheckpointError, Model, Sampling, Tokenizer
from training import base, checkpoint, dataset, loop
from training.checkpoint import HParams
from training.errors import TrainingError
from training.loop import Plan


@dataclass(frozen=True)
class Paths:
    """Where a run finds and leaves things."""

    corpus: Path
    run: Path
    models: Path
    models_url: str


def finetune(
    model: str,
    paths: Paths,
    plan: Plan,
    *,
    fresh: bool = False,
    say: Callable[[str], None] = print,
) -> signal.Signals | None:
    """Train model on paths.corpus into paths.run up to plan.steps, beginning or continuing.

    Args:
        model: a published name, "mini", or a folder with a checkpoint.
        fresh: begin anew; an earlier run of the name is set aside, not removed.
        say: is told what happens, line by line.

    Returns:
        The signal that ended it early, after saving; None when all steps are done.

    Raises:
        TrainingError: something that the user can put right; what was saved stays.
    """
    dataset.check(paths.corpus)
    if fresh and paths.run.exists():
        say(f"The earlier {paths.run} is now {_set_aside(paths.run)}.")
    weights, start = _open_run(model, paths, say)
    hparams = HParams.read(paths.run)
    try:
        tokenizer = Tokenizer.load(str(paths.run))
    except CheckpointError as error:
        raise TrainingError(str(error)) from error
    documents = 0

    def counted() -> Iterator[str]:
        nonlocal documents
        for document in tqdm(read_documents(paths.corpus), "Encoding", unit=" documents"):
            documents += 1
            yield document

    tokens = dataset.encode(counted(), tokenizer)
    say(f"{paths.corpus}: {documents:,} documents, {len(tokens):,} tokens.")
    if documents == 0:
        raise TrainingError(f"{paths.corpus} has no documents; run prepare_corpus.py first")
    for warning in dataset.advise(
        len(tokens), documents, hparams.n_ctx, plan.tokens_per_step(hparams.n_ctx)
    ):
        say(f"Warning: {warning}.")
    if start >= plan.steps and not plan.round_weights:
        say(
            f"{paths.run} has {start} steps already; for more give a larger --steps, "
            "to begin anew --fresh."
        )
        return None

    # Only here, as it takes seconds: mistakes were reported without the wait.
    from training.gpt2simple import Gpt2Simple  # noqa: PLC0415

    trainer = Gpt2Simple(hparams, seed=plan.seed)
    try:
        if weights is not None:
            trainer.load(weights)
        return loop.train(
            trainer,
            tokens,
            n_ctx=hparams.n_ctx,
            run=paths.run,
            start=start,
            plan=plan,
            sample=lambda: _sample(paths.run, plan.seed),
        )
    finally:
        trainer.close()


def _open_run(model: str, paths: Paths, say: Callable[[str], None]) -> tuple[Path | None, int]:
    """Begin or continue the run; returns the weights to load and the steps they have had."""
    weights = checkpoint.current_weights(paths.run)
    if weights is None:
        weights = base.prepare(
            model,
            paths.run,
            read_documents(paths.corpus),
            models=paths.models,
            base_url=paths.models_url,
        )
        say(f"Beginning {paths.run} from {weights or 'scratch'}.")
        return weights, 0
    base.check_same(model, paths.run)
    checkpoint.remove_leftovers(paths.run)
    start = checkpoint.counter(paths.run)
    say(f"Continuing {paths.run} after step {start} (--fresh begins anew).")
    return weights, start


def _set_aside(run: Path) -> Path:
    """Rename a run's folder to a free name beside it."""
    number = 1
    while (aside := run.with_name(f"{run.name}.{number}")).exists():
        number += 1
    return run.rename(aside)


def _sample(run: Path, seed: int) -> str:
    """Write a text with the checkpoint just saved, as the service would."""
    try:
        model = Model.load(str(run))
    except CheckpointError as error:
        return f"(no sample: {error})"
    with model.submit(
        [model.tokenizer.end_of_text],
        length=min(200, model.hparams.n_ctx - 1),
        sampling=Sampling(temperature=0.7, top_k=40),
        seed=seed,
    ) as text:
        written: bytes = model.tokenizer.decode(list(text))
    return written.decode("utf-8", "replace")
