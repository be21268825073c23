#!/usr/bin/env python3
"""Fine-tune GPT-2 on a corpus into a checkpoint of gpt-2-simple's layout."""

import argparse
import re
import shlex
import sys
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from corpus.documents import held_out_beside
from engine import CheckpointError
from training import TrainingError, base, download, processes
from training.finetune import (
    ENGINES,
    GPT_2_SIMPLE,
    PRECISIONS,
    Corpus,
    Paths,
    finetune,
    usual_plan,
)
from training.plan import FINE_TUNING, FROM_SCRATCH, Plan

EXAMPLES = """\
examples:
  python train_gpt2.py
      fine-tune the 124M model on data/train.txt into checkpoint/run1; a GPU is advised
  python train_gpt2.py --model mini --corpus data/eps.txt --run demo --steps 300
      train a small model from scratch: no download, minutes on a laptop's CPU
  python train_gpt2.py --model mini --corpus data/eps.txt --run demo --steps 600
      the same run again: goes on after step 300
  python train_gpt2.py --corpus authors.txt:1000 --corpus mine.txt:500:5e-5
      the authors first, then one's own texts at half the usual learning rate
  torchrun --nproc-per-node gpu -- train_gpt2.py --engine torch --batch-size 8
      the windows of each step shared among all GPUs (--nnodes: of several machines)

Ctrl-C saves and stops; the same command goes on from there, and from the last save after a kill, as
if it had never stopped. --steps counts the run's steps from its beginning.

What does not fit into memory is computed in smaller parts, with the same losses, or refused.

Every --eval-every steps the loss on the documents held out is measured, and how much of what the
model writes is copied. The best weights are served; training stops when they get no better.

checkpoint/<run> holds the weights, what was measured (metrics.jsonl, report.html, and tensorboard/
for `tensorboard --logdir checkpoint`), how it was begun and resumed (starts.jsonl), what training
needs to go on exactly (state/, three times the weights: safe to delete when done), the index of the
corpus by which the service knows copied words (corpus.copies), whose texts they were
(corpus.attribution) and a model card that says all this (README.md).

If MLFLOW_TRACKING_URI is set, the run is tracked there, too (pip install mlflow-skinny), in the
experiment MLFLOW_EXPERIMENT_NAME, train_gpt2 by default.
"""

Number = TypeVar("Number", int, float)


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "--model",
        default="124M",
        metavar="NAME|DIR",
        help=f"{', '.join(base.PUBLISHED)} (downloaded to models/), {base.MINI} (7.6M parameters, "
        "from scratch), or a folder with a checkpoint; default 124M",
    )
    add(
        "--corpus",
        type=_corpus,
        action="append",
        metavar="FILE[:STEPS[:RATE]]",
        help="default data/train.txt; several are learned one after another, each for its steps "
        "and with its learning rate",
    )
    add(
        "--replay",
        type=_share,
        metavar="SHARE",
        help="share of the batches drawn from earlier corpora, against forgetting; "
        + _default("replay"),
    )
    add(
        "--valid",
        type=Path,
        action="append",
        metavar="FILE",
        help="documents held out, which decide when to stop and which weights are served; default "
        "what prepare_corpus.py has left beside the corpus: valid.txt, or NAME.valid.txt; with "
        "several corpora once for each",
    )
    add(
        "--engine",
        choices=ENGINES,
        default=GPT_2_SIMPLE,
        help="what computes; torch needs `pip install torch`; both write the same checkpoints",
    )
    add(
        "--precision",
        choices=PRECISIONS,
        help="in which torch multiplies matrices; default bfloat16 where the GPU or the processor "
        "has instructions for it, otherwise float32, in which the rest is computed in any case",
    )
    add(
        "--compile",
        action=argparse.BooleanOptionalAction,
        help="whether torch compiles the steps; default where it pays: on long runs",
    )
    add("--run", type=_name, default="run1", help="its folder is checkpoint/<run>; default run1")
    add("--fresh", action="store_true", help="begin anew; an earlier run is renamed, not removed")
    add("--steps", type=_count, help=f"in all, over restarts; {_default('steps')}")
    add("--batch-size", type=_count, help=f"windows a batch; {_default('batch_size')}")
    add(
        "--accumulate-gradients",
        type=_count,
        metavar="BATCHES",
        help=f"batches a step; {_default('accumulate_gradients')}",
    )
    add("--learning-rate", type=_rate, help=f"at its peak; {_default('learning_rate')}")
    add("--weight-decay", type=_share, metavar="SHARE", help=_default("weight_decay"))
    add(
        "--short-windows",
        type=_share,
        metavar="SHARE",
        help=f"share of steps that cut windows into four; {_default('short_windows')}",
    )
    add("--save-every", type=_count, metavar="STEPS", help=_default("save_every"))
    add("--eval-every", type=_count, metavar="STEPS", help=_default("eval_every"))
    add(
        "--patience",
        type=_count,
        metavar="EVALUATIONS",
        help="stop when the loss on the documents held out has not fallen for so many; "
        + _default("patience"),
    )
    add(
        "--max-copied",
        type=_share,
        metavar="SHARE",
        help="stop when more of what the model writes is copied from the corpus; default 1: never",
    )
    add("--seed", type=_seed, help=f"of windows and first weights; {_default('seed')}")
    add(
        "--round-weights",
        action="store_true",
        default=None,
        help="round the finished weights to bfloat16, so that they compress well (for git)",
    )
    add("--checkpoint-dir", type=Path, default=Path("checkpoint"), help="default checkpoint")
    add("--models-dir", type=Path, default=Path("models"), help="default models")
    add(
        "--models-url",
        default=download.BASE_URL,
        metavar="URL",
        help="where models/NAME/ is; default OpenAI's",
    )
    args = parser.parse_args(arguments)
    args.corpus = args.corpus or [_corpus("data/train.txt")]
    if len(args.corpus) > 1 and (args.steps or not all(steps for _, steps, _ in args.corpus)):
        parser.error("--corpus: of several, each needs its steps (authors.txt:1000), not --steps")
    if args.valid and len(args.valid) != len(args.corpus):
        parser.error("--valid: as many files as --corpus, in the same order")
    return args


