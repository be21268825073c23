"""Download the plots of Pokémon episodes from Bulbapedia, or of articles of another wiki."""

import argparse
import logging
import re
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from corpus import articles, attribution, bulbapedia
from corpus.crawling import Episode, Outcome
from corpus.documents import CorpusError, CorpusFolder
from corpus.mediawiki import MediaWiki, WikiError, WikiRefusedError
from corpus.plot import HEADINGS

DEFAULT_OUT = Path("data/pokeCorpusBulba")

EXAMPLES = """\
examples:
  python crawler_bulbapedia.py --contact me@example.org
        everything, politely: some 36 requests, 5 s apart; run it again to fetch what changed
  python crawler_bulbapedia.py --contact me@example.org --series EP AG --limit 100
        the first hundred episodes of two series
  python crawler_bulbapedia.py --contact me@example.org --wiki https://memory-alpha.fandom.com \\
        --category "TNG episodes" --section Summary
        another MediaWiki site: a section of all articles of a category, into data/<its name>
  python crawler_bulbapedia.py --from ~/saved_pages export.xml --out data/eps
        no network: pages saved in a browser, wikitext, or a Special:Export file

series: EP (original), AG, DP, BW, XY, SM, JN, HZ, SS (specials), M (films), PK (short films) and
PO (Origins). Bulbapedia's text is CC BY-NC-SA 2.5: it and what is made of it are for
non-commercial use. Whose the texts are and under which licence is written into ATTRIBUTION.txt
beside them; prepare_corpus.py and train_gpt2.py pass it on to the corpus and the model.
"""

WAY_OUT = """\
This crawler does not work around a refusal. What you can do instead: open the pages in your
browser and save them, or export them there (Special:Export, as XML), and then run
  python crawler_bulbapedia.py --from FOLDER_OR_FILE ... --out {out}
Episodes fetched so far are kept."""


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "--series",
        nargs="+",
        choices=bulbapedia.SERIES,
        metavar="XX",
        help=f"which of {' '.join(bulbapedia.SERIES)} (default: all)",
    )
    add(
        "--out",
        type=Path,
        help=f"folder for the texts and index.jsonl (default: {DEFAULT_OUT}; with --wiki data/ and "
        "the wiki's name)",
    )
    add("--limit", type=int, metavar="N", help="stop after N episodes (default: no limit)")
    add(
        "--contact",
        metavar="MAIL",
        help="a mail address or URL at which the wiki can reach you; the network needs it",
    )
    add("--api", metavar="URL", help=f"Bulbapedia's api.php (default: {bulbapedia.API})")
    add("--wiki", metavar="URL", help="another MediaWiki site: any of its pages, or its api.php")
    add(
        "--category",
        action="append",
        default=[],
        metavar="NAME",
        help="read the articles of this category instead of the series; may be repeated",
    )
    add("--subcategories", action="store_true", help="and those of its subcategories")
    add(
        "--section",
        action="append",
        default=[],
        metavar="NAME",
        help="the section to take, the first of several that an article has; may be repeated "
        f"(default: {', '.join(articles.SECTIONS)}; with --from {', '.join(HEADINGS)})",
    )
    add(
        "--from",
        dest="saved",
        nargs="+",
        type=Path,
        metavar="PATH",
        help="take saved HTML pages, wikitext or Special:Export XML (files or folders) instead",
    )
    arguments = parser.parse_args()
    if arguments.limit is not None and arguments.limit < 1:
        parser.error("--limit: must be at least 1")
    for name in ("series", "category", "wiki"):
        if arguments.saved and getattr(arguments, name):
            parser.error(f"--{name}: chooses what to download, and --from downloads nothing")
    if arguments.wiki and not arguments.category:
        parser.error("--wiki: say with --category which of its articles to read")
    if arguments.wiki and arguments.api:
        parser.error("--api: --wiki names the site already")
    if arguments.category and arguments.series:
        parser.error("--series: --category reads other articles")
    if arguments.subcategories and not arguments.category:
        parser.error("--subcategories: needs --category")
    if arguments.section and not (arguments.category or arguments.saved):
        parser.error("--section: needs --category or --from")
    if not (arguments.saved or arguments.contact):
        parser.error("--contact: give the wiki a way to reach you, or use --from")
    if arguments.contact and not (arguments.contact.isascii() and arguments.contact.isprintable()):
        parser.error("--contact: it goes into an HTTP header, which takes ASCII only")
    return arguments


def run(arguments: argparse.Namespace) -> Counter[Outcome]:
    """Crawl as asked; sets arguments.out where the wiki's name gives it."""
    if arguments.saved:
        arguments.out = arguments.out or DEFAULT_OUT
        sections = arguments.section or HEADINGS
        files = bulbapedia.saved_files(arguments.saved)
        with tqdm(files, unit="file") as bar:
            folder = CorpusFolder(arguments.out)
            return count(bulbapedia.collect(bar, folder, arguments.limit, sections), folder)
    wiki = MediaWiki(arguments.wiki or arguments.api or bulbapedia.API, arguments.contact)
    if arguments.category:
        return count_articles(wiki, arguments)
    arguments.out = arguments.out or DEFAULT_OUT
    folder = CorpusFolder(arguments.out)
    series = list(dict.fromkeys(arguments.series or bulbapedia.SERIES))
    total = sum(bulbapedia.SERIES[prefix] for prefix in series)
    with tqdm(
        bulbapedia.crawl(wiki, folder, series, arguments.limit),
        total=min(total, arguments.limit or total),
        unit="episode",
    ) as episodes:
        return count(episodes, folder)


def count_articles(wiki: MediaWiki, arguments: argparse.Namespace) -> Counter[Outcome]:
    site = wiki.site()
    if arguments.out is None:
        name = re.sub(r"[^\w-]+", "_", site.name).strip("_") or "wiki"
        arguments.out = Path("data") / name if arguments.wiki else DEFAULT_OUT
    folder = CorpusFolder(arguments.out)
    crawl = articles.crawl(
        wiki,
        site,
        folder,
        arguments.category,
        arguments.section or articles.SECTIONS,
        subcategories=arguments.subcategories,
        limit=arguments.limit,
    )
    with tqdm(crawl, unit="article") as episodes:
        return count(episodes, folder)


def count(episodes: Iterable[Episode], folder: CorpusFolder) -> Counter[Outcome]:
    """Let a crawl run, and write the attribution of all that came before it ended or failed."""
    outcomes: Counter[Outcome] = Counter()
    try:
        for episode in episodes:
            outcomes[episode.outcome] += 1
            if episode.outcome is Outcome.NO_PLOT:
                tqdm.write(f"{episode.code}: no plot", file=sys.stderr)
    finally:
        attribution.update_folder(folder.path)
    return outcomes


def main() -> int:
    arguments = parse_arguments()
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    try:
        with logging_redirect_tqdm():
            outcomes = run(arguments)
    except KeyboardInterrupt:
        print("\nInterrupted. Run it again to go on where it stopped.", file=sys.stderr)
        return 130
    except WikiRefusedError as error:
        print(
            f"error: {error}\n{WAY_OUT.format(out=arguments.out or DEFAULT_OUT)}", file=sys.stderr
        )
        return 1
    except (CorpusError, WikiError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if outcomes.total() == outcomes[Outcome.NO_PLOT]:
        print("error: no episode with a plot found", file=sys.stderr)
        return 1
    summary = ", ".join(f"{outcomes[o]} {o.value}" for o in Outcome if outcomes[o])
    print(f"{arguments.out}: {summary}\n\n{attribution.of_folder(arguments.out)}", end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
