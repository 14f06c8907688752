"""The settings of what finds peers and keeps them: mDNS, rendezvous, peer exchange, how many there are to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from mesh.config.rules import Section, count, seconds, size, switch
from mesh.config.values import MIB, Setting

BETAR_MDNS: Final = "betar-mdns"
"""What nodes of the Betar marketplace ask for: no proper name of a service."""


def _shape_of_service(text: str) -> str:
    """Two labels of a DNS service: `_name._udp` or `_name._tcp`; or Betar's."""
    if text == BETAR_MDNS:
        return ""
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


@dataclass(frozen=True, slots=True)
class KeepingSection(Section):
    """Staying connected as Beam has it: so many peers, probed, spread over networks, the better for the worse."""

    enabled: Annotated[
        bool,
        switch("Keep to the bounds below instead of connections.low and high; probe, replace, dial again."),
    ] = False
    low: Annotated[
        int, count("With fewer, lost peers are dialled and the sources that are on are asked.")
    ] = 25
    high: Annotated[int, count("With more, the worst are closed.")] = 50
    used_s: Annotated[
        float, seconds("Time between probes of relays and routes in use; two without an answer mean dead.")
    ] = 2.0
    idle_s: Annotated[float, seconds("Time between probes of everybody else.")] = 30.0
    trial_s: Annotated[float, seconds("A candidate is tried against those connected this often.")] = 60.0
    settled_s: Annotated[float, seconds("Nobody is replaced who came later than this.")] = 60.0
