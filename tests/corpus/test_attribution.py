import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus import attribution
from corpus.documents import CorpusError, CorpusFolder, Document, read_texts

ROOT = Path(__file__).parents[2]
NC = "CC BY-NC-SA 2.5"


def fill(folder: Path, *origins: tuple[str | None, str | None, str | None, str | None]) -> Path:
    """A corpus folder with a document of each source, URL, date and licence."""
    CorpusFolder(folder).put(
        Document(
            id=f"{number:03}",
            text=" ".join(f"word{number * i}" for i in range(70)),
            source=source,
            url=url,
            date=date,
            license=licence,
        )
        for number, (source, url, date, licence) in enumerate(origins, start=1)
    )
    return folder


def test_it_says_whose_the_texts_are_and_on_which_terms(tmp_path: Path) -> None:
    folder = fill(
        tmp_path,
        ("Bulbapedia", "https://b.example/wiki/A", "2018-01-05", NC),
        ("A Wiki", "https://w.example/A", None, "CC BY-SA 4.0"),
        ("Bulbapedia", "https://b.example/wiki/B", "2024-05-06T07:08:09Z", NC),
        ("Bulbapedia", "https://b.example/wiki/C", "2020-05-06T07:08:09Z", NC),
        (None, None, None, "by kind permission of Ada"),
        ("blog", "https://me.example", None, None),
    )
    details = "Title, URL and revision of each stand in index.jsonl of the corpus folder."
    alike = "To be shared alike: what is made of them is under the same licence."
    text = attribution.update_folder(folder)
    assert text.split("\n\n") == [
        "A Wiki (https://w.example), CC BY-SA 4.0\n1 text by its authors.\n"
        f"Licence: https://creativecommons.org/licenses/by-sa/4.0/\n{alike}\n{details}",
        "Bulbapedia (https://b.example), CC BY-NC-SA 2.5\n"
        "3 texts by its authors, the newest of 2024-05-06.\n"
        "Licence: https://creativecommons.org/licenses/by-nc-sa/2.5/\n"
        f"{attribution.NON_COMMERCIAL}\n{alike}\n{details}",
        f"Unknown, by kind permission of Ada\n1 text by its authors.\n{details}\n",
    ]
    assert (folder / "ATTRIBUTION.txt").read_text(encoding="utf-8") == text
    assert len(list(read_texts(folder))) == 6  # it is no document
    assert not list(folder.glob(".*"))


def test_ones_own_texts_need_none(tmp_path: Path) -> None:
    folder = fill(tmp_path, ("blog", "https://me.example", None, None))
    assert attribution.update_folder(folder) == ""
    assert not (folder / "ATTRIBUTION.txt").exists()
    assert attribution.carry([folder], tmp_path / "train.txt") == ""
    assert not (tmp_path / "train.txt.attribution").exists()


def test_what_somebody_wrote_counts_where_the_index_tells_nothing(tmp_path: Path) -> None:
    (tmp_path / "ATTRIBUTION.txt").write_text("Ada's letters, CC BY-NC 4.0\n")
    assert attribution.of_folder(tmp_path) == "Ada's letters, CC BY-NC 4.0\n"
    (tmp_path / "ATTRIBUTION.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(CorpusError, match=r"ATTRIBUTION\.txt"):
        attribution.of_folder(tmp_path)


def test_sources_of_all_kinds_are_carried_on(tmp_path: Path) -> None:
    one = fill(tmp_path / "one", ("W", None, None, NC))
    two = fill(tmp_path / "two", ("W", None, None, NC), ("W", None, None, NC))
    old = tmp_path / "old.txt"
    (tmp_path / "old.txt.attribution").write_text("Somebody, CC BY 3.0\nA line.\n")
    text = attribution.carry([one, old, two, tmp_path / "own.txt"], tmp_path / "train.txt")
    blocks = text.split("\n\n")
    assert [block.partition("\n")[0] for block in blocks] == [f"W, {NC}", "Somebody, CC BY 3.0"]
    assert "2 texts" in blocks[0]  # of the same source and licence the last
    assert attribution.of_corpus(tmp_path / "train.txt") == text
    assert attribution.license_ids(text) == ["CC-BY-NC-SA-2.5", "CC-BY-3.0"]
    # Another corpus of the name does not keep it.
    attribution.carry([tmp_path / "own.txt"], tmp_path / "train.txt")
    assert attribution.of_corpus(tmp_path / "train.txt") == ""


@pytest.mark.parametrize(
    ("text", "forbidden"),
    [
        (NC, True),
        ("CC BY-NC 4.0", True),
        ("Attribution-NonCommercial", True),
        ("for non commercial use", True),
        ("CC BY-SA 4.0", False),
        ("CC0 1.0", False),
        ("", False),
    ],
)
def test_non_commercial_licences_are_known(text: str, forbidden: bool) -> None:
    assert attribution.is_non_commercial(text) is forbidden


@pytest.mark.parametrize(
    ("text", "url", "name"),
    [
        (
            "Attribution-NonCommercial-ShareAlike 2.5",
            "http://creativecommons.org/licenses/by-nc-sa/2.5/",
            NC,
        ),
        ("CC0", "https://creativecommons.org/publicdomain/zero/1.0/", "CC0 1.0"),
        ("GNU\n FDL 1.3", None, "GNU FDL 1.3"),
        (None, "https://w.example/terms", "https://w.example/terms"),
        (None, None, None),
        ("", "", None),
    ],
)
def test_names_of_licences(text: str | None, url: str | None, name: str | None) -> None:
    assert (attribution.license_name(text, url) or None) == name


@given(st.lists(st.text()))
def test_joining_takes_any_text_and_changes_nothing_twice(texts: list[str]) -> None:
    once = attribution.joined(texts)
    assert attribution.joined([once]) == once
    assert attribution.joined([once, once]) == once
    attribution.is_non_commercial(once)
    attribution.license_ids(once)


def test_prepare_corpus_carries_it_and_says_non_commercial(tmp_path: Path) -> None:
    fill(tmp_path / "eps", ("Bulbapedia", "https://b.example/wiki/A", "2018-01-05", NC))
    result = subprocess.run(
        [sys.executable, ROOT / "prepare_corpus.py", "eps", "--out", "train.txt"],
        cwd=tmp_path,
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith(f"{attribution.NON_COMMERCIAL}\n")
    text = (tmp_path / "train.txt.attribution").read_text(encoding="utf-8")
    assert text == attribution.of_folder(tmp_path / "eps")


def test_each_stage_has_the_attribution_of_its_own_sources(tmp_path: Path) -> None:
    fill(tmp_path / "eps", ("Bulbapedia", "https://b.example/wiki/A", "2018-01-05", NC))
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "a.txt").write_text(" ".join(f"mine{i}" for i in range(90)))
    script = [sys.executable, ROOT / "prepare_corpus.py", "eps", "mine", "--stages", "eps,mine"]
    result = subprocess.run(
        [*script, "--out", "train.txt"],
        cwd=tmp_path,
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "non-commercial" in result.stdout
    assert "Bulbapedia" in attribution.of_corpus(tmp_path / "train.1.txt")
    assert attribution.of_corpus(tmp_path / "train.2.txt") == ""
