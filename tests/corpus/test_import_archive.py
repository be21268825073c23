import json
import re
import signal
import subprocess
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import zstandard

from corpus.archive import Archive
from corpus.documents import Document
from corpus.importers.source import Broken, Dropped, Item, Message, Source, Text
from corpus.importing import Policy, Report, folded_name, import_archive

ROOT = Path(__file__).parents[2]

CHAT = """\
[31/12/20, 20:00:00] Ada L.: Hello Grace, who was on the phone?
[31/12/20, 20:01:00] Grace Hopper: Charles was. Write to ada@example.org!
[31/12/20, 20:02:00] Ada L.: I shall.
"""


def run(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        [sys.executable, ROOT / "import_archive.py", *arguments],
        cwd=cwd,
        text=True,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert "Traceback" not in result.stderr, result.stderr
    return result


def comment(number: int, **changes: Any) -> str:
    entry = {
        "author": "ada",
        "body": f"Comment {number}.",
        "created_utc": 1400000000 + number,
        "id": f"c{number}",
        "link_id": "t3_p",
        "score": number,
        "subreddit": "pokemon",
    }
    return json.dumps(entry | changes) + "\n"


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def texts(folder: Path) -> dict[str, str]:
    return {p.stem: p.read_text(encoding="utf-8").removesuffix("\n") for p in folder.glob("*.txt")}


# ---- policy, with a source of our own ---------------------------------------------------------


def documents(
    folder: Path, items: Callable[[], list[Item]], **policy: Any
) -> tuple[list[Document], Report]:
    """What becomes of the items of one file."""
    (folder / "a.any").touch()
    source = Source("any", "Any", lambda file: True, lambda file: iter(items()))
    report = Report()
    with Archive([folder / "a.any"]) as archive:
        found = list(import_archive(archive, Policy(**policy), report, source=source))
    assert report.sources["Any"].documents == len(found)
    return found, report


POSTS: list[Item] = [
    Text(text="Mine.", mine=True, author="Ada", community="A", score=5),
    Text(text="Yours.", mine=False, author="Grace", community="B", score=1),
    Text(text="Nobody's.", title="A title"),
    Text(text="Hidden.", public=False, mine=True),
    Text(text=" \n "),
    Dropped("deleted"),
    Broken("a.any, line 7", "is broken"),
]


@pytest.mark.parametrize(
    ("policy", "kept"),
    [
        ({}, ["Mine.", "Nobody's."]),
        ({"others": True}, ["Mine.", "Yours.", "Nobody's."]),
        ({"include_private": True}, ["Mine.", "Nobody's.", "Hidden."]),
        ({"communities": frozenset(["b"]), "others": True}, ["Yours.", "Nobody's."]),
        ({"authors": frozenset(["ada"])}, ["Mine.", "Nobody's."]),
        ({"min_score": 2, "others": True}, ["Mine.", "Nobody's."]),
        ({"pattern": re.compile("TITLE|mine", re.IGNORECASE)}, ["Mine.", "Nobody's."]),
        ({"pattern": re.compile("nowhere")}, []),
    ],
)
def test_policy(tmp_path: Path, policy: dict[str, Any], kept: list[str]) -> None:
    found, report = documents(tmp_path, lambda: POSTS, **policy)
    assert [document.text for document in found] == kept
    tally = report.sources["Any"]
    assert sum(tally.dropped.values()) == len(POSTS) - len(kept) - 1
    assert tally.dropped["deleted"] == tally.dropped["empty"] == 1
    assert report.broken == [Broken("a.any, line 7", "is broken")] and report.broken_count == 1
    assert tally.words == sum(len(text.split()) for text in kept)


def test_whose_a_text_is_without_its_archive_saying_so(tmp_path: Path) -> None:
    items: list[Item] = [Text(text="1", author="ADA"), Text(text="2", author="x"), Text(text="3")]
    found, _ = documents(tmp_path, lambda: items, me=frozenset(["ada"]))
    assert [(document.text, document.author_is_me) for document in found] == [
        ("1", True),
        ("3", None),
    ]


def test_a_name_is_known_however_it_is_written(tmp_path: Path) -> None:
    names = ["Zoë  B", "zoe\u0308 b", "@ZOË B", "Zoë\u00a0B", "Zoe B"]
    items: list[Item] = [Text(text=str(n), author=name) for n, name in enumerate(names)]
    items += [Message(conversation="c", sender=name, text="said") for name in names]
    found, _ = documents(tmp_path, lambda: items, me=frozenset([folded_name("Zoë B")]))
    assert [document.text for document in found] == ["0", "1", "2", "3", "said said said said"]


def test_ids_titles_and_addresses_tell_nothing_that_is_masked(tmp_path: Path) -> None:
    items: list[Item] = [
        Text(text="1", id="ada@example.org-1", title="To ada@example.org", url="http://a.b/c"),
        Text(text="2", id="ada@example.org-2", url="http://a.b/ada%40example.org"),
    ]
    found, report = documents(tmp_path, lambda: items)
    assert [document.url for document in found] == ["http://a.b/c", None]
    assert all(re.fullmatch(r"any-[0-9a-f]{16}", document.id) for document in found)
    assert found[0].title == "To [mail address]" and report.masked == {"mail address": 1}
    kept, _ = documents(tmp_path, lambda: items, keep_personal_data=True)
    assert kept[1].url == items[1].url and kept[0].title == items[0].title


def test_a_name_is_replaced_long_before_its_bearer_speaks(tmp_path: Path) -> None:
    def said(number: int, sender: str, text: str) -> Message:
        date = datetime(2021, 1, 1) + timedelta(minutes=number)
        return Message(conversation="c", sender=sender, text=text, date=date, mine=sender == "me")

    items: list[Item] = [said(n, "me", f"{n} Where is Grace?") for n in range(700)]
    found, _ = documents(tmp_path, lambda: [*items, said(700, "Grace Hopper", "Here.")])
    assert found and not any("Grace" in document.text for document in found)


def test_ids_and_their_absence(tmp_path: Path) -> None:
    items: list[Item] = [
        Text(text="1", id="one"),
        Text(text="2", id="a/b: c?"),
        Text(text="3", id="x" * 500),
        Text(text="4"),
        Text(text="4"),
        Text(text="5", id="one"),
        Text(text="6", id="a_b_ c_"),
        Text(text="7", id="\ud800"),
    ]
    found, report = documents(tmp_path, lambda: items)
    assert [document.text for document in found] == ["1", "2", "3", "4", "6", "7"]
    assert report.sources["Any"].dropped == {"there already": 2}
    assert found[0].id == "any-one"
    assert all(re.fullmatch(r"any-[\w.-]{1,80}", document.id) for document in found)
    assert len({document.id.casefold() for document in found}) == len(found)


def test_halves_of_letters_are_replaced(tmp_path: Path) -> None:
    items: list[Item] = [
        Text(text="a\ud800b", title="\udfff", url="u\ud800"),
        Broken("a\udc80", "b\udc80"),
        Message(conversation="c", sender="\ud800", text="x"),
    ]
    [document], report = documents(tmp_path, lambda: items)
    assert (document.text, document.title, document.url) == ("a?b", "?", "u?")
    assert report.broken == [Broken("a?", "b?")] and list(report.senders["Any"]) == ["?"]


def test_an_importer_that_fails_in_the_middle(tmp_path: Path) -> None:
    def items() -> list[Item]:
        raise OSError(5, "Input/output error")

    found, report = documents(tmp_path, items)
    assert found == [] and report.broken_count == 1


def test_progress_comes_to_the_size_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "comments.json").write_text("".join(map(comment, range(1000))))
    (tmp_path / "a" / "_chat.txt").write_text(CHAT)  # which is read twice
    (tmp_path / "a" / "unknown.bin").write_bytes(bytes(1000))
    told: list[int] = []
    with Archive([tmp_path / "a"]) as archive:
        list(import_archive(archive, Policy(), Report(), progress=told.append))
        assert sum(told) == sum(file.size for file in archive)


