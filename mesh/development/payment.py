"""A request to a facilitator: read, and judged as far as that goes without a ledger (x402 version 2, scheme exact)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mesh.development import token
from mesh.development.token import Authorization
from mesh.errors import Malformed

X402_VERSION: Final = 2
SCHEME: Final = "exact"
_NUMBER = re.compile(r"[0-9]{1,78}")
_FIELDS = [
    {"name": "from", "type": "address"},
    {"name": "to", "type": "address"},
    {"name": "value", "type": "uint256"},
    {"name": "validAfter", "type": "uint256"},
    {"name": "validBefore", "type": "uint256"},
    {"name": "nonce", "type": "bytes32"},
]


@dataclass(frozen=True, slots=True)
class Payment:
    """What a payer signed, and what the payee asks for. ``network`` is `eip155:<chain id>`, ``asset`` and ``pay_to``
    addresses of 20 bytes, ``amount`` atomic units."""

    authorization: Authorization
    signature: bytes
    scheme: str
    network: str
    asset: bytes
    pay_to: bytes
    amount: int


def read_payment(body: object) -> Payment:
    """A payment of the body of `/verify` or `/settle`. Raises `Malformed`."""
    whole = _object(body, "body")
    if whole.get("x402Version") != X402_VERSION:
        raise Malformed("x402Version", None, f"is not {X402_VERSION}")
    outer = _object(whole.get("paymentPayload"), "paymentPayload")
    payload = _object(outer.get("payload"), "payload")
    signed = _object(payload.get("authorization"), "authorization")
    wanted = _object(whole.get("paymentRequirements"), "paymentRequirements")
    return Payment(
        Authorization(
            _bytes(signed, "from", 20),
            _bytes(signed, "to", 20),
            _amount(signed, "value"),
            _amount(signed, "validAfter"),
            _amount(signed, "validBefore"),
            _bytes(signed, "nonce", 32),
        ),
        _bytes(payload, "signature", 65),
        str(wanted.get("scheme")),
        str(wanted.get("network")),
        _bytes(wanted, "asset", 20),
        _bytes(wanted, "payTo", 20),
        _amount(wanted, "amount"),
    )


def fault_of(payment: Payment, chain_id: int, contract: bytes, now: int) -> str:
    """Why a payment is not good, in the words of x402, or nothing. What only the ledger knows is not looked at."""
    signed = payment.authorization
    checks = (
        (payment.scheme == SCHEME, "unsupported_scheme"),
        (payment.network == f"eip155:{chain_id}", "invalid_network"),
        (payment.asset == contract, "invalid_payment_requirements"),
        (signed.payee == payment.pay_to, "invalid_exact_evm_payload_recipient_mismatch"),
        (signed.value == payment.amount, "invalid_exact_evm_payload_authorization_value"),
        (signed.valid_after < now, "invalid_exact_evm_payload_authorization_valid_after"),
        (now < signed.valid_before, "invalid_exact_evm_payload_authorization_valid_before"),
        (signer_of(payment, chain_id, contract) == signed.payer, "invalid_exact_evm_payload_signature"),
    )
    return next((why for good, why in checks if not good), "")


def signer_of(payment: Payment, chain_id: int, contract: bytes) -> bytes:
    """The address whose key made the signature; empty when none did."""
    from eth_account import Account
    from eth_account.messages import encode_typed_data
    from eth_keys.exceptions import BadSignature
    from eth_utils.exceptions import ValidationError

    signed = payment.authorization
    message = encode_typed_data(
        {
            "name": token.NAME,
            "version": token.VERSION,
            "chainId": chain_id,
            "verifyingContract": "0x" + contract.hex(),
        },
        {"TransferWithAuthorization": _FIELDS},
        {
            "from": "0x" + signed.payer.hex(),
            "to": "0x" + signed.payee.hex(),
            "value": signed.value,
            "validAfter": signed.valid_after,
            "validBefore": signed.valid_before,
            "nonce": signed.nonce,
        },
    )
    try:
        found = Account.recover_message(message, signature=contract_form(payment.signature))
    except (BadSignature, ValidationError, ValueError):
        return b""
    return bytes.fromhex(found[2:])


def contract_form(signature: bytes) -> bytes:
    """With v of 27 or 28, as the token wants it; 0 and 1 are raised (section 3.5)."""
    return signature[:64] + bytes([signature[64] + 27]) if signature[64] < 2 else signature


def _object(found: object, name: str) -> Mapping[str, Any]:
    if not isinstance(found, dict):
        raise Malformed(name, None, "is no object")
    return found


def _amount(found: Mapping[str, Any], name: str) -> int:
    text = found.get(name)
    if not isinstance(text, str) or not _NUMBER.fullmatch(text) or int(text) >= 1 << 256:
        raise Malformed(name, None, "is no number of 256 bits in decimal")
    return int(text)


def _bytes(found: Mapping[str, Any], name: str, length: int) -> bytes:
    text = found.get(name)
    try:
        given = bytes.fromhex(text[2:]) if isinstance(text, str) and text.startswith("0x") else b""
    except ValueError:
        given = b""
    if len(given) != length:
        raise Malformed(name, None, f"is not 0x and {length} bytes in hexadecimal")
    return given
