"""Discord: the data package and DiscordChatExporter's files."""

import csv
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.archive import Archive
from corpus.importers import discord
from corpus.importers.source import Broken, Dropped, Item, Message
from corpus.importing import recognise

from .made import documents

CHANNEL = "1234567890123456789"


def read(path: Path) -> list[Item]:
    """All items of all files of these two sources."""
    with Archive([path]) as archive:
        found = [(file, recognise(file)) for file in archive]
        return [item for file, source in found if source for item in source.read(file)]


def package(folder: Path, messages: Any, index: Any = None, name: str = f"c{CHANNEL}") -> Path:
    channel = folder / "Nachrichten" / name
    channel.mkdir(parents=True)
    (channel / "messages.json").write_text(json.dumps(messages))
    (channel / "channel.json").write_text(json.dumps({"id": CHANNEL, "name": "of the channel"}))
    if index is not None:
        (channel.parent / "index.json").write_text(json.dumps(index))
    return folder


def export(folder: Path, messages: list[Any], name: str = "a [1].json") -> Path:
    path = folder / name
    channel = {"id": "7", "type": "GuildTextChat", "name": "talk"}
    path.write_text(json.dumps({"guild": {"id": "1"}, "channel": channel, "messages": messages}))
    return path


def said(text: Any, **more: Any) -> dict[str, Any]:
    author = {"id": "5", "name": "ann", "nickname": "Ann", "isBot": False}
    made = {"id": f"{hash(str(text)) % 10**9}", "type": "Default", "content": text}
    return {**made, "timestamp": "2023-01-06T14:03:03.853+00:00", "author": author, **more}


def by_hand(text: str, identifier: str) -> dict[str, Any]:
    return {"ID": identifier, "Timestamp": "2021-01-01 00:00:00", "Contents": text}


def test_real_packages_are_read_whole(shared_data: Path) -> None:
    found = read(shared_data / "discord_package")
    expected = Counter[str]()
    for path in (shared_data / "discord_package").rglob("messages.*"):
        if path.suffix == ".json":
            expected.update(entry["Contents"] for entry in json.loads(path.read_text()))
        else:
            with path.open(newline="") as file:
                expected.update(row["Contents"] for row in csv.DictReader(file))
    assert Counter(item.text for item in found if isinstance(item, Message)) == expected
    assert len(found) == expected.total() == 4
    assert all(isinstance(item, Message) and item.mine for item in found)
    conversations = {item.conversation for item in found if isinstance(item, Message)}
    assert conversations == {
        "1234567890123456789",
        "9876543210987654321",
    }


def test_real_exports_are_read_whole(shared_data: Path) -> None:
    messages = people = 0
    for path in (shared_data / "chat").glob("*.json"):
        data = json.loads(path.read_bytes())
        if "guild" not in data:
            continue
        expected = [
            (one["author"]["nickname"], one["content"], datetime.fromisoformat(one["timestamp"]))
            for one in data["messages"]
            if one["type"] == "Default" and not one["author"]["isBot"]
        ]
        found = read(path)
        kept = [item for item in found if isinstance(item, Message)]
        assert [(item.sender, item.text, item.date) for item in kept] == expected
        assert all(item.mine is None for item in kept)
        assert len(found) == len(data["messages"])
        messages, people = messages + len(found), people + len(kept)
    assert (messages, people) == (10, 5)


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        ("<@123456789012345678> and <@!123456789012345678>, hi", "and , hi"),
        ("<@&123456789012345678> in <#123456789012345678>", "in"),
        ("so <:blob_cat:123456789012345678><a:wave:123456789012345678>", "so :blob_cat::wave:"),
        ("at <t:1618953630:R> do </say to:123456789012345678>", "at  do /say to"),
        ("I <3 you, <@> <b> <:x:> :)", "I <3 you, <@> <b> <:x:> :)"),
        ("<@123456789012345678>", None),
    ],
)
def test_people_are_no_numbers(tmp_path: Path, content: str, kept: str | None) -> None:
    expected = [] if kept is None else [kept]
    for path in (
        package(tmp_path / "own", [by_hand(content, "1")]),
        export(tmp_path, [said(content)]),
    ):
        assert [item.text for item in read(path) if isinstance(item, Message)] == expected


