"""Fields of the JSON that is said in gossip, each with its limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mesh.errors import Malformed
from mesh.identity.peer_id import PeerId


def peer_of(text: Any) -> PeerId:
    """Raises `DecodeError`."""
    return PeerId.parse(text if isinstance(text, str) else "")


def number_of(found: Mapping[str, Any], name: str, most: float) -> float:
    """A number from 0 to ``most``. Raises `Malformed`."""
    value = found.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise Malformed(f"gossip.{name}", None, f"no number from 0 to {most:g}")
    return float(value)


def text_of(found: Mapping[str, Any], name: str, most: int) -> str:
    """A text of at most so many characters. Raises `Malformed`."""
    value = found.get(name)
    if not isinstance(value, str) or len(value) > most:
        raise Malformed(f"gossip.{name}", None, f"no text of at most {most} characters")
    return value


def word_of(found: Mapping[str, Any], name: str, words: Sequence[str]) -> str:
    """One of these words. Raises `Malformed`."""
    value = found.get(name)
    if value not in words:
        raise Malformed(f"gossip.{name}", None, f"none of {', '.join(words)}")
    return str(value)


def objects_of(found: Mapping[str, Any], name: str, most: int) -> list[dict[str, Any]]:
    """An array of at most so many objects. Raises `Malformed`."""
    value = found.get(name)
    if not isinstance(value, list) or len(value) > most or not all(isinstance(each, dict) for each in value):
        raise Malformed(f"gossip.{name}", None, f"not an array of at most {most} objects")
    return value
