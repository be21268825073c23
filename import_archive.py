"""Read archives as downloaded - blogs, chats, social networks, books - into a corpus folder."""

import argparse
import re
import sqlite3
import sys
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from tqdm import tqdm

from corpus.archive import Archive
from corpus.documents import CorpusError, CorpusFolder
from corpus.importers import SOURCES
from corpus.importing import Policy, Report, folded_name, import_archive, write_report

EXAMPLES = f"""\
examples:
  python import_archive.py ~/Downloads/myblog.WordPress.2026-11-21.xml
        a blog's public posts, into data/myblog.WordPress.2026-11-21
  python import_archive.py takeout-*.zip facebook.zip --out data/me --me "Ada L."
        what one wrote oneself in several archives, whatever they hold
  python import_archive.py _chat.txt --me Ada --others --as whatsapp
        a chat as dialogue: one's own lines begin with "- ", the others' with "> "

Each file is recognised by its content. Sources: {", ".join(source.name for source in SOURCES)}.
Other people's messages and posts that were not public stay out unless you ask for them; other
people's names are replaced, and mail addresses, phone, card and account numbers masked. What was
left out, and why, is told at the end. The same archive may be imported again: what is there is
replaced. Afterwards: python prepare_corpus.py
"""


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    names = [source.name for source in SOURCES]
    add("paths", nargs="+", type=Path, metavar="PATH", help="files, folders and zips as downloaded")
    add("--as", dest="source", choices=names, metavar="SOURCE", help="what all files are")
    add("--out", type=Path, help="folder for the documents (default: data/ and PATH's name)")
    add(
        "--me", action="append", default=[], metavar="NAME", help="your name there; may be repeated"
    )
    add("--others", action="store_true", help="other people's words, too; chats become dialogue")
    add("--keep-names", action="store_true", help="leave other people's names in chats as they are")
    add(
        "--include-private", action="store_true", help="drafts, private and friends-only posts, too"
    )
    add("--keep-personal-data", action="store_true", help="mask no addresses and numbers")
    reddit = parser.add_argument_group("Reddit").add_argument
    reddit("--subreddit", action="append", default=[], metavar="NAME", help="may be repeated")
    reddit("--min-score", type=int, metavar="N", help="at least so many points")
    reddit("--match", type=_pattern, metavar="REGEX", help="in the title or the text, any case")
    reddit("--author", action="append", default=[], metavar="NAME", help="may be repeated")
    arguments = parser.parse_args()
    if arguments.out is None:
        arguments.out = Path("data") / arguments.paths[0].resolve().name.removesuffix(".zip")
        if arguments.paths[0].is_file():
            arguments.out = arguments.out.with_name(arguments.paths[0].stem)
    return arguments


def _pattern(text: str) -> "re.Pattern[str]":
    try:
        return re.compile(text, re.IGNORECASE)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"no regular expression: {error}") from None


def policy(arguments: argparse.Namespace) -> Policy:
    return Policy(
        me=frozenset(map(folded_name, arguments.me)),
        others=arguments.others,
        keep_names=arguments.keep_names,
        include_private=arguments.include_private,
        keep_personal_data=arguments.keep_personal_data,
        communities=frozenset(
            name.casefold().lstrip("/").removeprefix("r/") for name in arguments.subreddit
        ),
        authors=frozenset(
            folded_name(name).lstrip("/").removeprefix("u/") for name in arguments.author
        ),
        min_score=arguments.min_score,
        pattern=arguments.match,
    )


def run(arguments: argparse.Namespace, report: Report) -> None:
    source = next((source for source in SOURCES if source.name == arguments.source), None)
    with Archive(arguments.paths) as archive:
        total = sum(file.size for file in archive)
        with tqdm(total=total, unit="B", unit_scale=True, unit_divisor=1024) as bar:
            documents = import_archive(
                archive, policy(arguments), report, source=source, progress=bar.update
            )
            # Where nothing is found, the folder stays as it is.
            for first in documents:
                CorpusFolder(arguments.out).put(chain([first], documents))
                write_report(report, arguments.out)


def tell(report: Report, out: Path) -> str:
    """What came of it, as lines."""
    lines = [f"{'':24} {'files':>7} {'documents':>10} {'words':>12}"]
    for label, tally in report.sources.items():
        lines.append(f"{label:24} {tally.files:>7,} {tally.documents:>10,} {tally.words:>12,}")
    for label, tally in report.sources.items():
        lines += [f"left out, {label}: {n:,} {why}" for why, n in tally.dropped.most_common()]
    if report.masked:
        lines.append(f"masked: {_counts(report.masked.most_common())}")
    if report.unknown:
        lines.append(f"files of no source known here: {_counts(report.unknown.most_common(8))}")
    for broken in report.broken[:20]:
        lines.append(f"broken: {broken.place}: {broken.message}")
    if report.broken_count > 20:
        lines.append(f"broken: {report.broken_count - 20:,} more")
    for label, senders in report.senders.items():
        if senders:
            most = ", ".join(f'"{name}" ({n:,})' for name, n in senders.most_common(5))
            lines.append(f"{label}: who of them are you? Say it with --me NAME: {most}")
    if _has_documents(report):
        lines.append(f"written to {out}/")
    return "\n".join(lines)


def _has_documents(report: Report) -> bool:
    return any(tally.documents for tally in report.sources.values())


def _counts(pairs: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{count:,} {name or 'without a suffix'}" for name, count in pairs)


def main() -> int:
    arguments = parse_arguments()
    report = Report()
    try:
        run(arguments, report)
    except KeyboardInterrupt:
        print("\nInterrupted. Run it again: what is there is replaced.", file=sys.stderr)
        return 130
    except (CorpusError, OSError, sqlite3.Error) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(tell(report, arguments.out))
    if not _has_documents(report):
        print("error: no document found", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
