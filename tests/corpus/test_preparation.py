import tracemalloc
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from corpus.copies import index_of
from corpus.documents import CorpusError, RawText, read_documents
from corpus.preparation import Report, prepare, stage_files


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


def test_one_file_that_cannot_be_written_leaves_all_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "train.2.txt" / "in the way").mkdir(parents=True)
    (tmp_path / "valid.txt").write_text("old")
    index_of(tmp_path / "train.1.txt").write_text("old")
    before = sorted(tmp_path.iterdir())
    texts = [RawText(story(n), source="ab"[n % 2]) for n in range(20)]
    with pytest.raises(OSError, match="train.2.txt"):
        prepare(texts, tmp_path / "train.txt", tmp_path / "valid.txt", stages=[["a"], ["b"]])
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "valid.txt").read_text() == "old"


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


def tale(seed: int, words: int = 200) -> str:
    """Sentences that no other seed has."""
    random = Random(seed)
    drawn = ["".join(random.choices("abcdefghiklmnoprstu", k=5)) for _ in range(words)]
    return ". ".join(" ".join(drawn[i : i + 10]).capitalize() for i in range(0, words, 10)) + "."


def test_of_near_duplicates_the_longest_stays(tmp_path: Path) -> None:
    longest = tale(1) + " And one more thing."
    texts = [tale(0), tale(1), longest, tale(1).replace("a", "A", 1), tale(2)]
    report = prepare(
        (RawText(text, f"T{n}") for n, text in enumerate(texts)),
        tmp_path / "train.txt",
        tmp_path / "valid.txt",
        near_duplicates=True,
    )
    assert list(read_documents(tmp_path / "train.txt")) == [tale(0), longest, tale(2)]
    assert report.titles == ["T0", "T2", "T4"]
    assert report.clusters == [["T2", "T1", "T3"]]
    assert report.dropped["near-duplicate"].documents == 2
    assert report.dropped["near-duplicate"].examples == ["T1", "T3"]


def test_near_duplicates_are_never_on_both_sides(tmp_path: Path) -> None:
    texts = [f"{tale(n)} {ending}." for ending in ("One", "Other") for n in range(100)]
    report = prepare(
        raw(texts),
        tmp_path / "train.txt",
        tmp_path / "valid.txt",
        holdout=0.3,
        near_duplicates=True,
    )
    train, valid = (set(read_documents(tmp_path / name)) for name in ("train.txt", "valid.txt"))
    assert {text.rpartition(" ")[0] for text in valid}.isdisjoint(
        text.rpartition(" ")[0] for text in train
    )
    assert (report.train.documents + report.valid.documents, len(report.clusters)) == (100, 50)


def test_lines_that_a_source_repeats_go(tmp_path: Path) -> None:
    footer = "Thanks for reading, and do subscribe."
    texts = [RawText(f"{tale(n)}\n\n{footer}\n\nSo long, {n}.", source="blog") for n in range(8)]
    texts += [RawText(f"{tale(20 + n)}\n{footer}", source="books") for n in range(3)]
    texts += [RawText(f"{tale(30, words=60)}\n{footer}", source="blog")] * 2
    texts += [RawText(f"{tale(31, words=50)}\n{footer}\n" + "\n".join([footer] * 3), source="blog")]
    report = prepare(texts, tmp_path / "train.txt", tmp_path / "valid.txt", repeated_lines=True)
    kept = [*read_documents(tmp_path / "train.txt"), *read_documents(tmp_path / "valid.txt")]
    assert sorted(kept) == sorted(
        [f"{tale(n)}\n\nSo long, {n}." for n in range(8)]
        + [f"{tale(20 + n)}\n{footer}" for n in range(3)]
        + [tale(30, words=60)]
    )
    # Eight, of the two that are equal one, and four of the one that is a stub without them.
    assert report.removed_lines == {footer: 13}
    assert {reason: d.documents for reason, d in report.dropped.items()} == {
        "duplicate": 1,
        "fewer than 60 words": 1,
    }


def test_long_foreign_and_poor_texts_are_dropped_with_their_reasons(tmp_path: Path) -> None:
    english = "The otter and the wren went home before the fog came in. " * 3
    german = "Der Otter und der Zaunkönig gingen nach Hause, bevor der Nebel kam. " * 3
    texts = {
        "en": english,
        "de": german,
        "short": "Sì.",
        "long": english * 3,
        "poor": "1 2 3 = 6. " * 9,
    }
    report = prepare(
        (RawText(text, name) for name, text in texts.items()),
        tmp_path / "train.txt",
        tmp_path / "valid.txt",
        min_words=1,
        max_words=90,
        language="en",
        quality=True,
    )
    assert report.titles == ["en", "short"]
    assert {reason: d.examples for reason, d in report.dropped.items()} == {
        "not in the language en": ["de"],
        "more than 90 words": ["long"],
        "mostly digits and symbols": ["poor"],
    }


