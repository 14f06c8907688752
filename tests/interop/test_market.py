"""The marketplace against a node of it in Go, written from the specification alone: listings, orders, paid work, both
ways, on a private chain that Go reads with go-ethereum's client."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from mesh.apps.market.agents import Offer
from mesh.apps.market.calls import PurchaseFailed
from mesh.apps.market.market import Market
from mesh.apps.market.work import CallableWorker
from mesh.development.chain import ETHER, PrivateChain
from mesh.development.chain_server import ChainServer
from mesh.development.facilitator_server import FacilitatorServer
from mesh.development.faults import fault_named
from mesh.protocols.market.naming import agent_did, node_did
from mesh.protocols.x402.records import PurchaseState
from tests.apps.market.markets import Markets
from tests.development.world import (
    BUYER,
    BUYER_UNITS,
    RECORDED,
    SELLER,
    VECTORS,
    bytes_of,
    chain,
    chain_server,
    facilitator,
    is_used,
    units_of,
)
from tests.network.live import eventually
from tools.interop_peers.building import BINARY
from tools.interop_peers.process import CommandFailed, PeerProcess

__all__ = ["chain", "chain_server", "facilitator"]

pytestmark = pytest.mark.interop

LOOPBACK = "/ip4/127.0.0.1/tcp/0"
LIFETIME_S = 110
SEED = "5a" * 32


class World(AsyncExitStack):
    """A chain, a facilitator, and who trades there."""

    def __init__(self, chain: PrivateChain, ledger: ChainServer, facilitator: FacilitatorServer) -> None:
        super().__init__()
        self.chain, self.ledger, self.facilitator = chain, ledger, facilitator
        self.markets = Markets()

    async def __aenter__(self) -> World:
        await self.enter_async_context(self.markets)
        return self

    async def ours(self, key: str = "", folder: Path | None = None) -> Market:
        """A marketplace of ours; with a wallet's key it pays and is paid."""
        settings = {"rpc_url": self.ledger.url, "facilitator_url": self.facilitator.url} if key else {}
        return await self.markets.market(LOOPBACK, folder=folder, settings=settings, wallet_key=key)

    async def theirs(self, key: str = "", *flags: str) -> PeerProcess:
        """A node in Go, likewise."""
        money = ("--wallet", key, "--rpc", self.ledger.url, "--facilitator", self.facilitator.url)
        words = (
            "market",
            "--timeout",
            f"{LIFETIME_S}s",
            "--rebroadcast",
            "2s",
            *(money if key else ()),
            *flags,
        )
        return await self.enter_async_context(PeerProcess(str(BINARY), *words))


@pytest.fixture
async def world(
    chain: PrivateChain, chain_server: ChainServer, facilitator: FacilitatorServer
) -> AsyncIterator[World]:
    async with World(chain, chain_server, facilitator) as made:
        yield made


def key_of(account: Any) -> str:
    return bytes(account.key).hex()


async def meet(ours: Market, theirs: PeerProcess, *, we_dial: bool = True) -> None:
    """Connect, and wait until both see each other in the topics."""
    if we_dial:
        await ours.node.connect(theirs.address)
    else:
        await theirs.call("connect", addr=str(ours.node.listen_addrs[0]))
    for topic in ("betar/marketplace/crdt", "betar/marketplace/listings"):
        await theirs.call("pubsub_mesh", topic=topic, at_least=1)


async def listed(theirs: PeerProcess, agent: str) -> dict[str, Any]:
    """A listing as the node in Go has it, once it is there."""
    async with asyncio.timeout(20):
        while True:
            for each in (await theirs.call("listings"))["listings"]:
                if each["id"] == agent:
                    return dict(each)
            await asyncio.sleep(0.05)


def echo(prefix: str) -> CallableWorker:
    return CallableWorker(lambda text: prefix + text)


