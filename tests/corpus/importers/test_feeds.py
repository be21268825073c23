from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from corpus.importers import blogger, wordpress
from corpus.importers.feeds import SOURCE
from corpus.importers.source import Broken, Dropped, Text

from .made import documents, items, made, survives

RSS = """<?xml version="1.0"?>
<rss version="2.0" xmlns:content="http://purl.org/rss/1.0/modules/content/"
    xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:media="http://search.yahoo.com/mrss/">
<channel><title>Blog</title><item>%s</item></channel></rss>"""
ATOM = '<feed xmlns="http://www.w3.org/2005/Atom"><title>Blog</title><entry>%s</entry></feed>'
RDF = """<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"
    xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns="http://purl.org/rss/1.0/">
<item>%s</item></rdf:RDF>"""


def text(folder: Path, feed: str) -> Text:
    (item,) = items(made(folder, {"feed.xml": feed}), SOURCE)
    assert isinstance(item, Text)
    return item


def test_rss(tmp_path: Path) -> None:
    found = text(
        tmp_path,
        RSS
        % """<media:title>Not this.</media:title><title>A &amp;amp; B</title>
        <link>https://blog.example/a</link><guid isPermaLink="false">7</guid>
        <pubDate>Mon, 06 May 2024 07:08:09 +0000</pubDate><dc:creator>Ada</dc:creator>
        <description>Short.</description>
        <content:encoded><![CDATA[<p>Long.</p><p>Longer.</p>]]></content:encoded>""",
    )
    assert found == Text(
        text="Long.\n\nLonger.",
        id="https://blog.example/a 7",
        title="A & B",
        date=datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC),
        url="https://blog.example/a",
        author="Ada",
    )


def test_the_summary_stands_in_for_the_text(tmp_path: Path) -> None:
    assert text(tmp_path, RSS % "<description>&lt;b&gt;a&lt;/b&gt;</description>").text == "a"
    assert text(tmp_path, ATOM % "<summary type='html'>&lt;b&gt;a&lt;/b&gt;</summary>").text == "a"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("<content>a &lt;b&gt; c</content>", "a <b> c"),
        ("<content type='text'>a &lt;b&gt; c</content>", "a <b> c"),
        ("<content type='html'>&lt;p&gt;a&lt;p&gt;b</content>", "a\n\nb"),
        ("<content type='html'><![CDATA[<p>a<p>b]]></content>", "a\n\nb"),
        (
            "<content type='xhtml'><div xmlns='http://www.w3.org/1999/xhtml'><p>a<br/>b</p>"
            "<p>c</p></div></content>",
            "a\nb\n\nc",
        ),
        (
            "<content type='xhtml' xmlns:x='http://www.w3.org/1999/xhtml'><x:div><x:p>a</x:p>"
            "<x:p>c</x:p></x:div></content>",
            "a\n\nc",
        ),
    ],
)
def test_the_types_of_atom(tmp_path: Path, content: str, expected: str) -> None:
    assert text(tmp_path, ATOM % content).text == expected


def test_atom(tmp_path: Path) -> None:
    found = text(
        tmp_path,
        ATOM
        % """<title type="html">A &amp;amp; B</title><id>tag:a,2024:1</id>
        <link rel="self" href="https://blog.example/self"/><link href="https://blog.example/a"/>
        <author><name>Ada</name></author><updated>2024-05-06T07:08:09+00:00</updated>
        <content>a</content>""",
    )
    assert found == Text(
        text="a",
        id="tag:a,2024:1",
        title="A & B",
        date=datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC),
        url="https://blog.example/a",
        author="Ada",
    )


def test_rss_1_0(tmp_path: Path) -> None:
    source = (
        "<title>A</title><link>u</link><description>b</description><dc:date>2024-05-06</dc:date>"
    )
    found = text(tmp_path, RDF % source)
    assert (found.title, found.text, found.date) == ("A", "b", datetime(2024, 5, 6))


def test_items_without_text_and_broken_dates(tmp_path: Path) -> None:
    path = made(tmp_path / "rss", {"feed.rss": RSS % "<title>A</title><description/>"})
    assert items(path, SOURCE) == [Dropped("without text")]
    for date in ("yesterday", "Mon, 99 May 2024 07:08:09", "", "Mon, 06 May 99999 00:00:00 +9999"):
        source = f"<description>a</description><pubDate>{date}</pubDate>"
        assert text(tmp_path / "dates", RSS % source).date is None


def test_a_document_type_is_refused_in_words(tmp_path: Path) -> None:
    doctype = '<!DOCTYPE rss PUBLIC "-//Netscape//DTD RSS 0.91//EN" "http://localhost/rss.dtd">'
    feed = f'{doctype}<rss version="0.91"><channel><item><title>a</title></item></channel></rss>'
    found, report = documents(made(tmp_path, {"feed.xml": feed}))
    assert found == []
    assert [isinstance(b, Broken) and "document type" in b.message for b in report.broken] == [True]


def test_exports_of_other_importers_and_other_xml_are_not_feeds(tmp_path: Path) -> None:
    wordpress_export = (RSS % "").replace(
        "xmlns:dc=", 'xmlns:wp="http://wordpress.org/export/1.2/" xmlns:dc='
    )
    blogger_export = (ATOM % "").replace(
        ">", ' xmlns:blogger="http://schemas.google.com/blogger/2018">', 1
    )
    items(made(tmp_path / "a", {"a.xml": wordpress_export}), wordpress.SOURCE)
    items(made(tmp_path / "b", {"b.xml": blogger_export}), blogger.SOURCE)
    _, report = documents(made(tmp_path / "c", {"c.xml": "<opml><body/></opml>"}))
    assert report.unknown == {".xml": 1}


@given(
    posts=st.lists(
        st.tuples(
            st.text("abc dé–", min_size=1).map(str.split).map(" ".join).filter(bool),
            st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),
        ),
        min_size=1,
    )
)
def test_made_feeds_come_back(
    tmp_path_factory: pytest.TempPathFactory, posts: list[tuple[str, datetime]]
) -> None:
    channel = etree.Element("channel")
    for body, moment in posts:
        item = etree.SubElement(channel, "item")
        etree.SubElement(item, "description").text = body
        etree.SubElement(item, "pubDate").text = format_datetime(moment)
    feed = b"<rss>" + etree.tostring(channel) + b"</rss>"
    found = items(made(tmp_path_factory.mktemp("made"), {"feed.xml": feed}), SOURCE)
    assert [(t.text, t.date) for t in found if isinstance(t, Text)] == [
        (body, moment.replace(microsecond=0)) for body, moment in posts
    ]


@given(data=st.data(), whole=st.sampled_from([RSS, ATOM, RDF]))
def test_garbage_raises_nothing(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, whole: str
) -> None:
    inner = data.draw(st.text("<>/=abc &;'"))
    content = (whole % f"<title>{inner}</title><description>a</description>").encode()
    content = content[: data.draw(st.integers(0, len(content)))] + data.draw(st.binary())
    survives(made(tmp_path_factory.mktemp("made"), {"feed.xml": content}), SOURCE)
