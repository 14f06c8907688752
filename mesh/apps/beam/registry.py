"""The services of this node: registered, announced again when half their time is over or an address changed, withdrawn.

A registration is on disk before anybody hears of it. What no majority of the DHT took waits in the outbox and is tried
again, at once when a peer comes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from mesh.apps.beam.directory import NOBODY, Directory, Told
from mesh.apps.beam.exposures import Exposure, Exposures, read_exposure
from mesh.apps.beam.gossip import Gossip
from mesh.apps.beam.outbox_keeper import OutboxKeeper
from mesh.apps.beam.store import OWN, BeamStore
from mesh.codecs.beam import MAX_ENDPOINTS
from mesh.errors import DecodeError, MeshError, UsageError
from mesh.multiformats.ip_ranges import is_loopback
from mesh.multiformats.multiaddr import Multiaddr
from mesh.protocols.beam.gossip_message import ANNOUNCE, DEPARTURE, record_body
from mesh.protocols.beam.outbox import REGISTER_SERVICE, WITHDRAW, Operation
from mesh.protocols.beam.service_record import TYPES, ServiceRecord, sign_service
from mesh.protocols.beam.service_table import ServiceTable

if TYPE_CHECKING:
    from mesh.node import Node

log = logging.getLogger(__name__)

MAX_OWN: Final = 256
HEAD_START_S: Final = 0.5
"""Of the DHT before gossip: what all neighbours have to say to each other then would keep it waiting."""
ANSWER_EVERY_S: Final = 5.0
"""A service is announced no more often for those who ask for it."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A service as its owner described it. Without ``endpoints`` they are this node's addresses, whatever they are."""

    service_id: str
    service_type: str = "tcp"
    metadata: Mapping[str, Any] | None = None
    endpoints: tuple[Multiaddr, ...] = ()
    ttl_s: int = 3600
    exposure: Exposure | None = None

    def document(self) -> dict[str, Any]:
        return {
            "service_type": self.service_type,
            "metadata": dict(self.metadata or {}),
            "endpoints": [str(each) for each in self.endpoints],
            "ttl_s": self.ttl_s,
            "exposure": None if self.exposure is None else self.exposure.document(),
        }


@dataclass(frozen=True, slots=True)
class Registered:
    """What became of a registration: ``queued`` says that it will be tried again."""

    record: ServiceRecord
    told: Told
    queued: bool
    took_s: float


@dataclass(slots=True)
class _Own:
    wanted: Wanted
    record: ServiceRecord
    answered: float = -ANSWER_EVERY_S


