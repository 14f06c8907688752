"""The Betar marketplace (asabya/betar 793ca02) without input or output: what its messages say and what follows from them.

===============  ===============================================================================================
module           what it is
===============  ===============================================================================================
``listing``      a listing, the message that announces it, its key in the replicated mapping, prices
``signing``      our addition: the seller's signature over a listing
``naming``       DIDs of agents and nodes, and whether an agent's id is its seller's to use
``board``        all listings known: which word counts against which, search and order
``orders``       orders and what a seller answers to messages about them
``sessions``     what was asked of an agent and answered, by agent and caller
``workflows``    several agents one after another, within a budget
``cards``        an agent's metadata file, and its A2A card
===============  ===============================================================================================

Frames are `mesh.framing.typed`, JSON is `mesh.go_json`; payments are `mesh.protocols.x402`.
"""

from typing import Final

PROTOCOL_ID: Final = "/betar/marketplace/1.0.0"
PAID_PROTOCOL_ID: Final = "/x402/libp2p/1.0.0"
CRDT_TOPIC: Final = "betar/marketplace/crdt"
LISTINGS_TOPIC: Final = "betar/marketplace/listings"
RENDEZVOUS: Final = "betar/agent-marketplace"
"""Announced in the DHT as the provider record of a raw CID of its sha2-256."""
INFO: Final = "info"
"""Type of the request for all listings."""
TIMEOUT_S: Final = 30.0
"""For a whole stream, on both sides."""
