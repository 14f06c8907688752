"""DIDs of agents and nodes, derived from the node's key and a name (section 1.3); nothing is stored."""

from __future__ import annotations

import hashlib
from typing import Final

from mesh.errors import DecodeError
from mesh.identity.keys import PrivateKey, PublicKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats import multibase
from mesh.protocols.market.listing import Listing

APPLICATION: Final = b"betar"
NODE_NAME: Final = "node"
_ED25519_CODE: Final = bytes.fromhex("ed01")


def agent_did(key: PublicKey, name: str) -> str:
    """The id of the agent of that name on the node with that key."""
    seed = hashlib.sha256(b"/".join((APPLICATION, name.encode(), key.raw))).digest()
    derived = PrivateKey.from_seed(seed).public.raw
    return f"did:key:{multibase.encode('base58btc', _ED25519_CODE + derived)}"


def node_did(key: PublicKey) -> str:
    """The id of the node itself, sent as `caller_did`."""
    return agent_did(key, NODE_NAME)


def seller_key(listing: Listing) -> PublicKey | None:
    """The key of the peer that a listing calls its seller; None where neither the id holds one nor the listing."""
    try:
        peer = PeerId.parse(listing.seller_id)
        key = peer.public_key()
        if key is None and listing.seller_key:
            key = PublicKey.from_protobuf(multibase.decode(f"M{listing.seller_key}"))
        return key if key is not None and peer.matches(key) else None
    except DecodeError:
        return None


def is_owned(listing: Listing) -> bool:
    """Whether the id is one that its seller derives from the name, alone or behind its own peer id."""
    key = seller_key(listing)
    if key is None:
        return False
    wanted = {agent_did(key, name) for name in {listing.name, listing.name.strip()}}
    return listing.id.removeprefix(f"{listing.seller_id}/") in wanted
