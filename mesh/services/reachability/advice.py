"""What to do about what was found, in words."""

from __future__ import annotations

from collections.abc import Sequence

from mesh.protocols.autonat.confidence import Reachability
from mesh.protocols.stun.behaviour import NatClass
from mesh.services.port_mapping import MappingStatus


def advise(
    state: Reachability,
    nat_class: NatClass,
    *,
    listens_beyond: bool,
    asks: bool,
    servers: int,
    stun: Sequence[str],
    mapping: MappingStatus,
) -> list[str]:
    """Sentences, the most useful first; ``servers`` is how many connected peers could be asked."""
    if not listens_beyond:
        return ["Listen on more than loopback: set network.listen, for example to /ip4/0.0.0.0/tcp/4001."]
    advice = []
    if state is Reachability.PRIVATE:
        advice.append(_about_mapping(mapping))
        if nat_class is NatClass.SYMMETRIC:
            advice.append(
                "This NAT gives each peer another port: hole punching will mostly fail, use a relay."
            )
        else:
            advice.append(
                "Until then hold a reservation at a relay (relay.auto), from which peers can punch through."
            )
    elif state is Reachability.UNKNOWN:
        if not asks:
            advice.append("Nobody is asked: set autonat.ask to true.")
        elif not servers:
            advice.append(
                "No connected peer serves AutoNAT: connect to more, or name some in network.bootstrap."
            )
        else:
            advice.append("Peers are being asked; look again in a minute.")
        if mapping.state in _TROUBLE:
            advice.append(_about_mapping(mapping))
    if nat_class is NatClass.BLOCKED:
        advice.append("No STUN server answers: UDP may be blocked, so that QUIC fails and TCP has to do.")
    elif nat_class is NatClass.UNKNOWN and not stun and state is not Reachability.PUBLIC:
        advice.append("To learn the kind of NAT at once name servers in stun.servers.")
    return advice or ["Nothing: others can reach this node."]


_TROUBLE = frozenset(("refused", "silent", "no router", "private"))


def _about_mapping(mapping: MappingStatus) -> str:
    """What to do about the ports of the router."""
    refusal = next((each for each in mapping.ports if each.reason or each.code), None)
    host = next((each.host for each in mapping.ports if each.host is not None), "")
    said = {
        "off": "Forward the listening ports in the router, or let this node ask it to: set port_mapping.protocol to "
        "auto.",
        "mapped": f"The router forwards {host}, yet nobody gets through: another NAT or a filter stands behind it.",
        "private": f"The router's own outside address, {host}, is a private one: another NAT stands behind it. Ask the "
        "provider for a public address, or hold a reservation at a relay.",
        "silent": "The router answers neither PCP nor NAT-PMP nor UPnP: turn one of them on there, or forward the "
        "listening ports by hand.",
        "no router": "No default route through a router was found: name the router in port_mapping.gateway.",
        "searching": "The router is being asked for ports; look again in a minute.",
    }
    if mapping.state == "refused" and refusal is not None:
        return (
            f"The router refuses to forward port {refusal.port.number} (code {refusal.code}, {refusal.reason}): "
            "allow it there, or forward the listening ports by hand."
        )
    return said.get(mapping.state, "Forward the listening ports in the router.")
