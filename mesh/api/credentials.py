"""What a request says of where it thinks it goes and by which right it comes: the Host header and the token."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers

LOCAL_HOSTS: Final = frozenset(["localhost", "127.0.0.1", "[::1]"])
_HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]:]+)(?::[0-9]{1,5})?", re.IGNORECASE)


def named_host(headers: Headers) -> str | None:
    """The name in the Host header, without a port; None unless there is one such header and it makes sense."""
    named = headers.getlist("host")
    found = _HOST.fullmatch(named[0]) if len(named) == 1 else None
    return None if found is None else found[1].lower()


def hosts_of(origins: Iterable[str]) -> frozenset[str]:
    """The names in origins of web pages, as they stand in a Host header."""
    names = (urlsplit(each).hostname for each in origins)
    return frozenset(f"[{each}]" if ":" in each else each for each in names if each)


def bears(headers: Headers, token: bytes) -> bool:
    """Whether the one Authorization header shows the token."""
    given = headers.getlist("authorization")
    scheme, _, shown = (given[0] if len(given) == 1 else "").partition(" ")
    return scheme.lower() == "bearer" and is_token(shown.strip(), token)


def is_token(shown: str, token: bytes) -> bool:
    """Compared in a time that tells nothing."""
    return hmac.compare_digest(shown.encode(), token)
