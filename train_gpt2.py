#!/usr/bin/env python3
"""Fine-tune GPT-2 on a corpus into a checkpoint of gpt-2-simple's layout."""

import argparse
import os
import re
import shlex
import sys
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from corpus.documents import CorpusError, held_out_beside
from engine import CheckpointError
from training import TrainingError, base, download, feedback, processes, promotion, successor
from training.finetune import (
    ENGINES,
    GPT_2_SIMPLE,
    PRECISIONS,
    TORCH,
    Corpus,
    Paths,
    finetune,
    usual_plan,
)
from training.plan import ADAM, FINE_TUNING, MUON, OPTIMIZERS, Plan

EXAMPLES = """\
examples:
  python train_gpt2.py
      fine-tune the 124M model on data/train.txt into checkpoint/run1; a GPU is advised
  python train_gpt2.py --model mini --corpus data/eps.txt --run demo --steps 300
      fine-tune the small model that comes along: no download, minutes on a laptop's CPU
  python train_gpt2.py --model mini --corpus data/eps.txt --run demo --steps 600
      the same run again: goes on after step 300
  python train_gpt2.py --corpus authors.txt:1000 --corpus mine.txt:500:5e-5
      the authors first, then one's own texts at half the usual learning rate
  torchrun --nproc-per-node gpu -- train_gpt2.py --engine torch --batch-size 8
      the windows of each step shared among all GPUs (--nnodes: of several machines)
  python train_gpt2.py --from-feedback --run run1
      learn what visitors liked or went on with, into a run beside checkpoint/run1 that takes its
      place, and is served at once, if it is not worse (exit code 3: it is worse)
  python train_gpt2.py --go-back --run run1
      put the run in its place again that was there before

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

NOT_PROMOTED = 3
"""The exit code where a run from feedback is worse than the served one."""

Number = TypeVar("Number", int, float)


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "--model",
        default="124M",
        metavar="NAME|PATH",
        help=f"{', '.join(base.PUBLISHED)} (downloaded to models/), {base.MINI} (10M parameters, "
        f"comes along), {base.SCRATCH} (7.6M parameters that know nothing yet), a folder with a "
        "checkpoint, or a GGUF file; default 124M",
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
    add(
        "--optimizer",
        choices=OPTIMIZERS,
        help=f"default {ADAM}; {MUON} takes half the steps from scratch, {TORCH} alone has it",
    )
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
        "--from-feedback",
        nargs="?",
        const="",
        metavar="DATABASE_URL",
        help="learn from what visitors picked, beginning from the run's own weights; default the "
        "service's database. --corpus and --valid are what the run was trained on, for replay and "
        "comparison",
    )
    add(
        "--per-visitor",
        type=_count,
        default=feedback.PER_VISITOR,
        metavar="STORIES",
        help="that one visitor may let in with --from-feedback; default %(default)s",
    )
    add("--go-back", action="store_true", help="undo the run's last promotion")
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
    is_plain = len(args.corpus) == 1 and not args.corpus[0][1] and not args.fresh
    is_plain &= args.model == parser.get_default("model")
    if args.from_feedback is not None and not is_plain:
        parser.error("--from-feedback begins from the run itself, anew, and replays one --corpus")
    return args


def _default(name: str) -> str:
    usual = getattr(FINE_TUNING, name)
    others = {model: getattr(usual_plan(model), name) for model in (base.MINI, base.SCRATCH)}
    told = [f"{model}: {value:g}" for model, value in others.items() if value != usual]
    return f"default {usual:g}" + (f" ({', '.join(told)})" if told else "")


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


def _given(args: argparse.Namespace) -> dict[str, Any]:
    """The values of a plan that were asked for."""
    values = {field.name: getattr(args, field.name) for field in fields(Plan)}
    return {name: value for name, value in values.items() if value is not None}


def _finetune(args: argparse.Namespace, command: str) -> int:
    given = _given(args)
    if len(args.corpus) == 1:
        _, steps, rate = args.corpus[0]
        given |= {"steps": steps} if steps else {}
        given |= {"learning_rate": rate} if rate else {}
    plan = replace(usual_plan(args.model), **given)
    run = args.checkpoint_dir / args.run
    paths = Paths(_corpora(args, plan), run, args.models_dir, args.models_url)
    stopped = finetune(
        args.model,
        paths,
        plan,
        command=command,
        engine=args.engine,
        precision=args.precision,
        compiled=args.compile,
        fresh=args.fresh,
        say=_say,
    )
    return 128 + stopped if stopped else 0


def _learn_from_feedback(args: argparse.Namespace, command: str) -> int:
    # Imported only here: nothing else needs the service and its database.
    from app.library import LibraryError  # noqa: PLC0415
    from app.picks import gate, read_picks  # noqa: PLC0415
    from app.settings import Settings, SettingsError  # noqa: PLC0415

    try:
        settings = Settings.read(os.environ)
        refusal, picks = gate(settings), read_picks(settings, args.from_feedback)
    except (LibraryError, SettingsError) as error:
        raise TrainingError(str(error)) from error
    corpus = args.corpus[0][0]
    outcome = successor.learn(
        args.checkpoint_dir / args.run,
        corpus,
        args.valid[0] if args.valid else _held_out(corpus),
        picks,
        refusal=refusal,
        per_visitor=args.per_visitor,
        options=_given(args),
        engine=args.engine,
        precision=args.precision,
        command=command,
        say=_say,
    )
    if outcome.stopped:
        return 128 + outcome.stopped
    return NOT_PROMOTED if outcome.objections else 0


def _go_back(args: argparse.Namespace) -> int:
    run = args.checkpoint_dir / args.run
    earlier, aside = promotion.go_back(run)
    _say(f"{earlier} is {run} again." + (f" What was there is {aside} now." if aside else ""))
    return 0


def _say(line: str) -> None:
    print(line, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    if processes.count() > 1:
        from training import distributed  # noqa: PLC0415 # takes seconds

        return distributed.lead(partial(_run, arguments))
    return _run(arguments)


def _run(arguments: list[str] | None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    args = _parse(arguments)
    command = shlex.join([*processes.launcher(), "train_gpt2.py", *arguments])
    try:
        if args.go_back:
            return _go_back(args)
        if args.from_feedback is not None:
            return _learn_from_feedback(args, command)
        return _finetune(args, command)
    except (TrainingError, CheckpointError, CorpusError) as error:
        print(f"train_gpt2.py: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"train_gpt2.py: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; what was saved is kept.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
