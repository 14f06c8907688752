"""Where this node can be reached, how that is known, and what others are told of it."""

from mesh.protocols.autonat.confidence import Reachability
from mesh.services.reachability.service import AddressReport, NatReport, ReachabilityService

__all__ = ["AddressReport", "NatReport", "Reachability", "ReachabilityService"]
