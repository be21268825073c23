import re
from html import escape, unescape
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from hypothesis import given
from hypothesis import strategies as st

from corpus.plot import (
    plot_from_html,
    plot_from_wikitext,
    template_argument,
    title_from_html,
    title_from_wikitext,
)

PLOT = """\
Ash and his friends meet Misty's Togepi. This is Pikachu's 100th win, and Team Rocket is a \
Fire-type too far: "Prepare for trouble!"

A storm comes up on Route 3, so they hide in the cave with a Poké Ball & a Charmander.

After the storm, everybody — even Meowth — goes home.

They sing two lines,
and then a third."""

THUMB = """\
<div class="thumb tright"><div class="thumbinner"><a class="image" href="/wiki/File:A.png"><img \
alt=""/></a> <div class="thumbcaption">Everybody, going home</div></div></div>"""

# January 2018: a spoiler table, ads and scripts inside the body, captions, no edit links.
HTML_2018 = f"""\
<html><head><title>EP001 - Bulbapedia</title></head><body>
<div id="bodyContent"><div id="mw-content-text"><script>var ad = 1;</script>
<p><b>A Day Out!</b> (Japanese: <b>おでかけ</b>) is an episode.
</p>
<table><tr><td><b>Spoiler warning:</b> major plot details.</td></tr></table>
<div id="toc" class="toc"><div id="toctitle"><h2>Contents</h2></div>
<ul><li><a href="#Plot"><span class="toctext">Plot</span></a></li></ul></div>
<h2><span class="mw-headline" id="Blurb">Blurb</span></h2>
<p><i>A teaser.</i></p>
<h2><span class="mw-headline" id="Plot">Plot</span></h2>
<dl><dd><i>Main article: <a href="/wiki/X">Something else</a></i></dd></dl>
<p><a href="/wiki/Ash">Ash</a> and <a href="/wiki/F">his friends</a> meet Misty's
<a href="/wiki/Togepi" title="Togepi">Togepi</a>. This is Pikachu's 100<sup>th</sup> win,<sup \
id="cite_ref-1" class="reference"><a href="#cite_note-1">[1]</a></sup> and Team Rocket is a
<a href="/wiki/Fire">Fire</a>-type too far: "<i>Prepare for <b>trouble</b>!</i>"
</p>
<div id="div-gpt-ad-1"><script>googletag.display();</script>Advertisement</div>
<p>A storm comes up on Route&#32;3, so they hide in the cave with a Poké&nbsp;Ball &amp; a \
<span class="explain" title="In the dub">Charmander</span><span class="explain" title="!">*</span>.
</p>
<h3><span class="mw-headline" id="After_the_storm">After the storm</span></h3>
{THUMB}
<!-- a comment -->
<p>After the storm, everybody — even Meowth — goes home.
</p><p><br />
</p>
<p>They sing two lines,<br />and then a third.<span style="display: none">hidden</span>
</p>
<ul class="gallery"><li>A picture</li></ul>
<h2><span class="mw-headline" id="Major_events">Major events</span></h2>
<ul><li>Nothing.</li></ul>
</div><div class="printfooter">Retrieved from the wiki</div></div></body></html>
"""
EDIT = '<span class="mw-editsection">[<a>edit</a><span> | </span><a>edit source</a>]</span>'
# The 2020s: mw-parser-output, a grid as spoiler box, edit links in headings.
HTML_2020 = (
    HTML_2018.replace('<div id="mw-content-text">', '<div class="mw-parser-output">')
    .replace("</h2>", f"{EDIT}</h2>")
    .replace("</h3>", f"{EDIT}</h3>")
    .replace("<table><tr><td>", '<div style="display: grid"><div>')
    .replace("</td></tr></table>", "</div></div>")
)
# MediaWiki 1.42 and later: the heading bears the id, in a div of its own, beside the edit link.
HTML_2024 = re.sub(
    r'<(h[23])><span class="mw-headline" id="(\w+)">(.*?)</span>.*?</h[23]>',
    rf'<div class="mw-heading mw-heading2"><\1 id="\2">\3</\1>{EDIT}</div>',
    HTML_2020,
).replace(THUMB, '<figure><img alt=""/><figcaption>Everybody, going home</figcaption></figure>')
# The mobile skin puts each section into an element of its own.
HTML_MOBILE = re.sub(
    r"(<h2><span.*?</h2>)(.*?)(?=<h2><span|</div><div class=.printfooter)",
    r'\1<section class="mf-section-1 collapsible-block"><div class="mf-collapsible-content">'
    r"\2</div></section>",
    HTML_2020,
    flags=re.DOTALL,
)

