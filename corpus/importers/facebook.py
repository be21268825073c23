"""Facebook and Instagram: one's own posts, captions, threads and comments, of a download as JSON.

Facebook's ``your_posts__check_ins__photos_and_videos_1.json`` (before: ``your_posts_1.json``) and
``comments.json``; Instagram's ``posts_1.json``, ``reels.json``, ``threads_and_replies.json``,
``post_comments_1.json`` and their like. A download does not say who could read a post: all count as
public but what was archived.
"""

import re
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

from corpus.archive import File
from corpus.importers.dates import from_epoch
from corpus.importers.json_values import mapping, mappings, text, values
from corpus.importers.source import Broken, Dropped, Item, Source, Text

_ARCHIVED = ("ig_archived_post_media", "text_post_app_text_app_archived_posts")
_ROOTS = (
    "comments_v2",
    "group_comments_v2",
    "group_posts_v2",
    "comments_media_comments",
    "comments_reels_comments",
    "ig_reels_media",
    "ig_stories",
    "ig_igtv_media",
    "text_post_app_text_posts",
    *_ARCHIVED,
)
_START = rb"\A(?:\xef\xbb\xbf)?\s*"
_OBJECT = re.compile(_START + rb'\{\s*"(?:%s)"' % "|".join(_ROOTS).encode())
# Files that are plain lists: by their names, and what their entries have.
_LIST = re.compile(_START + rb"\[\s*\{")
_LIST_NAME = re.compile(
    r"(?:your_posts\w*|profile_posts_\d+|posts_\d+|(?:post|reels)_comments(?:_\d+)?)\.json"
)
_LIST_KEYS = re.compile(rb'"(?:timestamp|creation_timestamp|string_map_data|label_values)"')
# As label_values call the text; in exports that are in English, as the labels do.
_TEXT_LABELS = ("Text", "Comment", "Caption", "Message")


def recognises(file: File) -> bool:
    """Whether it begins as one of these lists does."""
    if file.suffix != ".json":
        return False
    head = file.head()
    if _OBJECT.match(head):
        return True
    is_list = _LIST_NAME.fullmatch(file.name) and _LIST.match(head)
    return bool(is_list and _LIST_KEYS.search(head))


def read(file: File) -> Iterator[Item]:
    """Its entries; those without words of one's own are dropped."""
    for found in values(file, "item", *(f"{root}.item" for root in _ROOTS)):
        if isinstance(found, Broken):
            yield found
        elif not isinstance(found.value, dict):
            yield Broken(str(file.path), f"an entry that is no object: {found.value!r:.50}")
        else:
            is_archived = found.prefix.removesuffix(".item") in _ARCHIVED
            yield _item(found.value, public=not is_archived)


def repaired(value: object) -> str:
    """A text of Meta's exports, whose UTF-8 was taken for Latin-1; what was not stays as it is."""
    raw = text(value)
    try:
        return raw.encode("latin-1").decode()
    except UnicodeError:
        return raw


def _item(entry: dict[str, Any], *, public: bool) -> Item:
    comments = [mapping(piece.get("comment")) for piece in mappings(entry.get("data"))]
    body = _text(entry, comments)
    if not body.strip():
        return Dropped("without text")
    moment = _moment(entry)
    fbid = entry.get("fbid")
    return Text(
        text=body,
        id=str(fbid) if isinstance(fbid, str | int) else f"{moment}-{_hash(body)}",
        date=from_epoch(moment),
        mine=True,
        public=public,
        community=next(filter(None, (repaired(one.get("group")) for one in comments)), None),
    )


def _text(entry: dict[str, Any], comments: list[dict[str, Any]]) -> str:
    """``title`` is a caption with Instagram and boilerplate ("Ada updated her status.") with
    Facebook, whose entries have no ``creation_timestamp``."""
    if "label_values" in entry:
        pieces = [
            repaired(one.get("value"))
            for one in mappings(entry["label_values"])
            if (one.get("ent_field_name") or one.get("label")) in _TEXT_LABELS
        ]
    elif "string_map_data" in entry:
        pieces = [_instagram_comment(mapping(entry["string_map_data"]))]
    elif "creation_timestamp" in entry or "media" in entry:
        captions = [entry.get("title"), *(one.get("title") for one in mappings(entry.get("media")))]
        pieces = [repaired(caption) for caption in captions]
    else:
        pieces = [repaired(piece.get("post")) for piece in mappings(entry.get("data"))]
        pieces += [repaired(one.get("comment")) for one in comments]
        pieces += [repaired(one.get("value")) for one in mappings(entry.get("string_list_data"))]
    return "\n\n".join(dict.fromkeys(filter(None, pieces)))


def _instagram_comment(fields: dict[str, Any]) -> str:
    """The comment stands first, whatever the account's language calls it."""
    name = next(iter(fields), "")
    return repaired(mapping(fields.get(name)).get("value")) if name != "Media Owner" else ""


def _moment(entry: dict[str, Any]) -> object:
    """Seconds since 1970, wherever they are."""
    nested = (
        *mappings(entry.get("media")),
        *mappings(entry.get("string_list_data")),
        *mapping(entry.get("string_map_data")).values(),
    )
    moments = (
        mapping(one).get(key)
        for one in (entry, *nested)
        for key in ("timestamp", "creation_timestamp")
    )
    return next((moment for moment in moments if moment is not None), None)


def _hash(body: str) -> str:
    return blake2b(body.encode(errors="replace"), digest_size=6).hexdigest()


SOURCE = Source("facebook", "Facebook and Instagram", recognises, read)
