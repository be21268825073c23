import json
from collections.abc import Callable
from pathlib import Path

import pytest

from corpus.bulbapedia import SERIES, collect, crawl, saved_files
from corpus.crawling import Episode, Outcome
from corpus.documents import CorpusFolder
from corpus.mediawiki import MediaWiki, WikiError, WikiRefusedError

from .conftest import Answer, Clock, FakeWiki, episode

Crawl = Callable[..., dict[str, Outcome]]


@pytest.fixture
def crawl_into(fake_wiki: FakeWiki, clock: Clock, tmp_path: Path) -> Crawl:
    def crawl_once(series: list[str], limit: int | None = None) -> dict[str, Outcome]:
        fake_wiki.requests.clear()
        wiki = MediaWiki(fake_wiki.url, "me@example.org", sleep=clock.sleep, clock=clock)
        episodes = list(crawl(wiki, CorpusFolder(tmp_path), series, limit))
        assert len({e.code for e in episodes}) == len(episodes)
        return {e.code: e.outcome for e in episodes}

    return crawl_once


def index(folder: Path) -> dict[str, dict[str, object]]:
    lines = (folder / "index.jsonl").read_text(encoding="utf-8").splitlines()
    return {entry["id"]: entry for entry in map(json.loads, lines)}


def test_an_episode_is_its_plot_and_where_it_comes_from(
    fake_wiki: FakeWiki, crawl_into: Crawl, tmp_path: Path
) -> None:
    fake_wiki.pages = {"EP001": (12, episode("{{Ash}} wakes up.\n\nHe is late."))}
    assert crawl_into(["EP"]) == {"EP001": Outcome.NEW}
    assert (tmp_path / "EP001.txt").read_text() == "Ash wakes up.\n\nHe is late.\n"
    assert index(tmp_path) == {
        "EP001": {
            "id": "EP001",
            "title": "A Day Out!",
            "source": "Bulbapedia",
            "url": "https://wiki.example/wiki/EP001",
            "revision": 12,
            "date": "2024-05-06T07:08:09Z",
            "license": "CC BY-NC-SA 2.5",
        }
    }


def test_a_series_is_walked_to_its_end(fake_wiki: FakeWiki, crawl_into: Crawl) -> None:
    codes = [f"EP{n:03}" for n in range(1, 131) if n not in (30, 77)]
    fake_wiki.pages = {code: (1, episode("A plot.")) for code in codes}
    assert sorted(crawl_into(["EP"])) == codes
    # 150 numbers asked for, of which the last ten do not exist.
    assert len(fake_wiki.requests) == 3


def test_all_series_take_fewer_than_forty_requests(fake_wiki: FakeWiki, crawl_into: Crawl) -> None:
    """As large as the series were in 2025, with the running numbers that redirect."""
    sizes = SERIES | {"HZ": 130, "SS": 33}
    digits = {"M": 2, "PK": 2, "PO": 2}
    codes = [f"{s}{n:0{digits.get(s, 3)}}" for s, size in sizes.items() for n in range(1, size + 1)]
    assert len(codes) > 1300
    fake_wiki.pages = dict.fromkeys(codes, (1, episode("A plot.")))
    fake_wiki.redirects = {f"EP{n + 274}": f"AG{n:03}" for n in range(1, 193)}
    fake_wiki.redirects |= {f"EP{n + 466}": f"DP{n:03}" for n in range(1, 192)}
    outcomes = crawl_into(list(SERIES))
    assert sorted(outcomes) == sorted(codes)
    assert set(outcomes.values()) == {Outcome.NEW}
    assert len(fake_wiki.requests) + 1 < 40  # one for robots.txt
    outcomes = crawl_into(list(SERIES))
    assert sorted(outcomes) == sorted(codes)
    assert set(outcomes.values()) == {Outcome.UNCHANGED}
    assert len(fake_wiki.requests) + 1 < 40
    assert set(fake_wiki.fetched).isdisjoint(codes)
    fake_wiki.pages["SS021"] = (2, episode("A better plot."))
    outcomes = crawl_into(list(SERIES))
    assert [c for c, o in outcomes.items() if o is not Outcome.UNCHANGED] == ["SS021"]
    assert set(fake_wiki.fetched) & set(codes) == {"SS021"}
    # A few changes in every series, and pages that have no plot yet, take few requests more.
    for number, code in enumerate(codes):
        if number % 25 == 0:
            fake_wiki.pages[code] = (3, episode("A better plot.") if number % 2 else "A stub.")
    outcomes = crawl_into(list(SERIES))
    assert sorted(outcomes) == sorted(codes)
    assert list(outcomes.values()).count(Outcome.UNCHANGED) == len(codes) - len(codes[::25])
    assert len(fake_wiki.requests) + 1 < 40


