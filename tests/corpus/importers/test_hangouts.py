import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from corpus.importers.source import Broken, Dropped, Item, Message
from corpus.importing import Policy

from .made import documents, made

FoundIn = Callable[[dict[str, bytes]], list[Item]]


def event(text: str, time: int, sender: str = "1") -> dict[str, Any]:
    content = {"segment": [{"type": "TEXT", "text": text}]}
    return {
        "sender_id": {"gaia_id": sender, "chat_id": sender},
        "timestamp": str(time),
        "chat_message": {"message_content": content},
        "event_type": "REGULAR_CHAT_MESSAGE",
    }


def described(name: str, owner: str | None = "1") -> dict[str, Any]:
    people = [
        {"id": {"gaia_id": id}, "fallback_name": who} for id, who in [("1", "Ada"), ("2", "Bob")]
    ]
    state = {"self_read_state": {"participant_id": {"gaia_id": owner}}} if owner else {}
    return {"id": {"id": name}, "participant_data": people, "self_conversation_state": state}


def hangouts(*conversations: tuple[dict[str, Any], list[Any]]) -> dict[str, bytes]:
    whole = {
        "conversations": [
            {
                "conversation": {"conversation_id": one.get("id"), "conversation": one},
                "events": events,
            }
            for one, events in conversations
        ]
    }
    return {"Takeout/Hangouts/Hangouts.json": json.dumps(whole).encode()}


def test_the_real_file(shared_data: Path, items_of: Callable[[Path], list[Item]]) -> None:
    path = shared_data / "takeout/Hangouts.json"
    (conversation,) = json.loads(path.read_text())["conversations"]
    events = conversation["events"]
    talk = [one for one in events if "chat_message" in one]
    written = [one for one in talk if "segment" in one["chat_message"]["message_content"]]
    found = items_of(path)
    (message,) = [item for item in found if isinstance(item, Message)]
    assert (message.sender, message.text, message.mine) == ("Person A", "Hi", False)
    assert message.date == datetime(2019, 9, 21, 13, 43, 34, 201730, tzinfo=UTC)
    assert len(written) == 1
    assert found.count(Dropped("system message")) == len(events) - len(talk) == 2
    assert found.count(Dropped("without text")) == len(talk) - len(written) == 1


def test_conversations_are_apart_and_in_time(found_in: FoundIn) -> None:
    found = found_in(
        hangouts(
            (described("c1"), [event("two", 2_000_000), event("one", 1_000_000, "2")]),
            (described("c2", None), [event("three", 1, "9")]),
        )
    )
    assert [
        (m.conversation, m.sender, m.text, m.mine) for m in found if isinstance(m, Message)
    ] == [("c1", "Bob", "one", False), ("c1", "Ada", "two", True), ("c2", "9", "three", None)]


def test_segments_join(found_in: FoundIn) -> None:
    segments = [
        {"type": "TEXT", "text": "see "},
        {"type": "LINK", "text": "https://example.org", "link_data": {}},
        {"type": "LINE_BREAK", "text": "\n"},
        {"type": "TEXT", "text": "there"},
    ]
    one = event("", 1)
    one["chat_message"]["message_content"]["segment"] = segments
    (message,) = found_in(hangouts((described("c"), [one])))
    assert isinstance(message, Message)
    assert message.text == "see https://example.org\nthere"


def test_the_form_before_2017(found_in: FoundIn) -> None:
    state = {
        "continuation_end_timestamp": "1",
        "conversation_state": [
            {
                "conversation_id": {"id": "c"},
                "conversation_state": {
                    "conversation_id": {"id": "c"},
                    "conversation": described("c"),
                    "event": [event("old", 5)],
                },
            }
        ],
    }
    (message,) = found_in({"Hangouts/Hangouts.json": json.dumps(state).encode()})
    assert isinstance(message, Message)
    assert (message.text, message.mine) == ("old", True)


def test_somebody_without_a_name_hides_no_words(tmp_path: Path) -> None:
    nobody = event("Google it, user", 2_000_000) | {"sender_id": None}
    talk = hangouts((described("c"), [event("how?", 1_000_000), nobody]))
    [document], _ = documents(made(tmp_path, dict(talk)), Policy(others=True))
    assert document.text == "- how?\n\n> Google it, user"


def test_what_is_of_the_wrong_kind_is_told_or_dropped(found_in: FoundIn) -> None:
    events = [None, "x", {"chat_message": 3}, event("fine", 10**40)]
    found = found_in(hangouts((described("c") | {"participant_data": [None, {"id": 4}]}, events)))
    assert [type(item) for item in found] == [Broken, Broken, Dropped, Message]
    assert isinstance(found[-1], Message)
    assert (found[-1].sender, found[-1].date) == ("1", None)


def test_a_file_cut_short_gives_what_there_is(found_in: FoundIn) -> None:
    ((name, whole),) = hangouts((described("c"), [event(str(n), n) for n in range(9)])).items()
    found = found_in({name: whole[:-100]})
    assert [item.text for item in found if isinstance(item, Message)] == [str(n) for n in range(8)]
    assert sum(isinstance(item, Broken) for item in found) == 1


@given(
    st.lists(
        st.lists(
            st.tuples(st.integers(0, 2**51), st.text(min_size=1).filter(str.strip)),
            unique_by=lambda pair: pair[0],
        )
    )
)
def test_made_conversations_come_back(
    found_in: FoundIn, conversations: list[list[tuple[int, str]]]
) -> None:
    found = found_in(
        hangouts(
            *(
                (described(str(number)), [event(text, time) for time, text in lines])
                for number, lines in enumerate(conversations)
            )
        )
    )
    got: list[list[tuple[int, str]]] = [[] for _ in conversations]
    for message in found:
        assert isinstance(message, Message)
        assert message.date
        time = (message.date - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        got[int(message.conversation)].append((time, message.text))
    assert got == [sorted(lines) for lines in conversations]
