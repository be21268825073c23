"""The checkpoint folder as gpt-2-simple lays it out: reading it with suspicion, writing it whole.

    checkpoint  model-N.index  model-N.data-00000-of-00001  hparams.json  encoder.json  vocab.bpe
    counter

`checkpoint` names the current weights. It is written last and replaced in one go, so that the
folder always shows a reader one finished checkpoint: the old one or the new one.
"""

import json
import re
import shutil
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from training.errors import TrainingError
from training.files import write_text

# What says how to read the weights; a run takes them over from its base.
DESCRIPTION = ("hparams.json", "encoder.json", "vocab.bpe")


@dataclass(frozen=True)
class HParams:
    """GPT-2's shape: vocabulary, context window, width, attention heads, layers."""

    n_vocab: int
    n_ctx: int
    n_embd: int
    n_head: int
    n_layer: int

    @classmethod
    def read(cls, folder: Path) -> "HParams":
        """Read folder/hparams.json.

        Raises:
            TrainingError: it is missing, or its numbers are no GPT-2's.
        """
        path = folder / "hparams.json"
        _check_file(path)
        try:
            numbers = json.loads(path.read_text(encoding="utf-8"))
            hparams = cls(**{field.name: int(numbers[field.name]) for field in fields(cls)})
        except (ValueError, KeyError, TypeError):
            raise TrainingError(f"{path} does not give the five numbers of a GPT-2") from None
        if min(asdict(hparams).values()) < 1 or hparams.n_embd % hparams.n_head:
            raise TrainingError(f"{path} gives numbers that are no GPT-2's")
        return hparams

    def write(self, folder: Path) -> None:
        """Write folder/hparams.json."""
        write_text(folder / "hparams.json", json.dumps(asdict(self)) + "\n")


def current_weights(folder: Path) -> Path | None:
    """The prefix of the current weights' files, or None where nothing was saved yet.

    Only the name in `checkpoint` counts: folders are moved, and Colab's paths travel with them.

    Raises:
        TrainingError: weights are named but not there, or another file of the folder is broken.
    """
    state = folder / "checkpoint"
    if not state.exists():
        return None
    _check_file(state)
    text = state.read_text(encoding="utf-8", errors="replace")
    match = re.search(r'^model_checkpoint_path:\s*"(?:.*[/\\])?([^/\\"]+)"', text, re.M)
    if not match:
        raise TrainingError(f"{state} does not name a checkpoint")
    prefix = folder / match[1]
    for path in (*(folder / name for name in DESCRIPTION), *weight_files(prefix)):
        _check_file(path)
    return prefix


def weight_files(prefix: Path) -> tuple[Path, Path]:
    """The two files that gpt-2-simple's weights are stored in."""
    return (
        prefix.with_name(prefix.name + ".index"),
        prefix.with_name(prefix.name + ".data-00000-of-00001"),
    )


def counter(folder: Path) -> int:
    """The number of steps trained, as gpt-2-simple counts them; 0 where nothing says."""
    try:
        return int((folder / "counter").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def commit(folder: Path, prefix: Path, step: int) -> None:
    """Make the weights just written to prefix the current ones and remove all others."""
    write_text(folder / "counter", f"{step}\n")
    state = f'model_checkpoint_path: "{prefix.name}"\nall_model_checkpoint_paths: "{prefix.name}"\n'
    write_text(folder / "checkpoint", state)
    remove_leftovers(folder)


def remove_leftovers(folder: Path) -> None:
    """Remove older weights, and what a kill in the middle of saving left behind."""
    current = current_weights(folder)
    keep = set(weight_files(current)) if current else set()
    for path in folder.glob("model-*"):
        if path.is_dir():  # model-N_temp/, where TensorFlow collects the data before renaming it
            shutil.rmtree(path)
        elif path not in keep:
            path.unlink()


def _check_file(path: Path) -> None:
    """Say what is wrong with a file that should be there."""
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except FileNotFoundError:
        raise TrainingError(f"{path} is missing; {path.parent} is not a whole model") from None
    except OSError as error:
        raise TrainingError(f"{path}: {error.strerror}") from error
    if not head:
        raise TrainingError(f"{path} is empty; copy or download it again")
    if head.startswith(b"version https://git-lfs.github.com/"):
        raise TrainingError(f"{path} is a Git LFS pointer, not the file itself; run 'git lfs pull'")
