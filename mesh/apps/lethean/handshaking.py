"""The handshake of either role on a fresh WebSocket, and the dialling before it."""

from __future__ import annotations

import asyncio
import logging
import secrets
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mesh.apps.lethean.carrier import Carrier, dial_carrier
from mesh.apps.lethean.instant import message_id, stamp
from mesh.config import LetheanSection
from mesh.errors import Closed, DialError, DialFailure, TimedOut, UsageError
from mesh.protocols.lethean.compat import Strictness
from mesh.protocols.lethean.handshake import CHALLENGE_BYTES, Accepted, Dialer, Listener, Own, Refused
from mesh.protocols.lethean.identity import Identity
from mesh.telemetry.counters import Counters

log = logging.getLogger(__name__)

DIAL_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Manners:
    """How a node shakes hands. ``admits`` judges who dialled it, ``client_tls`` is for dialling."""

    own: Own
    section: LetheanSection
    strictness: Strictness
    counters: Counters
    admits: Callable[[Identity], bool]
    client_tls: ssl.SSLContext | None


async def judge_dialler(carrier: Carrier, manners: Manners) -> Accepted | None:
    """The listener's part; None when it came to nothing, and TCP has been ended."""
    loop = asyncio.get_running_loop()
    machine = Listener(manners.own, manners.admits, message_id(), loop.time(), manners.strictness)
    counters = manners.counters
    try:
        async with asyncio.timeout(manners.section.handshake_timeout_s):
            machine.receive(await carrier.receive(), loop.time(), stamp())
            for text in machine.output():
                await carrier.send(text.encode(), text=True)
    except (TimeoutError, Closed) as error:
        counters.count(f"lethean.handshake:{'late' if isinstance(error, TimeoutError) else 'ended'}")
        carrier.abort("no handshake in time")
        return None
    (event,) = machine.events()
    if isinstance(event, Refused):
        counters.count(f"lethean.handshake:{'refused' if event.told else 'broken'}")
        log.info("%s: handshake refused: %s", carrier.peer_address, event.reason)
        carrier.end(event.reason)
        return None
    counters.count("lethean.handshake:accepted")
    return event


async def dial_peer(
    address: str, manners: Manners, peer_id: str, peer_key: str, on_made: Callable[[Carrier], None]
) -> tuple[Carrier, Accepted]:
    """Connect to ``host:port`` and do the dialler's part; ``peer_id`` and ``peer_key`` are what is known of who is there.

    ``on_made`` gets the connection before the handshake. Raises `DialError`, `UsageError`.
    """
    host, port = split_address(address)
    section = manners.section
    try:
        carrier = await dial_carrier(
            host,
            port,
            context=manners.client_tls,
            timeout_s=DIAL_S,
            max_message_bytes=section.max_message_bytes,
        )
    except (OSError, Closed, TimedOut) as error:
        cause = getattr(error, "strerror", None) or str(error)
        failure = DialFailure(address, "connect", cause)
        raise DialError(f"{peer_id or address}: cannot be reached", [failure]) from None
    on_made(carrier)
    event: Accepted | Refused
    try:
        async with asyncio.timeout(section.handshake_timeout_s):
            event = await _propose(carrier, manners, peer_id, peer_key)
    except (Closed, TimeoutError) as error:
        event = Refused(str(error) or f"no answer within {section.handshake_timeout_s:g} s")
    except BaseException:
        carrier.abort("the dial was given up")
        raise
    if isinstance(event, Accepted) and event.identity.id == manners.own.identity.id:
        event = Refused("this is our own node")
    if isinstance(event, Refused):
        carrier.end(event.reason)
        failure = DialFailure(address, "handshake", event.reason)
        raise DialError(f"{peer_id or address}: no connection", [failure])
    return carrier, event


async def _propose(carrier: Carrier, manners: Manners, peer_id: str, peer_key: str) -> Accepted | Refused:
    loop = asyncio.get_running_loop()
    challenge = secrets.token_bytes(CHALLENGE_BYTES)
    machine = Dialer(
        manners.own, peer_id, challenge, message_id(), loop.time(), stamp(), manners.strictness, peer_key
    )
    for text in machine.output():
        await carrier.send(text.encode(), text=True)
    machine.receive(await carrier.receive(), loop.time())
    (event,) = machine.events()
    return event


def split_address(address: str) -> tuple[str, int]:
    """Host and port of ``host:port``; an IPv6 host is in brackets. Raises `UsageError`."""
    host, _, port = address.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise UsageError(f"{address!r} is not HOST:PORT")
    return host.removeprefix("[").removesuffix("]"), int(port)
