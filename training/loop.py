"""The training loop: steps, learning rate, progress, evaluation, saving, when to stop.

A stop is asked for by Ctrl-C or SIGTERM: the loop ends the step under way, saves and returns.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import cos, pi
from pathlib import Path
from types import FrameType

import numpy as np
from tqdm import tqdm

from training import report
from training import run as run_folder
from training.dataset import Dataset, Tokens
from training.metrics import Evaluation, Metrics, Step
from training.trainer import Trainer


@dataclass(frozen=True)
class Plan:
    """What to train. gpt-2-simple's names where it has one.

    A step reads accumulate_gradients batches of batch_size windows of n_ctx tokens. A share
    short_windows of the steps cuts each window into four. Attention costs less there: with three
    of four steps cut, mini reads 1.6 times the tokens a second on a CPU and learns as much from
    each, while the other steps teach it the far positions. The share is drawn per step, not
    scheduled, so that a run stopped at any moment has seen all positions.
    """

    steps: int
    batch_size: int
    accumulate_gradients: int
    short_windows: float
    learning_rate: float
    weight_decay: float = 0.0
    seed: int = 0
    save_every: int = 100
    eval_every: int = 50
    patience: int = 5
    """Evaluations without a lower loss on the documents held out, after which training stops."""
    max_copied: float = 1.0
    """Share of the texts written that may be copied from the corpus; more stops training."""
    round_weights: bool = False

    def tokens_per_step(self, n_ctx: int) -> int:
        """How many tokens one step reads."""
        return self.accumulate_gradients * self.batch_size * n_ctx

    def batches(self, data: Dataset, n_ctx: int, step: int) -> Iterator[Tokens]:
        """The batches of a step: a function of the seed and the step's number alone."""
        random = np.random.default_rng([self.seed, step])
        parts = 4 if random.random() < self.short_windows else 1
        for _ in range(self.accumulate_gradients):
            count = self.batch_size * parts
            yield data.windows(count=count, length=n_ctx // parts, random=random)

    def rate(self, step: int, start: int) -> float:
        """The learning rate of a step where Adam's moments began after step start.

        It decays on a cosine to a tenth at the last step, and warms up over the first tenth of
        the steps (at most 100) after the start.
        """
        warmup = min(100, max(1, self.steps // 10))
        decay = 0.1 + 0.45 * (1 + cos(pi * (step - 1) / max(1, self.steps - 1)))
        return self.learning_rate * decay * min(1.0, (step - start) / warmup)


def train(
    trainer: Trainer,
    data: Dataset,
    *,
    run: Path,
    start: int,
    moments_from: int,
    plan: Plan,
    evaluate: Callable[[int], Evaluation],
    say: Callable[[str], None],
) -> signal.Signals | None:
    """Train from step start to plan.steps, or until more would make the model worse.

    The state is saved every plan.save_every steps, after each evaluation and at the end; the
    weights that are served are the best on the documents held out, the last where none are.

    Args:
        moments_from: the step after which Adam's moments began.
        evaluate: measures the weights after so many steps.
        say: is told of each evaluation, and why training stops.

    Returns:
        The signal that ended it early; None otherwise.
    """
    metrics = Metrics(run, start)
    step = saved = start

    def save() -> None:
        nonlocal saved
        best = metrics.best
        serve = best is None or best.step == step or not run_folder.begun(run)
        run_folder.save(run, trainer, step, serve=serve, rounded=plan.round_weights)
        report.write(run, metrics)
        saved = step

    with (
        _stop_signals() as stop,
        tqdm(total=plan.steps, initial=start, unit="step", desc=run.name) as bar,
    ):

        def look() -> None:
            evaluation = evaluate(step)
            metrics.add(evaluation)
            with bar.external_write_mode():
                say(_told(evaluation, is_best=evaluation == metrics.best))
            save()

        if step == 0:
            look()
        while step < plan.steps and not stop and not (reason := _enough(metrics, plan)):
            began = time.perf_counter()
            batches = list(plan.batches(data, trainer.hparams.n_ctx, step + 1))
            rate = plan.rate(step + 1, moments_from)
            loss = trainer.step(batches, rate)
            step += 1
            seconds = time.perf_counter() - began
            size = sum(batch.size for batch in batches)
            metrics.add(Step(step, loss, rate, metrics.seconds + seconds, metrics.tokens + size))
            bar.set_postfix_str(
                f"loss={loss:.2f} avg={metrics.average():.2f} {size / seconds:,.0f} tokens/s",
                refresh=False,
            )
            bar.update()
            if step % plan.eval_every == 0 or step == plan.steps:
                look()
            elif step % plan.save_every == 0:
                save()
        if saved < step:
            save()
    if not stop and reason:
        say(f"Stopped after step {step}: {reason}.")
    return stop[0] if stop else None


def _enough(metrics: Metrics, plan: Plan) -> str | None:
    """Why training should stop, if it should."""
    best = metrics.best
    if best and metrics.since_best >= plan.patience:
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


# gpt-2-simple's numbers.
FINE_TUNING = Plan(
    steps=1000, batch_size=1, accumulate_gradients=5, short_windows=0.0, learning_rate=1e-4
)
# What learned fastest on two CPU cores from a hundred short stories (45,000 tokens).
FROM_SCRATCH = Plan(
    steps=600, batch_size=1, accumulate_gradients=1, short_windows=0.75, learning_rate=1e-3
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
