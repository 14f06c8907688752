"""Names of this node: claimed, announced again, shared with other providers, given away, taken over, given up."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import logging
import time
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from mesh.apps.beam.directory import NOBODY, Directory, Told
from mesh.apps.beam.gossip import Gossip
from mesh.apps.beam.name_book import NameBook
from mesh.apps.beam.outbox_keeper import OutboxKeeper
from mesh.apps.beam.registry import HEAD_START_S
from mesh.config import BeamSection
from mesh.errors import DecodeError, MeshError, UsageError
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.protocols.beam.gossip_message import ANNOUNCE, DEPARTURE, record_body
from mesh.protocols.beam.name_record import (
    NameRecord,
    open_name,
    open_transfer,
    sign_name,
    sign_transfer,
)
from mesh.protocols.beam.outbox import REGISTER_NAME, Operation

if TYPE_CHECKING:
    from mesh.node import Node

log = logging.getLogger(__name__)

MAX_ADDRESSES: Final = 8
MAX_TOKEN_CHARACTERS: Final = 32 * 1024


class NameTaken(UsageError):  # noqa: N818 - a condition, as the code names it
    """The name belongs to somebody else, who has not named this node as a provider."""

    code = "name-taken"


@dataclass(frozen=True, slots=True)
class Claimed:
    """A name as it stands: ``own`` says whether it is this node's, else this node may serve it. ``told`` and ``queued``
    as of a registration."""

    record: NameRecord
    own: bool
    told: Told
    queued: bool


class Ownership:
    """``book`` keeps the records."""

    def __init__(
        self,
        node: Node,
        settings: BeamSection,
        book: NameBook,
        directory: Directory,
        gossip: Gossip,
        outbox: OutboxKeeper,
    ) -> None:
        self._node = node
        self._settings = settings
        self._book = book
        self._directory = directory
        self._gossip = gossip
        self._outbox = outbox
        outbox.does(REGISTER_NAME, self._tell_again)

    async def claim(
        self, name: str, service_id: str, *, description: str = "", tags: tuple[str, ...] = ()
    ) -> Claimed:
        """Have a name for a service, or find that this node may serve it for its owner.

        Raises `NameTaken`, `NameDisputed`, `UsageError`, `StorageError`.
        """
        record = await self.look(name, service_id, description=description, tags=tags)
        if record.owner != self._node.peer_id:
            return Claimed(record, False, NOBODY, False)
        return await self.publish(record)

    async def look(
        self, name: str, service_id: str, *, description: str = "", tags: tuple[str, ...] = ()
    ) -> NameRecord:
        """The first half of `claim`: the record that is to be published, or that of the owner who lets this node serve.
        Raises as `claim`."""
        own = self._book.own.get(name)
        if own is not None and own.counts(time.time()):
            changed = replace(own, tunnel_id=service_id, description=description or own.description)
            return replace(changed, tags=tags or own.tags)
        if self._directory.on:
            await self._directory.name(name)
        held = await self._book.look(name)
        if held is not None and held.owner != self._node.peer_id:
            if not held.admits(self._node.peer_id):
                raise NameTaken(
                    f"the name {name} belongs to {held.owner}: its owner can let this node serve it: "
                    f"mesh beam names allow {name} {self._node.peer_id}"
                )
            return held
        now_ms = time.time_ns() // 1_000_000
        return NameRecord(
            uuid.uuid4().bytes,
            name,
            self._node.peer_id,
            service_id,
            now_ms,
            now_ms,
            self._settings.name_ttl_s,
            0 if own is None else own.version,
            description=description,
            tags=tags,
        )

    async def allow(self, name: str, peer: PeerId, *, allowed: bool = True) -> Claimed:
        """Let another peer serve a name, or not any more. Raises `UsageError`, `StorageError`."""
        own = self._owned(name)
        others = [each for each in own.providers if each != peer]
        return await self.publish(replace(own, providers=(*others, peer) if allowed else tuple(others)))

    async def update(
        self,
        name: str,
        *,
        ttl_s: int | None = None,
        description: str | None = None,
        tags: tuple[str, ...] | None = None,
    ) -> Claimed:
        """Change what the record of a name says; what is not given stays. Raises `UsageError`, `StorageError`."""
        own = self._owned(name)
        changed = replace(
            own,
            ttl_s=own.ttl_s if ttl_s is None else ttl_s,
            description=own.description if description is None else description,
            tags=own.tags if tags is None else tags,
        )
        return await self.publish(changed)

    async def transfer(self, name: str, new_owner: PeerId) -> str:
        """Give a name away; the text with which the new owner takes it over. Until then nobody else can have it, and this
        node announces it no more. Raises `UsageError`, `StorageError`."""
        own = self._owned(name)
        given = sign_transfer(self._node.key, own, new_owner, time.time_ns() // 1_000_000)
        await self._book.give_up(name)
        await self._outbox.cancel(REGISTER_NAME, name)
        await self._book.trust(name, new_owner)
        document = {"record": _text_of(own.envelope), "transfer": _text_of(given.envelope)}
        return base64.urlsafe_b64encode(json.dumps(document).encode()).decode()

    async def accept(self, token: str) -> Claimed:
        """Take a name over. Raises `UsageError` for a text that gives this node nothing, `StorageError`."""
        record, transfer = _read_token(token)
        if transfer.new_owner != self._node.peer_id or transfer.previous_owner != record.owner:
            raise UsageError(f"this gives {transfer.name} to {transfer.new_owner}, not to this node")
        taken = replace(
            record,
            owner=self._node.peer_id,
            version=max(record.version, transfer.version),
            ttl_s=self._settings.name_ttl_s,
            providers=(),
            transfers=(*record.transfers, transfer),
            revoked=False,
        )
        return await self.publish(taken)

    async def revoke(self, name: str) -> Told:
        """Give a name up: anybody may have it. Raises `UsageError`, `StorageError`."""
        own = self._owned(name)
        made = self._sign(replace(own, revoked=True))
        self._book.hear(made)
        await self._book.give_up(name)
        await self._book.forget(name)
        await self._outbox.cancel(REGISTER_NAME, name)
        await self._say(made, DEPARTURE)
        return await self._announce(made)

    async def refresh(self) -> None:
        """Announce again the names whose time is half over."""
        for own in list(self._book.own.values()):
            if time.time() >= own.updated_ms / 1000 + own.ttl_s / 2:
                try:
                    await self.publish(own)
                except MeshError as error:
                    log.warning("the name %s cannot be announced again: %s", own.name, error)

    # -- within ------------------------------------------------------------------------------------------------------

    def _owned(self, name: str) -> NameRecord:
        own = self._book.own.get(name)
        if own is None:
            raise UsageError(f"the name {name} is not of this node")
        return own

    def _sign(self, record: NameRecord) -> NameRecord:
        now_ms = max(time.time_ns() // 1_000_000, record.updated_ms)
        return sign_name(
            self._node.key,
            replace(record, version=record.version + 1, updated_ms=now_ms, addresses=self._addresses()),
        )

    async def publish(self, record: NameRecord) -> Claimed:
        """Sign a record of this node as its newest, keep it and tell it. Raises `UsageError`, `StorageError`."""
        made = self._sign(record)
        await self._book.keep(made)
        async with asyncio.TaskGroup() as group:
            telling = group.create_task(self._announce(made))
            await asyncio.wait([telling], timeout=HEAD_START_S)
            await self._say(made, ANNOUNCE)
        told = telling.result()
        queued = self._directory.on and not told.reached
        if queued:
            await self._outbox.add(REGISTER_NAME, made.name)
        return Claimed(made, True, told, queued)

    async def _say(self, record: NameRecord, kind: str) -> None:
        try:
            await self._gossip.publish(kind, record_body(record))
        except MeshError as error:
            log.warning("the name %s was not told: %s", record.name, error)

    async def _announce(self, record: NameRecord) -> Told:
        try:
            return await self._directory.announce_name(record)
        except MeshError as error:
            log.info("the name %s was not kept: %s", record.name, error)
            return NOBODY

    async def _tell_again(self, operation: Operation) -> bool:
        own = self._book.own.get(operation.subject)
        return own is None or (await self._announce(own)).reached

    def _addresses(self) -> tuple[Multiaddr, ...]:
        suffix = Multiaddr.parse(f"/p2p/{self._node.peer_id}")
        own = [each for each in self._node.own_addresses if not each.has("memory")]
        return tuple(each / suffix for each in own[:MAX_ADDRESSES])


def _text_of(envelope: bytes) -> str:
    return base64.b64encode(envelope).decode()


def _read_token(token: str) -> tuple[NameRecord, Any]:
    try:
        found = json.loads(base64.urlsafe_b64decode(token[:MAX_TOKEN_CHARACTERS].strip()))
        record = open_name(base64.b64decode(found["record"], validate=True))
        transfer = open_transfer(base64.b64decode(found["transfer"], validate=True))
    except (ValueError, KeyError, TypeError, binascii.Error, DecodeError) as error:
        raise UsageError(f"this is no transfer of a name: {error}") from None
    if record.name != transfer.name:
        raise UsageError("this is no transfer of a name: two names")
    return record, transfer
