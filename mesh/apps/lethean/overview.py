"""What a Lethean node knows of itself and of its peers, as plain values."""

from __future__ import annotations

import json
from typing import Any

from mesh.apps.lethean.service import LetheanService


def own_state(service: LetheanService) -> dict[str, Any]:
    """Identity, address and counts."""
    identity = service.own.identity
    return {
        "id": identity.id,
        "name": identity.name,
        "role": identity.role,
        "public_key": identity.public_key,
        "listening": service.node.listen_address,
        "ueps": service.side.ueps_address,
        "levin": service.side.levin_address,
        "mode": service.section.mode,
        "connections": service.node.connections,
        "known_peers": len(service.registry),
        "miners": [] if service.supervisor is None else [each.name for each in service.supervisor.figures()],
    }


def known_peers(service: LetheanService) -> list[dict[str, Any]]:
    """All known peers, the best first; `connected` says whether there is a connection, `direction` who dialled."""
    found = []
    for peer in service.registry.nearest(len(service.registry)):
        link = service.node.links.get(peer.id)
        direction = "" if link is None else "outbound" if link.dialled else "inbound"
        found.append({**json.loads(peer.encode()), "connected": link is not None, "direction": direction})
    return found
