"""QUIC as the swarm's transport: `/ip4|ip6|dns*/…/udp/N/quic-v1`.

One socket serves a listening address and the dials that leave through it, so that peers observe the port this node
listens on. Dials that no listening socket can reach (another family, loopback or not) share one that listens to nobody
and goes with its last connection. Engine and certificate are made by the first address of this kind.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, cast

from mesh.config import QuicSection
from mesh.errors import AddressInUse, ConfigError, UsageError
from mesh.identity.keys import PrivateKey, PublicKey
from mesh.multiformats.ip_ranges import is_loopback
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.addresses import QuicEndpoint, is_unspecified, quic_address, quic_endpoint
from mesh.network.connection import Connection
from mesh.network.memory_counter import MemoryCounter
from mesh.network.quic.engine import Address, MakeEngine, Settings
from mesh.telemetry.counters import Counters

if TYPE_CHECKING:
    from mesh.network.quic.driver import QuicDriver, Terms
    from mesh.network.quic.endpoint import Endpoint
    from mesh.network.quic.stateless_reset import StatelessReset


class QuicListener:
    """A socket that takes strangers; closing it leaves its connections alone."""

    __slots__ = ("_port", "addresses")

    def __init__(self, port: Port) -> None:
        self._port = port
        self.addresses: tuple[Multiaddr, ...] = (port.address,)

    async def close(self) -> None:
        self._port.stop_accepting()


class Port:
    """One socket and the connections over it; closed when it neither listens nor has any."""

    __slots__ = ("_accepting", "_gone", "_users", "address", "endpoint", "family")

    endpoint: Endpoint
    address: Multiaddr

    def __init__(self, family: int, *, accepting: bool, gone: Callable[[Port], None]) -> None:
        self.family = family
        self._accepting = accepting
        self._users = 0
        self._gone = gone

    def opened(self, endpoint: Endpoint) -> None:
        """The socket is there."""
        self.endpoint = endpoint
        self.address = quic_address(endpoint.local)

    def reaches(self, endpoint: QuicEndpoint, remote: Multiaddr) -> bool:
        """Whether datagrams for ``remote`` can leave here."""
        if self.family != endpoint.family:
            return False
        return is_unspecified(self.address) or is_loopback(self.address) == is_loopback(remote)

    def towards(self, remote: Address) -> Multiaddr:
        """This end's address as ``remote`` sees it, short of a NAT."""
        if not is_unspecified(self.address):
            return self.address
        with socket.socket(self.family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect(remote)
            except OSError:
                return self.address
            name = probe.getsockname()
        return quic_address((name[0], self.endpoint.local[1], *name[2:]))

    @property
    def accepting(self) -> bool:
        """Whether it listens."""
        return self._accepting

    def use(self) -> None:
        """Another connection."""
        self._users += 1

    def release(self) -> None:
        """One connection less."""
        self._users -= 1
        self._close_unused()

    def stop_accepting(self) -> None:
        """Strangers are no longer answered."""
        self._accepting = False
        self.endpoint.stop_accepting()
        self._close_unused()

    def _close_unused(self) -> None:
        if not self._users and not self._accepting:
            self._gone(self)
            self.endpoint.close()


class QuicTransport:
    """Dials and listens. ``upgrade_s`` and ``max_pending`` are the limits of inbound handshakes."""

    name = "quic"

    def __init__(
        self,
        section: QuicSection,
        key: PrivateKey,
        memory: MemoryCounter,
        counters: Counters,
        *,
        upgrade_s: float,
        max_pending: int,
    ) -> None:
        self._section = section
        self._key = key
        self._memory = memory
        self._counters = counters
        self._upgrade_s = upgrade_s
        self._max_pending = max_pending
        self._terms: Terms | None = None
        self._reset: StatelessReset
        self._ports: list[Port] = []

    @property
    def ports(self) -> list[Port]:
        """Every open socket."""
        return list(self._ports)

    def handles(self, address: Multiaddr) -> bool:
        return quic_endpoint(address) is not None

    async def dial(self, address: Multiaddr, connection: Connection) -> None:
        """Send the first datagram; whether anybody is there shows in the handshake."""
        endpoint = _endpoint(address)
        terms = self._prepare()
        port = next((each for each in self._ports if each.reaches(endpoint, address)), None)
        if port is None:
            any_host = "::" if endpoint.family == socket.AF_INET6 else "0.0.0.0"
            port = await self._open(QuicEndpoint(any_host, 0, endpoint.family), None)
        from mesh.network.quic.driver import QuicDriver

        where = _socket_address(endpoint)
        driver = QuicDriver(
            terms,
            connection,
            port.endpoint,
            where,
            expected_peer=connection.expected_peer,
            dialer=True,
        )
        self._carry(port, connection, driver, where, address.without_peer())

    def knock(self, address: Multiaddr, data: bytes) -> bool:
        """Send one datagram from a socket that listens, for a NAT to let in what comes from there; whether one could."""
        endpoint = _endpoint(address)
        port = next(
            (each for each in self._ports if each.accepting and each.reaches(endpoint, address)), None
        )
        if port is not None:
            port.endpoint.send([(data, _socket_address(endpoint))])
        return port is not None

    async def listen(self, address: Multiaddr, accept: Callable[[], Connection]) -> QuicListener:
        endpoint = _endpoint(address)
        self._prepare()
        try:
            return QuicListener(await self._open(endpoint, accept))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise AddressInUse(
                    f"{address}: another program listens there; choose another port, or 0 for a free one"
                ) from error
            raise

    async def _open(self, where: QuicEndpoint, accept: Callable[[], Connection] | None) -> Port:
        from mesh.network.quic.endpoint import Endpoint, Load

        port = Port(where.family, accepting=accept is not None, gone=self._ports.remove)
        endpoint = await Endpoint.open(
            where.host,
            where.port,
            where.family,
            self._reset,
            self._counters,
            None if accept is None else partial(self._answer, port, accept),
            Load(self._section.retry_above, self._max_pending),
        )
        port.opened(endpoint)
        self._ports.append(port)
        return port

    def _answer(
        self,
        port: Port,
        accept: Callable[[], Connection],
        address: Address,
        original_id: bytes,
        retry_id: bytes,
        _now: float,
    ) -> QuicDriver:
        """A stranger's Initial: the driver of a new connection."""
        from mesh.network.quic.driver import QuicDriver

        connection = accept()
        driver = QuicDriver(
            self._prepare(),
            connection,
            port.endpoint,
            address,
            dialer=False,
            original_id=original_id,
            retry_id=retry_id,
        )
        self._carry(port, connection, driver, address, quic_address(address))
        return driver

    def _carry(
        self, port: Port, connection: Connection, driver: QuicDriver, where: Address, remote: Multiaddr
    ) -> None:
        port.use()
        driver.on_gone = port.release
        connection.take_streams(driver)
        driver.begin(port.towards(where), remote, dialer=not connection.inbound)

    def _prepare(self) -> Terms:
        if self._terms is None:
            from mesh.identity import certificate
            from mesh.network.quic.driver import Terms
            from mesh.network.quic.stateless_reset import StatelessReset

            def verify(chain: Sequence[bytes]) -> PublicKey:
                return certificate.verify(chain, time.time())

            self._reset = StatelessReset(os.urandom(32))
            own = certificate.issue(self._key, time.time())
            section = self._section
            settings = Settings(
                certificate=own.der,
                certificate_key=own.key,
                verify=verify,
                reset_token=self._reset.token,
                idle_timeout_s=section.idle_timeout_s,
                max_inbound_streams=section.max_inbound_streams,
                stream_window_bytes=section.stream_window_bytes,
                connection_window_bytes=section.connection_window_bytes,
                max_datagram_bytes=section.max_datagram_bytes,
            )
            make = _engine(section.engine)
            self._terms = Terms(make, settings, self._memory, self._upgrade_s, section.keepalive_s)
        return self._terms


def _engine(name: str) -> MakeEngine:
    """The engine of that name. Raises `ConfigError` when it is not installed."""
    if name in ("auto", "qh3"):
        try:
            from mesh.network.quic.qh3.engine import Qh3Engine
        except ImportError as error:
            if name == "qh3":
                raise ConfigError(f"quic.engine is qh3, which cannot be loaded: {error}") from None
        else:
            return Qh3Engine
    from mesh.network.quic.aioquic.engine import AioquicEngine

    return AioquicEngine


def _endpoint(address: Multiaddr) -> QuicEndpoint:
    endpoint = quic_endpoint(address)
    if endpoint is None:
        raise UsageError(f"{address} is not a QUIC address")
    return endpoint


def _socket_address(endpoint: QuicEndpoint) -> Address:
    """What sockets take; the host is numeric by now."""
    found = socket.getaddrinfo(
        endpoint.host, endpoint.port, endpoint.family, socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST
    )
    return cast("Address", found[0][4])
