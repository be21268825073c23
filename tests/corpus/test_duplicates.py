from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.cleaning import clean
from corpus.documents import read_texts
from corpus.duplicates import NearDuplicates, RepeatedLines


def words(seed: int, count: int = 300) -> list[str]:
    random = Random(seed)
    return ["".join(random.choices("abcdefghiklmnoprstu", k=5)) for _ in range(count)]


def clusters(texts: list[str]) -> list[list[int]]:
    near = NearDuplicates()
    for text in texts:
        near.add(text)
    return near.clusters()


def runs(text: str) -> set[tuple[str, ...]]:
    split = text.lower().split()
    return {tuple(split[i : i + 5]) for i in range(max(1, len(split) - 4))}


def similarity(one: str, other: str) -> float:
    return len(runs(one) & runs(other)) / len(runs(one) | runs(other))


@pytest.mark.parametrize("seed", range(20))
def test_a_few_changed_words_make_a_near_duplicate(seed: int) -> None:
    original = words(seed)
    changed = [*original]
    for place in Random(seed).sample(range(len(changed)), 3):
        changed[place] = "changed"
    texts = [" ".join(original), " ".join(words(seed + 1000)), " ".join(changed)]
    assert similarity(texts[0], texts[2]) > 0.88
    assert clusters(texts) in ([[0, 2]], [[2, 0]])


def test_of_books_too() -> None:
    book = words(1, 35_000)
    rest = book[:10_002] + ["changed"] + book[10_003:]
    texts = [" ".join(book), " ".join(book[:15_000] + words(2, 20_000)), " ".join(rest)]
    assert clusters(texts) == [[2, 0]]


@pytest.mark.parametrize("seed", range(20))
def test_half_a_text_is_none(seed: int) -> None:
    original = words(seed)
    texts = [" ".join(original), " ".join(original[:150] + words(seed + 1000, 150))]
    assert clusters(texts) == []


def test_the_longest_comes_first_then_the_earliest() -> None:
    text = " ".join(words(1))
    texts = [text, "x " + text, text + " y", text.upper(), " ".join(words(2)), " ".join(words(2))]
    assert clusters(texts) == [[1, 2, 0, 3], [4, 5]]


@given(st.lists(st.sampled_from(["", "a", "a b", "a b c d e", "b a", "A B"])))
def test_short_texts_are_near_duplicates_only_of_equal_ones(texts: list[str]) -> None:
    wanted: dict[str, list[int]] = {}
    for number, text in enumerate(texts):
        wanted.setdefault(text.lower(), []).append(number)
    found = {frozenset(cluster) for cluster in clusters(texts)}
    assert found == {frozenset(group) for group in wanted.values() if len(group) > 1}


def test_real_guides(shared_data: Path) -> None:
    """Against every pair's similarity, counted."""
    texts = [clean(raw.text) for raw in read_texts(shared_data / "episodes_serebii")]
    texts = [text for text in texts if len(text.split()) >= 20]
    sizes = [len(runs(text)) for text in texts]
    similar = {
        (i, j): similarity(texts[i], texts[j])
        for i in range(len(texts))
        for j in range(i)
        if 2 * min(sizes[i], sizes[j]) > max(sizes[i], sizes[j]) and min(sizes[i], sizes[j]) < 500
    }
    found = clusters(texts)
    together = {pair for pair in similar if any({*pair} <= {*cluster} for cluster in found)}
    assert len(together) >= 3
    assert {pair for pair, share in similar.items() if share > 0.81} <= together
    assert together <= {pair for pair, share in similar.items() if share > 0.65}


def repeated(texts: list[str]) -> RepeatedLines:
    lines = RepeatedLines()
    for text in texts:
        lines.add(text)
    lines.finish()
    return lines


FOOTER = "Thanks for reading, and subscribe."


@pytest.mark.parametrize(
    ("with_it", "without", "removed"), [(6, 0, 1), (5, 0, 0), (6, 24, 1), (6, 25, 0), (200, 700, 1)]
)
def test_a_line_in_a_fifth_of_the_documents_and_more_than_five(
    with_it: int, without: int, removed: int
) -> None:
    lines = repeated([f"A {n}\n{FOOTER}" for n in range(with_it)] + ["B"] * without)
    text, found = lines.remove(f"A\n{FOOTER}")
    assert found == [FOOTER] * removed
    assert text == ("A" if removed else f"A\n{FOOTER}")


def test_a_document_counts_once_and_short_lines_never() -> None:
    lines = repeated([f"{FOOTER}\n{FOOTER}\n{FOOTER}"] * 5 + ["What do you mean?"] * 20)
    assert lines.remove(f"What do you mean?\n{FOOTER}")[1] == []


def test_what_is_left_is_a_clean_text() -> None:
    lines = repeated([f"{FOOTER}\n\nA {n}\n\n{FOOTER}\n\nB\nC\n{FOOTER}" for n in range(9)])
    assert lines.remove(f"{FOOTER}\n\nA\n\n{FOOTER}\n\nB\nC\n{FOOTER}")[0] == "A\n\nB\nC"
    assert lines.remove(FOOTER) == ("", [FOOTER])


def test_what_novels_say_in_the_middle_is_no_boilerplate() -> None:
    saying = "He did not know what to say."
    texts = ["\n".join([*words(n, 30), saying, *words(-n, 30)]) for n in range(1, 20)]
    lines = repeated(texts)
    assert lines.remove(texts[0]) == (texts[0], [])
    # Nor if it is one at the ends.
    lines = repeated([f"{saying}\n{text}\n{saying}" for text in texts])
    assert lines.remove(f"{saying}\n{texts[0]}\n{saying}") == (texts[0], [saying] * 2)


def test_a_line_among_very_many_is_found() -> None:
    lines = RepeatedLines()
    for document in range(15_000):
        own = (f"This line is the {n}. of {document}" for n in range(20))
        lines.add("\n".join([*own, FOOTER] if document % 3 == 0 else own))
    assert lines.finish()
    assert lines.remove(f"A\n{FOOTER}") == ("A", [FOOTER])
