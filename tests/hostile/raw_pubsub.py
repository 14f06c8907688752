"""A peer that speaks pubsub by hand, whatever it should not say, and a pubsub node that it may attack."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from mesh.codecs.gossip import Control, Graft, IHave, IWant, Message, Rpc, Subscription
from mesh.errors import StreamReset
from mesh.framing import delimited
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats import varint
from mesh.network.stream import Stream
from mesh.node import Node
from mesh.protocols.gossip.signing import PREFIX
from mesh.services.gossip import ScoreSettings, Thresholds
from mesh.services.gossip import Subscription as Reader
from tests.hostile.conftest import Target
from tests.network.live import PATIENCE_S, Nodes, eventually, round_trip
from tests.services.gossip.network import VERSION, Stranger, make_node, meshed, take

TOPIC = "x"
MIB = 1024 * 1024
UNKNOWN_FIELDS = bytes.fromhex("f806ac02fa0603616263fd0601020304")
"""Numbers 111 to 113: a varint, bytes and a fixed number."""


class RawPeer(Stranger):
    """A node that serves the protocols by hand and says over streams of its own what a test has it say."""

    def __init__(self, node: Node, protocols: Sequence[str] = (VERSION,)) -> None:
        super().__init__(node, protocols[0])
        for each in protocols[1:]:
            node.handle(each, self._serve)

    @property
    def id(self) -> PeerId:
        return self.node.peer_id

    # -- saying ------------------------------------------------------------------------------------------------------

    async def publish(self, *wires: bytes) -> None:
        """Send encoded messages in one RPC."""
        await self.send(Rpc(publish=list(wires)))

    async def control(self, **entries: Any) -> None:
        """Send an RPC of nothing but these control entries."""
        await self.send(Rpc(control=Control(**entries)))

    async def graft(self, target: Node, topic: str = TOPIC) -> None:
        """Come into the target's mesh."""
        await self.control(graft=[Graft(topic)])
        await eventually(lambda: self.id in target.pubsub.mesh(topic), "the raw peer in the mesh")

    def wire(
        self,
        data: bytes | None,
        topic: str = TOPIC,
        *,
        key: PrivateKey | None = None,
        sender: bytes | None = None,
        seqno: bytes | None = b"",
        attached: bytes | None = None,
    ) -> bytes:
        """An encoded message signed with ``key``, its own unless another is given, of whatever fields; ``seqno`` is the
        next number unless given."""
        if seqno == b"":
            self.sent += 1
            seqno = self.sent.to_bytes(8, "big")
        signer = key or self.node.key
        message = Message(self.id.to_bytes() if sender is None else sender, data, seqno, topic)
        signature = signer.sign(PREFIX + message.encode())
        return message.encode() + Message(signature=signature, key=attached).encode()

    # -- what it was told --------------------------------------------------------------------------------------------

    def data(self) -> list[bytes]:
        """Of the messages it was sent, in order."""
        return [Message.decode(each).data or b"" for each in self.wires()]

    def wires(self) -> list[bytes]:
        return [each for rpc in self.received for each in rpc.publish]

    def controls(self) -> list[Control]:
        return [rpc.control for rpc in self.received if rpc.control is not None]

    def asked_for(self) -> list[bytes]:
        """Ids in IWANT."""
        return [id for each in self.controls() for want in each.iwant for id in want.message_ids]

    def declined(self) -> list[bytes]:
        """Ids in IDONTWANT."""
        return [id for each in self.controls() for refusal in each.idontwant for id in refusal.message_ids]

    def grafts(self) -> list[str]:
        return [graft.topic for each in self.controls() for graft in each.graft]

    def prunes(self) -> list[tuple[str, int | None]]:
        """Topics and backoffs in PRUNE."""
        return [(prune.topic, prune.backoff) for each in self.controls() for prune in each.prune]

    # -- knowing that all has been looked at ---------------------------------------------------------------------------

    async def heard(self) -> None:
        """Everything sent before over the same stream has been acted on, and the answers have come: an announced
        message is asked for."""
        self.sent += 1
        marker = b"marker" + self.sent.to_bytes(8, "big")
        await self.control(ihave=[IHave(TOPIC, [marker])])
        await eventually(lambda: marker in self.asked_for(), "the answer to a marker")

    async def answered(self, id: bytes) -> None:
        """Ask for a message and wait until it has come once more."""
        before = len(self.wires())
        await self.control(iwant=[IWant([id])])
        await eventually(lambda: len(self.wires()) > before, "the message asked for")


def id_of(wire: bytes) -> bytes:
    """The id of an encoded message by author and number."""
    message = Message.decode(wire)
    return (message.sender or b"") + (message.seqno or b"")


def framed(rpc: bytes) -> bytes:
    return delimited.encode(rpc)


def announced(size: int) -> bytes:
    """The length in front of an RPC that long."""
    return varint.encode(size)


async def was_reset(stream: Stream) -> None:
    """The other side resets it."""
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(StreamReset):
            await stream.read_all(MIB)