def test_films_have_codes_of_their_own(
    fake_wiki: FakeWiki, crawl_into: Crawl, tmp_path: Path
) -> None:
    film = "{{Movie}}\n'''Pokémon: The {{p|Mew|First}} Movie''' is one.\n==Plot==\nA plot."
    fake_wiki.pages = {f"M{n:02}": (1, film) for n in range(1, 4)}
    fake_wiki.pages |= {"MS001": (1, film), "M001": (1, film)}
    fake_wiki.redirects = {"M04": "Fourth film"}
    fake_wiki.pages["Fourth film"] = (1, film)
    assert sorted(crawl_into(["M", "PK"])) == ["M01", "M02", "M03", "M04"]
    assert index(tmp_path)["M01"]["title"] == "Pokémon: The First Movie"
    assert index(tmp_path)["M04"]["title"] == "Fourth film"


def test_a_second_crawl_looks_at_what_only_an_infobox_had_named(
    fake_wiki: FakeWiki, crawl_into: Crawl
) -> None:
    fake_wiki.pages = {
        "EP001": (1, episode("One.", next_code="EP150")),
        "EP150": (1, episode("Two.")),
    }
    crawl_into(["EP"])
    fake_wiki.pages["EP150"] = (2, episode("A better one."))
    assert crawl_into(["EP"]) == {"EP001": Outcome.UNCHANGED, "EP150": Outcome.CHANGED}
    assert len(fake_wiki.requests) == 2
    # What a page names only since it was changed is walked to at once.
    fake_wiki.pages["EP150"] = (3, episode("A better one.", next_code="EP300"))
    fake_wiki.pages["EP300"] = (1, episode("Three.", next_code="EP301"))
    fake_wiki.pages["EP301"] = (1, episode("Four."))
    assert sorted(crawl_into(["EP"])) == ["EP001", "EP150", "EP300", "EP301"]
    assert sorted(crawl_into(["EP"], 2)) == ["EP001", "EP150"]


def test_what_infoboxes_name_next_is_found_beyond_a_gap(
    fake_wiki: FakeWiki, crawl_into: Crawl
) -> None:
    fake_wiki.pages = {
        "EP001": (1, episode("One.", next_code="EP150")),
        "EP150": (1, episode("Two.", next_code="AG001")),
        "AG001": (1, episode("Not asked for.", next_code="None")),
    }
    assert sorted(crawl_into(["EP"])) == ["EP001", "EP150"]


def test_running_numbers_that_redirect_to_another_series(
    fake_wiki: FakeWiki, crawl_into: Crawl
) -> None:
    fake_wiki.pages = {f"EP{n:03}": (1, episode("Old.")) for n in range(1, 31)}
    fake_wiki.pages |= {f"AG{n:03}": (1, episode("New.")) for n in range(1, 61)}
    fake_wiki.redirects = {f"EP{n + 30:03}": f"AG{n:03}" for n in range(1, 61)}
    assert sorted(crawl_into(["EP"])) == [f"EP{n:03}" for n in range(1, 31)]
    both = crawl_into(["EP", "AG"])
    assert sorted(both) == sorted(fake_wiki.pages)
    assert [outcome for code, outcome in both.items() if code < "B"] == [Outcome.NEW] * 60
    # Nothing twice, nothing that was there.
    targets = [fake_wiki.redirects.get(title, title) for title in fake_wiki.fetched]
    assert len(set(targets) & set(fake_wiki.pages)) == 60
    assert len([t for t in targets if t in fake_wiki.pages]) == 60


def test_a_second_crawl_fetches_only_what_changed(
    fake_wiki: FakeWiki, crawl_into: Crawl, tmp_path: Path
) -> None:
    fake_wiki.pages = {f"EP{n:03}": (n, episode(f"Plot {n}.")) for n in range(1, 61)}
    crawl_into(["EP"])
    fake_wiki.pages["EP007"] = (1007, episode("A better plot."))
    fake_wiki.pages["EP061"] = (61, episode("A new one."))
    (tmp_path / "EP009.txt").unlink()
    outcomes = crawl_into(["EP"])
    assert {c: o for c, o in outcomes.items() if o is not Outcome.UNCHANGED} == {
        "EP007": Outcome.CHANGED,
        "EP009": Outcome.NEW,
        "EP061": Outcome.NEW,
    }
    assert len(outcomes) == 61
    assert [title for title in fake_wiki.fetched if title in fake_wiki.pages] == [
        "EP007",
        "EP009",
        "EP061",
    ]
    assert (tmp_path / "EP007.txt").read_text() == "A better plot.\n"
    assert index(tmp_path)["EP007"]["revision"] == 1007


