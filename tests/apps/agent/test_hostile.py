"""Peers that break the delivery protocol, lie about messages, or flood: it costs their own stream."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from typing import Any

import pytest

from mesh.apps.agent.agent import Agent
from mesh.apps.agent.records import DeliveryState
from mesh.codecs.agent_delivery import Acknowledgement, Frame, Offer, Piece, State, Verdict, VerdictCode
from mesh.codecs.keys import KeyType
from mesh.errors import MeshError, StreamReset
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.network.stream import Stream
from mesh.node import Node
from mesh.protocols.agent_delivery.offering import PROTOCOL_ID
from mesh.protocols.agent_delivery.receipts import open_receipt, sign_receipt
from tests.apps.agent.agents import Agents, inbound, reaches, until, until_inbound, way_of

DAY_MS = 24 * 3600 * 1000


def offer_of(node: Node, id: str = "m", queued_ms: int | None = None, **fields: Any) -> Offer:
    body = json.dumps(
        {"id": id, "type": "text", "content": "hi", "from": str(node.peer_id), **fields}
    ).encode()
    at = time.time_ns() // 1_000_000 if queued_ms is None else queued_ms
    return Offer(message_id=id, size=len(body), digest=hashlib.sha256(body).digest(), queued_ms=at, body=body)


class Talk:
    """A peer that speaks the protocol by hand."""

    def __init__(self, node: Node, agent: Agent) -> None:
        self.node = node
        self.agent = agent

    async def __aenter__(self) -> Talk:
        self.stream = await self.node.open(self.agent.node.listen_addrs[0], PROTOCOL_ID)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stream.reset()

    async def tell(self, frame: Frame) -> None:
        await self.stream.write_message(frame.encode())

    async def hear(self) -> Frame:
        async with asyncio.timeout(10):
            return Frame.decode(await self.stream.read_message(1 << 20))

    async def verdict(self, offer: Offer) -> Verdict:
        await self.tell(Frame(offer=offer))
        found = (await self.hear()).verdict
        assert found is not None
        return found

    async def is_reset(self) -> bool:
        try:
            await self.hear()
        except StreamReset:
            return True
        return False


@pytest.mark.parametrize(
    "data",
    [
        b"\x05abc",
        b"\xff" * 11,
        Frame(verdict=Verdict(message_id="m")).encode(),
        Frame(piece=Piece(offset=0, data=b"x")).encode(),
        Frame(receipts=[b"no receipt"]).encode(),
    ],
    ids=["garbage", "no varint", "verdict", "piece", "receipt"],
)
async def test_what_breaks_the_protocol_costs_the_stream(agents: Agents, data: bytes) -> None:
    bob, peer = await agents.agent(), await agents.start("")
    async with Talk(peer, bob) as talk:
        await talk.stream.write_message(data)
        assert await talk.is_reset()
    async with Talk(peer, bob) as talk:
        assert (await talk.verdict(offer_of(peer))).code == VerdictCode.TAKEN
    assert len(await inbound(bob)) == 1


async def test_a_message_is_taken_once_and_its_receipt_given_again(agents: Agents) -> None:
    bob, peer = await agents.agent(), await agents.start("")
    receipts = []
    for _ in range(3):
        async with Talk(peer, bob) as talk:
            receipts.append((await talk.verdict(offer_of(peer))).receipt)
    assert len(set(receipts)) == 1
    assert receipts[0] is not None
    receipt = open_receipt(receipts[0], peer.peer_id, bob.node.peer_id)
    assert (receipt.message_id, receipt.state) == ("m", State.STORED)
    assert len(await inbound(bob)) == 1
    way = await way_of(bob, "m")
    assert "came 2 more times" in next(step.detail for step in way.steps if step.what == "repeated")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"from": "12D3KooWEaP93ASxzXWJanh11xZ4UneyooPxDmQ9k6L8Rb8s9Dg4"}, "in the name of"),
        ({"id": "other"}, "not the id"),
        ({"type": "t" * 129}, "129 characters"),
    ],
)
async def test_a_lie_in_the_body_is_refused_for_good(
    agents: Agents, changed: dict[str, Any], reason: str
) -> None:
    bob, peer = await agents.agent(), await agents.start("")
    body = json.dumps({"id": "m", "type": "text", "content": "hi", **changed}).encode()
    digest = hashlib.sha256(body).digest()
    offer = Offer(
        message_id="m", size=len(body), digest=digest, queued_ms=time.time_ns() // 1_000_000, body=body
    )
    async with Talk(peer, bob) as talk:
        verdict = await talk.verdict(offer)
    assert verdict.code == VerdictCode.REFUSED
    assert reason in (verdict.reason or "")
    assert await inbound(bob) == []


@pytest.mark.parametrize("days", [-21, 2])
async def test_what_could_come_back_after_it_was_forgotten_is_refused(agents: Agents, days: int) -> None:
    bob, peer = await agents.agent(), await agents.start("")
    now_ms = time.time_ns() // 1_000_000
    async with Talk(peer, bob) as talk:
        verdict = await talk.verdict(offer_of(peer, queued_ms=now_ms + days * DAY_MS))
    assert verdict.code == VerdictCode.REFUSED


async def test_an_id_is_not_used_for_two_messages(agents: Agents) -> None:
    bob, peer = await agents.agent(), await agents.start("")
    async with Talk(peer, bob) as talk:
        assert (await talk.verdict(offer_of(peer))).code == VerdictCode.TAKEN
        verdict = await talk.verdict(offer_of(peer, content="something else"))
    assert verdict.code == VerdictCode.REFUSED
    assert [record.content for record in await inbound(bob)] == ["hi"]


async def test_two_peers_may_choose_the_same_id(agents: Agents) -> None:
    bob, peers = await agents.agent(), [await agents.start(""), await agents.start("")]
    for peer in peers:
        async with Talk(peer, bob) as talk:
            assert (await talk.verdict(offer_of(peer))).code == VerdictCode.TAKEN
    assert len(await bob.why("m")) == 2


async def test_behind_a_postponed_message_all_are(agents: Agents) -> None:
    bob, peer = await agents.agent(settings={"rate": 2, "rate_window_s": 3600.0}), await agents.start("")
    async with Talk(peer, bob) as talk:
        verdicts = [await talk.verdict(offer_of(peer, str(number))) for number in range(4)]
        again = await talk.verdict(offer_of(peer, "0"))
    assert [verdict.code for verdict in verdicts] == [0, 0, VerdictCode.LATER, VerdictCode.LATER]
    assert 3_500_000 < (verdicts[2].retry_ms or 0) <= 3_600_001
    assert again.code == VerdictCode.LATER
    async with Talk(peer, bob) as talk:
        assert (await talk.verdict(offer_of(peer, "0"))).code == VerdictCode.TAKEN, "known ones cost nothing"


async def test_a_large_message_with_another_body_than_offered(agents: Agents) -> None:
    bob, peer = await agents.agent(), await agents.start("")
    offer = Offer(message_id="m", size=20, digest=bytes(32), queued_ms=time.time_ns() // 1_000_000)
    async with Talk(peer, bob) as talk:
        assert (await talk.verdict(offer)).code == VerdictCode.MORE
        await talk.tell(Frame(piece=Piece(offset=0, data=b"x" * 10)))
        await talk.tell(Frame(piece=Piece(offset=10, data=b"x" * 10)))
        verdict = (await talk.hear()).verdict
    assert verdict is not None
    assert (verdict.code, verdict.reason) == (VerdictCode.REFUSED, "the body is not what was offered")
    assert await bob.store.read(
        lambda database: database.execute("SELECT count(*) FROM pieces").fetchone()
    ) == (0,)


async def test_pieces_survive_the_stream_and_another_message_takes_their_place(agents: Agents) -> None:
    bob, peer = await agents.agent(), await agents.start("")
    now_ms = time.time_ns() // 1_000_000
    first = Offer(message_id="m", size=20, digest=bytes(32), queued_ms=now_ms)
    async with Talk(peer, bob) as talk:
        await talk.verdict(first)
        await talk.tell(Frame(piece=Piece(offset=0, data=b"x" * 10)))
        held = "SELECT have FROM partial"
        await until(
            lambda: bob.store.read(lambda database: database.execute(held).fetchone()),
            lambda found: found == (10,),
        )
    async with Talk(peer, bob) as talk:
        verdict = await talk.verdict(first)
        assert (verdict.code, verdict.offset) == (VerdictCode.MORE, 10)
    async with Talk(peer, bob) as talk:
        verdict = await talk.verdict(Offer(message_id="n", size=20, digest=bytes(32), queued_ms=now_ms))
        assert (verdict.code, verdict.offset) == (VerdictCode.MORE, 0)
    async with Talk(peer, bob) as talk:
        verdict = await talk.verdict(first)
        assert (verdict.code, verdict.offset) == (VerdictCode.MORE, 0)


async def test_a_newer_stream_of_a_peer_ends_the_older_one(agents: Agents) -> None:
    bob, peer = await agents.agent(), await agents.start("")
    async with Talk(peer, bob) as older:
        assert (await older.verdict(offer_of(peer, "1"))).code == VerdictCode.TAKEN
        async with Talk(peer, bob) as newer:
            assert (await newer.verdict(offer_of(peer, "2"))).code == VerdictCode.TAKEN
            assert await older.is_reset()


async def test_a_receipt_for_what_was_never_sent_proves_nothing(agents: Agents) -> None:
    bob, peer = await agents.agent(), await agents.start("")
    receipt = sign_receipt(peer.key, bob.node.peer_id, "never", bytes(32), State.STORED, "trust me", 1)
    async with Talk(peer, bob) as talk:
        await talk.tell(Frame(receipts=[receipt]))
        assert (await talk.hear()).acknowledged == [Acknowledgement(message_id="never", state=State.STORED)]
    assert await bob.why("never") == ()


class Liar:
    """A receiver that answers offers as it likes."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.answer: Any = None
        self.offers = 0
        node.handle(PROTOCOL_ID, self._serve)

    async def _serve(self, stream: Stream) -> None:
        while True:
            frame = Frame.decode(await stream.read_message(1 << 20))
            if frame.offer is not None:
                self.offers += 1
                for each in self.answer(frame.offer):
                    await stream.write_message(each.encode())


