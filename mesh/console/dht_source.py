"""Who asks the DHT: the running daemon, or a throw-away client that starts from given peers.

Both take the same requests and give the same objects.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from mesh.console.probes import asking_config, daemon_for, quiet
from mesh.console.running import run_async
from mesh.errors import DialError, DialFailure, MeshError

if TYPE_CHECKING:
    from mesh.config import Config
    from mesh.console.client import Daemon
    from mesh.multiformats.multiaddr import Multiaddr
    from mesh.node import Node

Show = Callable[[Mapping[str, Any]], None]

STAGE: Final = "kad-dht"
NOWHERE_TO_START: Final = (
    "no daemon runs here and there is no peer to start from: give one with --peer ADDR, set network.bootstrap, "
    "or start a daemon with: mesh daemon --dht client"
)


class Source(Protocol):
    """Takes requests as the control API does: a verb and its body."""

    def ask(self, verb: str, body: dict[str, Any]) -> Mapping[str, Any]:
        """The answer to one request."""

    def lines(self, verb: str, body: dict[str, Any], show: Show) -> None:
        """Show each object of a streamed answer as it comes."""


def source_for(path: Path | None, direct: bool, peers: Sequence[str]) -> Source:
    """The daemon if one runs, unless a node of its own is wished for or ``peers`` are given for it to start from.

    Raises `UsageError` when such a node would have nobody to start from.
    """
    daemon = daemon_for(path, direct or bool(peers))
    if daemon is not None:
        return ThroughDaemon(daemon)
    config, addresses = asking_config(path, peers, "--peer", NOWHERE_TO_START)
    quieted = quiet(config)
    return OwnNode(replace(quieted, kademlia=replace(config.kademlia, mode="client")), addresses)


class ThroughDaemon:
    """The running daemon asks."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def ask(self, verb: str, body: dict[str, Any]) -> Mapping[str, Any]:
        return self._daemon.ask("POST", f"/dht/{verb}", body)

    def lines(self, verb: str, body: dict[str, Any], show: Show) -> None:
        for line in self._daemon.lines(f"/dht/{verb}", body):
            show(line)


class OwnNode:
    """A client with an identity of its own, which ends with the request."""

    def __init__(self, config: Config, addresses: Sequence[Multiaddr]) -> None:
        self._config = config
        self._addresses = addresses

    def ask(self, verb: str, body: dict[str, Any]) -> Mapping[str, Any]:
        return run_async(self._ask(verb, body))

    def lines(self, verb: str, body: dict[str, Any], show: Show) -> None:
        run_async(self._lines(verb, body, show))

    async def _ask(self, verb: str, body: dict[str, Any]) -> Mapping[str, Any]:
        async with joined(self._config, self._addresses) as node:
            return await self._method(node, verb)(**body)  # type: ignore[no-any-return]

    async def _lines(self, verb: str, body: dict[str, Any], show: Show) -> None:
        async with (
            joined(self._config, self._addresses) as node,
            aclosing(self._method(node, verb)(**body)) as found,
        ):
            async for each in found:
                show(each)

    def _method(self, node: Node, verb: str) -> Any:
        from mesh.api.dht_answers import DhtAnswers

        return getattr(DhtAnswers(node), verb.replace("-", "_"))


@asynccontextmanager
async def joined(config: Config, addresses: Sequence[Multiaddr]) -> AsyncIterator[Node]:
    """A node that at least one of these peers has answered over the DHT's protocol; the others may still come.

    Raises `DialError` with the stage and cause of each when none did.
    """
    from mesh.node import Node

    async with Node(config) as node:
        joining = {asyncio.create_task(_join(node, each), name="joining") for each in addresses}
        try:
            await _first(set(joining))
            yield node
        finally:
            for task in joining:
                task.cancel()
            await asyncio.wait(joining)


async def _first(joining: set[asyncio.Task[list[DialFailure]]]) -> None:
    """Return when one of them has joined."""
    failures: list[DialFailure] = []
    while joining:
        done, joining = await asyncio.wait(joining, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            failed = task.result()
            if not failed:
                return
            failures += failed
    raise DialError("none of the peers to start from could be used:", failures)


async def _join(node: Node, address: Multiaddr) -> list[DialFailure]:
    """Connect to a peer and have it in the routing table; else why not."""
    try:
        connection = await node.connect(address)
    except DialError as error:
        return list(error.failures) or [DialFailure(str(address), "dial", str(error))]
    except MeshError as error:
        return [DialFailure(str(address), "dial", str(error))]
    if connection.identified is not None:
        await asyncio.wait([connection.identified])
    dht, peer = node.dht, connection.peer
    if connection.remote_protocols is not None and dht.protocol not in connection.remote_protocols:
        return [DialFailure(str(address), STAGE, f"the peer does not serve {dht.protocol}")]
    if not await dht.check(peer):
        return [DialFailure(str(address), STAGE, f"the peer did not answer over {dht.protocol}")]
    if peer not in dht.table:
        cause = f"its address does not belong to the network {dht.protocol} (kademlia.addresses)"
        return [DialFailure(str(address), STAGE, cause)]
    return []