async def raw_peer(nodes: Nodes, *protocols: str) -> RawPeer:
    """A running one that dials and does not listen."""
    return RawPeer(await nodes.start(""), protocols or (VERSION,))


class Bench:
    """A node in a topic, a raw peer in it that misbehaves or not, and another raw peer that is a witness."""

    def __init__(self, nodes: Nodes, node: Node, reader: Reader, peer: RawPeer, witness: RawPeer) -> None:
        self.nodes = nodes
        self.node = node
        self.reader = reader
        self.peer = peer
        self.witness = witness

    async def mesh(self) -> None:
        """Both raw peers come into the node's mesh."""
        for each in (self.peer, self.witness):
            await each.graft(self.node)

    async def forwarded(self, *wires: bytes) -> None:
        """The witness gets these in the end, byte for byte."""
        await eventually(lambda: all(each in self.witness.wires() for each in wires), "the witness's copies")

    async def passes(self, wire: bytes) -> None:
        await self.peer.publish(wire)
        await self.forwarded(wire)

    async def stops(self, *wires: bytes) -> None:
        """None of these reaches the witness, and what is sent after them does. The raw peer keeps its connection."""
        for wire in wires:
            await self.peer.publish(wire)
        await self.passes(self.peer.wire(b"after"))
        assert not set(wires) & set(self.witness.wires())
        assert [each.data for each in await take(self.reader, 1)] == [b"after"]

    async def reset(self, garbage: bytes) -> None:
        """These bytes end the stream and not the connection; another stream works."""
        assert self.peer.own is not None
        await self.peer.write(garbage)
        await was_reset(self.peer.own)
        await self.again()

    async def again(self) -> None:
        """A new stream is heard."""
        await self.peer.open(self.node)
        await self.peer.send(Rpc(subscriptions=[Subscription(True, TOPIC)]))
        await eventually(lambda: self.peer.id in self.node.pubsub.peers(TOPIC), "the raw peer in the topic")
        await self.passes(self.peer.wire(b"over another stream"))


def set_patience(node: Node, seconds: float = 1.0) -> None:
    """How long the node waits for what it asked for; 3 s are the standard."""
    object.__setattr__(node.pubsub._running().router._gossip._settings, "iwant_followup_s", seconds)


class PubsubTarget(Target):
    """A node in `TOPIC` under attack, and a bystander in its mesh that must be served all the time."""

    def __init__(self, nodes: Nodes, node: Node, bystander: Node) -> None:
        super().__init__(nodes, node, bystander)
        self.ours = node.pubsub.join(TOPIC)
        self.theirs = bystander.pubsub.join(TOPIC)
        self.reader: Reader = self.ours.subscribe()
        self.heard: Reader = self.theirs.subscribe()
        self.attackers: list[RawPeer] = []

    async def attacker(self, *protocols: str) -> RawPeer:
        """A raw peer in the topic."""
        peer = await raw_peer(self.nodes, *protocols)
        await peer.enter(self.node, TOPIC)
        self.attackers.append(peer)
        return peer

    def count(self, name: str) -> int:
        return self.node.pubsub.counts()[name]

    def score(self, peer: RawPeer) -> float:
        return self.node.pubsub.scores()[peer.id].score

    async def serves_others(self) -> None:
        """A message of the bystander's arrives, and one of the node's reaches it."""
        await self.theirs.publish(b"from the bystander")
        await until(self.reader, b"from the bystander")
        await self.ours.publish(b"from the node")
        await until(self.heard, b"from the node")

    async def end(self) -> None:
        """What must hold when the attack is over."""
        await self.serves_others()
        for each in self.attackers:
            await each.node.stop()
        assert not self.node.counters["handler.crashed"]
        await self.unharmed()


async def until(reader: Reader, data: bytes) -> list[bytes]:
    """What is read up to a message."""
    found: list[bytes] = []
    while not found or found[-1] != data:
        found += [each.data for each in await take(reader, 1)]
    return found


def target_with(
    scores: ScoreSettings | None = None, thresholds: Thresholds | None = None, **settings: Any
) -> pytest.MarkDecorator:
    """The target has these settings of its section, and scores."""
    return pytest.mark.parametrize("victim", [(scores, thresholds, settings)], indirect=True, ids=[""])


@pytest.fixture
async def victim(
    nodes: Nodes, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[PubsubTarget]:
    """A pubsub node under attack that is checked when the test has ended."""
    caplog.set_level(logging.DEBUG)
    scores, thresholds, settings = getattr(request, "param", (None, None, {}))
    both = {name: value for name, value in settings.items() if name == "signatures"}
    node, bystander = make_node(nodes, **settings), make_node(nodes, **both)
    if scores is not None:
        node.pubsub.set_scores(scores, thresholds or Thresholds())
    for each in (node, bystander):
        await each.start()
    await bystander.connect(node.listen_addrs[0])
    target = PubsubTarget(nodes, node, bystander)
    await meshed(target.ours, target.theirs)
    await round_trip(bystander, node)
    yield target
    await target.end()
    loud = [record.getMessage() for record in caplog.records if record.levelno > logging.INFO]
    assert not loud, "a peer's fault is never above info"