WIKITEXT = """\
{{EpicodePrevNext|prevcode=None|prevtitle=|nextcode=EP002|nexttitle=Another Day}}
{{EpisodeInfobox
|epcode=EP001
|title_en=A {{p|Day}} Out!
}}
'''A Day Out!''' is an episode.
{{spoilers}}

==Blurb==
''A teaser.''

== Plot ==
{{main|Something else}}
[[File:Ash.png|thumb|left|220px|{{Ash}} and [[Misty (anime)|Misty]], in a ''caption'']]
{{Ash}} and {{ashfr}} meet Misty's {{TP|Misty|Togepi}}. This is {{AP|Pikachu}}'s
100<sup>th</sup> win,<ref name="a">A {{p|note}}</ref> and {{TRT}} is a {{type|Fire}} too far: \
"''Prepare for '''trouble'''!''"{{tt|*|In the dub}}

A [[weather|storm]] comes up on {{rt|3|Kanto}}, so they hide in [[:Category:Caves|the cave]] with \
a [[Poké Ball]] &amp; a {{tt|Charmander|In the dub}}.<ref name="a" />

===After the {{m|storm}}===
[[File:Home.png|thumb|Everybody, going home]]
After the [[storm]], <!-- who? -->everybody — even {{MTR}} — goes {{wp|House|home}}.
{{incomplete|section|needs more}}
{| class="wikitable"
| A || {{p|table}}
|}

{{TableHeader|Kanto}}
{{TableRow|EP001|Pidgey|A bird.}}
|-
|}

They sing {{m|Sing|two}} lines,<br />and then a {{rf|third}}.
{{endspoilers}}

==Major events==
* Nothing.

[[Category:Episodes]]
[[de:Episode]]
"""


def html_plot(html: str) -> str:
    return plot_from_html(BeautifulSoup(html, "lxml")).replace("\xa0", " ")


@pytest.mark.parametrize(
    "html",
    [HTML_2018, HTML_2020, HTML_2024, HTML_MOBILE],
    ids=["2018", "2020", "2024", "mobile"],
)
def test_html_of_each_era_gives_exactly_the_plot(html: str) -> None:
    assert html_plot(html) == PLOT


def test_wikitext_gives_exactly_the_plot() -> None:
    assert plot_from_wikitext(WIKITEXT) == PLOT


def test_the_eras_differ() -> None:
    """The pages above are made by replacing: each must have found something to replace."""
    assert len({HTML_2018, HTML_2020, HTML_2024, HTML_MOBILE}) == 4
    assert HTML_2024.count("mw-heading2") == 4
    assert HTML_MOBILE.count("collapsible-block") == 3


def test_synopsis_is_another_name() -> None:
    assert html_plot(HTML_2018.replace('"Plot">Plot', '"Synopsis">Synopsis')) == PLOT
    assert plot_from_wikitext(WIKITEXT.replace("== Plot ==", "==Synopsis==")) == PLOT


def test_plot_is_preferred_to_a_synopsis_before_it() -> None:
    assert plot_from_wikitext(WIKITEXT.replace("==Blurb==", "==Synopsis==")) == PLOT
    assert html_plot(HTML_2018.replace('"Blurb">Blurb', '"Synopsis">Synopsis')) == PLOT


def test_every_part_of_a_compilation_counts() -> None:
    wikitext = "==One==\n===Plot===\nA.\n====More====\nB.\n===Cast===\nX.\n==Two==\n===Plot===\nC."
    assert plot_from_wikitext(wikitext) == "A.\n\nB.\n\nC."
    html = "<h2>One</h2><h3>Plot</h3><p>A.</p><h4>More</h4><p>B.</p><h3>Cast</h3><p>X.</p>"
    html += "<h2>Two</h2><h3>Plot</h3><p>C.</p>"
    assert html_plot(html) == "A.\n\nB.\n\nC."


@pytest.mark.parametrize("page", ["", "A story.", "==Trivia==\nIt has no plot.", "#REDIRECT [[X]]"])
def test_a_page_without_a_plot_gives_nothing(page: str) -> None:
    assert plot_from_wikitext(page) == ""
    assert html_plot(f"<h2>Trivia</h2><p>{page}</p>") == ""


