import io
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.importers.epub import SOURCE
from corpus.importers.source import Broken, Dropped, Text

from .made import documents, items, made, survives, zipped

CONTAINER = """<?xml version="1.0"?>
<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0"><rootfiles>
<rootfile full-path="OPS/package.opf" media-type="application/oebps-package+xml"/></rootfiles>
</container>"""
XHTML = "{http://www.w3.org/1999/xhtml}"
STORY = "It was a dark and stormy night, and the fox slept under the hedge. " * 3


def book(chapters: list[str], **files: str | bytes) -> bytes:
    """Chapters are the bodies of pages; files replace others, a dot in their names is two _."""
    manifest = "".join(
        f'<item id="c{n}" href="text/chapter%20{n}.xhtml"/>' for n in range(len(chapters))
    )
    spine = "".join(f'<itemref idref="c{n}"/>' for n in range(len(chapters)))
    package = f"""<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf">
        <metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>Foxes</dc:title>
        <dc:title>Second title</dc:title><dc:creator>Ada</dc:creator>
        <dc:identifier>urn:1</dc:identifier></metadata>
        <manifest>{manifest}</manifest><spine>{spine}</spine></package>"""
    whole: dict[str, str | bytes] = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": CONTAINER,
        "OPS/package.opf": package,
    }
    for number, chapter in enumerate(chapters):
        whole[f"OPS/text/chapter {number}.xhtml"] = (
            '<?xml version="1.0"?><!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.1//EN"'
            ' "http://www.w3.org/TR/xhtml11/DTD/xhtml11.dtd">'
            '<html xmlns="http://www.w3.org/1999/xhtml"><head><title/></head>'
            f"<body>{chapter}</body></html>"
        )
    return zipped(whole | {name.replace("__", "/"): content for name, content in files.items()})


def test_a_real_book(shared_data: Path) -> None:
    path = shared_data / "epub/alice.epub"
    found = [item for item in items(path, SOURCE) if isinstance(item, Text)]
    assert len(found) == 10
    with zipfile.ZipFile(path) as archive:
        for number, text in enumerate(found, start=1):
            page = ElementTree.fromstring(archive.read(f"OPS/chapter_{number:03}.xhtml"))
            heading = page.find(f".//{XHTML}h2")
            assert heading is not None
            assert text.title == " ".join("".join(heading.itertext()).split())
            # Words, by hand: what stands in the body but for the heading and the pictures.
            (section,) = page.findall(f"{XHTML}body/{XHTML}section")
            shown = [e for e in section if e.tag not in (f"{XHTML}h2", f"{XHTML}figure")]
            words = " ".join("".join(element.itertext()) for element in shown).split()
            assert text.text.split() == words
    assert {text.author for text in found} == {"Lewis Carroll"}
    assert len({text.id for text in found}) == 10


def test_a_real_book_without_chapters(shared_data: Path) -> None:
    found = items(shared_data / "epub/alice_without_cover.epub", SOURCE)
    assert found == [Dropped("table of contents"), Dropped("without text")]


def test_project_gutenberg(tmp_path: Path) -> None:
    first = (
        '<section id="pg-header"><h2>The Project Gutenberg eBook of Foxes</h2><p>Title: Foxes</p>'
        "<div>*** START OF THE PROJECT GUTENBERG EBOOK\nFOXES ***</div></section>"
    )
    last = "<p>*** END OF THE PROJECT GUTENBERG EBOOK FOXES ***</p><h2>THE FULL LICENSE</h2>"
    chapters = [f"{first}<p>{STORY}</p>", f"<p>{STORY}</p>{last}<p>{STORY}</p>", last + STORY]
    found = items(made(tmp_path, {"a.epub": book(chapters)}), SOURCE)
    assert [item.text if isinstance(item, Text) else item for item in found] == [
        *[STORY.strip()] * 2,
        Dropped("without text"),
    ]


def test_a_page_of_links_is_a_table_of_contents(tmp_path: Path) -> None:
    links = "".join(
        f"<p><a href='{n}.xhtml'>Chapter {n}, in which it rains</a></p>" for n in "123456"
    )
    assert items(made(tmp_path, {"a.epub": book([links])}), SOURCE) == [
        Dropped("table of contents")
    ]


