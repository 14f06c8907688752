"""The loop of every fuzzer: draw an input, examine it, keep what shows a fault."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable
from pathlib import Path

MAX_FINDINGS = 5
"""Faults after which a campaign ends: the rest is mostly the same again."""


def campaign(
    draw: Callable[[], bytes],
    examine: Callable[[bytes], str | None],
    folder: Path,
    seconds: float,
    count: int = sys.maxsize,
) -> tuple[int, list[str]]:
    """Try inputs for a time or a number; inputs at fault are saved in ``folder``. Returns how many were tried and the
    faults in words."""
    faults: list[str] = []
    tried = 0
    stop = time.monotonic() + seconds
    while tried < count and len(faults) < MAX_FINDINGS and time.monotonic() < stop:
        data = draw()
        tried += 1
        fault = examine(data)
        if fault is not None:
            faults.append(fault)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{hashlib.sha256(data).hexdigest()[:16]}.bin").write_bytes(data)
    return tried, faults
