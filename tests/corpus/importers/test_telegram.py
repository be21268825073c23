"""Telegram Desktop's result.json: one chat, and a whole account."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.archive import Archive
from corpus.importers import telegram
from corpus.importers.source import Broken, Dropped, Item, Message
from corpus.importing import recognise

from .made import documents


def read(path: Path) -> list[Item]:
    with Archive([path]) as archive:
        return [i for f in archive if recognise(f) is telegram.SOURCE for i in telegram.read(f)]


def saved(folder: Path, data: Any) -> list[Item]:
    (folder / "result.json").write_text(json.dumps(data, indent=1))
    return read(folder)


def chat(*messages: Any, **more: Any) -> dict[str, Any]:
    made = {"name": "Ann", "type": "personal_chat", "id": 7, **more}
    return {**{k: v for k, v in made.items() if v is not ...}, "messages": list(messages)}


def account(*chats: Any, left: tuple[Any, ...] = ()) -> dict[str, Any]:
    return {
        "about": "Here is the data you requested.",
        "personal_information": {"user_id": 42, "first_name": "Me", "phone_number": "+1"},
        "contacts": {"about": "x", "list": [{"user_id": 9, "name": "no chat"}]},
        "chats": {"about": "y", "list": list(chats)},
        "left_chats": {"about": "z", "list": list(left)},
    }


def said(text: Any, **more: Any) -> dict[str, Any]:
    made = {"id": 1, "type": "message", "date": "2020-01-01T10:00:00", "from": "Ann"}
    return {**made, "from_id": "user7", "text": text, **more}


def texts(items: list[Item]) -> list[str]:
    return [item.text for item in items if isinstance(item, Message)]


def test_a_real_chat_is_read_whole(shared_data: Path) -> None:
    path = shared_data / "chat" / "telegram_DM_2A_7M.json"
    expected = []
    for one in json.loads(path.read_text())["messages"]:
        parts = one["text"] if isinstance(one["text"], list) else [one["text"]]
        text = "".join(part if isinstance(part, str) else part["text"] for part in parts)
        if one["type"] == "message" and text:
            date = datetime.fromisoformat(one["date"]) if "date" in one else None
            if "date_unixtime" in one:
                date = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(
                    seconds=int(one["date_unixtime"])
                )
            expected.append((one["from"], text, date))
    found = read(path)
    kept = [item for item in found if isinstance(item, Message)]
    assert [(item.sender, item.text, item.date) for item in kept] == expected
    assert (len(found), len(kept)) == (8, 4)
    assert {(item.conversation, item.mine) for item in kept} == {("700000000", None)}


def test_an_account_tells_whose_the_messages_are(tmp_path: Path) -> None:
    found = saved(
        tmp_path,
        account(
            chat(said("a"), said("b", from_id="user42"), said("c", from_id=42)),
            chat(),
            chat(said("note", **{"from": "Me"}), name=..., type="saved_messages", id=42),
            chat(said("d"), name="Group", type="private_group", id=8),
            left=(chat(said("e", from_id="channel9"), name="Old", id=9),),
        ),
    )
    kept = [item for item in found if isinstance(item, Message)]
    assert [(item.conversation, item.text, item.mine) for item in kept] == [
        ("7", "a", False),
        ("7", "b", True),
        ("7", "c", True),
        ("42", "note", True),
        ("8", "d", False),
        ("9", "e", False),
    ]


def test_what_is_nobodys_own_words_is_dropped(tmp_path: Path) -> None:
    found = saved(
        tmp_path,
        chat(
            said("", type="service", action="joined_telegram"),
            said("of others", forwarded_from="Bob"),
            said("of the deleted", forwarded_from=None),
            said("by a machine", via_bot="@gif"),
            said("", media_type="sticker", sticker_emoji="x"),
            said([], photo="photo.jpg"),
            said(" \n"),
            said("kept"),
        ),
    )
    assert texts(found) == ["kept"]
    assert [item.reason for item in found if isinstance(item, Dropped)] == [
        "system message",
        "forwarded",
        "forwarded",
        "bot",
        "without text",
        "without text",
        "without text",
    ]


def test_talks_with_bots_are_dropped(tmp_path: Path) -> None:
    assert saved(tmp_path, chat(said("/start"), type="bot_chat")) == [Dropped("bot")]


def test_texts_in_pieces_and_deleted_accounts(tmp_path: Path) -> None:
    mixed = [
        "see ",
        {"type": "link", "text": "https://a.b"},
        5,
        None,
        {"text": 7},
        " \ud83d\ude00!",
    ]
    found = saved(
        tmp_path,
        chat(
            said(mixed, **{"from": None}),
            said(None, text_entities=[{"type": "plain", "text": "entities"}]),
        ),
    )
    assert texts(found) == ["see https://a.b7 😀!", "entities"]
    assert isinstance(found[0], Message)
    assert found[0].sender == "deleted account"


@pytest.mark.parametrize(
    "date", ["", "soon", None, 5, "2020-13-01T00:00:00", "0000-00-00T00:00:00", []]
)
def test_dates_that_cannot_be_are_none(tmp_path: Path, date: Any) -> None:
    [item] = saved(tmp_path, chat(said("a", date=date)))
    assert isinstance(item, Message)
    assert item.date is None


@pytest.mark.parametrize("seconds", ["99999999999999999", "x", -(10**18), "9" * 5000])
def test_seconds_that_cannot_be_are_none(tmp_path: Path, seconds: Any) -> None:
    [item] = saved(tmp_path, chat(said("a", date_unixtime=seconds)))
    assert isinstance(item, Message)
    assert item.date is None


def test_broken_messages_and_a_cut_file(tmp_path: Path) -> None:
    found = saved(tmp_path, chat(said("a"), 5, None, [], said("b")))
    assert texts(found) == ["a", "b"]
    assert sum(isinstance(item, Broken) for item in found) == 3
    whole = (tmp_path / "result.json").read_bytes()
    (tmp_path / "result.json").write_bytes(whole[:-60])
    cut = read(tmp_path)
    assert texts(cut) == ["a"]
    assert isinstance(cut[-1], Broken)


def test_a_page_is_told_and_no_text(tmp_path: Path) -> None:
    page = (
        "<!DOCTYPE html>\n<html>\n <head>\n  <title>Exported Data</title>\n"
        '<link href="css/style.css" rel="stylesheet"/>\n </head>\n'
        '<body onload="CheckLocation();">\n  <div class="page_wrap">\n'
        '<div class="page_body chat_page"><div class="history">'
        '<div class="message default clearfix" id="message1"><div class="body">'
        f'<div class="from_name">Ann</div><div class="text">{"a secret " * 30}</div></div></div>'
    )
    (tmp_path / "messages.html").write_text(page)
    found, report = documents(tmp_path)
    assert not found
    assert "JSON" in report.broken[0].message


def test_other_json_is_not_taken_for_telegrams(tmp_path: Path) -> None:
    for data in (
        [],
        {},
        {"type": "FeatureCollection", "messages": []},
        {"messages": [], "name": "a"},
    ):
        assert saved(tmp_path, data) == []


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip)), st.data())
def test_made_chats_come_back(
    tmp_path_factory: pytest.TempPathFactory, words: list[str], data: st.DataObject
) -> None:
    start = datetime(2020, 1, 1)
    messages = []
    for number, text in enumerate(words):
        cut = data.draw(st.integers(0, len(text)))
        pieces: Any = [text[:cut], {"type": "bold", "text": text[cut:]}]
        pieces = data.draw(st.sampled_from([text, pieces]))
        messages.append(said(pieces, date=(start + timedelta(minutes=number)).isoformat()))
    whole = data.draw(st.sampled_from([chat(*messages), account(chat(*messages))]))
    found = saved(tmp_path_factory.mktemp("made"), whole)
    assert texts(found) == [text.strip() for text in words]
    assert [item.date for item in found if isinstance(item, Message)] == [
        start + timedelta(minutes=number) for number in range(len(words))
    ]


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "text",
                    "from",
                    "from_id",
                    "date",
                    "date_unixtime",
                    "messages",
                    "name",
                    "id",
                ]
            ),
            inner,
        )
    ),
    max_leaves=12,
)


@given(st.lists(anything, max_size=4), anything, st.integers(0, 600))
def test_nothing_in_a_file_raises(
    tmp_path_factory: pytest.TempPathFactory, messages: list[Any], more: Any, cut: int
) -> None:
    path = tmp_path_factory.mktemp("any") / "result.json"
    path.write_text(json.dumps(account(chat(*messages, name=more, id=more), more))[: cut or None])
    with Archive([path]) as archive:
        for file in archive:
            telegram.recognises(file)
            list(telegram.read(file))
