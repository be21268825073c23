"""Episodes of the Pokémon series from Bulbapedia: over its API, or from saved pages."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from datetime import datetime
from itertools import islice
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup

from corpus.attribution import UNSTATED, license_name
from corpus.crawling import Episode, Outcome
from corpus.documents import CorpusError, CorpusFolder, Document
from corpus.mediawiki import BATCH, MediaWiki, Page, read_export
from corpus.plot import (
    HEADINGS,
    plot_from_html,
    plot_from_wikitext,
    template_argument,
    title_from_html,
    title_from_wikitext,
)

API = "https://bulbapedia.bulbagarden.net/w/api.php"
SOURCE = "Bulbapedia"
LICENSE = "CC BY-NC-SA 2.5"

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
    "M": 24,  # films
    "PK": 28,  # the short films before them
    "PO": 4,  # Pokémon Origins
}
_SHORT = frozenset({"M", "PK", "PO"})  # with numbers of two digits
_CODE = re.compile(r"([A-Z]{1,2})\d{2,3}")
# So many missing numbers in a row, at the end of a batch, end a series.
_GAP = 5


def crawl(
    wiki: MediaWiki, folder: CorpusFolder, series: Sequence[str], limit: int | None = None
) -> Iterator[Episode]:
    """Bring a folder up to date with the wiki, one batch of episodes at a time.

    A series is walked by number until numbers stop to exist, and wherever an infobox names the
    next episode: the wiki knows its series better than any table does. What the folder holds is
    looked at, too. Only pages the folder does not hold at their current revision are fetched.
    ``limit`` is the number of episodes to walk.

    Raises what MediaWiki raises; the folder then holds all earlier batches.
    """
    walk = _Walk(wiki, folder, frozenset(series))
    left = list(series)
    while left:
        for prefix in left:
            numbers = _numbers(prefix)
            alive = True
            while alive and (limit is None or walk.found < limit):
                size = BATCH if limit is None else min(BATCH, limit - walk.found)
                waiting = walk.waiting(prefix)
                codes = list(islice(waiting, size))
                more = (c for c in numbers if c not in waiting and c not in walk.asked)
                codes += islice(more, size - len(codes))
                yield from walk.ask(codes)
                alive = not walk.met.isdisjoint(codes[-_GAP:]) or bool(walk.waiting(prefix))
        yield from walk.fetch_changed()
        finished = limit is not None and walk.found >= limit
        left = [] if finished else [prefix for prefix in series if walk.waiting(prefix)]


class _Walk:
    """Where a crawl has been, and what it knows of the rest."""

    def __init__(self, wiki: MediaWiki, folder: CorpusFolder, chosen: Set[str]) -> None:
        self._wiki = wiki
        self._folder = folder
        self._chosen = chosen
        self._known = [code for code in folder if _series(code) in chosen]
        self._changed: dict[str, str] = {}  # what to fetch -> the code of the episode
        self.asked: set[str] = set()
        """The codes there is no need to ask for any more."""
        self.met: set[str] = set()
        """The codes of the episodes found, in this walk."""

    @property
    def found(self) -> int:
        """How many episodes there were so far."""
        return len(self.met)

    def waiting(self, prefix: str) -> dict[str, None]:
        """The codes of a series, in order, that are known of and not yet asked for."""
        return dict.fromkeys(c for c in self._known if _series(c) == prefix and c not in self.asked)

    def ask(self, codes: Sequence[str]) -> Iterator[Episode]:
        """Look at one batch. Where the folder holds none of it, it is fetched at once; else what
        changed is put off until it fills a batch of its own."""
        self.asked.update(codes)
        here = any(code in self._folder for code in codes)
        pages = self._wiki.current(codes) if here else self._wiki.fetch(codes)
        new: dict[str, Page] = {}
        for asked_for, page in pages.items():
            code = _code(page, asked_for)
            if _series(code) not in self._chosen or code in self.met:
                continue
            self.met.add(code)
            self.asked.add(code)
            if not here:
                new[code] = page
            elif page.revision is not None and self._folder.revision(code) == page.revision:
                yield Episode(code, Outcome.UNCHANGED)
            else:
                self._changed[asked_for] = code
        yield from self._put(new)
        if len(self._changed) >= BATCH:
            yield from self.fetch_changed()

    def fetch_changed(self) -> Iterator[Episode]:
        """Fetch what was put off."""
        pages = self._wiki.fetch(list(self._changed))
        episodes = {self._changed[asked_for]: page for asked_for, page in pages.items()}
        self._changed.clear()
        yield from self._put(episodes)

    def _put(self, pages: Mapping[str, Page]) -> Iterator[Episode]:
        """Keep the plots of some episodes, and what their infoboxes name as the next."""
        outcomes: dict[str, Outcome] = {}
        documents: list[Document] = []
        for code, page in pages.items():
            if document := document_from_page(page, code):
                outcomes[code] = Outcome.CHANGED if code in self._folder else Outcome.NEW
                documents.append(document)
            else:
                outcomes[code] = Outcome.NO_PLOT
            next_code = template_argument(page.wikitext or "", "EpicodePrevNext", "nextcode")
            if next_code and _series(next_code) in self._chosen:
                self._known.append(next_code)
        if documents:
            self._folder.put(documents)
        for code, outcome in outcomes.items():
            yield Episode(code, outcome)


def _numbers(prefix: str) -> Iterator[str]:
    """All codes that a series may have."""
    digits = 2 if prefix in _SHORT else 3
    return (f"{prefix}{number:0{digits}}" for number in range(1, 10**digits))


def _series(code: str) -> str | None:
    """The series of an episode's code; None if it is none."""
    match = _CODE.fullmatch(code)
    return match[1] if match else None


