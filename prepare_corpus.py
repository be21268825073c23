"""Clean texts, drop duplicates and stubs, hold some documents out, join the rest for training."""

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from corpus import copies
from corpus.documents import DELIMITER, CorpusError, RawText, read_texts, text_files
from corpus.preparation import Report, prepare

DATA = Path("data")
SAMPLE = DATA / "sample"

EXAMPLES = f"""\
examples:
  python prepare_corpus.py
        every corpus folder in data/ but the sample; if there is none, data/sample
  python prepare_corpus.py data/pokeCorpusBulba ~/stories --min-words 100
        these folders, without documents of fewer than 100 words
  python prepare_corpus.py old_train.txt --out data/eps.txt
        a file already delimited; the held-out documents go to data/eps.valid.txt

Beside OUT lies its copy index, OUT.copies: which words of a story are copied from which document.

A source is a folder with one .txt file a document, or a .txt file whose documents are separated
by {DELIMITER}. Case, digits, punctuation and accents are kept. The same sources give the same
bytes; which documents are held out, the hash of their words decides.
"""


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "sources", nargs="*", type=Path, metavar="SOURCE_DIR", help="folders or .txt files"
    )
    parser.add_argument("--out", type=Path, default=DATA / "train.txt", help="default: %(default)s")
    parser.add_argument(
        "--valid",
        type=Path,
        help="file for the held-out documents (default: beside OUT, valid.txt for train.txt, "
        "NAME.valid.txt for NAME.txt)",
    )
    parser.add_argument(
        "--holdout",
        type=float,
        default=0.05,
        metavar="SHARE",
        help="share of the documents to hold out, 0 to 0.5 (default: %(default)s)",
    )
    parser.add_argument(
        "--min-words",
        type=int,
        default=60,
        metavar="N",
        help="drop documents with fewer words (default: %(default)s)",
    )
    arguments = parser.parse_args()
    out: Path = arguments.out
    if arguments.valid is None:
        name = "valid.txt" if out.name == "train.txt" else f"{out.stem}.valid{out.suffix}"
        arguments.valid = out.with_name(name)
    if not 0 <= arguments.holdout <= 0.5:
        parser.error("--holdout: must be from 0 to 0.5")
    if arguments.min_words < 0:
        parser.error("--min-words: must not be negative")
    arguments.sources = arguments.sources or default_sources()
    if not arguments.sources:
        parser.error(f"no SOURCE_DIR given, and no folder with documents in {DATA}/")
    results = [arguments.out.resolve(), arguments.valid.resolve()]
    if results[0] == results[1]:
        parser.error("--out and --valid: must differ")
    for source in arguments.sources:
        # The next run would take them for documents.
        if any(source.resolve() in (result, result.parent) for result in results):
            parser.error(f"--out, --valid: must not lie in the source {source}")
    return arguments


def default_sources() -> list[Path]:
    folders = sorted(path for path in DATA.glob("*/") if text_files(path))
    return [path for path in folders if path != SAMPLE] or folders


def progress(sources: list[Path]) -> "tqdm[RawText]":
    """The sources' texts, behind a progress bar."""
    # A delimited file's number of documents shows only as it is read.
    total = sum(len(text_files(s)) for s in sources) if all(s.is_dir() for s in sources) else None
    texts = (text for source in sources for text in read_texts(source))
    return tqdm(texts, total=total, unit="document")


def table(report: Report, arguments: argparse.Namespace) -> str:
    rows = [
        ("read", report.read),
        (f"dropped: fewer than {arguments.min_words} words", report.stubs),
        ("dropped: duplicate", report.duplicates),
        (f"training: {arguments.out}", report.train),
        (f"held out: {arguments.valid}", report.valid),
        (f"copy index: {copies.index_of(arguments.out)}", report.train),
    ]
    width = max(len(label) for label, _ in rows)
    lines = [f"{'':{width}}  {'documents':>10} {'characters':>14} {'words':>12}"]
    for label, tally in rows:
        lines.append(
            f"{label:{width}}  {tally.documents:>10,} {tally.characters:>14,} {tally.words:>12,}"
        )
        if tally is report.read:
            lines.append(f"{'cleaned away':{width}}  {'':>10} {report.cleaned_away:>14,}")
    return "\n".join(lines)


def index(train: Path, report: Report) -> None:
    """Build the index of the copies, behind a progress bar."""
    with tqdm(desc="Indexing", total=report.train.documents, unit="document") as bar:
        copies.build(train, copies.index_of(train), titles=report.titles, progress=bar.update)


def main() -> int:
    arguments = parse_arguments()
    try:
        with progress(arguments.sources) as texts:
            report = prepare(
                texts,
                arguments.out,
                arguments.valid,
                holdout=arguments.holdout,
                min_words=arguments.min_words,
            )
    except KeyboardInterrupt:
        print("\nInterrupted. No file was changed.", file=sys.stderr)
        return 130
    except (CorpusError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    try:
        index(arguments.out, report)
    except KeyboardInterrupt:
        print("\nInterrupted. All is written but the copy index.", file=sys.stderr)
        return 130
    except OSError as error:
        print(f"error: the copy index: {error}", file=sys.stderr)
        return 1
    print(table(report, arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main())
