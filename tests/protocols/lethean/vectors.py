"""The recorded vectors of the Lethean mesh, by group."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mesh.protocols.lethean.identity import NodeKey
from tests import vectors
from tests.vectors import load

ALICE = NodeKey(bytes.fromhex("77076d0a7318a57d3c16c17251b26645c6db1e2b6a1f0f6f4d0f7e0d2c2a5c6d"))
BOB = NodeKey(bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"))
TS = "2026-01-02T03:04:05.6789Z"


def group(name: str) -> Any:
    """A group of `lethean.json`."""
    return load(name, "lethean")


TABLE: Any = json.loads((Path(vectors.__file__).parent / "lethean_differences.json").read_text())
"""Where ours and Go's verdicts differ, and why."""
