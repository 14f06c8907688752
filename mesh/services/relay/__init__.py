"""Circuit relay on a live node: the relay (`server`), and being reached through relays (`client`)."""

from mesh.services.relay.relaying import Relaying

__all__ = ["Relaying"]