@pytest.mark.parametrize("we_dial", [True, False], ids=["we-dial", "go-dials"])
async def test_listings_of_both_are_known_to_both_and_vanish(world: World, we_dial: bool) -> None:
    ours, theirs = await world.ours(), await world.theirs()
    made = await theirs.call("register", name="before", price=0.001)
    await meet(ours, theirs, we_dial=we_dial)
    await eventually(lambda: ours.get(made["agent"]), "what was listed before we met")
    added = await theirs.call("register", name="after <&> é", price=8.2)
    await eventually(lambda: ours.get(added["agent"]), "what is listed now")
    entry = ours.get(added["agent"])
    assert entry is not None
    assert (entry.listing.name, entry.listing.price, entry.listing.seller_id) == (
        "after <&> é",
        8.2,
        theirs.peer,
    )
    assert entry.listing.metadata == added["metadata"]
    mine = await ours.register(Offer("mine", "Ours.", 0.5), echo("mine "))
    found = await listed(theirs, mine.did)
    assert (found["name"], found["price"], found["sellerId"]) == ("mine", 0.5, str(ours.node.peer_id))
    assert found["protocols"] == ["/x402/libp2p/1.0.0"]
    assert {each["id"] for each in (await theirs.call("info", peer=str(ours.node.peer_id)))["listings"]} == {
        made["agent"],
        added["agent"],
        mine.did,
    }
    await theirs.call("delist", agent=added["agent"])
    await eventually(lambda: ours.get(added["agent"]) is None, "the end of a listing of theirs")
    await ours.withdraw(mine.did)
    async with asyncio.timeout(20):
        while any(each["id"] == mine.did for each in (await theirs.call("listings"))["listings"]):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_the_mapping_of_both_has_the_same_heads(world: World) -> None:
    """What either puts reaches the other as blocks, not as words of the topic alone."""
    ours, theirs = await world.ours(), await world.theirs()
    await meet(ours, theirs)
    made = await theirs.call("register", name="theirs", price=1)
    mine = await ours.register(Offer("mine", "", 1.0), echo(""))
    crdt = await ours.node.crdt("betar/marketplace/crdt")
    await listed(theirs, mine.did)
    await eventually(lambda: len(dict(crdt.below("/agents"))) == 2, "both listings in our mapping")
    for key, value in dict(crdt.below("/agents")).items():
        assert json.loads((await theirs.call("value", key=key))["value"])["id"] == json.loads(value)["id"]
    assert made["agent"] != mine.did


async def test_ids_are_derived_alike(world: World) -> None:
    theirs = await world.theirs("", "--seed", SEED)
    ours = await world.ours()
    public = ours.node.key.public
    for name in ("agent one", "é", ""):
        given = await theirs.call("did", name=name, public_key_hex=public.raw.hex())
        assert given["did"] == agent_did(public, name)
    assert (await theirs.call("did", name="node", public_key_hex=public.raw.hex()))["did"] == node_did(public)
    for key in json.loads(RECORDED.read_text())["identity"]["keys"]:
        for name, wanted in (("math-agent", key["did_key_math_agent"]), ("node", key["did_key_node"])):
            assert (await theirs.call("did", name=name, public_key_hex=key["public_key_raw_hex"]))[
                "did"
            ] == wanted


async def test_go_signs_what_the_vectors_say(world: World) -> None:
    theirs = await world.theirs(key_of(BUYER))
    for each in VECTORS["signatures"]:
        done = await theirs.call(
            "sign",
            authorization=each["authorization"],
            chain=int(each["network"].partition(":")[2]),
            asset=each["verifying_contract"],
        )
        assert (done["digest"], done["signature"]) == ("0x" + each["digest_hex"], each["signature_v27"])


@pytest.mark.parametrize("raw_signature", [False, True], ids=["v27", "v0"])
async def test_go_buys_of_us(world: World, raw_signature: bool) -> None:
    ours, theirs = await world.ours(key_of(SELLER)), await world.theirs(key_of(BUYER))
    await meet(ours, theirs)
    agent = await ours.register(Offer("shout", "", 0.25), CallableWorker(str.upper))
    await listed(theirs, agent.did)
    done = await theirs.call(
        "execute", agent=agent.did, input="good day", limit=250_000, raw_signature=raw_signature
    )
    assert (done["output"], done["amount"]) == ("GOOD DAY", "250000")
    assert world.chain.mined(bytes.fromhex(done["tx_hash"][2:])) is not None
    assert is_used(world.chain, bytes.fromhex(done["nonce"][2:]))
    assert (units_of(world.chain, SELLER), units_of(world.chain, BUYER)) == (250_000, BUYER_UNITS - 250_000)
    assert (await theirs.call("balance"))["units"] == BUYER_UNITS - 250_000


