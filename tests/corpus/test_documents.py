import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.documents import (
    DELIMITER,
    CorpusError,
    CorpusFolder,
    Document,
    RawText,
    file_name,
    held_out_beside,
    read_documents,
    read_texts,
    write_aside,
    write_documents,
)

texts = st.text(st.characters(codec="utf-8", exclude_characters="\r")).map(
    lambda text: text.replace(DELIMITER, "").strip()
)


@given(st.lists(texts.filter(lambda text: text and DELIMITER not in text)))
def test_a_delimited_file_gives_its_documents_back(
    tmp_path_factory: pytest.TempPathFactory, documents: list[str]
) -> None:
    path = tmp_path_factory.mktemp("delimited") / "train.txt"
    write_documents(documents, path)
    # A byte order mark at a document's beginning is taken for one.
    assert list(read_documents(path)) == [d.removeprefix("\ufeff").strip() for d in documents]


def test_the_delimiter_stands_between_documents_on_a_line_of_its_own(tmp_path: Path) -> None:
    write_documents(["one", "two\n\nlines", "three"], tmp_path / "train.txt")
    assert (tmp_path / "train.txt").read_bytes() == (
        b"one\n<|endoftext|>\ntwo\n\nlines\n<|endoftext|>\nthree\n"
    )


def test_delimiters_of_other_tools_divide_too(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_bytes(b"\xef\xbb\xbfone<|endoftext|>two\r\nmore\r\n<|endoftext|>\r\n<|endoftext|>")
    assert list(read_documents(path)) == ["one", "two\nmore"]


@pytest.mark.parametrize("shift", range(len(DELIMITER) + 1))
def test_a_delimiter_is_found_wherever_reading_is_cut(tmp_path: Path, shift: int) -> None:
    first = "a" * ((1 << 20) - shift)
    path = tmp_path / "train.txt"
    path.write_text(f"{first}{DELIMITER}b", encoding="utf-8")
    assert list(read_documents(path)) == [first, "b"]


def test_a_folder_is_read_in_order_whatever_its_encoding(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_bytes("Pokémon\r\n".encode())
    (tmp_path / "a.txt").write_bytes(b"it\x92s cp1252\n")
    (tmp_path / "notes.md").write_text("not a document")
    (tmp_path / ".b.txt.part").write_text("half a doc")
    assert [raw.text for raw in read_texts(tmp_path)] == ["it\x92s cp1252", "Pokémon"]


def test_a_text_has_the_title_of_the_index_else_its_files_name(tmp_path: Path) -> None:
    CorpusFolder(tmp_path).put(
        [Document(id="EP001", text="One", title="Épisode"), Document(id="a/b: c?", text="Two")]
    )
    (tmp_path / "My story.txt").write_text("Three")
    assert list(read_texts(tmp_path)) == [
        RawText("One", "Épisode"),
        RawText("Three", "My story"),
        RawText("Two", "a/b: c?"),
    ]
    write_documents(["One"], tmp_path / "EP001.txt")
    assert list(read_texts(tmp_path / "EP001.txt")) == [RawText("One", None)]


def test_a_source_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no such folder"):
        list(read_texts(tmp_path / "nothing"))


def test_a_folder_keeps_text_and_what_is_known(tmp_path: Path) -> None:
    folder = CorpusFolder(tmp_path / "new")
    folder.put(
        [
            Document(id="EP002", text="Zwei\n\nAbsätze", title="B", revision=7),
            Document(id="EP001", text="One"),
        ]
    )
    assert (tmp_path / "new/EP002.txt").read_text(encoding="utf-8") == "Zwei\n\nAbsätze\n"
    lines = (tmp_path / "new/index.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        {"id": "EP001"},
        {"id": "EP002", "title": "B", "revision": 7},
    ]
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == [
        "EP001.txt",
        "EP002.txt",
        "index.jsonl",
    ]


def test_a_folder_opened_again_knows_and_replaces_its_documents(tmp_path: Path) -> None:
    CorpusFolder(tmp_path).put([Document(id=name, text=name, revision=1) for name in "AB"])
    folder = CorpusFolder(tmp_path)
    assert "A" in folder
    assert "C" not in folder
    assert (folder.revision("A"), folder.revision("C")) == (1, None)
    folder.put([Document(id="A", text="new", revision=2)])
    assert CorpusFolder(tmp_path).revision("A") == 2
    assert [raw.text for raw in read_texts(tmp_path)] == ["new", "B"]
    (tmp_path / "A.txt").unlink()
    assert "A" not in CorpusFolder(tmp_path)


@pytest.mark.parametrize(
    "line", [b'{"id": "B"', b'{"title": "B"}', b'{"id": "B\xe9"}', b'{"id": "\\ud800"}', b"[]"]
)
def test_a_broken_index_is_named_with_its_line(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "index.jsonl").write_bytes(b'{"id": "A"}\n' + line + b"\n")
    with pytest.raises(CorpusError, match=r"index\.jsonl, line 2"):
        CorpusFolder(tmp_path).put([Document(id="C", text="C")])
    with pytest.raises(CorpusError, match=r"index\.jsonl, line 2"):
        list(CorpusFolder(tmp_path))
    with pytest.raises(CorpusError, match=r"index\.jsonl, line 2"):
        list(read_texts(tmp_path))


@given(st.sets(st.text(min_size=1, max_size=20), min_size=2, max_size=2))
def test_every_id_has_a_file_name_of_its_own(ids: set[str]) -> None:
    names = {file_name(document_id) for document_id in ids}
    assert len(names) == len(ids)
    for name in names:
        assert name == Path(name).name
        assert not name.startswith(".")
        assert name.isprintable()


def test_a_file_that_cannot_be_finished_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")

    def fail() -> None:
        with write_aside(path) as file:
            file.write("new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_held_out_documents_lie_beside_the_others() -> None:
    assert held_out_beside(Path("data/train.txt")) == Path("data/valid.txt")
    assert held_out_beside(Path("eps.txt")) == Path("eps.valid.txt")
