"""GPT-2 inference: a small C library (``csrc``) and its Python face."""

from engine.checkpoint import Checkpoint, HParams
from engine.checkpoint_writer import write_checkpoint, write_model_files
from engine.files import CheckpointError
from engine.gguf_model import GgufModel, GgufType, write_gguf
from engine.huggingface import write_huggingface
from engine.model import FinishReason, Generation, Model, Sampling, Stats
from engine.packed import Weights
from engine.source import Source, open_source, signature
from engine.tokenizer import END_OF_TEXT, Tokenizer, Vocabulary

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
    "Vocabulary",
    "Weights",
    "open_source",
    "signature",
    "write_checkpoint",
    "write_gguf",
    "write_huggingface",
    "write_model_files",
]
