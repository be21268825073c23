"""How fast training is, and in how much memory: both of our engines beside gpt_2_simple.finetune.

Each trains from the same random weights on the same batches, those that gpt_2_simple.finetune draws
for itself: by default 5 windows of 1,024 tokens a step, one at a time. The first step, in which
graphs are built, is left out, and so is what is loaded and saved. Each runs in a process of its
own; in each round all of them, one after the other, so that a noisy minute hits all alike. Speeds
are medians over the rounds, a ratio is the median of the rounds' ratios. In float32 the losses of
the first two steps must be gpt_2_simple.finetune's to 0.001.

Where there is a GPU, PyTorch trains there, too, beside transformers' Trainer with its defaults
(8 windows a step; needs `pip install accelerate`). Linux only.
"""

import argparse
import contextlib
import io
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from tqdm import tqdm

from bench.arguments import among, counts, parse
from bench.engines import peak_rss
from bench.machine import machine, require_idle
from bench.models import BenchError, random_124m, random_checkpoint
from bench.report import table
from engine import Checkpoint
from training.base import MINI_HPARAMS
from training.dataset import Tokens
from training.finetune import GPT_2_SIMPLE, TORCH
from training.trainer import Trainer, load_weights

EXAMPLES = """\
examples:
  python -m bench.training
      everything: an hour on two cores
  python -m bench.training --only mini --rounds 5
      the small shape alone, in ten minutes
"""

_WINDOW = 1024  # tokens; gpt_2_simple.finetune knows no other length
_CORPUS = 20_000  # tokens
_LEARNING_RATE = 1e-4
_SEED = 1
_EQUAL = 1e-3


@dataclass(frozen=True)
class Work:
    """What is trained."""

    label: str
    checkpoint: Path
    steps: int
    """The first of which is not measured."""
    batch_size: int = 1
    accumulate_gradients: int = 5
    gpu: bool = False

    @property
    def tokens(self) -> int:
        """Of a step."""
        return self.batch_size * self.accumulate_gradients * _WINDOW


@dataclass(frozen=True)
class Trained:
    """One process's work."""

    label: str
    entrant: str
    speed: float
    """Tokens a second."""
    losses: list[float]
    """Of each step."""
    memory: int
    """Peak, in bytes."""


Steps = tuple[list[float], list[float]]
"""When each ended, in seconds, and its loss."""


