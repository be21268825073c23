"""Learn a byte-level BPE vocabulary as GPT-2 has one.

Ids are the 256 bytes first, then one for each merge, and `<|endoftext|>` last, as in
https://github.com/openai/gpt-2.
"""

import json
from collections.abc import Iterable

from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer

from engine import END_OF_TEXT, Vocabulary


def learn(documents: Iterable[str], n_vocab: int) -> Vocabulary:
    """Learn at most n_vocab tokens, `<|endoftext|>` among them.

    They are fewer when the corpus has too few pairs that occur at least twice.
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
    ids = tokenizer.get_vocab() | {END_OF_TEXT: tokenizer.get_vocab_size()}
    merges = [(left, right) for left, right in json.loads(tokenizer.to_str())["model"]["merges"]]
    return Vocabulary("the corpus", ids, merges, frozenset({END_OF_TEXT}))