STRANGER = PrivateKey.generate(KeyType.ED25519)


def lies(liar: Liar, alice: Agent) -> dict[str, Any]:
    """What a receiver may claim without having stored anything."""
    own = alice.node.peer_id

    def receipt(offer: Offer, key: PrivateKey = liar.node.key, sender: PeerId = own, **changed: Any) -> bytes:
        fields = {"message_id": offer.message_id, "digest": offer.digest, "state": State.STORED, **changed}
        return sign_receipt(key, sender, fields["message_id"], fields["digest"], fields["state"], "", 1)

    def taken(offer: Offer, envelope: bytes) -> list[Frame]:
        return [Frame(verdict=Verdict(message_id=offer.message_id, receipt=envelope))]

    return {
        "no receipt": lambda offer: [Frame(verdict=Verdict(message_id=offer.message_id))],
        "garbage": lambda offer: taken(offer, b"abc"),
        "of a stranger": lambda offer: taken(offer, receipt(offer, STRANGER)),
        "for a stranger": lambda offer: taken(offer, receipt(offer, sender=liar.node.peer_id)),
        "of another message": lambda offer: taken(offer, receipt(offer, message_id="other")),
        "of another state": lambda offer: taken(offer, receipt(offer, state=State.RESUMED)),
        "verdict on another": lambda offer: [Frame(verdict=Verdict(message_id="other"))],
        "more than there is": lambda offer: [
            Frame(verdict=Verdict(message_id=offer.message_id, code=VerdictCode.MORE, offset=1))
        ],
        "an offer": lambda offer: [Frame(offer=offer)],
    }


