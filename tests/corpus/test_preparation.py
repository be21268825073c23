import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from corpus.copies import index_of
from corpus.documents import CorpusError, RawText, read_documents
from corpus.preparation import Report, prepare


def story(number: int, words: int = 80) -> str:
    return f"Story {number}: " + " ".join(f"word{number * i}" for i in range(words - 2))


def raw(texts: Iterable[str]) -> Iterator[RawText]:
    """Texts whose titles are their first words."""
    return (RawText(text, " ".join(text.split()[:2])) for text in texts)


def prepare_in(folder: Path, texts: list[str], **options: float) -> tuple[list[str], list[str]]:
    report = prepare(raw(texts), folder / "train.txt", folder / "valid.txt", **options)  # type: ignore[arg-type]
    train = list(read_documents(folder / "train.txt"))
    valid = list(read_documents(folder / "valid.txt"))
    assert (report.train.documents, report.valid.documents) == (len(train), len(valid))
    assert report.titles == [" ".join(text.split()[:2]) for text in train]
    assert sorted(p.name for p in folder.iterdir()) == ["train.txt", "valid.txt"]
    return train, valid


def test_documents_are_cleaned_divided_and_kept_in_order(tmp_path: Path) -> None:
    texts = [story(n).replace(" ", "\u00a0") for n in range(200)]
    train, valid = prepare_in(tmp_path, texts)
    assert sorted(train + valid) == sorted(story(n) for n in range(200))
    assert 3 <= len(valid) <= 20
    for part in (train, valid):
        assert part == sorted(part, key=lambda text: int(text.split()[1].rstrip(":")))


def test_stubs_and_duplicates_are_dropped_and_counted(tmp_path: Path) -> None:
    texts = [story(1), story(2, words=9), story(1) + " \n", story(3, words=10), "", story(4)]
    report = prepare(raw(texts), tmp_path / "a.txt", tmp_path / "b.txt", min_words=10)
    assert list(read_documents(tmp_path / "a.txt")) == [story(1), story(3, words=10), story(4)]
    assert report.read.documents == 6
    assert (
        report.dropped["fewer than 10 words"].documents,
        report.dropped["fewer than 10 words"].words,
    ) == (2, 9)
    assert (report.dropped["duplicate"].documents, report.dropped["duplicate"].words) == (1, 80)
    assert (report.train.documents, report.train.words) == (3, 170)
    assert report.train.characters == len(story(1) + story(3, words=10) + story(4))
    assert report.cleaned_away == 2


def test_a_document_stays_on_its_side_as_the_corpus_grows(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
    _, before = prepare_in(tmp_path / "a", [story(n) for n in range(100)], holdout=0.2)
    _, after = prepare_in(tmp_path / "b", [story(n) for n in range(299, -1, -1)], holdout=0.2)
    assert set(before) == set(after) & {story(n) for n in range(100)}
    assert len(after) > len(before) > 0


@pytest.mark.parametrize("start", range(0, 200, 10))
def test_of_ten_documents_at_least_one_is_held_out(tmp_path: Path, start: int) -> None:
    train, valid = prepare_in(tmp_path, [story(n) for n in range(start, start + 10)], holdout=0.01)
    assert len(valid) >= 1
    assert len(train) >= 1


def test_of_fewer_none_is(tmp_path: Path) -> None:
    assert prepare_in(tmp_path, [story(n) for n in range(9)], holdout=0.5)[1] == []


def test_nothing_is_held_out_if_so_wished(tmp_path: Path) -> None:
    assert prepare_in(tmp_path, [story(n) for n in range(50)], holdout=0)[1] == []


def test_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    results = []
    for _ in range(2):
        prepare_in(tmp_path, [story(n) for n in range(30)])
        results.append([p.read_bytes() for p in sorted(tmp_path.iterdir())])
    assert results[0] == results[1]


def test_its_own_output_is_as_it_should_be(tmp_path: Path) -> None:
    train, _ = prepare_in(tmp_path, [story(n) for n in range(30)])
    assert prepare_in(tmp_path, train, holdout=0)[0] == train


def test_an_empty_result_is_an_error_and_leaves_the_files(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("old")
    with pytest.raises(CorpusError, match=r"of 2 read \(2 had fewer than 60 words\)"):
        prepare(raw(["", "short"]), tmp_path / "train.txt", tmp_path / "valid.txt")
    assert [p.name for p in tmp_path.iterdir()] == ["train.txt"]
    assert (tmp_path / "train.txt").read_text() == "old"


def test_an_index_stays_with_its_corpus(tmp_path: Path) -> None:
    train, index = tmp_path / "train.txt", index_of(tmp_path / "train.txt")
    index.write_text("old")
    with pytest.raises(CorpusError):
        prepare([], train, tmp_path / "valid.txt")
    assert index.read_text() == "old"
    prepare(raw([story(1)]), train, tmp_path / "valid.txt")
    assert not index.exists()


def test_an_interruption_leaves_the_files(tmp_path: Path) -> None:
    def texts() -> Iterator[RawText]:
        yield RawText(story(1))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(texts(), tmp_path / "train.txt", tmp_path / "valid.txt")
    assert list(tmp_path.iterdir()) == []


def test_memory_does_not_grow_with_the_corpus(tmp_path: Path) -> None:
    def peak(documents: int) -> int:
        tracemalloc.start()
        prepare(
            raw(f"{n} " + f"{'long' * 80} " * 100 for n in range(documents)),
            tmp_path / "train.txt",
            tmp_path / "valid.txt",
        )
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(10)  # what is made once
    # Of 32 kB a document: reading has a buffer of 1 MiB, the larger corpus 6 MB more.
    small, large = peak(50), peak(250)
    assert (tmp_path / "train.txt").stat().st_size > 6_000_000
    assert large - small < 2_000_000


def test_an_empty_report_is_all_zero() -> None:
    assert Report().cleaned_away == 0
