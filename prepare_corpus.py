"""Clean texts, drop duplicates and stubs, hold some documents out, join the rest for training."""

import argparse
import sys
from contextlib import suppress
from pathlib import Path

from tqdm import tqdm

from corpus import attribution, copies, doctor
from corpus.documents import (
    DELIMITER,
    CorpusError,
    RawText,
    held_out_beside,
    read_texts,
    text_files,
)
from corpus.language import language as language_of
from corpus.language import languages
from corpus.preparation import Report, Tally, prepare, stage_files
from engine import CheckpointError, Tokenizer

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
  python prepare_corpus.py data/blog data/episodes --mix blog=3 episodes=0.5 --language en
        each post stands there three times, and half of the episodes; English only
  python prepare_corpus.py data/poe data/lovecraft data/blog --stages poe+lovecraft,blog
        data/train.1.txt has the authors, data/train.2.txt the blog, to be learned after:
            python train_gpt2.py --run me --corpus data/train.1.txt --steps 1000
            python train_gpt2.py --run me --corpus data/train.2.txt --steps 1400
  python prepare_corpus.py --report
        and a page that says what there is, what it is good for and what to do about it

Of documents that are nearly the same the longest stays; lines that stand at the beginning or end of
a fifth of a source's documents, and of more than five, are removed. The weights of --mix do not
touch what is held out, which no training file has, of whatever stage.

