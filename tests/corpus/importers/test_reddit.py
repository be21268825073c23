import csv
import io
import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from corpus.archive import Archive
from corpus.documents import Document
from corpus.importers.reddit import SOURCE, plain_text
from corpus.importers.source import Broken, Dropped, Item, Text
from corpus.importing import Policy, Report, import_archive, recognise

COMMENT = {
    "author": "ada",
    "body": "A comment.",
    "created_utc": 1400000000,
    "id": "c1",
    "link_id": "t3_p1",
    "parent_id": "t3_p1",
    "score": 3,
    "subreddit": "pokemon",
}
POST = {
    "author": "ada",
    "title": "A title",
    "selftext": "A post.",
    "created_utc": 1400000000.0,
    "id": "p1",
    "permalink": "/r/pokemon/comments/p1/a_title/",
    "score": 5,
    "subreddit": "pokemon",
}
EXPORT = ["id", "permalink", "date", "ip", "subreddit", "gildings", "link", "parent", "body"]


def items(path: Path) -> list[Item]:
    with Archive([path]) as archive:
        [file] = archive
        return list(SOURCE.read(file))


def texts(path: Path) -> list[Text]:
    found = items(path)
    assert all(isinstance(item, Text) for item in found), found
    return [item for item in found if isinstance(item, Text)]


def lines(path: Path, *entries: Any) -> Path:
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


def table(path: Path, rows: Iterable[Iterable[object]]) -> Path:
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows(rows)
    return path


def one(folder: Path, **changes: Any) -> Item:
    [item] = items(lines(folder / "RC_2015-01", COMMENT | changes))
    return item


def documents(path: Path) -> tuple[list[Document], Report]:
    report = Report()
    with Archive([path]) as archive:
        return list(import_archive(archive, Policy(others=True), report)), report


# ---- the real files -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["WritingPrompts", "pokemonconspiracies"])
def test_real_tables(shared_data: Path, name: str) -> None:
    path = shared_data / "reddit" / f"{name}.csv"
    rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))
    rows = [row for row in rows if row["distinguished"] != "moderator"]
    titles = {row["name"] for row in rows if row["is_self"] == "True" and not row["selftext"]}
    assert len(titles) > 9
    written = {row["name"]: row for row in rows if row["selftext"].strip()}
    found = {text.id: text for text in items(path) if isinstance(text, Text)}
    missing = {id: written[id]["selftext"] for id in written.keys() - found.keys() if id}
    # What is nothing but a link has no text.
    assert all(re.fullmatch(r"\W*(\[\w+\]|\S*https?:\S*)\W*", text) for text in missing.values())
    assert found.keys() - written.keys() == titles
    for id, text in found.items():
        row = next(row for row in rows if row["name"] == id)
        assert id not in titles or text.text == text.title
        assert text.community == name
        assert text.score == int(row["score"])
        assert text.date == datetime.fromtimestamp(float(row["created_utc"]), UTC)
        assert text.url == row["permalink"]
        assert "&amp;" not in text.text
    # In one a bracket is missing.
    assert sum("](http" in text.text for text in found.values()) <= 1


def test_real_dumps(shared_data: Path) -> None:
    for name, field in [("test_comments.json", "body"), ("test_submissions.json", "selftext")]:
        path = shared_data / "reddit" / name
        entries = [json.loads(line) for line in path.open()]
        gone = [e for e in entries if "[deleted]" in (e["author"], e[field])]
        gone += [e for e in entries if e[field] == "[removed]" and e not in gone]
        stuck = [e for e in entries if e.get("stickied") and e not in gone]
        empty = [e for e in entries if not e[field] and e not in gone + stuck]
        empty = [e for e in empty if not e.get("is_self")]
        left = [e for e in entries if e not in gone + stuck + empty]
        found = items(path)
        assert found.count(Dropped("deleted")) == len(gone)
        assert found.count(Dropped("by a moderator")) == len(stuck)
        written = [item for item in found if isinstance(item, Text)]
        others = found.count(Dropped("bot")) + found.count(Dropped("without text"))
        assert len(written) + others == len(left) + len(empty)
        kind = "t1_" if field == "body" else "t3_"
        assert {text.id for text in written} <= {kind + e["id"] for e in left}
        assert {text.author for text in written} <= {e["author"] for e in left}
        if field == "body":
            assert found.count(Dropped("bot")) == 1  # Bitty_Bot
            assert len(written) == len(left) - 1


