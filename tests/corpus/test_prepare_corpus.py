import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from corpus.copies import CopyIndex, index_of, up_to_date
from corpus.documents import CorpusFolder, Document, read_documents, text_files

ROOT = Path(__file__).parents[2]
NAMES = ("train.txt", "train.txt.copies", "valid.txt")


def run(script: str, *arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        [sys.executable, ROOT / script, *arguments],
        cwd=cwd,
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in result.stderr
    return result


def story(number: int) -> str:
    return f"Story {number}: " + " ".join(f"word{number * i}" for i in range(70))


def write_folder(folder: Path, numbers: range) -> Path:
    folder.mkdir(parents=True)
    for number in numbers:
        (folder / f"{number:03}.txt").write_text(story(number) + "\n")
    return folder


def test_folders_and_files_become_two_files_and_a_table(tmp_path: Path) -> None:
    write_folder(tmp_path / "a", range(40))
    write_folder(tmp_path / "b", range(30, 50))
    (tmp_path / "c.txt").write_text(f"{story(60)}\n<|endoftext|>\nA stub.\n")
    result = run("prepare_corpus.py", "a", "b", "c.txt", "--out", "out/eps.txt", cwd=tmp_path)
    assert result.returncode == 0
    train = list(read_documents(tmp_path / "out/eps.txt"))
    valid = list(read_documents(tmp_path / "out/eps.valid.txt"))
    assert sorted(train + valid) == sorted(story(n) for n in [*range(50), 60])
    counts = {
        line.split("  ")[0].strip(): line.split("  ", 1)[1].split()
        for line in result.stdout.splitlines()
    }
    assert counts["read"][0] == "62"
    assert counts["dropped: fewer than 60 words"][0] == "1"
    assert counts["dropped: duplicate"][0] == "10"
    assert counts["training: out/eps.txt"][0] == str(len(train))
    assert counts["held out: out/eps.valid.txt"][0] == str(len(valid))
    assert counts["copy index: out/eps.txt.copies"][0] == str(len(train))
    assert up_to_date(tmp_path / "out/eps.txt", tmp_path / "out/eps.txt.copies")


def test_copied_words_are_found_with_the_titles_of_their_documents(tmp_path: Path) -> None:
    CorpusFolder(tmp_path / "a").put(
        [Document(id=f"EP{n:03}", text=story(n), title=f"The {n}. tale") for n in range(40)]
    )
    (tmp_path / "z.txt").write_text(story(50))
    assert (
        run("prepare_corpus.py", "a", "z.txt", "--out", "train.txt", cwd=tmp_path).returncode == 0
    )
    train = tmp_path / "train.txt"
    index = CopyIndex.open(index_of(train))
    for text in read_documents(train):
        number = text.split()[1].rstrip(":")
        title = story(50)[:60] if number == "50" else f"The {number}. tale"
        [copy] = index.find(text)
        assert (copy.start, copy.end, copy.words) == (0, len(text), 72)
        assert copy.source.startswith(title)
    for text in read_documents(tmp_path / "valid.txt"):
        assert index.find(text) == []


def test_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    write_folder(tmp_path / "a", range(30))
    results = []
    for _ in range(2):
        run("prepare_corpus.py", "a", "--out", "train.txt", cwd=tmp_path)
        results.append([(tmp_path / name).read_bytes() for name in NAMES])
    assert results[0] == results[1]


def test_a_stages_index_knows_the_stages_before(tmp_path: Path) -> None:
    write_folder(tmp_path / "authors", range(20))
    write_folder(tmp_path / "blog", range(20, 40))
    (tmp_path / "mine.txt").write_text(story(41))
    arguments = ("authors", "blog", "mine.txt", "--stages", "authors,blog+mine")
    assert run("prepare_corpus.py", *arguments, "--mix", "mine=2", cwd=tmp_path).returncode == 0
    first, second = (tmp_path / "data" / f"train.{n}.txt" for n in (1, 2))
    texts = [list(read_documents(path)) for path in (first, second)]
    assert texts[1].count(story(41)) == 2
    indexes = [CopyIndex.open(index_of(path)) for path in (first, second)]
    for index, known, unknown in (
        (indexes[0], texts[0], texts[1]),
        (indexes[1], texts[0] + texts[1], list(read_documents(tmp_path / "data/valid.txt"))),
    ):
        for text in known:
            [copy] = index.find(text)
            number = int(text.split()[1].rstrip(":"))
            assert copy.source.startswith(story(41)[:60] if number == 41 else f"{number:03}")
        assert not any(index.find(text) for text in unknown)
    assert up_to_date(first, index_of(first))
    assert up_to_date(second, index_of(second))


def test_the_same_source_twice_counts_once(tmp_path: Path) -> None:
    write_folder(tmp_path / "a", range(3))
    (tmp_path / "again").symlink_to("a")
    arguments = ("a", tmp_path / "a", "again", "--stages", " a ", "--mix", "a=2")
    result = run("prepare_corpus.py", *arguments, cwd=tmp_path)
    assert result.returncode == 0
    assert "duplicate" not in result.stdout
    assert sorted(read_documents(tmp_path / "data/train.1.txt")) == sorted(
        2 * [story(n) for n in range(3)]
    )


def test_a_broken_attribution_is_told_with_what_is_written(tmp_path: Path) -> None:
    write_folder(tmp_path / "a", range(3))
    (tmp_path / "a/ATTRIBUTION.txt").write_bytes(b"\xff")
    result = run("prepare_corpus.py", "a", cwd=tmp_path)
    assert result.returncode == 1
    message = result.stderr.splitlines()[-1]
    assert "the texts are written, but" in message
    assert "ATTRIBUTION.txt: not UTF-8 text" in message


def test_the_report_of_a_corpus_with_odd_names(tmp_path: Path) -> None:
    write_folder(tmp_path / "a", range(3))
    for name in (b"caf\xe9.txt", b"<b>.txt"):
        Path(os.fsdecode(os.fsencode(tmp_path / "a") + b"/" + name)).write_text("Too short.")
    result = run("prepare_corpus.py", "a", "--report", cwd=tmp_path)
    assert result.returncode == 0
    page = (tmp_path / "data/train.report.html").read_text()
    assert "caf?" in page
    assert "&lt;b&gt;" in page
    read = json.loads((tmp_path / "data/train.report.json").read_text())
    assert read["dropped"][0]["examples"] == ["<b>", "caf?"]


def test_what_repeats_goes_unless_it_is_to_be_kept(tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / "a").mkdir(exist_ok=True)
        (tmp_path / "a" / f"{number}.txt").write_text(
            f"{story(number)}\nPlease do not repost this.\n"
        )
    (tmp_path / "a" / "x.txt").write_text(f"{story(1)} and so on\nPlease do not repost this.\n")
    kept = ("--keep-near-duplicates", "--keep-repeated-lines")
    for arguments, documents, lines in (((), 10, 0), (kept, 11, 11)):
        out = tmp_path / "train.txt"
        result = run(
            "prepare_corpus.py", "a", "--out", out, "--holdout", "0", *arguments, cwd=tmp_path
        )
        texts = list(read_documents(out))
        assert len(texts) == documents
        assert sum(text.count("Please do not repost this.") for text in texts) == lines
        assert ("--keep-repeated-lines keeps them" in result.stdout) is (not arguments)


def test_without_sources_it_takes_all_corpora_but_the_sample(tmp_path: Path) -> None:
    write_folder(tmp_path / "data/sample", range(5))
    (tmp_path / "data/empty").mkdir()
    run("prepare_corpus.py", cwd=tmp_path)
    assert list(read_documents(tmp_path / "data/train.txt")) == [story(n) for n in range(5)]
    write_folder(tmp_path / "data/mine", range(10, 13))
    run("prepare_corpus.py", cwd=tmp_path)
    assert list(read_documents(tmp_path / "data/train.txt")) == [story(n) for n in range(10, 13)]
    assert (tmp_path / "data/valid.txt").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "no SOURCE_DIR"),
        (["nowhere"], 1, "nowhere: no such folder or file"),
        (["a", "--min-words", "1000"], 1, "no document is left of 3 read"),
        (["a", "--holdout", "0.9"], 2, "--holdout"),
        (["a", "--holdout", "nan"], 2, "--holdout"),
        (["a", "--min-words", "-1"], 2, "--min-words"),
        (["a", "--out", "a/train.txt"], 2, "must not lie in the source"),
        (["a/000.txt", "--out", "a/000.txt"], 2, "must not lie in the source"),
        (["a", "--out", "x.txt", "--valid", "./x.txt"], 2, "must differ"),
        (["a", "--max-words", "9"], 2, "--max-words"),
        (["a", "--language", "english"], 2, "--language: english is none of ace af am "),
        (["a", "--mix", "b=2"], 2, "b is none of the sources a"),
        (["a", "--mix", "a=0"], 2, "not NAME=WEIGHT"),
        (["a", "--mix", "a"], 2, "not NAME=WEIGHT"),
        (["a", "--mix", "a=nan"], 2, "not NAME=WEIGHT"),
        (["a", "--mix", "a=often"], 2, "not NAME=WEIGHT"),
        (["a", "--mix", "a=1", "--mix", "a=2"], 2, "a has more than one weight"),
        (["a", "nowhere"], 1, "nowhere: no such folder or file"),
        (["a", "empty"], 1, "empty: no .txt files in it"),
        (["a", "--out", "."], 2, "--out: . is a folder"),
        (["a", "--valid", "empty"], 2, "--valid: empty is a folder"),
        (["a", "--report", "--vocabulary", "empty"], 1, "empty"),
        (["a", "--vocabulary", "empty"], 2, "--vocabulary: is for --report"),
        (["a", "--stages", "b"], 2, "each source once: a"),
        (["a", "--stages", "a,a"], 2, "each source once: a"),
        (["a", "--stages", "a", "--valid", "data/train.1.txt"], 2, "must differ"),
    ],
)
def test_wrong_use_is_told(tmp_path: Path, arguments: list[str], code: int, message: str) -> None:
    write_folder(tmp_path / "a", range(3))
    (tmp_path / "empty").mkdir()
    result = run("prepare_corpus.py", *arguments, cwd=tmp_path)
    assert result.returncode == code
    assert "0%" not in result.stderr or "is left" in message  # before the work
    assert message in result.stderr.splitlines()[-1]
    assert len(list((tmp_path / "a").iterdir())) == 3


