"""A polite client of a MediaWiki wiki: its API and its Special:Export files.

Politeness is the wiki's etiquette (https://www.mediawiki.org/wiki/API:Etiquette): requests one
after another with the crawl delay of robots.txt between them, titles in batches, ``maxlag``, a
User-Agent that says whom to write to, and every Retry-After obeyed. A refusal is final.
"""

import logging
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin, urlsplit
from urllib.robotparser import RobotFileParser

import requests
from bs4 import BeautifulSoup
from lxml import etree

BATCH = 50  # titles a request, the API's limit for visitors

_TITLES_LENGTH = 5000  # of a request's titles in its address; servers refuse some 8000
_ARTICLES, _CATEGORIES = 0, 14  # namespaces
_MAXLAG_S = 5
_DEFAULT_DELAY_S = 5.0
_ATTEMPTS = 5
_FORMAT = {"format": "json", "formatversion": "2", "maxlag": str(_MAXLAG_S)}
_SITE = {"action": "query", "meta": "siteinfo", "siprop": "general|rightsinfo"}
_FIRST_BACKOFF_S = 5.0
_LONGEST_WAIT_S = 600.0
_TIMEOUT_S = 60.0
_BUSY = frozenset({429, 500, 502, 503, 504})
_REFUSED = frozenset({401, 403, 451})

_log = logging.getLogger(__name__)


class WikiError(Exception):
    """The wiki did not give what was asked; the message says what it did instead."""


class WikiRefusedError(WikiError):
    """The wiki does not want to be read by a program. There is no second try."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page of a wiki, as far as it was asked for.

    ``revision`` is the id of the revision that ``wikitext`` and ``timestamp`` (ISO 8601) are of.
    """

    title: str
    wikitext: str | None = None
    revision: int | None = None
    timestamp: str | None = None
    url: str | None = None


@dataclass(frozen=True)
class Site:
    """A wiki's name, and the name and address of its texts' licence, as it says them itself."""

    name: str
    license: str | None
    license_url: str | None


