import re
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.importers.plaintext import SOURCE
from corpus.importers.source import Dropped, Text
from corpus.importing import Policy

from .made import documents, items, made, survives

STORY = "It was a dark and stormy night, and the fox slept under the hedge until morning came. "


def only(folder: Path, content: str | bytes, name: str = "a.txt") -> Text:
    (item,) = items(made(folder, {name: content}), SOURCE)
    assert isinstance(item, Text)
    return item


@pytest.mark.parametrize("name", ["11-0.txt", "11.txt"])
def test_a_real_book(shared_data: Path, name: str) -> None:
    path = shared_data / "text" / name
    (item,) = items(path, SOURCE)
    assert isinstance(item, Text)
    whole = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    start = whole.index("***\n", whole.index("*** START")) + 4
    inside = whole[start : whole.index("End of Project Gutenberg")]
    assert "*** END" not in inside
    # The same words, but for those divided at a line's end.
    assert item.text.replace("-", " ").split() == inside.replace("-", " ").split()
    assert (item.title or "").startswith("Alice") and item.author == "Lewis Carroll"
    paragraphs = item.text.split("\n\n")
    assert any(p.startswith("Alice was beginning") and "\n" not in p for p in paragraphs)
    # The mouse's tale and the songs keep their lines.
    assert max(p.count("\n") for p in paragraphs) > 15


def test_a_real_play_is_left_as_it_is(shared_data: Path) -> None:
    path = shared_data / "text/tinyshakespeare.txt"
    (item,) = items(path, SOURCE)
    assert isinstance(item, Text)
    lines = "\n".join(line.rstrip() for line in path.read_text().strip().split("\n"))
    assert item.text == re.sub(r"\n{3,}", "\n\n", lines)


def test_real_guides(shared_data: Path) -> None:
    folder = shared_data / "episodes_serebii"
    found = items(folder, SOURCE)
    files = sorted(folder.glob("*.txt"))
    texts = [item for item in found if isinstance(item, Text)]
    assert [text.title for text in texts] == [path.stem for path in files]
    assert not any(chr(code) in text.text for text in texts for code in range(0x80, 0xA0))


def test_lines_that_an_editor_broke_are_joined(tmp_path: Path) -> None:
    paragraphs = [STORY * 3 + "It was well-known.", STORY * 2, "Short."]
    wrapped = "\n\n".join(textwrap.fill(paragraph, 72) for paragraph in paragraphs)
    poem = "\n\n  Roses are red\n  Violets are blue\n\n"
    assert only(tmp_path, wrapped + poem).text == "\n\n".join(
        [*(paragraph.strip() for paragraph in paragraphs), "  Roses are red\n  Violets are blue"]
    )


def test_short_lines_within_wrapped_text_stay(tmp_path: Path) -> None:
    text = textwrap.fill(STORY * 5, 72) + "\n\nRoses are red\nViolets are blue\nThis has an end"
    assert only(tmp_path, text).text.endswith(
        "\n\nRoses are red\nViolets are blue\nThis has an end"
    )


def test_a_paragraph_a_line(tmp_path: Path) -> None:
    lines = [STORY * 4, '"Who?"', STORY * 3]
    assert only(tmp_path, "\n".join(lines)).text == "\n\n".join(line.strip() for line in lines)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"\xef\xbb\xbfa\r\n\r\nb\r\n", "a\n\nb"),
        ("“é”".encode("cp1252"), "“é”"),
        ("\x93a\x94\x85 it\x92s".encode(), "“a”… it’s"),  # cp1252 that was read as Latin-1
        ("“Où?” — “Là!”".encode() + b"\xe9", "“Où?” — “Là!”\ufffd"),  # one byte is damaged
        ("“Où?” — “Là!”".encode("cp1252") + "é".encode(), "“Où?” — “Là!”Ã©"),
        ("a\ufffd".encode(), "a\ufffd"),
        ("aé".encode("utf-16"), "aé"),
        ("éàéàéà".encode()[:-1], "éàéàé\ufffd"),
        (b"\xef\xbb\xbfa\xff", "a\ufffd"),
        (b"a\n \n\t\n\n\nb\n", "a\n\nb"),
        (b"a\x0cb", "ab"),
        (b"a" * 70_000 + b"\x00b", "a" * 70_000 + "b"),
    ],
)
def test_bytes(tmp_path: Path, content: bytes, text: str) -> None:
    assert only(tmp_path, content).text == text


@pytest.mark.parametrize("article", ["THE", "THIS"])
def test_project_gutenberg(tmp_path: Path, article: str) -> None:
    text = (
        "The Project Gutenberg eBook of Foxes\n\nTitle: Foxes\n\nAuthor: Ada L.\n\n"
        f"*** START OF {article} PROJECT GUTENBERG EBOOK FOXES ***\n\n{STORY}\n\n"
        f"*** END OF {article} PROJECT GUTENBERG EBOOK FOXES ***\n\nDonate!\n"
    )
    assert only(tmp_path, text) == Text(text=STORY.strip(), title="Foxes", author="Ada L.")


@pytest.mark.parametrize(
    "place", ["Takeout/Google Shopping/Addresses", "takeout-20240101T000000Z-001/Orders"]
)
def test_lists_in_a_takeout_are_not_public(tmp_path: Path, place: str) -> None:
    path = made(
        tmp_path, {f"{place}/a.txt": "Ada, 1 Main Street", "takeout-food/Takeout.txt": "A story."}
    )
    assert [document.text for document in documents(path, Policy())[0]] == ["A story."]
    assert len(documents(path)[0]) == 2


def test_binary_and_empty_files(tmp_path: Path) -> None:
    _, report = documents(made(tmp_path / "a", {"a.txt": b"a\0b", "b.txt": b"", "c.log": "a"}))
    assert report.unknown == {".txt": 2, ".log": 1}
    assert items(made(tmp_path / "b", {"c.txt": " \n\n "}), SOURCE) == [Dropped("without text")]


@pytest.mark.parametrize("gap", ["\n\n", "\n", " "])
def test_large_files_come_in_pieces(tmp_path: Path, gap: str) -> None:
    content = gap.join(f"{STORY}{number}" for number in range(60_000))
    found = items(made(tmp_path, {"a.txt": content}), SOURCE)
    texts = [item.text for item in found if isinstance(item, Text)]
    assert len(texts) == len(found) > 2
    assert max(map(len, texts)) < 5_000_000
    assert " ".join(texts).split()[-1] == "59999"
    if gap != " ":
        assert " ".join(texts).split() == content.split()


@given(
    st.lists(
        st.lists(st.text("abcdé–", min_size=1, max_size=12), min_size=1).map(" ".join), min_size=1
    ),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_made_texts_come_back(
    tmp_path_factory: pytest.TempPathFactory, paragraphs: list[str], encoding: str, end: str
) -> None:
    content = (end * 2).join(paragraphs).encode(encoding)
    assert only(tmp_path_factory.mktemp("made"), content).text == "\n\n".join(paragraphs)


@given(
    st.binary(),
    st.sampled_from([b"", b"\xff\xfe", b"\xef\xbb\xbf", b"*** START OF THE PROJECT GUTENBERG"]),
)
def test_garbage_raises_nothing(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, head: bytes
) -> None:
    survives(made(tmp_path_factory.mktemp("made"), {"a.txt": head + content}), SOURCE)
