"""What taking part in Beam's network turns on, by level of participation (Beam digest, section 6)."""

from __future__ import annotations

from mesh import __version__
from mesh.protocols.beam.participation import SETTINGS

PREFIX = "/beam"


def defaults_of(participation: str) -> dict[str, object]:
    """The settings of a level, by key; they hold where nobody chose otherwise."""
    return {
        "kademlia.prefix": PREFIX,
        "identify.agent_version": f"mesh/{__version__} beam/1.0.0",
        **SETTINGS[participation],
    }