@pytest.mark.parametrize(
    "name",
    [
        "no receipt",
        "garbage",
        "of a stranger",
        "for a stranger",
        "of another message",
        "of another state",
        "verdict on another",
        "more than there is",
        "an offer",
    ],
)
async def test_a_receiver_that_lies_gets_a_dead_letter_after_so_many_attempts(
    agents: Agents, name: str
) -> None:
    alice = await agents.agent(settings={"max_attempts": 1})
    liar = Liar(await agents.start())
    liar.answer = lies(liar, alice)[name]
    accepted = await alice.send(str(liar.node.peer_id), "x", multiaddr=str(liar.node.listen_addrs[0]))
    way = await reaches(alice, accepted.message_id, DeliveryState.DEAD)
    assert [step.what for step in way.steps] == ["queued", "attempt failed", "given up"]
    assert way.waits_for == "somebody to have it tried again"


async def test_a_receipt_of_another_body_proves_nothing(agents: Agents) -> None:
    alice, liar = await agents.agent(), Liar(await agents.start())
    liar.answer = lambda offer: [
        Frame(
            verdict=Verdict(
                message_id=offer.message_id,
                receipt=sign_receipt(
                    liar.node.key, alice.node.peer_id, offer.message_id, bytes(32), State.STORED, "", 1
                ),
            )
        )
    ]
    accepted = await alice.send(str(liar.node.peer_id), "x", multiaddr=str(liar.node.listen_addrs[0]))
    await until(lambda: way_of(alice, accepted.message_id), lambda _: liar.offers > 0)
    assert (await way_of(alice, accepted.message_id)).state is DeliveryState.QUEUED