def test_real_pages_to_sixty_documents(shared_data: Path, tmp_path: Path) -> None:
    pages = shared_data.resolve() / "bulbapedia/html2018"
    assert (
        run("crawler_bulbapedia.py", "--from", pages, "--out", "eps", cwd=tmp_path).returncode == 0
    )
    assert run("prepare_corpus.py", "eps", "--out", "eps.txt", cwd=tmp_path).returncode == 0
    train = list(read_documents(tmp_path / "eps.txt"))
    valid = list(read_documents(tmp_path / "eps.valid.txt"))
    assert len(train) + len(valid) == 60
    assert len(valid) >= 1
    # Two dashes are all that cleaning finds to change in them.
    plots = [p.read_text(encoding="utf-8").strip() for p in text_files(tmp_path / "eps")]
    assert sorted(train + valid) == sorted(plot.replace("\u2014", "--") for plot in plots)


def test_real_guides_lose_their_warts(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data.resolve() / "episodes_serebii"
    result = run("prepare_corpus.py", source, "--out", "train.txt", cwd=tmp_path)
    assert result.returncode == 0
    train = (tmp_path / "train.txt").read_text(encoding="utf-8")
    assert "it's also a place" in train  # was U+0092
    assert "in Houen... a young" in train  # was U+0085
    assert not any("\x7f" <= c <= "\x9f" for c in train)
    assert "document.write" not in train
    assert "Coming Soon" not in train  # stubs
