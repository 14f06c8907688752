"""The Lethean mesh as the settings want it: identity, peers, worker, supervisor and node put together."""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from mesh.apps.lethean.controller import Controller
from mesh.apps.lethean.deployments import Deployments
from mesh.apps.lethean.duplicates import Duplicates
from mesh.apps.lethean.identity_files import LetheanPaths, load_or_create
from mesh.apps.lethean.instant import stamp
from mesh.apps.lethean.keeper import Keeper
from mesh.apps.lethean.node import LetheanNode
from mesh.apps.lethean.packets import Handlers, MeshPackets
from mesh.apps.lethean.peers_file import PeersFile
from mesh.apps.lethean.permissions import Permissions
from mesh.apps.lethean.profiles import ProfileFolder
from mesh.apps.lethean.programs import load_programs
from mesh.apps.lethean.side_listeners import SideListeners
from mesh.apps.lethean.supervisor import Supervisor
from mesh.apps.lethean.worker import Worker
from mesh.apps.lifetime import Lifetime
from mesh.config import LetheanSection
from mesh.errors import ConfigError, DecodeError, StorageError, UsageError
from mesh.protocols.lethean.compat import strictness
from mesh.protocols.lethean.dispatcher import Dispatcher
from mesh.protocols.lethean.handshake import Own
from mesh.protocols.lethean.identity import KEY_BYTES, NodeKey, read_public_key
from mesh.protocols.lethean.names import MAX_NAME_BYTES
from mesh.protocols.lethean.registry import SAVE_DELAY_S, PeerRegistry
from mesh.telemetry.counters import Counters

log = logging.getLogger(__name__)

