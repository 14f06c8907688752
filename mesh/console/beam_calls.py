"""How the verbs of `mesh beam` ask the daemon."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from mesh.console.client import ANSWER_S, running

PREFIX: Final = "/v1"
PAGE: Final = 100


def ask(
    path: Path | None,
    method: str,
    route: str,
    body: dict[str, Any] | None = None,
    query: dict[str, str] | None = None,
    limit_s: float = ANSWER_S,
) -> dict[str, Any]:
    """The daemon's answer to a request for Beam's part of the API."""
    return running(path).ask(method, route, body, query, limit_s, PREFIX)


def page_of(path: Path | None, route: str, key: str) -> list[dict[str, Any]]:
    """Everything of a list that comes in pages."""
    daemon = running(path)
    found: list[dict[str, Any]] = []
    while True:
        query = {"limit": str(PAGE), "offset": str(len(found))}
        answer = daemon.ask("GET", route, query=query, prefix=PREFIX)
        found += answer[key]
        if len(found) >= answer["total"] or not answer[key]:
            return found
