import json
from collections.abc import Callable
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from corpus.importers.source import Broken, Dropped, Item, Text

FoundIn = Callable[[dict[str, bytes]], list[Item]]


def note(**more: object) -> dict[str, bytes]:
    whole = {
        "color": "DEFAULT",
        "isTrashed": False,
        "isPinned": False,
        "isArchived": False,
        "title": "",
        "textContentHtml": "<p dir='ltr'>not read</p>",
        "annotations": [
            {"description": "", "source": "WEBLINK", "title": "", "url": "https://a.b"}
        ],
        "labels": [{"name": "a label"}],
        "userEditedTimestampUsec": 1700000000000000,
        "createdTimestampUsec": 1600000000000000,
    }
    return {"Takeout/Keep/A note.json": json.dumps(whole | more).encode()}


def test_a_note_is_ones_own_and_private(found_in: FoundIn) -> None:
    (text,) = found_in(note(textContent="Buy ü\n\nand y", title="List", isArchived=True))
    assert isinstance(text, Text)
    assert (text.text, text.title) == ("Buy ü\n\nand y", "List")
    assert (text.mine, text.public) == (True, False)
    assert text.date == datetime(2020, 9, 13, 12, 26, 40, tzinfo=UTC)


def test_a_list_is_lines(found_in: FoundIn) -> None:
    entries = [{"text": "one", "isChecked": True}, {"text": "two", "isChecked": False}, None, {}]
    (text,) = found_in(note(listContent=entries))
    assert isinstance(text, Text)
    assert text.text.strip() == "one\ntwo"


def test_trash_and_pictures_are_dropped(found_in: FoundIn) -> None:
    assert found_in(note(textContent="x", isTrashed=True)) == [Dropped("deleted")]
    assert found_in(note(attachments=[{"filePath": "a.jpg"}])) == [Dropped("without text")]
    assert found_in(note(textContent=None, listContent="x")) == [Dropped("without text")]


def test_other_files_are_not_read(found_in: FoundIn) -> None:
    files = {"a.json": b'{"textContent": "x"}', "b.json": b"[]"}
    assert found_in(files) == []


def test_a_note_cut_short_is_told(found_in: FoundIn) -> None:
    ((name, whole),) = note(textContent="x" * 100).items()
    (broken,) = found_in({name: whole[:-20]})
    assert isinstance(broken, Broken)


@given(st.text().filter(str.strip), st.text(), st.integers(1, 2**52))
def test_made_notes_come_back(found_in: FoundIn, body: str, title: str, time: int) -> None:
    (text,) = found_in(note(textContent=body, title=title, createdTimestampUsec=time))
    assert isinstance(text, Text)
    assert (text.text, text.title or "") == (body, title)
    assert text.date == datetime.fromtimestamp(time // 10**6, UTC).replace(microsecond=time % 10**6)
