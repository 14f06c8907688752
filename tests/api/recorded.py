"""The recorded requests of a stock daemon, asked of ours: what stands for what, and where answers differ.

Ids, addresses, times and message ids are put in place of those of the recording; an answer of ours may have more fields
than the recorded one. A difference is the status, or the place of a value in the answer.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests import vectors

TABLE: Any = json.loads((Path(vectors.__file__).parent / "bsv_differences.json").read_text())
HTTP: Any = vectors.load("http", "bsv")
RELAY = "12D3KooWKmra2NB85BZeYCagon9XntRP5Ch9FHAhJohCkjK3pUbg"
ALPHA, BETA = (
    "12D3KooWD2ZthCxWx2pGVZ9onqGttXipu9b8QX525V62kKUid3xU",
    "12D3KooWS4fApw7iYWLHiuU4uf4NhsGH3rdBQBUHJ2sZar3sXSkV",
)
DELTA, EPSILON = (
    "12D3KooWNLyjo95wyjohDc4imbXqUswZiU1yUpg6r4eMcWuuDEuZ",
    "12D3KooWAqSYCVVqovBvm6ezLfr6JssWso2ZhLUAyTrMBgiNJy8P",
)
_TIMES = re.compile(r"[0-9]{13}")
_MESSAGE_ID = re.compile(r"[0-9]{13}-[0-9a-z]{1,8}")
_PORT = re.compile(r"/tcp/[0-9]+")
_CHANGING = frozenset(["uptime"])


@dataclass
class Asking:
    """Asks our agents what the stock ones were asked. ``callers`` by the recorded peer id; ``ours`` has our id for each
    recorded one."""

    callers: dict[str, httpx.AsyncClient]
    ours: dict[str, str]
    found: dict[str, list[str]] = field(default_factory=dict)

    async def ask(self, group: str, number: int, peer: str) -> None:
        """Ask one request, and note the places where the answer differs."""
        recorded = HTTP[group][number]
        request = recorded["request"]
        content = request.get("body_text")
        if "body" in request:
            content = json.dumps(request["body"])
        path = self._in_our_words(request["path"])
        body = None if content is None else self._in_our_words(content)
        answer = await self.callers[peer].request(request["method"], path, content=body)
        places = [] if answer.status_code == recorded["status"] else [f"status {answer.status_code}"]
        if "response" in recorded:
            theirs = plain(self._in_our_words(json.dumps(recorded["response"])))
            places += differences(theirs, plain(answer.text), "")
        for theirs, ours in self.ours.items():
            places = [each.replace(ours, theirs) for each in places]
        if places:
            self.found[f"{group} {number}: {request['method']} {request['path']}"] = places

    def _in_our_words(self, text: str) -> str:
        for theirs, ours in self.ours.items():
            text = text.replace(theirs, ours)
        return text


def plain(text: str) -> Any:
    """The JSON with times, message ids and ports replaced by their kind."""
    try:
        return _plain(json.loads(text), "")
    except ValueError:
        return text[:16]


def _plain(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each, name) for each in value]
    if name in _CHANGING:
        return name
    if isinstance(value, str):
        return _PORT.sub("/tcp/PORT", _TIMES.sub("TIME", _MESSAGE_ID.sub("ID", value)))
    if isinstance(value, int) and not isinstance(value, bool) and _TIMES.fullmatch(str(value)):
        return "TIME"
    return value


def differences(theirs: Any, ours: Any, place: str) -> list[str]:
    """Where values differ: `peers[0].name`."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        return [
            each
            for key, value in theirs.items()
            for each in (
                differences(value, ours[key], f"{place}.{key}".lstrip("."))
                if key in ours
                else [f"{place}.{key} missing".lstrip(".")]
            )
        ]
    if isinstance(theirs, list) and isinstance(ours, list) and _of_peers(theirs) and _of_peers(ours):
        theirs, ours = ({each["peerId"]: each for each in peers} for peers in (theirs, ours))
        return [
            *differences(theirs, ours, place),
            *(f"{place}.{each} added" for each in ours.keys() - theirs),
        ]
    if isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        pairs = enumerate(zip(theirs, ours, strict=True))
        return [each for index, (a, b) in pairs for each in differences(a, b, f"{place}[{index}]")]
    return [] if theirs == ours else [place]


def _of_peers(values: list[Any]) -> bool:
    """Whether it is a list of peers, each once: found by their ids, wherever they stand. Messages have rows."""
    ids = [each.get("peerId") if isinstance(each, dict) and "id" not in each else None for each in values]
    return None not in ids and len(set(ids)) == len(ids)
