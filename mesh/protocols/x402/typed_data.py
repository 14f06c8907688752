"""EIP-712: what a payer signs to move tokens (EIP-3009), and what a payee signs about a sale (section 3.7).

An encoded field takes 32 bytes, texts and byte strings as their keccak. The domain names the chain and the token's
contract, so a signature is for one token on one chain.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from mesh.protocols.x402.amounts import Keccak

DOMAIN_TYPE: Final = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
TRANSFER_TYPE: Final = (
    b"TransferWithAuthorization(address from,address to,uint256 value,"
    b"uint256 validAfter,uint256 validBefore,bytes32 nonce)"
)
RECEIPT_TYPE: Final = (
    b"SaleReceipt(string outcome,string purchase,string resource,address payer,address payee,uint256 amount,"
    b"bytes32 nonce,bytes32 transaction,bytes32 outputHash,string reason,uint256 at)"
)


@dataclass(frozen=True, slots=True)
class Token:
    """A token on a chain: 20 bytes of contract address, and the name and version of its signing domain."""

    chain_id: int
    address: bytes
    name: str = "USDC"
    version: str = "2"

    @property
    def network(self) -> str:
        """The chain as x402 names it."""
        return f"eip155:{self.chain_id}"


@dataclass(frozen=True, slots=True)
class Authorization:
    """A transfer that its payer allows once: addresses of 20 bytes, times in whole Unix seconds, a nonce of 32 bytes.

    The chain takes it strictly between `valid_after` and `valid_before`.
    """

    payer: bytes
    payee: bytes
    amount: int
    valid_after: int
    valid_before: int
    nonce: bytes


@lru_cache(maxsize=64)
def domain_separator(token: Token, keccak: Keccak) -> bytes:
    """32 bytes that stand for the token in every digest."""
    return keccak(
        keccak(DOMAIN_TYPE)
        + keccak(token.name.encode())
        + keccak(token.version.encode())
        + _number(token.chain_id)
        + _address(token.address)
    )


def authorization_hash(authorization: Authorization, keccak: Keccak) -> bytes:
    """The struct hash of a transfer."""
    return keccak(
        _type_hash(TRANSFER_TYPE, keccak)
        + _address(authorization.payer)
        + _address(authorization.payee)
        + _number(authorization.amount)
        + _number(authorization.valid_after)
        + _number(authorization.valid_before)
        + authorization.nonce
    )


def authorization_digest(token: Token, authorization: Authorization, keccak: Keccak) -> bytes:
    """What the payer signs: 32 bytes."""
    return _digest(token, authorization_hash(authorization, keccak), keccak)


@dataclass(frozen=True, slots=True)
class SaleStatement:
    """What a payee states about a sale. `transaction` and `output_hash` are 32 zero bytes where there is none; `at_s` is
    in whole Unix seconds."""

    outcome: str
    purchase: str
    resource: str
    payer: bytes
    payee: bytes
    amount: int
    nonce: bytes
    transaction: bytes
    output_hash: bytes
    reason: str
    at_s: int


def statement_digest(token: Token, statement: SaleStatement, keccak: Keccak) -> bytes:
    """What the payee signs: 32 bytes, in the token's domain."""
    return _digest(
        token,
        keccak(
            _type_hash(RECEIPT_TYPE, keccak)
            + keccak(statement.outcome.encode())
            + keccak(statement.purchase.encode())
            + keccak(statement.resource.encode())
            + _address(statement.payer)
            + _address(statement.payee)
            + _number(statement.amount)
            + statement.nonce
            + statement.transaction
            + statement.output_hash
            + keccak(statement.reason.encode())
            + _number(statement.at_s)
        ),
        keccak,
    )


def _digest(token: Token, struct_hash: bytes, keccak: Keccak) -> bytes:
    return keccak(b"\x19\x01" + domain_separator(token, keccak) + struct_hash)


@lru_cache(maxsize=8)
def _type_hash(kind: bytes, keccak: Keccak) -> bytes:
    return keccak(kind)


def _number(value: int) -> bytes:
    return value.to_bytes(32, "big")


def _address(address: bytes) -> bytes:
    return address.rjust(32, b"\0")
