"""GPT-2 inference: a small C library (``csrc``) and its Python face."""

from engine.checkpoint import Checkpoint, HParams, signature
from engine.files import CheckpointError
from engine.gguf_model import GgufModel, GgufType, write_gguf
from engine.huggingface import write_huggingface
from engine.model import FinishReason, Generation, Model, Sampling, Stats
from engine.packed import Weights
from engine.source import Source, open_source
from engine.tokenizer import END_OF_TEXT, Tokenizer

__all__ = [
    "END_OF_TEXT",
    "Checkpoint",
    "CheckpointError",
    "FinishReason",
    "Generation",
    "GgufModel",
    "GgufType",
    "HParams",
    "Model",
    "Sampling",
    "Source",
    "Stats",
    "Tokenizer",
    "Weights",
    "open_source",
    "signature",
    "write_gguf",
    "write_huggingface",
]
