"""Mastodon's outbox.json."""

import json
from datetime import UTC, datetime, timedelta
from html import escape
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.archive import Archive
from corpus.importers import mastodon
from corpus.importers.source import Broken, Dropped, Item, Text
from corpus.importing import recognise

PUBLIC = "https://www.w3.org/ns/activitystreams#Public"
FOLLOWERS = "https://social.example/users/ada/followers"


def read(path: Path) -> list[Item]:
    with Archive([path]) as archive:
        return [i for f in archive if recognise(f) is mastodon.SOURCE for i in mastodon.read(f)]


def outbox(folder: Path, *activities: Any) -> list[Item]:
    (folder / "outbox.json").write_text(
        json.dumps(
            {
                "@context": "https://www.w3.org/ns/activitystreams",
                "id": "outbox.json",
                "type": "OrderedCollection",
                "totalItems": len(activities),
                "orderedItems": activities,
            }
        )
    )
    return read(folder)


def post(content: Any, **more: Any) -> dict[str, Any]:
    note = {
        "id": "https://social.example/users/ada/statuses/77",
        "type": "Note",
        "summary": None,
        "published": "2022-11-06T10:00:00Z",
        "url": "https://social.example/@ada/77",
        "to": [PUBLIC],
        "cc": [FOLLOWERS],
        "content": content,
        **more,
    }
    return {"type": "Create", "actor": "https://social.example/users/ada", "object": note}


def test_a_post_with_all_that_is_known_of_it(tmp_path: Path) -> None:
    content = (
        '<p>Read <a href="https://example.org/long"><span class="invisible">https://</span>'
        '<span class="ellipsis">example.org/lo</span><span class="invisible">ng</span></a></p>'
        "<p>Two &amp; <br>three</p>"
    )
    assert outbox(tmp_path, post(content, summary="food")) == [
        Text(
            text="Read example.org/lo\n\nTwo &\nthree",
            id="social.example-77",
            title="food",
            date=datetime(2022, 11, 6, 10, tzinfo=UTC),
            url="https://social.example/@ada/77",
            author="ada",
            mine=True,
        )
    ]


@pytest.mark.parametrize(
    ("to", "cc", "public"),
    [
        ([PUBLIC], [FOLLOWERS], True),
        ([FOLLOWERS], [PUBLIC], True),  # unlisted
        ("as:Public", [], True),
        ([FOLLOWERS], [], False),
        (["https://social.example/users/bob"], [], False),
        (None, 5, False),
        ([None, {}], [], False),
    ],
)
def test_who_could_read_it(tmp_path: Path, to: Any, cc: Any, public: bool) -> None:
    [item] = outbox(tmp_path, post("<p>a</p>", to=to, cc=cc))
    assert isinstance(item, Text)
    assert item.public is public


def test_only_what_one_wrote_is_taken(tmp_path: Path) -> None:
    announce = {"type": "Announce", "object": "https://other.example/1"}
    assert outbox(tmp_path, announce, {"type": "Delete"}, post(""), post("<p></p>")) == [
        Dropped("reshared"),
        Dropped("no post"),
        Dropped("without text"),
        Dropped("without text"),
    ]


def mention(name: str) -> str:
    href = f"https://other.example/@{name}"
    link = f'<a href="{href}" class="u-url mention">@<span>{name}</span></a>'
    return f'<span class="h-card" translate="no">{link}</span>'


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        (f"<p>{mention('bob')} {mention('eve')} so it is, {mention('zoe')}</p>", "so it is, @zoe"),
        (f"<p>{mention('bob')}<br>yes</p>", "yes"),
        ("<p>@bob.b@other.example yes</p>", "yes"),
        (f"<p>{mention('bob')}</p>", None),
    ],
)
def test_answers_lose_whom_they_answer(tmp_path: Path, content: str, kept: str | None) -> None:
    answer = post(content, inReplyTo="https://other.example/users/bob/statuses/1")
    found = outbox(tmp_path, answer)
    assert [item.text for item in found if isinstance(item, Text)] == ([kept] if kept else [])
    [item] = outbox(tmp_path, post(f"<p>{mention('bob')} is good</p>"))
    assert isinstance(item, Text)
    assert item.text == "@bob is good"


def test_the_link_to_a_quoted_post_is_left_out(tmp_path: Path) -> None:
    link = '<a href="https://a.example/@bob/1"><span class="ellipsis">a.example/@bob</span></a>'
    [item] = outbox(tmp_path, post(f'<p class="quote-inline">RE: {link}</p><p>Indeed.</p>'))
    assert isinstance(item, Text)
    assert item.text == "Indeed."


def test_the_author_is_the_accounts_name(tmp_path: Path) -> None:
    (tmp_path / "actor.json").write_text(json.dumps({"preferredUsername": "countess"}))
    [item] = outbox(tmp_path, post("<p>a</p>"))
    assert isinstance(item, Text)
    assert item.author == "countess"


def test_broken_activities_are_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    (tmp_path / "actor.json").write_text("[")
    odd = post("<p>b</p>", id="https://[bad", published=3, url=[], summary=5)
    found = outbox(tmp_path, None, {"type": "Create", "object": "x"}, [], {}, odd, post(None))
    assert [type(item) for item in found] == [Broken, Broken, Broken, Broken, Text, Dropped]
    path = tmp_path / "outbox.json"
    path.write_bytes(path.read_bytes()[:-30])
    assert isinstance(read(tmp_path)[-1], Broken)


def test_other_files_of_that_name_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "outbox.json").write_text('{"orderedItems": []}')
    assert read(tmp_path) == []


words = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1)


@given(st.lists(words.filter(str.strip), max_size=6))
def test_made_posts_come_back(tmp_path_factory: pytest.TempPathFactory, made: list[str]) -> None:
    start = datetime(2022, 1, 1, tzinfo=UTC)
    dates = [start + timedelta(days=n) for n in range(len(made))]
    found = outbox(
        tmp_path_factory.mktemp("made"),
        *(
            post(f"<p>{escape(text)}</p>", published=date.isoformat())
            for text, date in zip(made, dates, strict=True)
        ),
    )
    kept = [item for item in found if isinstance(item, Text)]
    assert [(item.text, item.date) for item in kept] == list(zip(made, dates, strict=True))


@given(st.binary() | st.text('[]{}":,<>span class=invisible orderedItems').map(str.encode))
def test_nothing_in_a_file_raises(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "actor.json").write_bytes(data)
    head = b'{"@context": "activitystreams", "orderedItems": [{"type": "Create", "object": '
    (folder / "outbox.json").write_bytes(head + data)
    with Archive([folder]) as archive:
        for file in archive:
            mastodon.recognises(file)
            list(mastodon.read(file))
