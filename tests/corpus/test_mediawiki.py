import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from corpus.mediawiki import MediaWiki, Page, Site, WikiError, WikiRefusedError, read_export

from .conftest import Answer, Clock, FakeWiki, api_error

Connect = Callable[[], MediaWiki]


@pytest.fixture
def connect(fake_wiki: FakeWiki, clock: Clock) -> Connect:
    return lambda: MediaWiki(fake_wiki.url, "me@example.org", sleep=clock.sleep, clock=clock)


def test_titles_are_asked_for_in_polite_batches(
    fake_wiki: FakeWiki, connect: Connect, clock: Clock
) -> None:
    titles = [f"EP{n:03}" for n in range(1, 121)]
    fake_wiki.pages = {title: (n, f"text {n}") for n, title in enumerate(titles, start=1)}
    pages = connect().fetch(titles)
    assert [(t, p.revision, p.wikitext) for t, p in pages.items()] == [
        (t, n, f"text {n}") for n, t in enumerate(titles, start=1)
    ]
    assert pages["EP007"].url == "https://wiki.example/wiki/EP007"
    assert pages["EP007"].timestamp == "2024-05-06T07:08:09Z"
    assert [len(r["titles"].split("|")) for r in fake_wiki.requests] == [50, 50, 20]
    assert {(r["maxlag"], r["formatversion"]) for r in fake_wiki.requests} == {("5", "2")}
    assert all("me@example.org" in agent for agent in fake_wiki.agents)
    assert clock.slept == [5.0, 5.0]  # nothing in robots.txt: the default


def test_current_asks_for_no_text(fake_wiki: FakeWiki, connect: Connect) -> None:
    fake_wiki.pages = {"EP001": (42, "text")}
    page = connect().current(["EP001"])["EP001"]
    assert (page.revision, page.wikitext) == (42, None)
    assert fake_wiki.fetched == []


def test_continued_answers_are_put_together(fake_wiki: FakeWiki, connect: Connect) -> None:
    fake_wiki.pages = {f"EP{n:03}": (n, f"text {n}") for n in range(1, 8)}
    fake_wiki.texts_per_answer = 3
    pages = connect().fetch(list(fake_wiki.pages))
    assert {t: p.wikitext for t, p in pages.items()} == {
        t: text for t, (_, text) in fake_wiki.pages.items()
    }
    assert len(fake_wiki.requests) == 3


def test_an_answer_that_continues_for_ever_is_an_error(
    fake_wiki: FakeWiki, connect: Connect
) -> None:
    fake_wiki.pages = {"EP001": (1, "text")}
    fake_wiki.texts_per_answer = 0
    with pytest.raises(WikiError, match="without end"):
        connect().fetch(["EP001"])


def test_redirects_and_spellings_lead_to_pages(fake_wiki: FakeWiki, connect: Connect) -> None:
    fake_wiki.pages = {"AG001": (7, "text"), "EP 1": (8, "other")}
    fake_wiki.redirects = {"EP275": "EP276", "EP276": "AG001"}
    pages = connect().fetch(["EP275", "eP_1", "EP999"])
    assert {asked: page.title for asked, page in pages.items()} == {
        "EP275": "AG001",
        "eP_1": "EP 1",
    }


def test_redirects_in_a_circle_lead_nowhere(fake_wiki: FakeWiki, connect: Connect) -> None:
    answer = {
        "query": {
            "redirects": [{"from": "A", "to": "B"}, {"from": "B", "to": "A"}],
            "pages": [],
        }
    }
    fake_wiki.faults = [json_answer(answer)]
    assert connect().fetch(["A"]) == {}


@pytest.mark.parametrize("query", [{"pages": {"1": {"title": "A"}}}, ["A"], "A"])
def test_an_older_mediawiki_is_told(fake_wiki: FakeWiki, connect: Connect, query: object) -> None:
    fake_wiki.faults = [json_answer({"query": query})] * 2
    with pytest.raises(WikiError, match=r"MediaWiki 1\.25"):
        connect().fetch(["A"])
    with pytest.raises(WikiError, match=r"MediaWiki 1\.25"):
        list(connect().members("A"))


def json_answer(body: object, **headers: str) -> Answer:
    return Answer(200, json.dumps(body).encode(), {"Content-Type": "application/json", **headers})