async def test_a_refused_message_is_dead_at_once_and_may_be_tried_again(agents: Agents) -> None:
    alice, liar = await agents.agent(), Liar(await agents.start())
    liar.answer = lambda offer: [
        Frame(verdict=Verdict(message_id=offer.message_id, code=VerdictCode.REFUSED, reason="not this one"))
    ]
    accepted = await alice.send(str(liar.node.peer_id), "x", multiaddr=str(liar.node.listen_addrs[0]))
    way = await reaches(alice, accepted.message_id, DeliveryState.DEAD)
    assert "refused by the receiver: not this one" in way.steps[-1].detail
    assert await alice.retry("nothing") == 0

    def take(offer: Offer) -> list[Frame]:
        envelope = sign_receipt(
            liar.node.key, alice.node.peer_id, offer.message_id, offer.digest, State.STORED, "", 1
        )
        return [Frame(verdict=Verdict(message_id=offer.message_id, receipt=envelope))]

    liar.answer = take
    assert await alice.retry(accepted.message_id) == 1
    way = await reaches(alice, accepted.message_id, DeliveryState.STORED)
    assert "queued again" in [step.what for step in way.steps]


async def test_the_next_message_is_not_held_up_by_a_dead_one(agents: Agents) -> None:
    alice, bob = await agents.agent(settings={"max_attempts": 1}), await agents.agent()
    other, address = str(bob.node.peer_id), str(bob.node.listen_addrs[0])
    deep: Any = 1
    for _ in range(120):
        deep = [deep]
    bad = await alice.post(other, "x", {"deep": "[" * 10}, multiaddr=address)
    good = await alice.send(other, "good", multiaddr=address)
    await reaches(alice, good.message_id, DeliveryState.DELIVERED)
    await reaches(alice, bad.message_id, DeliveryState.DELIVERED)
    with pytest.raises(MeshError, match="nested"):
        await alice.post(other, "x", {"deep": deep})


async def test_a_flood_of_streams_leaves_the_agent_answering(agents: Agents) -> None:
    bob, peer, friend = await agents.agent(), await agents.start(""), await agents.agent()

    async def flood(number: int) -> None:
        try:
            stream = await peer.open(bob.node.listen_addrs[0], PROTOCOL_ID)
            await stream.write_message(bytes([number % 256]) * 50)
            await stream.read()
        except MeshError:
            pass

    await asyncio.gather(*(flood(number) for number in range(100)))
    accepted = await friend.send(str(bob.node.peer_id), "x", multiaddr=str(bob.node.listen_addrs[0]))
    await reaches(friend, accepted.message_id, DeliveryState.DELIVERED)
    assert len(await until_inbound(bob, 1)) == 1