async def test_we_buy_of_go(world: World) -> None:
    ours, theirs = await world.ours(key_of(BUYER)), await world.theirs(key_of(SELLER))
    await meet(ours, theirs)
    made = await theirs.call("register", name="echo", price=0.25, prefix="heard: ")
    await eventually(lambda: ours.get(made["agent"]), "the listing")
    done = await ours.execute(made["agent"], "good day")
    assert done.output == "heard: good day"
    assert done.purchase is not None
    assert (done.purchase.state, done.purchase.amount) == (PurchaseState.DELIVERED, 250_000)
    assert units_of(world.chain, SELLER) == 250_000
    assert (await theirs.call("calls", agent=made["agent"]))["calls"] == 1


async def test_what_is_free_needs_no_money(world: World) -> None:
    ours, theirs = await world.ours(), await world.theirs()
    await meet(ours, theirs)
    made = await theirs.call("register", name="free", price=0, prefix="> ")
    mine = await ours.register(Offer("mine", "", 0.0), echo("< "))
    await eventually(lambda: ours.get(made["agent"]), "the listing")
    await listed(theirs, mine.did)
    assert (await ours.execute(made["agent"], "x")).output == "> x"
    assert (await theirs.call("execute", agent=mine.did, input="y"))["output"] == "< y"


async def test_without_payments_what_costs_is_refused_with_2000(world: World) -> None:
    ours, theirs = await world.ours(), await world.theirs()
    await meet(ours, theirs)
    mine = await ours.register(Offer("mine", "", 1.0), echo(""))
    await listed(theirs, mine.did)
    with pytest.raises(CommandFailed, match="2000 PAYMENT_REQUIRED"):
        await theirs.call("execute", agent=mine.did, input="y", limit=1_000_000)


async def test_a_failure_after_settlement_leaves_a_record_at_us(world: World) -> None:
    """We sell, our agent fails, Go paid: 3000, and a refund is owed."""

    def fail(text: str) -> str:
        raise ValueError(text)

    ours, theirs = await world.ours(key_of(SELLER)), await world.theirs(key_of(BUYER))
    await meet(ours, theirs)
    mine = await ours.register(Offer("broken", "", 0.001), CallableWorker(fail))
    await listed(theirs, mine.did)
    with pytest.raises(CommandFailed, match="3000 EXECUTION_FAILED"):
        await theirs.call("execute", agent=mine.did, input="y", limit=1000)
    assert units_of(world.chain, SELLER) == 1000
    assert ours._till is not None
    assert [each.state.value for each in await ours._till.sales()] == ["refund"]


async def test_gos_failure_after_settlement_is_a_purchase_that_was_paid(world: World) -> None:
    ours, theirs = await world.ours(key_of(BUYER)), await world.theirs(key_of(SELLER))
    await meet(ours, theirs)
    made = await theirs.call("register", name="broken", price=0.001, fails=True)
    await eventually(lambda: ours.get(made["agent"]), "the listing")
    with pytest.raises(PurchaseFailed) as failed:
        await ours.execute(made["agent"], "x")
    assert failed.value.purchase.state is PurchaseState.PAID
    assert units_of(world.chain, SELLER) == 1000


