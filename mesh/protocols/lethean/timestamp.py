"""Times as Go writes them into JSON: RFC 3339 with up to nine digits of a second and an offset (section 6.2).

A time is its text everywhere in this package: nothing in the protocol computes with it, and only the text keeps Go's
nanoseconds and offset.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from mesh.errors import Malformed, UsageError

ZERO: Final = "0001-01-01T00:00:00Z"
"""What Go writes for a time that was never set."""

_FORM: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(Z|[+-]\d\d:\d\d)", re.ASCII
)
_MONTH_DAYS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def format_timestamp(unix_ns: int, offset_minutes: int = 0) -> str:
    """The text of an instant in nanoseconds since 1970, on a clock `offset_minutes` east of Greenwich."""
    seconds, fraction = divmod(unix_ns, 10**9)
    zone = timezone(timedelta(minutes=offset_minutes)) if offset_minutes else UTC
    try:
        whole = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).astimezone(zone)
    except OverflowError:
        raise UsageError(f"{unix_ns} ns is outside the years 1 to 9999") from None
    digits = f".{fraction:09d}".rstrip("0") if fraction else ""
    sign, minutes = "-" if offset_minutes < 0 else "+", abs(offset_minutes)
    ending = f"{sign}{minutes // 60:02d}:{minutes % 60:02d}" if minutes else "Z"
    return f"{whole.replace(tzinfo=None).isoformat(timespec='seconds')}{digits}{ending}"


def read_timestamp(text: str, field: str) -> str:
    """The text in the form that Go would write again: fraction cut to nine digits and without zeros at its end.

    Raises Malformed for what Go cannot read.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise Malformed(field, None, f"{text[:40]!r} is no time of RFC 3339 with an offset")
    year, month, day, hour, minute, second = map(int, match.groups()[:6])
    fraction, zone = match[7], match[8]
    leap = month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    whole = 1 <= month <= 12 and 1 <= day <= _MONTH_DAYS[month - 1] + leap
    if not whole or hour > 23 or minute > 59 or second > 59:
        raise Malformed(field, None, f"{text[:40]!r} is no day and time of the calendar")
    if zone != "Z" and (int(zone[1:3]) > 23 or int(zone[4:]) > 59):
        raise Malformed(field, None, f"{text[:40]!r} has no possible offset")
    if zone in ("+00:00", "-00:00"):
        zone = "Z"
    digits = (fraction or "")[:9].rstrip("0")
    return f"{text[:19]}{'.' + digits if digits else ''}{zone}"


def unix_ns(text: str) -> int:
    """Nanoseconds since 1970 of a time that `read_timestamp` gave. Raises Malformed for year 0, which has none here."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise Malformed("time", None, f"{text[:40]!r} is no time of RFC 3339 with an offset")
    try:
        whole = datetime.fromisoformat(text[:19])
    except ValueError as error:
        raise Malformed("time", None, str(error)) from None
    zone = match[8]
    seconds = (whole - datetime(1970, 1, 1)) // timedelta(seconds=1)
    if zone != "Z":
        east = int(zone[1:3]) * 3600 + int(zone[4:]) * 60
        seconds -= east if zone[0] == "+" else -east
    return seconds * 10**9 + int((match[7] or "0")[:9].ljust(9, "0"))
