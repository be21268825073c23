#!/usr/bin/env python3
"""Pretrain a small GPT-2 from nothing on a folder of books: this is how models/mini was made."""

import argparse
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from tqdm import tqdm

from corpus import attribution
from corpus.cleaning import clean
from corpus.documents import (
    CorpusError,
    held_out_beside,
    read_texts,
    text_files,
    write_documents,
)
from engine import CheckpointError, open_source, write_gguf
from training import TrainingError, base
from training.finetune import TORCH, Corpus, Paths, finetune
from training.plan import PRETRAINING

EXAMPLES = """\
examples:
  python pretrain_base.py books/
      minutes on a GPU; on two CPU cores days, until it gets no better
  python pretrain_base.py books/ --out models/mine --steps 1800
      as many steps as there is time for: the learning rate falls to its end with them
  python train_gpt2.py --model models/mine
      fine-tune what came out

books/ holds a .txt file a book, with a paragraph a line or blank lines between paragraphs. Books
are cut at paragraphs into documents of some 700 words; one book in forty is held out, whole.
ATTRIBUTION.txt in the folder, where there is one, goes along to the model and what is made of it.

Ctrl-C saves and stops; the same command goes on from there. The run lies in checkpoint/<name of
--out>, with its curves in report.html; --out gets the best weights in float16, with the model card.
"""

_WORDS = 700  # of a document: about as many tokens as the model sees at once
_SHORTEST = 60  # words; a shorter rest of a book is left out
_HELD_OUT = 40  # one book in so many


def documents(books: Iterable[Path]) -> Iterator[str]:
    """Books cut at paragraphs into pieces of some 700 words."""
    for book in books:
        text = "\n\n".join(clean(raw.text) for raw in read_texts(book))
        paragraphs: list[str] = []
        words = 0
        for paragraph in text.split("\n\n" if "\n\n" in text else "\n"):
            paragraphs.append(paragraph)
            words += len(paragraph.split())
            if words >= _WORDS:
                yield "\n\n".join(paragraphs)
                paragraphs, words = [], 0
        if words >= _SHORTEST:
            yield "\n\n".join(paragraphs)


def prepare(folder: Path, train: Path) -> None:
    """Write the training file and, beside it, the documents held out."""
    if not folder.is_dir():
        what = " is a file, not a folder of books" if folder.exists() else ": no such folder"
        raise TrainingError(f"{folder}{what}")
    books = text_files(folder)
    held_out = set(books[_HELD_OUT // 2 :: _HELD_OUT])
    if not held_out:
        raise TrainingError(f"{folder} has {len(books)} books; {_HELD_OUT // 2 + 1} are needed")
    write_documents(documents(sorted(held_out)), held_out_beside(train))
    attribution.carry([folder], train)
    with tqdm(books, "Preparing", unit=" books") as bar:
        write_documents(documents(book for book in bar if book not in held_out), train)


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("books", type=Path, metavar="FOLDER", help="with a .txt file a book")
    add("--out", type=Path, default=base.MINI_FOLDER, help="default models/mini")
    add("--steps", type=int, default=PRETRAINING.steps, help=f"default {PRETRAINING.steps:,}")
    add("--checkpoint-dir", type=Path, default=Path("checkpoint"), help="default checkpoint")
    args = parser.parse_args(arguments)
    if args.steps < 1:
        parser.error("--steps: one at least")
    return args


def _publish(trained: Path, out: Path) -> None:
    """Leave the weights of a run in float16, with what is known of them."""
    out.mkdir(parents=True, exist_ok=True)
    about = {"general.description": attribution.of_checkpoint(trained)}
    write_gguf(open_source(trained), out / "model.gguf", "f16", about=about, progress=tqdm)
    for name in ("README.md", attribution.IN_CHECKPOINT):
        if (trained / name).is_file():
            shutil.copyfile(trained / name, out / name)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    args = _parse(arguments)
    folder = args.checkpoint_dir / args.out.name
    train = folder / f"{args.books.resolve().name}.txt"
    plan = replace(PRETRAINING, steps=args.steps)
    corpus = Corpus(train, held_out_beside(train), plan.steps, plan.learning_rate)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not train.exists():  # the last thing that is written
            prepare(args.books, train)
        stopped = finetune(
            base.SCRATCH,
            Paths([corpus], folder, Path("models"), ""),
            plan,
            shape=base.MINI_HPARAMS,
            command=shlex.join(["python", "pretrain_base.py", *arguments]),
            engine=TORCH,
            fresh=False,
            say=partial(print, flush=True),
        )
        if not stopped:
            _publish(folder, args.out)
            print(args.out)
    except (TrainingError, CheckpointError, CorpusError) as error:
        print(f"pretrain_base.py: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"pretrain_base.py: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; what was saved is kept.", file=sys.stderr)
        return 130
    return 128 + stopped if stopped else 0


if __name__ == "__main__":
    sys.exit(main())
