"""Episodes of the Pokémon series from Bulbapedia: over its API, or from saved pages."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from itertools import islice
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup

from corpus.documents import CorpusError, CorpusFolder, Document
from corpus.mediawiki import BATCH, MediaWiki, Page, read_export
from corpus.plot import plot_from_html, plot_from_wikitext, template_argument, title_from_html

API = "https://bulbapedia.bulbagarden.net/w/api.php"
SOURCE = "Bulbapedia"
LICENSE = "CC BY-NC-SA 2.5"
ATTRIBUTION = (
    "Text: Bulbapedia and its contributors (https://bulbapedia.bulbagarden.net), "
    f"{LICENSE} (https://creativecommons.org/licenses/by-nc-sa/2.5/).\n"
    "Title, URL and revision of each episode stand in index.jsonl. The corpus, and a model "
    "trained on it, are for non-commercial use only; share them alike."
)

# Codes of the series, and about how many episodes each has: for a progress bar, not for trust.
SERIES = {
    "EP": 274,
    "AG": 192,
    "DP": 191,
    "BW": 142,
    "XY": 140,
    "SM": 146,
    "JN": 147,
    "HZ": 100,
    "SS": 30,  # specials
}
_CODE = re.compile(r"[A-Z]{2}\d{3}")
# So many missing numbers in a row, at the end of a batch, end a series.
_GAP = 10


class Outcome(Enum):
    """What became of an episode."""

    NEW = "new"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    NO_PLOT = "without a plot"


@dataclass(frozen=True)
class Episode:
    """One step of a crawl: an episode's code and what became of it."""

    code: str
    outcome: Outcome


def crawl(
    wiki: MediaWiki, folder: CorpusFolder, series: Sequence[str], limit: int | None = None
) -> Iterator[Episode]:
    """Bring a folder up to date with the wiki, one batch of episodes at a time.

    A series is walked by number until numbers stop to exist, and wherever an infobox names the
    next episode: the wiki knows its series better than any table does. Only pages the folder
    does not hold at their current revision are fetched. ``limit`` is the number of episodes to
    walk.

    Raises what MediaWiki raises; the folder then holds all earlier batches.
    """
    chosen = frozenset(series)
    asked: set[str] = set()
    linked: list[str] = []
    walked = 0
    for prefix in series:
        numbers = (f"{prefix}{number:03}" for number in range(1, 1000))
        alive = True
        while alive and (limit is None or walked < limit):
            size = BATCH if limit is None else min(BATCH, limit - walked)
            codes = [c for c in linked if c.startswith(prefix) and c not in asked]
            codes += [c for c in islice(numbers, size) if c not in asked and c not in codes]
            codes, linked = codes[:size], linked + codes[size:]
            asked.update(codes)
            episodes, next_codes = _update(wiki, folder, codes, chosen)
            linked += next_codes
            walked += len(episodes)
            yield from episodes
            found = {episode.code for episode in episodes}
            asked |= found
            alive = not found.isdisjoint(codes[-_GAP:]) or any(
                c.startswith(prefix) and c not in asked for c in linked
            )


def _update(
    wiki: MediaWiki, folder: CorpusFolder, codes: Sequence[str], chosen: Set[str]
) -> tuple[list[Episode], list[str]]:
    """One batch: the episodes found, and those that their infoboxes name as the next."""
    current: dict[str, Page] = {}
    if any(code in folder for code in codes):
        current = wiki.current(codes)
        wanted = [
            code
            for code, page in current.items()
            if page.revision is None or folder.revision(_code(page, code)) != page.revision
        ]
    else:
        wanted = list(codes)
    fetched = wiki.fetch(wanted) if wanted else {}

    outcomes: dict[str, Outcome] = {}
    documents: list[Document] = []
    next_codes: list[str] = []
    for asked_for, page in (current | fetched).items():
        code = _code(page, asked_for)
        if code[:2] not in chosen or code in outcomes:
            continue
        if asked_for not in fetched:
            outcomes[code] = Outcome.UNCHANGED
            continue
        document = document_from_page(page, code)
        if document is None:
            outcomes[code] = Outcome.NO_PLOT
        else:
            outcomes[code] = Outcome.CHANGED if code in folder else Outcome.NEW
            documents.append(document)
        next_code = template_argument(page.wikitext or "", "EpicodePrevNext", "nextcode")
        if next_code and _CODE.fullmatch(next_code) and next_code[:2] in chosen:
            next_codes.append(next_code)
    if documents:
        folder.put(documents)
    return [Episode(c, o) for c, o in outcomes.items()], next_codes


