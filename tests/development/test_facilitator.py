"""The facilitator verifies truly, settles once, and does wrong only what it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from mesh.development import token
from mesh.development.chain import PrivateChain
from mesh.development.facilitator import Facilitator
from mesh.development.facilitator_server import NO_TRANSACTION, FacilitatorServer
from mesh.development.faults import Kind, fault_named
from mesh.development.rpc_caller import RpcCaller
from mesh.errors import NetworkError, UsageError
from tests.development.world import (
    BUYER,
    BUYER_UNITS,
    SELLER,
    VECTORS,
    is_used,
    make_chain,
    settle_body,
    signed,
    units_of,
)
from tests.network.live import eventually

NONCE = bytes(range(32))
OTHER = b"\x42" * 32


class Client:
    """Asks the facilitator."""

    def __init__(self, url: str, http: httpx.AsyncClient) -> None:
        self._url = url
        self._http = http

    async def post(self, route: str, body: object) -> Any:
        return (await self._http.post(f"{self._url}/{route}", json=body)).json()

    async def status(self, route: str, body: object) -> int:
        return (await self._http.post(f"{self._url}/{route}", json=body)).status_code

    async def get(self, route: str) -> Any:
        return (await self._http.get(f"{self._url}/{route}")).json()


@pytest.fixture
async def client(facilitator: FacilitatorServer) -> AsyncIterator[Client]:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        yield Client(facilitator.url, http)


async def test_a_payment_is_verified_and_settled_on_the_ledger(chain: PrivateChain, client: Client) -> None:
    body = settle_body(chain, *signed(chain, NONCE))
    assert await client.post("verify", body) == {"isValid": True, "payer": BUYER.address}
    assert not is_used(chain, NONCE)
    done = await client.post("settle", body)
    assert (done["success"], done["network"], done["payer"]) == (True, "eip155:84532", BUYER.address)
    mined = chain.mined(bytes.fromhex(done["transaction"][2:]))
    assert mined is not None
    assert mined.receipt.state_root == b"\x01"
    assert (is_used(chain, NONCE), units_of(chain, SELLER)) == (True, 1000)


async def test_it_settles_an_authorization_once(chain: PrivateChain, client: Client) -> None:
    body = settle_body(chain, *signed(chain, NONCE))
    answers = await asyncio.gather(*(client.post("settle", body) for _ in range(5)))
    assert sum(each["success"] for each in answers) == 1
    assert units_of(chain, SELLER) == 1000
    again = await client.post("settle", body)
    assert (again["success"], again["errorReason"]) == (False, "invalid_transaction_state")


@pytest.mark.parametrize("v", [0, 1, 27, 28])
async def test_v_may_have_either_form(chain: PrivateChain, client: Client, v: int) -> None:
    made, signature = signed(chain, NONCE)
    form = signature[:64] + bytes([v])
    fits = v % 27 == signature[64] - 27
    assert (await client.post("settle", settle_body(chain, made, form)))["success"] is fits
    assert units_of(chain, SELLER) == 1000 * fits


@pytest.mark.parametrize(
    ("changed", "wanted", "why"),
    [
        ({"payee": b"\x07" * 20}, {}, "invalid_exact_evm_payload_signature"),
        ({"payer": b"\x07" * 20}, {}, "invalid_exact_evm_payload_signature"),
        ({"value": 1001}, {}, "invalid_exact_evm_payload_signature"),
        ({"nonce": OTHER}, {}, "invalid_exact_evm_payload_signature"),
        ({}, {"amount": "999"}, "invalid_exact_evm_payload_authorization_value"),
        ({}, {"payTo": BUYER.address}, "invalid_exact_evm_payload_recipient_mismatch"),
        ({}, {"network": "eip155:8453"}, "invalid_network"),
        ({}, {"asset": BUYER.address}, "invalid_payment_requirements"),
        ({}, {"scheme": "upto"}, "unsupported_scheme"),
        ({"valid_after": 1 << 40}, {}, "invalid_exact_evm_payload_authorization_valid_after"),
        ({"valid_before": 1}, {}, "invalid_exact_evm_payload_authorization_valid_before"),
    ],
)
async def test_what_does_not_fit_is_refused(
    chain: PrivateChain, client: Client, changed: dict[str, Any], wanted: dict[str, str], why: str
) -> None:
    made, signature = signed(chain, NONCE)
    body = settle_body(chain, replace(made, **changed), signature, **wanted)
    assert (await client.post("verify", body))["invalidReason"] == why
    assert (await client.post("settle", body))["errorReason"] == why
    assert chain.head.block_number == 1, "only the faucet has sent a transaction"


async def test_more_than_the_payer_has_is_refused(chain: PrivateChain, client: Client) -> None:
    body = settle_body(chain, *signed(chain, NONCE, value=BUYER_UNITS + 1))
    assert (await client.post("settle", body))["errorReason"] == "insufficient_funds"


async def test_the_recorded_request_is_read_and_has_expired(client: Client) -> None:
    answer = await client.post(
        "verify", httpx.Response(200, text=VECTORS["facilitator_settle_request"]).json()
    )
    assert answer["invalidReason"] == "invalid_exact_evm_payload_authorization_valid_before"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ([], "invalid_payload"),
        ({}, "invalid_x402_version"),
        ({"x402Version": 1}, "invalid_x402_version"),
        ({"x402Version": 2, "paymentPayload": {"payload": None}}, "invalid_payload"),
    ],
)
async def test_what_is_no_payment_is_refused(client: Client, body: object, why: str) -> None:
    assert (await client.post("settle", body))["errorReason"] == why
    assert await client.get("supported")


@pytest.mark.parametrize("field", ["from", "to", "value", "validAfter", "validBefore", "nonce"])
@pytest.mark.parametrize("bad", [None, 5, "", "0x", "-1", "9" * 79, "0xzz", [], str(1 << 256)])
async def test_every_field_has_its_form(chain: PrivateChain, client: Client, field: str, bad: object) -> None:
    body = settle_body(chain, *signed(chain, NONCE))
    body["paymentPayload"]["payload"]["authorization"][field] = bad
    assert (await client.post("verify", body))["invalidReason"] == "invalid_payload"


async def test_it_says_what_it_supports(client: Client) -> None:
    kinds = (await client.get("supported"))["kinds"]
    assert kinds == [{"x402Version": 2, "scheme": "exact", "network": "eip155:84532"}]


async def test_it_serves_a_token_elsewhere_on_another_chain() -> None:
    from mesh.development.chain_server import ChainServer

    chain = make_chain(token=b"\x42" * 20, chain_id=1337)
    async with ChainServer(chain) as ledger, httpx.AsyncClient() as http:
        own = Facilitator(RpcCaller(ledger.url), contract="0x" + "42" * 20)
        async with FacilitatorServer(own) as server:
            done = await Client(server.url, http).post("settle", settle_body(chain, *signed(chain, NONCE)))
    assert (done["success"], done["network"]) == (True, "eip155:1337")


async def test_it_settles_on_a_ledger_that_was_started_anew(
    chain: PrivateChain, facilitator: FacilitatorServer, client: Client
) -> None:
    chain.go_back(0)
    assert (await client.post("settle", settle_body(chain, *signed(chain, NONCE))))["success"]
    assert units_of(chain, SELLER) == 1000


async def test_without_a_ledger_it_does_not_start() -> None:
    with pytest.raises(NetworkError, match="does not answer"):
        async with FacilitatorServer(Facilitator(RpcCaller("http://127.0.0.1:1"))):
            pass


# -- faults ----------------------------------------------------------------------------------------------------------


async def lost(asked: asyncio.Task[Any]) -> bool:
    """Whether a call ends without an answer."""
    try:
        await asked
    except httpx.RemoteProtocolError:
        return True
    except httpx.ReadError:
        return True
    return False


@pytest.mark.parametrize(("fault", "moved"), [("lost", 1000), ("unheard", 0)])
async def test_an_answer_can_be_lost(
    chain: PrivateChain, facilitator: FacilitatorServer, client: Client, fault: str, moved: int
) -> None:
    facilitator.faults.add(fault_named(fault))
    body = settle_body(chain, *signed(chain, NONCE))
    assert await lost(asyncio.create_task(client.post("settle", body)))
    assert units_of(chain, SELLER) == moved
    assert (await client.post("settle", body))["success"] is (moved == 0)


async def test_a_settlement_can_be_sent_twice_and_moves_money_once(
    chain: PrivateChain, facilitator: FacilitatorServer, client: Client
) -> None:
    facilitator.faults.add(fault_named("duplicate"))
    assert (await client.post("settle", settle_body(chain, *signed(chain, NONCE))))["success"]
    assert chain.head.block_number == 3, "the faucet's block and one for each transaction"
    assert units_of(chain, SELLER) == 1000


async def test_an_answer_can_be_late(
    chain: PrivateChain, facilitator: FacilitatorServer, client: Client
) -> None:
    facilitator.faults.add(fault_named("late:3600"), fault_named("late:0"))
    late = asyncio.create_task(client.post("settle", settle_body(chain, *signed(chain, NONCE))))
    await eventually(lambda: is_used(chain, NONCE))
    assert not late.done()
    late.cancel()
    assert (await client.post("settle", settle_body(chain, *signed(chain, OTHER))))["success"]


async def test_an_answer_may_never_come(chain: PrivateChain, facilitator: FacilitatorServer) -> None:
    facilitator.faults.add(fault_named("silent"))
    async with httpx.AsyncClient(timeout=0.5) as http:
        with pytest.raises(httpx.ReadTimeout):
            await Client(facilitator.url, http).post("settle", settle_body(chain, *signed(chain, NONCE)))
    assert units_of(chain, SELLER) == 1000


async def test_two_calls_can_change_places(
    chain: PrivateChain, facilitator: FacilitatorServer, client: Client
) -> None:
    facilitator.faults.add(fault_named("reorder:20"))
    first = asyncio.create_task(client.post("settle", settle_body(chain, *signed(chain, NONCE))))
    await eventually(lambda: facilitator.calls)
    assert (await client.post("settle", settle_body(chain, *signed(chain, OTHER))))["success"]
    assert not first.done()
    assert (await first)["success"]
    assert chain.head.block_number == 3


async def test_it_can_lie(chain: PrivateChain, facilitator: FacilitatorServer, client: Client) -> None:
    facilitator.faults.add(*map(fault_named, ("lie-paid", "lie-failed", "lie-other", "lie-paid@verify")))
    body = settle_body(chain, *signed(chain, NONCE))
    claimed = await client.post("settle", body)
    assert (claimed["success"], claimed["transaction"]) == (True, NO_TRANSACTION)
    assert not is_used(chain, NONCE)
    assert (await client.post("settle", body))["success"] is False
    assert is_used(chain, NONCE)
    other = await client.post("settle", settle_body(chain, *signed(chain, OTHER)))
    assert other["success"]
    assert chain.mined(bytes.fromhex(other["transaction"][2:])) is not None
    assert not is_used(chain, OTHER)
    assert (await client.post("verify", {}))["isValid"]
    assert (await client.post("verify", {}))["isValid"] is False


async def test_it_can_be_down_or_answer_nonsense(
    chain: PrivateChain, facilitator: FacilitatorServer, client: Client
) -> None:
    facilitator.faults.add(*map(fault_named, ("down", "garbage", "bomb")))
    body = settle_body(chain, *signed(chain, NONCE))
    assert await client.status("settle", body) == 503
    assert not is_used(chain, NONCE)
    for _ in range(2):
        with pytest.raises(ValueError, match="Expecting value") if _ == 0 else pytest.raises(RecursionError):
            await client.post("settle", body)
    assert units_of(chain, SELLER) == 1000
    assert [each["fault"] for each in await client.get("calls")] == ["down", "garbage", "bomb"]


async def test_a_ledger_that_is_gone_is_a_bad_gateway(
    chain: PrivateChain, facilitator: FacilitatorServer, client: Client
) -> None:
    gone = RpcCaller("http://127.0.0.1:1")
    facilitator.facilitator.ledger, there = gone, facilitator.facilitator.ledger
    assert await client.status("settle", settle_body(chain, *signed(chain, NONCE))) == 502
    facilitator.facilitator.ledger = there
    await gone.close()


async def test_faults_over_http(facilitator: FacilitatorServer, client: Client) -> None:
    assert await client.post("faults", ["lost", "late:2@verify"]) == {"waiting": 2}
    assert await client.status("faults", ["nothing"]) == 400
    assert await client.status("faults", {"a": 1}) == 400
    async with httpx.AsyncClient() as http:
        assert (await http.delete(f"{facilitator.url}/faults")).json() == {"waiting": 0}


@pytest.mark.parametrize("text", ["", "late:x", "late:-1", "late:1e9", "late:nan", "lost@supported"])
def test_what_is_no_fault_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        fault_named(text)


def test_every_fault_has_its_name() -> None:
    assert [fault_named(each.value).kind for each in Kind] == list(Kind)


def test_the_token_of_the_settings_is_the_default() -> None:
    assert VECTORS["signatures"][0]["verifying_contract"] == token.SEPOLIA_ADDRESS