def original(work: Work, corpus: Path) -> Steps:
    """gpt_2_simple.finetune as it is."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import gpt_2_simple

    session = gpt_2_simple.start_tf_sess()
    compute = session.run
    ended: list[float] = []
    losses: list[float] = []

    def noting(what: Any, *rest: Any, **options: Any) -> Any:
        values = compute(what, *rest, **options)
        if isinstance(what, tuple):  # the end of a step: ..., the loss, its summary
            ended.append(time.perf_counter())
            losses.append(float(values[-2]))
        return values

    session.run = noting  # as it prints losses rounded to a hundredth
    random.seed(_SEED)  # only now, as imports draw, too
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        gpt_2_simple.finetune(
            session,
            str(corpus),
            steps=work.steps,
            model_name=work.checkpoint.name,
            model_dir=str(work.checkpoint.parent),
            checkpoint_dir=folder,
            batch_size=work.batch_size,
            accumulate_gradients=work.accumulate_gradients,
            learning_rate=_LEARNING_RATE,
            save_every=work.steps + 1,
            sample_every=work.steps + 1,
        )
    return ended, losses


def ours(work: Work, corpus: Path, engine: str, bfloat16: bool = False) -> Steps:
    """One of our engines, on the batches that gpt_2_simple.finetune draws."""
    checkpoint = Checkpoint(work.checkpoint)
    trainer: Trainer
    if engine == TORCH:
        from training.pytorch import PyTorch

        trainer = PyTorch(checkpoint.hparams, seed=1, bfloat16=bfloat16)
    else:
        from training.gpt2simple import Gpt2Simple

        trainer = Gpt2Simple(checkpoint.hparams, seed=1)
    load_weights(trainer, checkpoint)
    tokens = np.load(corpus)["tokens"]
    random.seed(_SEED)
    ended, losses = [], []
    for _ in range(work.steps):
        batches = [_draw(tokens, work.batch_size) for _ in range(work.accumulate_gradients)]
        losses.append(trainer.step(batches, _LEARNING_RATE))
        ended.append(time.perf_counter())
    return ended, losses


def _draw(tokens: Tokens, count: int) -> Tokens:
    """A batch by gpt_2_simple.src.load_dataset.Sampler, of a corpus in one piece."""
    begins = [random.randint(0, len(tokens) - _WINDOW - 1) for _ in range(count)]  # noqa: S311
    return np.stack([tokens[begin : begin + _WINDOW] for begin in begins])


def huggingface(work: Work, corpus: Path) -> Steps:
    """transformers' Trainer with its defaults. It keeps its losses to itself."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, TrainerCallback, TrainingArguments
    from transformers import Trainer as TransformersTrainer

    hp = Checkpoint(work.checkpoint).hparams
    config = GPT2Config(
        vocab_size=hp.n_vocab, n_embd=hp.n_embd, n_head=hp.n_head, n_layer=hp.n_layer
    )
    tokens = np.load(corpus)["tokens"].astype(np.int64)
    windows = [_draw(tokens, 1)[0] for _ in range(work.steps * work.batch_size)]
    ended: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *_: object, **__: object) -> None:
            torch.cuda.synchronize()
            ended.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        TransformersTrainer(
            GPT2LMHeadModel(config),
            TrainingArguments(folder, max_steps=work.steps, report_to="none", disable_tqdm=True),
            train_dataset=[{"input_ids": window, "labels": window} for window in windows],
            callbacks=[Clock()],
        ).train()
    return ended, []


OURS = "ours: gpt-2-simple"
ORIGINAL, TRAINER = "gpt_2_simple.finetune", "transformers' Trainer"
TORCH_FLOAT32, TORCH_BFLOAT16 = "ours: torch float32", "ours: torch bfloat16"
ENTRANTS: dict[str, Callable[[Work, Path], Steps]] = {
    ORIGINAL: original,
    OURS: partial(ours, engine=GPT_2_SIMPLE),
    TORCH_FLOAT32: partial(ours, engine=TORCH),
    TORCH_BFLOAT16: partial(ours, engine=TORCH, bfloat16=True),
}
GPU_ENTRANTS: dict[str, Callable[[Work, Path], Steps]] = {
    TRAINER: huggingface,
    TORCH_FLOAT32: ENTRANTS[TORCH_FLOAT32],
    TORCH_BFLOAT16: ENTRANTS[TORCH_BFLOAT16],
}


def entrants(work: Work) -> dict[str, Callable[[Work, Path], Steps]]:
    """Who does this work; the first is what the others are compared with."""
    return GPU_ENTRANTS if work.gpu else ENTRANTS


def measure(work: Work, entrant: str) -> Trained:
    """Do the work; for a process of its own."""
    if not work.gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    n_vocab = Checkpoint(work.checkpoint).hparams.n_vocab
    tokens = np.random.default_rng(1).integers(0, n_vocab, _CORPUS, dtype=np.int32)
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder, "tokens.npz")
        np.savez(corpus, tokens=tokens)
        ended, losses = entrants(work)[entrant](work, corpus)
    speed = work.tokens * (len(ended) - 1) / (ended[-1] - ended[0])
    return Trained(work.label, entrant, speed, losses, peak_rss(os.getpid()))