@pytest.mark.parametrize("fault", ["lost", "late:1", "duplicate", "lie-failed", "garbage", "lie-paid"])
async def test_a_facilitator_at_fault_costs_nobody_money(world: World, fault: str) -> None:
    """Whatever it says: Go is served what it paid for, or it did not pay."""
    ours, theirs = await world.ours(key_of(SELLER)), await world.theirs(key_of(BUYER))
    await meet(ours, theirs)
    agent = await ours.register(Offer("shout", "", 0.001), CallableWorker(str.upper))
    await listed(theirs, agent.did)
    world.facilitator.faults.add(fault_named(fault))
    try:
        output = (await theirs.call("execute", agent=agent.did, input="hi", limit=1000))["output"]
    except CommandFailed:
        output = ""
    assert (output, units_of(world.chain, SELLER)) in {("HI", 1000), ("", 0)}


async def test_a_seller_in_go_believes_the_chain_alone(world: World) -> None:
    ours, theirs = await world.ours(key_of(BUYER)), await world.theirs(key_of(SELLER))
    await meet(ours, theirs)
    made = await theirs.call("register", name="echo", price=0.001, prefix="> ")
    await eventually(lambda: ours.get(made["agent"]), "the listing")
    world.facilitator.faults.add(fault_named("lie-failed"))
    assert (await ours.execute(made["agent"], "x")).output == "> x"
    assert units_of(world.chain, SELLER) == 1000


async def test_orders_both_ways(world: World) -> None:
    ours, theirs = await world.ours(), await world.theirs()
    await meet(ours, theirs)
    made = await theirs.call("register", name="theirs", price=2)
    mine = await ours.register(Offer("mine", "", 3.0), echo(""))
    await eventually(lambda: ours.get(made["agent"]), "the listing")
    placed = await ours.orders.create(made["agent"], 2.0, theirs.peer)
    (taken,) = (await theirs.call("orders"))["orders"]
    assert (taken["orderId"], taken["status"], taken["price"]) == (placed.order_id, "pending", 2)
    assert (taken["buyerId"], taken["sellerId"]) == (str(ours.node.peer_id), theirs.peer)
    me = str(ours.node.peer_id)
    order = (await theirs.call("order", peer=me, kind="order.create", agent=mine.did, price=3))["order"]
    assert (order["status"], order["sellerId"], order["buyerId"]) == ("pending", me, theirs.peer)
    assert [each.order_id for each in ours.orders.all if each.agent_id == mine.did] == [order["orderId"]]


@pytest.mark.parametrize(
    ("kind", "text", "code"),
    [
        ("x402.nothing", "{}", 1000),
        ("x402.request", "{", 1000),
        ("x402.paid_request", "[]", 1000),
        ("x402.request", '{"correlation_id":"a","resource":"nobody","payment":null,"body":null}', 3000),
        ("x402.paid_request", '{"correlation_id":"a","payment":{"server_nonce":"00"},"body":null}', 2003),
    ],
)
async def test_both_refuse_alike(world: World, kind: str, text: str, code: int) -> None:
    """The same message to both sellers gives the same code."""
    ours, theirs = await world.ours(key_of(SELLER)), await world.theirs(key_of(SELLER))
    asking = await world.theirs()
    await asking.call("connect", addr=str(ours.node.listen_addrs[0]))
    await asking.call("connect", addr=theirs.address)
    for seller in (str(ours.node.peer_id), theirs.peer):
        answer = await asking.call("ask", peer=seller, kind=kind, text=text)
        assert (answer["kind"], json.loads(answer["text"])["error_code"]) == ("x402.error", code), seller


async def challenged(asking: PeerProcess, seller: str, resource: str) -> dict[str, Any]:
    """What a seller wants for a resource."""
    request = {"correlation_id": f"call {resource[-8:]}", "resource": resource, "payment": None, "body": None}
    answer = await asking.call("ask", peer=seller, kind="x402.request", text=json.dumps(request))
    assert answer["kind"] == "x402.payment_required"
    return dict(json.loads(answer["text"]))


