import contextlib
import gc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from corpus.archive import Archive, ArchiveError
from corpus.importers.elements import child_text, elements
from corpus.importers.source import Broken

HEAD = '<?xml version="1.0"?>\n<rss xmlns:a="urn:a"><channel>\n'
FOOT = "</channel></rss>"


def titles(folder: Path, content: str | bytes) -> list[str]:
    """The titles of the items; of what is broken, its line and message."""
    path = folder / "file.xml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with Archive([path]) as archive:
        found = list(elements(next(iter(archive)), "item"))
    return [
        f"{item.place}: {item.message}" if isinstance(item, Broken) else child_text(item, "title")
        for item in found
    ]


def item(title: str) -> str:
    return f"<item>\n<title>{title}</title>\n</item>\n"


@pytest.mark.parametrize(
    ("broken", "line", "message"),
    [
        (item("x & y"), 10, "EntityRef"),
        (item("x < y"), 10, "invalid element name"),
        (item("x&nbsp;y"), 10, "'nbsp' not defined"),
        (item("x&#11;y"), 10, "invalid xmlChar value 11"),
        ("<item>\n<title>x\n</item>\n", 11, "mismatch: title and item"),
        ("<item>\n<title>x</b></title>\n</item>\n", 10, "mismatch: title and b"),
        ("<item>\n<title a=b>x</title>\n</item>\n", 10, "AttValue"),
        ("<item>\n<title a='1' a='2'>x</title>\n</item>\n", 10, "redefined"),
        ("<item>\n<title>x</title>\n", 9, "no end before the next"),
    ],
)
def test_a_broken_item_is_told_with_its_line_and_all_others_come(
    tmp_path: Path, broken: str, line: int, message: str
) -> None:
    found = titles(tmp_path, HEAD + item("a") + item("b") + broken + item("c") + FOOT)
    assert found[:2] == ["a", "b"] and found[3:] == ["c"]
    # Two lines come before the first item, which has three, as the second has.
    assert found[2].startswith(f"file.xml, line {line}: ") and message in found[2]


@pytest.mark.parametrize(
    ("source", "title"),
    [
        (item("x\x00y\x0bz"), "xyz"),
        (item("<![CDATA[x\x0by]]>"), "xy"),
        (item("<![CDATA[</title></item>]]>"), "</title></item>"),
        (item("x<!-- </item> -->y<?php ?>z"), "xyz"),
        ("<item a='>'><b:title xmlns:b='urn:b'>x</b:title></item>", "x"),
        ("<item><unknown:title>x</unknown:title></item>", "x"),
        ("<a:item><title>x</title></a:item >", "x"),
        ("<item/>", ""),
        ("<items><item><title>x</title></item></items>", "x"),
    ],
)
def test_what_is_odd_but_can_be_read(tmp_path: Path, source: str, title: str) -> None:
    assert titles(tmp_path, HEAD + item("a") + source + item("c") + FOOT) == ["a", title, "c"]


def test_what_is_broken_between_items_breaks_none(tmp_path: Path) -> None:
    assert titles(tmp_path, HEAD + item("a") + "<b c=d & </e>" + item("f") + FOOT) == ["a", "f"]


@pytest.mark.parametrize("end", ["<item>\n<title>c</ti", "<item>", "<item>\n<title><![CDATA[c"])
def test_a_file_cut_in_an_item_says_so(tmp_path: Path, end: str) -> None:
    *found, last = titles(tmp_path, HEAD + item("a") + item("b") + end)
    assert found == ["a", "b"]
    assert last == "file.xml, line 9: the file ends in its middle"


def test_a_file_cut_between_items_says_so(tmp_path: Path) -> None:
    *found, last = titles(tmp_path, HEAD + item("a") + item("b"))
    assert found == ["a", "b"]
    assert last.startswith("file.xml, line 8: the file was cut short")


