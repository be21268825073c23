"""X's archive: data/tweets.js and what belongs to it."""

import html
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.archive import Archive
from corpus.importers import twitter
from corpus.importers.source import Broken, Dropped, Item, Text
from corpus.importing import recognise

DATE = "Wed Nov 09 15:04:05 +0000 2022"


def read(path: Path) -> list[Item]:
    with Archive([path]) as archive:
        return [i for f in archive if recognise(f) is twitter.SOURCE for i in twitter.read(f)]


def write(folder: Path, name: str, records: Any) -> None:
    (folder / "data").mkdir(exist_ok=True)
    variable, _, part = name.removesuffix(".js").partition("-part")
    text = (
        f"window.YTD.{variable.replace('-', '_')}.part{part or 0} = {json.dumps(records, indent=1)}"
    )
    (folder / "data" / name).write_text(text)


def tweets(folder: Path, *made: Any) -> list[Item]:
    write(folder, "tweets.js", list(made))
    return read(folder)


def tweet(text: Any, **more: Any) -> dict[str, Any]:
    """As archives of 2023 and later have it."""
    base = {
        "edit_info": {"initial": {"editTweetIds": ["123"], "editsRemaining": "5"}},
        "retweeted": False,
        "source": '<a href="https://mobile.twitter.com" rel="nofollow">Twitter Web App</a>',
        "entities": {"hashtags": [], "symbols": [], "user_mentions": [], "urls": []},
        "display_text_range": ["0", "140"],
        "favorite_count": "2",
        "id_str": "123",
        "truncated": False,
        "retweet_count": "0",
        "id": "123",
        "created_at": DATE,
        "favorited": False,
        "full_text": text,
        "lang": "en",
    }
    return {"tweet": base | more}


def texts(items: list[Item]) -> list[str]:
    return [item.text for item in items if isinstance(item, Text)]


def test_a_tweet_with_all_that_is_known_of_it(tmp_path: Path) -> None:
    account = {"username": "ada", "accountId": "1", "email": "x@y.z"}
    write(tmp_path, "account.js", [{"account": account}])
    assert tweets(tmp_path, tweet("I &lt;3 you &amp;amp; me https://t.co/abc123")) == [
        Text(
            text="I <3 you &amp; me",
            id="123",
            date=datetime(2022, 11, 9, 15, 4, 5, tzinfo=UTC),
            url="https://x.com/ada/status/123",
            author="ada",
            mine=True,
        )
    ]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("@ada @bob_2 no, never", "no, never"),
        ("@ada", None),
        (".@ada well", "well"),
        ("@ada a mail to @bob", "a mail to @bob"),
        ("no @ada", "no @ada"),
        ("@ada https://t.co/xyz", None),
        ("@ada\nnew line", "new line"),
        ("@ada, @bob: no", "no"),
        ("@ada's idea", "@ada's idea"),
    ],
)
def test_answers_lose_whom_they_answer(tmp_path: Path, text: str, kept: str | None) -> None:
    found = tweets(tmp_path, tweet(text, in_reply_to_status_id_str="5"))
    assert texts(found) == ([kept] if kept else [])
    assert texts(tweets(tmp_path, tweet("@ada is good"))) == ["@ada is good"]


def test_what_is_no_text_of_ones_own_is_dropped(tmp_path: Path) -> None:
    found = tweets(
        tmp_path,
        tweet("RT @ada: something"),
        tweet("https://t.co/abc https://t.co/def"),
        tweet(""),
        tweet("look: https://t.co/abc\nhttps://example.org stays"),
    )
    assert found[:2] == [Dropped("reshared"), Dropped("without text")]
    assert texts(found) == ["look:\nhttps://example.org stays"]


def test_parts_and_the_form_of_years_ago(tmp_path: Path) -> None:
    write(tmp_path, "tweets.js", [tweet("one", id_str="1")])
    write(tmp_path, "tweets-part1.js", [tweet("two", id_str="2")])
    write(tmp_path, "tweet.js", [tweet("three", id_str="3")["tweet"]])
    write(tmp_path, "deleted-tweets.js", [tweet("gone")])
    write(tmp_path, "like.js", [{"like": {"fullText": "of others"}}])
    assert sorted(texts(read(tmp_path))) == ["one", "three", "two"]


def test_long_posts_stand_for_the_tweets_that_were_cut(tmp_path: Path) -> None:
    long = "It was the best of times & the worst of times. " * 12
    other = long[:200] + "but this one is different, and so is its end."
    notes = [{"noteTweet": {"noteTweetId": "9", "core": {"text": t}}} for t in (other, long)]
    write(tmp_path, "note-tweet.js", [*notes, {}, 5, {"noteTweet": {"core": {"text": None}}}])
    cut = html.escape(long[:270]) + "… https://t.co/abc"
    answer = tweet("@bob " + cut, in_reply_to_status_id_str="5")
    found = tweets(tmp_path, tweet(cut), tweet("It was the best"), answer)
    assert texts(found) == [long.strip(), "It was the best", long.strip()]


@pytest.mark.parametrize(
    ("actions", "public"),
    [(["Protect"], False), (["Protect", "Unprotect"], True), ([], True), (["Unprotect"], True)],
)
def test_protected_accounts_are_not_public(
    tmp_path: Path, actions: list[str], public: bool
) -> None:
    history = [
        {"protectedHistory": {"protectedAt": f"201{n}-01-01T00:00:00.000Z", "action": action}}
        for n, action in enumerate(actions)
    ]
    write(tmp_path, "protected-history.js", history[::-1])
    [item] = tweets(tmp_path, tweet("a"))
    assert isinstance(item, Text)
    assert item.public is public


def test_broken_tweets_are_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    write(tmp_path, "account.js", {"account": None})
    found = tweets(tmp_path, tweet("a"), None, {"tweet": 5}, tweet(7), [], tweet("b", created_at=7))
    assert texts(found) == ["a", "b"]
    assert [type(item) for item in found] == [Text, Broken, Broken, Broken, Broken, Text]
    path = tmp_path / "data" / "tweets.js"
    path.write_bytes(path.read_bytes()[:-20])
    cut = read(tmp_path)
    assert texts(cut)[0] == "a"
    assert isinstance(cut[-1], Broken)


@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="@/"), min_size=1).filter(
            str.strip
        ),
        max_size=8,
    )
)
def test_made_tweets_come_back(tmp_path_factory: pytest.TempPathFactory, words: list[str]) -> None:
    start = datetime(2020, 1, 1, tzinfo=UTC)
    dates = [start + timedelta(hours=n) for n in range(len(words))]
    made = [
        tweet(html.escape(text), created_at=date.strftime("%a %b %d %H:%M:%S +0000 %Y"))
        for text, date in zip(words, dates, strict=True)
    ]
    found = tweets(tmp_path_factory.mktemp("made"), *made)
    assert texts(found) == [text.strip() for text in words]
    assert [item.date for item in found if isinstance(item, Text)] == dates


@given(st.binary() | st.text('[]{}":,tweeuvdfl_x0 \n').map(str.encode))
def test_nothing_in_a_file_raises(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("any")
    for name in ("tweets.js", "account.js", "note-tweet.js", "protected-history.js"):
        (folder / name).write_bytes(b"window.YTD.tweets.part0 = " + data)
    with Archive([folder]) as archive:
        for file in archive:
            assert twitter.recognises(file)
            list(twitter.read(file))
