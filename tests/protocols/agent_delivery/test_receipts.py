"""What a receipt proves, and to whom."""

from __future__ import annotations

import pytest

from mesh.codecs.agent_delivery import MAX_RECEIPT_BYTES, State
from mesh.codecs.keys import KeyType
from mesh.errors import DecodeError, PeerError
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.protocols.agent_delivery.progress import (
    DEAD,
    LONGEST_DELAY_MS,
    PROVEN,
    QUEUED,
    SENT,
    advanced,
    retry_delay_ms,
)
from mesh.protocols.agent_delivery.receipts import open_receipt, sign_receipt

ALICE, BOB, CAROL = (PrivateKey.generate(KeyType.ED25519) for _ in range(3))
A, B, C = (PeerId.from_public_key(key.public) for key in (ALICE, BOB, CAROL))


def receipt(key: PrivateKey = BOB, sender: PeerId = A) -> bytes:
    return sign_receipt(key, sender, "m", bytes(32), State.STORED, "inbox row 5", 7)


def test_a_receipt_is_read_again() -> None:
    found = open_receipt(receipt(), A, B)
    assert (found.message_id, found.state, found.evidence, found.at_ms) == (
        "m",
        State.STORED,
        "inbox row 5",
        7,
    )
    assert len(receipt()) < MAX_RECEIPT_BYTES


def test_an_evidence_is_cut_at_a_character() -> None:
    found = open_receipt(sign_receipt(BOB, A, "m", bytes(32), State.INVOKED, "\u00e9" * 400, 7), A, B)
    assert found.evidence == "\u00e9" * 256


def test_receipts_of_others_prove_nothing() -> None:
    for envelope, sender, receiver in ((receipt(CAROL), A, B), (receipt(), C, B), (receipt(), A, C)):
        with pytest.raises(PeerError):
            open_receipt(envelope, sender, receiver)


@pytest.mark.parametrize("place", [3, 60, -3])
def test_a_changed_byte_is_not_signed(place: int) -> None:
    changed = bytearray(receipt())
    changed[place] ^= 1
    with pytest.raises((DecodeError, PeerError)):
        open_receipt(bytes(changed), A, B)


def test_a_large_key_fits() -> None:
    key = PrivateKey.generate(KeyType.RSA)
    peer = PeerId.from_public_key(key.public)
    envelope = sign_receipt(key, A, "m" * 128, bytes(32), State.ANSWERED, "e" * 512, 7)
    assert len(envelope) <= MAX_RECEIPT_BYTES
    open_receipt(envelope, A, peer)


def test_a_state_never_goes_back() -> None:
    assert advanced(QUEUED, State.STORED) == "stored"
    assert advanced(SENT, State.DELIVERED) == "delivered"
    assert advanced(DEAD, State.STORED) == "stored"
    assert advanced("answered", State.STORED) == "answered"
    for state in State:
        assert advanced(PROVEN[state], state) == PROVEN[state]


def test_pauses_double_up_to_five_minutes() -> None:
    middle = [retry_delay_ms(failures, 0.5) for failures in range(1, 30)]
    assert middle[:4] == [1000, 2000, 4000, 8000]
    assert middle == sorted(middle)
    assert middle[-1] == LONGEST_DELAY_MS
    assert retry_delay_ms(1, 0.0) == 750
    assert retry_delay_ms(100, 1.0) == 375_000