@pytest.mark.parametrize("content", ["", "hello", "\x00\xff", "<<<>>>"])
def test_no_xml_is_told(tmp_path: Path, content: str) -> None:
    (only,) = titles(tmp_path, content)
    assert "no XML" in only


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE rss [<!ENTITY a "&b;&b;&b;"><!ENTITY b "&c;&c;&c;">]>',
        '<!DOCTYPE rss [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE rss SYSTEM "http://localhost/rss.dtd">',
    ],
)
def test_document_types_are_refused(tmp_path: Path, doctype: str) -> None:
    with pytest.raises(ArchiveError, match="document type"):
        titles(tmp_path, doctype + HEAD.partition("\n")[2] + item("&a;") + FOOT)


def test_a_document_type_within_an_item_is_broken(tmp_path: Path) -> None:
    bomb = '<item><!DOCTYPE x [<!ENTITY a "b">]>&a;</item>'
    found = titles(tmp_path, HEAD + item("a") + bomb + item("c") + FOOT)
    assert [found[0], found[2]] == ["a", "c"] and found[1].startswith("file.xml")


@pytest.mark.parametrize(
    ("declared", "encoding"),
    [
        ("utf-8", "utf-8-sig"),
        ("windows-1252", "cp1252"),
        ("iso-8859-1", "latin-1"),
        ("utf-16", "utf-16"),
        ("utf-16", "utf-8"),  # .NET writes so
    ],
)
def test_encodings(tmp_path: Path, declared: str, encoding: str) -> None:
    text = f'<?xml version="1.0" encoding="{declared}"?><rss>{item("Grüße")}</rss>'
    assert titles(tmp_path, text.encode(encoding)) == ["Grüße"]


@pytest.mark.parametrize("encoding", ["klingon", "idna", "base64", "undefined"])
def test_encodings_that_are_none(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(ArchiveError):
        titles(tmp_path, f'<?xml version="1.0" encoding="{encoding}"?><rss>{item("é")}</rss>')


def test_a_byte_that_is_no_utf_8_costs_a_character(tmp_path: Path) -> None:
    assert titles(tmp_path, (HEAD + item("xéy") + FOOT).encode("latin-1")) == ["x\ufffdy"]


def test_items_larger_than_what_is_read_at_once(tmp_path: Path) -> None:
    large = "x" * (11 << 20)
    assert titles(tmp_path, HEAD + item("a") + item(large) + item("c") + FOOT) == ["a", large, "c"]


def test_an_item_without_end_does_not_fill_the_memory(tmp_path: Path) -> None:
    endless = "<item><title><![CDATA[" + "x\n" * (9 << 20) + "]]></title></item>"
    found = titles(tmp_path, HEAD + item("a") + endless + item("c") + FOOT)
    assert found == ["a", "file.xml, line 6: longer than 16,777,216 characters", "c"]


def test_fifty_thousand_items_leave_no_tree_behind(tmp_path: Path) -> None:
    path = tmp_path / "file.xml"
    path.write_text(HEAD + item("x" * 100) * 50_000 + FOOT)
    with Archive([path]) as archive:
        count = 0
        for element in elements(next(iter(archive)), "item"):
            assert isinstance(element, etree._Element)
            count += 1
            if count % 10_000 == 0:
                # All of the tree that this one hangs on.
                assert len(list(element.getroottree().iter())) == 3
        gc.collect()
        assert sum(isinstance(one, etree._Element) for one in gc.get_objects()) < 10
    assert count == 50_000


@given(texts=st.lists(st.text(st.characters(exclude_categories=["C"]), max_size=50), min_size=1))
def test_made_files_come_back(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    root = etree.Element("rss")
    for text in texts:
        etree.SubElement(etree.SubElement(root, "item"), "title").text = text
    content = etree.tostring(root, encoding="utf-8", xml_declaration=True)
    assert titles(tmp_path_factory.mktemp("made"), content) == texts


@given(data=st.data())
def test_garbage_and_what_is_cut_raise_archive_errors_only(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole = (HEAD + item("a") + item("<![CDATA[b]]>") + FOOT).encode()
    cut = data.draw(st.integers(0, len(whole)))
    garbage = data.draw(st.one_of(st.binary(), st.text("<>/![]&;item \"'=-").map(str.encode)))
    with contextlib.suppress(ArchiveError):
        titles(tmp_path_factory.mktemp("made"), whole[:cut] + garbage + whole[cut:])
