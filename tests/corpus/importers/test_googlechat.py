import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.importers.source import Broken, Dropped, Item, Message
from corpus.importing import Policy

from .made import documents, made

FoundIn = Callable[[dict[str, bytes]], list[Item]]

GROUP = "Takeout/Google Chat/Groups/DM abc/messages.json"
USER = {"Takeout/Google Chat/Users/User 1/user_info.json": b'{"user": {"email": "Ada@x.org"}}'}


def said(text: str, name: str = "Ada", **more: Any) -> dict[str, Any]:
    creator = {"name": name, "email": f"{name.lower()}@x.org", "user_type": "Human"}
    date = "Tuesday, January 30, 2024 at 1:27:33\u202fPM UTC"
    return {"creator": creator, "created_date": date, "text": text, "topic_id": "t", **more}


def group(*messages: object) -> dict[str, bytes]:
    return {GROUP: json.dumps({"messages": messages}, ensure_ascii=False).encode()}


def test_messages_and_whose_they_are(found_in: FoundIn) -> None:
    found = found_in(group(said("hi"), said("grüß dich", "Bob")) | USER)
    assert found == [
        Message(
            conversation="DM abc",
            sender=name,
            text=text,
            date=datetime(2024, 1, 30, 13, 27, 33, tzinfo=UTC),
            mine=mine,
        )
        for name, text, mine in [("Ada", "hi", True), ("Bob", "grüß dich", False)]
    ]


def test_whose_they_are_is_open_without_the_users(found_in: FoundIn) -> None:
    (message,) = found_in(group(said("hi")))
    assert isinstance(message, Message)
    assert message.mine is None


@pytest.mark.parametrize(
    ("written", "date"),
    [
        ("Tuesday, January 30, 2024 at 1:27:33\u202fPM UTC", datetime(2024, 1, 30, 13, 27, 33)),
        ("Tuesday, January 30, 2024 at 12:07:33 AM UTC", datetime(2024, 1, 30, 0, 7, 33)),
        ("Tuesday, 30 January 2024 at 13:27:33 UTC", datetime(2024, 1, 30, 13, 27, 33)),
        ("Tuesday 30 January 2024 at 13:27:33 UTC", datetime(2024, 1, 30, 13, 27, 33)),
        ("Monday, June 31, 2024 at 1:27:33\u202fPM UTC", None),
        ("Dienstag, 30. Januar 2024 um 13:27:33 UTC", None),
        ("mardi 30 janvier 2024 à 13:27:33 UTC", None),
        ("", None),
    ],
)
def test_dates_in_english(found_in: FoundIn, written: str, date: datetime | None) -> None:
    (message,) = found_in(group(said("hi", created_date=written)))
    assert isinstance(message, Message)
    assert message.date == (date and date.replace(tzinfo=UTC))


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (said("beep") | {"creator": {"name": "Calendar", "user_type": "Bot"}}, "bot"),
        (said("", attached_files=[{"original_name": "a.jpg"}]), "without text"),
        ({"creator": {"name": "Ada"}, "topic_id": "t"}, "without text"),
        (said("x", message_state="DELETED"), "deleted"),
        (said("", deletion_metadata={"deletion_type": "CREATOR"}), "deleted"),
    ],
)
def test_what_is_no_talk_is_dropped(
    found_in: FoundIn, message: dict[str, Any], reason: str
) -> None:
    assert found_in(group(message)) == [Dropped(reason)]


def test_threads_come_in_the_order_of_time(found_in: FoundIn) -> None:
    date = "Tuesday, January 30, 2024 at 1:{:02}:00\u202fPM UTC"
    minutes = [1, 5, 2, 4, 3]
    found = found_in(group(*(said(str(n), created_date=date.format(n)) for n in minutes)))
    assert [item.text for item in found if isinstance(item, Message)] == list("12345")


def test_somebody_without_a_name_hides_no_words(tmp_path: Path) -> None:
    talk = group(said("I google it"), said("The user did Google it", creator={})) | USER
    [document], _ = documents(made(tmp_path, dict(talk)), Policy(others=True))
    assert document.text == "- I google it\n\n> The user did Google it"


def test_what_is_no_message_is_told(found_in: FoundIn) -> None:
    kinds = [
        type(item) for item in found_in(group(said("a"), None, 3, [], said("b", created_date=7)))
    ]
    assert kinds == [Broken, Broken, Broken, Message, Message]


def test_other_files_of_that_name_are_not_read(found_in: FoundIn) -> None:
    discord = [{"ID": 1, "Timestamp": "2024-01-01 00:00:00", "Contents": "x"}]
    assert found_in({"messages/c1/messages.json": json.dumps(discord).encode()} | USER) == []


@given(st.lists(st.text(st.characters(codec="utf-8")).filter(lambda text: text.strip())))
def test_made_groups_come_back(found_in: FoundIn, lines: list[str]) -> None:
    found = found_in(group(*map(said, lines)))
    assert [item.text for item in found if isinstance(item, Message)] == lines
