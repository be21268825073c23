from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.importers.source import Dropped, Text
from corpus.importers.tumblr import SOURCE

from .made import documents, items, made, survives, zipped

XML = '<?xml version="1.0" encoding="UTF-8"?>\n<tumblr version="1.0"><posts>%s</posts></tumblr>'
PAGE = """<!DOCTYPE HTML>
<html><head><meta charset="utf-8"><link rel="stylesheet" type="text/css" href="style.css" /></head>
<body>%s<div id="footer"><span id="timestamp"> October 2nd, 2018 4:41pm </span>
<span class="tag">cats</span></div></body></html>"""
REBLOGGED = (
    '<p><a class="tumblr_blog" href="https://a.tumblr.com/post/1">a</a>:</p>\n<blockquote>'
    '<p><a class="tumblr_blog" href="https://b.tumblr.com/post/2">b</a>:</p>'
    "<blockquote><p>Theirs.</p></blockquote><p>Also theirs.</p></blockquote>"
)


def test_a_real_file(shared_data: Path) -> None:
    path = shared_data / "tumblr/posts/posts.xml"
    found = [item for item in items(path, SOURCE) if isinstance(item, Text)]
    assert [text.id for text in found] == [
        p.get("id") for p in ElementTree.parse(path).iter("post")
    ]
    assert [text.text for text in found] == ["Hello world", "A photo", "Just a test."]
    assert found[0].date == datetime(2020, 1, 1, 12)
    assert all(text.mine for text in found)


def test_pages_in_a_zip_in_a_zip(tmp_path: Path) -> None:
    page = PAGE % "<h1>Cats</h1><p>One.</p><p>Two.</p>"
    inner = zipped({"html/123.html": page, "style.css": "", "posts_index.html": "<html>"})
    export = zipped({"posts.zip": inner, "media/1.jpg": b"\xff\xd8", "payload-0.json": "[]"})
    found, report = documents(made(tmp_path, {"export.zip": export}))
    assert [(d.id, d.title, d.text, d.date, d.source, d.author_is_me) for d in found] == [
        ("tumblr-123", "Cats", "One.\n\nTwo.", "2018-10-02T16:41:00", "Tumblr", True)
    ]
    assert report.broken == []


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("<p>a</p><p>[[MORE]]</p><p>b</p>", "a\n\nb"),
        ("<p>See https://href.li/?https://example.org</p>", "See https://example.org"),
        ('<p>a</p><span class="tmblr-alt-text-helper">ALT</span>', "a"),
        (REBLOGGED + "<p>Mine.</p>", "Mine."),
        (REBLOGGED.replace('class="tumblr_blog"', "") + "<p>Mine.</p>", "Mine."),
        (
            REBLOGGED.replace(":</p>", ' <a class="tumblr_blog">c</a>:</p>') + "<p>Mine.</p>",
            "Mine.",
        ),
        ("<p><a href=x>This</a>:</p><p>Mine.</p>", "This:\n\nMine."),
        ("<blockquote>A saying.</blockquote><p>Mine.</p>", "A saying.\n\nMine."),
    ],
)
def test_what_is_the_owners(tmp_path: Path, body: str, text: str) -> None:
    post = f'<post id="1" type="regular"><regular-body><![CDATA[{body}]]></regular-body></post>'
    path = made(tmp_path, {"posts/posts.xml": XML % post, "posts/html/1.html": PAGE % body})
    assert [i.text for i in items(path, SOURCE) if isinstance(i, Text)] == [text, text]
    # The same post twice is one document.
    found, report = documents(path)
    assert [d.text for d in found] == [text]
    assert report.sources["Tumblr"].dropped == {"there already": 1}


@pytest.mark.parametrize(
    ("post", "reason"),
    [
        (
            f'<post type="regular"><regular-body><![CDATA[{REBLOGGED}]]></regular-body></post>',
            "reblogged",
        ),
        (
            '<post type="photo" reblogged-from-name="b"><photo-caption>Theirs.</photo-caption>'
            "</post>",
            "reblogged",
        ),
        ('<post type="quote"><quote-text>Not mine.</quote-text></post>', "quotation"),
        ('<post type="photo"><photo-url>u</photo-url></post>', "without text"),
        ('<post type="something"><a>b</a></post>', "without text"),
        ("<post/>", "without text"),
    ],
)
def test_what_is_dropped(tmp_path: Path, post: str, reason: str) -> None:
    assert items(made(tmp_path, {"posts.xml": XML % post}), SOURCE) == [Dropped(reason)]


def test_dates_and_what_is_private(tmp_path: Path) -> None:
    posts = (
        '<post id="1" type="link" date-gmt="2010-05-06 07:08:09 GMT" date="x" private="true" '
        'url="u"><link-text>T</link-text><link-description>a</link-description></post>'
        '<post id="2" type="answer" date="May 33rd, 2010"><answer>b</answer></post>'
    )
    first, second = items(made(tmp_path, {"posts.xml": XML % posts}), SOURCE)
    assert first == Text(
        text="a",
        id="1",
        title="T",
        date=datetime(2010, 5, 6, 7, 8, 9, tzinfo=UTC),
        url="u",
        mine=True,
        public=False,
    )
    assert isinstance(second, Text) and second.date is None


@given(st.lists(st.text("abc dé–", min_size=1).map(str.split).map(" ".join).filter(bool)))
def test_made_posts_come_back(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    posts = "".join(
        f'<post id="{number}" type="regular"><regular-body>{text}</regular-body></post>'
        for number, text in enumerate(texts)
    )
    path = made(tmp_path_factory.mktemp("made"), {"posts.xml": XML % posts})
    found = [item for item in items(path, SOURCE) if isinstance(item, Text)]
    assert [(t.id, t.text) for t in found] == [(str(n), text) for n, text in enumerate(texts)]


@given(data=st.data())
def test_garbage_raises_nothing(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    page = (PAGE % ("<h1>" + REBLOGGED)).encode()
    page = page[: data.draw(st.integers(0, len(page)))] + data.draw(st.binary())
    posts = (XML % '<post type="regular"><regular-body>a</regular-body></post>').encode()
    posts = posts[: data.draw(st.integers(0, len(posts)))] + data.draw(st.binary())
    files: dict[str, bytes | str] = {"html/1.html": page, "posts.xml": posts}
    survives(made(tmp_path_factory.mktemp("made"), files), SOURCE)
