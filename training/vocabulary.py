"""Learn a byte-level BPE vocabulary and write it in GPT-2's own file format.

The format is that of https://github.com/openai/gpt-2 (src/encoder.py): `encoder.json` maps
tokens to ids, `vocab.bpe` lists the merges by rank. Tokens are spelt in GPT-2's
byte-to-unicode alphabet; ids are the 256 bytes first, then one for each merge, and
`<|endoftext|>` last.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer

from engine import END_OF_TEXT
from training.files import write_text


def learn(documents: Iterable[str], n_vocab: int) -> Tokenizer:
    """Learn at most n_vocab - 1 tokens, leaving one id for `<|endoftext|>`.

    The vocabulary is smaller when the corpus has too few pairs that occur at least twice.
    """
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)  # splits with GPT-2's pattern
    trainer = BpeTrainer(
        vocab_size=n_vocab - 1,
        min_frequency=2,
        initial_alphabet=ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents, trainer)
    return tokenizer


def write(tokenizer: Tokenizer, folder: Path) -> int:
    """Write encoder.json and vocab.bpe into folder; returns the number of tokens (n_vocab)."""
    merges = [tuple(merge) for merge in json.loads(tokenizer.to_str())["model"]["merges"]]
    tokens = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    encoder = dict(tokens) | {END_OF_TEXT: len(tokens)}
    # ASCII, because gpt-2-simple opens encoder.json in the platform's encoding.
    write_text(folder / "encoder.json", json.dumps(encoder))
    lines = ["#version: 0.2", *(" ".join(merge) for merge in merges)]
    write_text(folder / "vocab.bpe", "\n".join(lines) + "\n")
    return len(encoder)
