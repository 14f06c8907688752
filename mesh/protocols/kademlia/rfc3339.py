"""Instants as RFC 3339 text with nanoseconds, the form of IPNS validity and of a record's time of receipt."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from mesh.errors import Malformed, UsageError

NANOSECONDS: Final = 10**9
MAX_CHARACTERS: Final = 35
"""`2026-01-02T03:04:05.000000006+00:00`"""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FORM: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?(?:Z|([+-])([0-9]{2}):([0-9]{2}))"
)


def parse(text: bytes) -> int:
    """Nanoseconds of Unix time, negative before 1970. Raises Malformed.

    Strict as Go is: capital T and Z, seconds below 60, and a fraction of one to nine digits; offsets are read. Years
    are 1 to 9999.
    """
    found = None
    if len(text) <= MAX_CHARACTERS and text.isascii():
        found = _FORM.fullmatch(text.decode())
    if found is None:
        raise Malformed("RFC 3339", None, f"no date and time: {text[:40]!r}")
    year, month, day, hour, minute, second = map(int, found.groups()[:6])
    fraction, sign, hours, minutes = found.groups()[6:]
    try:
        whole = datetime(year, month, day, hour, minute, second, tzinfo=UTC) - _EPOCH
    except ValueError as error:
        raise Malformed("RFC 3339", None, f"{text.decode()}: {error}") from None
    seconds = whole.days * 86400 + whole.seconds
    if sign is not None:
        if int(hours) > 23 or int(minutes) > 59:
            raise Malformed("RFC 3339", None, f"{text.decode()}: the offset is out of range")
        offset = int(hours) * 3600 + int(minutes) * 60
        seconds += offset if sign == "-" else -offset
    return seconds * NANOSECONDS + int((fraction or "").ljust(9, "0"))


def write(nanoseconds: int) -> bytes:
    """The text of an instant in UTC; a fraction only when there is one, without zeros at its end.

    Raises UsageError for one outside the years 1 to 9999.
    """
    seconds, fraction = divmod(nanoseconds, NANOSECONDS)
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    digits = f".{fraction:09d}".rstrip("0") if fraction else ""
    return f"{_date(days)}T{hour:02d}:{minute:02d}:{second:02d}{digits}Z".encode()


@lru_cache(maxsize=64)
def _date(days: int) -> str:
    """The date so many days after the beginning of 1970: most instants lie within few of them."""
    try:
        return (_EPOCH + timedelta(days=days)).strftime("%Y-%m-%d").zfill(10)
    except OverflowError:
        raise UsageError("RFC 3339 holds the years 1 to 9999") from None


def from_seconds(seconds: float) -> int:
    """Unix seconds as whole nanoseconds. Raises UsageError for what is not finite."""
    try:
        return round(seconds * NANOSECONDS)
    except (OverflowError, ValueError):
        raise UsageError(f"{seconds} is no instant") from None
