"""Whom the harness tests: where it listens, who it must be, and what its identify told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from mesh.errors import DecodeError, UsageError
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.addresses import QuicEndpoint, TcpEndpoint, quic_endpoint, tcp_endpoint


@dataclass(slots=True)
class Target:
    """``tcp`` and ``quic``: where cases of either transport connect; one given, the other perhaps learned.

    ``security`` is what sessions are secured with, ``securities`` all that the target speaks.
    """

    address: Multiaddr
    peer: PeerId
    tcp: TcpEndpoint | None
    quic: QuicEndpoint | None
    security: str = "noise"
    securities: tuple[str, ...] = ()
    agent: str = ""
    protocols: tuple[str, ...] = ()
    listen_addrs: tuple[Multiaddr, ...] = field(default=())

    @classmethod
    def parse(cls, text: str) -> Target:
        """From an address that ends in `/p2p/<peer id>`. Raises `UsageError`."""
        try:
            address = Multiaddr.parse(text)
        except DecodeError as error:
            raise UsageError(f"{text!r} is not an address: {error}") from None
        identity = address.peer_id_bytes()
        if identity is None:
            raise UsageError(f"{text} does not end in /p2p/<peer id>: who must answer has to be known")
        bare = address.without_peer()
        tcp, quic = tcp_endpoint(bare), quic_endpoint(bare)
        if tcp is None and quic is None:
            raise UsageError(f"{text}: only TCP and QUIC addresses can be tested")
        return cls(address, PeerId(identity), tcp, quic)

    @property
    def host(self) -> str:
        endpoint = self.tcp or self.quic
        assert endpoint is not None
        return endpoint.host

    @property
    def is_loopback(self) -> bool:
        return self.host.startswith("127.") or self.host in ("::1", "localhost")

    def learn(self, agent: str, protocols: Iterable[str], listen_addrs: Iterable[Multiaddr]) -> None:
        """Take what identify told. An address of the other transport on the same host serves that transport's cases."""
        self.agent, self.protocols = agent, tuple(protocols)
        self.listen_addrs = tuple(listen_addrs)
        for each in self.listen_addrs:
            tcp, quic = tcp_endpoint(each.without_peer()), quic_endpoint(each.without_peer())
            if self.tcp is None and tcp is not None and tcp.host == self.host:
                self.tcp = tcp
            if self.quic is None and quic is not None and quic.host == self.host:
                self.quic = quic

    def serves(self, protocol: str) -> bool:
        return protocol in self.protocols