def test_lists_and_quotations_in_a_plot_are_paragraphs() -> None:
    assert plot_from_wikitext("==Plot==\nFirst:\n* one\n* {{p|Mew}} two\n: three\nAnd last.") == (
        "First:\n\none\n\nMew two\n\nthree\n\nAnd last."
    )
    html = "<h2>Plot</h2><p>First:</p><ul><li>one</li><li>two</li></ul>"
    html += "<dl><dd>three</dd></dl><blockquote><p>four</p></blockquote>"
    assert html_plot(html) == "First:\n\none\n\ntwo\n\nthree\n\nfour"


@pytest.mark.parametrize(
    ("wikitext", "text"),
    [
        ("an {{an|Officer Jenny}}", "an Officer Jenny"),
        ("the {{OBP|Timmy|EP053}} boy", "the Timmy boy"),
        ("a {{ball|Great}} now", "a Great Ball now"),
        ("{{ash}}, {{Type|Ice}}", "ash, Ice-type"),
        ("see {{color2|000|Breeding|bred}} one", "see bred one"),
        ("a {{p|{{an|Mew}}|new {{Ash}}}} one", "a new Ash one"),
        ("it [https://x.example is] [https://x.example] so", "it is so"),
        ("an ''unclosed one", "an unclosed one"),
        ("l'''Aquila''' d'Oro", "lAquila d'Oro"),
        ("<nowiki>[[raw]]</nowiki> text", "[[raw]] text"),
        ("[[Image:A.png]]x [[category:Y]]z", "x z"),
        ("x {{citation needed}}.", "x ."),
    ],
)
def test_inline_markup_displays_as_on_the_wiki(wikitext: str, text: str) -> None:
    assert plot_from_wikitext(f"==Plot==\n{wikitext}") == text


words = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8)
paragraphs = st.lists(words, min_size=1, max_size=8).map(" ".join)
furniture = st.sampled_from(
    [
        "",
        "<!-- <p>comment</p> -->",
        '<div class="thumb"><div><p>caption</p></div></div>',
        "<h3>Heading</h3>",
        "<table><tr><td><p>box</p></td></tr></table>",
        "<script>document.write('<p>ad</p>')</script>",
        "<p></p>",
    ]
)


@given(st.lists(st.tuples(furniture, paragraphs), min_size=1, max_size=6))
def test_every_paragraph_comes_once_whatever_stands_between(
    body: list[tuple[str, str]],
) -> None:
    html = "".join(f"{between}<p>{escape(text)}\n</p>" for between, text in body)
    html = f"<h2>Blurb</h2><p>no</p><h2>Plot</h2>{html}<h2>Trivia</h2><p>no</p>"
    assert plot_from_html(BeautifulSoup(html, "lxml")) == "\n\n".join(text for _, text in body)


@given(st.lists(paragraphs, min_size=1, max_size=6))
def test_plain_paragraphs_of_wikitext_come_as_they_are(texts: list[str]) -> None:
    wikitext = "==Plot==\n" + "\n\n".join(texts) + "\n==Trivia==\nno"
    assert plot_from_wikitext(wikitext) == "\n\n".join(texts)


@given(st.text(st.sampled_from("[]{}|='<>/*:\n abP")))
def test_no_markup_is_too_broken(text: str) -> None:
    plot_from_wikitext("==Plot==\n" + text)
    html_plot("<h2>Plot</h2>" + text)


_MARKUP = ["{{", "}}", "[[", "]]", "|", "=", "==", "\n", "<ref>", "</ref>", "<ref/>", "{|", "|}"]
_MARKUP += ["|-", "Plot", "File:", "efn", "lang", "convert", "blockquote", "nihongo", "#if:", "1"]
_MARKUP += ["'''", "*", ":", ";", "<!--", "-->", "<nowiki>", "<br>", "&nbsp;", "&#0;", "{{{", "}}}"]
_MARKUP += [
    "[http://x",
    "]",
    "<div style=",
    "</div>",
    "<table>",
    "{{!}}",
    "a b",
    "é",
    "\0",
    "\ud800",
]


