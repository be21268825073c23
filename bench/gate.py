"""What the output gate costs: its time beside the time in which the engine writes the same texts.

python -m bench.gate                  the committed checkpoint and its index of the corpus
python -m bench.gate --words 1000     and a list of so many words that no text may have
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

from app.gate import Check, WordList
from bench.models import ROOT
from corpus.copies import IN_CHECKPOINT, CopyIndex
from engine import Model, Sampling

LENGTH = 200  # tokens


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, default=ROOT / "checkpoint" / "run1")
    parser.add_argument("--stories", type=int, default=50, help="default: %(default)s")
    parser.add_argument("--words", type=int, default=0, help="default: %(default)s")
    arguments = parser.parse_args()
    model = Model.load(arguments.checkpoint)
    index = arguments.checkpoint / IN_CHECKPOINT
    copies = CopyIndex.open(index) if index.exists() else None
    words = WordList(f"unwelcome{i}" for i in range(arguments.words))
    prompt = [model.tokenizer.end_of_text]
    shares = []
    for seed in range(arguments.stories):
        began = time.perf_counter()
        tokens = list(
            model.submit(prompt, length=LENGTH, sampling=Sampling(0.7, top_k=40), seed=seed)
        )
        written = time.perf_counter() - began
        pieces = [model.tokenizer.decode([token]).decode(errors="ignore") for token in tokens]
        began = time.perf_counter()
        check = Check(words, copies, may_copy=True)
        for piece in pieces:  # the most that it can be asked: token by token
            check.feed(piece)
        check.finish("")
        shares.append((time.perf_counter() - began) / written)
    share, worst = statistics.median(shares), max(shares)
    print(
        f"the gate takes {share:.1%} of the time in which a text is written (at worst {worst:.1%})"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
