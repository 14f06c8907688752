"""The recorded vectors of the marketplace that are about money (asabya/betar 793ca02)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from eth_hash.auto import keccak as _keccak

from mesh.protocols.x402.amounts import read_hex
from mesh.protocols.x402.typed_data import Authorization, Token

_ALL: dict[str, Any] = json.loads((Path(__file__).parents[2] / "vectors" / "betar.json").read_text())
X402: dict[str, Any] = _ALL["x402"]
LIVE: dict[str, Any] = _ALL["live"]
PRICES: list[dict[str, str]] = _ALL["marketplace"]["price_to_atomic"]
BUYER_KEY = bytes.fromhex(X402["buyer_private_key_hex"])
SELLER_KEY = bytes.fromhex(X402["seller_private_key_hex"])
USDC = Token(84532, read_hex(X402["addr_checksum"], 20, "addr_checksum"))


def keccak(data: bytes) -> bytes:
    found: bytes = _keccak(data)
    return found


def authorization_of(text: dict[str, str]) -> Authorization:
    """An authorization as the vectors write it."""
    return Authorization(
        read_hex(text["from"], 20, "from"),
        read_hex(text["to"], 20, "to"),
        int(text["value"]),
        int(text["validAfter"]),
        int(text["validBefore"]),
        read_hex(text["nonce"], 32, "nonce"),
    )
