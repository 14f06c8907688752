"""The token of the private chain: its code, its first balances, and the bytes of calls to it.

`contract/DevelopmentToken.sol` is the source; `contract/DevelopmentToken.json` has the code that a compiler made of it,
which compiler, and by which command. The code has neither constructor nor immutable values, so that it can stand at
any address.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from mesh.extras import keccak

NAME: Final = "USDC"
VERSION: Final = "2"
DECIMALS: Final = 6
SEPOLIA_ADDRESS: Final = "0x036CbD53842c5426634e7929541eC2318f3dCF7e"
"""Where the token stands on Base Sepolia, and by default here: signatures for one then fit the other."""
AUTHORIZATION_USED: Final = "AuthorizationUsed(address,bytes32)"
TRANSFER: Final = "Transfer(address,address,uint256)"
_ARTEFACT = Path(__file__).parent / "contract" / "DevelopmentToken.json"
_BALANCES_SLOT = 0
_SUPPLY_SLOT = 1


@dataclass(frozen=True, slots=True)
class Authorization:
    """A transfer that its payer signs (EIP-3009). Addresses of 20 bytes, seconds since 1970, a nonce of 32 bytes."""

    payer: bytes
    payee: bytes
    value: int
    valid_after: int
    valid_before: int
    nonce: bytes


def code() -> bytes:
    """The deployed code."""
    return _artefact()[0]


def selector(signature: str) -> bytes:
    """The four bytes that a call of a method begins with. Raises `KeyError` for a method that the code has not."""
    return _artefact()[1][signature]


def event_topic(signature: str) -> bytes:
    """The first topic of an event's log entries."""
    return keccak(signature.encode())


def first_storage(balances: Mapping[bytes, int]) -> dict[int, int]:
    """Storage that gives each address its atomic units before the first block."""
    storage = {_slot(address): value for address, value in balances.items() if value}
    if storage:
        storage[_SUPPLY_SLOT] = sum(balances.values())
    return storage


def balance_call(address: bytes) -> bytes:
    return selector("balanceOf(address)") + _word(address)


def state_call(payer: bytes, nonce: bytes) -> bytes:
    return selector("authorizationState(address,bytes32)") + _word(payer) + nonce


def mint_call(address: bytes, value: int) -> bytes:
    return selector("mint(address,uint256)") + _word(address) + _number(value)


def transfer_call(authorization: Authorization, signature: bytes) -> bytes:
    """`transferWithAuthorization` with the signature as bytes (section 3.7)."""
    name = "transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,bytes)"
    padded = signature + bytes(-len(signature) % 32)
    return selector(name) + _fields(authorization) + _number(7 * 32) + _number(len(signature)) + padded


def transfer_call_by_parts(authorization: Authorization, signature: bytes) -> bytes:
    """The same with v, r and s on their own; the signature has 65 bytes."""
    name = "transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)"
    return selector(name) + _fields(authorization) + _number(signature[64]) + signature[:64]


def cancel_call(payer: bytes, nonce: bytes, signature: bytes) -> bytes:
    name = "cancelAuthorization(address,bytes32,uint8,bytes32,bytes32)"
    return selector(name) + _word(payer) + nonce + _number(signature[64]) + signature[:64]


@cache
def _artefact() -> tuple[bytes, dict[str, bytes]]:
    """The code, and the selectors of its methods."""
    found = json.loads(_ARTEFACT.read_text())
    return bytes.fromhex(found["code"]), {
        name: bytes.fromhex(each) for name, each in found["methods"].items()
    }


def _fields(each: Authorization) -> bytes:
    numbers = map(_number, (each.value, each.valid_after, each.valid_before))
    return _word(each.payer) + _word(each.payee) + b"".join(numbers) + each.nonce


def _word(address: bytes) -> bytes:
    return address.rjust(32, b"\0")


def _number(value: int) -> bytes:
    return value.to_bytes(32, "big")


def _slot(address: bytes) -> int:
    return int.from_bytes(keccak(_word(address) + _number(_BALANCES_SLOT)), "big")