def test_text_without_blanks_between_words(tmp_path: Path) -> None:
    text = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。" * 5
    (item,) = items(made(tmp_path, {"a.epub": book([f"<p>{text}</p>"])}), SOURCE)
    assert isinstance(item, Text) and item.text == text


def test_chapters_follow_the_spine(tmp_path: Path) -> None:
    content = book(
        [
            f"<h1>One <br/>two</h1><p>{STORY}</p>",
            "<p>Cover</p>",
            f'<script src="x"/><a id="y"/><p>{STORY}</p><p>Three.</p>',
        ]
    )
    assert items(made(tmp_path, {"a.epub": content}), SOURCE) == [
        Text(text=STORY.strip(), id="Foxes-001-urn:1", title="One two", author="Ada"),
        Dropped("without text"),
        Text(text=f"{STORY.strip()}\n\nThree.", id="Foxes-003-urn:1", title="Foxes", author="Ada"),
    ]


def test_a_book_in_a_zip(tmp_path: Path) -> None:
    path = made(tmp_path, {"books.zip": zipped({"a/b.epub": book([f"<p>{STORY}</p>"])})})
    found, _ = documents(path)
    assert [document.text for document in found] == [STORY.strip()]


ENCRYPTION = """<encryption xmlns:e="http://www.w3.org/2001/04/xmlenc#"><e:EncryptedData>
<e:EncryptionMethod Algorithm="%s"/></e:EncryptedData></encryption>"""


def test_locked_books_are_told(tmp_path: Path) -> None:
    lock = ENCRYPTION % "http://www.w3.org/2001/04/xmlenc#aes128-cbc"
    content = book([f"<p>{STORY}</p>"], **{"META-INF__encryption.xml": lock})
    found, report = documents(made(tmp_path, {"a.epub": content}))
    assert found == [] and "DRM" in report.broken[0].message


def test_scrambled_fonts_lock_nothing(tmp_path: Path) -> None:
    fonts = ENCRYPTION % "http://www.idpf.org/2008/embedding"
    content = book([f"<p>{STORY}</p>"], **{"META-INF__encryption.xml": fonts})
    assert len(documents(made(tmp_path, {"a.epub": content}))[0]) == 1


DOCTYPE = '<!DOCTYPE x [<!ENTITY a "&b;&b;"><!ENTITY b "c">]>'


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"META-INF__container.xml": "<a/>"}, "list of contents"),
        ({"META-INF__container.xml": CONTAINER.replace("package", "other")}, "list of contents"),
        ({"META-INF__container.xml": CONTAINER.replace("OPS/", "../../OPS/")}, "list of contents"),
        ({"META-INF__container.xml": DOCTYPE + CONTAINER}, "document type"),
        ({"OPS__package.opf": f"{DOCTYPE}<package><item/></package>"}, "document type"),
        ({"OPS__package.opf": "garbage"}, "no XML"),
        ({"OPS__text__chapter 0.xhtml": b"a" * (20 << 20)}, "zip bomb"),
    ],
)
def test_broken_books_are_told(tmp_path: Path, files: dict[str, str | bytes], message: str) -> None:
    found, report = documents(made(tmp_path, {"a.epub": book([f"<p>{STORY}</p>"], **files)}))
    assert found == []
    assert [message in broken.message for broken in report.broken] == [True]


def test_a_chapter_that_is_not_there_costs_no_other(tmp_path: Path) -> None:
    whole = book([f"<p>{STORY}</p>"] * 3)
    without = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile(without, "w") as new:
        for name in old.namelist():
            if not name.endswith("1.xhtml"):
                new.writestr(name, old.read(name))
    first, broken, third = items(made(tmp_path, {"a.epub": without.getvalue()}), SOURCE)
    assert isinstance(first, Text) and isinstance(broken, Broken) and isinstance(third, Text)
    assert broken.place.endswith("OPS/text/chapter 1.xhtml")


@given(data=st.data())
def test_garbage_raises_nothing(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(book([f"<p>{STORY}</p>", "<p>b</p>"]))
    for position in data.draw(st.lists(st.integers(4, len(content) - 1), max_size=8)):
        content[position] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))
    survives(made(tmp_path_factory.mktemp("made"), {"a.epub": bytes(content[:cut])}), SOURCE)