def _code(page: Page, asked_for: str) -> str:
    """EP275 redirects to AG001: the page's own code counts, if its title is one."""
    return page.title if _series(page.title) in SERIES else asked_for


def document_from_page(
    page: Page,
    document_id: str,
    sections: Sequence[str] = HEADINGS,
    origin: tuple[str, str] = (SOURCE, LICENSE),
) -> Document | None:
    """The plot of a wikitext page, or None if it has none; ``origin`` is source and licence."""
    wikitext = page.wikitext or ""
    text = plot_from_wikitext(wikitext, sections)
    if not text:
        return None
    title = template_argument(wikitext, "EpisodeInfobox", "title_en")
    if title is None and _series(page.title) in SERIES:
        title = title_from_wikitext(wikitext)
    return Document(
        id=document_id,
        text=text,
        title=title or page.title,
        source=origin[0],
        url=page.url,
        revision=page.revision,
        date=page.timestamp,
        license=origin[1],
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
    paths: Iterable[Path],
    folder: CorpusFolder,
    limit: int | None = None,
    sections: Sequence[str] = HEADINGS,
) -> Iterator[Episode]:
    """Put the plots of saved files into a folder, as ``crawl`` does those of the wiki.

    They are what stands in the first of the sections that a page has.

    A file is HTML as a browser saves it (.html, .htm), Special:Export XML (.xml) or wikitext
    (.wiki); for other names its beginning tells.

    Raises OSError, CorpusError or WikiError for a file that cannot be read.
    """
    pages = islice((page for path in paths for page in _pages_of_file(path, sections)), limit)
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


def _pages_of_file(path: Path, sections: Sequence[str]) -> Iterator[tuple[str, Document | None]]:
    with path.open("rb") as file:
        head = file.read(4096).decode("utf-8", errors="replace")
    if path.suffix.lower() == ".xml" or re.search(r"<mediawiki\b", head):
        for page in read_export(path):
            if not re.match(r"\s*#REDIRECT", page.wikitext or "", re.IGNORECASE):
                origin = _origin(page.url, None)
                yield page.title, document_from_page(page, page.title, sections, origin)
    elif path.suffix.lower() in {".html", ".htm"} or re.search(
        r"<!DOCTYPE html|<html\b|mw-parser-output", head, re.IGNORECASE
    ):
        yield _document_from_html(_read(path), path.stem, sections)
    else:
        page = Page(title=path.stem, wikitext=_read(path))
        yield page.title, document_from_page(page, page.title, sections)


def _origin(url: str | None, license_url: str | None) -> tuple[str, str]:
    """The source of a page and its licence: Bulbapedia's, unless its address is another."""
    host = urlsplit(url or API).hostname or ""
    if host.endswith("bulbapedia.bulbagarden.net"):
        return SOURCE, LICENSE
    return host, license_name(None, license_url) or UNSTATED


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path}: not UTF-8 text ({error.reason})") from error


def _document_from_html(
    html: str, name: str, sections: Sequence[str]
) -> tuple[str, Document | None]:
    page = BeautifulSoup(html, "lxml")
    url = _address(page, "link[rel~=canonical][href]")
    document_id = _page_name(html, url) or name
    text = plot_from_html(page, sections)
    if not text:
        return document_id, None
    source, licence = _origin(url, _address(page, "link[rel~=license][href]"))
    revision = re.search(r'"wgRevisionId":\s*([1-9]\d*)', html)
    return document_id, Document(
        id=document_id,
        text=text,
        title=title_from_html(page) or document_id,
        source=source,
        url=url,
        revision=int(revision[1]) if revision else None,
        date=_last_edit(page),
        license=licence,
    )


def _address(page: BeautifulSoup, css: str) -> str | None:
    link = page.select_one(css)
    return str(link["href"]) if link else None


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
