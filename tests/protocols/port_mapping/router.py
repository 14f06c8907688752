"""A router as NAT-PMP and PCP see it, without a network: datagram in, answer out."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

from mesh.codecs import nat_pmp, pcp
from mesh.errors import DecodeError
from mesh.protocols.port_mapping.mapping import Port, Transport

MAPPED = bytes(10) + b"\xff\xff"
TRANSPORTS = {6: Transport.TCP, 17: Transport.UDP}


@dataclass
class Router:
    """Speaks what ``speaks`` names; ``result`` other than 0 is a refusal of every mapping. ``held`` is what it forwards:
    port to outside port, lease and nonce. ``shift`` is added to the port that is asked for."""

    speaks: tuple[str, ...] = ("pcp", "nat-pmp")
    host: str = "11.3.1.2"
    result: int = 0
    refusal_s: int = 0
    shift: int = 0
    longest_s: int = 7200
    silent: bool = False
    started_at: float = 0.0
    held: dict[Port, tuple[int, int, bytes]] = field(default_factory=dict)
    requests: list[bytes] = field(default_factory=list)

    def restart(self, now: float) -> None:
        """Everything is forgotten."""
        self.held.clear()
        self.started_at = now

    def answer(self, datagram: bytes, now: float) -> bytes | None:
        self.requests.append(datagram)
        if self.silent:
            return None
        epoch = int(now - self.started_at)
        if datagram[0] == 2 and "pcp" in self.speaks:
            return self._pcp(pcp.MapRequest.decode(datagram), epoch)
        if datagram[0] == 0 and "nat-pmp" in self.speaks:
            return self._nat_pmp(datagram, epoch)
        if "nat-pmp" in self.speaks:
            return nat_pmp.Head(0, 128 + datagram[1], 1, epoch, b"").encode()
        if "pcp" in self.speaks:
            return pcp.Answer(128 + datagram[1], 0, 1, 0, epoch, bytes(12), b"").encode()
        return None

    def announcement(self, now: float, protocol: str = "pcp") -> bytes:
        epoch = int(now - self.started_at)
        if protocol == "pcp":
            return pcp.Answer(128, 0, 0, 0, epoch, bytes(12), b"").encode()
        return nat_pmp.AddressAnswer(0, epoch, IPv4Address(self.host).packed).encode()

    def _take(self, port: Port, liked: int, lease_s: int, nonce: bytes) -> tuple[int, int]:
        if not lease_s:
            self.held.pop(port, None)
            return liked, 0
        granted = (liked + self.shift, min(lease_s, self.longest_s))
        self.held[port] = (*granted, nonce)
        return granted

    def _pcp(self, asked: pcp.MapRequest, epoch: int) -> bytes:
        port = Port(TRANSPORTS[asked.protocol], asked.internal_port)
        external, lease_s, host = 0, self.refusal_s, IPv6Address(MAPPED + bytes(4)).packed
        if not self.result:
            external, lease_s = self._take(port, asked.external_port, asked.lifetime, asked.nonce)
            host = MAPPED + IPv4Address(self.host).packed
        data = pcp.Mapping(asked.nonce, asked.protocol, bytes(3), asked.internal_port, external, host, [])
        return pcp.Answer(129, 0, self.result, lease_s, epoch, bytes(12), data.encode()).encode()

    def _nat_pmp(self, datagram: bytes, epoch: int) -> bytes:
        try:
            asked = nat_pmp.MapRequest.decode(datagram)
        except DecodeError:
            return nat_pmp.AddressAnswer(0, epoch, IPv4Address(self.host).packed).encode()
        if self.result:
            return nat_pmp.MapAnswer(
                128 + asked.operation, self.result, epoch, asked.internal_port, 0, 0
            ).encode()
        port = Port(Transport.UDP if asked.operation == 1 else Transport.TCP, asked.internal_port)
        external, lease_s = self._take(port, asked.external_port, asked.lifetime, b"")
        return nat_pmp.MapAnswer(
            128 + asked.operation, 0, epoch, asked.internal_port, external, lease_s
        ).encode()
