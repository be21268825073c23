"""Whatever the bytes of a download are, nothing is raised and the rest of it is read."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.archive import READ_ERRORS, Archive
from corpus.documents import CorpusError
from corpus.importers import facebook, googlechat, hangouts, keep, mail, messenger, youtube
from corpus.importers.source import Source
from corpus.importing import Policy, Report, import_archive

MakeTree = Callable[[dict[str, bytes]], Path]

_PERSON = {"gaia_id": "1", "chat_id": "1"}
_LABELS = [{"ent_field_name": "Text", "value": "label"}]
SAMPLES: list[tuple[Source, str, Any]] = [
    (
        facebook.SOURCE,
        "posts/your_posts_1.json",
        [
            {
                "timestamp": 1,
                "data": [{"post": "one"}, {"comment": {"comment": "c", "group": "g"}}],
            },
            {"creation_timestamp": 1, "title": "two", "media": [{"title": "t"}]},
            {"string_map_data": {"Comment": {"value": "three"}, "Time": {"timestamp": 1}}},
            {"timestamp": 1, "label_values": _LABELS, "fbid": "1"},
        ],
    ),
    (
        messenger.SOURCE,
        "messages/inbox/a_1/message_1.json",
        {
            "participants": [{"name": "Ada"}],
            "messages": [
                {"sender_name": "Ada", "timestamp_ms": 2, "content": "b", "type": "Generic"},
                {"senderName": "Ada", "timestamp": 1, "text": "a", "isUnsent": False},
            ],
        },
    ),
    (
        googlechat.SOURCE,
        "Groups/DM a/messages.json",
        {
            "messages": [
                {
                    "creator": {"name": "Ada", "email": "a@b.c", "user_type": "Human"},
                    "created_date": "Tuesday, January 30, 2024 at 1:27:33 PM UTC",
                    "text": "a",
                }
            ]
        },
    ),
    (
        hangouts.SOURCE,
        "Hangouts.json",
        {
            "conversations": [
                {
                    "conversation": {
                        "conversation_id": {"id": "c"},
                        "conversation": {
                            "id": {"id": "c"},
                            "self_conversation_state": {
                                "self_read_state": {"participant_id": _PERSON}
                            },
                            "participant_data": [{"id": _PERSON, "fallback_name": "Ada"}],
                        },
                    },
                    "events": [
                        {
                            "sender_id": _PERSON,
                            "timestamp": "1",
                            "chat_message": {
                                "message_content": {"segment": [{"type": "TEXT", "text": "a"}]}
                            },
                        }
                    ],
                }
            ]
        },
    ),
    (
        keep.SOURCE,
        "Keep/a.json",
        {
            "isTrashed": False,
            "userEditedTimestampUsec": 1,
            "createdTimestampUsec": 1,
            "title": "t",
            "textContent": "a",
            "listContent": [{"text": "b"}],
        },
    ),
]
_MAIL = (
    b"From a@b Mon Jan 01 10:00:00 2024\r\nFrom: =?utf-8?Q?a?= <a@b.c>\r\nDate: Mon, 01 Jan 2024 "
    b'10:00:00 +0000\r\nSubject: x\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n'
    b"Content-Type: text/plain; charset=utf-8; format=flowed\r\nContent-Transfer-Encoding: base64"
    b"\r\n\r\nYWJj\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>a</p>\r\n--b--\r\n"
)
_PAGE = (
    b'<html><body><h1>Ada</h1><div class="thread">Ada, Bob<div class="message">'
    b'<div class="message_header"><span class="user">Bob</span>'
    b'<span class="meta">Friday, October 4, 2013 at 10:05pm PDT</span></div></div><p>a</p></div>'
)
_TABLE = b'Comment ID,Comment text\r\nUgxxxxxxxxxxxxxxx,"{""text"":""a""},{""text"":""\n""}"\r\n'
BYTES = [
    *((source, name, json.dumps(value).encode()) for source, name, value in SAMPLES),
    (messenger.SOURCE, "messages.htm", _PAGE),
    (youtube.SOURCE, "comments.csv", _TABLE),
    (mail.SOURCE, "a.mbox", _MAIL * 2),
]


def read(make_tree: MakeTree, source: Source, name: str, content: bytes) -> None:
    """As the driver does and, since it passes over what is not recognised, directly."""
    tree = make_tree({name: content})
    policy = Policy(others=True, include_private=True, me=frozenset(["ada"]))
    with Archive([tree]) as archive:
        for file in archive:
            source.recognises(file)
            try:
                list(source.read(file))
            except (*READ_ERRORS, CorpusError):
                pass
        for forced in (source, None):
            for document in import_archive(archive, policy, Report(), source=forced):
                # As it is written to a file.
                f"{document.id} {document.title} {document.text}".encode()


def places(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where the values inside a value are."""
    inside = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [here, *(place for key, one in inside for place in places(one, (*here, key)))]


