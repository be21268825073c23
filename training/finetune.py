"""A whole fine-tuning run: check the corpus, open the run's folder, train."""

import platform
import shutil
import signal
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib import metadata
from itertools import chain
from math import ceil
from pathlib import Path
from typing import Any

from tqdm import tqdm

from corpus import copies, read_documents
from corpus.copies import CopyIndex
from corpus.documents import replacing, write_documents
from engine import HParams, Tokenizer
from training import (
    base,
    dataset,
    evaluation,
    history,
    loop,
    memory,
    model_card,
    processes,
    report,
    run,
)
from training.base import Base
from training.dataset import Dataset
from training.errors import TrainingError
from training.evaluation import HeldOut
from training.history import Start
from training.memory import Work
from training.metrics import Evaluation, Metrics
from training.plan import FINE_TUNING, FINE_TUNING_MINI, FROM_SCRATCH, MUON, Curriculum, Plan, Stage
from training.tracking import Tracker
from training.trainer import Trainer, load_state, load_weights

GPT_2_SIMPLE, TORCH = ENGINES = ("gpt-2-simple", "torch")
FLOAT32, BFLOAT16 = PRECISIONS = ("float32", "bfloat16")
_LIBRARIES = {GPT_2_SIMPLE: ("gpt-2-simple", "tensorflow", "numpy"), TORCH: ("torch", "numpy")}


@dataclass(frozen=True)
class Corpus:
    """A training file, and how it is learned."""

    path: Path
    valid: Path | None
    """The documents held out; None: there are none."""
    steps: int
    learning_rate: float


@dataclass(frozen=True)
class Paths:
    """Where a run finds and leaves things."""

    corpora: Sequence[Corpus]
    """In the order in which they are learned."""
    run: Path
    models: Path
    models_url: str


def usual_plan(model: str) -> Plan:
    """What is trained of a model where nothing else is asked for."""
    return {base.SCRATCH: FROM_SCRATCH, base.MINI: FINE_TUNING_MINI}.get(model, FINE_TUNING)


def finetune(
    model: str,
    paths: Paths,
    plan: Plan,
    *,
    command: str,
    engine: str = GPT_2_SIMPLE,
    precision: str | None = None,
    shape: HParams = base.SCRATCH_HPARAMS,
    compiled: bool | None = None,
    fresh: bool,
    say: Callable[[str], None],
) -> signal.Signals | None:
    """Train model on paths.corpora into paths.run up to their steps, beginning or continuing.

    Args:
        model: as `base.find` knows it.
        command: by which this was asked for, as the model card tells it.
        engine: which computes, one of ENGINES.
        precision: in which matrices are multiplied, one of PRECISIONS; None: with torch bfloat16
            where the hardware has instructions for it, otherwise float32.
        shape: of a model from scratch.
        compiled: whether torch compiles the steps; None: where that pays.
        fresh: begin anew; an earlier run of the name is set aside, not removed.
        say: is told what happens, line by line.

    Returns:
        The signal that ended it early, after saving; None when all steps are done.

    Raises:
        TrainingError, CheckpointError, OSError: something that the user can put right; what was
            saved stays.
    """
    if engine == GPT_2_SIMPLE and precision == BFLOAT16:
        raise TrainingError(f"--precision {BFLOAT16} needs --engine {TORCH}")
    if engine == GPT_2_SIMPLE and plan.optimizer == MUON:
        raise TrainingError(f"--optimizer {MUON} needs --engine {TORCH}")
    if engine == GPT_2_SIMPLE and compiled:
        raise TrainingError(f"--compile needs --engine {TORCH}")
    _check_processes(engine, plan)
    for corpus in paths.corpora:
        dataset.check(corpus.path)
    opened, start, state = _open(model, paths, shape, fresh, say)
    if start >= sum(corpus.steps for corpus in paths.corpora):
        say(
            f"{paths.run} has {start} steps already; for more give a larger --steps, "
            "to begin anew --fresh."
        )
        return None
    files = [corpus.path for corpus in paths.corpora]
    _put_copy_index(files, paths.run)
    earlier = model_card.of_weights(opened.source) if opened.source else ""
    model_card.carry(files, earlier, paths.run)
    tokenizer, n_ctx = Tokenizer.load(paths.run), opened.hparams.n_ctx
    curriculum = Curriculum(plan, [_stage(corpus, tokenizer) for corpus in paths.corpora])
    for corpus, stage in zip(paths.corpora, curriculum.stages, strict=True):
        data = stage.data
        say(f"{corpus.path}: {len(data.starts):,} documents, {len(data.tokens):,} tokens.")
        for warning in dataset.advise(data, n_ctx, plan.tokens_per_step(n_ctx)):
            say(f"Warning: {warning}.")
    held_out = [_held_out(corpus.valid, tokenizer, n_ctx, say) for corpus in paths.corpora]

    trainer = _trainer(
        opened.hparams, curriculum, engine=engine, precision=precision, compiled=compiled, say=say
    )
    try:
        if state:
            load_state(trainer, state, start)
        elif opened.source:
            load_weights(trainer, opened.source)
        begun = Start(
            step=start,
            command=command,
            model=model,
            corpus=", then ".join(file.name for file in files),
            documents=sum(len(stage.data.starts) for stage in curriculum.stages),
            tokens=sum(len(stage.data.tokens) for stage in curriculum.stages),
            engine=engine,
            learning_rate=plan.learning_rate,
            settings=_unusual(model, plan),
            versions=_versions(engine),
        )
        history.add(paths.run, begun)
        parameters = asdict(plan) | asdict(begun)
        del parameters["step"], parameters["settings"]
        with Tracker(paths.run, start, parameters, say) as tracker:
            return loop.train(
                trainer,
                curriculum,
                run=paths.run,
                start=start,
                moments_from=0 if state else start,
                evaluate=partial(_evaluate, trainer, curriculum, held_out, paths.run),
                tracker=tracker,
                describe=partial(_describe, paths.run, tracker.metrics),
                say=say,
            )
    finally:
        trainer.close()


