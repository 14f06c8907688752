"""The keyspace: 256-bit numbers under XOR (libp2p digest, section 14; libp2p specs kad-dht, "Distance").

The key of anything is the SHA-256 of its bytes: of a peer the bytes of its id, of a provider record the multihash, of a
value its whole text with namespace. Keys and distances are plain integers, big-endian: the first bit of the digest is
the highest.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from hashlib import sha256
from typing import Generic, NamedTuple, TypeVar

from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.protocols.kademlia.diversity import groups_of

KEY_BITS = 256
KEY_BYTES = 32

PeerT = TypeVar("PeerT", bound=Hashable)


class Candidate(NamedTuple, Generic[PeerT]):
    """A peer as the table and lookups see it.

    `peer` is opaque (a `PeerId` in a node, anything hashable in a simulation), `key` its place in the keyspace,
    `groups` the networks of its addresses: None when no address has a known ip (see `diversity.groups_of`).
    """

    peer: PeerT
    key: int
    groups: tuple[bytes, ...] | None = ()


def key_of(data: bytes) -> int:
    """The key of a peer id's bytes, a multihash or a record's text: their SHA-256 as a 256-bit number."""
    return int.from_bytes(sha256(data).digest(), "big")


def candidate_of(
    peer: PeerId, addresses: Iterable[Multiaddr] = (), exempt_near: bool = True
) -> Candidate[PeerId]:
    """A peer of the network with the groups of its addresses."""
    return Candidate(peer, key_of(peer.to_bytes()), groups_of(addresses, exempt_near))


def distance(a: int, b: int) -> int:
    """XOR of two keys, 0 for equal ones."""
    return a ^ b


def common_prefix_length(a: int, b: int) -> int:
    """How many leading bits two keys share: 256 when they are equal."""
    return KEY_BITS - (a ^ b).bit_length()


def bucket_index(a: int, b: int) -> int:
    """Beam's bucket number: bucket n holds distances 2^n to 2^(n+1) - 1, and bucket 0 also distance 0.

    That is 255 - `common_prefix_length` for different keys.
    """
    return max((a ^ b).bit_length() - 1, 0)
