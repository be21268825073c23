import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.importers.source import Broken, Dropped, Text
from corpus.importers.wordpress import SOURCE
from corpus.importing import Policy

from .made import documents, items, made, survives

HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<rss version="2.0" xmlns:content="http://purl.org/rss/1.0/modules/content/"
    xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:wp="http://wordpress.org/export/1.2/">
<channel>
"""
FOOT = "</channel></rss>\n"


def post(content: str = "Hello.", number: int = 1, **fields: str) -> str:
    fields = {"post_type": "post", "status": "publish", "post_id": str(number)} | fields
    title = fields.pop("title", f"Post {number}")
    guid = fields.pop("guid", f"http://blog.example/?p={number}")
    rest = "".join(f"<wp:{name}>{escape(value)}</wp:{name}>\n" for name, value in fields.items())
    body = content.replace("]]>", "]]]]><![CDATA[>")
    return (
        f"<item><title>{escape(title)}</title><guid>{escape(guid)}</guid>\n"
        f"<dc:creator>ada</dc:creator><content:encoded><![CDATA[{body}]]></content:encoded>\n"
        f"{rest}</item>\n"
    )


def texts(folder: Path, *posts: str) -> list[Text]:
    path = made(folder, {"blog.xml": HEAD + "".join(posts) + FOOT}) / "blog.xml"
    found = items(path, SOURCE)
    assert all(isinstance(item, Text) for item in found)
    return [item for item in found if isinstance(item, Text)]


NAMES = [
    "64-block-test-data.xml",
    "sitetitle.wordpress.2025-01-19.000.xml",
    "theme-preview.xml",
    "themeunittestdata.wordpress.xml",
    "wordpressexport.xml",
]


@pytest.mark.parametrize("name", NAMES)
def test_real_exports_give_what_is_counted_in_them(shared_data: Path, name: str) -> None:
    path = shared_data / "wordpress" / name
    expected: list[tuple[str, bool]] = []
    for item in ElementTree.parse(path).iter("item"):
        known = {child.tag.rpartition("}")[2]: child.text or "" for child in item}
        if known["post_type"] in ("post", "page"):
            is_locked = bool(known.get("post_password"))
            expected.append((known["title"], known["status"] == "publish" and not is_locked))
    found = items(path, SOURCE)
    assert not [item for item in found if isinstance(item, Broken)]
    posts = [item for item in found if isinstance(item, Text)]
    assert [text.public for text in posts] == [is_public for _, is_public in expected]
    for text, (title, _) in zip(posts, expected, strict=True):
        if not re.search("[<&]|  ", title):
            assert text.title == (title.strip() or None)
        assert not re.search(r"\[/?(?:caption|gallery|embed)\b|</p>", text.text)


@pytest.mark.parametrize(
    "part", ["<!--more", "<!--", "[a x=", "[a ", "[/a", "[gallery", "[caption]", "<a", "\n "]
)
def test_what_never_ends_takes_no_hours(tmp_path: Path, part: str) -> None:
    assert len(texts(tmp_path, post(part * 100_000))) == 1


def test_what_is_known_of_a_post(tmp_path: Path) -> None:
    source = post(
        "<p>Hello.</p>",
        7,
        title="Fish &amp; <em>chips</em>",
        post_date_gmt="2024-05-06 07:08:09",
    )
    (text,) = texts(tmp_path, source)
    assert text == Text(
        text="Hello.",
        id="blog.example-7",
        title="Fish & chips",
        date=datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC),
        author="ada",
    )


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("a\nb\n\nc", "a\nb\n\nc"),
        ("a\r\nb\r\n\r\nc", "a\nb\n\nc"),
        ("a<br />\r\nb<br> \nc<br />\n\nd", "a\nb\nc\n\nd"),
        ("a\n\n<blockquote>b</blockquote>\n\nc\n\nd", "a\n\nb\n\nc\n\nd"),
        ("<ul>\n<li>a</li>\n<li>b</li>\n</ul>\nc", "a\nb\n\nc"),
        ('a <a\nhref="x"\n\nid="y">b</a>', "a b"),
        ("a\n<!--more-->\nb<!--nextpage-->c", "a\n\nb\n\nc"),
        ("a <!-- not ended", "a"),
        (
            '<!-- wp:paragraph {"a":1} -->\n<p>a\nb</p>\n<!-- /wp:paragraph -->\n\n'
            "<!-- wp:spacer /-->\n<!-- wp:list --><ul><!-- wp:list-item --><li>c</li>"
            "<!-- /wp:list-item --></ul><!-- /wp:list -->",
            "a b\n\nc",
        ),
        ('[caption id="x"]<img> words[/caption]a [gallery ids="1,2"] b', "a b"),
        ('[audio src="x"] a [audio src="y"][/audio] b', "a b"),
        ("[embed]https://example.org[/embed]a [vc_row][box color='red']b[/box]", "a b"),
        ("a [su_quote]b[/su_quote] [spacer /] [contact-form-7 id='1']c", "a b c"),
        ("[youtube=http://youtu.be/x?a&w=1]a [tweet https://example.org/1]", "a"),
        ('[wp_caption id="x"]<img> words[/wp_caption]a', "a"),
        ("a [sic] b [Laughs] c [self-made] d [/i] e", "a [sic] b [Laughs] c [self-made] d e"),
        ("See [1] and a[0].", "See [1] and a[0]."),
    ],
)
def test_contents(tmp_path: Path, content: str, text: str) -> None:
    assert texts(tmp_path, post(content))[0].text == text


@pytest.mark.parametrize(
    ("fields", "is_public"),
    [
        ({}, True),
        ({"status": "draft"}, False),
        ({"status": "pending"}, False),
        ({"status": "private"}, False),
        ({"status": "future"}, False),
        ({"post_password": "secret"}, False),
        ({"post_type": "page"}, True),
    ],
)
def test_what_is_public(tmp_path: Path, fields: dict[str, str], is_public: bool) -> None:
    assert texts(tmp_path, post(**fields))[0].public is is_public
    found, _ = documents(tmp_path, Policy())
    assert len(found) == is_public


def test_what_is_dropped(tmp_path: Path) -> None:
    kinds = [post(number=n, post_type=t) for n, t in enumerate(("attachment", "nav_menu_item"))]
    states = [post(number=n, status=s) for n, s in enumerate(("trash", "auto-draft", "inherit"))]
    path = made(tmp_path, {"blog.xml": HEAD + "".join(kinds + states) + FOOT})
    assert items(path, SOURCE) == [
        *[Dropped("no post or page")] * 2,
        *[Dropped("deleted or never written")] * 3,
    ]


def test_dates_of_drafts_are_none(tmp_path: Path) -> None:
    zero = "0000-00-00 00:00:00"
    (draft,) = texts(tmp_path, post(post_date_gmt=zero, post_date="2020-01-02 03:04:05"))
    assert draft.date == datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)
    (never,) = texts(tmp_path, post(post_date_gmt=zero, post_date=zero))
    assert never.date is None


def test_blogs_of_one_host_are_kept_apart(tmp_path: Path) -> None:
    ids = [
        text.id
        for text in texts(
            tmp_path,
            post(guid="http://host/a/?p=1"),
            post(guid="http://host/b/?p=1"),
            post(guid="http://host/2020/01/hello/"),
            post(guid="http://[broken"),
            post(guid=""),
        )
    ]
    assert ids == ["host/a-1", "host/b-1", "host-1", None, None]


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2"])
def test_dialects(tmp_path: Path, scheme: str, version: str) -> None:
    source = HEAD.replace(
        "http://wordpress.org/export/1.2", f"{scheme}://wordpress.org/export/{version}"
    )
    path = made(tmp_path, {"blog.xml": source + post("a") + FOOT})
    assert [item.text for item in items(path, SOURCE) if isinstance(item, Text)] == ["a"]


def test_a_broken_post_is_told_and_the_others_come(tmp_path: Path) -> None:
    broken = post("b", 2).replace("</title>", " & co</title>")
    path = made(tmp_path, {"blog.xml": HEAD + post("a", 1) + broken + post("c\x0b", 3) + FOOT})
    first, second, third = items(path, SOURCE)
    assert isinstance(first, Text) and isinstance(second, Broken) and isinstance(third, Text)
    assert (first.text, third.text) == ("a", "c")
    line = (HEAD + post("a", 1)).count("\n") + 1
    assert second.place.endswith(f"/blog.xml, line {line}")


MOMENTS = st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1))
PARAGRAPHS = st.lists(st.text("abc dé–&<", min_size=1).map(str.split).map(" ".join).filter(bool))


@given(st.lists(st.tuples(PARAGRAPHS.filter(bool), MOMENTS)))
def test_made_exports_come_back(
    tmp_path_factory: pytest.TempPathFactory, posts: list[tuple[list[str], datetime]]
) -> None:
    sources = [
        post(
            "\n\n".join(map(escape, paragraphs)),
            number,
            title=f"Post {number}",
            post_date_gmt=str(moment.replace(microsecond=0)),
        )
        for number, (paragraphs, moment) in enumerate(posts)
    ]
    found = texts(tmp_path_factory.mktemp("made"), *sources)
    assert [(t.text, t.title) for t in found] == [
        ("\n\n".join(paragraphs), f"Post {number}") for number, (paragraphs, _) in enumerate(posts)
    ]
    for text, (_, moment) in zip(found, posts, strict=True):
        assert text.date == moment.replace(microsecond=0, tzinfo=UTC)
        assert text.date.utcoffset() == timedelta()


@given(data=st.data())
def test_garbage_raises_nothing(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole = (HEAD + post("a [caption]<!--more--> b") + post(guid="http://[x") + FOOT).encode()
    cut = data.draw(st.integers(0, len(whole)))
    content = whole[:cut] + data.draw(st.binary())
    survives(made(tmp_path_factory.mktemp("made"), {"blog.xml": content}), SOURCE)
