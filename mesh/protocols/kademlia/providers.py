"""Rules for provider records: who may announce what, how long it counts, what is given away (libp2p digest, section 14).

Times are Unix seconds. An announcement counts for 48 hours, its addresses for 24, and it is repeated after 22. The key is
the multihash of the content, not its CID.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from mesh.codecs.kademlia import Peer
from mesh.errors import DecodeError
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.protocols.kademlia.record_key import InvalidRecordError

VALIDITY_S: Final = 48 * 3600.0
REPUBLISH_S: Final = 22 * 3600.0
ADDRESS_VALIDITY_S: Final = 24 * 3600.0
MAX_KEY_BYTES: Final = 80
MAX_ADDRESSES: Final = 32
"""Of one provider; the first ones are kept."""
MAX_EXAMINED: Final = 128
"""Addresses read to find those: a message has room for a million broken ones."""
MAX_ADDRESS_BYTES: Final = 512
"""A relay's address with certificate hashes takes about 250; longer ones count as broken."""


@dataclass(frozen=True, slots=True)
class Provider:
    """A peer that says it has some content. Its addresses lead to it and do not end in its id."""

    peer: PeerId
    addresses: tuple[Multiaddr, ...]
    received: float


def check_key(key: bytes) -> None:
    """Refuse a key that is not 1 to 80 bytes with InvalidRecordError; ADD_PROVIDER and GET_PROVIDERS alike."""
    if not 1 <= len(key) <= MAX_KEY_BYTES:
        raise InvalidRecordError(
            f"a provider key of {len(key)} bytes, 1 to {MAX_KEY_BYTES}", "kad-dht: ADD_PROVIDER"
        )


def admit(key: bytes, sender: PeerId, entries: Iterable[Peer], now: float) -> Provider:
    """What to store after an ADD_PROVIDER: the sender with the addresses of its own entries.

    Entries of other peers do not count. Raises InvalidRecordError for a bad key, and when no entry is the sender's with
    at least one address that can be used.
    """
    check_key(key)
    own = sender.to_bytes()
    given = (each for entry in entries if entry.id == own for each in entry.addrs)
    addresses = usable_addresses(given, sender)
    if not addresses:
        raise InvalidRecordError("no entry of the sender with an address", "kad-dht: ADD_PROVIDER")
    return Provider(sender, addresses, now)


def usable_addresses(given: Iterable[bytes], peer: PeerId) -> tuple[Multiaddr, ...]:
    """The addresses that can be read and lead to `peer`, each once, at most MAX_ADDRESSES, without its id at the end.

    The rest is skipped: broken and long ones, those that lead to another peer, and those that lead nowhere. No more than
    MAX_EXAMINED are looked at.
    """
    found: dict[Multiaddr, None] = {}
    for data in islice(given, MAX_EXAMINED):
        if len(found) == MAX_ADDRESSES:
            break
        if len(data) > MAX_ADDRESS_BYTES:
            continue
        try:
            address = Multiaddr.from_bytes(data)
        except DecodeError:
            continue
        bare = address.without_peer()
        if bare and (bare == address or address.peer_id_bytes() == peer.to_bytes()):
            found[bare] = None
    return tuple(found)


def expired(received: float, now: float) -> bool:
    """Whether an announcement no longer counts; also one received by a clock two days ahead of ours."""
    return not -VALIDITY_S <= now - received <= VALIDITY_S


def served(providers: Iterable[Provider], now: float, limit: int) -> tuple[Provider, ...]:
    """What may be answered to GET_PROVIDERS: at most `limit` that have not expired, the newest first, then by peer.

    Addresses older than 24 hours are left out, their provider is not: who asks can look it up.
    """
    alive = [each for each in providers if not expired(each.received, now)]
    alive.sort(key=lambda each: (-each.received, each.peer))
    return tuple(
        each if now - each.received <= ADDRESS_VALIDITY_S else replace(each, addresses=())
        for each in alive[:limit]
    )


def republish_at(published: float) -> float:
    """When content of ours is to be announced again."""
    return published + REPUBLISH_S