def run(work: Work, rounds: int, names: Sequence[str]) -> list[Trained]:
    """All entrants of these names, so many times. Raises BenchError."""
    results = []
    context = multiprocessing.get_context("spawn")
    chosen = [name for name in entrants(work) if name in names]
    with tqdm(total=rounds * len(chosen), desc=work.label, unit="run") as bar:
        for _ in range(rounds):
            for entrant in chosen:
                bar.set_postfix_str(entrant)
                try:
                    with ProcessPoolExecutor(1, mp_context=context) as process:
                        results.append(process.submit(measure, work, entrant).result())
                except (BrokenProcessPool, ImportError, MemoryError) as error:
                    raise BenchError(f"{work.label}, {entrant}: {error}") from None
                bar.update()
    return results


def apart(results: Sequence[Trained], entrant: str) -> float | None:
    """The largest distance of an entrant's first two losses from gpt_2_simple.finetune's.

    Our engines clip the gradient's norm and finetune does not, which Adam's first step does not
    notice, and the next ones do.
    """
    of = {one.entrant: one.losses for one in results}
    if ORIGINAL not in of or entrant not in of:
        return None
    return max(abs(a - b) for a, b in zip(of[ORIGINAL][:2], of[entrant][:2], strict=True))


def markdown(results: Sequence[Trained]) -> str:
    """The table of one work."""
    names = list(dict.fromkeys(one.entrant for one in results))
    speeds = {name: [one.speed for one in results if one.entrant == name] for name in names}
    rows = []
    for name in names:
        ratios = [a / b for a, b in zip(speeds[name], speeds[names[0]], strict=True)]
        distance = apart(results, name)
        rows.append(
            (
                name,
                f"{median(speeds[name]):,.0f}",
                f"**{median(ratios):.2f}** ({min(ratios):.2f}-{max(ratios):.2f})",
                f"{median(one.memory for one in results if one.entrant == name) / 1e6:,.0f} MB",
                "" if distance is None else f"{distance:.5f}",
            )
        )
    header = (results[0].label, "tokens/s", f"to {names[0]}", "peak memory", "loss apart by")
    return table(header, rows)


def _works(args: argparse.Namespace) -> list[Work]:
    works = []
    if "mini" in args.only:
        mini = random_checkpoint(args.cache, "mini", MINI_HPARAMS)
        works.append(Work("mini", mini, args.steps[0]))
    if "124M" in args.only:
        works.append(Work("124M", random_124m(args.cache), args.steps[0]))
    if "gpu" in args.only:
        import torch

        if torch.cuda.is_available():
            steps, checkpoint = 20 * args.steps[0], random_124m(args.cache)
            works.append(Work("124M, GPU", checkpoint, steps, 8, 1, gpu=True))
        else:
            print("There is no GPU: transformers' Trainer is left out.", file=sys.stderr)
    return works


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code: 1 where losses are not equal, too."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.training",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    parts, names = ["mini", "124M", "gpu"], list(ENTRANTS | GPU_ENTRANTS)
    add("--only", type=among(parts), default=parts, metavar="PARTS", help=f"of {','.join(parts)}")
    add("--engines", type=among(names), default=names, metavar="NAMES", help="; ".join(names))
    add("--rounds", type=counts, default=[3], help="default 3")
    add("--steps", type=counts, default=[3], help="the first is not measured; default 3")
    args = parse(parser, arguments, "training.json")
    if args.steps[0] < 2:
        parser.error("--steps: at least 2")
    results: dict[str, list[Trained]] = {}
    try:
        if not args.busy:
            require_idle()
        for work in _works(args):
            results[work.label] = run(work, args.rounds[0], args.engines)
    except (BenchError, OSError) as error:
        print(f"bench.training: {error}", file=sys.stderr)
        return 1
    args.json.parent.mkdir(parents=True, exist_ok=True)
    numbers = {"machine": machine(), "runs": [asdict(x) for one in results.values() for x in one]}
    args.json.write_text(json.dumps(numbers, indent=1) + "\n")
    print(", ".join(machine().values()))
    for one in results.values():
        print(f"\n{markdown(one)}")
    for label, one in results.items():
        for name in (OURS, TORCH_FLOAT32):
            if (apart(one, name) or 0) > _EQUAL:
                print(f"bench.training: {label}, {name}: not the same losses", file=sys.stderr)
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
