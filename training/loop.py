"""The training loop: steps, learning rate, progress, evaluation, saving, when to stop.

A stop is asked for by Ctrl-C or SIGTERM: the loop ends the step under way, saves and returns.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from tqdm import tqdm

from training import run as run_folder
from training.metrics import Evaluation, Metrics, Step
from training.plan import Curriculum
from training.tracking import Tracker
from training.trainer import Trainer


def train(
    trainer: Trainer,
    curriculum: Curriculum,
    *,
    run: Path,
    start: int,
    moments_from: int,
    evaluate: Callable[[int], Evaluation],
    tracker: Tracker,
    describe: Callable[[], None],
    say: Callable[[str], None],
) -> signal.Signals | None:
    """Train from step start to the curriculum's end, or until more would make the model worse.

    The state is saved every plan.save_every steps, after each evaluation and at the end; the
    weights that are served are the stage's best on the documents held out, the last where none are.

    Args:
        moments_from: the step after which Adam's moments began.
        evaluate: measures the weights after so many steps.
        tracker: is told of each step and each evaluation.
        describe: writes anew, after each save, what tells readers of the run.
        say: is told of each evaluation, and why training stops.

    Returns:
        The signal that ended it early; None otherwise.
    """
    plan, steps = curriculum.plan, curriculum.steps
    metrics = tracker.metrics
    step = saved = start

    def save() -> None:
        nonlocal saved
        best = metrics.best
        serve = best is None or best.step == step or not run_folder.begun(run)
        run_folder.save(run, trainer, step, serve=serve)
        describe()
        saved = step

    with (
        _stop_signals() as stop,
        tqdm(total=steps, initial=start, unit="step", desc=run.name) as bar,
    ):

        def look() -> None:
            evaluation = evaluate(step)
            tracker.add(evaluation)
            with bar.external_write_mode():
                say(_told(evaluation, is_best=evaluation == metrics.best))
            save()

        if step == 0:
            look()
        while step < steps and not stop and not (reason := _enough(metrics, curriculum)):
            began = time.perf_counter()
            batches = list(curriculum.batches(trainer.hparams.n_ctx, step + 1))
            rate = curriculum.rate(step + 1, moments_from)
            loss = trainer.step(batches, rate)
            step += 1
            seconds = time.perf_counter() - began
            size = sum(batch.size for batch in batches)
            tracker.add(Step(step, loss, rate, metrics.seconds + seconds, metrics.tokens + size))
            bar.set_postfix_str(
                f"loss={loss:.2f} avg={metrics.average():.2f} {size / seconds:,.0f} tokens/s",
                refresh=False,
            )
            bar.update()
            if step % plan.eval_every == 0 or curriculum.ends_stage(step):
                look()
            elif step % plan.save_every == 0:
                save()
        if saved < step:
            save()
    if not stop and reason:
        say(f"Stopped after step {step}: {reason}.")
    return stop[0] if stop else None


def _enough(metrics: Metrics, curriculum: Curriculum) -> str | None:
    """Why training should stop, if it should."""
    plan, best = curriculum.plan, metrics.best
    is_last = best is not None and best.stage == len(curriculum.stages) - 1
    if best and is_last and metrics.since_best >= plan.patience:
        return (
            f"the loss on the documents held out has been higher than after step {best.step} for "
            f"{metrics.since_best} evaluations (--patience); the weights of that step are served"
        )
    if metrics.evaluations and metrics.evaluations[-1].copied > plan.max_copied:
        share = metrics.evaluations[-1].copied
        return f"{share:.1%} of what it writes is copied from the corpus (--max-copied)"
    return None


def _told(evaluation: Evaluation, *, is_best: bool) -> str:
    """An evaluation in a line, and what was written."""
    held_out = ""
    if evaluation.valid_loss is not None:
        held_out = (
            f"held out {evaluation.valid_loss:.3f} nats a token (perplexity "
            f"{evaluation.perplexity:,.1f}, {evaluation.bits_per_byte:.3f} bits a byte)"
            f"{', the best so far' if is_best else ''}; "
        )
    return (
        f"Step {evaluation.step}: {held_out}copied {evaluation.copied:.1%}. It writes:\n"
        f"{evaluation.text}\n"
    )


@contextmanager
def _stop_signals() -> Iterator[list[signal.Signals]]:
    """Collect the first SIGINT or SIGTERM in a list; a second one acts at once."""
    received: list[signal.Signals] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        received.append(signal.Signals(number))
        restore()
        # Not print(), which may be at work in the interrupted code.
        os.write(2, b"\nStopping after this step, then saving; once more to stop at once.\n")

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in before:
        signal.signal(number, handle)
    try:
        yield received
    finally:
        restore()
