import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from corpus.importers.blogger import SOURCE
from corpus.importers.source import Broken, Dropped, Text
from corpus.importing import Policy

from .made import documents, items, made, survives

ATOM = "http://www.w3.org/2005/Atom"
TAKEOUT = f'<feed xmlns="{ATOM}" xmlns:blogger="http://schemas.google.com/blogger/2018">\n'


def entry(
    kind: str = "POST", status: str = "LIVE", content: str = "Hello.", number: int = 1
) -> str:
    return (
        f"<entry><id>tag:blogger.com,1999:blog-1.post-{number}</id>"
        f"<blogger:type>{kind}</blogger:type><blogger:status>{status}</blogger:status>"
        f"<author><name>Ada</name><uri></uri><blogger:type>BLOGGER</blogger:type></author>"
        f"<title>A &amp;lt; B</title>"
        f"<content type='html'>{content}</content><blogger:metaDescription/>"
        f"<blogger:created>2024-05-01T07:08:09.123Z</blogger:created>"
        f"<published>2024-05-06T07:08:09.123Z</published><blogger:location/><category/>"
        f"<blogger:filename>/2024/05/a.html</blogger:filename><link/><enclosure/>"
        f"<blogger:trashed/></entry>\n"
    )


def test_a_real_export(shared_data: Path) -> None:
    path = shared_data / "blogger/bloggerexport.xml"
    kinds = re.findall(r"blogger/2008/kind#(\w+)", path.read_text())
    drafts = path.read_text().count("<app:draft>yes")
    found = items(path, SOURCE)
    assert not [item for item in found if isinstance(item, Broken)]
    texts = [item for item in found if isinstance(item, Text)]
    assert len(texts) == kinds.count("post") + kinds.count("page") == 4
    assert sum(not text.public for text in texts) == drafts == 2
    assert found.count(Dropped("comment")) == kinds.count("comment")
    assert found.count(Dropped("no post or page")) == len(kinds) - kinds.count("comment") - 4
    (windpipe,) = [text for text in texts if text.title == "The Steel Windpipe"]
    assert windpipe.text.startswith("It was a cold Winter's night.\n\nVery cold indeed.\n")
    assert windpipe.url == "http://youngdoctornotes.blogspot.com/2010/11/the-steel-windpipe.html"


def test_takeout(tmp_path: Path) -> None:
    path = made(
        tmp_path,
        {
            "Takeout/Blogger/Blogs/Mein Blog/feed.atom": TAKEOUT
            + entry(content="&lt;p&gt;a&lt;/p&gt;b&amp;amp;c")
            + entry(kind="PAGE", status="DRAFT", number=2)
            + entry(kind="COMMENT")
            + entry(status="SOFT_TRASHED")
            + entry().replace("<blogger:trashed/>", "<blogger:trashed>2026</blogger:trashed>")
            + entry(content="&lt;img src='x'&gt;")
            + "</feed>"
        },
    )
    first, page, *rest = items(path, SOURCE)
    assert first == Text(
        text="a\n\nb&c",
        id="blog-1.post-1",
        title="A < B",
        date=datetime(2024, 5, 6, 7, 8, 9, 123000, tzinfo=UTC),
        author="Ada",
    )
    assert isinstance(page, Text) and not page.public
    assert rest == [
        Dropped("comment"),
        Dropped("deleted"),
        Dropped("deleted"),
        Dropped("without text"),
    ]


@pytest.mark.parametrize("status", ["DRAFT", "SCHEDULED"])
def test_what_is_not_live_stays_out_unless_asked_for(tmp_path: Path, status: str) -> None:
    made(tmp_path, {"feed.atom": TAKEOUT + entry(status=status) + "</feed>"})
    assert documents(tmp_path, Policy())[0] == []
    assert len(documents(tmp_path, Policy(include_private=True))[0]) == 1


def test_the_entries_of_public_feeds_have_no_kind(tmp_path: Path) -> None:
    plain = re.sub(r"<blogger:.*</blogger:status>", "", entry())
    path = made(tmp_path, {"default.xml": TAKEOUT + plain + "</feed>"})
    assert len(items(path, SOURCE)) == 1


@given(
    posts=st.lists(
        st.tuples(
            st.text("abc dé<&", min_size=1).map(str.split).map(" ".join).filter(bool),
            st.datetimes(datetime(1999, 1, 1), timezones=st.just(UTC)),
        ),
        min_size=1,
    )
)
def test_made_exports_come_back(
    tmp_path_factory: pytest.TempPathFactory, posts: list[tuple[str, datetime]]
) -> None:
    feed = etree.fromstring(TAKEOUT + "</feed>")
    for text, moment in posts:
        made_entry = etree.SubElement(feed, f"{{{ATOM}}}entry")
        content = etree.SubElement(made_entry, f"{{{ATOM}}}content", type="text")
        content.text = text
        etree.SubElement(made_entry, f"{{{ATOM}}}published").text = moment.isoformat()
    path = made(tmp_path_factory.mktemp("made"), {"feed.atom": etree.tostring(feed)})
    found = items(path, SOURCE)
    assert [(t.text, t.date) for t in found if isinstance(t, Text)] == posts


@given(data=st.data())
def test_garbage_raises_nothing(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole = (TAKEOUT + entry() + entry(kind="") + "</feed>").encode()
    cut = data.draw(st.integers(0, len(whole)))
    content = whole[:cut] + data.draw(st.binary())
    survives(made(tmp_path_factory.mktemp("made"), {"feed.atom": content}), SOURCE)