def test_real_files_are_recognised(shared_data: Path) -> None:
    with Archive([shared_data]) as archive:
        found = [str(file.path) for file in archive if SOURCE.recognises(file)]
    names = ["WritingPrompts.csv", "pokemonconspiracies.csv"]
    names += ["test_comments.json", "test_submissions.json"]
    assert found == [f"data/reddit/{name}" for name in names]


# ---- the shapes -----------------------------------------------------------------------------


def test_lines_a_list_and_a_table_say_the_same(tmp_path: Path) -> None:
    entries = [COMMENT, COMMENT | {"id": "c2", "body": 'Two, "quoted"\n\nlines.'}]
    as_strings = [{key: str(value) for key, value in entry.items()} for entry in entries]
    expected = texts(lines(tmp_path / "a.json", *entries))
    assert [text.id for text in expected] == ["t1_c1", "t1_c2"]
    assert expected[0] == Text(
        text="A comment.",
        id="t1_c1",
        date=datetime(2014, 5, 13, 16, 53, 20, tzinfo=UTC),
        url="https://www.reddit.com/comments/p1/_/c1",
        author="ada",
        community="pokemon",
        score=3,
    )
    assert texts(lines(tmp_path / "b.ndjson", *as_strings)) == expected
    (tmp_path / "c.json").write_text("\ufeff\n" + json.dumps(as_strings, indent=2))
    assert texts(tmp_path / "c.json") == expected
    rows = [list(COMMENT), *(entry.values() for entry in as_strings)]
    assert texts(table(tmp_path / "d.csv", rows)) == expected
    raw = (tmp_path / "a.json").read_bytes()
    # Two frames, and a window as large as Pushshift's.
    parameters = zstandard.ZstdCompressionParameters(window_log=27, enable_ldm=True)
    frames = [
        zstandard.ZstdCompressor(compression_params=parameters).compress(line)
        for line in raw.splitlines(keepends=True)
    ]
    (tmp_path / "RC_2015-01.zst").write_bytes(b"".join(frames))
    assert texts(tmp_path / "RC_2015-01.zst") == expected
    with Archive([tmp_path]) as archive:
        assert [recognise(file) for file in archive] == [SOURCE] * 5


def test_a_post(tmp_path: Path) -> None:
    [post] = texts(lines(tmp_path / "RS.jsonl", POST))
    assert (post.id, post.title, post.text) == ("t3_p1", "A title", "A post.")
    assert post.url == "https://www.reddit.com/r/pokemon/comments/p1/a_title/"
    assert items(lines(tmp_path / "RS.jsonl", POST | {"selftext": ""})) == [Dropped("without text")]
    showers = POST | {"selftext": "", "is_self": True, "title": "Doors &amp; walls"}
    [shower] = texts(lines(tmp_path / "RS.jsonl", showers))
    assert shower.text == shower.title == "Doors & walls"
    gone = showers | {"selftext": "[removed]"}
    assert items(lines(tmp_path / "RS.jsonl", gone)) == [Dropped("deleted")]
    [private] = texts(lines(tmp_path / "RS.jsonl", POST | {"subreddit_type": "private"}))
    assert not private.public


