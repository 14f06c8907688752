"""What a node's DHT has to say, as plain objects: for the routes, and for verbs that ask with a node of their own.

Methods take what a request body holds. Those that give an iterator check everything that can be checked at once, so that
a wrong request is refused before the first object.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

from mesh.api.dht_keys import any_key, content_key, value_key
from mesh.api.targets import peer_of
from mesh.errors import NetworkError, RecordNotFound, UsageError
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.node import Node
from mesh.protocols.kademlia import BucketRow, Entry, key_of
from mesh.protocols.kademlia.key import common_prefix_length
from mesh.protocols.kademlia.trace import Answered, Asked, Ended, Failed
from mesh.services.kademlia import Kademlia, Step
from mesh.services.kademlia.writes import Write

ENCODING = "base64"

Answer = dict[str, Any]


class NobodyToAsk(NetworkError):  # noqa: N818 - a condition, as the code names it
    """The routing table is empty."""

    code = "nobody-to-ask"


class DhtAnswers:
    """The DHT of a running node. Everything raises `UsageError` while it is off."""

    def __init__(self, node: Node) -> None:
        self._node = node

    # -- peers and providers -----------------------------------------------------------------------------------------

    async def find_peer(self, peer: str) -> Answer:
        """Where a peer is."""
        wanted = peer_of(peer)
        with self._somebody() as dht:
            found = await dht.find_peer(wanted)
        return {"peer": str(found.peer), "addrs": _texts(found.addresses), "connected": found.connected}

    async def closest(self, key: str, hex: bool = False) -> Answer:
        """The peers nearest to a key that answered, nearest first."""
        target = any_key(key, hex)
        found = await self._node.dht.closest_peers(target)
        if not found:
            self._check_table()
        return {"key": key, "peers": self._listed(found, target)}

    def find_providers(self, key: str, count: int = 20) -> AsyncGenerator[Answer, None]:
        """Providers of some content as they are found, at most ``count`` (0: all)."""
        return self._found_providers(self._node.dht, content_key(key), count)

    async def provide(self, key: str) -> Answer:
        """Announce this node as a provider of some content, now and again until it is withdrawn."""
        return _written(key, await self._node.dht.provide(content_key(key)))

    async def withdraw(self, key: str) -> Answer:
        """Announce some content no more."""
        await self._node.dht.withdraw(content_key(key))
        return {"key": key}

    # -- values ------------------------------------------------------------------------------------------------------

    async def get(self, key: str, hex: bool = False, quorum: int = 0) -> Answer:
        """The best value of a key, in base64."""
        wanted = value_key(key, hex)
        dht = self._node.dht
        if not dht.validators.knows(wanted):
            known = ", ".join(dht.validators.namespaces)
            raise UsageError(f"{key}: its namespace has no validator (known: {known})")
        try:
            with self._somebody():
                value = await dht.get_value(wanted, quorum)
        except RecordNotFound:
            raise RecordNotFound(f"nobody who was asked holds a value of {key}") from None
        return {
            "key": key,
            "value": base64.b64encode(value).decode(),
            "encoding": ENCODING,
            "size": len(value),
        }

    async def put(self, key: str, value: str, hex: bool = False) -> Answer:
        """Keep a value, given in base64, here and at the closest peers."""
        return _written(key, await self._node.dht.put_value(value_key(key, hex), _decoded(value)))

    # -- lookups and the table ---------------------------------------------------------------------------------------

    def query(self, key: str, hex: bool = False) -> AsyncGenerator[Answer, None]:
        """The steps of a lookup as they happen, then its result."""
        return self._traced(self._node.dht, any_key(key, hex))

    def table(self) -> Answer:
        """The routing table by bucket."""
        dht, now = self._node.dht, time.monotonic()
        return {"size": len(dht.table), "buckets": [self._bucket(row, now) for row in dht.rows()]}

    def status(self) -> Answer:
        """What this node is to the network, and what it holds."""
        dht, settings = self._node.dht, self._node.config.kademlia
        rtt_s = dht.round_trips.network_rtt_s
        values, announced = dht.records.strangers, dht.providers.strangers
        return {
            "mode": dht.mode.value,
            "setting": settings.mode,
            "protocol": dht.protocol,
            "addresses": settings.addresses,
            "table_size": len(dht.table),
            "buckets": len(dht.rows()),
            "network_rtt_ms": None if rtt_s is None else round(rtt_s * 1000, 3),
            "values": {
                "held": len(dht.records),
                "of_others": values.entries,
                "bytes_of_others": values.bytes,
            },
            "providers": {
                "held": len(dht.providers),
                "of_others": announced.entries,
                "bytes_of_others": announced.bytes,
            },
        }

    async def refresh(self) -> Answer:
        """Look up the own neighbourhood and every bucket now."""
        await self._node.dht.refresh()
        return {"table_size": len(self._node.dht.table)}

    # -- within ------------------------------------------------------------------------------------------------------

    @contextmanager
    def _somebody(self) -> Iterator[Kademlia]:
        """Nothing found because nobody could be asked is told as that."""
        try:
            yield self._node.dht
        except RecordNotFound:
            self._check_table()
            raise

    def _check_table(self) -> None:
        dht = self._node.dht
        if not len(dht.table):
            raise NobodyToAsk(
                f"nobody to ask: the routing table of {dht.protocol} is empty; connect to a peer that serves it"
            )

    async def _found_providers(self, dht: Kademlia, key: bytes, count: int) -> AsyncGenerator[Answer, None]:
        found = False
        async with aclosing(dht.find_providers(key, count)) as providers:
            async for each in providers:
                found = True
                yield {"type": "provider", "peer": str(each.peer), "addrs": _texts(each.addresses)}
        if not found:
            self._check_table()

    async def _traced(self, dht: Kademlia, target: bytes) -> AsyncGenerator[Answer, None]:
        steps: asyncio.Queue[Step | None] = asyncio.Queue()
        began = time.monotonic()
        running = asyncio.create_task(dht.closest_peers(target, steps.put_nowait), name="dht query")
        running.add_done_callback(lambda _done: steps.put_nowait(None))
        try:
            while (step := await steps.get()) is not None:
                yield _told(step, began, key_of(target))
            closest = await running
        finally:
            running.cancel()
            await asyncio.wait([running])
        if not closest:
            self._check_table()
        yield {"type": "result", "peers": self._listed(closest, target)}

    def _listed(self, peers: Iterable[PeerId], target: bytes) -> list[Answer]:
        return [
            {
                "peer": str(each),
                "prefix_length": common_prefix_length(key_of(each.to_bytes()), key_of(target)),
                "addrs": _texts(self._node.addresses.of(each)),
            }
            for each in peers
        ]

    def _bucket(self, row: BucketRow[PeerId], now: float) -> Answer:
        return {
            "prefix_length": row.prefix_length,
            "number": row.number,
            "failing": row.failing,
            "stale": row.stale,
            "entries": [self._entry(each, now) for each in row.entries],
            "replacements": [str(each) for each in row.replacements],
        }

    def _entry(self, entry: Entry[PeerId], now: float) -> Answer:
        useful_at = entry.useful_at
        return {
            "peer": str(entry.peer),
            "addrs": _texts(self._node.addresses.of(entry.peer)),
            "connected": self._node.swarm.is_connected(entry.peer),
            "age_s": round(now - entry.added_at, 1),
            "useful_age_s": None if useful_at is None else round(now - useful_at, 1),
            "failures": entry.failures,
        }


def _texts(addresses: Iterable[Multiaddr]) -> list[str]:
    return [str(each) for each in addresses]


def _decoded(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise UsageError("the value is not base64") from None


def _written(key: str, written: Write) -> Answer:
    return {
        "key": key,
        "asked": written.asked,
        "accepted": [str(each) for each in written.accepted],
        "refused": [{"peer": str(peer), "cause": cause} for peer, cause in written.refused.items()],
        "reached": written.reached,
    }


def _told(step: Step, began: float, target: int) -> Answer:
    told: Answer = {"type": type(step).__name__.lower(), "at_ms": round(max(step.at - began, 0.0) * 1000, 3)}
    if isinstance(step, Ended):
        return told | {"ending": step.ending.name.lower(), "reason": step.ending.value}
    shared = common_prefix_length(key_of(step.peer.to_bytes()), target)
    told |= {"hop": step.hop, "peer": str(step.peer), "prefix_length": shared}
    if isinstance(step, Asked):
        named_by = None if step.named_by is None else str(step.named_by)
        told |= {"path": step.path, "named_by": named_by, "timeout_ms": round(step.timeout_s * 1000, 3)}
    elif isinstance(step, Answered):
        told |= {"rtt_ms": round(step.rtt_s * 1000, 3), "named": step.named, "new": step.new}
        told["late"] = step.late
    elif isinstance(step, Failed):
        told["cause"] = step.cause
    return told
