"""The seller's signature over a listing: an addition of ours, which stock nodes ignore.

Signed is a purpose, a newline and the listing's JSON without `onChainReputation`, `sellerKey` and `signature`. The key is
that of `sellerId`; peer ids that are digests bring theirs in `sellerKey`, as the libp2p protobuf. Both are base64.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import replace
from typing import Final

from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.protocols.market.listing import DELIST, Listing
from mesh.protocols.market.naming import is_owned, seller_key

_OFFERED: Final = b"mesh-betar-listing-1\n"
_WITHDRAWN: Final = b"mesh-betar-delisting-1\n"
MAX_SIGNATURE_CHARACTERS: Final = 1024


def sign_listing(listing: Listing, key: PrivateKey, kind: str = "list") -> Listing:
    """The listing with its seller's signature; one for `delist` proves nothing else."""
    inline = PeerId.from_public_key(key.public).public_key() is not None
    told = "" if inline else base64.b64encode(key.public.to_protobuf()).decode()
    signature = key.sign(_signed(listing, kind))
    return replace(listing, seller_key=told, signature=base64.b64encode(signature).decode())


def is_proven(listing: Listing, kind: str = "list") -> bool:
    """Whether its seller signed it, and the id is the seller's to use."""
    if not listing.signature or len(listing.signature) > MAX_SIGNATURE_CHARACTERS:
        return False
    key = seller_key(listing)
    if key is None:
        return False
    try:
        signature = base64.b64decode(listing.signature, validate=True)
    except (binascii.Error, ValueError):
        return False
    return key.verify(_signed(listing, kind), signature) and is_owned(listing)


def _signed(listing: Listing, kind: str) -> bytes:
    purpose = _WITHDRAWN if kind == DELIST else _OFFERED
    return purpose + replace(listing, reputation=None, seller_key="", signature="").write()
