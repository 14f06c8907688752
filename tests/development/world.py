"""A private chain over HTTP and who trades on it, for tests of whatever pays. The keys are those of the vectors."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from mesh.development import token
from mesh.development.chain import ETHER, ChainPlan, PrivateChain
from mesh.development.chain_server import ChainServer
from mesh.development.facilitator import Facilitator
from mesh.development.facilitator_server import FacilitatorServer
from mesh.development.rpc_caller import RpcCaller
from mesh.extras import load_chain, load_signing

load_chain()
load_signing()

from eth_account import Account  # noqa: E402
from eth_account.messages import encode_typed_data  # noqa: E402
from eth_utils.address import to_checksum_address  # noqa: E402

RECORDED = Path(__file__).parents[1] / "vectors" / "betar.json"
VECTORS: dict[str, Any] = json.loads(RECORDED.read_text())["x402"]
BUYER = Account.from_key(VECTORS["buyer_private_key_hex"])
SELLER = Account.from_key(VECTORS["seller_private_key_hex"])
SETTLER = Account.from_key("11" * 32)
BUYER_UNITS = 5_000_000
TRANSFER_FIELDS = [
    {"name": "from", "type": "address"},
    {"name": "to", "type": "address"},
    {"name": "value", "type": "uint256"},
    {"name": "validAfter", "type": "uint256"},
    {"name": "validBefore", "type": "uint256"},
    {"name": "nonce", "type": "bytes32"},
]


def bytes_of(account: Any) -> bytes:
    """An account's address, 20 bytes."""
    return bytes.fromhex(account.address[2:])


def make_chain(**plan: Any) -> PrivateChain:
    """A chain on which the buyer has 5 of the token, and the settler an ether."""
    plan.setdefault("units", {bytes_of(BUYER): BUYER_UNITS})
    plan.setdefault("wei", {bytes_of(SETTLER): ETHER})
    return PrivateChain(ChainPlan(**plan), time.time)


def domain(chain: PrivateChain) -> dict[str, Any]:
    contract = "0x" + chain.plan.token.hex()
    return {"name": "USDC", "version": "2", "chainId": chain.plan.chain_id, "verifyingContract": contract}


def signed(
    chain: PrivateChain, nonce: bytes, value: int = 1000, **changed: Any
) -> tuple[token.Authorization, bytes]:
    """An authorization of the buyer for the seller, and its signature of 65 bytes."""
    now = int(time.time()) + chain.shift_s
    fields = {
        "payer": bytes_of(BUYER),
        "payee": bytes_of(SELLER),
        "value": value,
        "valid_after": now - 5,
        "valid_before": now + 60,
        "nonce": nonce,
    }
    made = token.Authorization(**{**fields, **changed})
    content = {
        "from": "0x" + made.payer.hex(),
        "to": "0x" + made.payee.hex(),
        "value": made.value,
        "validAfter": made.valid_after,
        "validBefore": made.valid_before,
        "nonce": made.nonce,
    }
    message = encode_typed_data(domain(chain), {"TransferWithAuthorization": TRANSFER_FIELDS}, content)
    return made, bytes(BUYER.sign_message(message).signature)


def transaction(chain: PrivateChain, data: bytes, **changed: Any) -> bytes:
    """A call of the token, signed by the settler."""
    fields = {
        "chainId": chain.plan.chain_id,
        "nonce": chain.next_nonce(bytes_of(SETTLER)),
        "to": chain.plan.token,
        "value": 0,
        "data": data,
        "gas": 200_000,
        "maxFeePerGas": 10**10,
        "maxPriorityFeePerGas": 0,
    }
    return bytes(SETTLER.sign_transaction({**fields, **changed}).raw_transaction)


def units_of(chain: PrivateChain, account: Any) -> int:
    return int.from_bytes(chain.call(chain.plan.token, token.balance_call(bytes_of(account)))[0], "big")


def is_used(chain: PrivateChain, nonce: bytes) -> bool:
    return any(chain.call(chain.plan.token, token.state_call(bytes_of(BUYER), nonce))[0])


@dataclass(frozen=True, slots=True)
class RpcClient:
    """Asks a chain over HTTP."""

    url: str
    http: httpx.AsyncClient

    async def ask(self, method: str, *parameters: object) -> Any:
        """The result, or the error as it came."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)}
        answer = (await self.http.post(self.url, json=body)).json()
        assert answer["id"] == 1
        return answer["result"] if "result" in answer else answer["error"]


def settle_body(
    chain: PrivateChain, made: token.Authorization, signature: bytes, **wanted: str
) -> dict[str, Any]:
    """What is posted to a facilitator: the authorization, and requirements that fit it unless ``wanted`` says else."""
    payer, payee, contract = (
        to_checksum_address(each) for each in (made.payer, made.payee, chain.plan.token)
    )
    requirements: dict[str, Any] = {
        "scheme": "exact",
        "network": f"eip155:{chain.plan.chain_id}",
        "amount": str(made.value),
        "asset": contract,
        "payTo": payee,
        "maxTimeoutSeconds": 60,
        "extra": {"name": "USDC", "version": "2"},
    }
    requirements |= wanted
    authorization = {
        "from": payer,
        "to": payee,
        "value": str(made.value),
        "validAfter": str(made.valid_after),
        "validBefore": str(made.valid_before),
        "nonce": "0x" + made.nonce.hex(),
    }
    payload = {"signature": "0x" + signature.hex(), "authorization": authorization}
    return {
        "x402Version": 2,
        "paymentPayload": {"x402Version": 2, "accepted": requirements, "payload": payload},
        "paymentRequirements": requirements,
    }


@pytest.fixture
def chain() -> PrivateChain:
    return make_chain()


@pytest.fixture
async def chain_server(chain: PrivateChain) -> AsyncIterator[ChainServer]:
    async with ChainServer(chain) as server:
        yield server


@pytest.fixture
async def facilitator(chain_server: ChainServer) -> AsyncIterator[FacilitatorServer]:
    async with FacilitatorServer(Facilitator(RpcCaller(chain_server.url))) as server:
        yield server


@pytest.fixture
async def rpc(chain_server: ChainServer) -> AsyncIterator[RpcClient]:
    async with httpx.AsyncClient(trust_env=False) as http:
        yield RpcClient(chain_server.url, http)