async def paid_with(
    asking: PeerProcess, wanted: dict[str, Any], changed: dict[str, Any], later: dict[str, Any]
) -> dict[str, Any]:
    """A paid request that Go signed over fields with ``changed``; ``later`` is changed once it was signed."""
    asked = wanted["payment_requirements"]
    authorization = {
        "from": BUYER.address,
        "to": asked["payTo"],
        "value": asked["amount"],
        "validAfter": str(int(time.time()) - 5),
        "validBefore": str(int(time.time()) + 60),
        "nonce": "0x" + wanted["challenge_nonce"],
    } | {key: each for key, each in changed.items() if key not in ("network", "payer", "server_nonce")}
    signed = await asking.call("sign", authorization=authorization, chain=84532, asset=asked["asset"])
    task = {"input": "hi", "resource": wanted["seller_did"]}
    envelope = {
        "x402_version": 2,
        "scheme": "exact",
        "network": changed.get("network", asked["network"]),
        "server_nonce": changed.get("server_nonce", wanted["challenge_nonce"]),
        "payer": changed.get("payer", authorization["from"]),
        "payload": {"signature": signed["signature"], "authorization": authorization | later},
    }
    body = base64.b64encode(json.dumps(task).encode()).decode()
    return {"correlation_id": wanted["correlation_id"], "payment": envelope, "body": body}


@pytest.mark.parametrize(
    ("changed", "later", "code"),
    [
        ({"value": "999"}, {}, 2007),
        ({"value": "1001"}, {}, 2007),
        ({"to": BUYER.address}, {}, 2007),
        ({"from": SELLER.address, "payer": SELLER.address}, {}, 2007),
        ({"payer": SELLER.address}, {}, 2007),
        ({"validBefore": "1000000000"}, {}, 2007),
        ({"validAfter": "9999999999", "validBefore": "99999999999"}, {}, 2007),
        ({"network": "eip155:8453"}, {}, 2007),
        ({"value": "1"}, {"value": "1000"}, 2007),
        ({"nonce": "0x" + "ab" * 32}, {}, 2002),
        ({"server_nonce": "ab" * 32}, {}, 2002),
    ],
)
async def test_both_refuse_a_bad_payment_alike(
    world: World, changed: dict[str, str], later: dict[str, str], code: int
) -> None:
    """Go signs it; our seller and the one in Go say the same, move nothing and run nothing."""
    ours, theirs = await world.ours(key_of(SELLER)), await world.theirs(key_of(SELLER))
    asking = await world.theirs(key_of(BUYER))
    mine = await ours.register(Offer("mine", "", 0.001), echo("ran "))
    made = await theirs.call("register", name="theirs", price=0.001)
    await asking.call("connect", addr=str(ours.node.listen_addrs[0]))
    await asking.call("connect", addr=theirs.address)
    for seller, resource in ((str(ours.node.peer_id), mine.did), (theirs.peer, made["agent"])):
        wanted = await challenged(asking, seller, resource)
        request = json.dumps(await paid_with(asking, wanted, changed, later))
        answer = await asking.call("ask", peer=seller, kind="x402.paid_request", text=request)
        assert json.loads(answer["text"])["error_code"] == code, (seller == theirs.peer, answer)
        again = await asking.call("ask", peer=seller, kind="x402.paid_request", text=request)
        assert json.loads(again["text"])["error_code"] == 2003
    assert units_of(world.chain, BUYER) == BUYER_UNITS
    assert world.facilitator.calls == deque()
    assert (await theirs.call("calls", agent=made["agent"]))["calls"] == 0


async def test_both_serve_a_payment_once(world: World) -> None:
    """The same frame again, at either seller, runs nothing again and moves nothing again."""
    ours, theirs = await world.ours(key_of(SELLER)), await world.theirs(key_of(SELLER))
    asking = await world.theirs(key_of(BUYER))
    ran: list[str] = []

    def run(text: str) -> str:
        ran.append(text)
        return "ran " + text

    mine = await ours.register(Offer("mine", "", 0.001), CallableWorker(run))
    made = await theirs.call("register", name="theirs", price=0.001, prefix="ran ")
    await asking.call("connect", addr=str(ours.node.listen_addrs[0]))
    await asking.call("connect", addr=theirs.address)
    for count, (seller, resource) in enumerate(
        ((str(ours.node.peer_id), mine.did), (theirs.peer, made["agent"])), 1
    ):
        request = json.dumps(await paid_with(asking, await challenged(asking, seller, resource), {}, {}))
        sent = [asking.call("ask", peer=seller, kind="x402.paid_request", text=request) for _ in range(4)]
        answers = [each["kind"] for each in await asyncio.gather(*sent)]
        assert "x402.response" in answers
        assert units_of(world.chain, SELLER) == 1000 * count
    assert (ran, (await theirs.call("calls", agent=made["agent"]))["calls"]) == (["hi"], 1)