Beside OUT lies its copy index, OUT.copies: which words of a story are copied from which document (a
stage's index knows those of the stages before it, too); and OUT.attribution, where the sources name
licences: whose texts they are, and on which terms.

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
    parser.add_argument("--max-words", type=int, metavar="N", help="drop documents with more words")
    parser.add_argument(
        "--language", metavar="CODE", help="drop documents in another language than this, as in en"
    )
    parser.add_argument(
        "--quality",
        action="store_true",
        help="drop documents that do not read like prose: lists, tables, what repeats itself",
    )
    parser.add_argument(
        "--keep-near-duplicates", action="store_true", help="drop equal documents alone"
    )
    parser.add_argument(
        "--keep-repeated-lines", action="store_true", help="leave a source's boilerplate in"
    )
    parser.add_argument(
        "--mix",
        nargs="+",
        action="extend",
        type=weight,
        default=[],
        metavar="NAME=WEIGHT",
        help="how often the documents of a source are learned, by its folder's or file's name; "
        "the others' once",
    )
    parser.add_argument(
        "--stages",
        type=lambda text: [
            [name.strip() for name in stage.split("+")] for stage in text.split(",")
        ],
        default=[],
        metavar="NAME+NAME,NAME",
        help="sources to learn in this order, each stage from its own file: OUT's name with .1, .2",
    )
    parser.add_argument(
        "--report",
        action="store_true",
        help="write what there is, what was dropped and what to do about it: OUT's name with "
        ".report.html and .report.json",
    )
    parser.add_argument(
        "--vocabulary",
        type=Path,
        metavar="FOLDER",
        help="count the report's tokens with the encoder.json and vocab.bpe of a checkpoint or a "
        "model (default: an estimate for GPT-2's)",
    )
    arguments = parser.parse_args()
    sources = arguments.sources or default_sources()
    if not sources:
        parser.error(f"no SOURCE_DIR given, and no folder with documents in {DATA}/")
    # One that is given twice counts once.
    arguments.sources = list({source.resolve(): source for source in sources}.values())
    check_choices(parser, arguments)
    check_results(parser, arguments)
    return arguments


def check_choices(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    if not 0 <= arguments.holdout <= 0.5:
        parser.error("--holdout: must be from 0 to 0.5")
    if arguments.min_words < 0:
        parser.error("--min-words: must not be negative")
    if arguments.max_words is not None and arguments.max_words < arguments.min_words:
        parser.error("--max-words: must not be less than --min-words")
    if arguments.language and arguments.language not in languages():
        known = " ".join(sorted(languages()))
        parser.error(f"--language: {arguments.language} is none of {known}")
    if arguments.vocabulary and not arguments.report:
        parser.error("--vocabulary: is for --report")
    names = [name_of(source) for source in arguments.sources]
    mixed = [name for name, _ in arguments.mix]
    for name in mixed:
        if name not in names:
            parser.error(f"--mix: {name} is none of the sources {', '.join(names)}")
        if mixed.count(name) > 1:
            parser.error(f"--mix: {name} has more than one weight")
    staged = [name for stage in arguments.stages for name in stage]
    if staged and sorted(staged) != sorted(set(names)):
        parser.error(f"--stages: must name each source once: {', '.join(names)}")


def check_results(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Adds the names of the files to write."""
    out: Path = arguments.out
    for option, path in (("--out", out), ("--valid", arguments.valid)):
        if path and path.is_dir():
            parser.error(f"{option}: {path} is a folder")
    if arguments.valid is None:
        arguments.valid = held_out_beside(out)
    arguments.files = stage_files(out, arguments.stages)
    results = [path.resolve() for path in (*arguments.files, arguments.valid)]
    if results[-1] in results[:-1]:
        parser.error("--out and --valid: must differ")
    for source in arguments.sources:
        # The next run would take them for documents.
        if any(source.resolve() in (result, result.parent) for result in results):
            parser.error(f"--out, --valid: must not lie in the source {source}")


def weight(text: str) -> tuple[str, float]:
    name, _, number = text.rpartition("=")
    with suppress(ValueError):
        if name and 0 < float(number) <= 100:
            return name, float(number)
    raise argparse.ArgumentTypeError(f"{text} is not NAME=WEIGHT, of a weight from 0 to 100")


def name_of(source: Path) -> str:
    """What --mix and --stages call it."""
    path = source.resolve()
    return path.stem if path.is_file() else path.name


def default_sources() -> list[Path]:
    folders = sorted(path for path in DATA.glob("*/") if text_files(path))
    return [path for path in folders if path != SAMPLE] or folders


def require_texts(sources: list[Path]) -> None:
    """Raises CorpusError if a source has none: before the others are read."""
    for source in sources:
        if not source.exists():
            raise CorpusError(f"{source}: no such folder or file")
        if source.is_dir() and not text_files(source):
            raise CorpusError(f"{source}: no .txt files in it (import_archive.py makes them)")


def progress(sources: list[Path]) -> "tqdm[RawText]":
    """The sources' texts, behind a progress bar."""
    # A delimited file's number of documents shows only as it is read.
    total = sum(len(text_files(s)) for s in sources) if all(s.is_dir() for s in sources) else None
    texts = (
        text._replace(source=name_of(source)) for source in sources for text in read_texts(source)
    )
    return tqdm(texts, total=total, unit="document")


def table(report: Report, arguments: argparse.Namespace) -> str:
    files = arguments.files
    rows: list[tuple[str, Tally]] = [
        ("read", report.read),
        *((f"dropped: {reason}", dropped) for reason, dropped in report.dropped.items()),
        (f"training: {', '.join(map(str, files))}", report.train),
        (f"held out: {arguments.valid}", report.valid),
        (f"copy index: {', '.join(str(copies.index_of(file)) for file in files)}", report.train),
    ]
    width = max(len(label) for label, _ in rows)
    lines = [f"{'':{width}}  {'documents':>10} {'characters':>14} {'words':>12}"]
    for label, tally in rows:
        lines.append(
            f"{label:{width}}  {tally.documents:>10,} {tally.characters:>14,} {tally.words:>12,}"
        )
        if tally is report.read:
            lines.append(f"{'cleaned away':{width}}  {'':>10} {report.cleaned_away:>14,}")
    if report.removed_lines:
        line, count = report.removed_lines.most_common(1)[0]
        lines.append(
            f"Removed {report.removed_lines.total():,} lines that repeat, {count:,} times "
            f'"{line[:60]}" (--keep-repeated-lines keeps them).'
        )
    return "\n".join(lines)


def index(files: list[Path], report: Report) -> None:
    """Build the indexes of the copies, behind a progress bar; each with the files before it, which
    the same model has learned by then."""
    total = report.train.documents if len(files) == 1 else None
    with tqdm(desc="Indexing", total=total, unit="document") as bar:
        for n, file in enumerate(files):
            copies.build(
                file,
                copies.index_of(file),
                titles=report.titles,
                after=files[:n],
                progress=bar.update,
            )


def examine(arguments: argparse.Namespace, report: Report, tokenizer: Tokenizer | None) -> Path:
    """Write the corpus doctor's report, behind a progress bar; returns the page's path."""
    files = arguments.files
    total = report.train.documents + report.valid.documents
    with tqdm(desc="Examining", total=total, unit="document") as bar:
        found = doctor.examine(
            files,
            arguments.valid,
            count_tokens=(lambda text: len(tokenizer.encode(text))) if tokenizer else None,
            vocabulary=f"those of {arguments.vocabulary}" if tokenizer else doctor.ESTIMATED,
            language=language_of,
            progress=bar.update,
        )
    doctor.add_preparation(found, report)
    doctor.add_sources(found, arguments.sources)
    doctor.conclude(found)
    page: Path = arguments.out.with_suffix(".report.html")
    doctor.write_report(found, page, page.with_suffix(".json"), title=str(arguments.out))
    return page


def attributions(arguments: argparse.Namespace) -> str:
    """Write beside each file whose texts it has; returns all of it."""
    sources: list[Path] = arguments.sources
    stages = arguments.stages or [[name_of(source) for source in sources]]
    return attribution.joined(
        attribution.carry([source for source in sources if name_of(source) in stage], file)
        for file, stage in zip(arguments.files, stages, strict=True)
    )


def main() -> int:
    arguments = parse_arguments()
    try:
        require_texts(arguments.sources)
        tokenizer = Tokenizer.load(arguments.vocabulary) if arguments.vocabulary else None
        with progress(arguments.sources) as texts:
            report = prepare(
                texts,
                arguments.out,
                arguments.valid,
                holdout=arguments.holdout,
                min_words=arguments.min_words,
                max_words=arguments.max_words,
                language=arguments.language,
                quality=arguments.quality,
                near_duplicates=not arguments.keep_near_duplicates,
                repeated_lines=not arguments.keep_repeated_lines,
                weights=dict(arguments.mix),
                stages=arguments.stages,
            )
    except KeyboardInterrupt:
        print("\nInterrupted. No file was changed.", file=sys.stderr)
        return 130
    except (CheckpointError, CorpusError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    try:
        terms = attributions(arguments)
        index(arguments.files, report)
    except KeyboardInterrupt:
        print("\nInterrupted. All is written but the copy index.", file=sys.stderr)
        return 130
    except (CorpusError, OSError) as error:
        print(f"error: the texts are written, but not all beside them: {error}", file=sys.stderr)
        return 1
    print(table(report, arguments))
    if attribution.is_non_commercial(terms):
        print(attribution.NON_COMMERCIAL)
    return write_report(arguments, report, tokenizer) if arguments.report else 0


def write_report(arguments: argparse.Namespace, report: Report, tokenizer: Tokenizer | None) -> int:
    """Examine what was prepared; returns the exit code."""
    try:
        print(f"report: {examine(arguments, report, tokenizer)}")
    except KeyboardInterrupt:
        print("\nInterrupted. All is written but the report.", file=sys.stderr)
        return 130
    except (CorpusError, OSError) as error:
        print(f"error: the report: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
