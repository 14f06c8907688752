"""How much a node does for others (Beam digest, section 6): what each level turns on."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

LEVELS: Final = ("light", "medium", "full")

SETTINGS: Final = MappingProxyType(
    {
        "light": MappingProxyType({"kademlia.mode": "client"}),
        "medium": MappingProxyType({"kademlia.mode": "server"}),
        "full": MappingProxyType(
            {
                "kademlia.mode": "server",
                "relay.serve": True,
                "gossip.enabled": True,
                "beam.forward": True,
            }
        ),
    }
)
"""Settings by level: light asks the DHT, medium serves it, full also relays, forwards and is in pubsub."""