def test_a_limit_asks_for_no_more_than_it_needs(fake_wiki: FakeWiki, crawl_into: Crawl) -> None:
    fake_wiki.pages = {f"EP{n:03}": (n, episode("A plot.")) for n in range(1, 61) if n != 2}
    assert sorted(crawl_into(["EP", "AG"], 3)) == ["EP001", "EP003", "EP004"]
    assert max(fake_wiki.fetched) == "EP004"


def test_a_page_without_a_plot_is_told_and_not_kept(
    fake_wiki: FakeWiki, crawl_into: Crawl, tmp_path: Path
) -> None:
    fake_wiki.pages = {"EP001": (1, "A stub."), "EP002": (1, episode("A plot."))}
    assert crawl_into(["EP"]) == {"EP001": Outcome.NO_PLOT, "EP002": Outcome.NEW}
    assert list(index(tmp_path)) == ["EP002"]
    assert not (tmp_path / "EP001.txt").exists()


def test_a_refusal_midway_keeps_what_came_before(
    fake_wiki: FakeWiki, crawl_into: Crawl, tmp_path: Path
) -> None:
    fake_wiki.pages = {f"EP{n:03}": (n, episode("A plot.")) for n in range(1, 61)}
    fake_wiki.faults = [None, Answer(403)]
    with pytest.raises(WikiRefusedError):
        crawl_into(["EP"])
    assert len(index(tmp_path)) == 50
    assert len(list(tmp_path.glob("*.txt"))) == 50
    crawl_into(["EP"])
    assert len(index(tmp_path)) == 60
    assert "EP050" not in fake_wiki.fetched


# --- saved pages --------------------------------------------------------------------------

HTML = """\
<!DOCTYPE html><html><head><title>EP001 - Bulbapedia</title>
<script>mw.config.set({"wgPageName":"EP001_\\u00e9","wgRevisionId":2735701});</script>
<link rel="canonical" href="https://bulbapedia.bulbagarden.net/wiki/EP001_%C3%A9"/></head>
<body><div class="mw-parser-output"><p><b>A Day Out!</b> is an episode.</p>
<h2><span class="mw-headline" id="Plot">Plot</span></h2><p>Ash wakes up.</p><h2>End</h2></div>
<li id="lastmod"> This page was last edited on 5 January 2018, at 17:18.</li></body></html>
"""


def test_a_saved_page_tells_title_url_revision_and_date(tmp_path: Path) -> None:
    (tmp_path / "saved page.html").write_text(HTML, encoding="utf-8")
    folder = CorpusFolder(tmp_path / "out")
    assert list(collect(saved_files([tmp_path]), folder)) == [Episode("EP001 é", Outcome.NEW)]
    assert (tmp_path / "out/EP001 é.txt").read_text() == "Ash wakes up.\n"
    assert index(tmp_path / "out")["EP001 é"] == {
        "id": "EP001 é",
        "title": "A Day Out!",
        "source": "Bulbapedia",
        "url": "https://bulbapedia.bulbagarden.net/wiki/EP001_%C3%A9",
        "revision": 2735701,
        "date": "2018-01-05",
        "license": "CC BY-NC-SA 2.5",
    }


def test_a_saved_page_of_another_wiki_is_not_bulbapedias(tmp_path: Path) -> None:
    link = '<link rel="license" href="https://creativecommons.org/licenses/by-sa/4.0/deed.en"/>'
    page = HTML.replace("bulbapedia.bulbagarden.net", "x.example")
    (tmp_path / "a.html").write_text(
        page.replace("<script>", f"{link}<script>").replace("Plot", "Handlung"), encoding="utf-8"
    )
    (tmp_path / "b.html").write_text(page.replace("EP001", "EP002"), encoding="utf-8")
    base = "<siteinfo><base>https://x.example/wiki/Main</base></siteinfo>"
    (tmp_path / "c.xml").write_text(
        f"<mediawiki>{base}<page><title>C</title><revision><id>1</id><text>==Handlung==\nC.</text>"
        "</revision></page></mediawiki>"
    )
    folder = CorpusFolder(tmp_path / "out")
    list(collect(saved_files([tmp_path]), folder, sections=("Handlung", "Plot")))
    origins = {i: (e["source"], e.get("license")) for i, e in index(tmp_path / "out").items()}
    assert origins == {
        "EP001 é": ("x.example", "CC BY-SA 4.0"),
        "EP002 é": ("x.example", "licence not stated"),
        "C": ("x.example", "licence not stated"),
    }


