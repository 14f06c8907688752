"""A service as it comes from outside: from an API's caller, an announcement, a file."""

from __future__ import annotations

import math
from typing import Any, Final

from mesh.apps.agent.records import MAX_ID_CHARACTERS, MAX_NAME_CHARACTERS, MAX_SATS, ServiceInfo
from mesh.errors import DecodeError

MAX_DESCRIPTION_CHARACTERS: Final = 4096
MAX_CURRENCY_CHARACTERS: Final = 32
MAX_MORE_KEYS: Final = 32
MAX_MORE_CHARACTERS: Final = 4096
_KNOWN: Final = frozenset(["id", "name", "description", "price", "currency"])


def read_service(document: Any) -> ServiceInfo:
    """`ServiceInfo` of section 2.1; keys that we do not know are kept, 32 of them at most. Raises `DecodeError`."""
    if not isinstance(document, dict):
        raise _fault("", "is no object")
    price = document.get("price")
    if isinstance(price, bool) or not isinstance(price, int | float) or not 0 <= price <= MAX_SATS:
        raise _fault("price", f"is no number from 0 to {MAX_SATS}")
    description = document.get("description")
    if description is not None:
        description = _text(document, "description", MAX_DESCRIPTION_CHARACTERS, least=0)
    more = {key: value for key, value in document.items() if key not in _KNOWN}
    if len(more) > MAX_MORE_KEYS or _size(more) > MAX_MORE_CHARACTERS:
        raise _fault(
            "", f"has more than {MAX_MORE_KEYS} further keys, or {MAX_MORE_CHARACTERS} characters in them"
        )
    return ServiceInfo(
        id=_text(document, "id", MAX_ID_CHARACTERS),
        name=_text(document, "name", MAX_NAME_CHARACTERS),
        price=price,
        currency=_text(document, "currency", MAX_CURRENCY_CHARACTERS),
        description=description,
        more=more,
    )


def _text(document: dict[str, Any], key: str, most: int, least: int = 1) -> str:
    value = document.get(key)
    if not isinstance(value, str) or not least <= len(value) <= most:
        raise _fault(key, f"is no text of {least} to {most} characters")
    return value


def _size(value: Any) -> int:
    """About the characters that a value takes; infinite where it is nested deeper than 8, or no JSON."""
    return int(min(_measured(value, 8), MAX_MORE_CHARACTERS + 1))


def _measured(value: Any, depth: int) -> float:
    match value:
        case str():
            return len(value) + 2
        case dict() if depth:
            return 2 + sum(len(str(key)) + 4 + _measured(each, depth - 1) for key, each in value.items())
        case list() if depth:
            return 2 + sum(2 + _measured(each, depth - 1) for each in value)
        case None | bool():
            return 6
        case int() if value.bit_length() <= 64:
            return 22
        case float() if math.isfinite(value):
            return 26
    return math.inf


def _fault(key: str, reason: str) -> DecodeError:
    return DecodeError(f"service.{key}" if key else "service", None, reason)
