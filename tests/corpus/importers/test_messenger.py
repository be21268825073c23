import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.archive import Archive
from corpus.importers.source import Broken, Dropped, Item, Message
from corpus.importing import Policy, Report, import_archive

FoundIn = Callable[[dict[str, bytes]], list[Item]]

FOLDER = "your_facebook_activity/messages/inbox/bob_123/"
OWNER = "personal_information/profile_information/profile_information.json"


def mojibake(text: str) -> str:
    return text.encode().decode("latin-1")


def meta(messages: list[dict[str, Any]], people: tuple[str, ...] = ("Bob", "Zoë")) -> bytes:
    fixed = [
        {k: mojibake(v) if isinstance(v, str) else v for k, v in one.items()} for one in messages
    ]
    return json.dumps(
        {"participants": [{"name": mojibake(name)} for name in people], "messages": fixed}
    ).encode()


def said(text: str, time: int, sender: str = "Bob") -> dict[str, Any]:
    return {"sender_name": sender, "timestamp_ms": time, "content": text}


def texts(items: list[Item]) -> list[str]:
    return [item.text for item in items if isinstance(item, Message)]


def test_the_real_conversation(shared_data: Path, items_of: Callable[[Path], list[Item]]) -> None:
    path = shared_data / "chat/messenger_2A_7M.json"
    messages = json.loads(path.read_bytes().decode("utf-8-sig"))["messages"]
    written = [
        (m["timestamp_ms"], m["sender_name"], m["content"]) for m in messages if "content" in m
    ]
    found = items_of(path)
    got = [
        (round(m.date.timestamp() * 1000), m.sender, m.text)
        for m in found
        if isinstance(m, Message) and m.date
    ]
    assert got == sorted(written)
    assert found.count(Dropped("without text")) == len(messages) - len(written) == 4


def test_the_real_page(shared_data: Path, items_of: Callable[[Path], list[Item]]) -> None:
    path = shared_data / "facebook/simulated_data.htm"
    # Well-formed but for a control character.
    page = ElementTree.fromstring(re.sub(r"&#\d+;|[\x00-\x08\x0b-\x1f]", "", path.read_text()))
    threads = page.findall(".//div[@class='thread']")
    expected = [
        (user.text, body.text)
        for thread in threads
        for user, body in reversed(
            list(zip(thread.iterfind(".//span[@class='user']"), thread.findall("p"), strict=True))
        )
    ]
    found = [item for item in items_of(path) if isinstance(item, Message)]
    assert [(m.sender, m.text.replace("\x10", "")) for m in found] == expected
    assert len({message.conversation for message in found}) == len(threads) == 3
    assert found[0].date == datetime(2013, 10, 4, 22, 4, tzinfo=timezone(timedelta(hours=-7)))
    last = "First User 一, Second User 二, Third User 三 3"
    assert {m.mine for m in found if m.sender.startswith("First")} == {True}
    assert {m.mine for m in found if not m.sender.startswith("First")} == {False}
    assert found[-1].conversation == last


@pytest.mark.parametrize(
    "box", ["inbox", "e2ee_cutover", "archived_threads", "filtered_threads", "message_requests"]
)
def test_parts_of_a_folder_are_one_conversation_oldest_first(found_in: FoundIn, box: str) -> None:
    folder = f"your_instagram_activity/messages/{box}/bob_1/"
    found = found_in(
        {
            folder + "message_1.json": meta([said("six", 6), said("five", 5)]),
            folder + "message_2.json": meta([said("four", 4), said("three", 3)]),
            folder + "message_10.json": meta([said("alone", 0)]),
            folder + "message_3.json": meta([said("two", 2), said("one", 1)]),
        }
    )
    assert texts(found) == ["one", "two", "three", "four", "five", "six", "alone"]
    assert {item.conversation for item in found if isinstance(item, Message)} == {"bob_1"}


def test_messages_of_one_moment_stay_in_order(found_in: FoundIn) -> None:
    found = found_in({FOLDER + "message_1.json": meta([said(str(n), 7) for n in range(9, -1, -1)])})
    assert texts(found) == [str(n) for n in range(10)]


