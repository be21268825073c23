import random
import shutil
import struct
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from corpus.copies import (
    IN_CHECKPOINT,
    RUN,
    Copy,
    CopyIndex,
    build,
    index_of,
    up_to_date,
)
from corpus.documents import DELIMITER, CorpusError, read_texts, write_documents
from corpus.preparation import prepare

ROOT = Path(__file__).parents[2]


def make_index(folder: Path, documents: Sequence[str], titles: Sequence[str | None] = ()) -> Path:
    write_documents(documents, folder / "train.txt")
    build(folder / "train.txt", folder / "train.txt.copies", titles=titles)
    return folder / "train.txt.copies"


def index_for(
    folder: Path, documents: Sequence[str], titles: Sequence[str | None] = ()
) -> CopyIndex:
    return CopyIndex.open(make_index(folder, documents, titles))


def numbered(start: int, end: int) -> str:
    return " ".join(f"w{number}" for number in range(start, end))


# ---- The same, written again without hashes, files or pieces ----------------------------------


def words(text: str) -> Iterator[tuple[str, int, int]]:
    """Each word, folded, with where it begins and ends."""
    at = 0
    while at < len(text):
        start = at
        while at < len(text) and (
            text[at].isalnum()
            or (at > start and unicodedata.category(text[at]).startswith("M"))
            or (at > start and text[at] in "'’" and text[at + 1 : at + 2].isalnum())
        ):
            at += 1
        if at > start:
            folded = unicodedata.normalize("NFD", text[start:at]).casefold().replace("’", "'")
            yield unicodedata.normalize("NFD", folded), start, at
        at += at == start


def reference(documents: Sequence[str], text: str) -> list[Copy]:
    first: dict[tuple[str, ...], int] = {}
    for number, document in enumerate(documents):
        known = [word for word, _, _ in words(document)]
        for i in range(len(known) - RUN + 1):
            first.setdefault(tuple(known[i : i + RUN]), number)
    found = list(words(text))
    runs = [tuple(w for w, _, _ in found[i : i + RUN]) for i in range(len(found) - RUN + 1)]
    copies, i = [], 0
    while i < len(runs):
        begin = i
        while i < len(runs) and runs[i] in first:
            i += 1
        if i > begin:
            sources = Counter(first[run] for run in runs[begin:i])
            last = i - 1 + RUN - 1
            size = last - begin + 1
            copies.append(
                Copy(found[begin][1], found[last][2], size, str(sources.most_common(1)[0][0]))
            )
        i += 1
    return copies


# Few words, written in several ways, so that runs repeat within and between documents.
spellings = st.sampled_from(["a", "A", "b's", "B’s", "é", "E\u0301", "straße", "STRASSE", "7"])
blanks = st.sampled_from([" ", ", ", "\n\n", " -- ", "_", "' '", "…", " \u0301"])


