"""X, once Twitter: ``data/tweets.js`` and its parts, of the archive that one asks for oneself."""

import re
from collections.abc import Iterator
from datetime import datetime
from html import unescape

from corpus.archive import File
from corpus.importers.json_values import Value, field, text_field, values
from corpus.importers.mentions import without_addressees
from corpus.importers.source import Broken, Dropped, Item, Source, Text

# "window.YTD.tweets.part0 = [": of years ago, "tweet".
_HEAD = re.compile(rb"\s*(?:\xef\xbb\xbf)?window\.YTD\.tweets?\.part\d+\s*=")
_LINK = re.compile(r"[ \n]?https?://t\.co/\w+")
_COMPARED = 60  # characters of a long post, by which it is found


def recognises(file: File) -> bool:
    """Whether it begins as a file of tweets does."""
    return file.suffix == ".js" and _HEAD.match(file.head(256)) is not None


def read(file: File) -> Iterator[Item]:
    """The owner's tweets and answers."""
    owner = text_field(next(_records(file, "account.js"), None), "account", "username")
    public = not _is_protected(file)
    long_posts = _long_posts(file)
    for number, found in enumerate(values(file, "item"), start=1):
        if isinstance(found, Broken):
            yield found
            continue
        tweet = field(found.value, "tweet") or found.value  # of years ago, without the box
        if isinstance(field(tweet, "full_text") or field(tweet, "text"), str):
            yield _item(tweet, owner, public, long_posts)
        else:
            yield Broken(f"{file.path}, tweet {number}", "is no tweet")


def _item(tweet: object, owner: str, public: bool, long_posts: dict[str, list[str]]) -> Item:
    raw = unescape(text_field(tweet, "full_text") or text_field(tweet, "text"))
    if raw.startswith("RT @"):
        return Dropped("reshared")
    is_answer = any(
        text_field(tweet, f"in_reply_to_{whom}")
        for whom in ("status_id_str", "status_id", "user_id_str", "screen_name")
    )
    text = _own_words(_whole(raw, long_posts), is_answer)
    if not text:
        return Dropped("without text")
    id = text_field(tweet, "id_str") or text_field(tweet, "id")
    return Text(
        text=text,
        id=id or None,
        date=_date(text_field(tweet, "created_at")),
        url=f"https://x.com/{owner or 'i'}/status/{id}" if id else None,
        author=owner or None,
        mine=True,
        public=public and field(tweet, "user", "protected") is not True,
    )


def _own_words(text: str, is_answer: bool) -> str:
    """A text without links, and an answer without those whom it answers at its beginning."""
    text = _LINK.sub("", text).strip()
    return without_addressees(text) if is_answer else text


def _long_posts(file: File) -> dict[str, list[str]]:
    """The long posts by their beginnings; tweets.js has them cut, and no id leads from one to the
    other."""
    posts: dict[str, list[str]] = {}
    for note in _records(file, "note-tweet.js"):
        if text := unescape(text_field(note, "noteTweet", "core", "text")):
            posts.setdefault(_plain(text)[:_COMPARED], []).append(text)
    return posts


def _whole(text: str, long_posts: dict[str, list[str]]) -> str:
    """The long post of which a tweet is the beginning; the tweet itself if there is none."""
    beginning = _plain(text).rstrip("… ")
    found = long_posts.get(beginning[:_COMPARED], [])
    return next((post for post in found if _plain(post).startswith(beginning)), text)


def _plain(text: str) -> str:
    """To compare: without what a long post and its beginning may not have in common."""
    return " ".join(without_addressees(_LINK.sub("", text)).split())


def _is_protected(file: File) -> bool:
    """Whether only followers could read the account when it was saved."""
    changes = list(_records(file, "protected-history.js"))
    changes.sort(key=lambda change: text_field(change, "protectedHistory", "protectedAt"))
    actions = [text_field(change, "protectedHistory", "action") for change in changes]
    return bool(actions) and actions[-1].lower() == "protect"


def _records(file: File, name: str) -> Iterator[object]:
    """What a file beside it lists; nothing if there is none."""
    if found := file.sibling(name):
        yield from (one.value for one in values(found, "item") if isinstance(one, Value))


def _date(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%a %b %d %H:%M:%S %z %Y")
    except ValueError:
        return None


SOURCE = Source("twitter", "X (Twitter)", recognises, read)