@pytest.mark.parametrize(
    ("fault", "wait"),
    [
        (api_error("maxlag", **{"Retry-After": "17"}), 17),
        (api_error("ratelimited"), 5),
        (Answer(429, headers={"Retry-After": "30"}), 30),
        (Answer(503, headers={"Retry-After": "40"}), 40),
        (Answer(503), 5),
        (Answer(200, b'{"query": {', {"Content-Type": "application/json"}), 5),
        (Answer(200, b'{"query": {}}', {"Content-Type": "application/json"}, cut=True), 5),
    ],
    ids=["maxlag", "ratelimited", "429", "503", "503-bare", "half-json", "cut"],
)
def test_a_busy_wiki_is_waited_for(
    fake_wiki: FakeWiki, connect: Connect, clock: Clock, fault: Answer, wait: float
) -> None:
    fake_wiki.pages = {"EP001": (1, "text")}
    fake_wiki.faults = [fault]
    assert connect().fetch(["EP001"])["EP001"].wikitext == "text"
    assert len(fake_wiki.requests) == 2
    assert clock.slept == [wait]


def test_retry_after_may_be_a_date(fake_wiki: FakeWiki, connect: Connect, clock: Clock) -> None:
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    fake_wiki.faults = [Answer(429, headers={"Retry-After": moment})]
    connect().fetch(["EP001"])
    assert sum(clock.slept) == pytest.approx(100, abs=30)


def test_a_wiki_that_stays_busy_is_given_up(
    fake_wiki: FakeWiki, connect: Connect, clock: Clock
) -> None:
    fake_wiki.faults = [Answer(503)] * 100
    with pytest.raises(WikiError, match=r"HTTP 503.*gave up after 5"):
        connect().fetch(["EP001"])
    assert len(fake_wiki.requests) == 5
    assert clock.slept == [5, 10, 20, 40]


def test_a_very_long_wait_is_left_to_the_user(
    fake_wiki: FakeWiki, connect: Connect, clock: Clock
) -> None:
    fake_wiki.faults = [Answer(429, headers={"Retry-After": "86400"})]
    with pytest.raises(WikiError, match="come back in 86400 s"):
        connect().fetch(["EP001"])
    assert clock.slept == []


@pytest.mark.parametrize(
    "refusal",
    [
        Answer(403, b"<title>Just a moment...</title>"),
        Answer(503, headers={"cf-mitigated": "challenge"}),
        Answer(200, b"<html>Are you human?", {"Content-Type": "text/html"}),
        api_error("readapidenied"),
    ],
    ids=["403", "challenge", "page", "denied"],
)
def test_a_refusal_is_final(
    fake_wiki: FakeWiki, connect: Connect, clock: Clock, refusal: Answer
) -> None:
    fake_wiki.faults = [refusal]
    with pytest.raises(WikiRefusedError):
        connect().fetch(["EP001"])
    assert len(fake_wiki.requests) == 1
    assert clock.slept == []


def test_other_errors_are_told(fake_wiki: FakeWiki, connect: Connect) -> None:
    fake_wiki.faults = [api_error("internal_error")]
    with pytest.raises(WikiError, match="all about internal_error"):
        connect().fetch(["EP001"])
    fake_wiki.faults = [Answer(404)]
    with pytest.raises(WikiError, match="HTTP 404"):
        connect().fetch(["EP001"])


def test_nobody_there_is_an_error(clock: Clock) -> None:
    wiki = MediaWiki("http://127.0.0.1:9/w/api.php", "me", sleep=clock.sleep, clock=clock)
    with pytest.raises(WikiError, match="no answer"):
        wiki.fetch(["EP001"])


def test_the_crawl_delay_is_that_of_robots_txt(
    fake_wiki: FakeWiki, connect: Connect, clock: Clock
) -> None:
    fake_wiki.robots = Answer(200, b"User-agent: *\nCrawl-delay: 12\nDisallow: /wiki/Special:\n")
    connect().fetch([f"EP{n:03}" for n in range(1, 151)])
    assert clock.slept == [12.0, 12.0]


def test_what_robots_txt_disallows_is_not_asked_for(fake_wiki: FakeWiki, connect: Connect) -> None:
    fake_wiki.robots = Answer(200, b"User-agent: *\nDisallow: /w/\n")
    with pytest.raises(WikiRefusedError, match=r"robots\.txt"):
        connect().fetch(["EP001"])
    assert fake_wiki.requests == []