@st.composite
def documents_and_text(draw: st.DrawFn) -> tuple[list[str], str]:
    sizes = draw(st.lists(st.sampled_from([0, 11, 12, 13, 25, 40]), min_size=1, max_size=4))
    corpus = [draw(st.lists(spellings, min_size=n, max_size=n)) for n in sizes]
    text: list[str] = []
    for _ in range(draw(st.integers(1, 4))):
        part = draw(st.sampled_from(corpus))
        start = draw(st.integers(0, len(part) // 3))
        text += part[start : draw(st.integers(start, len(part)) | st.just(len(part)))]
        text += draw(st.lists(spellings, max_size=2))

    def join(parts: list[str]) -> str:
        return "".join(part + draw(blanks) for part in parts)

    # An empty document is none.
    return ["# " + join(parts) for parts in corpus], join(text)


@given(documents_and_text(), st.data())
def test_what_is_found_is_what_is_there_however_the_text_is_cut(
    tmp_path_factory: pytest.TempPathFactory,
    made: tuple[list[str], str],
    data: st.DataObject,
) -> None:
    documents, text = made
    titles = [str(number) for number in range(len(documents))]
    index = index_for(tmp_path_factory.mktemp("index"), documents, titles)
    expected = reference(documents, text)
    assert index.find(text) == expected
    cuts = data.draw(st.lists(st.integers(0, len(text))))
    scanner = index.scanner()
    for start, end in pairwise([0, *sorted(cuts), len(text)]):
        scanner.feed(text[start:end])
        # What is known of the text so far, but for the word that may go on.
        assert scanner.copies in (reference(documents, text[:at]) for at in range(end + 1))
    assert scanner.finish() == expected


def test_a_copy_shows_with_its_twelfth_word_and_grows(tmp_path: Path) -> None:
    index = index_for(tmp_path, [numbered(0, 20)], ["A title"])
    scanner = index.scanner()
    for letter in "Then " + numbered(3, 15):
        scanner.feed(letter)
    assert scanner.copies == []  # w14 may become w140
    scanner.feed(",")
    whole = len("Then " + numbered(3, 15))
    assert scanner.copies == [Copy(5, whole, 12, "A title")]
    scanner.feed(" w15 and")
    assert scanner.copies == [Copy(5, whole + 5, 13, "A title")]
    scanner.feed(" w16 " + numbered(0, 12))
    assert scanner.finish() == [
        Copy(5, whole + 5, 13, "A title"),
        Copy(whole + 14, whole + 14 + len(numbered(0, 12)), 12, "A title"),
    ]


def test_a_word_may_go_on_after_an_apostrophe(tmp_path: Path) -> None:
    index = index_for(tmp_path, [numbered(0, 11) + " don"])
    for end, found in (("'t go", 0), ("' go", 1), ("'", 1), ("", 1), ("\u0301", 0)):
        scanner = index.scanner()
        for letter in numbered(0, 11) + " don" + end:
            scanner.feed(letter)
        assert len(scanner.finish()) == found, end


def test_eleven_words_are_none_and_no_run_crosses_a_border(tmp_path: Path) -> None:
    index = index_for(tmp_path, [numbered(0, 11), numbered(11, 22), numbered(30, 42)])
    assert index.find(numbered(0, 22)) == []
    assert [copy.words for copy in index.find(numbered(22, 50))] == [12]


def test_case_punctuation_and_apostrophes_make_no_difference(tmp_path: Path) -> None:
    index = index_for(
        tmp_path, ["Don't go, said ÉLODIE; the half-baked plan of 1,000 moki isn't ours"]
    )
    text = "«don’t»... GO said\nE\u0301lodie the HALF baked (plan) of 1 000 _Moki_ isn't"
    assert [(c.start, c.end, c.words) for c in index.find(text)] == [(1, len(text), 13)]
    assert index.find(text.replace("don’t", "dont").replace("isn't", "isn t")) == []


@given(st.lists(st.text(st.characters(codec="utf-8")), min_size=12))
@example(["", *["\U0001112e\u0301x"] * 12])  # Chakma, whose marks are not of the first plane
@example([*[""] * 11, DELIMITER])
def test_normal_forms_make_no_difference(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str]
) -> None:
    # A delimiter would make two documents of one, and hypothesis has found it in our constants.
    text = " ".join(f"x{part}" for part in parts).replace(DELIMITER, "")
    index = index_for(tmp_path_factory.mktemp("index"), [unicodedata.normalize("NFC", text)])
    count = len(list(words(text)))
    for form in ("NFC", "NFD"):
        assert [c.words for c in index.find(unicodedata.normalize(form, text))] == [count]


def test_a_copy_is_of_the_document_that_most_of_it_is_of(tmp_path: Path) -> None:
    documents = [numbered(0, 12), numbered(0, 12), numbered(0, 30), numbered(19, 32)]
    index = index_for(tmp_path, documents, ["one", "two", "three", "four"])
    assert [c.source for c in index.find(numbered(0, 12))] == ["one"]
    assert [(c.words, c.source) for c in index.find(numbered(0, 32))] == [(32, "three")]


def test_copies_of_two_places_may_share_words(tmp_path: Path) -> None:
    index = index_for(tmp_path, [numbered(0, 15), numbered(10, 30)], ["one", "two"])
    found = index.find(numbered(0, 30))
    assert [(c.words, c.source) for c in found] == [(15, "one"), (20, "two")]
    assert found[1].start < found[0].end


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("The  Otter\nUnder the Pier", "The Otter Under the Pier"),
        (None, "Chapter One"),
        (" ", "Chapter One"),
        ("ha " * 40, "ha " * 24 + "ha..."),
        ("ha" * 60, "ha" * 38 + "h..."),
        ("\ud800 moki", "? moki"),
    ],
)
def test_a_document_has_a_short_name(tmp_path: Path, title: str | None, name: str) -> None:
    index = index_for(tmp_path, ["Chapter  One\n" + numbered(0, 20)], [title])
    assert [copy.source for copy in index.find(numbered(0, 20))] == [name]
    assert len(name) <= 80


def test_a_corpus_of_any_size_is_indexed(tmp_path: Path) -> None:
    draw = random.Random(1)
    vocabulary = [f"w{n}" for n in range(1000)]
    # More runs than are sorted at once, and the last document has been there before.
    documents = [" ".join(draw.choices(vocabulary, k=3000)) for _ in range(100)]
    documents.append(documents[0])
    index = index_for(tmp_path, documents, [str(n) for n in range(len(documents))])
    for number, document in enumerate(documents[:-1]):
        assert index.find(document) == [Copy(0, len(document), 3000, str(number))]
    assert [c.source for c in index.find(documents[-1])] == ["0"]
    assert index.find(" ".join(draw.choices(vocabulary, k=30_000))) == []
    assert (tmp_path / "train.txt.copies").stat().st_size < 10 * 300_000


