"""Asking a rendezvous point: to be found under a namespace, and who else is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from mesh.codecs.rendezvous import (
    MAX_MESSAGE_BYTES,
    MAX_REGISTRATIONS,
    Discover,
    DiscoverResponse,
    Message,
    MessageType,
    Register,
    Status,
    Unregister,
)
from mesh.errors import DecodeError, Malformed, TimedOut, UsageError
from mesh.identity.peer_id import PeerId
from mesh.identity.peer_record import PeerRecord, open_peer_record
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.connection import Connection
from mesh.protocols.rendezvous import DEFAULT_TTL_S, PROTOCOL_ID, Refusal, check_usage

log = logging.getLogger(__name__)

EXCHANGE_S: Final = 30.0
VERIFIED_AT_ONCE: Final = 16
"""Signatures checked before others get their turn."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Found:
    """A registered peer, as its own signed record says; ``ttl_s`` is how long it stays registered."""

    namespace: str
    peer: PeerId
    addresses: tuple[Multiaddr, ...]
    ttl_s: int


@dataclass(frozen=True, slots=True)
class Discovered:
    """One answer; ``cookie`` goes into the next question to learn what came since."""

    peers: tuple[Found, ...]
    cookie: bytes


class Rendezvous(Generic[T]):
    """The client. ``connect`` gives a connection to whatever names a point, ``record`` this node's signed record for it,
    ``keep`` is given every record that was found and verified."""

    def __init__(
        self,
        connect: Callable[[T], Awaitable[Connection]],
        record: Callable[[Connection], bytes],
        keep: Callable[[PeerRecord, bytes], object],
    ) -> None:
        self._connect = connect
        self._record = record
        self._keep = keep

    async def register(self, point: T, namespace: str, ttl_s: int | None = None) -> int:
        """Be found under a namespace for ``ttl_s`` seconds (2 to 72 hours, 2 unless said); the seconds granted.

        To stay registered, do it again before they are over. Raises `Refusal` with the point's reason, `UsageError`,
        `DialError`, `ProtocolNotSupported`, `TimedOut`, `Malformed`.
        """
        check_usage(namespace, ttl_s)
        connection = await self._connect(point)
        register = Register(namespace=namespace, signed_peer_record=self._record(connection), ttl_s=ttl_s)
        answer = await self._exchange(connection, Message(type=MessageType.REGISTER, register=register))
        told = answer.register_response
        if answer.type != MessageType.REGISTER_RESPONSE or told is None:
            raise Malformed("Message.type", None, "the answer is not one to REGISTER")
        _check_status(told.status, told.status_text)
        return told.ttl_s if told.ttl_s is not None else ttl_s or DEFAULT_TTL_S

    async def unregister(self, point: T, namespace: str) -> None:
        """Be found no more. The point does not answer. Raises `UsageError`, `DialError`, `ProtocolNotSupported`."""
        check_usage(namespace)
        connection = await self._connect(point)
        message = Message(type=MessageType.UNREGISTER, unregister=Unregister(namespace=namespace))
        await self._exchange(connection, message, answered=False)

    async def discover(
        self, point: T, namespace: str = "", limit: int | None = None, cookie: bytes = b""
    ) -> Discovered:
        """Who is registered under a namespace, or anywhere without one: at most ``limit`` peers (1,000), and with a
        ``cookie`` those that came after its answer.

        Records that are wrong are left out. Raises as `register` does.
        """
        check_usage(namespace, all_of_them=True)
        if limit is not None and not 1 <= limit <= MAX_REGISTRATIONS:
            raise UsageError(f"a limit is between 1 and {MAX_REGISTRATIONS}, not {limit}")
        connection = await self._connect(point)
        wanted = Discover(namespace=namespace or None, limit=limit, cookie=cookie or None)
        answer = await self._exchange(connection, Message(type=MessageType.DISCOVER, discover=wanted))
        told = answer.discover_response
        if answer.type != MessageType.DISCOVER_RESPONSE or told is None:
            raise Malformed("Message.type", None, "the answer is not one to DISCOVER")
        _check_status(told.status, told.status_text)
        return Discovered(await self._verified(told, namespace, limit), told.cookie or b"")

    async def _verified(self, told: DiscoverResponse, namespace: str, limit: int | None) -> tuple[Found, ...]:
        found: list[Found] = []
        for number, each in enumerate(told.registrations[: limit or MAX_REGISTRATIONS]):
            if number % VERIFIED_AT_ONCE == VERIFIED_AT_ONCE - 1:
                await asyncio.sleep(0)
            space = each.namespace or ""
            if each.signed_peer_record is None or (namespace and space != namespace):
                continue
            try:
                record = open_peer_record(each.signed_peer_record)
            except DecodeError as error:
                log.debug("rendezvous: a record was left out: %s", error)
                continue
            self._keep(record, each.signed_peer_record)
            found.append(Found(space, record.peer_id, record.addresses, each.ttl_s or 0))
        return tuple(found)

    async def _exchange(self, connection: Connection, message: Message, *, answered: bool = True) -> Message:
        """The answer to a message, or the message itself where none is to come."""
        try:
            async with asyncio.timeout(EXCHANGE_S), await connection.open([PROTOCOL_ID]) as stream:
                await stream.write_message(message.encode())
                if not answered:
                    return message
                return Message.decode(await stream.read_message(MAX_MESSAGE_BYTES))
        except TimeoutError:
            raise TimedOut(f"rendezvous with {connection.peer}: no answer within {EXCHANGE_S:g} s") from None


def _check_status(status: int | None, text: str | None) -> None:
    if status is not None and status != Status.OK:
        known = {int(each): each.name for each in Status}.get(int(status), f"status {int(status)}")
        raise Refusal(status, f"{known}{f': {text}' if text else ''}")