def _default(name: str) -> str:
    usual, scratch = getattr(FINE_TUNING, name), getattr(FROM_SCRATCH, name)
    return f"default {usual:g}" + (f" ({base.MINI}: {scratch:g})" if scratch != usual else "")


def _corpus(text: str) -> tuple[Path, int | None, float | None]:
    """A file's name, which may have colons of its own, then steps and learning rate."""
    path, steps, rate = text, None, None
    if match := re.fullmatch(r"(.+?):(\d+)(?::([\d.]+(?:e-?\d+)?))?", text):
        path, steps = match[1], _count(match[2])
        rate = _rate(match[3]) if match[3] else None
    return Path(path), steps, rate


def _corpora(args: argparse.Namespace, plan: Plan) -> list[Corpus]:
    valid = args.valid or [_held_out(path) for path, _, _ in args.corpus]
    return [
        Corpus(path, held_out, steps or plan.steps, rate or plan.learning_rate)
        for (path, steps, rate), held_out in zip(args.corpus, valid, strict=True)
    ]


def _held_out(corpus: Path) -> Path | None:
    """What prepare_corpus.py has left beside a training file, or beside all files of its stages."""
    whole = re.sub(r"\.\d+(?=\.[^.]*$)", "", corpus.name)  # train.txt of train.1.txt
    valid = (held_out_beside(path) for path in (corpus, corpus.with_name(whole)))
    return next((path for path in valid if path.is_file()), None)


def _name(text: str) -> str:
    if Path(text).name != text or text in {"", ".."}:
        raise argparse.ArgumentTypeError("a name, not a path (see --checkpoint-dir)")
    return text


def _count(text: str) -> int:
    return _within(int(text), 1, float("inf"))


def _seed(text: str) -> int:
    return _within(int(text), 0, 2**31 - 1)


def _rate(text: str) -> float:
    return _within(float(text), 1e-9, 1.0)


def _share(text: str) -> float:
    return _within(float(text), 0.0, 1.0)


def _within(number: Number, low: float, high: float) -> Number:
    if not low <= number <= high:
        raise argparse.ArgumentTypeError(f"{number} is not within {low:g} and {high:g}")
    return number


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    if processes.count() > 1:
        from training import distributed  # noqa: PLC0415 # takes seconds

        return distributed.lead(partial(_run, arguments))
    return _run(arguments)


def _run(arguments: list[str] | None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    args = _parse(arguments)
    given = {
        field.name: value
        for field in fields(Plan)
        if (value := getattr(args, field.name)) is not None
    }
    if len(args.corpus) == 1:
        _, steps, rate = args.corpus[0]
        given |= {"steps": steps} if steps else {}
        given |= {"learning_rate": rate} if rate else {}
    plan = replace(usual_plan(args.model), **given)
    run = args.checkpoint_dir / args.run
    paths = Paths(_corpora(args, plan), run, args.models_dir, args.models_url)
    try:
        stopped = finetune(
            args.model,
            paths,
            plan,
            command=shlex.join([*processes.launcher(), "train_gpt2.py", *arguments]),
            engine=args.engine,
            precision=args.precision,
            compiled=args.compile,
            fresh=args.fresh,
            say=partial(print, flush=True),
        )
    except (TrainingError, CheckpointError) as error:
        print(f"train_gpt2.py: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"train_gpt2.py: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; what was saved is kept.", file=sys.stderr)
        return 130
    return 128 + stopped if stopped else 0


if __name__ == "__main__":
    sys.exit(main())
