"""Dates as exports write them."""

import re
from datetime import UTC, datetime, timedelta, tzinfo
from email.utils import parsedate_to_datetime

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# "Friday, October 4, 2013 at 10:05pm PDT", "Friday, 4 October 2013 at 22:05:00 UTC+01".
_ENGLISH = re.compile(
    r"(?:[A-Z][a-z]+,? )?(?:([A-Z][a-z]+) (\d{1,2}),|(\d{1,2}) ([A-Z][a-z]+)) (\d{4}) at "
    r"(\d{1,2}):(\d{2})(?::(\d{2}))?\s?([AaPp][Mm])?(?: ([A-Z]+)(?:([+-]\d{2}):?(\d{2})?)?)?"
)


def from_epoch(value: object, *, per_second: int = 1) -> datetime | None:
    """The date of a count since 1970, a number or its text; None if it is none, or none possible.

    per_second: how many make up a second.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return _EPOCH + timedelta(microseconds=float(value) * (1_000_000 / per_second))
    except (ValueError, ArithmeticError):
        return None


def from_english(text: str) -> datetime | None:
    """The date of a text as Meta and Google write it for people who read English; None else."""
    match = _ENGLISH.fullmatch(text.strip())
    if not match:
        return None
    month, day, day_before, month_after, year, hour, minute, second, half, zone, ahead, past = (
        match.groups()
    )
    hours = int(hour)
    if half:
        hours = hours % 12 + 12 * (half in ("PM", "pm"))
    offset = f"{ahead}{past or '00'}" if ahead else zone or ""
    return from_rfc2822(
        f"{day or day_before} {(month or month_after)[:3]} {year} "
        f"{hours}:{minute}:{second or '00'} {offset}"
    )


def from_iso(text: str, *, zone: tzinfo | None = None) -> datetime | None:
    """The date of an ISO 8601 text; None if it is none. zone: where it names none."""
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        return None
    return date.replace(tzinfo=date.tzinfo or zone)


def from_rfc2822(text: str) -> datetime | None:
    """The date of a mail's header; None if it is none."""
    try:
        return parsedate_to_datetime(text)
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
