import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.importers.source import Broken, Dropped, Item, Text

FoundIn = Callable[[dict[str, bytes]], list[Item]]

NAME = "Takeout/YouTube and YouTube Music/comments/comments.csv"
NEW = (
    "Comment ID,Channel ID,Comment create timestamp,Price,Parent comment ID,Post ID,Video ID,"
    "Comment text"
)
ID, CHANNEL = "UgytHqobEtqoKm_-pYB4AaABAg", "UCYnl1cugi7Lw1h8j6JNqNEg"
TIME = "2023-04-14T07:39:35.956042+00:00"


def table(*rows: list[str], header: str = NEW) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return f"\ufeff{header}\r\n{out.getvalue()}".encode()


def row(text: str) -> list[str]:
    return [ID, CHANNEL, TIME, "0", "UgParentParentParent", "", "rWVAzS6duAs", text]


def test_texts_since_2024_have_raw_line_breaks(found_in: FoundIn) -> None:
    text = (
        '{"text":"first"},{"text":"\n"},{"text":"@bob","mention":{"id":"x"}},{"text":" \\u003e ü"}'
    )
    assert found_in({NAME: table(row(text))}) == [
        Text(
            text="first\n@bob > ü",
            id=ID,
            date=datetime(2023, 4, 14, 7, 39, 35, 956042, tzinfo=UTC),
            mine=True,
        )
    ]


def test_texts_and_columns_before(found_in: FoundIn) -> None:
    header = (
        "Channel ID,Comment Create Timestamp,Price,Comment ID,Parent Comment ID,Video ID,"
        "Comment Text"
    )
    text = '{"takeoutSegments":[{"text":"a "},{"text":"b"}]}'
    fields = [CHANNEL, "2015-05-05 10:19:51 UTC", "0", ID, "UgParentParentParent", "v", text]
    (item,) = found_in({NAME: table(fields, header=header)})
    assert isinstance(item, Text)
    assert (item.text, item.id) == ("a b", ID)
    assert item.date == datetime(2015, 5, 5, 10, 19, 51, tzinfo=UTC)


@pytest.mark.parametrize(
    "name",
    [
        "YouTube und YouTube Music/Kommentare/Kommentare.csv",
        "YouTube und YouTube Music/Livechats/Livechats.csv",
        "YouTube/live chats/live chats.csv",
        "YouTube/comments/comments(1).csv",
    ],
)
def test_live_chats_and_headers_in_other_languages(found_in: FoundIn, name: str) -> None:
    header = "Livechat-ID,Kanal-ID,Livechat-Zeitstempel,Preis,Video-ID,Livechat-Text"
    fields = ["Cjq_chat", CHANNEL, TIME, "0", "v", '{"text":"lol"}']
    (item,) = found_in({name: table(fields, header=header)})
    assert isinstance(item, Text)
    assert (item.text, item.id, item.date is None) == ("lol", None, False)


def test_rows_without_text_and_broken_ones(found_in: FoundIn) -> None:
    found = found_in(
        {
            NAME: table(
                row('{"text":"fine"}'),
                row('{"text":"broken'),
                row('{"emoji":{"shortcode":":x:"}}'),
                row('{"text":null},{"text":4}'),
                [],
                ["a"],
                row("\x00"),
                row('{"text":"half \\ud83d"}'),
                row('{"text":"last"}'),
            )
        }
    )
    kinds = [type(item) for item in found]
    assert kinds == [Text, Broken, Dropped, Dropped, Dropped, Dropped, Text, Text]
    assert isinstance(found[1], Broken)
    assert [item.text for item in found if isinstance(item, Text)] == ["fine", "half ?", "last"]
    assert found[1].place.endswith("comments.csv, line 3")


def test_a_field_too_long_for_csv_does_not_end_it(found_in: FoundIn) -> None:
    long = row('{"text":"' + "x" * 200_000 + '"}')
    found = found_in({NAME: table(row('{"text":"one"}'), long, row('{"text":"two"}'))})
    assert [item.text for item in found if isinstance(item, Text)] == ["one", "two"]
    assert any(isinstance(item, Broken) for item in found)


def test_other_tables_are_not_read(found_in: FoundIn) -> None:
    files = {
        "YouTube/subscriptions/subscriptions.csv": b"Channel Id,Channel Url\nUC1,u\n",
        "comments.csv": b'id,body\n1,"{""x"":1}"\n',
        "YouTube/comments/comments.csv": table(),
    }
    assert found_in(files) == []


@given(st.lists(st.lists(st.text().filter(str.strip), min_size=1), min_size=1))
def test_made_comments_come_back(found_in: FoundIn, comments: list[list[str]]) -> None:
    written = [
        row(",".join(json.dumps({"text": text}, ensure_ascii=False) for text in one))
        for one in comments
    ]
    found = found_in({NAME: table(*written)})
    assert [item.text for item in found if isinstance(item, Text)] == ["".join(c) for c in comments]