def test_a_byte_order_mark_and_mojibake(found_in: FoundIn) -> None:
    content = b"\xef\xbb\xbf" + meta([said("naïve 👍", 1, "Zoë")])
    (message,) = found_in({FOLDER + "message_1.json": content})
    assert isinstance(message, Message)
    assert (message.text, message.sender, message.mine) == ("naïve 👍", "Zoë", None)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (OWNER, {"profile_v2": {"name": {"full_name": mojibake("Zoë")}}}),
        (
            "messages/autofill_information.json",
            {"autofill_information_v2": {"FULL_NAME": [mojibake("Zoë")]}},
        ),
        (
            "personal_information/personal_information.json",
            {"profile_user": [{"string_map_data": {"Name": {"value": mojibake("Zoë")}}}]},
        ),
    ],
)
def test_the_owner_is_known_where_the_download_says(
    found_in: FoundIn, name: str, content: object
) -> None:
    files = {
        FOLDER + "message_1.json": meta([said("hi", 2, "Zoë"), said("hello", 1)]),
        "messages/inbox/other_1/message_1.json": meta([said("x", 1)], people=("Bob", "Eve")),
        name: json.dumps(content).encode(),
    }
    mine = {m.text: m.mine for m in found_in(files) if isinstance(m, Message)}
    assert mine == {"hi": True, "hello": False, "x": None}


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (said("gone", 1) | {"is_unsent": True}, "deleted"),
        (said("Reacted 😂 to your message ", 1), "boilerplate"),
        (said("Bob sent an attachment.", 1), "boilerplate"),
        (said("Bob missed your video call.", 1, "Bob B."), "boilerplate"),
        (said("You missed a call from Bob.", 1), "boilerplate"),
        (said("Ada L. named the group The Engine.", 1, "Ada L."), "boilerplate"),
        (said("Ada L. a envoyé une pièce jointe.", 1, "Ada L."), "boilerplate"),
        (said("Ada L.さんが写真を送信しました。", 1, "Ada L."), "boilerplate"),
        (said("You set the nickname for Bob to Bobby.", 1), "boilerplate"),
        (said("You named the group The Engine.", 1), "boilerplate"),
        (said("Hat mit „😂“ auf deine Nachricht reagiert", 1), "boilerplate"),
        (said("A réagi avec ❤ à votre message", 1), "boilerplate"),
        (said("The video chat ended.", 1) | {"call_duration": 3}, "system message"),
        (said("Bob named the group X.", 1) | {"type": "Subscribe"}, "system message"),
        ({"sender_name": "Bob", "type": "Share", "share": {"link": "https://a.b"}}, "without text"),
        ({"sender_name": "Bob", "timestamp_ms": 1, "photos": [{"uri": "a.jpg"}]}, "without text"),
    ],
)
def test_what_is_no_talk_is_dropped(
    found_in: FoundIn, message: dict[str, Any], reason: str
) -> None:
    content = meta([said("talk", 2) | {"type": "Generic"}, message])
    dropped, talk = found_in({FOLDER + "message_1.json": content})
    assert dropped == Dropped(reason)
    assert isinstance(talk, Message)


@pytest.mark.parametrize(
    "text",
    [
        "Sorry, I missed your call.",
        "I sent an attachment.",
        "You sent me home.",
        "Bob's not here.",
        "Bobby left.",
        "Bob, over and out.",
        "Bob, are you there?",
        "Eve left.",
        "Bob",
    ],
)
def test_talk_of_what_people_did_is_kept(found_in: FoundIn, text: str) -> None:
    assert texts(found_in({FOLDER + "message_1.json": meta([said(text, 1)])})) == [text]


@pytest.mark.parametrize("name", ["Facebook user", "Utilisateur Instagram", "Facebook-Nutzer", ""])
def test_accounts_that_are_gone_hide_no_words_of_the_texts(
    make_tree: Callable[[dict[str, bytes]], Path], name: str
) -> None:
    talk = [said("It is on Facebook, user.", 2, name), said("On Instagram?", 1, "Ada")]
    tree = make_tree({FOLDER + "message_1.json": meta(talk)})
    with Archive([tree]) as archive:
        policy = Policy(others=True, me=frozenset(["ada"]))
        [document] = import_archive(archive, policy, Report())
    assert document.text == "- On Instagram?\n\n> It is on Facebook, user."


