"""Settings of how this node finds out where others reach it."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address
from typing import Annotated

from mesh.config.rules import Section, seconds, switch
from mesh.config.values import Setting, shape_of_api_listen

REACHABILITY = ("auto", "public", "private")
PORT_MAPPING = ("off", "auto", "upnp", "nat-pmp", "pcp")


def _shape_of_server(text: str) -> str:
    """``HOST:PORT``, an IPv6 host in brackets."""
    return "is not HOST:PORT" if text == "off" or shape_of_api_listen(text) or text.endswith(":0") else ""


def _shape_of_gateway(text: str) -> str:
    """An IPv4 address, or nothing."""
    try:
        IPv4Address(text or "0.0.0.0")
    except AddressValueError:
        return "is not an IPv4 address"
    return ""


@dataclass(frozen=True, slots=True)
class AutonatSection(Section):
    """Whether others can reach this node, and helping them to find out the same."""

    ask: Annotated[
        bool, switch("Let connected peers try it, once this node listens beyond its own machine.")
    ] = True
    serve: Annotated[bool, switch("Dial peers back that ask for it, within go-libp2p's limits.")] = False
    reachability: Annotated[
        str, Setting("What is taken for true: what was found (auto), or this.", choices=REACHABILITY)
    ] = "auto"
    private_addresses: Annotated[
        bool, switch("Count private and loopback addresses like public ones: closed networks and tests.")
    ] = False


@dataclass(frozen=True, slots=True)
class DcutrSection(Section):
    """Hole punching: from a connection through a relay to a direct one (DCUtR)."""

    enabled: Annotated[
        bool,
        switch(
            "Try it for connections through relays; TCP dials then leave from the port this node listens on."
        ),
    ] = False


@dataclass(frozen=True, slots=True)
class StunSection(Section):
    """What outside addresses STUN servers see, and what NAT stands between."""

    servers: Annotated[
        tuple[str, ...],
        Setting("HOST:PORT of servers to ask; none by default.", "list", shape=_shape_of_server),
    ] = ()
    interval_s: Annotated[float, seconds("Time between two tests.")] = 600.0


@dataclass(frozen=True, slots=True)
class PortMappingSection(Section):
    """Outside ports that the router forwards to this node."""

    protocol: Annotated[
        str,
        Setting(
            "What the router is asked by; auto tries PCP, NAT-PMP, then UPnP. Nobody but the router is asked.",
            choices=PORT_MAPPING,
        ),
    ] = "off"
    gateway: Annotated[
        str,
        Setting("The router's address; empty for that of the default route.", shape=_shape_of_gateway),
    ] = ""
    lease_s: Annotated[float, seconds("Ports are asked for this long, and renewed in its second half.")] = (
        600.0
    )
