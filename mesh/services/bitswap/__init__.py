"""Bitswap on a live node: blocks are got from connected peers, and given to them.

`Bitswap` is the service, `Session` gets blocks that belong together, such as those of a file. Whoever holds a block is
found among the connected peers, else through the DHT.
"""

from mesh.services.bitswap.service import Bitswap, Exchanged
from mesh.services.bitswap.session import Session

__all__ = ["Bitswap", "Exchanged", "Session"]
