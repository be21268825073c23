import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.importers.source import Broken, Dropped, Item, Text

from .made import documents, made

FoundIn = Callable[[dict[str, bytes]], list[Item]]

POSTS = "your_facebook_activity/posts/your_posts__check_ins__photos_and_videos_1.json"


def mojibake(value: Any) -> Any:
    """As Meta writes it: each byte of UTF-8 a character."""
    if isinstance(value, str):
        return value.encode().decode("latin-1")
    if isinstance(value, list):
        return [mojibake(one) for one in value]
    if isinstance(value, dict):
        return {key: mojibake(one) for key, one in value.items()}
    return value


def exported(value: Any) -> bytes:
    return json.dumps(mojibake(value)).encode()


@pytest.mark.parametrize("name", [POSTS, "posts/your_posts_1.json", "x/profile_posts_2.json"])
def test_posts_come_back_repaired_with_their_dates(found_in: FoundIn, name: str) -> None:
    posts = [
        {
            "timestamp": 1500000000,
            "data": [{"update_timestamp": 1500000009}, {"post": "Grüße 👋"}],
            "title": "Ada updated her status.",
        },
        {"timestamp": 1500000001, "data": [{"update_timestamp": 1}], "title": "Ada shared a link."},
        {"timestamp": 1500000002, "title": "Ada was at Home.", "attachments": []},
    ]
    first, *rest = found_in({name: exported(posts)})
    assert isinstance(first, Text)
    assert (first.text, first.title, first.mine) == ("Grüße 👋", None, True)
    assert first.date == datetime(2017, 7, 14, 2, 40, tzinfo=UTC)
    assert first.id is not None
    assert first.id.startswith("1500000000-")
    assert rest == [Dropped("without text")] * 2


def test_what_was_no_mojibake_stays_as_it_is(found_in: FoundIn) -> None:
    texts = ["caf\xe9", "日本", "\xc3", "plain"]
    content = json.dumps([{"timestamp": 1, "data": [{"post": text}]} for text in texts]).encode()
    assert [item.text for item in found_in({POSTS: content}) if isinstance(item, Text)] == texts


@pytest.mark.parametrize(
    ("name", "root"),
    [
        ("comments_and_reactions/comments.json", "comments_v2"),
        ("groups/your_comments_in_groups.json", "group_comments_v2"),
        ("comments/comments.json", "comments"),
    ],
)
def test_comments(found_in: FoundIn, name: str, root: str) -> None:
    bob, eve = "@[100001234567890:2048:Bob B.]", "@[100001234567891:2048:Eve Ö.]"
    comments = {
        root: [
            {
                "timestamp": 1,
                "data": [{"comment": {"timestamp": 1, "comment": "schön", "group": "Ärzte"}}],
                "title": "Ada commented on Bob's post.",
            },
            {"timestamp": 2, "data": [{"comment": {"comment": "", "author": "Ada"}}]},
            {"timestamp": 3, "data": [{"comment": {"comment": f"{bob}, ask {eve} [me]"}}]},
        ]
    }
    text, dropped, answer = found_in({name: exported(comments)})
    assert isinstance(text, Text)
    assert (text.text, text.community) == ("schön", "Ärzte")
    assert dropped == Dropped("without text")
    assert isinstance(answer, Text)
    assert answer.text == "ask Eve Ö. [me]"


def test_instagrams_captions_threads_and_comments(found_in: FoundIn) -> None:
    top = "your_instagram_activity/"
    media = {"uri": "a.jpg", "creation_timestamp": 10, "title": "one 🐈"}
    several = {"media": [{**media, "title": ""}] * 2, "title": "two", "creation_timestamp": 20}
    comment = {
        "Kommentar": {"value": "three"},
        "Besitzer": {"value": "bob"},
        "Zeit": {"timestamp": 30},
    }
    found = found_in(
        {
            top + "media/posts_1.json": exported([{"media": [media]}, several]),
            top + "media/reels.json": exported({"ig_reels_media": [{"media": [media]}]}),
            top + "media/stories.json": exported({"ig_stories": [{**media, "title": "four"}]}),
            top + "media/archived_posts.json": exported(
                {"ig_archived_post_media": [{"media": [{**media, "title": "kept"}]}]}
            ),
            top + "threads/threads_and_replies.json": exported(
                {"text_post_app_text_posts": [{"media": [{**media, "title": "five"}]}]}
            ),
            top + "comments/post_comments_1.json": exported([{"string_map_data": comment}]),
            top + "comments/reels_comments.json": exported(
                {
                    "comments_reels_comments": [
                        {"string_map_data": {"Media Owner": {"value": "bob"}}}
                    ]
                }
            ),
        }
    )
    texts = {item.text: item for item in found if isinstance(item, Text)}
    assert set(texts) == {"one 🐈", "two", "three", "four", "five", "kept"}
    assert [item for item in found if isinstance(item, Dropped)] == [Dropped("without text")]
    assert [text.text for text in texts.values() if not text.public] == ["kept"]
    assert {text.date.timestamp() for text in texts.values() if text.date} == {10, 20, 30}


