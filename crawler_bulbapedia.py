"""Download the plots of Pokémon episodes from Bulbapedia, one text file an episode."""

import argparse
import logging
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from corpus.bulbapedia import (
    API,
    ATTRIBUTION,
    SERIES,
    Episode,
    Outcome,
    collect,
    crawl,
    saved_files,
)
from corpus.documents import CorpusError, CorpusFolder
from corpus.mediawiki import MediaWiki, WikiError, WikiRefusedError

EXAMPLES = """\
examples:
  python crawler_bulbapedia.py --contact me@example.org
        everything, politely: some 35 requests, 5 s apart; run it again to fetch what changed
  python crawler_bulbapedia.py --contact me@example.org --series EP AG --limit 100
        the first hundred episodes of two series
  python crawler_bulbapedia.py --from ~/saved_pages export.xml --out data/eps
        no network: pages saved in a browser, wikitext, or a Special:Export file

series: EP (original), AG, DP, BW, XY, SM, JN, HZ, and SS (specials).
The text is CC BY-NC-SA 2.5: it and what is made of it are for non-commercial use.
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
    parser.add_argument(
        "--series",
        nargs="+",
        choices=SERIES,
        metavar="XX",
        help=f"which of {' '.join(SERIES)} (default: all)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("data/pokeCorpusBulba"),
        help="folder for the texts and index.jsonl (default: %(default)s)",
    )
    parser.add_argument(
        "--limit", type=int, metavar="N", help="stop after N episodes (default: no limit)"
    )
    parser.add_argument(
        "--contact",
        metavar="MAIL",
        help="a mail address or URL at which the wiki can reach you; the network needs it",
    )
    parser.add_argument(
        "--api", default=API, metavar="URL", help="the wiki's api.php (default: %(default)s)"
    )
    parser.add_argument(
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
    if arguments.saved and arguments.series:
        parser.error("--series: chooses what to download, and --from downloads nothing")
    if not (arguments.saved or arguments.contact):
        parser.error("--contact: give the wiki a way to reach you, or use --from")
    if arguments.contact and not (arguments.contact.isascii() and arguments.contact.isprintable()):
        parser.error("--contact: it goes into an HTTP header, which takes ASCII only")
    return arguments


def run(arguments: argparse.Namespace) -> Counter[Outcome]:
    folder = CorpusFolder(arguments.out)
    if arguments.saved:
        with tqdm(saved_files(arguments.saved), unit="file") as files:
            return count(collect(files, folder, arguments.limit))
    wiki = MediaWiki(arguments.api, arguments.contact)
    series = list(dict.fromkeys(arguments.series or SERIES))
    total = sum(SERIES[prefix] for prefix in series)
    with tqdm(
        crawl(wiki, folder, series, arguments.limit),
        total=min(total, arguments.limit or total),
        unit="episode",
    ) as episodes:
        return count(episodes)


def count(episodes: Iterable[Episode]) -> Counter[Outcome]:
    outcomes: Counter[Outcome] = Counter()
    for episode in episodes:
        outcomes[episode.outcome] += 1
        if episode.outcome is Outcome.NO_PLOT:
            tqdm.write(f"{episode.code}: no plot", file=sys.stderr)
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
        print(f"error: {error}\n{WAY_OUT.format(out=arguments.out)}", file=sys.stderr)
        return 1
    except (CorpusError, WikiError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if outcomes.total() == outcomes[Outcome.NO_PLOT]:
        print("error: no episode with a plot found", file=sys.stderr)
        return 1
    summary = ", ".join(f"{outcomes[o]} {o.value}" for o in Outcome if outcomes[o])
    print(f"{arguments.out}: {summary}\n{ATTRIBUTION}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
