"""YouTube: one's own comments, live chat messages and posts of a Takeout (``comments.csv``).

The header is in the account's language and the columns have moved, so a field is known by its form.
"""

import csv
import io
import json
import re
from collections.abc import Iterator

from corpus.archive import File
from corpus.importers.dates import from_iso
from corpus.importers.json_values import mappings, text
from corpus.importers.source import Broken, Dropped, Item, Source, Text

# {"takeoutSegments":[{"text":"a"}]} before 2024, {"text":"a"},{"text":"b"} since.
_TEXT_START = re.compile(r'\{\s*"')
_TEXT_IN_CSV = re.compile(rb'"\{\s*""(?:text|takeoutSegments|mention|emoji|videoLink)""\s*:')
_DATE = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d\S*(?: UTC)?")
_ID = re.compile(r"Ug[\w.-]{12,}")  # of a comment; the one it answers comes after it


def recognises(file: File) -> bool:
    """Whether a field is a text as Takeout writes it."""
    return file.suffix == ".csv" and bool(_TEXT_IN_CSV.search(file.head()))


def read(file: File) -> Iterator[Item]:
    """A text a row."""
    with file.open() as stream:
        lines = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace", newline="")
        rows = csv.reader(lines)
        is_header = True
        while True:
            try:
                row = next(rows, None)
            except csv.Error as error:
                yield Broken(f"{file.path}, line {rows.line_num}", str(error))
                continue
            if row is None:
                return
            if row and not is_header:
                yield _item(row, f"{file.path}, line {rows.line_num}")
            is_header = False


def _item(row: list[str], place: str) -> Item:
    written = next(filter(_TEXT_START.match, row), "")
    try:
        # Line breaks in strings are raw.
        pieces = json.loads(f"[{written}]", strict=False)
    except (ValueError, RecursionError) as error:
        return Broken(place, str(error))
    segments = [
        segment
        for piece in mappings(pieces)
        for segment in mappings(piece.get("takeoutSegments")) or [piece]
    ]
    written = "".join(text(segment.get("text")) for segment in segments)
    body = written.encode(errors="replace").decode()  # json lets lone surrogates pass
    if not body.strip():
        return Dropped("without text")
    return Text(
        text=body,
        id=next(filter(_ID.fullmatch, row), None),
        date=from_iso(next(filter(_DATE.fullmatch, row), "").replace(" UTC", "+00:00")),
        mine=True,
    )


SOURCE = Source("youtube", "YouTube", recognises, read)
