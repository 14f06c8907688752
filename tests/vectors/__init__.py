"""Access to the recorded vectors: `load("multiaddrs")` returns that group of `libp2p.json`."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any


@cache
def _file(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(Path(__file__).with_name(f"{name}.json").read_text())
    return document


def load(group: str, file: str = "libp2p") -> dict[str, Any]:
    """The named group of a vector file, with its `source`, `about` and `cases`."""
    found: dict[str, Any] = _file(file)[group]
    return found


def cases(group: str, file: str = "libp2p") -> list[dict[str, Any]]:
    """The cases of a group."""
    found: list[dict[str, Any]] = load(group, file)["cases"]
    return found