@given(st.lists(st.sampled_from(_MARKUP) | st.text(max_size=3), max_size=40).map("".join))
def test_no_wikitext_is_too_broken(text: str) -> None:
    for page in (text, f"==Plot==\n{text}", f"==Plot==\n{text}\n==Cast==\n{text}"):
        plot_from_wikitext(page)
        plot_from_wikitext(page, ("Cast", "a b"))
        title_from_wikitext(page)
        template_argument(page, "efn", "1")


@pytest.mark.parametrize("opening", ["{{", "[[", "<div>", "{{{", "'''", "{|\n|", "* ", "<ref>"])
def test_no_nesting_is_too_deep(opening: str) -> None:
    plot_from_wikitext("==Plot==\nA. " + opening * 2000)


@pytest.mark.parametrize(
    ("wikitext", "text"),
    [
        ("x{{efn|A note.}}{{Efn|1=a=b}}{{sfn|Smith|2001|p=3}}{{r|a}}{{Cite_web|url=u|t}} y", "x y"),
        ("x{{citation needed|date=May 2020}}{{Verification needed|u}}{{who|date=May}} y", "x y"),
        ("x{{#tag:ref|A note.}}{{DISPLAYTITLE:X}}{{Infobox film|A}}{{Quote box|A}} y", "x y"),
        ("{{lang|fr|mot}}, {{lang-fr|mot}}, {{transl|ja|kotoba}}", "mot, mot, kotoba"),
        ("{{nihongo|Light|光|hikari}}, {{abbr|TV|television}}, {{ill|Ada|de}}", "Light, TV, Ada"),
        ("1912{{ndash}}14{{spaced ndash}}yes{{Mdash}}no", "1912\N{EN DASH}14 \N{EN DASH} yes—no"),
        ("{{convert|5|km|mi|abbr=on}} and {{cvt|3|ft}}", "5 km and 3 ft"),
        ("Ada{{'s}} [[Datei:A.png|mini|Text]][[Kategorie:B]]boat", "Ada's boat"),
        ("He says:\n{{Blockquote|Go!|Ada}}\nThey go.", "He says:\n\nGo!\n\nThey go."),
        ("{{Quote|Go!|Ada|The film}}\nThey go.", "They go."),
        ("{{Quote\n|Go!\n|Ada}}\n\nThey go.", "They go."),
        ("a {{lang|fr|2=mot}}, {{color|red|2=go=}}", "a mot, go="),
    ],
)
def test_templates_of_wikipedia_and_fandom(wikitext: str, text: str) -> None:
    assert plot_from_wikitext(f"==Plot==\n{wikitext}") == text


def test_titles() -> None:
    assert title_from_wikitext(WIKITEXT) == "A Day Out!"
    assert title_from_wikitext("None.\n==Plot==\n'''Not here'''") is None
    assert title_from_html(BeautifulSoup(HTML_2018, "lxml")) == "A Day Out!"
    assert title_from_html(BeautifulSoup(HTML_2020, "lxml")) == "A Day Out!"
    assert title_from_html(BeautifulSoup("<p>none</p>", "lxml")) is None
    assert template_argument(WIKITEXT, "EpisodeInfobox", "title_en") == "A Day Out!"
    assert template_argument(WIKITEXT, "EpicodePrevNext", "nextcode") == "EP002"
    assert template_argument(WIKITEXT, "EpicodePrevNext", "prevtitle") is None
    assert template_argument(WIKITEXT, "Other", "nextcode") is None


def by_regular_expressions(html: str) -> list[str]:
    """The plot's paragraphs, found without a parser: all p between two h2 of a real page."""
    start = html.index("</h2>", html.index('id="Plot"'))
    section = html[start : html.index("<h2", start)]
    section = re.sub(r'<sup[^>]*class="reference".*?</sup>', "", section, flags=re.DOTALL)
    found = re.findall(r"<p>(.*?)</p>", section, flags=re.DOTALL)
    texts = (" ".join(unescape(re.sub(r"<[^>]+>", "", p)).split()) for p in found)
    return [text for text in texts if text]


def test_real_pages_give_exactly_their_plots(shared_data: Path) -> None:
    pages = sorted((shared_data / "bulbapedia").glob("html*/*.html"))
    assert len(pages) == 61
    for path in pages:
        html = path.read_text(encoding="utf-8")
        plot = plot_from_html(BeautifulSoup(html, "lxml"))
        assert plot.split("\n\n") == by_regular_expressions(html), path.name
        assert not re.search(r"[<>\[\]{}|]", plot), path.name
