"""The readers of hparams.json, encoder.json, vocab.bpe and checkpoint, beside weights that fit.

Input: the four files, with a zero byte between them.
"""

import random
import re
from pathlib import Path

import atheris

from tests.fuzz.harness import load, main
from tests.fuzz.tiny import TEXT_FILES, write_checkpoint


def try_input(folder: Path, data: bytes) -> None:
    checkpoint = folder / "run1"
    if not checkpoint.is_dir():
        write_checkpoint(checkpoint)
    contents = data.split(b"\0", 3)
    for name, content in zip(TEXT_FILES, contents, strict=False):
        (checkpoint / name).write_bytes(content)
    load(checkpoint)


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """Half of the time bytes, else whole items of the lists that the files are."""
    draw = random.Random(seed)
    if draw.random() < 0.5:
        return atheris.Mutate(data, max_size)
    items = re.split(rb"(, |: |[ \n\0{}])", data)
    for _ in range(draw.randint(1, 3)):
        one, other = draw.randrange(len(items)), draw.randrange(len(items))
        match draw.randrange(3):
            case 0:
                items[one] = items[other]
            case 1:
                items[one], items[other] = items[other], items[one]
            case 2:
                items.insert(one, items[other])
    return b"".join(items)[:max_size]


if __name__ == "__main__":
    main(try_input, mutate)
