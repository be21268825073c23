"""GPT-2 inference: a small C library (``csrc``) and its Python face."""

from engine.checkpoint import Checkpoint, HParams, signature
from engine.files import CheckpointError
from engine.model import FinishReason, Generation, Model, Sampling, Stats, Weights
from engine.tokenizer import END_OF_TEXT, Tokenizer

__all__ = [
    "END_OF_TEXT",
    "Checkpoint",
    "CheckpointError",
    "FinishReason",
    "Generation",
    "HParams",
    "Model",
    "Sampling",
    "Stats",
    "Tokenizer",
    "Weights",
    "signature",
]