def test_a_fragment_is_known_by_its_file(tmp_path: Path) -> None:
    path = tmp_path / "EP001.html"
    path.write_text("<h2>Plot</h2><p>Ash wakes up.</p>")
    list(collect([path], CorpusFolder(tmp_path)))
    assert index(tmp_path)["EP001"] == {
        "id": "EP001",
        "title": "EP001",
        "source": "Bulbapedia",
        "license": "CC BY-NC-SA 2.5",
    }


@pytest.mark.parametrize("name", ["EP001.wiki", "EP001.wikitext", "EP001", "EP001.txt"])
def test_wikitext_is_known_by_its_name_or_its_beginning(tmp_path: Path, name: str) -> None:
    path = tmp_path / "in" / name
    path.parent.mkdir()
    path.write_text(episode("{{Ash}} wakes up."), encoding="utf-8")
    list(collect([path], CorpusFolder(tmp_path)))
    assert (tmp_path / "EP001.txt").read_text() == "Ash wakes up.\n"


@pytest.mark.parametrize("name", ["export.xml", "export"])
def test_an_export_gives_all_its_episodes(tmp_path: Path, name: str) -> None:
    pages = {
        "EP001": episode("One."),
        "EP002": episode("Two &amp;amp; more."),
        "EP275": "#REDIRECT [[AG001]]",
        "Ash": "A boy.",
    }
    xml = "".join(
        f"<page><title>{title}</title><revision><id>{number}</id><text>{text}</text></revision>"
        "</page>"
        for number, (title, text) in enumerate(pages.items(), start=1)
    )
    path = tmp_path / name
    path.write_text(f"<mediawiki>{xml}</mediawiki>", encoding="utf-8")
    outcomes = {e.code: e.outcome for e in collect([path], CorpusFolder(tmp_path))}
    assert outcomes == {"EP001": Outcome.NEW, "EP002": Outcome.NEW, "Ash": Outcome.NO_PLOT}
    assert (tmp_path / "EP002.txt").read_text() == "Two & more.\n"
    assert index(tmp_path)["EP002"]["revision"] == 2


def test_a_folder_gives_the_pages_in_it_and_nothing_else(tmp_path: Path) -> None:
    for name in ["b.html", "a.wiki", "NOTE.txt", "c.XML", "d.png", "index.jsonl"]:
        (tmp_path / name).touch()
    assert [p.name for p in saved_files([tmp_path, Path("x.txt")])] == [
        "a.wiki",
        "b.html",
        "c.XML",
        "x.txt",
    ]


def test_a_broken_export_keeps_nothing_of_its_batch_but_breaks_nothing(tmp_path: Path) -> None:
    (tmp_path / "export.xml").write_text("<mediawiki><page><title>EP001</title>")
    with pytest.raises(WikiError):
        list(collect([tmp_path / "export.xml"], CorpusFolder(tmp_path / "out")))


def test_a_limit_of_saved_pages(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"EP{number:03}.html").write_text("<h2>Plot</h2><p>A plot.</p>")
    folder = CorpusFolder(tmp_path / "out")
    assert len(list(collect(saved_files([tmp_path]), folder, limit=3))) == 3


def test_real_pages_give_sixty_episodes(shared_data: Path, tmp_path: Path) -> None:
    files = saved_files([shared_data / "bulbapedia/html2018"])
    outcomes = [e.outcome for e in collect(files, CorpusFolder(tmp_path))]
    assert outcomes == [Outcome.NEW] * 60
    entries = index(tmp_path)
    assert list(entries) == [f"EP{n:03}" for n in range(1, 61)]
    assert entries["EP039"]["title"] == "Pikachu's Goodbye"
    for code, entry in entries.items():
        assert entry["url"] == f"https://bulbapedia.bulbagarden.net/wiki/{code}"
        assert isinstance(entry["revision"], int)
        assert str(entry["date"]).startswith("201")
