import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Answer, FakeWiki, episode

SCRIPT = Path(__file__).parents[2] / "crawler_bulbapedia.py"


@pytest.fixture
def start(fake_wiki: FakeWiki, tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    fake_wiki.robots = Answer(200, b"User-agent: *\nCrawl-delay: 0\n")
    fake_wiki.pages = {f"EP{n:03}": (n, episode(f"Plot {n}.")) for n in range(1, 121)}

    def run(*arguments: str, out: str | None = "eps") -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(SCRIPT), *(["--out", out] if out else []), *arguments],
            cwd=tmp_path,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    return run


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    return process.returncode, out, err


def network(wiki: FakeWiki) -> list[str]:
    return ["--contact", "me@example.org", "--api", wiki.url, "--series", "EP"]


def valid_documents(folder: Path) -> list[str]:
    """The codes of a folder, once it is known that text and index agree."""
    lines = (folder / "index.jsonl").read_text(encoding="utf-8").splitlines()
    codes = [json.loads(line)["id"] for line in lines]
    for code in codes:
        assert (folder / f"{code}.txt").read_text() == f"Plot {int(code[2:])}.\n"
    return codes


def test_it_downloads_resumes_and_attributes(
    start: Callable[..., subprocess.Popen[str]], fake_wiki: FakeWiki, tmp_path: Path
) -> None:
    code, out, err = finish(start(*network(fake_wiki), "--limit", "60"))
    assert code == 0
    assert "60 new" in out
    assert "CC BY-NC-SA 2.5" in out
    assert "non-commercial" in out
    assert "60/60" in err
    fake_wiki.requests.clear()
    code, out, _ = finish(start(*network(fake_wiki)))
    assert code == 0
    assert "60 new, 60 unchanged" in out
    assert len(valid_documents(tmp_path / "eps")) == 120
    assert not set(fake_wiki.fetched) & {f"EP{n:03}" for n in range(1, 61)}


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_ended_midway_it_leaves_whole_documents_and_goes_on_there(
    start: Callable[..., subprocess.Popen[str]],
    fake_wiki: FakeWiki,
    tmp_path: Path,
    sent: signal.Signals,
) -> None:
    running: list[subprocess.Popen[str]] = []
    started = threading.Event()

    def end_it(request: dict[str, str]) -> None:
        if len(fake_wiki.requests) == 2:
            started.wait()
            os.kill(running[0].pid, sent)

    fake_wiki.before_answer = end_it
    running.append(start(*network(fake_wiki)))
    started.set()
    code, _, err = finish(running[0])
    if sent is signal.SIGINT:
        assert code == 130
        assert "Interrupted" in err
    else:
        assert code == -signal.SIGKILL
    assert len(valid_documents(tmp_path / "eps")) == 50

    fake_wiki.before_answer = lambda request: None
    fake_wiki.requests.clear()
    code, out, _ = finish(start(*network(fake_wiki)))
    assert code == 0
    assert "70 new, 50 unchanged" in out
    assert len(valid_documents(tmp_path / "eps")) == 120
    assert min(fake_wiki.fetched) == "EP051"


def test_a_refusal_is_explained_with_the_way_out(
    start: Callable[..., subprocess.Popen[str]], fake_wiki: FakeWiki
) -> None:
    fake_wiki.faults = [Answer(403, b"<title>Just a moment...</title>")]
    code, _, err = finish(start(*network(fake_wiki)))
    assert code == 1
    assert "403" in err
    assert "--from" in err
    assert "Special:Export" in err
    assert len(fake_wiki.requests) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--contact"),
        (["--from", "x", "--series", "EP"], "--series"),
        (["--contact", "me", "--series", "QQ"], "QQ"),
        (["--contact", "me", "--limit", "0"], "--limit"),
        (["--contact", "mé"], "--contact"),
    ],
)
def test_wrong_use_is_told(
    start: Callable[..., subprocess.Popen[str]], arguments: list[str], message: str
) -> None:
    code, _, err = finish(start(*arguments))
    assert code == 2
    assert message in err.splitlines()[-1]


