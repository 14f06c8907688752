"""The versions, best first (IPFS specs, bitswap 1.0.0 to 1.2.0)."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum


class Version(Enum):
    """By its protocol id. The oldest, without a number, is 1.0.0."""

    V1_2 = "/ipfs/bitswap/1.2.0"
    V1_1 = "/ipfs/bitswap/1.1.0"
    V1_0 = "/ipfs/bitswap/1.0.0"
    BARE = "/ipfs/bitswap"

    @property
    def has_presences(self) -> bool:
        """Whether HAVE and DONT_HAVE are spoken, and asked for."""
        return self is Version.V1_2

    @property
    def has_prefixes(self) -> bool:
        """Whether a block says of which CID version, codec and hash it is; else it is of CID version 0."""
        return self in (Version.V1_2, Version.V1_1)


PROTOCOLS = tuple(each.value for each in Version)


def best_of(protocols: Iterable[str]) -> Version | None:
    """The best version among the protocols that a peer speaks."""
    spoken = frozenset(protocols)
    return next((each for each in Version if each.value in spoken), None)