# ---- as a newcomer runs it --------------------------------------------------------------------


def test_a_mixed_folder(tmp_path: Path) -> None:
    export = tmp_path / "my export"
    export.mkdir()
    (export / "RC_2014").write_text(comment(1) + comment(2, author="[deleted]") + "{\n")
    with zipfile.ZipFile(export / "chat.zip", "w") as archive:
        archive.writestr("WhatsApp Chat with Grace.txt", CHAT)
        archive.writestr("photo.jpg", b"\xff\xd8")
    (export / "broken.zip").write_bytes(b"PK")
    (export / "README").write_text("About this export.")
    result = run("my export", "--me", "Ada L.", "--me", "ada", cwd=tmp_path)
    assert result.returncode == 0
    out = tmp_path / "data" / "my export"
    assert texts(out)["reddit-t1_c1"] == "Comment 1."
    assert len(texts(out)) == 2
    for line in (
        "left out, Reddit: 1 deleted",
        "left out, WhatsApp: 1 somebody else's (--others)",
        "files of no source known here: 1 without a suffix, 1 .jpg",
        "written to data/my export/",
    ):
        assert line in result.stdout.splitlines()
    assert re.search(r"^Reddit +1 +1 +2$", result.stdout, re.MULTILINE)
    assert "broken: my export/broken.zip: is no zip, or was cut short" in result.stdout
    assert "broken: my export/RC_2014, line 3: is no JSON" in result.stdout
    index = [json.loads(line) for line in (out / "index.jsonl").open(encoding="utf-8")]
    assert [entry["id"] for entry in index] == sorted(texts(out))


