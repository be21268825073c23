"""How much memory training takes, told before it begins, and how it fits into what there is.

Weights, gradients and Adam's moments are float32 numbers, four for each parameter; the rest grows
with the tokens that are computed at once: what layers keep for the gradients, and the logits, which
outgrow all else in small models with large vocabularies. The factors are measured on a CPU, with
1.4 to 124 million parameters, 4,096 to 50,257 tokens in the vocabulary and 256 to 4,096 at once:
from 450 MB to 6 GB the peak of a process (VmHWM) lies within 13% of what is predicted with either
engine. What they say of a GPU follows from the same counts and has not been measured.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import ceil, prod
from pathlib import Path

from engine import HParams
from engine.checkpoint import tensors
from training import base
from training.errors import TrainingError

_RESERVE = 0.1  # of what is predicted, for what is not
LOGITS_AT_ONCE = 256  # tokens, where what is before them is computed twice


@dataclass(frozen=True)
class Work:
    """What training computes at once."""

    hparams: HParams
    windows: int
    length: int
    """Of a window, in tokens."""
    torch: bool
    """By that engine, not by gpt-2-simple."""
    gpu: bool = False
    bfloat16: bool = False
    recompute: bool = False
    accumulates: bool = False
    """A step has several such parts."""
    processes: int = 1
    """That do so in the same memory."""


def peak(work: Work) -> int:
    """The bytes that training adds to processes in which the engine is imported."""
    return work.processes * int(_of_process(work))


def _of_process(work: Work) -> float:
    hp = work.hparams
    weights = 4 * sum(prod(shape) for _, shape in tensors(hp))
    tokens = work.windows * work.length
    if not work.torch:
        layers = 39 * 4 * hp.n_layer * hp.n_embd * tokens
        attention = 0.95 * 4 * hp.n_layer * hp.n_head * 5 / 8 * work.length * tokens
        return 150e6 + 7.5 * weights + layers + attention + 1.9 * 4 * hp.n_vocab * tokens
    library = 0.0 if work.gpu else 125e6
    embedding = 4 * hp.n_vocab * hp.n_embd
    layer = (38 if work.bfloat16 else 68) * hp.n_embd * tokens
    logits = 3 * 4.0 * hp.n_vocab * tokens
    if work.recompute:
        logits *= min(1, LOGITS_AT_ONCE / tokens)
        between = 4 * hp.n_layer * hp.n_embd * tokens
        return library + 4 * weights + embedding + between + layer + logits
    if work.bfloat16:
        library += weights / 2  # once more, in bfloat16
    # Gradients grow while what the layers keep is freed; those of the parts before are there.
    # malloc keeps holes between blocks of different ages.
    held, holes = (4 * weights, 1.65) if work.accumulates else (3 * weights + embedding, 1.35)
    return library + held + holes * hp.n_layer * layer + logits


def available(root: Path = Path("/")) -> int | None:
    """The bytes that a process may still take: of the machine, and of the container it is in.

    root: where the system's files lie.

    Returns:
        None where nothing says; Linux alone does.
    """
    free = _number(root / "proc/meminfo", "MemAvailable:")
    of_machine = [] if free is None else [1024 * free]
    return min([*of_machine, *_left_to_groups(root)], default=None)


def _left_to_groups(root: Path) -> Iterator[int]:
    """What is left to the process's control group and those that it lies in, of both versions.

    https://docs.kernel.org/admin-guide/cgroup-v2.html and cgroup-v1/memory.html
    """
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if not controllers:
            top, names = "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            top = "sys/fs/cgroup/memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        # In a container, path may be the host's, where only the top is there.
        parts = Path(path).parts[1:]
        for depth in range(len(parts) + 1):
            group = root.joinpath(top, *parts[:depth])
            limit, used = _number(group / names[0]), _number(group / names[1])
            if limit is not None and used is not None:
                # The kernel drops copies of files when memory is short.
                yield limit - used + (_number(group / "memory.stat", names[2]) or 0)


def _number(path: Path, name: str | None = None) -> int | None:
    """The number in a file, or that after a name."""
    for words in map(str.split, _lines(path)):
        if name is None or words[0] == name:
            number = words[name is not None]
            return int(number) if number.isdecimal() else None
    return None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeError):
        return []


def fit(work: Work, free: int | None, say: Callable[[str], None]) -> Work:
    """The work as it fits into the memory that is free: the same steps, in smaller parts.

    Batches are cut; if that is not enough, PyTorch computes twice what it does not keep. (What
    gpt_2_simple has for that, use_memory_saving_gradients, is for TensorFlow 1 alone.)

    Args:
        free: bytes; None: not known.
        say: is told what is needed, what is there and what was done about it.

    Raises:
        TrainingError: the least is too much; says what would fit.
    """
    cuts = list(_cuts(work))
    least = cuts[-1]
    fitting = next((cut for cut in cuts if free is None or _fits(cut, free)), least)
    needed = f"about {_gb(peak(fitting))} of memory"
    if free is None:
        say(f"Training takes {needed}.")
    elif peak(least) > free:
        raise TrainingError(
            f"training takes {needed} even one window at a time, and {_gb(free)} are free; "
            + _advice(least, free)
        )
    else:
        say(f"Training takes {needed}; {_gb(free)} are free.")
    if fitting.windows < work.windows:
        say(f"To fit, a batch's {work.windows} windows are computed {fitting.windows} at a time.")
    if fitting.recompute:
        say("To fit, layers are computed twice (gradient checkpointing): a third slower.")
    return fitting


def _cuts(work: Work) -> Iterator[Work]:
    """Ever less at once."""
    for recompute in (False, True) if work.torch else (False,):
        for parts in range(1, work.windows + 1):
            windows = ceil(work.windows / parts)
            accumulates = work.accumulates or parts > 1
            yield replace(work, windows=windows, recompute=recompute, accumulates=accumulates)


def _fits(work: Work, free: int) -> bool:
    return peak(work) * (1 + _RESERVE) <= free


def _advice(least: Work, free: int) -> str:
    """What else would fit."""
    hp = least.hparams
    torch = replace(least, torch=True, recompute=True)
    quarter = hp.n_ctx // 4
    short, length = f"--short-windows 1 (to position {quarter})", min(least.length, quarter)
    models = {base.MINI: base.MINI_HPARAMS, **base.PUBLISHED}
    ways = [
        ("--engine torch", torch),
        (short, replace(least, length=length)),
        *((f"--model {name}", replace(least, hparams=models[name])) for name in reversed(models)),
        (f"--engine torch {short}", replace(torch, length=length)),
    ]
    fitting = [way for way, work in ways if peak(work) < peak(least) and _fits(work, free)]
    return f"what would fit: {' or '.join(fitting[:2])}" if fitting else "free some more"


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f} GB"
