"""Rendezvous on a live node: the point that keeps registrations, and the client that asks one."""

from mesh.services.rendezvous.client import Discovered, Found, Rendezvous
from mesh.services.rendezvous.point import RendezvousPoint

__all__ = ["Discovered", "Found", "Rendezvous", "RendezvousPoint"]