def test_the_download_of_encrypted_chats(found_in: FoundIn) -> None:
    def entry(text: str, time: int, **more: object) -> dict[str, object]:
        plain = {"isUnsent": False, "media": [], "reactions": [], "type": "text"}
        return {"senderName": "Zoë", "text": text, "timestamp": time, **plain, **more}

    whole = {
        "participants": ["Bob", "Zoë"],
        "threadName": "Bob_40",
        "messages": [
            entry("Ã¼ is what mojibake looks like", 1735689600000),
            entry("earlier ü", 1735689500000),
            entry("never mind", 1, isUnsent=True),
            entry("", 1, type="media"),
            entry("Zoë sent an attachment.", 1),
            entry("You can now message each other", 1, type="placeholder"),
        ],
    }
    found = found_in({"messages/Bob_40.json": json.dumps(whole, ensure_ascii=False).encode()})
    assert texts(found) == ["earlier ü", "Ã¼ is what mojibake looks like"]
    assert isinstance(found[-1], Message)
    assert found[-1].date == datetime(2025, 1, 1, tzinfo=UTC)
    assert found[-1].conversation == "Bob_40"
    reasons = [item.reason for item in found if isinstance(item, Dropped)]
    assert reasons == ["deleted", "without text", "boilerplate", "system message"]


def test_pages_in_another_language_keep_their_order(found_in: FoundIn) -> None:
    def message(user: str, text: str) -> str:
        return (
            '<div class="message"><div class="message_header">'
            f'<span class="user">{user}</span><span class="meta">5. Mai 2014 um 10:00</span>'
            f"</div></div>{text}"
        )

    page = (
        '<html><body><div class="contents"><h1>Ada</h1><div><div class="thread">Ada, Bob'
        + message("Bob", "<p>two<br>lines</p>")
        + message("Ada", "<p></p>")
        + message("Ada", "<p><p>one</p></p>")
        + '</div><div class="thread">Bob, Eve'
        + message("Eve", "<p>three")
    )
    found = found_in({"html/messages.htm": page.encode()})
    assert texts(found) == ["one", "two lines", "three"]
    assert [m.mine for m in found if isinstance(m, Message)] == [True, False, None]
    assert Dropped("without text") in found


def test_a_part_cut_short_gives_what_there_is(found_in: FoundIn) -> None:
    newest = meta([said("five", 5), said("four", 4), said("three", 3)])
    found = found_in(
        {
            FOLDER + "message_1.json": newest[:-40],
            FOLDER + "message_2.json": meta([said("two", 2), said("one", 1)]),
        }
    )
    assert texts(found) == ["one", "two", "four", "five"]
    assert [item.place.rpartition("/")[2] for item in found if isinstance(item, Broken)] == [
        "message_1.json, after item 4"
    ]


def test_other_files_of_messages_are_not_read(found_in: FoundIn) -> None:
    files = {
        "messages/secret_conversations.json": b'{"secret_conversations_v2": {}}',
        "messages/index.json": b'{"123": "Direct Message with x"}',
        "Groups/DM 1/group_info.json": b'{"name": "x", "members": []}',
        "page.htm": b'<div class="thread"></div>',
    }
    assert found_in(files) == []


def test_scenes_of_a_whole_import(make_tree: Callable[[dict[str, bytes]], Path]) -> None:
    hour = 3600 * 1000
    tree = make_tree(
        {
            OWNER: json.dumps({"profile_v2": {"name": {"full_name": "Ada"}}}).encode(),
            FOLDER + "message_1.json": meta(
                [said("later", 10 * hour + 1), said("bye", 10 * hour, "Ada")], people=("Bob", "Ada")
            ),
            FOLDER + "message_2.json": meta(
                [said("hello", 1000), said("hi", 0, "Ada")], people=("Bob", "Ada")
            ),
        }
    )
    with Archive([tree]) as archive:
        documents = list(import_archive(archive, Policy(others=True), Report()))
    assert [document.text for document in documents] == [
        "- hi\n\n> hello",
        "- bye\n\n> later",
    ]


words = st.text(st.characters(codec="utf-8")).filter(lambda t: t.strip() and "sent" not in t)


@given(st.lists(st.tuples(st.integers(0, 2**42), words), unique_by=lambda pair: pair[0]))
def test_made_conversations_come_back(found_in: FoundIn, lines: list[tuple[int, str]]) -> None:
    messages = [said(text, time) for time, text in sorted(lines, reverse=True)]
    half = len(messages) // 2
    parts = {"message_1.json": messages[:half], "message_2.json": messages[half:]}
    found = found_in({FOLDER + name: meta(part) for name, part in parts.items()})
    got = [
        (
            m.date and (m.date - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1),
            m.text,
        )
        for m in found
        if isinstance(m, Message)
    ]
    assert got == sorted(lines)