def test_ones_own_data(tmp_path: Path) -> None:
    url = "https://www.reddit.com/r/pokemon/comments/p1/a/c1/"
    date = "2020-02-29 10:11:12 UTC"
    row = [
        "c1",
        url,
        date,
        "203.0.113.7",
        "pokemon",
        "0",
        "link",
        "",
        "Mine,\nin two lines &amp; a",
    ]
    table(tmp_path / "comments.csv", [EXPORT, row])
    table(tmp_path / "comments_1.csv", [EXPORT, ["c2", *row[1:]]])
    table(tmp_path / "comment_headers.csv", [EXPORT[:-1], row[:-1]])
    posts = ["id", "permalink", "date", "ip", "subreddit", "gildings", "title", "url", "body"]
    table(
        tmp_path / "posts.csv",
        [
            posts,
            ["p1", *row[1:6], "A title", "", "A post."],
            ["p2", *row[1:6], "All of it", url, ""],
            ["p3", *row[1:6], "A picture", "https://i.redd.it/x.png", ""],
        ],
    )
    drafts = ["id", "title", "body", "kind", "created", "subreddit"]
    table(tmp_path / "drafts.csv", [drafts, ["d1", "A draft", "Not yet.", "markdown", "", "a"]])
    found, report = documents(tmp_path)
    assert [document.id for document in found] == [
        "reddit-t1_c1",
        "reddit-t1_c2",
        "reddit-t3_p1",
        "reddit-t3_p2",
    ]
    assert report.sources["Reddit"].dropped == {
        "without text": 1,
        "not public (--include-private)": 1,
    }
    assert all(document.author_is_me for document in found)
    assert found[0].text == "Mine,\nin two lines & a"
    assert found[0].date == "2020-02-29T10:11:12+00:00"
    assert found[2].title == "A title"
    assert "203.0.113.7" not in repr((found, report))
    assert report.unknown == {".csv": 1}  # the headers, which are no texts


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", '{"body": "no Reddit"}'),
        ("a.json", '[{"subreddit": "no text"}]'),
        ("a.json", '"body" "subreddit"'),
        ("a.csv", "id,body,date\n1,2,3\n"),
        ("a.csv", "body\nsubreddit\n"),
        ("a.txt", json.dumps(COMMENT)),
        ("a.json", json.dumps({"text": json.dumps(COMMENT)})),
        ("a.zst", "no zst"),
        ("a.json", ""),
    ],
)
def test_other_files_are_not_claimed(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with Archive([tmp_path / name]) as archive:
        assert not any(SOURCE.recognises(file) for file in archive)


# ---- what is left out ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"author": "[deleted]"}, "deleted"),
        ({"body": "[deleted]"}, "deleted"),
        ({"body": " [removed]\n"}, "deleted"),
        ({"body": "[ Removed by Reddit ]"}, "deleted"),
        ({"body": "[deleted by user]"}, "deleted"),
        ({"author": "AutoModerator"}, "bot"),
        ({"author": "AutoModerator", "distinguished": "moderator"}, "bot"),
        ({"author": "Bitty_Bot"}, "bot"),
        ({"author": "RemindMeBot"}, "bot"),
        ({"author": "helpfulbot", "body": "^^^I'm ^^^a ^^^bot"}, "bot"),
        (
            {"author": "x", "body": "*Hi, this action was performed automatically*"},
            "bot",
        ),
        ({"distinguished": "moderator"}, "by a moderator"),
        ({"stickied": True}, "by a moderator"),
        ({"stickied": "true"}, "by a moderator"),
        ({"body": ""}, "without text"),
        ({"body": "&amp;#x200B;"}, "without text"),
        ({"body": "> only a quote"}, "without text"),
        ({"body": None}, "without text"),
    ],
)
def test_what_is_dropped(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    assert one(tmp_path, **changes) == Dropped(reason)


@pytest.mark.parametrize(
    "changes",
    [
        {"author": "talbot"},
        {"author": "abbot", "body": "I met a bot."},
        {"author": "ada", "body": '"I am a bot," it said.'},
        {"distinguished": "special", "stickied": "false"},
    ],
)
def test_what_is_not(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert isinstance(one(tmp_path, **changes), Text)


@pytest.mark.parametrize(
    ("markdown", "plain"),
    [
        ("Tom &amp; &lt;Jerry&gt;", "Tom & <Jerry>"),
        (
            'See [this *one*](http://a.b/c_(d) "t") and [that] (https://e.f).',
            "See this one and that.",
        ),
        ("[[WP] a](/r/x/1)", "[WP] a"),
        ("![gif](giphy|abc) ha", "ha"),
        ("**bold**, *it* and ***both***, ~~gone~~, _so_", "bold, it and both, gone, so"),
        ("2*3*4, snake_case_name, 5 * 6 * 7, \\*so\\*", "234, snake_case_name, 5 * 6 * 7, *so*"),
        ("# Head\n\nText\n\n---\n\nmore", "Head\n\nText\n\nmore"),
        ("a >!secret!< b", "a secret b"),
        ("^^so ^(small) ^_^", "so (small) ^_^"),
        ("a\r\n\r\n\r\nb\n&amp;#x200B;\n\nc", "a\n\nb\n\nc"),
        ("a\n\nhttps://preview.redd.it/x.png?a=b&amp;c\n\nb", "a\n\nb"),
        ("a  \nb\t\n \n\n c", "a\nb\n\nc"),
        ("Text.\n\nEDIT: typo", "Text."),
        ("Text.\n\n**Edit 2** - more\nand more", "Text."),
        ("Text.\nedit: a\n\n*EDIT two*: b", "Text."),
        ("Text.\n\nEDIT:\n\nThe story goes on.", "Text.\n\nEDIT:\n\nThe story goes on."),
        ("Edit: is all there is.", "Edit: is all there is."),
        ("Edited by hand.\n\nEditing is an art.", "Edited by hand.\n\nEditing is an art."),
    ],
)
def test_markdown(markdown: str, plain: str) -> None:
    assert plain_text(markdown) == plain


def test_quotes_of_others_are_no_part_of_a_comment(tmp_path: Path) -> None:
    body = "&gt; what they said\n&gt;&gt; and before\n\nMy answer.\n\n>more\n\nAgain."
    comment = one(tmp_path, body=body)
    assert isinstance(comment, Text) and comment.text == "My answer.\n\nAgain."
    [post] = texts(lines(tmp_path / "a.json", POST | {"selftext": "> A quote.\n\nA post."}))
    assert post.text == "A quote.\n\nA post."


@given(st.text(alphabet="[]()!*_~^>\\#`-ab \n&;:/EDIT", max_size=300))
def test_any_markdown_is_read(markdown: str) -> None:
    plain = plain_text(markdown)
    assert plain == plain.strip() and "\n\n\n" not in plain


@pytest.mark.parametrize(
    "piece", ["[", "[\\", "[a](", "*a ", "_a ", ">!", "![[", "\nedit", "^", "~~"]
)
def test_long_texts_take_no_longer_than_they_should(piece: str) -> None:
    plain_text(piece * (40000 // len(piece)))


# ---- broken files ----------------------------------------------------------------------------


def test_what_is_broken_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "RC"
    deep = '{"body": ' + "[" * 100000
    numbers = json.dumps(COMMENT).replace("1400000000", "9" * 5000)
    broken = ['{"body": "cut', "[1]", "null", deep, numbers, "\0", "7"]
    first, last = json.dumps(COMMENT), json.dumps(COMMENT | {"id": "c2"})
    path.write_text("\n".join([first, *broken, "", last]))
    found = items(path)
    assert [item.place for item in found if isinstance(item, Broken)] == [
        f"RC, line {number}" for number in range(2, 2 + len(broken))
    ]
    assert [item.id for item in found if isinstance(item, Text)] == ["t1_c1", "t1_c2"]


def test_a_broken_table(tmp_path: Path) -> None:
    path = table(tmp_path / "comments.csv", [EXPORT, [*"abcdefgh", "One."], ["too", "short"]])
    with path.open("a") as file:
        file.write(f'i,u,d,p,s,g,l,r,"{"x" * 200_000}"\n' + "j,u,d,p,s,g,l,r,Two.\n")
    found = items(path)
    assert [item.text for item in found if isinstance(item, Text)] == ["One.", "Two."]
    broken = [item for item in found if isinstance(item, Broken)]
    assert broken[0] == Broken("comments.csv, line 3", "2 fields where the header has 9")
    assert "field larger than field limit" in broken[1].message


def test_a_list_that_is_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps([COMMENT, 7, COMMENT])[:-20])
    found = items(path)
    assert [type(item) for item in found] == [Text, Broken, Broken]


def test_a_dump_that_is_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "RC.zst"
    raw = "".join(json.dumps(COMMENT | {"id": f"c{n}"}) + "\n" for n in range(5000)).encode()
    whole = zstandard.ZstdCompressor(write_checksum=True).compress(raw)
    path.write_bytes(whole[: len(whole) // 2])
    found = items(path)
    read = [item.id for item in found if isinstance(item, Text)]
    assert read == [f"t1_c{n}" for n in range(len(read))] and 0 < len(read) < 5000
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert "cannot be decompressed" in str(items(path)[-1])


WRONG = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters(), max_size=20),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
    st.just("\ud800"),
    st.sampled_from(["1e999", "-99999999999999", "9" * 5000, "nan", 10**40, "2020-13-01"]),
)


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from([*POST, *COMMENT, "name", "date", "distinguished", "stickied"]),
            WRONG,
        ).map(lambda changes: COMMENT | changes),
        max_size=3,
    )
)
def test_any_types_are_read(tmp_path_factory: pytest.TempPathFactory, entries: list[Any]) -> None:
    folder = tmp_path_factory.mktemp("any")
    lines(folder / "a.json", *entries)
    (folder / "b.json").write_text(json.dumps(entries))
    documents(folder)