def _check_processes(engine: str, plan: Plan) -> None:
    count, windows = processes.count(), plan.batch_size * plan.accumulate_gradients
    if count > 1 and engine != TORCH:
        raise TrainingError(f"{count} processes need --engine {TORCH}")
    if count > windows:
        raise TrainingError(
            f"{count} processes cannot share the windows of a step, which are {windows}: start "
            "fewer, or give a larger --batch-size or --accumulate-gradients"
        )


def _stage(corpus: Corpus, tokenizer: Tokenizer) -> Stage:
    bar = tqdm(read_documents(corpus.path), "Encoding", unit=" documents", leave=False)
    data = Dataset.encode(bar, tokenizer)
    return Stage(corpus.path.name, data, corpus.steps, corpus.learning_rate)


def _unusual(model: str, plan: Plan) -> dict[str, float | str]:
    """The values of a plan, but for the learning rate, that are not the usual ones."""
    usual = asdict(usual_plan(model)) | {"learning_rate": plan.learning_rate}
    return {name: value for name, value in asdict(plan).items() if value != usual[name]}


def _versions(engine: str) -> dict[str, str]:
    versions = {name: metadata.version(name) for name in _LIBRARIES[engine]}
    return versions | {"Python": platform.python_version()}


def _describe(folder: Path, metrics: Metrics) -> None:
    report.write(folder, metrics)
    model_card.write(folder)


def _trainer(
    hparams: HParams,
    curriculum: Curriculum,
    *,
    engine: str,
    precision: str | None,
    compiled: bool | None,
    say: Callable[[str], None],
) -> Trainer:
    """The trainer of an engine, so that it fits into the memory that is there."""
    plan = curriculum.plan
    options: dict[str, Any] = {"seed": plan.seed, "weight_decay": plan.weight_decay}
    # Imported only here, as it takes seconds: mistakes were reported without the wait.
    if engine == GPT_2_SIMPLE:
        from training.gpt2simple import Gpt2Simple, has_gpu  # noqa: PLC0415

        if not has_gpu():  # whose memory TensorFlow divides by itself
            work = memory.fit(_work(hparams, curriculum), memory.available(), say)
            options["most_tokens"] = work.windows * work.length
        return Gpt2Simple(hparams, **options)
    try:
        from training import pytorch  # noqa: PLC0415
    except ModuleNotFoundError:
        raise TrainingError("PyTorch is not installed: pip install torch") from None
    bfloat16 = precision == BFLOAT16 if precision else pytorch.multiplies_bfloat16()
    if compiled is None:
        tokens = curriculum.steps * plan.tokens_per_step(hparams.n_ctx)
        compiled = pytorch.compiling_pays(hparams, tokens)
    elif compiled and not pytorch.can_compile():
        raise TrainingError("--compile needs a C++ compiler and Python's headers (python3-dev)")
    work = replace(_work(hparams, curriculum), torch=True, bfloat16=bfloat16)
    free = pytorch.gpu_memory()
    if free is None:
        work, free = replace(work, processes=processes.count_here()), memory.available()
    else:
        work = replace(work, gpu=True)  # of which each process has its own
    work = memory.fit(work, free, say)
    if compiled:
        say("Steps are compiled: the first of each kind takes a minute or more.")
    options |= {
        "bfloat16": bfloat16,
        "muon": plan.optimizer == MUON,
        "compiled": compiled,
        "recompute": work.recompute,
        "most_tokens": work.windows * work.length,
    }
    if processes.count() > 1:
        from training.distributed import Distributed  # noqa: PLC0415

        return Distributed(hparams, **options)
    return pytorch.PyTorch(hparams, **options)


