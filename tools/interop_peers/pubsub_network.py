"""A network of hosts with go-libp2p-pubsub, in one process (see the README beside this file)."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from tools.interop_peers.building import FOLDER, PEER, GoProgram, ensure_built
from tools.interop_peers.process import Answer, PeerProcess

PEER_PUBSUB17 = GoProgram(
    "peer-pubsub17",
    FOLDER,
    build_s=900,
    flags=("-modfile=pubsub17/go.mod", "-overlay=pubsub17/overlay.json"),
)
"""The same program, with a later go-libp2p-pubsub, and its extensions."""
WAIT_S = 10.0
MESSAGE_BYTES = 200


@dataclass(frozen=True, slots=True)
class PubsubPeer:
    """A host: the best version of GossipSub it speaks, and where it can be dialled, with `/p2p/` at the end."""

    peer: str
    addresses: Sequence[str]
    version: str


@dataclass(frozen=True, slots=True)
class Received:
    """What a host got from others in a topic since it subscribed; ``messages`` only if they were asked for."""

    peer: str
    deliveries: int
    distinct: int
    """By author and sequence number, or by content where messages have neither."""
    duplicates: int
    senders: Mapping[str, int]
    """Messages of each author."""
    messages: Sequence[bytes]


class GoPubsubNetwork:
    """``nodes`` hosts for the length of an `async with`, subscribed to ``topics`` and not connected to each other.

    The hosts speak ``versions`` of GossipSub in turn. ``settings`` are the arguments of `pubsub_start`. Methods take
    the number of a node first; they raise `CommandFailed`, `ProcessEnded` and `TimeoutError`. Raises `PeerMissing` at
    the start where the program cannot be built.
    """

    def __init__(
        self,
        nodes: int,
        *topics: str,
        versions: Sequence[str] = ("1.3",),
        settings: Mapping[str, Any] | None = None,
        program: GoProgram = PEER,
        lifetime_s: float = 110.0,
    ) -> None:
        self._flags = [
            "--nodes",
            str(nodes),
            "--versions",
            ",".join(versions),
            "--timeout",
            f"{lifetime_s:g}s",
        ]
        self._flags += ["--settings", json.dumps(settings or {})]
        self._flags += [word for topic in topics for word in ("--topic", topic)]
        self._program = program
        self._process: PeerProcess | None = None
        self.nodes: Sequence[PubsubPeer] = ()

    # -- life --------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._process = PeerProcess(str(ensure_built(self._program)), "pubsub-network", *self._flags)
        await self._process.__aenter__()
        self.nodes = [
            PubsubPeer(str(each["peer"]), [str(one) for one in each["addrs"]], str(each["version"]))
            for each in self._process.events[0]["nodes"]
        ]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.process.__aexit__(kind, error, traceback)

    @property
    def process(self) -> PeerProcess:
        assert self._process is not None, "the network has not been started"
        return self._process

    @property
    def pubsub(self) -> str:
        """The version of go-libp2p-pubsub."""
        return str(self.process.events[0]["pubsub"])

    async def call(self, node: int, command: str, **arguments: Any) -> Answer:
        """The whole answer of one host to a command."""
        return await self.process.call(command, node=node, **arguments)

    # -- the hosts and their connections -----------------------------------------------------------------------------

    async def link(self, links: int, *, seed: int = 0) -> int:
        """Connect the hosts at random until each has at least ``links`` connections; how many there are in all."""
        return int((await self.process.call("link", links=links, seed=seed))["connections"])

    async def connect(self, node: int, address: str) -> None:
        """Dial an address that ends in `/p2p/`."""
        await self.call(node, "connect", addr=address)

    async def disconnect(self, node: int, peer: str) -> None:
        """Close the connections to a peer."""
        await self.call(node, "disconnect", peer=peer)

    async def kill(self, node: int) -> None:
        """End a host without a word to its neighbours; commands for it fail until it is restarted."""
        await self.call(node, "kill")

    async def restart(self, node: int, *addresses: str) -> None:
        """Bring a killed host back with its key, address and topics, and dial ``addresses``; its counts start anew."""
        await self.call(node, "restart", addrs=list(addresses))

    # -- topics and messages -----------------------------------------------------------------------------------------

    async def subscribe(self, node: int, topic: str, **arguments: Any) -> None:
        """``arguments`` are those of `pubsub_subscribe`."""
        await self.call(node, "pubsub_subscribe", topic=topic, **arguments)

    async def unsubscribe(self, node: int, topic: str) -> None:
        """What was received stays to be asked for."""
        await self.call(node, "pubsub_unsubscribe", topic=topic)

    async def publish(self, node: int, topic: str, data: bytes) -> None:
        """One message, whether the host is subscribed or not."""
        await self.call(node, "pubsub_publish", topic=topic, data=base64.b64encode(data).decode())

    async def publish_all(
        self, topic: str, count: int, *, rate: float = 0.0, size: int = MESSAGE_BYTES, seed: int = 0
    ) -> int:
        """``count`` messages in all from the running hosts in turn, ``rate`` per second (0: no pause); how many went.

        The data begins with ``seed`` and the number of the message, 8 bytes each, big-endian.
        """
        arguments: dict[str, Any] = {"topic": topic, "count": count, "rate": rate, "size": size, "seed": seed}
        return int((await self.process.call("publish_all", **arguments))["sent"])

    async def received(
        self, node: int, topic: str, *, at_least: int = 0, within_s: float = WAIT_S
    ) -> Received:
        """Once there are ``at_least`` so many distinct messages, with their data."""
        limit_ms = round(within_s * 1000)
        answer = await self.call(
            node, "pubsub_received", topic=topic, at_least=at_least, list="data", timeout_ms=limit_ms
        )
        return _received(self.nodes[node].peer, answer)

    async def received_all(
        self, topic: str, *, at_least: int = 0, within_s: float = WAIT_S
    ) -> list[Received]:
        """The same of every running host, without the data."""
        answer = await self.process.call("received_all", within_s=within_s, topic=topic, at_least=at_least)
        return [_received(each["peer"], each) for each in answer["nodes"]]

    # -- inside a host -----------------------------------------------------------------------------------------------

    async def mesh(self, node: int, topic: str, *, at_least: int = 0) -> dict[str, str]:
        """Its neighbours, and the protocol it sends to each by, once there are ``at_least`` so many."""
        answer = await self.call(node, "pubsub_mesh", topic=topic, at_least=at_least)
        return _protocols(answer["mesh"])

    async def meshes(self, topic: str, *, at_least: int = 0) -> dict[str, dict[str, str]]:
        """The same of every running host, by its peer id."""
        answer = await self.process.call("mesh_all", topic=topic, at_least=at_least)
        return {each["peer"]: _protocols(each["mesh"]) for each in answer["nodes"]}

    async def peers(self, node: int, topic: str, *, at_least: int = 0) -> dict[str, str]:
        """The peers it knows to be subscribed, and the protocol it sends to each by."""
        answer = await self.call(node, "pubsub_peers", topic=topic, at_least=at_least)
        return _protocols(answer["peers"])

    async def scores(self, node: int) -> dict[str, Answer]:
        """The parts of every peer's score; fails where settings have no `score`."""
        return dict((await self.call(node, "pubsub_scores"))["scores"])

    async def counters(self, node: int) -> Answer:
        """What its tracer counted."""
        return await self.call(node, "pubsub_counters")


def _protocols(described: Sequence[Answer]) -> dict[str, str]:
    return {str(each["peer"]): str(each["protocol"]) for each in described}


def _received(peer: str, answer: Answer) -> Received:
    return Received(
        peer,
        int(answer["deliveries"]),
        int(answer["distinct"]),
        int(answer["duplicates"]),
        dict(answer["senders"]),
        [base64.b64decode(each["data"]) for each in answer.get("messages", ())],
    )
