"""Seeds of the fuzz corpus for the marketplace's frames, from its recorded vectors."""

from __future__ import annotations

from typing import Any

from tests.vectors import load


def market_seeds() -> dict[str, list[bytes]]:
    """Inputs by format, valid ones first."""
    frames: dict[str, Any] = load("frames", "betar")
    market, paid = frames["marketplace_1_0_0"], frames["x402_libp2p_1_0_0"]
    asked = [case["request_hex"] for case in [*market["cases"], *paid["cases"]]]
    answered = [case["response_hex"] for case in paid["cases"]]
    broken = [case["request_hex"] for case in [*market["malformed"], *paid["malformed"]]]
    replies = [case["response_hex"] for case in market["cases"]]
    return {
        "market.frame": [bytes.fromhex(text) for text in [*asked, *answered, *broken]],
        "market.reply": [bytes.fromhex(text) for text in [*replies, "00800001", "0000"]],
    }
