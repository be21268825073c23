"""A polite client of a MediaWiki wiki: its API and its Special:Export files.

Politeness is the wiki's etiquette (https://www.mediawiki.org/wiki/API:Etiquette): requests one
after another with the crawl delay of robots.txt between them, titles in batches, ``maxlag``, a
User-Agent that says whom to write to, and every Retry-After obeyed. A refusal is final.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin
from urllib.robotparser import RobotFileParser

import requests
from lxml import etree

BATCH = 50  # titles a request, the API's limit for visitors

_MAXLAG_S = 5
_DEFAULT_DELAY_S = 5.0
_ATTEMPTS = 5
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


class MediaWiki:
    """The API of one wiki.

    ``contact`` (a mail address or URL) goes into the User-Agent. The seconds between requests
    are the crawl delay of robots.txt, read at the first request (5 s if it names none).
    ``sleep`` and ``clock`` are for tests.

    Methods raise WikiRefusedError for a challenge or refusal (also one by robots.txt), and
    WikiError if the wiki stays unreachable, busy or makes no sense.
    """

    def __init__(
        self,
        api: str,
        contact: str,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._delay: float | None = None
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

    def _pages(self, titles: Sequence[str], **parameters: str) -> dict[str, Page]:
        if "revisions" in parameters["prop"]:
            parameters["rvslots"] = "main"
        pages: dict[str, Page] = {}
        for start in range(0, len(titles), BATCH):
            batch = titles[start : start + BATCH]
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
        resume: dict[str, str] = {}
        while True:
            answer = self._request(
                {
                    "action": "query",
                    "titles": titles,
                    "inprop": "url",
                    "redirects": "1",
                    **parameters,
                    **resume,
                }
            )
            query = answer.get("query", {})
            for hop in query.get("normalized", []) + query.get("redirects", []):
                names[hop["from"]] = hop["to"]
            for entry in query.get("pages", []):
                if not (entry.get("missing") or entry.get("invalid")):
                    title = entry["title"]
                    found[title] = _merge(found.get(title, Page(title=title)), entry)
            if "continue" not in answer:
                return names, found
            if answer["continue"] == resume:
                raise WikiError("the wiki's answers continue without end")
            resume = answer["continue"]

    def _request(self, parameters: dict[str, str]) -> dict[str, Any]:
        if self._delay is None:
            self._delay = self._read_robots()
        response = self._get(
            self._api,
            {**parameters, "format": "json", "formatversion": "2", "maxlag": str(_MAXLAG_S)},
        )
        if response.status_code != requests.codes.ok:
            raise WikiError(f"{self._api} answers HTTP {response.status_code}")
        answer: dict[str, Any] = response.json()
        if error := answer.get("error"):
            message = f"the wiki says: {error.get('info') or error.get('code')}"
            denied = error.get("code") in {"readapidenied", "blocked", "autoblocked"}
            raise (WikiRefusedError if denied else WikiError)(message)
        return answer

    def _read_robots(self) -> float:
        """Ask robots.txt whether the API may be used; the seconds between requests."""
        response = self._get(urljoin(self._api, "/robots.txt"), {}, json_expected=False)
        # RFC 9309: no such file, no rules.
        lines = response.text.splitlines() if response.status_code == requests.codes.ok else []
        robots = RobotFileParser()
        robots.parse(lines)
        agent = str(self._session.headers["User-Agent"])
        if not robots.can_fetch(agent, self._api):
            raise WikiRefusedError(f"robots.txt of the wiki disallows {self._api}")
        delay = robots.crawl_delay(agent)
        return _DEFAULT_DELAY_S if delay is None else float(delay)

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
                self._next_request = self._clock() + (self._delay or 0)
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
