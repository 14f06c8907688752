"""The messages of `/x402/libp2p/1.0.0` and of a facilitator, and the error codes (sections 3.2, 3.3, 3.8).

JSON as Go's encoding/json writes it, so the bytes are those of the stock network. Texts are taken as they come: what they
must be is a matter of `checks`. ``receipt`` of two messages and the whole of `Claim` are ours, and left out for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mesh.go_json import Record, member

PROTOCOL_ID: Final = "/x402/libp2p/1.0.0"
VERSION: Final = "1.0"
X402_VERSION: Final = 2
SCHEME: Final = "exact"
PREEMPTIVE: Final = "preemptive"
PAYMENT_REQUIRED_TEXT: Final = "Payment required"

REQUEST: Final = "x402.request"
PAYMENT_REQUIRED: Final = "x402.payment_required"
PAID_REQUEST: Final = "x402.paid_request"
RESPONSE: Final = "x402.response"
ERROR: Final = "x402.error"
CLAIM: Final = "mesh.claim"

INVALID_MESSAGE: Final = 1000
UNKNOWN_RESOURCE: Final = 1001
REQUIRED: Final = 2000
PAYMENT_INVALID: Final = 2001
NONCE_MISMATCH: Final = 2002
NONCE_EXPIRED: Final = 2003
NONCE_USED: Final = 2004
AMOUNT_WRONG: Final = 2005
SETTLEMENT_FAILED: Final = 2007
EXECUTION_FAILED: Final = 3000
_NAMES: Final = {
    INVALID_MESSAGE: "INVALID_MESSAGE",
    UNKNOWN_RESOURCE: "UNKNOWN_RESOURCE",
    REQUIRED: "PAYMENT_REQUIRED",
    PAYMENT_INVALID: "PAYMENT_INVALID",
    NONCE_MISMATCH: "PAYMENT_NONCE_MISMATCH",
    NONCE_EXPIRED: "PAYMENT_NONCE_EXPIRED",
    NONCE_USED: "PAYMENT_NONCE_USED",
    AMOUNT_WRONG: "PAYMENT_AMOUNT_WRONG",
    SETTLEMENT_FAILED: "SETTLEMENT_FAILED",
    EXECUTION_FAILED: "EXECUTION_FAILED",
}
_RETRYABLE: Final = frozenset((REQUIRED, NONCE_EXPIRED, SETTLEMENT_FAILED))


@dataclass(frozen=True, slots=True)
class AuthorizationText(Record, name="marketplace.EIP712Authorization"):
    """An EIP-3009 authorization: numbers in decimal, the nonce in hexadecimal, addresses in checksum form."""

    payer: str = member("from")
    payee: str = member("to")
    value: str = member("value")
    valid_after: str = member("validAfter")
    valid_before: str = member("validBefore")
    nonce: str = member("nonce")


@dataclass(frozen=True, slots=True)
class Payload(Record, name="marketplace.EIP712Payload"):
    """An authorization and the signature over it."""

    signature: str = member("signature")
    authorization: AuthorizationText = member("authorization", AuthorizationText())


@dataclass(frozen=True, slots=True)
class Envelope(Record, name="marketplace.X402PaymentEnvelope"):
    """A payment as a buyer sends it."""

    x402_version: int = member("x402_version", 0)
    scheme: str = member("scheme")
    network: str = member("network")
    server_nonce: str = member("server_nonce")
    payer: str = member("payer")
    payload: Payload | None = member("payload", None, omit=True)


@dataclass(frozen=True, slots=True)
class Domain(Record, name="marketplace.Domain"):
    """Name and version of a token's signing domain."""

    name: str = member("name")
    version: str = member("version")


@dataclass(frozen=True, slots=True)
class Requirements(Record, name="marketplace.PaymentRequirements"):
    """What a seller asks for."""

    scheme: str = member("scheme")
    network: str = member("network")
    amount: str = member("amount")
    asset: str = member("asset")
    pay_to: str = member("payTo")
    max_timeout_s: int = member("maxTimeoutSeconds", 0)
    extra: Domain | None = member("extra", None, omit=True)


