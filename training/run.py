"""The folder of a run: what is written when, so that a kill loses nothing that was saved.

``model-N`` are the weights after N steps, which the service reads; ``state/step-N`` are weights and
Adam's moments, with which training goes on as if it had never stopped.

`engine.Checkpoint` describes and reads the layout. `checkpoint` names the current weights; it is
written last and replaced in one go, so that a reader always finds one finished checkpoint, the
old one or the new one. A run that was put away as `model-N.gguf` goes on from that.
"""

import shutil
from pathlib import Path

from training.files import write_text
from training.trainer import Trainer, save_state, save_weights

_STATE = "state"


def begun(run: Path) -> bool:
    """Whether the run has weights yet."""
    return (run / "checkpoint").exists() or any(run.glob("model-*.gguf"))


def counter(run: Path) -> int:
    """The number of steps trained, as gpt-2-simple counts them; 0 where nothing says."""
    try:
        return int((run / "counter").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def newest(run: Path) -> tuple[int, Path | None]:
    """How many steps were saved, and the prefix of the state after them; None where it was not
    kept, or is older than the weights."""
    names = (path.stem for path in (run / _STATE).glob("step-*.index"))
    steps = [int(step) for name in names if (step := name.removeprefix("step-")).isdecimal()]
    last = max(steps, default=-1)
    if last < counter(run):
        return counter(run), None
    return last, run / _STATE / f"step-{last}"


def save(run: Path, trainer: Trainer, step: int, *, serve: bool = True) -> None:
    """Save the state, then the weights, and remove all others.

    Args:
        serve: save the weights, too; else those that are there stay.

    Raises:
        TrainingError: the folder cannot be written or the disk is full.
    """
    (run / _STATE).mkdir(exist_ok=True)
    prefix = run / _STATE / f"step-{step}"
    save_state(trainer, prefix)
    if serve:
        weights = run / f"model-{step}"
        save_weights(trainer, weights)
        _commit(run, weights, step)
    _remove_others(prefix, "step-*")


def _commit(run: Path, prefix: Path, step: int) -> None:
    """Make the weights just written to prefix the run's, and remove all others."""
    write_text(run / "counter", f"{step}\n")
    state = f'model_checkpoint_path: "{prefix.name}"\nall_model_checkpoint_paths: "{prefix.name}"\n'
    write_text(run / "checkpoint", state)
    _remove_others(prefix, "model-*")


def _remove_others(current: Path, pattern: str) -> None:
    """Remove what is older, and what a kill in the middle of saving left behind."""
    for path in current.parent.glob(pattern):
        if path.is_dir():  # where TensorFlow collects the data before renaming it
            shutil.rmtree(path)
        elif not path.name.startswith(f"{current.name}."):
            path.unlink()


def set_aside(run: Path) -> Path:
    """Rename the folder to a free name beside it; returns that."""
    return run.rename(free_name(run))


def free_name(run: Path) -> Path:
    """The name that the folder would be set aside to."""
    number = 1
    while (aside := run.with_name(f"{run.name}.{number}")).exists():
        number += 1
    return aside