def test_all_real_files_in_one_command(shared_data: Path, tmp_path: Path) -> None:
    names = ["blogger", "chat", "discord_package", "episodes_serebii", "epub", "facebook", "reddit"]
    names += ["takeout", "text", "tumblr", "wordpress", "writingprompts"]
    one_by_one: Counter[str] = Counter()
    policy = Policy(me=frozenset({"alice", "a"}), others=True, include_private=True)
    for name in names:
        report = Report()
        with Archive([shared_data / name]) as archive:
            for document in import_archive(archive, policy, report):
                one_by_one[str(document.source)] += 1
    options = ["--out", "all", "--me", "Alice", "--me", "A", "--others", "--include-private"]
    result = run(*(shared_data / name for name in names), *options, cwd=tmp_path)
    assert result.returncode == 0
    told = json.loads((tmp_path / "all/import.json").read_text(encoding="utf-8"))
    made = {label: tally["documents"] for label, tally in told["sources"].items()}
    assert {label: count for label, count in made.items() if count} == one_by_one
    assert len(texts(tmp_path / "all")) == one_by_one.total()
    assert len(one_by_one) >= 10
    (broken,) = {Path(one["place"]).name for one in told["broken"]}
    assert broken == "prompts_quoted.wp_source"  # whose stories are not there


def test_a_chat_as_dialogue(tmp_path: Path) -> None:
    (tmp_path / "_chat.txt").write_text(CHAT)
    for me, left_out in (
        ([], "3 whose it is nobody said (--me)"),
        (["--me", "Ada"], "3 somebody else's (--others)"),
    ):
        nothing = run("_chat.txt", "--out", "a", *me, cwd=tmp_path)
        assert nothing.returncode == 1 and "error: no document found" in nothing.stderr
        assert 'Say it with --me NAME: "Ada L." (2), "Grace Hopper" (1)' in nothing.stdout
        assert left_out in nothing.stdout
    result = run("_chat.txt", "--out", "b", "--me", "ada l.", "--others", cwd=tmp_path)
    [scene] = texts(tmp_path / "b").values()
    mine, yours, last = scene.split("\n\n")
    name = mine.removeprefix("- Hello ").partition(",")[0]
    assert name not in ("Grace", "") and last == "- I shall."
    assert yours.startswith("> Charles was.") and "@example.org" not in yours
    assert "masked: 1" in result.stdout and "--me" not in result.stdout
    run(
        *("_chat.txt", "--out", "c", "--me", "Ada L.", "--others", "--keep-names"),
        *("--keep-personal-data", "--as", "whatsapp"),
        cwd=tmp_path,
    )
    [scene] = texts(tmp_path / "c").values()
    assert "Hello Grace, who" in scene and "Write to ada@example.org!" in scene