# --- finding the API, and what the wiki says of itself ------------------------------------


@pytest.mark.parametrize(
    ("api", "page"),
    [
        ("/w/api.php", ""),
        ("/w/api.php", "/wiki/Main_Page"),
        ("/api.php", "/wiki/Episode:_1?action=edit"),
        ("/wiki/api.php", "/"),
        ("/de/api.php", "/de/wiki/Seite"),
        ("/farm/one/w/api.php", "/farm/one/index.php/Page"),
        ("/api.php", "/Page"),
        ("/odd/place/api.php", "/odd/place/api.php"),
        ("/odd/place/api.php", "/odd/place/api.php?action=help"),
    ],
)
def test_the_api_is_found_from_any_page(
    fake_wiki: FakeWiki, clock: Clock, api: str, page: str
) -> None:
    fake_wiki.api_path = api
    fake_wiki.pages = {"EP001": (1, "text")}
    address = fake_wiki.address + page
    wiki = MediaWiki(address, "me@example.org", sleep=clock.sleep, clock=clock)
    assert wiki.fetch(["EP001"])["EP001"].wikitext == "text"
    assert fake_wiki.paths.count("/robots.txt") == 1
    # Nothing in robots.txt: the default delay after each answer but that of robots.txt itself.
    assert clock.slept == [5.0] * (len(fake_wiki.paths) - 2)


def test_the_api_is_found_by_the_link_in_a_page(fake_wiki: FakeWiki, clock: Clock) -> None:
    fake_wiki.api_path = "/odd/api.php"
    host = fake_wiki.address.partition(":")[2]
    page = f'<head><link rel="EditURI" type="x" href="{host}/odd/api.php?action=rsd"/></head>'
    fake_wiki.web["/Page"] = Answer(200, page.encode(), {"Content-Type": "text/html"})
    wiki = MediaWiki(f"{fake_wiki.address}/Page", "me", sleep=clock.sleep, clock=clock)
    assert wiki.site().name == "A Wiki"


def test_a_wiki_that_moved_has_a_robots_txt_of_its_own(fake_wiki: FakeWiki, clock: Clock) -> None:
    fake_wiki.api_path = "/new/api.php"
    there = fake_wiki.url.replace("127.0.0.1", "localhost")
    query = "?action=query&meta=siteinfo&format=json"
    fake_wiki.web["/w/api.php"] = Answer(301, headers={"Location": there + query})
    wiki = MediaWiki(fake_wiki.address, "me", sleep=clock.sleep, clock=clock)
    assert wiki.site().name == "A Wiki"
    assert fake_wiki.paths.count("/robots.txt") == 2
    assert fake_wiki.paths[-1].startswith("/new/api.php?")


def test_where_there_is_no_wiki_it_is_told(fake_wiki: FakeWiki, clock: Clock) -> None:
    fake_wiki.api_path = "/odd/api.php"
    html = {"Content-Type": "text/html"}
    # Some sites answer whatever one asks for, and some with JSON.
    for path, body in [("/w/api.php", b"<html>Hello"), ("/api.php", b"[]"), ("/", b"")]:
        fake_wiki.web[path] = Answer(200, body, html)
    wiki = MediaWiki(f"{fake_wiki.address}/", "me", sleep=clock.sleep, clock=clock)
    with pytest.raises(WikiError, match="no MediaWiki site"):
        wiki.site()


@pytest.mark.parametrize("address", ["", "/wiki/Main_Page", "/w/api.php"])
def test_robots_txt_counts_wherever_the_api_is(
    fake_wiki: FakeWiki, clock: Clock, address: str
) -> None:
    fake_wiki.robots = Answer(200, b"User-agent: *\nDisallow: /w/\n")
    page = b'<link rel="EditURI" href="/w/api.php?action=rsd"/>'
    for path in ("/", "/wiki/Main_Page"):
        fake_wiki.web[path] = Answer(200, page, {"Content-Type": "text/html"})
    wiki = MediaWiki(fake_wiki.address + address, "me", sleep=clock.sleep, clock=clock)
    with pytest.raises(WikiRefusedError, match=r"robots\.txt"):
        wiki.site()
    assert not [path for path in fake_wiki.paths if path.startswith("/w/")]