def _work(hparams: HParams, curriculum: Curriculum) -> Work:
    """What a process computes of a batch."""
    plan = curriculum.plan
    length, windows = curriculum.longest_windows(hparams.n_ctx)
    share = ceil(windows * plan.accumulate_gradients / processes.count())
    accumulates = plan.accumulate_gradients > 1
    return Work(hparams, min(windows, share), length, torch=False, accumulates=accumulates)


def _open(
    model: str, paths: Paths, shape: HParams, fresh: bool, say: Callable[[str], None]
) -> tuple[Base, int, Path | None]:
    """Begin or continue the run; returns what to train, the steps that it has had, and its state
    after them, where that was saved."""
    if run.begun(paths.run) and not fresh:
        continued = base.reopen(model, paths.run, shape)
        start, state = run.newest(paths.run)
        say(f"Continuing {paths.run} after step {start} (--fresh begins anew).")
        return continued, start, state
    source = base.find(model, paths.models, paths.models_url)
    if source is not None and source.prefix.parent.resolve() == paths.run.resolve():
        raise TrainingError(f"--fresh would set {paths.run}, its own base, aside")
    if run.begun(paths.run):
        say(f"The earlier {paths.run} is now {run.set_aside(paths.run)}.")
    documents = chain.from_iterable(read_documents(corpus.path) for corpus in paths.corpora)
    begun = base.begin(source, paths.run, documents, shape)
    say(f"Beginning {paths.run} from {source.prefix if source else base.SCRATCH}.")
    return begun, 0, None


def _put_copy_index(corpora: Sequence[Path], run: Path) -> None:
    """Leave the copy index of all corpora in the run: a service may get this folder alone."""
    index = run / copies.IN_CHECKPOINT
    with tempfile.TemporaryDirectory(dir=run, prefix=".corpora-") as folder:
        corpus = corpora[0]
        if len(corpora) > 1:
            corpus = Path(folder, "train.txt")
            write_documents(chain.from_iterable(map(read_documents, corpora)), corpus)
        prepared = copies.index_of(corpus)
        if copies.up_to_date(corpus, index):
            return
        if copies.up_to_date(corpus, prepared):
            with replacing(index) as aside:
                shutil.copyfile(prepared, aside)
            return
        with tqdm(desc="Indexing", unit=" documents", leave=False) as bar:
            copies.build(corpus, index, progress=bar.update)


def _held_out(
    valid: Path | None, tokenizer: Tokenizer, n_ctx: int, say: Callable[[str], None]
) -> HeldOut | None:
    """The documents held out, if there are any."""
    held_out = HeldOut.encode(read_documents(valid) if valid else (), tokenizer, n_ctx)
    if not held_out.tokens:
        say(
            "Warning: no documents are held out, so nobody can tell when to stop, and the last "
            "weights are served; prepare_corpus.py holds some out (valid.txt beside the corpus)."
        )
        return None
    say(f"{valid}: held out; {held_out.tokens:,} tokens of it are looked at.")
    return held_out


def _evaluate(
    trainer: Trainer,
    curriculum: Curriculum,
    held_out: Sequence[HeldOut | None],
    run: Path,
    step: int,
) -> Evaluation:
    texts = evaluation.write_texts(trainer, run, curriculum.plan.seed)
    copied = evaluation.copied(texts, CopyIndex.open(run / copies.IN_CHECKPOINT))
    losses = [documents.loss(trainer) if documents else None for documents in held_out]
    now = curriculum.stage(step)
    loss, documents = losses[now], held_out[now]
    return Evaluation(
        step,
        copied,
        texts[0],
        loss,
        documents.bits_per_byte(loss) if documents and loss is not None else None,
        now,
        {
            stage.name: loss
            for number, (stage, loss) in enumerate(zip(curriculum.stages, losses, strict=True))
            if number != now and loss is not None
        },
    )
