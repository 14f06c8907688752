"""NAT-PMP: requests written, answers read (RFC 6886 section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

from mesh.codecs import nat_pmp
from mesh.codecs.nat_pmp import Operation, ResultCode
from mesh.errors import Malformed
from mesh.protocols.port_mapping.mapping import Errand, Granted, Outcome, Port, Refused, Transport

NAME: Final = "nat-pmp"
VERSION: Final = 0
_OPERATIONS: Final = {Transport.UDP: Operation.MAP_UDP, Transport.TCP: Operation.MAP_TCP}
_PORTS: Final = {int(operation): transport for transport, operation in _OPERATIONS.items()}


@dataclass(frozen=True, slots=True)
class AddressTold:
    """The router's outside address, None where it has none (``refused`` says why)."""

    epoch_s: int
    host: str | None
    refused: Refused | None = None


@dataclass(frozen=True, slots=True)
class MapTold:
    """What came of a request for a port. ``port`` is None in a refusal that does not repeat it."""

    epoch_s: int
    transport: Transport
    port: Port | None
    outcome: Outcome


def write_address_request() -> bytes:
    """Asks for the outside address."""
    return nat_pmp.AddressRequest().encode()


def write_map_request(errand: Errand) -> bytes:
    """Asks for a port, or gives it back; the outside port is then left open (section 3.4)."""
    port = errand.port
    external = errand.external_port if errand.lease_s else 0
    return nat_pmp.MapRequest(_OPERATIONS[port.transport], port.number, external, errand.lease_s).encode()


def read_answer(datagram: bytes, host: str) -> AddressTold | MapTold | None:
    """An answer; None for one to an operation that we do not ask for. ``host`` is the outside address, which the answers
    about ports leave out. Raises `DecodeError`."""
    head = nat_pmp.Head.decode(datagram)
    if head.version != VERSION:
        raise Malformed("nat_pmp answer", 0, f"version {head.version}")
    asked = head.operation - nat_pmp.ANSWER
    if asked == Operation.ADDRESS:
        if head.result != ResultCode.SUCCESS:
            return AddressTold(head.epoch, None, _refusal(head.result))
        told = nat_pmp.AddressAnswer.decode(datagram)
        return AddressTold(told.epoch, str(IPv4Address(told.address)))
    if asked not in _PORTS:
        return None
    if head.result != ResultCode.SUCCESS:
        return MapTold(head.epoch, _PORTS[asked], None, _refusal(head.result))
    answer = nat_pmp.MapAnswer.decode(datagram)
    if answer.lifetime and not answer.external_port:
        raise Malformed("nat_pmp answer", 10, "it grants no port")
    granted = Granted(host, answer.external_port, float(answer.lifetime))
    return MapTold(answer.epoch, _PORTS[asked], Port(_PORTS[asked], answer.internal_port), granted)


def read_version_refusal(datagram: bytes) -> bool:
    """Whether a router that was spoken to in another version says that it knows this one alone. Raises `DecodeError`."""
    head = nat_pmp.Head.decode(datagram)
    return head.version == VERSION and head.result != ResultCode.SUCCESS


def _refusal(code: int) -> Refused:
    known = code in ResultCode.__members__.values()
    return Refused(code, ResultCode(code).name.lower().replace("_", " ") if known else "unknown")
