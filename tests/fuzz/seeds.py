"""Inputs that the targets start from, written by our own code."""

import random
import tempfile
from dataclasses import replace
from pathlib import Path

from engine import Checkpoint, GgufType, write_gguf
from tests.fuzz import tiny
from tests.fuzz.archives import archives


def seeds(target: str) -> dict[str, bytes]:
    """Names and contents; any bytes for targets whose input needs no form."""
    match target:
        case "gguf":
            return {"f32": _gguf("f32", 2), "f16": _gguf("f16", 2), "q8_0": _gguf("q8_0", 32)}
        case "bundle":
            index, data = tiny.bundle()
            size = len(index).to_bytes(2, "little")
            return {"mended": b"\1" + size + index + data, "as-it-is": b"\0" + size + index + data}
        case "importers":
            return archives()
        case "text_files":
            return {"files": b"\0".join(tiny.TEXT_FILES.values())}
    draw = random.Random(1)
    return {f"random-{n}": draw.randbytes(n) for n in (20, 100, 700)}


def _gguf(kind: GgufType, n_embd: int) -> bytes:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tiny.write_checkpoint(folder / "run1", replace(tiny.HPARAMS, n_embd=n_embd))
        write_gguf(Checkpoint(folder / "run1"), folder / "seed.gguf", kind)
        return (folder / "seed.gguf").read_bytes()
