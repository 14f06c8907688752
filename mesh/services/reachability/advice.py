"""What to do about what was found, in words."""

from __future__ import annotations

from collections.abc import Sequence

from mesh.protocols.autonat.confidence import Reachability
from mesh.protocols.stun.behaviour import NatClass


def advise(
    state: Reachability,
    nat_class: NatClass,
    *,
    listens_beyond: bool,
    asks: bool,
    servers: int,
    stun: Sequence[str],
) -> list[str]:
    """Sentences, the most useful first; ``servers`` is how many connected peers could be asked."""
    if not listens_beyond:
        return ["Listen on more than loopback: set network.listen, for example to /ip4/0.0.0.0/tcp/4001."]
    advice = []
    if state is Reachability.PRIVATE:
        advice.append("Forward the listening ports in the router, or turn on its UPnP.")
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
    if nat_class is NatClass.BLOCKED:
        advice.append("No STUN server answers: UDP may be blocked, so that QUIC fails and TCP has to do.")
    elif nat_class is NatClass.UNKNOWN and not stun and state is not Reachability.PUBLIC:
        advice.append("To learn the kind of NAT at once name servers in stun.servers.")
    return advice or ["Nothing: others can reach this node."]