class Registry:
    """``on_change`` is called with each new record of this node."""

    def __init__(
        self,
        node: Node,
        store: BeamStore,
        table: ServiceTable,
        exposures: Exposures,
        directory: Directory,
        gossip: Gossip,
        outbox: OutboxKeeper,
        on_change: Callable[[ServiceRecord], None],
    ) -> None:
        self._node = node
        self._store = store
        self._table = table
        self._exposures = exposures
        self._directory = directory
        self._gossip = gossip
        self._outbox = outbox
        self._on_change = on_change
        self._own: dict[str, _Own] = {}
        self._newest_seq = 0
        outbox.does(REGISTER_SERVICE, self._tell_again)
        outbox.does(WITHDRAW, self._withdraw_again)

    async def open(self) -> None:
        """Read the services that are kept, and sign them anew. Raises `StorageError`."""
        async for service_id, document in self._store.documents(OWN):
            wanted = _read_wanted(service_id, document)
            if wanted is not None:
                self._hold(wanted)

    @property
    def own(self) -> list[tuple[Wanted, ServiceRecord]]:
        """What this node offers."""
        return [(each.wanted, each.record) for each in self._own.values()]

    def offers(self, service_id: str) -> bool:
        return service_id in self._own

    async def register(self, wanted: Wanted) -> Registered:
        """Offer a service; returns once a majority of the closest peers holds its record, or none can any more.

        Raises `UsageError`, `StorageError`.
        """
        began = time.monotonic()
        if wanted.service_type not in TYPES:
            raise UsageError(f"a service is {', '.join(TYPES)}, not {wanted.service_type[:32]!r}")
        if wanted.service_id not in self._own and len(self._own) >= MAX_OWN:
            raise UsageError(f"this node offers {MAX_OWN} services already")
        own = self._hold(wanted)
        await self._store.put_document(OWN, wanted.service_id, wanted.document())
        await self._outbox.cancel(WITHDRAW, wanted.service_id)
        told = await self._tell(own.record, ANNOUNCE)
        queued = self._directory.on and not told.reached
        if queued:
            await self._outbox.add(REGISTER_SERVICE, wanted.service_id)
        return Registered(own.record, told, queued, time.monotonic() - began)

    async def withdraw(self, service_id: str) -> Told:
        """Offer a service no more. Raises `UsageError` for one that is not offered, `StorageError`."""
        own = self._own.pop(service_id, None)
        if own is None:
            raise UsageError(f"this node does not offer {service_id}")
        self._exposures.remove(service_id)
        await self._store.remove(OWN, service_id)
        await self._outbox.cancel(REGISTER_SERVICE, service_id)
        told = await self._tell(self._withdrawn(own.record), DEPARTURE)
        if self._directory.on and not told.reached:
            await self._outbox.add(WITHDRAW, service_id)
        return told

    async def leave(self) -> None:
        """Tell everybody that this node's services are gone, for now."""
        for own in self._own.values():
            await self._gossip.publish(DEPARTURE, record_body(self._withdrawn(own.record)))

    async def refresh(self) -> None:
        """Announce again what is due: half its time is over, or the endpoints have changed."""
        for own in list(self._own.values()):
            half = own.record.created_ms / 1000 + own.record.ttl_s / 2
            if time.time() < half and self._endpoints(own.wanted) == own.record.endpoints:
                continue
            try:
                await self.register(own.wanted)
            except MeshError as error:
                log.warning("%s cannot be announced again: %s", own.wanted.service_id, error)

    async def answer(self, services: Sequence[str]) -> None:
        """Somebody asks for services: announce those that this node offers, none too often."""
        for service_id in services:
            own = self._own.get(service_id)
            now = time.monotonic()
            if own is not None and now - own.answered >= ANSWER_EVERY_S:
                own.answered = now
                await self._gossip.publish(ANNOUNCE, record_body(own.record))

    # -- within ------------------------------------------------------------------------------------------------------

    def _hold(self, wanted: Wanted) -> _Own:
        record = self._sign(wanted, withdrawn=False)
        own = self._own[wanted.service_id] = _Own(wanted, record)
        if wanted.exposure is not None:
            self._exposures.put(wanted.exposure)
        else:
            self._exposures.remove(wanted.service_id)
        self._table.merge(record, time.time(), wanted=True)
        self._on_change(record)
        return own

    def _withdrawn(self, record: ServiceRecord) -> ServiceRecord:
        made = self._sign(
            Wanted(record.service_id, record.service_type, None, record.endpoints, record.ttl_s),
            withdrawn=True,
        )
        self._table.merge(made, time.time())
        self._on_change(made)
        return made

    def _sign(self, wanted: Wanted, *, withdrawn: bool) -> ServiceRecord:
        now_ms = time.time_ns() // 1_000_000
        self._newest_seq = max(now_ms, self._newest_seq + 1)
        plain = ServiceRecord(
            wanted.service_id,
            wanted.service_type,
            self._node.peer_id,
            self._endpoints(wanted),
            wanted.ttl_s,
            self._newest_seq,
            now_ms,
            wanted.metadata or {},
            withdrawn,
        )
        return sign_service(self._node.key, plain)

    def _endpoints(self, wanted: Wanted) -> tuple[Multiaddr, ...]:
        """The chosen ones, or this node's addresses: loopback ones only where there are no others."""
        if wanted.endpoints:
            return wanted.endpoints
        suffix = Multiaddr.parse(f"/p2p/{self._node.peer_id}")
        own = [each for each in self._node.own_addresses if not each.has("memory")]
        far = [each for each in own if not is_loopback(each)] or own
        return tuple(each / suffix for each in far[:MAX_ENDPOINTS])

    async def _tell(self, record: ServiceRecord, kind: str) -> Told:
        """Keep it in the DHT and say it in gossip: a moment later, so that who hears of it finds it there."""
        async with asyncio.TaskGroup() as group:
            telling = group.create_task(self._announce(record))
            await asyncio.wait([telling], timeout=HEAD_START_S)
            await self._say(record, kind)
        return telling.result()

    async def _say(self, record: ServiceRecord, kind: str) -> None:
        try:
            await self._gossip.publish(kind, record_body(record))
        except MeshError as error:
            log.warning("%s was not told: %s", record.service_id, error)

    async def _announce(self, record: ServiceRecord) -> Told:
        try:
            return await self._directory.announce(record)
        except* MeshError as errors:
            log.info("%s was not kept: %s", record.service_id, errors.exceptions[0])
        return NOBODY

    async def _tell_again(self, operation: Operation) -> bool:
        own = self._own.get(operation.subject)
        return own is None or (await self._announce(own.record)).reached

    async def _withdraw_again(self, operation: Operation) -> bool:
        if operation.subject in self._own:
            return True
        made = self._sign(Wanted(operation.subject, "other"), withdrawn=True)
        return (await self._announce(made)).reached


def _read_wanted(service_id: str, document: Mapping[str, Any]) -> Wanted | None:
    """A service as it was kept; None for what is none."""
    try:
        exposure = document["exposure"]
        return Wanted(
            service_id,
            str(document["service_type"]),
            dict(document["metadata"]),
            tuple(Multiaddr.parse(str(each)) for each in document["endpoints"]),
            int(document["ttl_s"]),
            None if exposure is None else read_exposure(service_id, exposure),
        )
    except (KeyError, TypeError, ValueError, DecodeError):
        return None