async def test_a_workflow_goes_through_both(world: World) -> None:
    """Two agents, one in Go, one of another node of ours, each paid; the output of one is the input of the next."""
    seller, theirs = await world.ours(key_of(SELLER)), await world.theirs(key_of(SELLER))
    buyer = await world.ours(key_of(BUYER))
    await meet(buyer, theirs)
    await buyer.node.connect(seller.node.listen_addrs[0])
    made = await theirs.call("register", name="greet", price=0.001, prefix="hello ")
    loud = await seller.register(Offer("shout", "", 0.002), CallableWorker(str.upper))
    await eventually(lambda: buyer.get(made["agent"]) and buyer.get(loud.did), "both listings")
    flow = await buyer.workflows.create((made["agent"], loud.did), "world", 1.0)
    await eventually(lambda: buyer.workflows.get(flow.id).status not in ("pending", "running"), "its end")
    done = buyer.workflows.get(flow.id)
    assert (done.status, done.output) == ("completed", "HELLO WORLD")
    assert units_of(world.chain, SELLER) == 3000


async def test_go_writes_the_vectors_as_they_are(world: World) -> None:
    """The second party speaks what was recorded: it reads each message and writes the same bytes."""
    theirs = await world.theirs()
    vectors = json.loads(RECORDED.read_text())
    kinds = {
        "AgentListing ": "listing",
        "AgentListingMessage": "listing message",
        "OrderMessage": "order message",
    }
    known = [(each["type"], each["json"]) for each in VECTORS["messages"]]
    known += [("x402.error", each["json"]) for each in VECTORS["errors"]]
    known += [
        ("settle", VECTORS["facilitator_settle_request"]),
        ("requirements", VECTORS["payment_requirements_json"]),
    ]
    known += [
        (next((kind for name, kind in kinds.items() if each["kind"].startswith(name)), "order"), each["json"])
        for each in vectors["marketplace"]["json"]
    ]
    for kind, text in known:
        assert (await theirs.call("rewrite", kind=kind, text=text))["text"] == text
    assert len(known) == 26


async def test_go_finds_every_hash_of_the_chain_right(world: World) -> None:
    """go-ethereum sends a transaction of its own and computes each block, transaction and receipt anew."""
    world.chain.fund(bytes_of(BUYER), ETHER, 0)
    ours, theirs = await world.ours(key_of(SELLER)), await world.theirs(key_of(BUYER))
    await meet(ours, theirs)
    agent = await ours.register(Offer("shout", "", 0.001), CallableWorker(str.upper))
    await listed(theirs, agent.did)
    await theirs.call("execute", agent=agent.did, input="hi", limit=1000)
    sent = (await theirs.call("transfer", to=SELLER.address, units=77))["tx_hash"]
    mined = world.chain.mined(bytes.fromhex(sent[2:]))
    assert mined is not None
    assert mined.receipt.state_root == b"\x01"
    assert units_of(world.chain, SELLER) == 1077
    world.chain.mine()
    found = await theirs.call("ledger")
    assert (found["blocks"], found["transactions"]) == (world.chain.head.block_number + 1, 4)


async def test_ether_of_the_chain_is_read_alike(world: World) -> None:
    assert world.chain.state().get_balance(bytes_of(BUYER)) == 0
    world.chain.fund(bytes_of(BUYER), ETHER, 0)
    ours = await world.ours(key_of(BUYER))
    assert ours.money.ledger is not None
    assert await ours.money.ledger.balance(bytes_of(BUYER)) == ETHER