def test_a_channel_stays_the_same_whatever_it_is_called(tmp_path: Path) -> None:
    messages = [by_hand("hi", "1")]
    for index in ({CHANNEL: "Direct Message with pal#0"}, {CHANNEL: None}):
        [item] = read(package(tmp_path / str(index[CHANNEL]), messages, index))
        assert isinstance(item, Message)
        assert item.conversation == CHANNEL


def test_packages_newest_first_are_turned_round(tmp_path: Path) -> None:
    messages = [
        {"ID": n, "Timestamp": f"2021-01-01 00:{n // 60:02}:{n % 60:02}", "Contents": f"m{n}"}
        for n in range(1500)
    ]
    found = read(package(tmp_path, messages[::-1], {CHANNEL: "x"}))
    assert [item.text for item in found if isinstance(item, Message)] == [
        f"m{n}" for n in range(1500)
    ]
    first = found[1]
    assert isinstance(first, Message)
    assert (first.date, first.mine) == (datetime(2021, 1, 1, 0, 0, 1, tzinfo=UTC), True)


def test_items_of_wrong_types_are_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    messages = [by_hand("a", "1"), None, 7, [], by_hand("", "2"), {"Contents": 5, "Timestamp": []}]
    found = read(package(tmp_path, messages))
    assert [type(item) for item in found] == [Message, Broken, Broken, Broken, Dropped, Message]
    broken = found[1]
    assert isinstance(broken, Broken)
    assert broken.place.endswith("messages.json, message 2")


def test_a_package_is_known_by_its_tail_and_content(tmp_path: Path) -> None:
    assert read(package(tmp_path / "a", [by_hand("a", "1")], name="general")) == []
    assert read(package(tmp_path / "b", [{"sender_name": "x", "content": "y"}])) == []
    assert read(package(tmp_path / "c", [])) == []


def test_what_is_no_persons_message_is_dropped(tmp_path: Path) -> None:
    bot = {"id": "6", "name": "helper", "isBot": True}
    messages = [
        said("hello"),
        said("Started a call.", type="Call"),
        said("Pinned a message.", type="ChannelPinnedMessage"),
        said("/roll", type="20"),
        said("I am a bot", author=bot),
        said("", attachments=[{"url": "x"}]),
        said("from there", forwardedMessage={"content": "x"}),
        said("from where", reference={"type": "Forward"}),
        said("answer", type="Reply", reference={"messageId": "1"}),
        said("hello"),
    ]
    found = read(export(tmp_path, messages))
    assert [item.text for item in found if isinstance(item, Message)] == ["hello", "answer"]
    assert [item.reason for item in found if isinstance(item, Dropped)] == [
        "system message",
        "system message",
        "system message",
        "bot",
        "without text",
        "forwarded",
        "forwarded",
        "there already",
    ]


def test_a_nickname_is_preferred_and_deleted_users_have_no_name(tmp_path: Path) -> None:
    messages = [
        said("a", author={"name": "ann", "nickname": "Annie"}),
        said("b", author={"name": "ann", "nickname": None}),
        said("c", author={"name": "Deleted User"}),
        said("d", author=None),
    ]
    found = read(export(tmp_path, messages, "G - T - general [10] (part 2).json"))
    senders = [item.sender for item in found if isinstance(item, Message)]
    assert senders == ["Annie", "ann", "deleted user", "deleted user"]