@pytest.mark.parametrize("documents", [[], ["Short."], [numbered(0, 12)]])
def test_a_tiny_corpus_has_an_index(tmp_path: Path, documents: list[str]) -> None:
    index = index_for(tmp_path, documents)
    assert len(index.find(numbered(0, 40))) == (documents == [numbered(0, 12)])
    assert index.find("") == []


def test_many_threads_may_use_an_index(tmp_path: Path) -> None:
    draw = random.Random(1)
    documents = [" ".join(f"w{draw.randrange(50)}" for _ in range(200)) for _ in range(30)]
    index = index_for(tmp_path, documents)
    texts = [" ".join(draw.sample(documents, 3)) for _ in range(200)]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(index.find, texts)) == [index.find(text) for text in texts]


# ---- The file -------------------------------------------------------------------------------


def test_the_same_corpus_gives_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    documents = [numbered(n, 100 + n) for n in range(50)]
    first = make_index(tmp_path, documents, ["One"]).read_bytes()
    assert make_index(tmp_path / "again", documents, ["One"]).read_bytes() == first


def test_an_index_belongs_to_one_corpus_wherever_it_lies(tmp_path: Path) -> None:
    index = make_index(tmp_path, [numbered(0, 20)])
    train = tmp_path / "train.txt"
    assert index == index_of(train)
    assert up_to_date(train, index)
    (tmp_path / "clone").mkdir()
    elsewhere = [shutil.copyfile(path, tmp_path / "clone" / path.name) for path in (train, index)]
    assert up_to_date(*elsewhere)
    index.write_bytes(index.read_bytes()[:-1])
    assert not up_to_date(train, index)
    assert not up_to_date(train, tmp_path / "nothing")
    assert not up_to_date(train, train)
    text = train.read_text()
    for changed in (text.replace("w0", "w1"), text + " "):
        train.write_text(changed)
        assert not up_to_date(train, elsewhere[1])
    with pytest.raises(FileNotFoundError):
        up_to_date(tmp_path / "nothing", index)


def test_an_interruption_leaves_the_old_index(tmp_path: Path) -> None:
    index = make_index(tmp_path, [numbered(0, 20)])
    old = index.read_bytes()
    write_documents([numbered(0, 30)] * 5, tmp_path / "train.txt")
    calls = iter(range(3))

    def interrupt() -> None:
        if next(calls) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "train.txt", index, progress=interrupt)
    assert index.read_bytes() == old
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train.txt", "train.txt.copies"]


def test_what_is_no_index_is_told(tmp_path: Path) -> None:
    whole = make_index(tmp_path, [numbered(0, 20)]).read_bytes()
    path = tmp_path / "file"
    with pytest.raises(FileNotFoundError):
        CopyIndex.open(path)
    other_byte_order = whole[:8] + whole[8:12][::-1] + whole[12:]
    for content in (b"", b"x", b"Once upon a time. " * 20, whole[:50], other_byte_order):
        path.write_bytes(content)
        with pytest.raises(CorpusError, match="file is no copy index"):
            CopyIndex.open(path)
    for content in (whole[:-1], whole + b"x", whole[:100]):
        path.write_bytes(content)
        with pytest.raises(CorpusError, match="file is damaged: build it anew"):
            CopyIndex.open(path)


@given(st.data())
def test_a_damaged_index_does_no_harm(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    documents = [numbered(0, 40), numbered(30, 60)]
    path = make_index(tmp_path_factory.mktemp("index"), documents)
    content = bytearray(path.read_bytes())
    numbers = st.sampled_from([0, 1, 33, 2**16, 2**31, 2**32 - 1]) | st.integers(0, 2**32 - 1)
    # The header's first 12 bytes are told apart above.
    for at in data.draw(st.lists(st.integers(3, len(content) // 4 - 1), max_size=20)):
        struct.pack_into("=I", content, 4 * at, data.draw(numbers))
    # cut and filled up
    size = data.draw(st.just(len(content)) | st.integers(0, len(content)))
    path.write_bytes(bytes(content[:size]))
    try:
        for copy in CopyIndex.open(path).find(numbered(0, 60)):
            assert RUN <= copy.words <= 60
    except CorpusError as error:
        assert str(path) in str(error)
        assert "\n" not in str(error)


def test_the_committed_checkpoint_has_the_index_of_the_sample(tmp_path: Path) -> None:
    train = tmp_path / "train.txt"
    report = prepare(read_texts(ROOT / "data" / "sample"), train, tmp_path / "valid.txt")
    build(train, index_of(train), titles=report.titles)
    committed = ROOT / "checkpoint" / "run1" / IN_CHECKPOINT
    assert committed.read_bytes() == index_of(train).read_bytes()
    text = "Wren tries to catch it with a net. " + (ROOT / "data/sample/LI002.txt").read_text()
    assert CopyIndex.open(committed).find(text)[0].source == "One Girl, One Otter, Two Tickets"