def test_another_wiki_goes_into_a_folder_of_its_name(
    start: Callable[..., subprocess.Popen[str]], fake_wiki: FakeWiki, tmp_path: Path
) -> None:
    fake_wiki.site["general"]["sitename"] = "Le Wiki: été/hiver"
    fake_wiki.pages = {f"Page {n}": (n, f"==Story==\nText {n}.") for n in range(1, 4)}
    fake_wiki.pages["Stub"] = (9, "Nothing.")
    fake_wiki.categories = {
        "One": ["Page 1", "Stub", "Category:Two"],
        "Two": ["Page 2"],
        "Three": ["Page 3"],
    }
    options = ["--contact", "me@example.org", "--wiki", f"{fake_wiki.address}/wiki/Main_Page"]
    options += [
        "--category",
        "One",
        "--category",
        "Three",
        "--section",
        "Plot",
        "--section",
        "story",
    ]
    code, out, err = finish(start(*options, "--subcategories", out=None))
    assert code == 0, err
    folder = tmp_path / "data" / "Le_Wiki_été_hiver"
    assert f"{folder.relative_to(tmp_path)}: 3 new, 1 without a plot" in out
    assert "Stub: no plot" in err
    assert "CC BY-SA 4.0" in out
    assert "non-commercial" not in out
    attribution = (folder / "ATTRIBUTION.txt").read_text(encoding="utf-8")
    assert attribution.startswith(
        "Le Wiki: été/hiver (https://wiki.example), CC BY-SA 4.0\n3 texts "
    )
    code, out, _ = finish(start(*options, out=None))
    assert code == 0
    assert "2 unchanged, 1 without a plot" in out


def test_a_category_of_bulbapedia_joins_the_series(
    start: Callable[..., subprocess.Popen[str]], fake_wiki: FakeWiki, tmp_path: Path
) -> None:
    fake_wiki.categories = {"Banned episodes": ["EP038", "EP035"]}
    options = ["--contact", "me", "--api", fake_wiki.url, "--category", "Banned_episodes"]
    code, out, err = finish(start(*options, out=None))
    assert code == 0, err
    assert "2 new" in out
    assert valid_documents(tmp_path / "data/pokeCorpusBulba") == ["EP035", "EP038"]


def test_the_attribution_is_written_even_if_the_crawl_fails(
    start: Callable[..., subprocess.Popen[str]], fake_wiki: FakeWiki, tmp_path: Path
) -> None:
    fake_wiki.faults = [None, Answer(403)]
    code, _, _ = finish(start(*network(fake_wiki)))
    assert code == 1
    text = (tmp_path / "eps/ATTRIBUTION.txt").read_text(encoding="utf-8")
    assert "50 texts" in text
    assert "non-commercial" in text
    finish(start(*network(fake_wiki)))
    text = (tmp_path / "eps/ATTRIBUTION.txt").read_text(encoding="utf-8")
    assert "120 texts" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--wiki", "x.example"], "--wiki"),
        (["--wiki", "x.example", "--category", "A", "--api", "y"], "--api"),
        (["--category", "A", "--series", "EP"], "--series"),
        (["--subcategories"], "--subcategories"),
        (["--section", "Plot"], "--section"),
        (["--from", "x", "--category", "A"], "--category"),
        (["--from", "x", "--wiki", "A"], "--wiki"),
    ],
)
def test_wrong_use_of_other_wikis_is_told(
    start: Callable[..., subprocess.Popen[str]], arguments: list[str], message: str
) -> None:
    code, _, err = finish(start("--contact", "me", *arguments))
    assert code == 2
    assert message in err.splitlines()[-1]


def test_saved_pages_need_no_network(
    start: Callable[..., subprocess.Popen[str]], fake_wiki: FakeWiki, tmp_path: Path
) -> None:
    (tmp_path / "EP001.wiki").write_text(episode("Plot 1."), encoding="utf-8")
    (tmp_path / "EP002.html").write_text("<h2>Plot</h2><p>Plot 2.</p>")
    (tmp_path / "EP003.html").write_text("<h2>Trivia</h2><p>No plot.</p>")
    code, out, err = finish(start("--from", "."))
    assert code == 0
    assert "2 new, 1 without a plot" in out
    assert "EP003: no plot" in err
    assert valid_documents(tmp_path / "eps") == ["EP001", "EP002"]
    assert fake_wiki.agents == []


def test_files_that_cannot_be_read_are_named(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    (tmp_path / "half.xml").write_text("<mediawiki><page>")
    (tmp_path / "picture.html").write_bytes(b"\x89PNG\xff")
    (tmp_path / "empty").mkdir()
    for name in ("half.xml", "picture.html", "nothing.html"):
        code, _, err = finish(start("--from", name))
        assert code == 1
        assert name in err.splitlines()[-1]
    assert finish(start("--from", "empty"))[0] == 1