def test_filters(tmp_path: Path) -> None:
    (tmp_path / "RC").write_text(
        comment(1)
        + comment(2, subreddit="Digimon")
        + comment(3, author="Grace")
        + comment(4, body="Dragons!")
    )
    for number, (arguments, kept) in enumerate(
        [
            ([], "1234"),
            (["--subreddit", "r/Pokemon"], "134"),
            (["--subreddit", "/r/digimon", "--subreddit", "x"], "2"),
            (["--author", "/u/grace"], "3"),
            (["--min-score", "3"], "34"),
            (["--match", "^DRAG|1"], "14"),
            (["--me", "grace"], "3"),
            (["--me", "grace", "--others"], "1234"),
        ]
    ):
        out = tmp_path / f"out{number}"
        assert run("RC", "--out", out, *arguments, cwd=tmp_path).returncode == 0
        assert sorted(texts(out)) == [f"reddit-t1_c{n}" for n in kept], arguments


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "PATH"),
        (["nowhere.zip"], 1, "error: nowhere.zip: no such file or folder"),
        (["README"], 1, "error: no document found"),
        (["RC", "--as", "myspace"], 2, "invalid choice: 'myspace'"),
        (["RC", "--match", "("], 2, "no regular expression"),
        (["RC", "--min-score", "many"], 2, "--min-score"),
        (["RC", "--out", "README"], 1, "README"),
        (["RC", "--out", "spoilt"], 1, "not an index entry"),
    ],
)
def test_wrong_use_is_told(tmp_path: Path, arguments: list[str], code: int, message: str) -> None:
    (tmp_path / "RC").write_text(comment(1))
    (tmp_path / "README").write_text("About this export.")
    (tmp_path / "spoilt").mkdir()
    (tmp_path / "spoilt" / "index.jsonl").write_text("no JSON\n")
    result = run(*arguments, cwd=tmp_path)
    assert result.returncode == code
    assert message in result.stderr.splitlines()[-1]


def test_what_all_files_are_can_be_said(tmp_path: Path) -> None:
    (tmp_path / "dump.data").write_text(comment(1))
    assert run("dump.data", "--out", "a", cwd=tmp_path).returncode == 1
    assert run("dump.data", "--out", "a", "--as", "reddit", cwd=tmp_path).returncode == 0
    assert list(texts(tmp_path / "a")) == ["reddit-t1_c1"]


def test_twice_gives_the_same_bytes_and_a_newer_archive_replaces(tmp_path: Path) -> None:
    (tmp_path / "RC").write_text(comment(1) + comment(2) + comment(3, id=None, name=None))
    run("RC", "--out", "a", cwd=tmp_path)
    first = files(tmp_path / "a")
    run("RC", "--out", "a", cwd=tmp_path)
    run("RC", "--out", "b", cwd=tmp_path)
    assert files(tmp_path / "a") == files(tmp_path / "b") == first
    (tmp_path / "newer").write_text(comment(2, body="Changed.") + comment(4))
    run("newer", "--out", "a", cwd=tmp_path)
    found = texts(tmp_path / "a")
    assert found["reddit-t1_c1"] == "Comment 1." and found["reddit-t1_c2"] == "Changed."
    index = [json.loads(line) for line in (tmp_path / "a" / "index.jsonl").open()]
    assert [entry["id"] for entry in index] == sorted(found) and len(found) == 4


def test_where_nothing_is_found_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "README").write_text("About this export.")
    (tmp_path / "_chat.txt").write_text(CHAT)
    (tmp_path / "RC").write_text(comment(1))
    run("RC", "--out", "a", cwd=tmp_path)
    before = files(tmp_path / "a")
    for archive in ("README", "_chat.txt"):
        for out in ("a", "new"):
            result = run(archive, "--out", out, cwd=tmp_path)
            assert result.returncode == 1 and "written to" not in result.stdout
    assert files(tmp_path / "a") == before and not (tmp_path / "new").exists()


def test_the_report_in_the_folder_names_nobody(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "_chat.txt").write_text(CHAT)
    (tmp_path / "a" / "RC").write_text(comment(1))
    assert "Grace Hopper" in run("a", cwd=tmp_path).stdout
    assert b"Grace" not in b"".join(files(tmp_path / "data").values())