def test_a_weight_repeats_documents_apart_and_leaves_the_held_out(tmp_path: Path) -> None:
    texts = [RawText(story(n), str(n), source="abc"[n % 3]) for n in range(300)]
    report = prepare(
        texts, tmp_path / "train.txt", tmp_path / "valid.txt", weights={"a": 2.5, "b": 0.5}
    )
    train = list(read_documents(tmp_path / "train.txt"))
    valid = list(read_documents(tmp_path / "valid.txt"))
    prepare(texts, tmp_path / "train2.txt", tmp_path / "valid2.txt")
    assert valid == list(read_documents(tmp_path / "valid2.txt"))
    assert set(valid).isdisjoint(train)
    assert len(valid) == len(set(valid))
    times = {n: train.count(story(n)) for n in range(300) if story(n) not in valid}
    assert {times[n] for n in times if n % 3 == 0} == {2, 3}
    assert {times[n] for n in times if n % 3 == 1} == {0, 1}
    assert {times[n] for n in times if n % 3 == 2} == {1}
    for source, share in ((0, 0.5), (1, 0.5)):
        more = [times[n] % 2 for n in times if n % 3 == source]
        assert 0.3 < sum(more) / len(more) < 0.7, share
    assert all(one != other for one, other in pairwise(train))
    assert report.titles == [text.split()[1].rstrip(":") for text in train]
    left_out = report.dropped["left out by its weight"].documents
    assert left_out == sum(count == 0 for count in times.values())


def test_stages_have_files_of_their_own_and_one_held_out(tmp_path: Path) -> None:
    texts = [RawText(story(n), source="abc"[n % 3]) for n in range(90)]
    train, valid = tmp_path / "train.txt", tmp_path / "valid.txt"
    report = prepare(texts, train, valid, stages=[["c"], ["a", "b"]])
    first, second = (list(read_documents(path)) for path in stage_files(train, [1, 2]))
    held_out = list(read_documents(valid))
    assert sorted([*first, *second, *held_out]) == sorted(story(n) for n in range(90))
    assert {int(text.split()[1].rstrip(":")) % 3 for text in first} == {2}
    assert {int(text.split()[1].rstrip(":")) % 3 for text in second} == {0, 1}
    assert report.train.documents == len(first) + len(second)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["train.1.txt", "train.2.txt", "valid.txt"]


def test_a_stage_without_documents_is_an_error(tmp_path: Path) -> None:
    texts = [RawText(story(1), source="a"), RawText("short", source="b")]
    with pytest.raises(CorpusError, match=r"left for .*train\.2\.txt of 2 read \(1 had fewer"):
        prepare(texts, tmp_path / "train.txt", tmp_path / "valid.txt", stages=[["a"], ["b"]])
    assert list(tmp_path.iterdir()) == []


def test_repaired_damage_is_counted(tmp_path: Path) -> None:
    texts = [story(1), story(2) + " don\u2019t", story(3) + " <b>PokÃ©mon</b>"]
    report = prepare(raw(texts), tmp_path / "train.txt", tmp_path / "valid.txt")
    assert report.repaired == {"curly quotes and long dashes": 1, "wrong encoding": 1, "HTML": 1}
    examples = report.repair_examples
    assert examples["wrong encoding"][0].endswith(" <b>PokÃ©mon</b>")
    assert examples["wrong encoding"][1].endswith(" Pokémon")
    assert examples.keys() == report.repaired.keys()


@pytest.mark.parametrize(
    ("raw", "damage", "before", "after"),
    [
        ("Long ago, PokÃ©mon\nwere wild.", "wrong encoding", "PokÃ©mon were wild.", "Pokémon were"),
        ("A\x00B\u200bC", "invisible characters", r"A\x00B\u200bC", "ABC"),
        ("a {{p|Mew}}", "wiki markup", "a {{p|Mew}}", "a Mew"),
        ("a\ndocument.write('x')", "scripts", "a document.write('x')", "a"),
        ("word " * 50 + "<br>" + " word" * 50, "HTML", "word <br> word", "word word"),
    ],
)
def test_repaired_damage_is_shown(
    tmp_path: Path, raw: str, damage: str, before: str, after: str
) -> None:
    report = prepare([RawText(raw)], tmp_path / "a.txt", tmp_path / "b.txt", min_words=1)
    shown = report.repair_examples[damage]
    assert before in shown[0]
    assert after in shown[1]
    assert max(map(len, shown)) < 100


def test_an_empty_report_is_all_zero() -> None:
    assert Report().cleaned_away == 0
