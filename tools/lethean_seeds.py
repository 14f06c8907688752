"""Seeds of the fuzz corpus for the formats of the Lethean mesh, from its recorded vectors."""

from __future__ import annotations

import base64
from typing import Any

from tests.vectors import load


def lethean_seeds() -> dict[str, list[bytes]]:
    """Inputs by format, valid ones first."""
    messages: Any = load("smsg", "lethean")
    texts = [case["container_base64"] for case in messages if "container_base64" in case]
    containers = [base64.b64decode(text) for text in texts]
    boxes = [bytes.fromhex(case["ciphertext_hex"]) for case in load("sigil", "lethean")["encrypt"]]
    return {
        "smsg.container": [data for data in containers if len(data) < 1000],
        "smsg.box": [*boxes, bytes(23)],
        "smsg.blob": [bytes.fromhex("000000027b7d0102"), bytes(4), bytes(3)],
    }
