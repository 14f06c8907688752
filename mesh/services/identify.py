"""identify and identify/push: who a peer is, what it speaks, where it listens (libp2p identify; RFC 0002, 0003).

On every new connection this node asks at once. What comes back is checked (`PeerInfo`): a signed peer record counts only
when the connection's peer signed it, a public key that is not the connection's is ignored, addresses that cannot be
parsed are skipped.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from mesh.codecs.identify import Identify as Message
from mesh.config import IdentifySection
from mesh.errors import DecodeError, EndOfStream, Malformed, MeshError, TimedOut
from mesh.framing import delimited
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.identity.peer_record import PeerRecord, open_peer_record
from mesh.multiformats.ip_ranges import is_loopback
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.connection import Connection
from mesh.network.stream import Stream

log = logging.getLogger(__name__)

T = TypeVar("T")

PROTOCOL_ID = "/ipfs/id/1.0.0"
PUSH_PROTOCOL_ID = "/ipfs/id/push/1.0.0"
MAX_PART_BYTES = 8192
MAX_PARTS = 9
MAX_ADDRESSES = 500
MAX_PROTOCOLS = 1024
ONE_PART_BYTES = 4096
"""What other implementations read as a single message; the signed record goes into a second part beyond it."""
COMMON_RECORD_BYTES = 1024
PUSHES_AT_ONCE = 32
REMEMBERED = 8
"""Sets of own addresses whose signed record and encoded message are kept."""


@dataclass(frozen=True, slots=True)
class PeerInfo:
    """What a peer said of itself, checked. Addresses are without peer ids."""

    peer: PeerId
    protocol_version: str
    agent_version: str
    observed_addr: Multiaddr | None
    listen_addrs: tuple[Multiaddr, ...]
    protocols: tuple[str, ...]
    signed_record: bool
    record_seq: int = 0
    record: bytes | None = None


class Identify:
    """The service. ``addresses`` gives this node's listen addresses, ``protocols`` what it serves, ``clock`` the wall
    clock in nanoseconds that numbers its peer records."""

    def __init__(
        self,
        key: PrivateKey,
        settings: IdentifySection,
        agent_version: str,
        addresses: Callable[[], Iterable[Multiaddr]],
        protocols: Callable[[], list[str]],
        clock: Callable[[], int],
    ) -> None:
        self._key = key
        self._peer = PeerId.from_public_key(key.public)
        self._public_key = key.public.to_protobuf()
        self._settings = settings
        self._agent_version = settings.agent_version or agent_version
        self._addresses = addresses
        self._protocols = protocols
        self._clock = clock
        self._records: dict[tuple[Multiaddr, ...], bytes] = {}
        self._encoded: dict[tuple[tuple[Multiaddr, ...], tuple[str, ...]], tuple[bytes, bytes]] = {}
        self._owed: set[Connection] = set()
        self.observers: list[Callable[[Connection, PeerInfo], None]] = []

    # -- answering ---------------------------------------------------------------------------------------------------

    async def serve(self, stream: Stream) -> None:
        """Answer one identify stream; whatever the opener sends is ignored."""
        await stream.finish(self._snapshot(stream.connection))

    async def serve_push(self, stream: Stream) -> None:
        """Take what a peer pushes; lists that are missing keep their value."""
        parts = await self._within("push", self._read(stream))
        connection = stream.connection
        info = self._check(connection, parts)
        self._publish(connection, info)

    # -- asking ------------------------------------------------------------------------------------------------------

    async def ask(self, connection: Connection) -> PeerInfo:
        """Ask the peer who it is. Raises `TimedOut`, `ProtocolNotSupported`, `Malformed`, `Closed`."""
        info = await self._within("identify", self._exchange(connection))
        self._publish(connection, info)
        return info

    async def push(self, connections: Iterable[Connection]) -> None:
        """Tell connected peers that our protocols or addresses changed; who is still being asked is told afterwards."""
        gate = asyncio.Semaphore(PUSHES_AT_ONCE)
        await asyncio.gather(*(self._push_one(gate, each) for each in connections))

    async def _push_one(self, gate: asyncio.Semaphore, connection: Connection) -> None:
        asked = connection.identified
        if (
            asked is not None and not asked.done()
        ):  # it may have our old state already, and takes pushes for all we know
            if connection in self._owed:
                return
            self._owed.add(connection)
            try:
                await asyncio.wait([asked])
            finally:
                self._owed.discard(connection)
        if PUSH_PROTOCOL_ID not in (connection.remote_protocols or ()):
            return
        async with gate:
            try:
                await self._within("push", self._send_push(connection))
            except MeshError as error:
                log.debug("push to %s: %s", connection, error)

    async def _send_push(self, connection: Connection) -> None:
        async with await connection.open([PUSH_PROTOCOL_ID], optimistic=True, allow_limited=True) as stream:
            await stream.write(self._snapshot(connection))
            await stream.negotiated()

    async def _exchange(self, connection: Connection) -> PeerInfo:
        # Our side ends with the block: ended before the answer, a refusal would come as a reset that eats its `na`.
        async with await connection.open([PROTOCOL_ID], optimistic=True, allow_limited=True) as stream:
            return self._check(connection, await self._read(stream))

    async def _within(self, what: str, work: Coroutine[Any, Any, T]) -> T:
        limit = self._settings.timeout_s
        try:
            async with asyncio.timeout(limit):
                return await work
        except TimeoutError:
            raise TimedOut(f"{what}: not finished within {limit:g} s") from None

    async def _read(self, stream: Stream) -> Message:
        """All parts up to the end of the stream, merged as protobuf merges."""
        merged: Message | None = None
        for _ in range(MAX_PARTS + 1):
            try:
                part = Message.decode(await stream.read_message(MAX_PART_BYTES))
            except EndOfStream:
                if merged is None:
                    raise
                return merged
            merged = part if merged is None else _merge(merged, part)
        raise Malformed("Identify", None, f"more than {MAX_PARTS} parts")

    # -- this node's own message -------------------------------------------------------------------------------------

    def _snapshot(self, connection: Connection) -> bytes:
        """Our message for this peer: one part if it is small enough, else the signed record in a second one."""
        addresses = self._told(connection)
        protocols = tuple(self._protocols()[:MAX_PROTOCOLS])
        observed = Message(observed_addr=connection.remote.to_bytes())
        before, after = self._encoded.get((addresses, protocols)) or self._encode(addresses, protocols)
        encoded = b"".join((before, observed.encode(), after))
        if len(encoded) <= ONE_PART_BYTES:
            return delimited.encode(encoded)
        first = Message.decode(before)
        first.observed_addr = observed.observed_addr
        second = Message.decode(after)
        first.protocol_version, first.agent_version = second.protocol_version, second.agent_version
        while first.listen_addrs and len(first.encode()) > ONE_PART_BYTES:
            first.listen_addrs.pop()
        second = Message(signed_peer_record=second.signed_peer_record)
        return delimited.encode(first.encode()) + delimited.encode(second.encode())

    def _encode(self, addresses: tuple[Multiaddr, ...], protocols: tuple[str, ...]) -> tuple[bytes, bytes]:
        """What stands before and after the observed address, which alone differs from connection to connection."""
        if len(self._encoded) >= REMEMBERED:
            self._encoded.clear()
        before = Message(
            public_key=self._public_key,
            listen_addrs=[each.to_bytes() for each in addresses],
            protocols=list(protocols),
        )
        after = Message(
            protocol_version=self._settings.protocol_version,
            agent_version=self._agent_version,
            signed_peer_record=self._record(addresses),
        )
        encoded = self._encoded[addresses, protocols] = before.encode(), after.encode()
        return encoded

    def record_for(self, connection: Connection) -> bytes:
        """Our signed peer record, with the addresses that this peer is told."""
        return self._record(self._told(connection))

    def _told(self, connection: Connection) -> tuple[Multiaddr, ...]:
        """Our addresses as far as they mean something to a peer."""
        addresses = tuple(self._addresses())
        if is_loopback(connection.remote):
            return addresses
        return tuple(each for each in addresses if not is_loopback(each))

    def _record(self, addresses: tuple[Multiaddr, ...]) -> bytes:
        sealed = self._records.get(addresses)
        if sealed is None:
            if len(self._records) >= REMEMBERED:
                self._records.clear()
            sealed = PeerRecord(self._peer, self._clock(), addresses).seal(self._key)
            self._records[addresses] = sealed
        return sealed

    # -- the peer's message ------------------------------------------------------------------------------------------

    def _check(self, connection: Connection, message: Message) -> PeerInfo:
        before = self.known(connection)
        record = _own_record(connection, message)
        if record is not None and before is not None and record.seq < before.record_seq:
            return before  # a push has overtaken it, as streams may
        addresses = record.addresses if record else _parse_addresses(message.listen_addrs)
        protocols, _ = _shared(tuple(dict.fromkeys(message.protocols))[:MAX_PROTOCOLS])
        observed = _parse_addresses([message.observed_addr] if message.observed_addr else [])
        return PeerInfo(
            peer=connection.peer,
            protocol_version=_or(message.protocol_version, before, "protocol_version"),
            agent_version=_or(message.agent_version, before, "agent_version"),
            observed_addr=observed[0] if observed else before.observed_addr if before else None,
            listen_addrs=addresses[:MAX_ADDRESSES] or (before.listen_addrs if before else ()),
            protocols=protocols or (before.protocols if before else ()),
            signed_record=record is not None or (before is not None and before.signed_record),
            record_seq=record.seq if record else before.record_seq if before else 0,
            record=message.signed_peer_record if record else before.record if before else None,
        )

    def known(self, connection: Connection) -> PeerInfo | None:
        """What the peer of this connection last said."""
        info = connection.remote_info
        return info if isinstance(info, PeerInfo) else None

    def _publish(self, connection: Connection, info: PeerInfo) -> None:
        connection.remote_info = info
        _, connection.remote_protocols = _shared(info.protocols)
        for listen in self.observers:
            listen(connection, info)


def _merge(into: Message, part: Message) -> Message:
    into.listen_addrs += part.listen_addrs
    into.protocols += part.protocols
    for name in (
        "public_key",
        "observed_addr",
        "protocol_version",
        "agent_version",
        "signed_peer_record",
    ):
        value = getattr(part, name)
        if value is not None:
            setattr(into, name, value)
    return into


def _own_record(connection: Connection, message: Message) -> PeerRecord | None:
    """The signed record, if it is valid and the connection's peer signed it."""
    if not message.signed_peer_record:
        return None
    try:
        record = _verified(message.signed_peer_record)
    except DecodeError as error:
        log.debug("identify: record of %s ignored: %s", connection.peer, error)
        return None
    if record.peer_id != connection.peer:
        log.debug("identify: %s sent the record of %s; ignored", connection.peer, record.peer_id)
        return None
    return record


def _verified(envelope: bytes) -> PeerRecord:
    """Long records are verified each time: remembered, a thousand of them would take hundreds of megabytes."""
    return _verified_record(envelope) if len(envelope) <= COMMON_RECORD_BYTES else open_peer_record(envelope)


@lru_cache(maxsize=1024)
def _verified_record(envelope: bytes) -> PeerRecord:
    """Peers send the same record on each connection; what was verified once needs no second look."""
    return open_peer_record(envelope)


@lru_cache(maxsize=64)
def _shared(protocols: tuple[str, ...]) -> tuple[tuple[str, ...], frozenset[str]]:
    """One copy of each list, and its set: most peers of a network serve the same protocols."""
    return protocols, frozenset(protocols)


def _parse_addresses(encoded: Iterable[bytes]) -> tuple[Multiaddr, ...]:
    addresses: dict[Multiaddr, None] = {}
    for data in encoded:
        try:
            address = Multiaddr.from_bytes(data).without_peer()
        except DecodeError:
            continue
        if address:
            addresses[address] = None
    return tuple(addresses)


def _or(value: str | None, before: PeerInfo | None, name: str) -> str:
    if value is not None:
        return value
    return str(getattr(before, name)) if before is not None else ""
