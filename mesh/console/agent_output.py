"""What the verbs of `mesh agent` print: lines of words, nothing of a peer's text beyond its place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from mesh.console.output import say, say_json
from mesh.telemetry.log import printable

PREVIEW_CHARACTERS: Final = 60
SHORT_ID_CHARACTERS: Final = 16
ARROWS: Final = {"inbound": "<-", "outbound": "->"}


def tell(json: bool, answer: Mapping[str, Any], lines: Iterable[str]) -> None:
    """The answer as JSON, or in these lines."""
    if json:
        say_json(answer)
        return
    for line in lines:
        say(printable(line))


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines with aligned columns; the last one is as long as it is."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [
        max((len(row[index]) for row in rows), default=0) for index in range(len(rows[0]) if rows else 0)
    ]
    return [
        "  ".join(
            cell.ljust(width) if index < len(row) - 1 else cell
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def instant(milliseconds: int) -> str:
    """`2026-02-20 12:00:00` of universal time, or `never`."""
    if not 0 < milliseconds <= 253_402_300_799_999:
        return "never" if milliseconds <= 0 else "far future"
    return f"{datetime.fromtimestamp(milliseconds // 1000, UTC):%Y-%m-%d %H:%M:%S}"


def short(peer_id: str) -> str:
    """The beginning of an id, for tables."""
    return peer_id[:SHORT_ID_CHARACTERS]


def preview(text: str) -> str:
    """One line of a message."""
    line = " ".join(text.split())
    return line if len(line) <= PREVIEW_CHARACTERS else line[: PREVIEW_CHARACTERS - 3] + "..."


def message_lines(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """A table of messages: row, time, direction, state, peer, beginning."""
    rows = [
        [
            str(each["id"]),
            instant(each["timestamp"]),
            ARROWS.get(each["direction"], "??"),
            str(each.get("state", "")),
            f"{each['peerName'] or '-'} ({short(each['peerId'])})",
            preview(each["content"]),
        ]
        for each in messages
    ]
    return columns([["row", "time", "  ", "state", "peer", "message"], *rows]) if rows else ["no messages"]


def service_line(service: Mapping[str, Any]) -> str:
    """One service."""
    described = f": {service['description']}" if service.get("description") else ""
    return f"{service['id']}: {service['name']} ({service['price']} {service['currency']}){described}"


def found_lines(peer: Mapping[str, Any]) -> list[str]:
    """A peer of the directory: who says so, what vouches for its BSV key, what it offers."""
    hearsay = f" by {peer['heardFrom']}, who says so" if peer.get("heardFrom") else ""
    lines = [f"{peer['peerId']}  heard {instant(peer['lastSeen'])}{hearsay}"]
    if peer["bsvIdentityKey"]:
        proof = "which vouches for it" if peer.get("attested") else "not proven"
        lines.append(f"  BSV key {peer['bsvIdentityKey']}, {proof}")
    return [*lines, *(f"  {service_line(each)}" for each in peer["services"])]


def span(seconds: int) -> str:
    """`2 d 3 h`, `4 m 5 s`."""
    units = (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))
    parts = []
    for name, size in units:
        number, seconds = divmod(seconds, size)
        if number:
            parts.append(f"{number} {name}")
    return " ".join(parts[:2]) or "0 s"