class MediaWiki:
    """The API of one wiki.

    ``address`` is that of its api.php or of any of its pages; from a page the API is found at the
    first request. ``contact`` (a mail address or URL) goes into the User-Agent. The seconds
    between requests are the crawl delay of robots.txt, read at the first request (5 s if it names
    none). ``sleep`` and ``clock`` are for tests.

    Methods raise WikiRefusedError for a challenge or refusal (also one by robots.txt), and
    WikiError if the wiki stays unreachable, busy or makes no sense.
    """

    def __init__(
        self,
        address: str,
        contact: str,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        address = address.partition("?")[0]
        self._address = address if "://" in address else f"https://{address}"
        self._api: str | None = None
        self._robots = RobotFileParser()
        self._delay = 0.0
        self._sleep = sleep
        self._clock = clock
        self._next_request = clock()
        self._session = requests.Session()
        self._session.headers["User-Agent"] = f"one-more-episode/0.1 (hobby corpus; {contact})"

    def fetch(self, titles: Sequence[str]) -> dict[str, Page]:
        """The current pages of some titles, with their text, by the title asked for.

        Redirects are followed; titles without a page are absent.
        """
        return self._pages(titles, prop="info|revisions", rvprop="ids|timestamp|content")

    def current(self, titles: Sequence[str]) -> dict[str, Page]:
        """As ``fetch``, without text: which revision each page is at."""
        return self._pages(titles, prop="info")

    def members(self, category: str, *, subcategories: bool = False) -> Iterator[Page]:
        """The articles of a category, each once, as ``current`` gives them; without redirects.

        ``category`` is its name, with or without ``Category:``.
        """
        waiting = [re.sub(r"(?i)^category:", "", category.replace("_", " ").strip())]
        seen: set[str] = set()
        for name in waiting:  # which grows
            parameters = {
                "generator": "categorymembers",
                "gcmtitle": f"Category:{name}",
                "gcmtype": "page|subcat" if subcategories else "page",
                "gcmlimit": "max",
                "prop": "info",
            }
            for query in self._queries(parameters):
                for entry in query.get("pages", []):
                    title = entry["title"]
                    if title in seen:
                        continue
                    seen.add(title)
                    if entry.get("ns") == _CATEGORIES:
                        waiting.append(title.partition(":")[2])
                    elif entry.get("ns") == _ARTICLES and not entry.get("redirect"):
                        yield _merge(Page(title=title), entry)

    def site(self) -> Site:
        """What the wiki says of itself."""
        query = self._request(_SITE).get("query", {})
        rights = query.get("rightsinfo", {})
        return Site(
            name=" ".join(str(query.get("general", {}).get("sitename") or "").split())
            or urlsplit(self._address).netloc,
            license=rights.get("text") or None,
            license_url=rights.get("url") or None,
        )

    def _pages(self, titles: Sequence[str], **parameters: str) -> dict[str, Page]:
        if "revisions" in parameters["prop"]:
            parameters["rvslots"] = "main"
        pages: dict[str, Page] = {}
        for batch in _batches(titles):
            names, found = self._query("|".join(batch), parameters)
            for title in batch:
                name = title
                # "normalized", then "redirects", perhaps double ones; never round in circles.
                for _ in range(len(names)):
                    name = names.get(name, name)
                if name in found:
                    pages[title] = found[name]
        return pages

    def _query(
        self, titles: str, parameters: dict[str, str]
    ) -> tuple[dict[str, str], dict[str, Page]]:
        """One batch: what titles lead to, and the pages by their own titles."""
        names: dict[str, str] = {}
        found: dict[str, Page] = {}
        for query in self._queries({"titles": titles, "redirects": "1", **parameters}):
            for hop in query.get("normalized", []) + query.get("redirects", []):
                names[hop["from"]] = hop["to"]
            for entry in query.get("pages", []):
                if not (entry.get("missing") or entry.get("invalid")):
                    title = entry["title"]
                    found[title] = _merge(found.get(title, Page(title=title)), entry)
        return names, found

    def _queries(self, parameters: dict[str, str]) -> Iterator[dict[str, Any]]:
        """The answers to a query for pages, as many as the wiki continues with."""
        resume: dict[str, str] = {}
        while True:
            answer = self._request({"action": "query", "inprop": "url", **parameters, **resume})
            query = answer.get("query") or {}
            if not isinstance(query, dict) or not isinstance(query.get("pages", []), list):
                raise WikiError(f"{self._api} does not answer as MediaWiki 1.25 and later do")
            yield query
            if "continue" not in answer:
                return
            if answer["continue"] == resume:
                raise WikiError("the wiki's answers continue without end")
            resume = answer["continue"]

    def _request(self, parameters: dict[str, str]) -> dict[str, Any]:
        if self._api is None:
            self._api = self._open()
        response = self._get(self._api, {**parameters, **_FORMAT})
        if response.status_code != requests.codes.ok:
            raise WikiError(f"{self._api} answers HTTP {response.status_code}")
        answer: dict[str, Any] = response.json()
        if error := answer.get("error"):
            message = f"the wiki says: {error.get('info') or error.get('code')}"
            denied = error.get("code") in {"readapidenied", "blocked", "autoblocked"}
            raise (WikiRefusedError if denied else WikiError)(message)
        return answer

    def _open(self) -> str:
        """Read robots.txt; the address of the API."""
        self._read_robots(self._address)
        if self._address.endswith("/api.php"):
            self._check_allowed(self._address)
            return self._address
        for candidate in _usual_places(self._address):
            if self._allows(candidate) and (api := self._answering_api(candidate)):
                return self._check_moved(api)
        self._check_allowed(self._address)
        page = self._get(self._address, {}, json_expected=False)
        link = BeautifulSoup(page.text, "lxml").select_one("link[rel~=EditURI][href]")
        if link is None:
            raise WikiError(f"{self._address}: no MediaWiki site; give the address of its api.php")
        return self._check_moved(urljoin(page.url, str(link["href"])).partition("?")[0])

    def _answering_api(self, candidate: str) -> str | None:
        """Where a question to a candidate was answered, if an API did."""
        response = self._get(candidate, _SITE | _FORMAT, json_expected=False)
        try:
            answer = response.json()
        except requests.exceptions.JSONDecodeError:
            return None
        if response.status_code != requests.codes.ok or not isinstance(answer, dict):
            return None
        return response.url.partition("?")[0] if answer.keys() & {"query", "error"} else None

    def _check_moved(self, api: str) -> str:
        """An API that turned up: perhaps on another host, whose robots.txt counts then."""
        if urlsplit(api).netloc != urlsplit(self._address).netloc:
            self._read_robots(api)
        self._check_allowed(api)
        return api

    def _check_allowed(self, url: str) -> None:
        if not self._allows(url):
            raise WikiRefusedError(f"robots.txt of the wiki disallows {url}")

    def _allows(self, url: str) -> bool:
        return self._robots.can_fetch(str(self._session.headers["User-Agent"]), url)

    def _read_robots(self, url: str) -> None:
        """Ask robots.txt what may be read, and the seconds between requests."""
        response = self._get(urljoin(url, "/robots.txt"), {}, json_expected=False)
        # RFC 9309: no such file, no rules.
        lines = response.text.splitlines() if response.status_code == requests.codes.ok else []
        self._robots = RobotFileParser()
        self._robots.parse(lines)
        delay = self._robots.crawl_delay(str(self._session.headers["User-Agent"]))
        self._delay = _DEFAULT_DELAY_S if delay is None else float(delay)

    def _get(
        self, url: str, parameters: dict[str, str], *, json_expected: bool = True
    ) -> requests.Response:
        """GET in turn; waits out a busy wiki and cut connections, within reason."""
        for attempt in range(_ATTEMPTS):
            self._sleep_until(self._next_request)
            try:
                response = self._session.get(url, params=parameters, timeout=_TIMEOUT_S)
                trouble = _trouble(response, json_expected)
                retry_after = _retry_after(response)
            except (
                requests.exceptions.ConnectionError,
                requests.exceptions.Timeout,
                requests.exceptions.ChunkedEncodingError,
            ) as error:
                trouble, retry_after = f"no answer ({_root_cause(error)})", None
            except requests.exceptions.RequestException as error:
                raise WikiError(f"{url}: {error}") from error
            finally:
                self._next_request = self._clock() + self._delay
            if not trouble:
                return response
            wait = _FIRST_BACKOFF_S * 2**attempt if retry_after is None else retry_after
            if wait > _LONGEST_WAIT_S:
                raise WikiError(f"{url}: {trouble}; it asks to come back in {wait:.0f} s")
            if attempt < _ATTEMPTS - 1:
                _log.warning("%s: trying again in %.0f s", trouble, wait)
                self._next_request = max(self._next_request, self._clock() + wait)
        raise WikiError(f"{url}: {trouble}; gave up after {_ATTEMPTS} attempts")

    def _sleep_until(self, moment: float) -> None:
        if (seconds := moment - self._clock()) > 0:
            self._sleep(seconds)


def _batches(titles: Sequence[str]) -> Iterator[list[str]]:
    """Titles by as many as the API takes, and as fit into an address."""
    batch: list[str] = []
    length = 0
    for title in titles:
        size = len(quote(f"{title}|", safe=""))
        if batch and (len(batch) == BATCH or length + size > _TITLES_LENGTH):
            yield batch
            batch, length = [], 0
        batch.append(title)
        length += size
    if batch:
        yield batch


def _usual_places(address: str) -> list[str]:
    """Where wikis keep api.php, near an address first: a host may have several wikis.

    >>> _usual_places("https://x.example/de/wiki/Seite")[:2]
    ['https://x.example/de/w/api.php', 'https://x.example/de/api.php']
    """
    folder = re.split(r"/(?:wiki|index\.php)(?:/|$)", urlsplit(address).path)[0].rstrip("/")
    return [
        urljoin(address, f"{prefix}/{path}")
        for prefix in dict.fromkeys([folder, ""])
        for path in ("w/api.php", "api.php", "wiki/api.php")
    ]


def _trouble(response: requests.Response, json_expected: bool) -> str | None:
    """Why to ask again, or None if the response is an answer. Raises if it is a refusal."""
    status = response.status_code
    challenged = response.headers.get("cf-mitigated") == "challenge"
    if challenged or status in _REFUSED:
        raise WikiRefusedError(f"the wiki refuses (HTTP {status} for {response.url.split('?')[0]})")
    if status in _BUSY:
        return f"the wiki is busy (HTTP {status})"
    if json_expected and status == requests.codes.ok:
        if "html" in response.headers.get("Content-Type", ""):
            raise WikiRefusedError("the wiki answers its API with a web page, perhaps a challenge")
        try:
            error = response.json().get("error", {})
        except (requests.exceptions.JSONDecodeError, AttributeError):
            return "an answer cut short"
        if error.get("code") in {"maxlag", "ratelimited"}:
            return f"the wiki is busy ({error['code']})"
    return None


def _retry_after(response: requests.Response) -> float | None:
    """Seconds of a Retry-After header, which gives them as a number or as a date."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def _root_cause(error: BaseException) -> str:
    """requests wraps urllib3's errors, which wrap the socket's; the innermost says it best."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    return str(error) or type(error).__name__


def _merge(page: Page, entry: dict[str, Any]) -> Page:
    """Add what one answer says of a page; a long batch comes in several."""
    page = replace(
        page,
        revision=page.revision or entry.get("lastrevid"),
        url=page.url or entry.get("canonicalurl"),
    )
    for revision in entry.get("revisions", []):
        page = replace(
            page,
            revision=revision["revid"],
            timestamp=revision.get("timestamp"),
            wikitext=revision.get("slots", {}).get("main", {}).get("content"),
        )
    return page


def read_export(path: Path) -> Iterator[Page]:
    """Stream the pages of a Special:Export file, each at its newest revision there.

    Raises WikiError if the file is not such XML, or brings a document type definition: export
    files have none, and entities defined in one could make a small file fill the memory.
    """
    base = None
    try:
        events = etree.iterparse(
            path, events=("start", "end"), resolve_entities=False, no_network=True, huge_tree=True
        )
        for event, element in events:
            if event == "start":
                if element.getparent() is None:
                    _check_export(path, element)
                continue
            name = etree.QName(element).localname
            if name == "base":
                base = (element.text or "").rpartition("/")[0] or None
            elif name == "page":
                yield _exported_page(element, base)
                element.clear()
                while element.getprevious() is not None:
                    del element.getparent()[0]
    except (etree.XMLSyntaxError, OSError) as error:
        raise WikiError(f"{path}: not a whole Special:Export file ({error})") from error


def _check_export(path: Path, root: Any) -> None:
    if root.getroottree().docinfo.internalDTD is not None:
        raise WikiError(f"{path}: has a document type definition, which no export file has")
    if etree.QName(root).localname != "mediawiki":
        raise WikiError(f"{path}: not a Special:Export file")


def _exported_page(element: Any, base: str | None) -> Page:
    title = element.findtext("{*}title", "")
    revisions = element.findall("{*}revision")
    newest = max(revisions, key=lambda r: r.findtext("{*}timestamp", ""), default=None)
    url = f"{base}/{quote(title.replace(' ', '_'), safe='/:(),!*@$;~')}" if base else None
    if newest is None:
        return Page(title=title, url=url)
    return Page(
        title=title,
        wikitext=newest.findtext("{*}text", ""),
        revision=int(newest.findtext("{*}id", "0")) or None,
        timestamp=newest.findtext("{*}timestamp"),
        url=url,
    )