def replaced(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    if not place:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[place[0]] = replaced(value[place[0]], place[1:], new)
    return copy


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=9)
    | st.sampled_from([10**400, "1e999", "-1", "\ud800", "\x00", "9" * 5000])
)
odd_values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@pytest.mark.parametrize(
    ("source", "name", "value"), SAMPLES, ids=lambda one: getattr(one, "name", "")
)
@settings(max_examples=50)
@given(data=st.data())
def test_values_of_any_kind(
    make_tree: MakeTree, source: Source, name: str, value: Any, data: st.DataObject
) -> None:
    place = data.draw(st.sampled_from(places(value)))
    changed = replaced(value, place, data.draw(odd_values))
    read(make_tree, source, name, json.dumps(changed).encode())


@pytest.mark.parametrize(
    ("source", "name", "content"), BYTES, ids=lambda one: getattr(one, "name", "")
)
@settings(max_examples=50)
@given(data=st.data())
def test_bytes_of_any_kind(
    make_tree: MakeTree, source: Source, name: str, content: bytes, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, len(content)))
    garbage = data.draw(
        st.binary(max_size=20) | st.sampled_from([b"\x00", b"[" * 5000, b'"', b"\n\n"])
    )
    read(
        make_tree,
        source,
        name,
        content[:start] + garbage + data.draw(st.sampled_from([b"", content[end:]])),
    )


def test_numbers_that_no_computer_should_write_out(make_tree: MakeTree) -> None:
    content = b'[{"timestamp": 1e999999999, "data": [{"post": "a"}]}]'
    read(make_tree, facebook.SOURCE, "your_posts_1.json", content)
    read(make_tree, facebook.SOURCE, "your_posts_1.json", content.replace(b"e", b"9" * 9999, 1))


@pytest.mark.parametrize("start", [b"", b'[{"timestamp": 1, "data": '])
def test_arrays_within_arrays_without_end(make_tree: MakeTree, start: bytes) -> None:
    read(make_tree, facebook.SOURCE, "your_posts_1.json", start + b"[" * 200_000)


def test_mails_within_mails_without_end(make_tree: MakeTree) -> None:
    nested = b'Content-Type: multipart/mixed; boundary="%d"\n\n--%d\n'
    deep = b"".join(nested % (number, number) for number in range(3000))
    read(make_tree, mail.SOURCE, "a.mbox", b"From a@b Mon Jan 01 10:00:00 2024\n" + deep)


@pytest.mark.parametrize(
    ("source", "name", "content"), BYTES, ids=lambda one: getattr(one, "name", "")
)
def test_zips_with_damage_are_told(
    tmp_path: Path, source: Source, name: str, content: bytes
) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(name, content + b" " * 300_000)
    damaged = bytearray(path.read_bytes())
    damaged[-100_000] = ord("\t")  # white space, too
    path.write_bytes(damaged)
    report = Report()
    with Archive([path]) as archive:
        list(import_archive(archive, Policy(others=True), report, source=source))
    assert report.broken_count >= 1
    assert all("CRC" in broken.message for broken in report.broken)