def comment(**fields: str) -> dict[str, Any]:
    """As of 2021: everything has a link, a value and a time."""
    named = {
        name.replace("_", " "): {"href": "", "value": value, "timestamp": 0}
        for name, value in fields.items()
    }
    return {
        "title": "",
        "media_map_data": {},
        "string_map_data": named | {"Time": {"href": "", "value": "", "timestamp": 1600000000}},
    }


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({"Comment": "@bob.b_ so true", "Media_Owner": "bob.b_"}, "so true"),
        ({"Media_Owner": "bob.b_", "Comment": "nice"}, "nice"),
        ({"Comment": "nice"}, "nice"),
        ({"Kommentar": "nice", "Besitzer": "bob.b_"}, "nice"),
        ({"Besitzer": "bob.b_"}, None),
        ({"Media_Owner": "bob.b_"}, None),
        ({"Kommentar": "so nice"}, "so nice"),
    ],
)
def test_instagrams_comments_tell_nothing_of_whose_picture_it_was(
    found_in: FoundIn, fields: dict[str, str], kept: str | None
) -> None:
    name = "your_instagram_activity/comments/post_comments_1.json"
    [item] = found_in({name: exported([comment(**fields)])})
    if kept is None:
        assert item == Dropped("without text")
    else:
        assert isinstance(item, Text)
        assert (item.text, item.date) == (kept, datetime(2020, 9, 13, 12, 26, 40, tzinfo=UTC))


@pytest.mark.parametrize(("audience", "public"), [("Friends", False), ("Public", True)])
def test_newer_pieces_with_labels(found_in: FoundIn, audience: str, public: bool) -> None:
    labels = [
        {"label": "Audience", "value": audience},
        {"ent_field_name": "Text", "label": "Texto", "value": "olá"},
        {"label": "URL", "value": "https://example.org", "href": "https://example.org"},
    ]
    content = exported([{"timestamp": 5, "media": [], "label_values": labels, "fbid": "123"}])
    (text,) = found_in({"posts/your_posts_2.json": content})
    assert isinstance(text, Text)
    assert (text.text, text.id, text.public) == ("olá", "123", public)


def test_other_files_of_the_download_are_not_read(found_in: FoundIn) -> None:
    likes = {"likes_media_likes": [{"title": "bob", "string_list_data": [{"value": "a"}]}]}
    files = {
        "likes/liked_posts.json": exported(likes),
        "posts/your_uncategorized_photos.json": exported({"other_photos_v2": []}),
        "posts_1.json": b'[{"body": "of some other program"}]',
        "comments.json": b'{"comments": []}',
        "posts/your_posts_1.json": b"[]",
        "posts/your_posts_1.html": exported([{"timestamp": 1}]),
    }
    assert found_in(files) == []


@pytest.mark.parametrize(
    "classes", ["pam _3-95 _2pi0 _2lej uiBoxWhite noborder", "_a705", "_3-8y _3-95 _3b0c"]
)
def test_a_download_as_web_pages_is_told_and_no_text(tmp_path: Path, classes: str) -> None:
    body = f'<div class="_4t5n" role="main"><div class="{classes}"><p>{"a secret " * 30}</p></div>'
    page = f'<html><head><title>Bob</title></head><body class="_5vb_ _2yq">{body}</div></body>'
    found, report = documents(made(tmp_path, {"messages/inbox/bob_1/message_1.html": page}))
    assert not found
    assert "JSON" in report.broken[0].message


def test_entries_of_the_wrong_kind_are_told_and_the_rest_is_read(found_in: FoundIn) -> None:
    entries = [
        {"timestamp": 1, "data": [{"post": "one"}]},
        None,
        7,
        {"timestamp": None, "data": {"post": 3}},
        {"timestamp": 2**62, "data": [{"post": "two"}, "x", {"post": None}]},
    ]
    found = found_in({POSTS: exported(entries)})
    kinds = [type(item) for item in found]
    assert kinds == [Text, Broken, Broken, Dropped, Text]
    assert isinstance(found[-1], Text)
    assert found[-1].date is None


def test_a_download_cut_short_gives_what_there_is(found_in: FoundIn) -> None:
    whole = exported([{"timestamp": n, "data": [{"post": f"post {n}"}]} for n in range(9)])
    *texts, broken = found_in({POSTS: whole[:-30]})
    assert [text.text for text in texts if isinstance(text, Text)] == [
        f"post {n}" for n in range(8)
    ]
    assert isinstance(broken, Broken)
    assert "after item 8" in broken.place


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2**33), st.text(st.characters(codec="utf-8")).filter(lambda t: t.strip())
        )
    )
)
def test_made_posts_come_back(found_in: FoundIn, posts: list[tuple[int, str]]) -> None:
    entries = [{"timestamp": time, "data": [{"post": text}]} for time, text in posts]
    found = [item for item in found_in({POSTS: exported(entries)}) if isinstance(item, Text)]
    assert [(text.date and text.date.timestamp(), text.text) for text in found] == posts