def test_two_archives_of_the_same_name(tmp_path: Path) -> None:
    for year, number in (("2019", 1), ("2020", 2)):
        (tmp_path / year).mkdir()
        with zipfile.ZipFile(tmp_path / year / "reddit.zip", "w") as archive:
            archive.writestr("comments.json", comment(number) + comment(3))
    result = run("2019/reddit.zip", "2020/reddit.zip", "--out", "a", cwd=tmp_path)
    assert sorted(texts(tmp_path / "a")) == [f"reddit-t1_c{n}" for n in (1, 2, 3)]
    assert "left out, Reddit: 1 there already" in result.stdout


def test_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("RC", comment(1))
        archive.writestr("bomb.json", bytes(17 << 20))
    result = run("a.zip", cwd=tmp_path)
    assert result.returncode == 0
    assert "broken: a.zip/bomb.json: would unpack to 17,825,792 bytes: a zip bomb?" in result.stdout
    content = (tmp_path / "a.zip").read_bytes()
    start = content.index(b"PK\1\2") + 8  # the flags
    (tmp_path / "b.zip").write_bytes(content[:start] + b"\1" + content[start + 1 :])
    result = run("b.zip", cwd=tmp_path)
    assert result.returncode == 1
    assert "broken: b.zip/RC: is locked with a password: unpack it first" in result.stdout
    assert "no source known" not in result.stdout


def test_names_that_are_no_text_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "RC").write_text(comment(1))
    name = b"b\xff.zip".decode(errors="surrogateescape")
    (folder / name).write_bytes(b"")
    (folder / name.replace("zip", "\udcff")).write_bytes(b"")
    result = run("a", cwd=tmp_path)
    assert result.returncode == 0 and "broken: a/b?.zip: is no zip" in result.stdout


def test_interrupted_it_leaves_whole_documents_and_goes_on(tmp_path: Path) -> None:
    body = "words " * 500
    (tmp_path / "RC").write_text("".join(comment(n, body=f"{body}{n}") for n in range(20000)))
    out = tmp_path / "out"
    command = [sys.executable, ROOT / "import_archive.py", "RC", "--out", out]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and len(list(out.glob("*.txt"))) < 50:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors and "Interrupted. Run it again" in errors
    found = texts(out)
    assert 50 <= len(found) < 20000
    assert all(text == f"{body}{id.removeprefix('reddit-t1_c')}" for id, text in found.items())
    assert sorted(files(out)) == sorted(f"{id}.txt" for id in found)  # nothing half-written
    lines = (tmp_path / "RC").read_text().splitlines(keepends=True)
    (tmp_path / "RC").write_text("".join(lines[: len(found) + 10]))
    run("RC", "--out", out, cwd=tmp_path)
    run("RC", "--out", "clean", cwd=tmp_path)
    assert files(out) == files(tmp_path / "clean")
    assert len(texts(out)) == len(found) + 10


@pytest.mark.parametrize("name", ["RC.zst", "RC.zip"])
def test_large_archives_take_little_memory(tmp_path: Path, name: str) -> None:
    """200 MB of comments, 100 kB each; most are left out, to spare the disk."""

    def write(put: Callable[[bytes], object]) -> None:
        words = "some words of a long story " * 3700
        put(comment(0).encode())
        for number in range(1, 2000):
            put(comment(number, body=f"{number} {words}").encode())

    path = tmp_path / name
    if name == "RC.zst":
        with path.open("wb") as file, zstandard.ZstdCompressor().stream_writer(file) as out:
            write(out.write)
    else:
        with (
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
            archive.open("comments.json", "w") as inside,
        ):
            write(inside.write)
    script = (
        "import re, sys, runpy\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        f"sys.argv = ['import_archive.py', {name!r}, '--out', 'out', '--min-score', '1900']\n"
        "try:\n"
        f"    runpy.run_path({str(ROOT / 'import_archive.py')!r}, run_name='__main__')\n"
        "finally:\n"
        # getrusage() would tell of the process, too, that this one was forked from.
        "    print('peak', re.search(r'VmHWM:\\s*(\\d+)', open('/proc/self/status').read())[1])\n"
    )
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert len(list((tmp_path / "out").glob("*.txt"))) == 100
    peak = int(result.stdout.split("peak")[1])  # KiB
    assert peak < 300 << 10
