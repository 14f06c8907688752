"""What may listen beside the mesh's own port: UEPS packets and Levin, each on a TCP port of its own.

Both are off unless the settings open them. Go ships neither handlers for packets nor commands for Levin: a packet goes to
the handler that an application registered for its intent, and is otherwise dropped; a Levin peer gets handshake, ping and
timed sync, and a refusal of everything else.
"""

from __future__ import annotations

import logging
import secrets
import stat
import sys
from typing import Final

from mesh.apps.lethean.handshaking import split_address
from mesh.apps.lethean.levin_peer import LevinListener, LevinPeer
from mesh.apps.lethean.packets import Handlers, PacketListener
from mesh.codecs.levin import ReturnCode
from mesh.config import LetheanSection
from mesh.errors import Closed, ConfigError
from mesh.network.scope import Scope
from mesh.protocols.lethean.levin import Asked, LevinNode, Notified, Synced
from mesh.telemetry.counters import Counters

log = logging.getLogger(__name__)

MIN_SECRET_BYTES: Final = 16
MAX_SECRET_BYTES: Final = 4096
TOP_ID_BYTES: Final = 32


class SideListeners:
    """Those of the settings, for the length of a node. Raises `ConfigError` for settings that do not go together."""

    def __init__(self, section: LetheanSection, handlers: Handlers, counters: Counters) -> None:
        self._section = section
        self._handlers = handlers
        self._counters = counters
        self._secret = _secret_of(section)
        if section.levin_listen != "off" and not section.levin_network:
            raise ConfigError(
                "lethean.levin_network is not set: a Levin listener needs the id of its network"
            )
        self._packets: PacketListener | None = None
        self._levin: LevinListener | None = None
        self._scope: Scope | None = None

    async def start(self, scope: Scope) -> None:
        """Open them; what they do with peers ends with ``scope``. Raises `AddressInUse`, `NetworkError`."""
        section = self._section
        self._scope = scope
        if section.ueps_listen != "off":
            self._packets = PacketListener(self._secret, self._handlers, self._counters)
            await self._packets.start(*split_address(section.ueps_listen))
        if section.levin_listen != "off":
            own = LevinNode(
                secrets.randbits(64), bytes.fromhex(section.levin_network), 0, 0, bytes(TOP_ID_BYTES), 0
            )
            levin = LevinListener(own, self._welcome, max_payload_bytes=section.levin_max_payload_bytes)
            self._levin = levin
            await levin.start(*split_address(section.levin_listen))

    async def close(self) -> None:
        """End them and their connections."""
        for listener in (self._packets, self._levin):
            if listener is not None:
                await listener.close()
        self._packets = self._levin = None

    @property
    def ueps_address(self) -> str:
        """``host:port`` where packets are taken; empty when they are not."""
        return "" if self._packets is None else _at(self._section.ueps_listen, self._packets.port)

    @property
    def levin_address(self) -> str:
        """``host:port`` where Levin peers are taken; empty when they are not."""
        return "" if self._levin is None else _at(self._section.levin_listen, self._levin.port)

    def _welcome(self, peer: LevinPeer) -> None:
        scope = self._scope
        if scope is not None and not scope.closing:
            self._count("connected")
            scope.spawn(self._attend(peer), "Levin peer")

    async def _attend(self, peer: LevinPeer) -> None:
        """A peer's life after its handshake."""
        try:
            while True:
                event = await peer.next_event()
                if isinstance(event, Asked):
                    self._count("refused")
                    peer.respond(event.command, b"", ReturnCode.CONNECTION)
                elif isinstance(event, Notified):
                    self._count("ignored")
                elif isinstance(event, Synced):
                    self._count("synced")
                    log.info("a Levin peer is at height %d", event.height)
        except Closed as error:
            self._count("ended")
            log.info("%s", error)
        finally:
            await peer.close()

    def _count(self, what: str) -> None:
        self._counters.count(f"lethean.levin:{what}")


def _at(listen: str, port: int) -> str:
    return f"{listen.rpartition(':')[0]}:{port}"


def _secret_of(section: LetheanSection) -> bytes:
    path = section.ueps_secret
    if section.ueps_listen == "off":
        return b""
    if path is None:
        raise ConfigError(
            "lethean.ueps_secret is not set: packets are verified under the secret in that file"
        )
    try:
        mode = path.stat().st_mode
        with path.open("rb") as file:
            secret = file.read(MAX_SECRET_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"lethean.ueps_secret {path}: cannot be read: {error.strerror or error}") from None
    if sys.platform != "win32" and stat.S_IMODE(mode) & 0o077:
        raise ConfigError(f"lethean.ueps_secret {path}: other users can read it; run: chmod 600 {path}")
    if not MIN_SECRET_BYTES <= len(secret) <= MAX_SECRET_BYTES:
        raise ConfigError(
            f"lethean.ueps_secret {path}: a secret has {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes"
        )
    return secret
