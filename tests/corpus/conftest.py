"""A wiki on this machine that behaves as MediaWiki does."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest


class Clock:
    """Time that passes only where somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@dataclass
class Answer:
    """An answer other than the API's own; ``cut`` closes the connection in its middle."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False


def api_error(code: str, **headers: str) -> Answer:
    """MediaWiki reports errors with status 200."""
    body = {"error": {"code": code, "info": f"all about {code}"}}
    return Answer(200, json.dumps(body).encode(), {"Content-Type": "application/json", **headers})


class FakeWiki:
    """Pages, the faults of the next answers (None is no fault), and what was asked."""

    def __init__(self) -> None:
        self.pages: dict[str, tuple[int, str]] = {}
        self.redirects: dict[str, str] = {}
        self.categories: dict[str, list[str]] = {}
        self.members_per_answer = 500
        self.site: dict[str, Any] = {
            "general": {"sitename": "A Wiki", "base": "https://wiki.example/wiki/Main_Page"},
            "rightsinfo": {
                "url": "https://creativecommons.org/licenses/by-sa/4.0/deed.en",
                "text": "Creative Commons Attribution-ShareAlike",
            },
        }
        self.api_path = "/w/api.php"
        self.web: dict[str, Answer] = {}
        self.robots: Answer = Answer(404)
        self.faults: list[Answer | None] = []
        self.texts_per_answer = 50
        self.requests: list[dict[str, str]] = []
        self.agents: list[str] = []
        self.paths: list[str] = []
        self.before_answer: Callable[[dict[str, str]], None] = lambda request: None
        self.address = ""

    @property
    def url(self) -> str:
        """The address of the API."""
        return self.address + self.api_path

    @property
    def fetched(self) -> list[str]:
        """The titles whose text was asked for, in order."""
        return [
            title
            for request in self.requests
            if "revisions" in request.get("prop", "") and "rvcontinue" not in request
            for title in request["titles"].split("|")
        ]

    def answer(self, path: str, request: dict[str, str]) -> Answer:
        if path == "/robots.txt":
            return self.robots
        if path != self.api_path:
            return self.web.get(
                path, Answer(404, b"<html>Nothing here", {"Content-Type": "text/html"})
            )
        self.requests.append(request)
        self.before_answer(request)
        if self.faults and (fault := self.faults.pop(0)):
            return fault
        if request.get("meta") == "siteinfo":
            answer = {"batchcomplete": True, "query": self.site}
        elif request.get("generator") == "categorymembers":
            answer = self._members(request)
        else:
            titles = request["titles"].split("|")
            if len(titles) > 50:
                return api_error("toomanyvalues")
            answer = self._query(titles, request)
        body = json.dumps(answer).encode()
        return Answer(200, body, {"Content-Type": "application/json; charset=utf-8"})

    def _members(self, request: dict[str, str]) -> dict[str, Any]:
        """As generator=categorymembers with prop=info does, an empty category without "query"."""
        types = request["gcmtype"].split("|")
        titles = [
            title
            for title in self.categories.get(request["gcmtitle"].partition(":")[2], [])
            if ("subcat" if title.startswith("Category:") else "page") in types
        ]
        start = int(request.get("gcmcontinue", "page|0").partition("|")[2])
        end = start + self.members_per_answer
        entries: list[dict[str, Any]] = []
        for title in titles[start:end]:
            namespace = {"Category": 14, "Talk": 1, "File": 6}.get(title.partition(":")[0], 0)
            entry: dict[str, Any] = {"ns": namespace, "title": title}
            if title in self.redirects:
                entry["redirect"] = True
            if title in self.pages:
                url = f"https://wiki.example/wiki/{title}"
                entry |= {"lastrevid": self.pages[title][0], "canonicalurl": url}
            entries.append(entry)
        body: dict[str, Any] = {"query": {"pages": entries}} if entries else {"batchcomplete": True}
        if end < len(titles):
            body["continue"] = {"gcmcontinue": f"page|{end}", "continue": "gcmcontinue||"}
        return body

    def _query(self, titles: list[str], request: dict[str, str]) -> dict[str, Any]:
        query: dict[str, Any] = {"normalized": [], "redirects": [], "pages": []}
        resolved = []
        for title in titles:
            normal = title[:1].upper() + title[1:].replace("_", " ")
            if normal != title:
                query["normalized"].append({"fromencoded": False, "from": title, "to": normal})
            while normal in self.redirects:
                query["redirects"].append({"from": normal, "to": self.redirects[normal]})
                normal = self.redirects[normal]
            resolved.append(normal)
        start = int(request.get("rvcontinue", "0"))
        with_text = 0
        body: dict[str, Any] = {"query": query, "batchcomplete": True}
        for number, title in enumerate(dict.fromkeys(resolved)):
            if title not in self.pages:
                query["pages"].append({"ns": 0, "title": title, "missing": True})
                continue
            revision, text = self.pages[title]
            url = f"https://wiki.example/wiki/{title}"
            page: dict[str, Any] = {"ns": 0, "title": title}
            if "info" in request["prop"].split("|"):
                page |= {"lastrevid": revision, "canonicalurl": url}
            if "revisions" in request["prop"].split("|") and number >= start:
                if with_text == self.texts_per_answer:
                    body["continue"] = {"rvcontinue": str(number), "continue": "||info"}
                    del body["batchcomplete"]
                    start = len(resolved)
                else:
                    with_text += 1
                    page["revisions"] = [
                        {
                            "revid": revision,
                            "timestamp": "2024-05-06T07:08:09Z",
                            "slots": {"main": {"contentmodel": "wikitext", "content": text}},
                        }
                    ]
            query["pages"].append(page)
        return body


@pytest.fixture
def fake_wiki() -> Iterator[FakeWiki]:
    wiki = FakeWiki()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            wiki.paths.append(self.path)
            wiki.agents.append(self.headers["User-Agent"])
            request = {key: values[0] for key, values in parse_qs(parts.query).items()}
            answer = wiki.answer(parts.path, request)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            promised = len(answer.body) + (100 if answer.cut else 0)
            self.send_header("Content-Length", str(promised))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    wiki.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield wiki
    server.shutdown()
    server.server_close()
    thread.join()


def episode(plot: str, next_code: str = "", title: str = "A Day Out!") -> str:
    """The source of an episode's page."""
    return (
        f"{{{{EpicodePrevNext|prevcode=None|nextcode={next_code}}}}}\n"
        f"{{{{EpisodeInfobox\n|epcode=EP001\n|title_en={title}\n|title_ja=おでかけ\n}}}}\n"
        f"'''{title}''' is an episode.\n{{{{spoilers}}}}\n\n"
        f"==Blurb==\nA teaser.\n\n==Plot==\n{plot}\n\n==Major events==\n* Something.\n"
    )
