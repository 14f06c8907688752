"""Answers put together from parts encoded before: naming 20 peers costs one join, not 20 encodings.

A protobuf message may be cut at any field, so a peer is encoded once, as the whole `closer_peers` field, when it enters
the table (the `payload` of its entry) and again when its addresses change. The bytes are those of the codec.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mesh.codecs.kademlia import ConnectionType, Message, MessageType, Peer, ValueRecord

_CLUSTER_LEVEL = Message(cluster_level_raw=1).encode()
"""go writes it in every message."""


def closer_peer(
    peer_id: bytes,
    addresses: Iterable[bytes],
    connection: ConnectionType | int = ConnectionType.NOT_CONNECTED,
) -> bytes:
    """One closer peer, ready for `answer`. Raises UsageError when it is over the codec's limits."""
    return Message(closer_peers=[Peer(peer_id, list(addresses), connection)]).encode()


def answer(
    kind: MessageType,
    closer_peers: Iterable[bytes],
    *,
    key: bytes = b"",
    record: ValueRecord | None = None,
    provider_peers: Sequence[Peer] = (),
) -> bytes:
    """A message without its length, whose closer peers were encoded by `closer_peer`.

    How many of those there may be is the caller's care; anything else over the codec's limits raises UsageError.
    """
    head = Message(kind, key, record).encode()
    providers = Message(provider_peers=list(provider_peers)).encode() if provider_peers else b""
    return b"".join((head, *closer_peers, providers, _CLUSTER_LEVEL))
