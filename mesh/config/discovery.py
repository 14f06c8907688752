"""The settings of what finds peers: mDNS, rendezvous, peer exchange."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from mesh.config.rules import Section, count, seconds, size, switch
from mesh.config.values import MIB, Setting


def _shape_of_service(text: str) -> str:
    """Two labels of a DNS service: `_name._udp` or `_name._tcp`."""
    name, _, transport = text.partition(".")
    plain = name[1:].replace("-", "")
    if (
        transport in ("_udp", "_tcp")
        and name[:1] == "_"
        and plain.isascii()
        and plain.isalnum()
        and len(name) <= 63
    ):
        return ""
    return "is not a service name like _p2p._udp"


@dataclass(frozen=True, slots=True)
class MdnsSection(Section):
    """Finding peers in the local network."""

    enabled: Annotated[bool, switch("Ask and answer in the local network, and dial who is found.")] = False
    service: Annotated[
        str,
        Setting("Name of the service; another one makes a network of its own.", shape=_shape_of_service),
    ] = "_p2p._udp"
    interfaces: Annotated[
        tuple[str, ...],
        Setting(
            "Names, patterns or addresses; empty for all but loopback and bridges of containers.", "list"
        ),
    ] = ()
    peers_per_minute: Annotated[int, count("New peers taken notice of.", maximum=10_000)] = 60


@dataclass(frozen=True, slots=True)
class RendezvousSection(Section):
    """A place where peers register to be found under a namespace."""

    serve: Annotated[bool, switch("Be a rendezvous point for others.")] = False
    entries: Annotated[int, count("Registrations kept.", maximum=10_000_000)] = 16_384
    bytes: Annotated[int, size("Registrations kept, together.")] = 16 * MIB
    peer_entries: Annotated[int, count("Registrations kept of one peer.", maximum=1_000_000)] = 1000
    peer_bytes: Annotated[int, size("Registrations kept of one peer, together.")] = 4 * MIB


@dataclass(frozen=True, slots=True)
class PexSection(Section):
    """Peer exchange with connected peers, as in Beam."""

    enabled: Annotated[bool, switch("Ask peers whom they met, and answer them.")] = False
    share: Annotated[bool, switch("Let this node be passed on.")] = True
    interval_s: Annotated[float, seconds("Some peers are asked this often while more are wanted.")] = 300.0
