#!/usr/bin/env python3
"""Measure models side by side: how well they predict texts, and what they write."""

import argparse
import sys
from functools import partial
from pathlib import Path

from corpus.documents import CorpusError, read_texts
from engine import CheckpointError
from training import TrainingError, base, comparison, dataset
from training.evaluation import SAMPLING
from training.files import write_text

EXAMPLES = """\
examples:
  python evaluate_gpt2.py 124M checkpoint/pokemon
      before and after fine-tuning, on the documents that prepare_corpus.py has held out
  python evaluate_gpt2.py checkpoint/* --text stories.txt --texts 0 --json runs.json
      how well each run predicts a text, which none should have been trained on
  python evaluate_gpt2.py checkpoint/run1 --weights q8_0
      with the quantised weights that the service computes with: faster, and all but the same

Perplexity (of a token) and bits per byte (which compare across vocabularies): each token is
predicted once, the first of a document from <|endoftext|>, which is predicted at its end. The
window slides by --stride: a token is predicted from more than context - stride tokens before it,
where its document has so many; no window reaches into another document.

The rest tells of texts that the models write of themselves, sampled as the service does by default
but before its gate:
  copied      share of the characters in runs of 12 or more words that the run's corpus has
  distinct-n  different n-grams of words over all n-grams, of all texts; falls with their number
  repetition  share of a text's 4-grams of words that stood in it before
"""


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "checkpoints",
        nargs="+",
        metavar="CHECKPOINT",
        help=f"a checkpoint folder, a GGUF file, {base.MINI}, or {', '.join(base.PUBLISHED)} (in "
        "models/, or downloaded there)",
    )
    add(
        "--text",
        type=Path,
        default=Path("data/valid.txt"),
        metavar="PATH",
        help="what to predict: a text, documents joined with <|endoftext|>, or a corpus folder; "
        "default data/valid.txt",
    )
    add(
        "--stride",
        type=partial(_at_least, 1),
        metavar="TOKENS",
        help="of the sliding window; default half of a model's context",
    )
    add(
        "--texts",
        type=partial(_at_least, 0),
        default=32,
        metavar="COUNT",
        help="how many each model is to write; default 32",
    )
    add("--weights", choices=("f32", "q8_0"), default="f32", help="default f32, the reference")
    add("--json", type=Path, metavar="FILE", help="leave what was measured there, too")
    add("--models-dir", type=Path, default=Path("models"), help="default models")
    return parser.parse_args(arguments)


def _at_least(low: int, text: str) -> int:
    number = int(text)
    if number < low:
        raise argparse.ArgumentTypeError(f"{number} is less than {low}")
    return number


def _read(path: Path) -> list[str]:
    """The documents to predict."""
    if not path.is_dir():
        dataset.check(path)
    texts = [raw.text for raw in read_texts(path) if raw.text]
    if not texts:
        raise TrainingError(f"{path} has no documents: no .txt file with a text lies there")
    return texts


def _evaluate(args: argparse.Namespace) -> None:
    # Mistakes are told before the long work.
    texts = _read(args.text)
    if args.json and (args.json.is_dir() or not args.json.parent.is_dir()):
        raise TrainingError(f"--json {args.json} is not a file's name in a folder that is there")
    paths = [base.locate(name, args.models_dir) for name in args.checkpoints]
    strides = [comparison.stride_of(path, args.stride) for path in paths]
    models = [
        comparison.measure(
            name, path, texts, stride=stride, weights=args.weights, writes=args.texts
        )
        for name, path, stride in zip(args.checkpoints, paths, strides, strict=True)
    ]
    print(
        f"{args.text}: {len(texts):,} documents, {models[0].prediction.bytes:,} bytes. A token is "
        "predicted from more than context - stride\ntokens before it, where its document has so "
        f"many. Weights: {args.weights}."
    )
    if args.texts:
        print(
            f"Written: {args.texts} texts of {comparison.LENGTH} tokens at most, temperature "
            f"{SAMPLING.temperature:g}, top_k {SAMPLING.top_k}, seeds from {comparison.FIRST_SEED}."
        )
    print(f"\n{comparison.table(models)}", end="")
    if args.json:
        write_text(
            args.json,
            comparison.to_json(models, text=args.text, documents=len(texts), weights=args.weights),
        )


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = _parse(arguments)
    try:
        _evaluate(args)
    except (TrainingError, CheckpointError, CorpusError) as error:
        print(f"evaluate_gpt2.py: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"evaluate_gpt2.py: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    except MemoryError:
        print(
            "evaluate_gpt2.py: there is not enough memory: --weights q8_0 and fewer --texts need "
            "less",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
