"""The folder of a run: what is written when, so that a kill loses nothing that was saved.

`engine.Checkpoint` describes and reads the layout. `checkpoint` names the current weights; it is
written last and replaced in one go, so that a reader always finds one finished checkpoint, the
old one or the new one.
"""

import shutil
from pathlib import Path

from training.files import write_text


def begun(run: Path) -> bool:
    """Whether the run has saved anything yet."""
    return (run / "checkpoint").exists()


def counter(run: Path) -> int:
    """The number of steps trained, as gpt-2-simple counts them; 0 where nothing says."""
    try:
        return int((run / "counter").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def commit(run: Path, prefix: Path, step: int) -> None:
    """Make the weights just written to prefix the run's, and remove all others."""
    write_text(run / "counter", f"{step}\n")
    state = f'model_checkpoint_path: "{prefix.name}"\nall_model_checkpoint_paths: "{prefix.name}"\n'
    write_text(run / "checkpoint", state)
    _remove_others(run, prefix)


def _remove_others(run: Path, current: Path) -> None:
    """Remove older weights, and what a kill in the middle of saving left behind."""
    for path in run.glob("model-*"):
        if path.is_dir():  # where TensorFlow collects the data before renaming it
            shutil.rmtree(path)
        elif not path.name.startswith(f"{current.name}."):
            path.unlink()


def set_aside(run: Path) -> Path:
    """Rename the folder to a free name beside it; returns that."""
    number = 1
    while (aside := run.with_name(f"{run.name}.{number}")).exists():
        number += 1
    return run.rename(aside)
