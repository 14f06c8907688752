"""Ports of this node's router, forwarded to where it listens: asked for, renewed, and given back at the end."""

from mesh.services.port_mapping.service import MappedPort, MappingStatus, PortMapping

__all__ = ["MappedPort", "MappingStatus", "PortMapping"]
