"""Crawling other MediaWiki sites, in the layouts of Wikipedia and Fandom."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from corpus.articles import SECTIONS, crawl
from corpus.attribution import of_folder
from corpus.crawling import Episode, Outcome
from corpus.documents import CorpusFolder
from corpus.mediawiki import MediaWiki, WikiRefusedError

from .conftest import Answer, Clock, FakeWiki

Crawl = Callable[..., dict[str, Outcome]]


@pytest.fixture
def crawl_into(fake_wiki: FakeWiki, clock: Clock, tmp_path: Path) -> Crawl:
    def crawl_once(
        *categories: str,
        sections: tuple[str, ...] = SECTIONS,
        subcategories: bool = False,
        limit: int | None = None,
    ) -> dict[str, Outcome]:
        fake_wiki.requests.clear()
        wiki = MediaWiki(fake_wiki.url, "me@example.org", sleep=clock.sleep, clock=clock)
        episodes: list[Episode] = list(
            crawl(
                wiki,
                wiki.site(),
                CorpusFolder(tmp_path),
                categories,
                sections,
                subcategories=subcategories,
                limit=limit,
            )
        )
        assert len({e.code for e in episodes}) == len(episodes)
        return {e.code: e.outcome for e in episodes}

    return crawl_once


def index(folder: Path) -> dict[str, dict[str, object]]:
    lines = (folder / "index.jsonl").read_text(encoding="utf-8").splitlines()
    return {entry["id"]: entry for entry in map(json.loads, lines)}


WIKIPEDIA = """\
{{Short description|First episode}}
{{Infobox television episode
| title = The Lamp
| image = [[File:Lamp.jpg|thumb]]
}}
"'''The Lamp'''" is the [[pilot (TV)|pilot]].<ref name="a">{{cite web|title=No|url=http://x}}</ref>

== Plot ==
{{Further|The keeper}}
[[File:Lamp.jpg|thumb|right|A [[lamp]] in {{convert|3|ft|m}}]]
In {{nowrap|May 1912}}, the keeper{{efn|A note.|name=n}} {{lang|fr|Jean}}{{'s}} boat sinks \
{{convert|3|mi|km}} off the [[Brittany|Breton]] coast.{{citation needed|date=May 2020}}\
{{sfn|Smith|2001|p=3}}<ref>{{cite book|last=Smith}}</ref>{{rp|12}}
{| class="wikitable"
! Role !! Actor
|-
| Jean || Nobody
|}
He writes:
{{Blockquote|The sea is calm{{snd}}too calm.|Jean}}
{{nihongo|Hikari|光|light}} answers.{{clarify|date=May 2010}}

=== Epilogue ===
The lamp is lit&nbsp;again.{{#if:x|y|z}}

== Cast ==
* Nobody
"""

FANDOM = """\
{{Infobox Episode|name=The Lamp|season=1}}
{{Quote|Who put out the light?|Jean}}
The first episode.

==Summary==
{{Quote|Who put out the light?|Jean|The Lamp}}
[[File:Lamp.png|250px|thumb|Jean]]
[[Jean]] and [[Marie Le Goff|Marie]] row out.<ref>{{Ref/Episode|1}}</ref>

Marie finds {{w|Breton cake|a cake}}.
<gallery>
Lamp.png|A lamp
</gallery>

==Trivia==
* None.
[[Category:Episodes]]
"""


def test_an_article_in_wikipedias_layout(
    fake_wiki: FakeWiki, crawl_into: Crawl, tmp_path: Path
) -> None:
    fake_wiki.pages = {"The Lamp (TV)": (12, WIKIPEDIA)}
    fake_wiki.categories = {"Pilots": ["The Lamp (TV)"]}
    assert crawl_into("Pilots") == {"The Lamp (TV)": Outcome.NEW}
    assert (tmp_path / "The Lamp (TV).txt").read_text(encoding="utf-8") == (
        "In May 1912, the keeper Jean's boat sinks 3 mi off the Breton coast.\n\n"
        "He writes:\n\n"
        "The sea is calm \N{EN DASH} too calm.\n\n"
        "Hikari answers.\n\n"
        "The lamp is lit\N{NO-BREAK SPACE}again.\n"
    )
    assert index(tmp_path) == {
        "The Lamp (TV)": {
            "id": "The Lamp (TV)",
            "title": "The Lamp (TV)",
            "source": "A Wiki",
            "url": "https://wiki.example/wiki/The Lamp (TV)",
            "revision": 12,
            "date": "2024-05-06T07:08:09Z",
            "license": "CC BY-SA 4.0",
        }
    }


def test_an_article_in_fandoms_layout(
    fake_wiki: FakeWiki, crawl_into: Crawl, tmp_path: Path
) -> None:
    fake_wiki.pages = {"The Lamp": (12, FANDOM)}
    fake_wiki.categories = {"Episodes": ["The Lamp"]}
    fake_wiki.site["rightsinfo"] = {"url": "https://www.fandom.com/licensing", "text": "CC-BY-SA"}
    crawl_into("Category:Episodes")
    assert (tmp_path / "The Lamp.txt").read_text() == (
        "Jean and Marie row out.\n\nMarie finds a cake.\n"
    )
    licence = index(tmp_path)["The Lamp"]["license"]
    assert "To be shared alike" in of_folder(tmp_path)
    assert licence == "CC-BY-SA (https://www.fandom.com/licensing)"


def test_texts_of_a_wiki_that_states_no_licence_are_not_taken_for_ones_own(
    fake_wiki: FakeWiki, crawl_into: Crawl, tmp_path: Path
) -> None:
    fake_wiki.pages = {"The Lamp": (12, FANDOM)}
    fake_wiki.categories = {"Episodes": ["The Lamp"]}
    fake_wiki.site["rightsinfo"] = {"url": "", "text": ""}
    crawl_into("Episodes")
    first = of_folder(tmp_path).splitlines()[0]
    assert first == "A Wiki (https://wiki.example), licence not stated"


def test_a_section_is_looked_for_by_the_names_given_in_their_order(
    fake_wiki: FakeWiki, crawl_into: Crawl, tmp_path: Path
) -> None:
    text = "==Short==\nA.\n==Plot==\nB.\n==What_happens ==\nC."
    fake_wiki.pages = {"X": (1, text), "Y": (1, "==short==\nA."), "Z": (1, "==Plot==\nB.")}
    fake_wiki.categories = {"E": ["X", "Y", "Z"]}
    outcomes = crawl_into("E", sections=("what happens", "Short"))
    assert outcomes == {"X": Outcome.NEW, "Y": Outcome.NEW, "Z": Outcome.NO_PLOT}
    assert (tmp_path / "X.txt").read_text() == "C.\n"
    assert (tmp_path / "Y.txt").read_text() == "A.\n"


def test_a_real_article_without_a_plot(
    shared_data: Path, fake_wiki: FakeWiki, crawl_into: Crawl, tmp_path: Path
) -> None:
    parsed = json.loads((shared_data / "mediawiki_api/parse.json").read_bytes())["parse"]
    fake_wiki.pages = {parsed["title"]: (1, parsed["wikitext"])}
    fake_wiki.categories = {"Writers": [parsed["title"]]}
    assert crawl_into("Writers") == {"Douglas Adams": Outcome.NO_PLOT}
    assert crawl_into("Writers", sections=("Early life",)) == {"Douglas Adams": Outcome.NEW}
    text = (tmp_path / "Douglas Adams.txt").read_text(encoding="utf-8")
    assert text.startswith(
        "Adams was born on 11 March 1952 to Janet (née Donovan; 1927\N{EN DASH}2016) and "
        "Christopher Douglas Adams (1927\N{EN DASH}1985) in Cambridge, England. The following year"
    )
    assert not any(mark in text for mark in ("[[", "{{", "}}", "<ref", "Harvnb", "Webb 2005"))
    assert "tall (1.83\N{NO-BREAK SPACE}m) by age 12" in text
    assert "\n\nAdams attended Primrose Hill Primary School" in text  # the subsection


def test_only_articles_count_and_each_once(fake_wiki: FakeWiki, crawl_into: Crawl) -> None:
    fake_wiki.pages = dict.fromkeys(("A", "B", "Talk:A", "File:A.png", "Deep"), (1, "==Plot==\nA."))
    fake_wiki.redirects = {"Old": "A"}
    fake_wiki.categories = {
        "One": ["A", "Talk:A", "File:A.png", "Old", "Category:Two"],
        "Two": ["A", "B", "Category:Three"],
        "Three": ["Deep", "Category:One"],
    }
    assert list(crawl_into("One")) == ["A"]
    assert list(crawl_into("One", "Category:Two")) == ["A", "B"]
    assert sorted(crawl_into("One", subcategories=True)) == ["A", "B", "Deep"]
    assert crawl_into("None such") == {}


def test_only_what_changed_is_fetched_again(
    fake_wiki: FakeWiki, crawl_into: Crawl, tmp_path: Path
) -> None:
    titles = [f"Episode {n}" for n in range(1300)]
    fake_wiki.pages = {title: (1, f"==Plot==\n{title}.") for title in titles}
    fake_wiki.categories = {"E": titles}
    assert list(crawl_into("E").values()) == [Outcome.NEW] * 1300
    assert len(fake_wiki.requests) == 1 + 3 + 26  # siteinfo, members, texts
    assert list(crawl_into("E").values()) == [Outcome.UNCHANGED] * 1300
    assert len(fake_wiki.requests) == 1 + 3
    fake_wiki.pages["Episode 7"] = (2, "==Plot==\nBetter.")
    outcomes = crawl_into("E")
    assert [t for t, o in outcomes.items() if o is not Outcome.UNCHANGED] == ["Episode 7"]
    assert outcomes["Episode 7"] is Outcome.CHANGED
    assert (tmp_path / "Episode 7.txt").read_text() == "Better.\n"
    assert fake_wiki.fetched == ["Episode 7"]


def test_a_limit_ends_the_listing_too(fake_wiki: FakeWiki, crawl_into: Crawl) -> None:
    titles = [f"E{n}" for n in range(30)]
    fake_wiki.pages = dict.fromkeys(titles, (1, "==Plot==\nA."))
    fake_wiki.categories = {"E": titles}
    fake_wiki.members_per_answer = 10
    assert list(crawl_into("E", limit=15)) == titles[:15]
    assert [r.get("generator") for r in fake_wiki.requests] == [
        None,
        "categorymembers",
        "categorymembers",
        None,
    ]


def test_long_titles_in_other_scripts_fit_into_an_address(
    fake_wiki: FakeWiki, crawl_into: Crawl
) -> None:
    titles = [f"{'Серия ' * 10}{n}" for n in range(60)]
    fake_wiki.pages = dict.fromkeys(titles, (1, "==Plot==\nA."))
    fake_wiki.categories = {"E": titles}
    assert sorted(crawl_into("E")) == sorted(titles)
    assert sorted(fake_wiki.fetched) == sorted(titles)
    assert max(map(len, fake_wiki.paths)) < 8000


def test_a_refusal_midway_keeps_what_came_before(
    fake_wiki: FakeWiki, crawl_into: Crawl, tmp_path: Path
) -> None:
    titles = [f"E{n:02}" for n in range(60)]
    fake_wiki.pages = dict.fromkeys(titles, (1, "==Plot==\nA."))
    fake_wiki.categories = {"E": titles}
    fake_wiki.faults = [None, None, None, Answer(403)]
    with pytest.raises(WikiRefusedError):
        crawl_into("E")
    assert sorted(index(tmp_path)) == titles[:50]
    assert list(crawl_into("E").values()).count(Outcome.NEW) == 10


def test_titles_that_are_no_file_names_and_the_one_that_is_taken(
    fake_wiki: FakeWiki, crawl_into: Crawl, tmp_path: Path
) -> None:
    titles = ["Who?", "A/B", "...", "Attribution", "ATTRIBUTION"]
    fake_wiki.pages = {title: (1, f"==Plot==\nOf {title}") for title in titles}
    fake_wiki.categories = {"E": titles}
    crawl_into("E")
    assert len(list(tmp_path.glob("*.txt"))) == 5
    assert not [p for p in tmp_path.glob("*.txt") if p.name.casefold() == "attribution.txt"]
    assert set(crawl_into("E").values()) == {Outcome.UNCHANGED}
