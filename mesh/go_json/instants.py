"""Times as Go writes them: RFC 3339 with nanoseconds, trailing zeros cut, in UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from mesh.errors import Malformed, UsageError

NANOSECONDS: Final = 10**9
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_INSTANT: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9})\d*)?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII
)


def write_instant(unix_ns: int) -> str:
    """The time that is ``unix_ns`` nanoseconds after 1970. Raises `UsageError` outside the years 1 to 9999."""
    seconds, fraction = divmod(unix_ns, NANOSECONDS)
    try:
        moment = _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        raise UsageError(f"{unix_ns} ns is no time of the years 1 to 9999") from None
    text = f"{moment.year:04d}-{moment:%m-%dT%H:%M:%S}"
    return f"{text}.{fraction:09d}".rstrip("0") + "Z" if fraction else f"{text}Z"


def read_instant(text: str) -> int:
    """Nanoseconds after 1970 of a time with `Z` or an offset. Raises `Malformed`."""
    found = _INSTANT.fullmatch(text)
    if found is None:
        raise Malformed("time", None, f"parsing time {text[:64]!r} as RFC 3339")
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    fraction = int((found[7] or "").ljust(9, "0"))
    offset = (int(found[9]) * 60 + int(found[10])) * (-60 if found[8] == "-" else 60) if found[8] else 0
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError as error:
        raise Malformed("time", None, f"parsing time {text[:64]!r}: {error}") from None
    span = moment - _EPOCH
    return (span.days * 86400 + span.seconds - offset) * NANOSECONDS + fraction
