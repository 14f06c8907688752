"""PCP: requests written, answers read (RFC 6887 sections 7, 11, 14). IPv4 mappings alone."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from mesh.codecs import pcp
from mesh.codecs.pcp import Opcode, Protocol, ResultCode
from mesh.errors import Malformed
from mesh.protocols.port_mapping.mapping import Errand, Granted, Outcome, Port, Refused, Transport

NAME: Final = "pcp"
_PROTOCOLS: Final = {Transport.TCP: Protocol.TCP, Transport.UDP: Protocol.UDP}
_TRANSPORTS: Final = {int(protocol): transport for transport, protocol in _PROTOCOLS.items()}
_MAPPED: Final = bytes(10) + b"\xff\xff"
_ANY: Final = _MAPPED + bytes(4)


@dataclass(frozen=True, slots=True)
class Announced:
    """The router is there, for so many seconds."""

    epoch_s: int


@dataclass(frozen=True, slots=True)
class MapTold:
    """What came of a request for a port. ``port`` is None in a refusal without the request's data, which has no ``nonce``
    either."""

    epoch_s: int
    port: Port | None
    nonce: bytes
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class VersionRefused:
    """The router speaks another version."""


def write_map_request(errand: Errand, own_ip: str, nonce: bytes, host: str = "") -> bytes:
    """Asks for a port, or gives it back; ``host`` is the outside address that would be liked."""
    port = errand.port
    return pcp.MapRequest(
        lifetime=errand.lease_s,
        client=_MAPPED + IPv4Address(own_ip).packed,
        nonce=nonce,
        protocol=_PROTOCOLS[port.transport],
        internal_port=port.number,
        external_port=errand.external_port,
        external_address=_MAPPED + IPv4Address(host).packed if host else _ANY,
    ).encode()


def read_answer(datagram: bytes) -> Announced | MapTold | VersionRefused | None:
    """An answer or an announcement; None for one to what we do not ask. Raises `DecodeError`."""
    if len(datagram) % 4:
        raise Malformed("pcp answer", None, f"{len(datagram)} bytes")
    answer = pcp.Answer.decode(datagram)
    if answer.result == ResultCode.UNSUPP_VERSION:
        return VersionRefused()
    opcode = answer.opcode - pcp.ANSWER_BIT
    if opcode == Opcode.ANNOUNCE and answer.result == ResultCode.SUCCESS:
        return Announced(answer.epoch)
    if opcode != Opcode.MAP:
        return None
    if answer.result != ResultCode.SUCCESS and len(answer.data) < pcp.MAPPING_BYTES:
        return MapTold(answer.epoch, None, b"", _refusal(answer))
    mapping = pcp.Mapping.decode(answer.data)
    if mapping.protocol not in _TRANSPORTS:
        return None
    port = Port(_TRANSPORTS[mapping.protocol], mapping.internal_port)
    outcome = _refusal(answer) if answer.result != ResultCode.SUCCESS else _grant(answer, mapping)
    return MapTold(answer.epoch, port, mapping.nonce, outcome)


def _grant(answer: pcp.Answer, mapping: pcp.Mapping) -> Granted:
    host = IPv6Address(mapping.external_address).ipv4_mapped
    if host is None:
        raise Malformed("pcp answer", None, "the outside address is not IPv4")
    if answer.lifetime and not mapping.external_port:
        raise Malformed("pcp answer", None, "it grants no port")
    return Granted(str(host), mapping.external_port, float(answer.lifetime))


def _refusal(answer: pcp.Answer) -> Refused:
    known = answer.result in ResultCode.__members__.values()
    name = ResultCode(answer.result).name.lower().replace("_", " ") if known else "unknown"
    return Refused(answer.result, name, float(answer.lifetime))
