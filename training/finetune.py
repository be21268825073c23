"""A whole fine-tuning run: check the corpus, open the run's folder, train."""

import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from corpus import copies, read_documents
from corpus.documents import replacing
from engine import CheckpointError, HParams, Model, Sampling, Tokenizer
from training import base, dataset, loop, model_card, run
from training.base import Base
from training.dataset import Dataset
from training.errors import TrainingError
from training.loop import Plan
from training.trainer import Trainer, load_state, load_weights

GPT_2_SIMPLE, TORCH = ENGINES = ("gpt-2-simple", "torch")


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
    engine: str = GPT_2_SIMPLE,
    fresh: bool,
    say: Callable[[str], None],
) -> signal.Signals | None:
    """Train model on paths.corpus into paths.run up to plan.steps, beginning or continuing.

    Args:
        model: a published name, "mini", or a folder with a checkpoint.
        engine: which computes, one of ENGINES.
        fresh: begin anew; an earlier run of the name is set aside, not removed.
        say: is told what happens, line by line.

    Returns:
        The signal that ended it early, after saving; None when all steps are done.

    Raises:
        TrainingError, CheckpointError, OSError: something that the user can put right; what was
            saved stays.
    """
    dataset.check(paths.corpus)
    opened, start, state = _open(model, paths, fresh, say)
    if start >= plan.steps and not plan.round_weights:
        say(
            f"{paths.run} has {start} steps already; for more give a larger --steps, "
            "to begin anew --fresh."
        )
        return None
    _put_copy_index(paths.corpus, paths.run)
    earlier = opened.weights.parent if opened.weights else paths.run
    model_card.carry(paths.corpus, earlier, paths.run)
    model_card.write(paths.run, model, paths.corpus)
    bar = tqdm(read_documents(paths.corpus), "Encoding", unit=" documents", leave=False)
    data = Dataset.encode(bar, Tokenizer.load(paths.run))
    say(f"{paths.corpus}: {len(data.starts):,} documents, {len(data.tokens):,} tokens.")
    n_ctx = opened.hparams.n_ctx
    for warning in dataset.advise(data, n_ctx, plan.tokens_per_step(n_ctx)):
        say(f"Warning: {warning}.")

    trainer = _trainer(engine, opened.hparams, plan)
    try:
        if state:
            load_state(trainer, state, start)
        elif opened.weights:
            load_weights(trainer, opened.weights)
        return loop.train(
            trainer,
            data,
            n_ctx=n_ctx,
            run=paths.run,
            start=start,
            moments_from=0 if state else start,
            plan=plan,
            sample=lambda: say(_sample(paths.run, plan.seed)),
        )
    finally:
        trainer.close()
        model_card.write(paths.run, model, paths.corpus)


def _trainer(engine: str, hparams: HParams, plan: Plan) -> Trainer:
    # Imported only here, as it takes seconds: mistakes were reported without the wait.
    if engine == TORCH:
        try:
            from training.pytorch import PyTorch  # noqa: PLC0415
        except ModuleNotFoundError:
            raise TrainingError("PyTorch is not installed: pip install torch") from None
        return PyTorch(hparams, seed=plan.seed, weight_decay=plan.weight_decay)
    from training.gpt2simple import Gpt2Simple  # noqa: PLC0415

    return Gpt2Simple(hparams, seed=plan.seed, weight_decay=plan.weight_decay)


def _open(
    model: str, paths: Paths, fresh: bool, say: Callable[[str], None]
) -> tuple[Base, int, Path | None]:
    """Begin or continue the run; returns what to train, the steps that it has had, and its state
    after them, where that was saved."""
    if run.begun(paths.run) and not fresh:
        continued = base.reopen(model, paths.run)
        start, state = run.newest(paths.run)
        say(f"Continuing {paths.run} after step {start} (--fresh begins anew).")
        return continued, start, state
    source = base.find(model, paths.models, paths.models_url)
    if source is not None and source.folder.resolve() == paths.run.resolve():
        raise TrainingError(f"--fresh would set {paths.run}, its own base, aside")
    if run.begun(paths.run):
        say(f"The earlier {paths.run} is now {run.set_aside(paths.run)}.")
    begun = base.begin(source, paths.run, read_documents(paths.corpus))
    say(f"Beginning {paths.run} from {begun.weights or 'scratch'}.")
    return begun, 0, None


def _put_copy_index(corpus: Path, run: Path) -> None:
    """Leave the corpus's copy index in the run: a service may get this folder alone."""
    index, prepared = run / copies.IN_CHECKPOINT, copies.index_of(corpus)
    if copies.up_to_date(corpus, index):
        return
    if copies.up_to_date(corpus, prepared):
        with replacing(index) as aside:
            shutil.copyfile(prepared, aside)
        return
    with tqdm(desc="Indexing", unit=" documents", leave=False) as bar:
        copies.build(corpus, index, progress=bar.update)


def _sample(folder: Path, seed: int) -> str:
    """A text written with the checkpoint just saved, as the service would write it."""
    try:
        model = Model.load(folder)
    except CheckpointError as error:
        return f"(no sample: {error})"
    with model.submit(
        [model.tokenizer.end_of_text],
        length=min(200, model.hparams.n_ctx - 1),
        sampling=Sampling(temperature=0.7, top_k=40),
        seed=seed,
    ) as text:
        written = model.tokenizer.decode(text).decode("utf-8", "replace")
    return f"--- sample after {run.counter(folder)} steps ---\n{written}\n"
