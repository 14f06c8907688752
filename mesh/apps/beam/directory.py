"""The DHT as Beam sees it: signed records written to a majority, read, and judged by whoever holds them.

Reading a name keeps every owner that was named, since the DHT itself gives but one value: whether an owner is the right
one is for `NameBook` to say.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mesh.errors import DecodeError, LimitError, MeshError, RecordNotFound, UsageError
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.protocols.beam.name_record import NameRecord
from mesh.protocols.beam.record_keys import NAMESPACE, name_key, providers_key, service_key
from mesh.protocols.beam.record_rules import check_value, open_record, select_value
from mesh.protocols.beam.service_record import ServiceRecord
from mesh.protocols.kademlia.record_key import InvalidRecordError
from mesh.services.kademlia import Kademlia
from mesh.services.kademlia.writes import Write

if TYPE_CHECKING:
    from mesh.node import Node

log = logging.getLogger(__name__)

MAX_PROVIDERS: Final = 32
ENOUGH_VALUES: Final = 4
"""Further values of a service that end a search: each is signed, and the newest counts."""


@dataclass(frozen=True, slots=True)
class Told:
    """How many peers were asked to keep a record, how many did, and whether that is a majority."""

    asked: int
    accepted: int
    reached: bool


NOBODY: Final = Told(0, 0, False)


class RecordJudge:
    """The validator of the namespace `beam`. ``on_name`` gets every valid record of a name that comes by."""

    def __init__(self, on_name: Callable[[NameRecord], None]) -> None:
        self._on_name = on_name

    def validate(self, key: bytes, value: bytes, now: float) -> None:
        try:
            record = check_value(key, value, now)
        except DecodeError as error:
            raise InvalidRecordError(f"beam: {error}") from None
        if isinstance(record, NameRecord):
            self._on_name(record)

    def select(self, key: bytes, values: Sequence[bytes]) -> int:
        if not values:
            raise UsageError("there is nothing to select from")
        try:
            return select_value(key, values)
        except DecodeError as error:
            raise InvalidRecordError(f"beam: {error}") from None


class Directory:
    """``on_name`` as of `RecordJudge`; ``on_put`` gets each peer that stores something here, ``on_answer`` each whose
    answer to a lookup agreed with others' or contradicted them. Without a DHT nothing is written and nothing found."""

    def __init__(
        self,
        node: Node,
        on_name: Callable[[NameRecord], None],
        on_put: Callable[[PeerId], None],
        on_answer: Callable[[PeerId, bool], None],
    ) -> None:
        self._dht: Kademlia | None = node.dht if node.config.kademlia.mode != "off" else None
        self._judge = RecordJudge(on_name)
        self._on_put = on_put
        self._on_answer = on_answer

    def start(self) -> None:
        """Judge what others store here."""
        if self._dht is not None:
            self._dht.validators.register(NAMESPACE, self._judge)
            self._dht.put_observers.append(self._on_put)
            self._dht.lookup_observers.append(self._on_answer)

    def stop(self) -> None:
        """Take such records no more; safe to call twice."""
        if self._dht is not None:
            self._dht.validators.remove(NAMESPACE, self._judge)
            if self._on_put in self._dht.put_observers:
                self._dht.put_observers.remove(self._on_put)
            if self._on_answer in self._dht.lookup_observers:
                self._dht.lookup_observers.remove(self._on_answer)

    @property
    def on(self) -> bool:
        return self._dht is not None

    @property
    def known_peers(self) -> int:
        """Members of the routing table."""
        return 0 if self._dht is None else len(self._dht.table)

    async def announce(self, record: ServiceRecord) -> Told:
        """Have a service's record kept: under the provider's key, which counts, and as the newest of the service; and be
        named as a provider. Raises `MeshError`."""
        dht = self._dht
        if dht is None or not len(dht.table):
            return NOBODY
        async with asyncio.TaskGroup() as group:
            own = group.create_task(
                self._put(service_key(record.service_id, record.peer_id), record.envelope)
            )
            group.create_task(self._put(service_key(record.service_id), record.envelope))
            provided = group.create_task(self._provide(record))
        written = own.result()
        return Told(written.asked, written.accepted, written.reached and provided.result())

    async def announce_name(self, record: NameRecord) -> Told:
        """Have a name's record kept. Raises `MeshError`."""
        if self._dht is None or not len(self._dht.table):
            return NOBODY
        return await self._put(name_key(record.name), record.envelope)

    async def providers(self, service_id: str) -> dict[PeerId, tuple[Multiaddr, ...]]:
        """Who says that it provides a service, with addresses."""
        found: dict[PeerId, tuple[Multiaddr, ...]] = {}
        if self._dht is not None and len(self._dht.table):
            async for each in self._dht.find_providers(providers_key(service_id), MAX_PROVIDERS):
                found[each.peer] = each.addresses
        return found

    async def record_of(self, service_id: str, peer: PeerId | None = None) -> ServiceRecord | None:
        """The record of a provider, or the newest of a service."""
        record = await self._get(service_key(service_id, peer), ENOUGH_VALUES)
        return record if isinstance(record, ServiceRecord) else None

    async def name(self, name: str) -> None:
        """Look a name up; what is found goes to ``on_name``."""
        await self._get(name_key(name), 0)

    # -- within ------------------------------------------------------------------------------------------------------

    async def _put(self, key: bytes, value: bytes) -> Told:
        assert self._dht is not None
        try:
            return _told(await self._dht.put_value(key, value))
        except (UsageError, LimitError) as error:
            log.debug("%s was not put: %s", key[:80], error)
            return NOBODY

    async def _provide(self, record: ServiceRecord) -> bool:
        assert self._dht is not None
        key = providers_key(record.service_id)
        if record.withdrawn:
            await self._dht.withdraw(key)
            return True
        try:
            return (await self._dht.provide(key)).reached
        except MeshError as error:
            log.debug("%s was not provided: %s", record.service_id, error)
            return False

    async def _get(self, key: bytes, quorum: int) -> ServiceRecord | NameRecord | None:
        if self._dht is None:
            return None
        try:
            return open_record(key, await self._dht.get_value(key, quorum))
        except (RecordNotFound, DecodeError):
            return None


def _told(written: Write) -> Told:
    return Told(written.asked, len(written.accepted), written.reached)
