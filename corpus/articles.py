"""The plots of a wiki's articles, by category, on any MediaWiki site."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from corpus.attribution import UNSTATED, license_name
from corpus.crawling import Episode, Outcome
from corpus.documents import CorpusFolder, Document
from corpus.mediawiki import BATCH, MediaWiki, Page, Site
from corpus.plot import plot_from_wikitext

SECTIONS = ("Plot", "Synopsis", "Summary")


def crawl(
    wiki: MediaWiki,
    site: Site,
    folder: CorpusFolder,
    categories: Sequence[str],
    sections: Sequence[str] = SECTIONS,
    *,
    subcategories: bool = False,
    limit: int | None = None,
) -> Iterator[Episode]:
    """Bring a folder up to date with the articles of some categories, as documents by their title.

    An article's text is its first section of those named; without one it is left out. Only
    articles the folder does not hold at their current revision are fetched. ``limit`` is the
    number of articles to look at.

    Raises what MediaWiki raises; the folder then holds all earlier batches.
    """
    changed: list[str] = []
    for page in islice(_members(wiki, categories, subcategories), limit):
        if page.revision is not None and folder.revision(page.title) == page.revision:
            yield Episode(page.title, Outcome.UNCHANGED)
            continue
        changed.append(page.title)
        if len(changed) == BATCH:
            yield from _update(wiki, site, folder, changed, sections)
            changed = []
    yield from _update(wiki, site, folder, changed, sections)


def _members(wiki: MediaWiki, categories: Iterable[str], subcategories: bool) -> Iterator[Page]:
    """The articles of all categories, each once."""
    seen: set[str] = set()
    for category in categories:
        for page in wiki.members(category, subcategories=subcategories):
            if page.title not in seen:
                seen.add(page.title)
                yield page


def _update(
    wiki: MediaWiki,
    site: Site,
    folder: CorpusFolder,
    titles: Sequence[str],
    sections: Sequence[str],
) -> list[Episode]:
    """Fetch one batch."""
    episodes: list[Episode] = []
    documents: list[Document] = []
    for page in wiki.fetch(titles).values():
        if text := plot_from_wikitext(page.wikitext or "", sections):
            outcome = Outcome.CHANGED if page.title in folder else Outcome.NEW
            documents.append(_document(page, text, site))
        else:
            outcome = Outcome.NO_PLOT
        episodes.append(Episode(page.title, outcome))
    if documents:
        folder.put(documents)
    return episodes


def _document(page: Page, text: str, site: Site) -> Document:
    return Document(
        id=page.title,
        text=text,
        title=page.title,
        source=site.name,
        url=page.url,
        revision=page.revision,
        date=page.timestamp,
        license=license_name(site.license, site.license_url) or UNSTATED,
    )
