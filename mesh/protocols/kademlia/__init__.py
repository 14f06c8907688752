"""Kademlia, pure: the keyspace, the routing table, lookups, and what is stored. Specification: libp2p specs kad-dht.

========================  =============================================================================================
module                    what it is
========================  =============================================================================================
``key``                   SHA-256 keys as integers, XOR distance, Beam's bucket numbers, `Candidate`
``table``, ``nearest``    `RoutingTable`: admission, liveness, the closest members of a key
``diversity``             networks of addresses, and how many peers of one network are let in
``round_trips``           `RoundTrips`: how long to wait for whom
``lookup``, ``trace``     `Lookup`: one iterative search as a machine, its steps and its `Result`
``refresh``               `Refresh`: what to look up when, and targets for it
``quorum``                Beam's rule for writes
``placement``             `Placement`: storing at the k closest in few round trips
``reply``                 answers from peers encoded before
``settings``              limits and times of all of them
========================  =============================================================================================

A node keeps one `RoutingTable`, one `RoundTrips` and one `Refresh`; every question starts a `Lookup` from the table's
closest members. The service that owns them sends requests, reads answers with `mesh.codecs.kademlia`, and tells both
the lookup and the table what came of it: `useful` for an answer, `failed` for none. Naming a peer never brings it into
the table: the service admits those it has connected to and that announced the protocol.

Peers are opaque to table and lookup: a `Candidate` carries peer, key and groups. In a node the peer is a `PeerId`, in a
simulation it may be a number.
"""

from mesh.protocols.kademlia.key import (
    Candidate,
    bucket_index,
    candidate_of,
    common_prefix_length,
    distance,
    key_of,
)
from mesh.protocols.kademlia.lookup import Lookup
from mesh.protocols.kademlia.refresh import Refresh
from mesh.protocols.kademlia.round_trips import RoundTrips
from mesh.protocols.kademlia.settings import (
    LookupSettings,
    RefreshSettings,
    RoundTripSettings,
    TableSettings,
)
from mesh.protocols.kademlia.table import Admission, BucketRow, Entry, RoutingTable
from mesh.protocols.kademlia.trace import Ending, Result

PROTOCOL_ID = "/ipfs/kad/1.0.0"
"""Of the public DHT; other networks put another prefix before `/kad/1.0.0`."""

__all__ = [
    "PROTOCOL_ID",
    "Admission",
    "BucketRow",
    "Candidate",
    "Ending",
    "Entry",
    "Lookup",
    "LookupSettings",
    "Refresh",
    "RefreshSettings",
    "Result",
    "RoundTripSettings",
    "RoundTrips",
    "RoutingTable",
    "TableSettings",
    "bucket_index",
    "candidate_of",
    "common_prefix_length",
    "distance",
    "key_of",
]