def test_a_challenge_while_the_api_is_looked_for_is_final(
    fake_wiki: FakeWiki, clock: Clock
) -> None:
    fake_wiki.faults = [Answer(403)]
    wiki = MediaWiki(fake_wiki.address, "me", sleep=clock.sleep, clock=clock)
    with pytest.raises(WikiRefusedError):
        wiki.site()
    assert len(fake_wiki.paths) == 2


def test_a_wiki_may_say_little_of_itself(fake_wiki: FakeWiki, connect: Connect) -> None:
    assert connect().site() == Site(
        "A Wiki",
        "Creative Commons Attribution-ShareAlike",
        "https://creativecommons.org/licenses/by-sa/4.0/deed.en",
    )
    fake_wiki.site["general"]["sitename"] = " A\nline "
    assert connect().site().name == "A line"
    fake_wiki.site = {"general": {}, "rightsinfo": {"url": "", "text": ""}}
    site = connect().site()
    assert site.name.startswith("127.0.0.1")
    assert (site.license, site.license_url) == (None, None)


def test_a_category_is_listed_to_its_end(fake_wiki: FakeWiki, connect: Connect) -> None:
    titles = [f"E{n}" for n in range(25)]
    fake_wiki.pages = {title: (n, "text") for n, title in enumerate(titles, start=1)}
    fake_wiki.categories = {"All episodes": titles}
    fake_wiki.members_per_answer = 10
    pages = list(connect().members("category:All_episodes"))
    assert [(p.title, p.revision) for p in pages] == [(t, n + 1) for n, t in enumerate(titles)]
    assert [p.wikitext for p in pages] == [None] * 25
    assert len(fake_wiki.requests) == 3


# --- Special:Export -----------------------------------------------------------------------

EXPORT = """\
<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="en">
  <siteinfo><sitename>W</sitename><base>https://w.example/wiki/Main_Page</base></siteinfo>
  <page>
    <title>EP001</title><ns>0</ns><id>1</id>
    <revision><id>10</id><timestamp>2020-01-01T00:00:00Z</timestamp>
      <text xml:space="preserve">old</text></revision>
    <revision><id>11</id><timestamp>2021-01-01T00:00:00Z</timestamp>
      <text xml:space="preserve">==Plot==
A &lt;b&gt;fine&lt;/b&gt; day &amp; night.</text></revision>
  </page>
  <page>
    <title>Who's that? é</title><ns>0</ns><id>2</id>
    <revision><id>20</id><timestamp>2022-01-01T00:00:00Z</timestamp><text/></revision>
  </page>
</mediawiki>
"""


def test_an_export_gives_pages_at_their_newest_revision(tmp_path: Path) -> None:
    path = tmp_path / "export.xml"
    path.write_text(EXPORT, encoding="utf-8")
    assert list(read_export(path)) == [
        Page(
            title="EP001",
            wikitext="==Plot==\nA <b>fine</b> day & night.",
            revision=11,
            timestamp="2021-01-01T00:00:00Z",
            url="https://w.example/wiki/EP001",
        ),
        Page(
            title="Who's that? é",
            wikitext="",
            revision=20,
            timestamp="2022-01-01T00:00:00Z",
            url="https://w.example/wiki/Who%27s_that%3F_%C3%A9",
        ),
    ]


def test_an_export_is_streamed(tmp_path: Path) -> None:
    """Its first page is there before the file's end is known to be missing."""
    filler = "".join(
        f"<page><title>P{n}</title><revision><id>{n}</id><text>{'x' * 500}</text></revision></page>"
        for n in range(1000)
    )
    path = tmp_path / "export.xml"
    path.write_text(EXPORT.replace("</mediawiki>", filler), encoding="utf-8")
    pages = read_export(path)
    assert next(pages).title == "EP001"
    with pytest.raises(WikiError, match="not a whole"):
        list(pages)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('<!DOCTYPE m [<!ENTITY a "b">]><mediawiki>&a;</mediawiki>', "document type"),
        ('<!DOCTYPE mediawiki SYSTEM "file:///etc/passwd"><mediawiki/>', "document type"),
        ("<rss></rss>", "not a Special:Export"),
        ("", "not a whole"),
    ],
)
def test_what_is_no_export_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "export.xml"
    path.write_text(content)
    with pytest.raises(WikiError, match=message):
        list(read_export(path))
