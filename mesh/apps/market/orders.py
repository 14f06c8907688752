"""Orders, made and taken; kept in the store, where the real node forgets them at its end."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Final

from mesh.apps.market.frames import exchange
from mesh.codecs.market import Frame
from mesh.errors import DecodeError, UsageError
from mesh.identity.peer_id import PeerId
from mesh.protocols.market import PROTOCOL_ID
from mesh.protocols.market.listing import atomic_price
from mesh.protocols.market.orders import (
    KeptOrder,
    Order,
    OrderRefused,
    blank_order,
    create,
    judge_order,
    read_answer,
    write_order,
    write_refusal,
)

if TYPE_CHECKING:
    from mesh.node import Node
    from mesh.storage.datastore import LocalDatastore

PREFIX: Final = b"/orders/"
MAX_ID_BYTES: Final = 256


class Orders:
    """The orders of a node, at most `market.max_orders`; the one that was changed least recently, of the peer that made
    most, makes room. The node's own go last."""

    def __init__(self, node: Node, store: LocalDatastore) -> None:
        self._node = node
        self._store = store
        self._limit = node.config.market.max_orders
        self._kept: dict[str, KeptOrder] = {}
        self._writing = asyncio.Lock()

    async def load(self) -> None:
        """Read what is kept. Raises `StorageError`."""
        found = []
        async for _, value in self._store.scan(PREFIX):
            try:
                kept = KeptOrder.read(value)
            except DecodeError:
                continue
            if kept.order is not None:
                found.append((kept.order.timestamp, kept.order.order_id, kept))
        self._kept = {order_id: kept for _, order_id, kept in sorted(found, key=lambda each: each[:2])}

    @property
    def all(self) -> list[Order]:
        """Every order, the one changed last at the end."""
        return [kept.order for kept in self._kept.values() if kept.order is not None]

    async def answer(self, request: str, data: bytes, remote: PeerId) -> bytes:
        """What a peer is answered. Raises `StorageError`."""
        now = int(time.time())
        try:
            kept = judge_order(request, data, str(remote), str(self._node.peer_id), now, self._kept.get)
            assert kept.order is not None
            if len(kept.order.order_id.encode()) > MAX_ID_BYTES:
                raise OrderRefused("OrderMessage", None, f"order ID is longer than {MAX_ID_BYTES} bytes")
        except OrderRefused as refusal:
            return write_refusal(refusal.reason)
        await self._keep(kept)
        return write_order(kept.order)

    async def create(self, agent_id: str, price: float, seller: str) -> Order:
        """Make an order, at the seller too if it is somebody else. Raises `UsageError`, `OrderRefused`, `DialError`,
        `NetworkError`, `PeerError`, `StorageError`."""
        if not agent_id:
            raise UsageError("agentId is required")
        atomic_price(price)
        own, now = str(self._node.peer_id), int(time.time())
        order = blank_order(str(uuid.uuid4()), agent_id, own, seller, price, now)
        if seller and seller != own:
            frame = Frame("order.create", create(order).write())
            answer = await exchange(self._node, PeerId.parse(seller), PROTOCOL_ID, frame, typed=False)
            order = read_answer(answer.data)
        await self._keep(KeptOrder(order, own))
        return order

    async def _keep(self, kept: KeptOrder) -> None:
        assert kept.order is not None
        async with self._writing:
            gone = self._room_for(kept)
            self._kept.pop(kept.order.order_id, None)
            self._kept[kept.order.order_id] = kept
            changes: dict[bytes, bytes | None] = {_key(order_id): None for order_id in gone}
            await self._store.write(changes | {_key(kept.order.order_id): kept.write()})

    def _room_for(self, kept: KeptOrder) -> list[str]:
        """Orders that make room for one, forgotten already."""
        assert kept.order is not None
        if kept.order.order_id in self._kept:
            return []
        if len(self._kept) < self._limit:
            return []
        counts = Counter(each.made_by for each in self._kept.values())
        counts[str(self._node.peer_id)] = 0
        most = max(counts, key=lambda peer: (counts[peer], peer == kept.made_by))
        gone = next(
            (name for name, each in self._kept.items() if each.made_by == most), next(iter(self._kept))
        )
        del self._kept[gone]
        return [gone]


def _key(order_id: str) -> bytes:
    return PREFIX + order_id.encode()
