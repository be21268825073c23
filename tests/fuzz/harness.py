"""What the Python targets have in common: limits, and what may happen to a stranger's model."""

import resource
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["engine"]):
    from engine import CheckpointError, Model, Sampling, Tokenizer, open_source
    from engine.tokenizer import compile_vocabulary

_MEMORY = 512 << 20  # bytes, beyond what the interpreter takes at its start
_MAX_MESSAGE = 600  # characters
_TEXT = "the theory\n of it's the 12 \N{HORIZONTAL ELLIPSIS}"


def load(path: Path) -> None:
    """Reads all there is of a model and, where nothing is wrong with it, generates.

    Nothing but CheckpointError may come, with a message of one line.
    """
    try:
        source = open_source(path)
        tokenizer = Tokenizer(compile_vocabulary(source.read_vocabulary()))
        assert tokenizer.decode(tokenizer.encode(_TEXT)).decode() == _TEXT
        for _ in source.read_tensors():
            pass
        model = Model.load(path, threads=1, max_batch=1)
    except CheckpointError as error:
        message = str(error)
        assert "\n" not in message and len(message) < _MAX_MESSAGE, message
        return
    prompt = model.tokenizer.encode("the")
    how = Sampling(temperature=1, top_k=40)
    tokens = list(model.submit(prompt, length=6, sampling=how, seed=1))
    assert len(tokens) <= 6 and all(token < model.hparams.n_vocab for token in tokens)
    model.close()


def main(
    try_input: Callable[[Path, bytes], None],
    mutate: Callable[[bytes, int, int], bytes] | None = None,
) -> None:
    """Runs libFuzzer with this process's arguments.

    try_input: gets a folder to work in. mutate: makes another input of one, of a size at most, from
    a seed; the default changes bytes.
    """
    folder = Path(tempfile.mkdtemp())  # libFuzzer ends the process: who started it cleans up
    custom = {"custom_mutator": mutate} if mutate else {}
    atheris.Setup(sys.argv, lambda data: try_input(folder, data), **custom)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + _MEMORY, used + _MEMORY))
    atheris.Fuzz()