FOLDER: Final = "lethean"
TLS_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2; those of TLS 1.3 are beside them."""


def paths_in(folder: Path) -> LetheanPaths:
    """Where the files of the mesh are in a data folder."""
    home = folder / FOLDER
    return LetheanPaths(home / "private.key", home / "node.json", home / "peers.json", home / "miners")


def identity_of(section: LetheanSection, folder: Path | None) -> Own:
    """The identity of a data folder, made on first use; without one, an identity to throw away. Raises `ConfigError`."""
    name = section.name or _host_name()
    fresh = secrets.token_bytes(KEY_BYTES)
    if folder is None:
        key = NodeKey(fresh)
        return Own(key, key.identity(name, stamp(), section.role))
    found = load_or_create(paths_in(folder), fresh, name, stamp(), section.role)
    found.identity.role = section.role
    if section.name:
        found.identity.name = section.name
    return found


class LetheanService(Lifetime):
    """A node with all that belongs to it, for the length of an `async with`.

    ``handlers`` takes those of UEPS packets by intent, from other nodes and over TCP; ``packets`` sends to other nodes.
    ``folder`` is the data folder; without one nothing is stored. ``answering`` false makes a controller for one errand:
    it has no worker, and leaves the table of seen messages to the node that serves from the same folder.
    """

    def __init__(
        self,
        section: LetheanSection,
        folder: Path | None,
        counters: Counters | None = None,
        *,
        answering: bool = True,
    ) -> None:
        """Raises `ConfigError`, `StorageError`."""
        self.section = section
        self.own = identity_of(section, folder)
        answering = answering and section.role != "controller"
        paths = None if folder is None else paths_in(folder)
        strict = strictness(section.compat)
        self.registry = PeerRegistry(strict, section.max_peers)
        self.peers_file = None if paths is None else PeersFile(paths.peers, self.registry)
        if self.peers_file is not None:
            self.peers_file.load()
            if self.peers_file.problem:
                log.warning("%s", self.peers_file.problem)
        self.supervisor: Supervisor | None = None
        self._deployments: Deployments | None = None
        worker = None
        if answering:
            self.supervisor = Supervisor(load_programs(section.programs), section.max_miners)
            self._deployments = Deployments(None if paths is None else paths.miners, strict)
            worker = Worker(
                self.own.identity.id,
                self.own.identity.name,
                Permissions(section.grants, enforced=section.authorise),
                self._deployments,
                miners=self.supervisor,
                profiles=None
                if folder is None
                else ProfileFolder(folder / FOLDER / "profiles", section.max_profiles),
            )
        seen = None
        if answering and folder is not None:
            seen = Duplicates(folder / FOLDER / "seen.sqlite")
        self.node = LetheanNode(
            section,
            self.own,
            registry=self.registry,
            worker=worker,
            seen=seen,
            counters=counters,
            server_tls=_server_tls(section),
            client_tls=_client_tls(section),
        )
        self.handlers: Handlers = Dispatcher()
        self.packets = MeshPackets(self.node, self.handlers)
        self.side = SideListeners(section, self.handlers, self.node.counters)
        self.controller = Controller(self.node)

    async def start(self) -> None:
        """Listen and dial as the settings say. Raises `AddressInUse`, `NetworkError`."""
        await self.node.start()
        await self.side.start(self.node.scope)
        Keeper(self.node, self.section.peers).start()
        if self.peers_file is not None:
            self.node.scope.spawn(self._save_peers(self.peers_file), "saving of peers")

    async def stop(self) -> None:
        """End connections, miners and files."""
        await self.side.close()
        await self.node.stop()
        if self.supervisor is not None:
            await self.supervisor.close()
        if self._deployments is not None:
            self._deployments.close()
        if self.peers_file is not None:
            self.peers_file.close(time.monotonic())

    def abandon(self) -> None:
        """Let go of a service that was made to look at its files and never started."""
        self.node.abandon()
        if self._deployments is not None:
            self._deployments.close()

    def allow(self, public_key: str) -> None:
        """Let a key connect, now and after a new start. Raises `UsageError`, `StorageError`."""
        try:
            read_public_key(public_key)
        except DecodeError as error:
            raise UsageError(f"{public_key[:64]!r} is no public key: {error.reason}") from None
        if self.peers_file is None:
            self.registry.allowlist.allow(public_key)
        else:
            self.peers_file.allow(public_key)

    def revoke(self, public_key: str) -> None:
        """Take that back. Raises `StorageError`."""
        if self.peers_file is None:
            self.registry.allowlist.revoke(public_key)
        else:
            self.peers_file.revoke(public_key)

    async def _save_peers(self, file: PeersFile) -> None:
        while True:
            await asyncio.sleep(SAVE_DELAY_S)
            try:
                file.save_if_due(time.monotonic())
            except StorageError as error:
                log.error("%s", error)


def _host_name() -> str:
    """The machine's name as far as it may be a peer's."""
    plain = "".join(each if each.isascii() and each.isalnum() else "-" for each in socket.gethostname())
    return plain[:MAX_NAME_BYTES].strip("-")


def _server_tls(section: LetheanSection) -> ssl.SSLContext | None:
    """TLS 1.2 or newer for the listener, if a certificate is set. Raises `ConfigError`."""
    certificate, key = section.tls_certificate, section.tls_key
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        missing = "lethean.tls_certificate" if certificate is None else "lethean.tls_key"
        raise ConfigError(f"{missing} is not set: TLS needs a certificate and its key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(TLS_CIPHERS)
    _loaded(lambda: context.load_cert_chain(certificate, key), f"lethean.tls_certificate {certificate}")
    return context


def _client_tls(section: LetheanSection) -> ssl.SSLContext | None:
    """TLS with verified certificates for dialling, if it is wanted. Raises `ConfigError`."""
    if not section.dial_tls:
        return None
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    trust = section.tls_trust
    if trust is not None:
        _loaded(lambda: context.load_verify_locations(trust), f"lethean.tls_trust {trust}")
    return context


def _loaded(load: Callable[[], None], what: str) -> None:
    try:
        load()
    except (OSError, ssl.SSLError, ValueError) as error:
        raise ConfigError(f"{what}: cannot be used: {error}") from None
