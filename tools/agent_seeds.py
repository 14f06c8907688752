"""Seeds of the fuzz corpus for the formats of the agent daemon: recorded frames, and each frame of agent delivery."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from mesh.codecs.agent_delivery import (
    Acknowledgement,
    Frame,
    Offer,
    Piece,
    Receipt,
    State,
    Verdict,
    VerdictCode,
)
from mesh.codecs.wire import Record
from tests.vectors import load

BODY = b'{"id":"1795198653600-4ln2kfxo","type":"text","content":"hello"}'
ID = "1795198653600-4ln2kfxo"


def agent_seeds() -> dict[str, list[bytes]]:
    """Inputs by format, valid ones first."""
    recorded: Any = load("message_protocol", "bsv")
    pings: Any = load("ping_protocol", "bsv")
    frames = [
        case["stream_bytes_hex"] for way in ("daemon_to_peer", "peer_to_daemon") for case in recorded[way]
    ]
    frames += [case[key] for case in pings["exchanges"] for key in ("sent_hex", "received_hex")]
    digest = hashlib.sha256(BODY).digest()
    receipt = Receipt(
        message_id=ID,
        digest=digest,
        sender=bytes(38),
        receiver=bytes(38),
        state=State.STORED,
        evidence="row 1",
        at_ms=1,
    )
    offers = [
        Offer(message_id=ID, size=len(BODY), digest=digest, queued_ms=1795198653600, body=BODY),
        Offer(message_id=ID, size=1_000_000, digest=digest, queued_ms=1),
    ]
    verdicts = [
        Verdict(message_id=ID, receipt=receipt.encode()),
        Verdict(message_id=ID, code=VerdictCode.MORE, offset=16384),
        Verdict(message_id=ID, code=VerdictCode.LATER, retry_ms=60000, reason="100 messages in 60 s"),
        Verdict(message_id=ID, code=VerdictCode.REFUSED, reason="no JSON"),
    ]
    acknowledged = [Acknowledgement(message_id=ID, state=State.STORED)]
    pieces = [Piece(offset=0, data=BODY), Piece(offset=16384, data=b"")]
    parts: Mapping[str, Sequence[Record]] = {
        "receipt": [receipt],
        "offer": offers,
        "piece": pieces,
        "verdict": verdicts,
        "acknowledgement": acknowledged,
        "frame": [
            *(Frame(offer=each) for each in offers),
            *(Frame(verdict=each) for each in verdicts),
            Frame(piece=pieces[0]),
            Frame(acknowledged=acknowledged),
            Frame(receipts=[receipt.encode(), b""]),
        ],
    }
    return {
        "openclaw.frame": [bytes.fromhex(each) for each in frames if each],
        **{f"agent_delivery.{name}": [each.encode() for each in records] for name, records in parts.items()},
    }
