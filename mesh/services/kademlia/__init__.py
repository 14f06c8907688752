"""Kademlia on a live node: `mesh.protocols.kademlia` given streams, a clock and stores (libp2p specs kad-dht).

==================  ===================================================================================================
module              what it is
==================  ===================================================================================================
``host``            what the service wants of the node it runs on
``address_filter``  which addresses belong to the network: public ones, private ones or all
``links``           requests over one kept stream for each peer
``server``          answers
``search``          one lookup: the machine driven by requests
``membership``      who comes into the table and who leaves it
``values``          put and get, correction of stale holders
``content``         providers: announce, find, announce again
``upkeep``          the loop that refreshes, checks and sweeps
``service``         `Kademlia`, what programs use as `node.dht`
==================  ===================================================================================================

A request goes to a peer over a stream that stays open for the next one. Whoever answers proves to serve the protocol and
may come into the table; who is only named never does.
"""

from mesh.services.kademlia.search import Search, Step
from mesh.services.kademlia.service import Kademlia, Mode, PeerFound

__all__ = ["Kademlia", "Mode", "PeerFound", "Search", "Step"]
