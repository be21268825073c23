"""Facebook and Instagram: one's own posts, captions, threads and comments, of a download as JSON.

Facebook's ``your_posts__check_ins__photos_and_videos_1.json`` (before: ``your_posts_1.json``) and
``comments.json``; Instagram's ``posts_1.json``, ``reels.json``, ``threads_and_replies.json``,
``post_comments_1.json`` and their like. A download does not say who could read a post: all count as
public but what was archived, and what names another audience. A download as web pages is
recognised, but not read.
"""

import re
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

from corpus.archive import File
from corpus.importers.dates import from_epoch
from corpus.importers.json_values import mapping, mappings, text, values
from corpus.importers.mentions import without_addressees
from corpus.importers.source import Broken, Dropped, Item, Source, Text

_ARCHIVED = ("ig_archived_post_media", "text_post_app_text_app_archived_posts")
_COMMENTS = "comments"  # of before 2021: too common a word to be enough
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
_BEGINNINGS = "|".join((*_ROOTS, rf'{_COMMENTS}"\s*:\s*\[\s*\{{\s*"timestamp'))
_OBJECT = re.compile(_START + rb'\{\s*"(?:%s)"' % _BEGINNINGS.encode())
# Of the pages since 2018, the boxes around what they list.
_PAGE = re.compile(rb'class="(?:[^"]* )?(?:uiBoxWhite|_a70[5-9a-e]|_3b0[c-e])\b')
# Files that are plain lists: by their names, and what their entries have.
_LIST = re.compile(_START + rb"\[\s*\{")
_LIST_NAME = re.compile(
    r"(?:your_posts\w*|profile_posts_\d+|posts_\d+|(?:post|reels)_comments(?:_\d+)?)\.json"
)
_LIST_KEYS = re.compile(rb'"(?:timestamp|creation_timestamp|string_map_data|label_values)"')
# As label_values call the text; in exports that are in English, as the labels do.
_TEXT_LABELS = ("Text", "Comment", "Caption", "Message")
_AUDIENCE, _EVERYBODY = "Audience", "Public"
# Somebody who is mentioned: a number, 2048 and the name.
_TAG = re.compile(r"@\[\d{1,20}:\d{1,9}:([^\]\n]{0,100})\]")
_FIRST_TAGS = re.compile(rf"\s*(?:{_TAG.pattern}[,:]?\s*)*")
_USER_NAME = re.compile(r"[\w.]{1,30}")


def recognises(file: File) -> bool:
    """Whether it begins as one of these lists does, or is a page of a download: nobody else shall
    take what is in there, such as other people's messages, for a text."""
    if file.suffix == ".html":
        return _PAGE.search(file.head()) is not None
    if file.suffix != ".json":
        return False
    head = file.head()
    if _OBJECT.match(head):
        return True
    is_list = _LIST_NAME.fullmatch(file.name) and _LIST.match(head)
    return bool(is_list and _LIST_KEYS.search(head))


def read(file: File) -> Iterator[Item]:
    """Its entries; those without words of one's own are dropped."""
    if file.suffix == ".html":
        yield Broken(str(file.path), "is a web page: download it again as JSON")
        return
    for found in values(file, "item", *(f"{root}.item" for root in (_COMMENTS, *_ROOTS))):
        if isinstance(found, Broken):
            yield found
        elif not isinstance(found.value, dict):
            yield Broken(str(file.path), f"an entry that is no object: {found.value!r:.50}")
        else:
            is_archived = found.prefix.removesuffix(".item") in _ARCHIVED
            is_public = not is_archived and _is_for_everybody(found.value)
            yield _item(found.value, public=is_public)


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


def _is_for_everybody(entry: dict[str, Any]) -> bool:
    labels = mappings(entry.get("label_values"))
    return all(one.get("value") == _EVERYBODY for one in labels if _label(one) == _AUDIENCE)


def _label(one: dict[str, Any]) -> object:
    return one.get("ent_field_name") or one.get("label")


def _text(entry: dict[str, Any], comments: list[dict[str, Any]]) -> str:
    """``title`` is a caption with Instagram and boilerplate ("Ada updated her status.") with
    Facebook, whose entries have no ``creation_timestamp``."""
    if "label_values" in entry:
        pieces = [
            repaired(one.get("value"))
            for one in mappings(entry["label_values"])
            if _label(one) in _TEXT_LABELS
        ]
    elif "string_map_data" in entry:
        pieces = [_instagram_comment(mapping(entry["string_map_data"]))]
    elif "creation_timestamp" in entry or "media" in entry:
        captions = [entry.get("title"), *(one.get("title") for one in mappings(entry.get("media")))]
        pieces = [repaired(caption) for caption in captions]
    else:
        pieces = [repaired(piece.get("post")) for piece in mappings(entry.get("data"))]
        pieces += [_FIRST_TAGS.sub("", repaired(one.get("comment")), 1) for one in comments]
        pieces += [repaired(one.get("value")) for one in mappings(entry.get("string_list_data"))]
    return "\n\n".join(_TAG.sub(r"\1", piece) for piece in dict.fromkeys(filter(None, pieces)))


def _instagram_comment(fields: dict[str, Any]) -> str:
    """The comment stands before the name of whose picture it is, whatever the account's language
    calls them; where only one of them is there, it may be that name."""
    named = {name: repaired(mapping(one).get("value")) for name, one in fields.items()}
    found = [value for name, value in named.items() if value and name != "Media Owner"]
    comment = named.get("Comment") or next(iter(found), "")
    is_name = len(found) == 1 and "Comment" not in named and _USER_NAME.fullmatch(comment)
    return "" if is_name else without_addressees(comment)


def _moment(entry: dict[str, Any]) -> object:
    """Seconds since 1970, wherever they are; 0 stands for none where there are others."""
    nested = (
        *mappings(entry.get("media")),
        *mappings(entry.get("string_list_data")),
        *mapping(entry.get("string_map_data")).values(),
    )
    moments = [
        mapping(one).get(key)
        for one in (entry, *nested)
        for key in ("timestamp", "creation_timestamp")
    ]
    return next(filter(None, moments), 0 if 0 in moments else None)


def _hash(body: str) -> str:
    return blake2b(body.encode(errors="replace"), digest_size=6).hexdigest()


SOURCE = Source("facebook", "Facebook and Instagram", recognises, read)
