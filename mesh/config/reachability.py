"""Settings of how this node finds out where others reach it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from mesh.config.rules import Section, seconds, switch
from mesh.config.values import Setting, shape_of_api_listen

REACHABILITY = ("auto", "public", "private")


def _shape_of_server(text: str) -> str:
    """``HOST:PORT``, an IPv6 host in brackets."""
    return "is not HOST:PORT" if text == "off" or shape_of_api_listen(text) or text.endswith(":0") else ""


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
