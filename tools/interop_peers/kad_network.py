"""A network of Kademlia nodes written in Go, in one process (see the README beside this file)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from tools.interop_peers.building import ensure_built
from tools.interop_peers.process import Answer, PeerProcess

JOIN_S = 120.0
TABLE_S = 10.0
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class KadPeer:
    """A peer and where it can be dialled; the addresses of a network's own nodes end in `/p2p/`."""

    peer: str
    addresses: Sequence[str]


class GoKadNetwork:
    """``nodes`` DHT servers for the length of an `async with`, and connected unless ``join`` is false.

    They listen on ``ips`` in turn. Every method's first argument is the number of a node; methods raise
    `CommandFailed`, `ProcessEnded` and `TimeoutError`. Raises `PeerMissing` at the start where the program cannot be
    built.
    """

    def __init__(
        self,
        nodes: int = 20,
        *,
        prefix: str = "/ipfs",
        ips: Sequence[str] = ("127.0.0.1",),
        join: bool = True,
        lifetime_s: float = 110.0,
    ) -> None:
        self._flags = ["--nodes", str(nodes), "--prefix", prefix, "--ip", ",".join(ips)]
        self._flags += ["--timeout", f"{lifetime_s:g}s"]
        self._join = join
        self._process: PeerProcess | None = None
        self.nodes: Sequence[KadPeer] = ()

    # -- life --------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._process = process = PeerProcess(str(ensure_built()), "kad", *self._flags)
        await process.__aenter__()
        try:
            self.nodes = [_peer(each) for each in process.events[0]["nodes"]]
            if self._join:
                await self.join()
        except BaseException as error:
            await process.__aexit__(type(error), error, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.process.__aexit__(kind, error, traceback)

    @property
    def process(self) -> PeerProcess:
        assert self._process is not None, "the network has not been started"
        return self._process

    async def call(self, node: int, command: str, **arguments: Any) -> Answer:
        """The whole answer to a command, with its `elapsed_ms`."""
        return await self.process.call(command, node=node, **arguments)

    # -- the network and its connections -----------------------------------------------------------------------------

    async def join(self, *, links: int = 3, seed: int = 0) -> None:
        """Each node connects to ``links`` that come before it, chosen by ``seed``; then all refresh their tables."""
        await self.process.call("join", within_s=JOIN_S, links=links, seed=seed)

    async def connect(self, node: int, address: str) -> None:
        """Dial an address that ends in `/p2p/`."""
        await self.call(node, "connect", addr=address)

    async def disconnect(self, node: int, peer: str) -> None:
        """Close the connections to a peer, and forget its addresses and its place in the table."""
        await self.call(node, "disconnect", peer=peer)

    async def close(self, node: int) -> None:
        """End a node for good; later commands for it fail, and the others keep their numbers."""
        await self.call(node, "close")

    # -- lookups -----------------------------------------------------------------------------------------------------

    async def refresh(self, node: int) -> int:
        """Look up the node itself and a key in each bucket; how many peers its table has then."""
        return int((await self.call(node, "refresh"))["size"])

    async def find_peer(self, node: int, peer: str) -> KadPeer:
        """Where a peer is; no lookup if the node is connected to it."""
        return _peer(await self.call(node, "find-peer", peer=peer))

    async def closest_peers(self, node: int, key: bytes) -> list[str]:
        """The 20 peers closest to a key, such as the bytes of a peer id."""
        return list((await self.call(node, "closest-peers", key_hex=key.hex()))["peers"])

    # -- records -----------------------------------------------------------------------------------------------------

    async def put(self, node: int, key: bytes, value: bytes) -> None:
        """Store a value at the closest peers."""
        await self.call(node, "put", key_hex=key.hex(), value_hex=value.hex())

    async def get(self, node: int, key: bytes, *, quorum: int = 0) -> bytes:
        """The best value; a ``quorum`` above 0 ends the lookup after one more answer than that."""
        answer = await self.call(node, "get", key_hex=key.hex(), quorum=quorum)
        return bytes.fromhex(answer["value_hex"])

    async def provide(self, node: int, cid: str) -> None:
        """Announce the node as a provider. Nobody acknowledges it, so it may take effect a moment later."""
        await self.call(node, "provide", cid=cid)

    async def find_providers(self, node: int, cid: str, *, count: int = 20) -> list[KadPeer]:
        """The providers found until there are ``count`` or the lookup is over."""
        answer = await self.call(node, "find-providers", cid=cid, count=count)
        return [_peer(each) for each in answer["providers"]]

    # -- inside a node -----------------------------------------------------------------------------------------------

    async def stored(self, node: int, key: bytes) -> bytes | None:
        """The value a node itself keeps under a key."""
        value = (await self.call(node, "stored", key_hex=key.hex()))["value_hex"]
        return None if value is None else bytes.fromhex(value)

    async def stored_providers(self, node: int, cid: str) -> list[KadPeer]:
        """The providers a node itself was told of."""
        answer = await self.call(node, "stored-providers", cid=cid)
        return [_peer(each) for each in answer["providers"]]

    async def table(self, node: int) -> list[str]:
        """The peers of its routing table."""
        return list((await self.call(node, "table"))["peers"])

    async def until_known(self, node: int, peer: str, *, within_s: float = TABLE_S) -> None:
        """Wait until a node's table has a peer."""
        async with asyncio.timeout(within_s):
            while peer not in await self.table(node):  # noqa: ASYNC110 - the other side is a process
                await asyncio.sleep(_POLL_S)

    async def stats(self, node: int) -> Answer:
        """`connections`, `streams` and `table` of one node; the rest is that of the whole process."""
        return await self.call(node, "stats")


def _peer(described: Answer) -> KadPeer:
    return KadPeer(str(described["peer"]), [str(each) for each in described["addrs"]])
