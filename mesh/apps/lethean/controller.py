"""What a controller asks of workers, one of them or the best that can be reached."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar, cast

from mesh.apps.lethean.keeper import split_peer
from mesh.apps.lethean.link import Link
from mesh.apps.lethean.node import LetheanNode
from mesh.apps.lethean.requests import retryable
from mesh.errors import DialError, DialFailure, MeshError, NetworkError, UsageError
from mesh.protocols.lethean.messages import (
    Deploy,
    DeployAck,
    GetLogs,
    Logs,
    MinerAck,
    StartMiner,
    Stats,
    StopMiner,
)

BEST: Final = "best"
"""In place of a peer: the best worker, and the next best when it cannot be reached or falls silent."""
_NODE_ID: Final = re.compile(r"[0-9a-f]{32}")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a call: ``peer`` did it; ``passed_over`` are those that were tried before, and why they failed."""

    peer: str
    result: object
    passed_over: Mapping[str, str] = field(default_factory=dict)


class Controller:
    """Calls over a node's links. A target is a node id, ``HOST:PORT``, ``NODE-ID@HOST:PORT``, or `BEST`."""

    def __init__(self, node: LetheanNode) -> None:
        self._node = node

    async def link_to(self, target: str) -> Link:
        """The connection to a target, dialled if need be. Raises `DialError`, `UsageError`."""
        if _NODE_ID.fullmatch(target):
            return await self._node.reach(target)
        peer_id, address = split_peer(target)
        known = self._node.registry.get(peer_id) if peer_id else None
        return await self._node.connect(address, peer_id, "" if known is None else known.public_key)

    async def ping(self, link: Link) -> float:
        """The round trip in milliseconds."""
        return await self._node.measure(link)

    async def stats(self, link: Link) -> Stats:
        return cast("Stats", await self._node.ask(link, "get_stats", None))

    async def logs(self, link: Link, miner: str, lines: int, since_ms: int = 0) -> Logs:
        """The last lines of a miner, of those after ``since_ms`` if that is above 0."""
        asked = GetLogs(miner_name=miner, lines=lines, since_ms=since_ms)
        return cast("Logs", await self._node.ask(link, "get_logs", asked))

    async def start(self, link: Link, kind: str, config: str | None = None, profile: str = "") -> str:
        """Start a miner with JSON text or a profile of the worker's; its name."""
        if not kind:
            raise UsageError("a miner type is required")
        asked = StartMiner(miner_type=kind, profile_id=profile, config=config)
        return cast("MinerAck", await self._node.ask(link, "start_miner", asked)).miner_name

    async def stop(self, link: Link, miner: str) -> str:
        """Stop a miner; its name."""
        asked = StopMiner(miner_name=miner)
        return cast("MinerAck", await self._node.ask(link, "stop_miner", asked)).miner_name

    async def deploy(self, link: Link, bundle: Deploy) -> str:
        """Send a bundle that was made for this link; its name."""
        return cast("DeployAck", await self._node.ask(link, "deploy", bundle)).name

    async def all_stats(self) -> dict[str, Stats]:
        """Of every connected peer at once; those that fail are left out."""
        links = list(self._node.links.values())
        found = await asyncio.gather(*(self.stats(link) for link in links), return_exceptions=True)
        for each in found:
            if isinstance(each, BaseException) and not isinstance(each, MeshError):
                raise each
        return {
            link.peer.id: each for link, each in zip(links, found, strict=True) if isinstance(each, Stats)
        }

    async def on(self, target: str, call: Callable[[Link], Awaitable[T]]) -> Done:
        """Do a call on a target. With `BEST`, a worker that cannot be reached or ends before its answer gives way to the
        next: what it was asked may have been done all the same. Raises what the call raises, or `DialError`."""
        if target != BEST:
            link = await self.link_to(target)
            return Done(link.peer.id, await call(link))
        passed_over: dict[str, str] = {}
        for peer_id in self.workers():
            try:
                link = await self._node.reach(peer_id)
                return Done(peer_id, await call(link), passed_over)
            except DialError as error:
                passed_over[peer_id] = "; ".join(f"{each.stage}: {each.cause}" for each in error.failures)
            except NetworkError as error:
                if not retryable(error):
                    raise
                passed_over[peer_id] = str(error)
        failures = [DialFailure(peer_id, "worker", cause) for peer_id, cause in passed_over.items()]
        raise DialError("no worker could do it" if failures else "no worker is known", failures)

    def workers(self) -> list[str]:
        """Known peers that may work and can be reached, the best first."""
        registry = self._node.registry
        return [
            peer.id
            for peer in registry.nearest(len(registry))
            if peer.role != "controller" and (peer.address or peer.id in self._node.links)
        ]