def test_an_export_newest_first_is_turned_round(tmp_path: Path) -> None:
    start = datetime(2023, 1, 1, tzinfo=UTC)
    messages = [
        said(f"m{n}", timestamp=(start + timedelta(minutes=n)).isoformat()) for n in range(300)
    ]
    found = read(export(tmp_path, [None, *messages[::-1]]))
    assert isinstance(found[0], Broken)
    assert [item.text for item in found[1:] if isinstance(item, Message)] == [
        f"m{n}" for n in range(300)
    ]


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("a.html", "<!DOCTYPE html><html><head><title>G - talk</title><style>.chatlog__header{}"),
        ("a.txt", f"{'=' * 62}\r\nGuild: G\r\nChannel: Text / talk\r\n{'=' * 62}\r\n\r\n"),
    ],
)
def test_an_export_in_another_format_is_told_and_no_text(
    tmp_path: Path, name: str, head: str
) -> None:
    (tmp_path / name).write_text(f"{head}</style></head><body>{'a secret ' * 30}", newline="")
    found, report = documents(tmp_path)
    assert not found
    assert "JSON" in report.broken[0].message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "id",
                    "type",
                    "content",
                    "author",
                    "name",
                    "isBot",
                    "timestamp",
                    "Contents",
                    "reference",
                ]
            ),
            inner,
        )
    ),
    max_leaves=12,
)


@given(st.lists(json_values, max_size=5), st.integers(0, 400))
def test_nothing_in_a_file_raises(
    tmp_path_factory: pytest.TempPathFactory, messages: list[Any], cut: int
) -> None:
    folder = tmp_path_factory.mktemp("discord")
    path = export(folder, messages)
    inside = package(folder, messages) / "Nachrichten" / f"c{CHANNEL}" / "messages.json"
    for cut_here in (path, inside):
        cut_here.write_bytes(cut_here.read_bytes()[: cut or None])
    with Archive([folder]) as archive:
        for file in archive:
            for source in (discord.PACKAGE, discord.EXPORT):
                source.recognises(file)
                list(source.read(file))


@given(
    st.lists(st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip), unique=True),
    st.booleans(),
)
def test_made_messages_come_back(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], newest_first: bool
) -> None:
    start = datetime(2020, 5, 1, tzinfo=UTC)
    dates = [start + timedelta(seconds=n) for n in range(len(texts))]
    messages = [
        said(text, id=str(n), timestamp=date.isoformat())
        for n, (text, date) in enumerate(zip(texts, dates, strict=True))
    ]
    path = export(
        tmp_path_factory.mktemp("made"), messages[::-1] if newest_first else messages, "x.json"
    )
    found = [item for item in read(path) if isinstance(item, Message)]
    assert [(item.text, item.date) for item in found] == [
        (text.strip(), date) for text, date in zip(texts, dates, strict=True)
    ]


@pytest.mark.parametrize(
    "wart",
    [b"[" * 100_000, b'{"a":' * 10_000, b"9" * 5000, b"1e999999999", b"\xff\xfe\x00", b'"\\ud83d"'],
)
def test_hostile_json_ends_in_an_error_and_what_came_before_is_there(
    tmp_path: Path, wart: bytes
) -> None:
    path = export(tmp_path, [said("before")])
    path.write_bytes(path.read_bytes()[:-2] + b"," + wart)
    first, *_, last = read(path)
    assert isinstance(first, Message)
    assert isinstance(last, Broken)


def test_a_byte_order_mark_and_bytes_that_are_no_utf8_do_no_harm(tmp_path: Path) -> None:
    path = export(tmp_path, [said("caf?")])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"caf?", b"caf\xe9"))
    [item] = read(path)
    assert isinstance(item, Message)
    assert item.text == "caf\ufffd"


def test_a_table_with_errors_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "messages" / CHANNEL
    folder.mkdir(parents=True)
    rows = 'ID,Timestamp,Contents,Attachments\n1,2020-05-01 10:00:00,"two\nlines",\n2,never,x\n3\n'
    (folder / "messages.csv").write_text("\ufeff" + rows, encoding="utf-8")
    found = read(tmp_path)
    assert [item.text for item in found if isinstance(item, Message)] == ["two\nlines", "x"]
    assert found[2] == Dropped("without text")
