"""mesh: a peer-to-peer node that speaks libp2p from the wire up, on asyncio."""

__version__ = "0.1.0"