def _code(page: Page, asked_for: str) -> str:
    """EP275 redirects to AG001: the page's own code counts, if its title is one."""
    return page.title if _CODE.fullmatch(page.title) else asked_for


def document_from_page(page: Page, document_id: str) -> Document | None:
    """The plot of an episode's wikitext page, or None if it has none."""
    wikitext = page.wikitext or ""
    text = plot_from_wikitext(wikitext)
    if not text:
        return None
    return Document(
        id=document_id,
        text=text,
        title=template_argument(wikitext, "EpisodeInfobox", "title_en") or page.title,
        source=SOURCE,
        url=page.url,
        revision=page.revision,
        date=page.timestamp,
        license=LICENSE,
    )


# --- saved pages --------------------------------------------------------------------------

_SAVED_SUFFIXES = frozenset({".html", ".htm", ".wiki", ".wikitext", ".mediawiki", ".xml"})


def saved_files(paths: Iterable[Path]) -> list[Path]:
    """The files named, and of the folders named the pages and exports directly in them."""
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            found = (p for p in path.iterdir() if p.suffix.lower() in _SAVED_SUFFIXES)
            files.extend(sorted(found))
        else:
            files.append(path)
    return files


def collect(
    paths: Iterable[Path], folder: CorpusFolder, limit: int | None = None
) -> Iterator[Episode]:
    """Put the plots of saved files into a folder, as ``crawl`` does those of the wiki.

    A file is HTML as a browser saves it (.html, .htm), Special:Export XML (.xml) or wikitext
    (.wiki); for other names its beginning tells.

    Raises OSError, CorpusError or WikiError for a file that cannot be read.
    """
    pages = islice((page for path in paths for page in _pages_of_file(path)), limit)
    while batch := list(islice(pages, BATCH)):
        outcomes = {
            code: Outcome.NO_PLOT
            if document is None
            else (Outcome.CHANGED if code in folder else Outcome.NEW)
            for code, document in batch
        }
        folder.put(document for _, document in batch if document is not None)
        for code, outcome in outcomes.items():
            yield Episode(code, outcome)


def _pages_of_file(path: Path) -> Iterator[tuple[str, Document | None]]:
    with path.open("rb") as file:
        head = file.read(4096).decode("utf-8", errors="replace")
    if path.suffix.lower() == ".xml" or re.search(r"<mediawiki\b", head):
        for page in read_export(path):
            if not re.match(r"\s*#REDIRECT", page.wikitext or "", re.IGNORECASE):
                yield page.title, document_from_page(page, page.title)
    elif path.suffix.lower() in {".html", ".htm"} or re.search(
        r"<!DOCTYPE html|<html\b|mw-parser-output", head, re.IGNORECASE
    ):
        yield _document_from_html(_read(path), path.stem)
    else:
        page = Page(title=path.stem, wikitext=_read(path))
        yield page.title, document_from_page(page, page.title)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path}: not UTF-8 text ({error.reason})") from error


def _document_from_html(html: str, name: str) -> tuple[str, Document | None]:
    page = BeautifulSoup(html, "lxml")
    canonical = page.select_one("link[rel~=canonical]")
    url = str(canonical["href"]) if canonical and canonical.get("href") else None
    document_id = _page_name(html, url) or name
    text = plot_from_html(page)
    if not text:
        return document_id, None
    revision = re.search(r'"wgRevisionId":\s*([1-9]\d*)', html)
    return document_id, Document(
        id=document_id,
        text=text,
        title=title_from_html(page) or document_id,
        source=SOURCE,
        url=url,
        revision=int(revision[1]) if revision else None,
        date=_last_edit(page),
        license=LICENSE,
    )


def _page_name(html: str, url: str | None) -> str | None:
    if match := re.search(r'"wgPageName":\s*("(?:[^"\\]|\\.)*")', html):
        return str(json.loads(match[1])).replace("_", " ")
    if url and "/wiki/" in url:
        return unquote(urlsplit(url).path.partition("/wiki/")[2]).replace("_", " ")
    return None


def _last_edit(page: BeautifulSoup) -> str | None:
    """The date in the footer, "This page was last edited on 25 January 2018, at 17:18."."""
    footer = page.select_one("#lastmod, #footer-info-lastmod")
    match = re.search(r"\d{1,2} [A-Z][a-z]+ \d{4}", footer.get_text()) if footer else None
    if match is None:
        return None
    try:
        return datetime.strptime(match[0], "%d %B %Y").date().isoformat()
    except ValueError:
        return None