@dataclass(frozen=True, slots=True)
class ReceiptText(Record, name="marketplace.SaleReceipt"):
    """A seller's signed statement about a sale, `records.SaleReceipt` in text."""

    outcome: str = member("outcome")
    purchase: str = member("purchase")
    resource: str = member("resource")
    payer: str = member("payer")
    payee: str = member("payee")
    amount: str = member("amount")
    network: str = member("network")
    asset: str = member("asset")
    nonce: str = member("nonce")
    transaction: str = member("transaction")
    output_hash: str = member("outputHash")
    reason: str = member("reason")
    at: int = member("at", 0)
    signature: str = member("signature")


@dataclass(frozen=True, slots=True)
class Request(Record, name="marketplace.X402Request"):
    """A buyer wants something done; free, or to hear the price. With a payment it is paid before it was asked for."""

    version: str = member("version")
    correlation_id: str = member("correlation_id")
    resource: str = member("resource")
    method: str = member("method")
    payment: Envelope | None = member("payment", None)
    body: bytes | None = member("body", None)
    caller_did: str = member("caller_did", omit=True)


@dataclass(frozen=True, slots=True)
class PaymentRequired(Record, name="marketplace.X402PaymentRequired"):
    """A seller's challenge."""

    version: str = member("version")
    correlation_id: str = member("correlation_id")
    challenge_nonce: str = member("challenge_nonce")
    challenge_expires_at: int = member("challenge_expires_at", 0)
    payment_requirements: Requirements = member("payment_requirements", Requirements())
    message: str = member("message")
    seller_did: str = member("seller_did", omit=True)


@dataclass(frozen=True, slots=True)
class PaidRequest(Record, name="marketplace.X402PaidRequest"):
    """The payment for a challenge, with the work that it is for."""

    version: str = member("version")
    correlation_id: str = member("correlation_id")
    payment: Envelope = member("payment", Envelope())
    body: bytes | None = member("body", None)
    caller_did: str = member("caller_did", omit=True)


@dataclass(frozen=True, slots=True)
class Response(Record, name="marketplace.X402Response"):
    """The output."""

    version: str = member("version")
    correlation_id: str = member("correlation_id")
    payment_id: str = member("payment_id")
    tx_hash: str = member("tx_hash")
    body: bytes | None = member("body", None)
    seller_did: str = member("seller_did", omit=True)
    seller_token_id: str = member("seller_token_id", omit=True)
    receipt: ReceiptText | None = member("receipt", None, omit=True)


@dataclass(frozen=True, slots=True)
class ErrorMessage(Record, name="marketplace.X402Error"):
    """Why there is no output."""

    version: str = member("version")
    correlation_id: str = member("correlation_id")
    error_code: int = member("error_code", 0)
    error_name: str = member("error_name")
    message: str = member("message")
    retryable: bool = member("retryable", False)
    receipt: ReceiptText | None = member("receipt", None, omit=True)


@dataclass(frozen=True, slots=True)
class Claim(Record, name="marketplace.Claim"):
    """The buyer of a purchase asks what became of it; the answer is a `Response` or an `ErrorMessage`."""

    version: str = member("version")
    correlation_id: str = member("correlation_id")
    challenge_nonce: str = member("challenge_nonce")


@dataclass(frozen=True, slots=True)
class FacilitatorPayment(Record, name="marketplace.PaymentPayload"):
    """A payment as a facilitator is shown it."""

    x402_version: int = member("x402Version", X402_VERSION)
    accepted: Requirements = member("accepted", Requirements())
    payload: Payload = member("payload", Payload())


@dataclass(frozen=True, slots=True)
class FacilitatorRequest(Record, name="marketplace.FacilitatorRequest"):
    """The body of `POST /settle` and `POST /verify`."""

    x402_version: int = member("x402Version", X402_VERSION)
    payment: FacilitatorPayment = member("paymentPayload", FacilitatorPayment())
    requirements: Requirements = member("paymentRequirements", Requirements())


def error_name(code: int) -> str:
    """The name of an error code."""
    return _NAMES.get(code, "UNKNOWN_ERROR")


def error_answer(
    code: int, message: str, correlation_id: str = "", receipt: ReceiptText | None = None
) -> tuple[str, bytes]:
    """The frame that refuses."""
    answer = ErrorMessage(
        VERSION, correlation_id, code, error_name(code), message, code in _RETRYABLE, receipt
    )
    return ERROR, answer.write()
