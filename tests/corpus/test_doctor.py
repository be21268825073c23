"""The corpus doctor: its numbers, its advice and its page."""

import json
import tempfile
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import html

from corpus.doctor import (
    Examination,
    Left,
    Repaired,
    add_sources,
    conclude,
    examine,
    write_report,
)
from corpus.documents import CorpusError, CorpusFolder, Document, write_documents
from training.plan import FINE_TUNING

STORY = "Wren rows home before the fog. The otter follows, and says nothing of the pie. "


@pytest.fixture
def train(tmp_path: Path) -> Path:
    return tmp_path / "train.txt"


def examined(train: Path, texts: list[str], held_out: list[str] | None = None) -> Examination:
    valid = train.with_name("valid.txt")
    write_documents(texts, train)
    write_documents(held_out or [], valid)
    found = examine([train], valid, count_tokens=lambda text: len(text.split()))
    conclude(found)
    return found


def advice(found: Examination) -> str:
    return " ".join(found.advice)


def test_it_counts_what_is_there(train: Path) -> None:
    found = examined(train, ["one two three", "four five"], ["six"])
    assert (found.train.documents, found.train.words, found.train.tokens) == (2, 5, 5)
    assert (found.valid.documents, found.valid.characters) == (1, 3)
    assert found.longest == 3


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=60))
def test_every_document_stands_in_the_histogram(lengths: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = examined(Path(folder, "train.txt"), ["word " * length for length in lengths])
    assert sum(count for _, count in found.lengths) == len(lengths)
    assert len(found.lengths) <= 23
    starts = [start for start, _ in found.lengths]
    assert starts == sorted(set(starts))
    assert starts[0] <= min(lengths)


def test_without_a_vocabulary_tokens_are_estimated(train: Path) -> None:
    write_documents(["four words of text"], train)
    found = examine([train], train)
    assert 4 <= found.train.tokens <= 6
    assert "about" in found.vocabulary


def test_a_small_corpus_is_told_when_it_will_be_copied(train: Path) -> None:
    found = examined(train, [STORY * 100] * 3)
    assert "Too small: 4,500 tokens. Expect copying after about 10 steps" in advice(found)
    assert "Nothing is held out" in advice(found)
    assert "ten documents at least" in advice(found)
    assert "--holdout does that" in advice(examined(train, [STORY] * 10))


def test_a_large_corpus_is_not(train: Path) -> None:
    found = examined(train, [STORY * 700] * 100, [STORY])
    assert found.advice[0] == "A good size: 1,050,000 tokens."
    # Three times through the corpus with train_gpt2.py's defaults.
    assert found.steps == pytest.approx(3 * 1_050_000 / FINE_TUNING.tokens_per_step(1024), rel=0.02)
    minutes = [estimate.minutes for estimate in found.estimates]
    assert minutes == sorted(minutes, reverse=True)
    assert minutes[-1] > 0


def test_chat_is_told_from_prose(train: Path) -> None:
    chat = "\n".join(
        ["lol", "where are you", "home", "A long line that tells what has happened here."]
    )
    assert "75% of your lines are chat one-liners" in advice(examined(train, [chat] * 5))
    assert "one-liners" not in advice(examined(train, [STORY] * 5))


def test_one_document_that_outweighs_all(train: Path) -> None:
    found = examined(train, [STORY * 50, *[STORY] * 20])
    assert "One document holds 71% of all words" in advice(found)


def test_what_was_dropped_most_is_asked_about(train: Path) -> None:
    found = examined(train, [STORY] * 5)
    found.dropped = [Left("fewer than 60 words", 15, 300), Left("duplicate", 1, 90)]
    conclude(found)
    assert "15 of 21 documents were dropped: fewer than 60 words (--min-words" in advice(found)
    assert "duplicate" not in advice(found)
    found.dropped = [Left("repeats its words", 15, 300)]
    conclude(found)
    assert "were dropped: repeats its words. Is that right?" in advice(found)


def test_personal_data_that_is_left_is_told(train: Path) -> None:
    found = examined(train, [f"{STORY} Write to wren@pier.example or otter@pier.example."])
    assert found.personal == {"mail address": 2}
    assert "Still in the text: 2 mail addresses." in advice(found)


def test_several_languages(train: Path) -> None:
    texts = [STORY, STORY, STORY, f"Der {STORY}"]
    write_documents(texts, train)
    found = examine([train], train, language=lambda text: "de" if text.startswith("Der") else "en")
    conclude(found)
    assert found.languages == {"en": 3, "de": 1}
    assert "Several languages (en, de)" in advice(found)


def test_lines_and_phrases_that_repeat(train: Path) -> None:
    texts = [
        f"{number} came home.\nSubscribe to my channel for more of this" for number in range(30)
    ]
    found = examined(train, texts)
    assert found.repeated_lines == [("Subscribe to my channel for more of this", 30)]
    assert found.repeated_phrases[0][1] == 30
    assert len(found.repeated_phrases) == 1  # not each of its shifted copies
    assert "stands there 30 times" in advice(found)


def test_lines_and_phrases_that_come_twice_fill_no_table(train: Path) -> None:
    """Or each new one would count anew what is there, for hours."""
    random = Random(1)
    texts = [" ".join(str(random.random()) for _ in range(5000)) for _ in range(50)]
    found = examined(train, [text for text in texts for _ in range(2)] + ["a b c d e f"] * 9)
    assert ("a b c d e f", 9) in found.repeated_phrases


def test_of_a_large_corpus_a_part_is_looked_at(
    train: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("corpus.doctor._MOST_EXAMINED", 300)
    texts = [f"{STORY} Write to wren@pier.example."] * 9
    for part, sampled, addresses in ((texts[:1], 1, 1), (texts, 4, 3)):
        found = examined(train, part)
        assert (found.sampled, found.personal) == (sampled, {"mail address": addresses})


def test_far_years_are_no_thousand_bars(tmp_path: Path) -> None:
    dates = ["0001-01-01", "2019", "2021-05-06", "²²²²-01-01", "soon"]
    CorpusFolder(tmp_path).put(
        Document(id=f"d{n}", text=STORY, date=date) for n, date in enumerate(dates)
    )
    found = Examination("none")
    add_sources(found, [tmp_path])
    assert found.years == {"0001": 1, "2019": 1, "2021": 1}


@pytest.mark.parametrize("report", ["", "[]", '{"masked": 3}', "{}"])
def test_a_broken_report_of_an_import_is_told(tmp_path: Path, report: str) -> None:
    (tmp_path / "import.json").write_text(report)
    with pytest.raises(CorpusError, match=r"import\.json: not the report of an import"):
        add_sources(Examination("none"), [tmp_path])


def test_what_the_sources_say(tmp_path: Path) -> None:
    folder = CorpusFolder(tmp_path / "blog")
    dates = ["2019-01-02", "2021-05-06T01:02:03", None]
    folder.put(
        Document(id=f"d{n}", text=STORY, date=date, license="CC BY-NC-SA 2.5")
        for n, date in enumerate(dates)
    )
    (tmp_path / "blog" / "import.json").write_text('{"masked": {"IBAN": 2}}')
    found = Examination("none")
    add_sources(found, [tmp_path / "blog", tmp_path / "nothing"])
    assert found.years == {"2019": 1, "2020": 0, "2021": 1}
    assert found.licenses == {"CC BY-NC-SA 2.5": 3}
    assert found.masked == {"IBAN": 2}
    conclude(found)
    assert "non-commercial" in advice(found)


def test_the_page_needs_nothing_else_and_escapes(train: Path) -> None:
    found = examined(
        train, ["<script>alert(1)</script> and so on, and so on it goes, he said."] * 4
    )
    found.dropped = [Left("too short", 1, 2, ["<img src=x onerror=alert(2)>"])]
    found.clusters = [["One & only", "Another"]]
    found.repaired = [Repaired("HTML", 3, "<b>bold</b>", "bold"), Repaired("scripts", 1)]
    found.clusters.append([f"no. {n}" for n in range(5000)])
    found.sampled = 1200
    page, twin = train.with_name("r.html"), train.with_name("r.json")
    write_report(found, page, twin, title="<b>mine</b>")
    assert "no. 9 and 4,990 more" in page.read_text()
    assert "of one document in 1,200" in page.read_text()
    tree = html.fromstring(page.read_text())
    assert not tree.xpath("//script | //img | //link | //@src | //@href | //b[text()='mine']")
    assert "url(" not in page.read_text() and "http" not in page.read_text()
    assert "<script>alert(1)</script>" in " ".join(tree.itertext())
    assert tree.xpath("string(//h1)") == "<b>mine</b>"
    read = json.loads(twin.read_text())
    assert read["train"]["documents"] == 4
    assert read["advice"] == found.advice


def test_an_empty_corpus_has_a_page(train: Path) -> None:
    found = examined(train, [])
    write_report(found, train.with_name("r.html"), train.with_name("r.json"), title="none")
    assert "Too small: 0 tokens" in advice(found)