@given(st.binary(max_size=300), st.sampled_from(["a.csv", "a.json", "a.zst", "a"]))
def test_any_bytes_are_read(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, name: str
) -> None:
    folder = tmp_path_factory.mktemp("any")
    head = {
        "a.csv": b"id,body,subreddit\n",
        "a.zst": zstandard.compress(json.dumps(COMMENT).encode()),
    }.get(name, b'[{"subreddit":"a","body":"b"},')
    for content in (data, head + data, head[: len(data)] + data):
        (folder / name).write_bytes(content)
        with Archive([folder]) as archive:
            report = Report()
            list(import_archive(archive, Policy(), report, source=SOURCE))


PLAIN = st.text(st.sampled_from("abcé .,!?'\"\N{GRINNING FACE}"), min_size=1).map(
    lambda text: text.strip() or "a"
)


@given(
    st.lists(
        st.tuples(
            st.lists(PLAIN, min_size=1, max_size=3).map("\n\n".join),
            st.integers(0, 2**31),
            st.integers(-1000, 10**6),
        ),
        max_size=5,
    ),
    st.sampled_from(["json", "csv", "zst", "list"]),
)
def test_made_comments_come_back(
    tmp_path_factory: pytest.TempPathFactory, made: list[tuple[str, int, int]], shape: str
) -> None:
    folder = tmp_path_factory.mktemp("made")
    entries: list[dict[str, Any]] = [
        COMMENT | {"id": f"c{n}", "body": text, "created_utc": time, "score": score}
        for n, (text, time, score) in enumerate(made)
    ]
    path = lines(folder / "a.json", *entries)
    if shape == "csv":
        path = table(folder / "a.csv", [list(COMMENT), *(entry.values() for entry in entries)])
    elif shape == "zst":
        content = zstandard.compress(path.read_bytes())
        path = folder / "a.zst"
        path.write_bytes(content)
    elif shape == "list":
        path.write_text(json.dumps(entries, ensure_ascii=False), encoding="utf-8")
    assert [
        (text.id, text.text, text.date and text.date.timestamp(), text.score)
        for text in texts(path)
    ] == [(f"t1_c{n}", text, time, score) for n, (text, time, score) in enumerate(made)]
