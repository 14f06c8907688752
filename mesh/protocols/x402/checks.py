"""What a payment must be before it is settled (section 3.6), and a challenge before it is signed (section 3.5).

The seller's checks come in the order of the stock network and refuse in its words; those behind them are ours. What
cannot be read is refused like what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mesh.errors import Malformed
from mesh.protocols.x402.amounts import MAX_INSTANT_S, Keccak, checksummed, read_hex, read_number
from mesh.protocols.x402.messages import SCHEME, Envelope, Payload, PaymentRequired
from mesh.protocols.x402.typed_data import Authorization, Token, authorization_digest

Recover = Callable[[bytes, bytes], bytes | None]
"""Of a digest of 32 bytes and a signature of 65 (v of 27 or 28) the 20 bytes of the signer's address, or None."""

EARLIER_S: Final = 5
"""An authorization is valid from so long before it is signed: clocks differ."""
TIMEOUT_S: Final = 60
MAX_TIMEOUT_S: Final = 300
"""A seller that asks for longer gets this: so long a lost purchase may stay unknown."""
MAX_VALID_S: Final = 3600
"""A payment that may be settled for longer than this from now on would stay open for as long."""
_SIGNATURE_BYTES: Final = 65
_HALF_ORDER: Final = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
_HEX: Final = frozenset("0123456789abcdefABCDEF")


class Refused(Exception):  # noqa: N818 - an outcome of a check, told to the peer
    """A payment or a challenge is not what it must be; the text says what."""


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment that passed: the authorization, and the signature of 65 bytes with v of 27 or 28."""

    authorization: Authorization
    signature: bytes


def check_payment(
    envelope: Envelope, amount: int, payee: bytes, token: Token, now: float, keccak: Keccak, recover: Recover
) -> Payment:
    """The payment in an envelope, for this amount to this payee. Raises `Refused`. Whether the nonce was seen is asked
    afterwards."""
    if envelope.network != token.network:
        raise Refused(f"network mismatch: expected '{token.network}', got '{envelope.network}'")
    payload = envelope.payload
    if payload is None or not payload.signature:
        raise Refused("signature is empty")
    asked = checksummed(payee, keccak)
    text = payload.authorization
    if text.payee != asked:
        raise Refused(f"payTo mismatch: expected '{asked}', got '{text.payee}'")
    try:
        value = read_number(text.value, "value")
    except Malformed:
        value = -1
    if value != amount:
        raise Refused(f"amount mismatch: expected '{amount}', got '{text.value[:80]}'")
    if envelope.payer != text.payer:
        raise Refused(
            f"payer mismatch: header.Payer='{envelope.payer[:80]}', authorization.From='{text.payer[:80]}'"
        )
    authorization = _authorization(payload, payee, amount)
    seconds = int(now)
    if seconds > authorization.valid_before:
        raise Refused(f"authorization expired: now={seconds}, validBefore={authorization.valid_before}")
    if seconds < authorization.valid_after:
        raise Refused(f"authorization not yet valid: now={seconds}, validAfter={authorization.valid_after}")
    if authorization.valid_before > seconds + MAX_VALID_S:
        raise Refused(
            f"authorization valid for more than {MAX_VALID_S} s: now={seconds}, "
            f"validBefore={authorization.valid_before}"
        )
    signature = read_signature(payload.signature)
    signer = recover(authorization_digest(token, authorization, keccak), signature)
    if signer is None:
        raise Refused("failed to recover public key")
    if signer != authorization.payer:
        raise Refused(f"signer mismatch: expected '{text.payer}', got '{checksummed(signer, keccak)}'")
    return Payment(authorization, signature)


def _authorization(payload: Payload, payee: bytes, amount: int) -> Authorization:
    text = payload.authorization
    try:
        return Authorization(
            payer=read_hex(text.payer, 20, "from"),
            payee=payee,
            amount=amount,
            valid_after=read_number(text.valid_after, "validAfter", MAX_INSTANT_S),
            valid_before=read_number(text.valid_before, "validBefore", MAX_INSTANT_S),
            nonce=read_hex(text.nonce, 32, "nonce"),
        )
    except Malformed as error:
        raise Refused(f"{error.field}: {error.reason}") from None


def read_signature(text: str) -> bytes:
    """A signature in hexadecimal: 65 bytes, v made 27 or 28. Raises `Refused`.

    A token refuses a signature whose s is in the upper half, since it is the twin of another.
    """
    digits = text.removeprefix("0x")
    if len(digits) > 4 * _SIGNATURE_BYTES or not _HEX.issuperset(digits):
        raise Refused("invalid signature: no hexadecimal")
    found = bytes.fromhex("0" * (len(digits) % 2) + digits)
    if len(found) != _SIGNATURE_BYTES:
        raise Refused(f"invalid signature length: expected 65 bytes, got {len(found)}")
    mark = found[64] - 27 if found[64] >= 27 else found[64]
    if mark not in (0, 1):
        raise Refused("failed to recover public key: invalid signature recovery id")
    if int.from_bytes(found[32:64]) > _HALF_ORDER:
        raise Refused("failed to recover public key: s is in the upper half")
    return found[:64] + bytes((27 + mark,))


@dataclass(frozen=True, slots=True)
class Terms:
    """What a challenge asks for, checked."""

    nonce: bytes
    payee: bytes
    amount: int
    timeout_s: int


def check_challenge(
    challenge: PaymentRequired,
    correlation_id: str,
    resource: str,
    token: Token,
    payer: bytes,
    limit: int,
    now: float,
) -> Terms:
    """What a buyer would sign for this challenge. Raises `Refused`."""
    asked = challenge.payment_requirements
    if challenge.correlation_id != correlation_id:
        raise Refused("the challenge is for another request")
    if challenge.seller_did not in ("", resource):
        raise Refused(f"the challenge is for another resource: {challenge.seller_did[:120]}")
    if asked.scheme != SCHEME:
        raise Refused(f"the challenge wants the scheme {asked.scheme[:40]!r}")
    if asked.network != token.network:
        raise Refused(f"the challenge is for the chain {asked.network[:40]!r}, not {token.network}")
    if challenge.challenge_expires_at <= now:
        raise Refused("the challenge is expired")
    try:
        asset = read_hex(asked.asset, 20, "asset")
        payee = read_hex(asked.pay_to, 20, "payTo")
        nonce = read_hex(challenge.challenge_nonce, 32, "challenge_nonce")
        amount = read_number(asked.amount, "amount")
    except Malformed as error:
        raise Refused(f"the challenge cannot be read: {error.field}: {error.reason}") from None
    if asset != token.address:
        raise Refused(f"the challenge is for another token: {asked.asset}")
    if asked.extra is not None and (asked.extra.name, asked.extra.version) != (token.name, token.version):
        raise Refused("the challenge names another signing domain")
    if not any(payee) or payee == payer:
        raise Refused(f"the challenge pays {asked.pay_to}")
    if amount == 0:
        raise Refused("the challenge asks for nothing")
    if amount > limit:
        raise Refused(f"the challenge asks for {amount}, the limit of this call is {limit}")
    timeout_s = asked.max_timeout_s if asked.max_timeout_s > 0 else TIMEOUT_S
    return Terms(nonce, payee, amount, min(timeout_s, MAX_TIMEOUT_S))


def authorization_for(terms: Terms, payer: bytes, now: float) -> Authorization:
    """What the buyer signs."""
    seconds = int(now)
    return Authorization(
        payer, terms.payee, terms.amount, seconds - EARLIER_S, seconds + terms.timeout_s, terms.nonce
    )
