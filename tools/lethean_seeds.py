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
    packets: Any = load("ueps", "lethean")
    built = [case["packet_hex"] for case in packets["build"] if case.get("packet_len", 0) in range(1, 400)]
    bundles = load("tim", "lethean")["bundles"]
    stims = [base64.b64decode(case["data_base64"]) for case in bundles if "header_json" in case]
    stored: Any = load("levin", "lethean")
    encoded = [case["encoded_hex"] for case in stored["storage_encode"] if case.get("encoded_hex")]
    return {
        "portable_storage.storage": [
            bytes.fromhex(text) for text in encoded + [case["hex"] for case in stored["storage_decode"]]
        ],
        "ueps.packet": [
            bytes.fromhex(text) for text in built + [case["packet_hex"] for case in packets["read"]]
        ],
        "levin.header": [bytes.fromhex(case["encoded_hex"]) for case in load("levin", "lethean")["headers"]],
        "tim.payload": [
            *(data[9 + int.from_bytes(data[5:9], "big") :] for data in stims),
            bytes(4),
            bytes.fromhex("ffffffff0102"),
        ],
        "smsg.container": [data for data in containers if len(data) < 1000],
        "smsg.box": [*boxes, bytes(23)],
        "smsg.blob": [bytes.fromhex("000000027b7d0102"), bytes(4), bytes(3)],
    }
