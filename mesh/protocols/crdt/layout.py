"""Under which keys a replica keeps what it knows: those of go-ds-crdt 0.6.8, so that stores can be compared.

Ours besides: ``<namespace>/w/<block>`` for heads of others whose branches are not merged yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mesh.errors import DecodeError, StorageError
from mesh.multiformats import varint

ADOPTED: Final = b"\x01"
WANTED: Final = b"\x00"
"""First byte of the value of a wanted head: whether it stands among the heads already. Its CID follows."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The keys of one namespace. Blocks are named as tombstones name them, mapping keys are clean."""

    namespace: str

    def head(self, block: str) -> bytes:
        return f"{self.namespace}/h{block}".encode()

    def processed(self, block: str) -> bytes:
        return f"{self.namespace}/b{block}".encode()

    def wanted(self, block: str) -> bytes:
        return f"{self.namespace}/w{block}".encode()

    def element(self, key: str, block: str) -> bytes:
        return f"{self.namespace}/s/s{key}{block}".encode()

    def tombstone(self, key: str, block: str) -> bytes:
        return f"{self.namespace}/s/t{key}{block}".encode()

    def value(self, key: str) -> bytes:
        return f"{self.namespace}/s/k{key}/v".encode()

    def priority(self, key: str) -> bytes:
        return f"{self.namespace}/s/k{key}/p".encode()

    @property
    def heads(self) -> bytes:
        """What the keys of all heads begin with."""
        return self.head("/")

    @property
    def all_wanted(self) -> bytes:
        return self.wanted("/")

    def elements(self, key: str) -> bytes:
        """What the keys of a mapping key's elements begin with; those of longer keys do as well."""
        return f"{self.namespace}/s/s{key}/".encode()

    def values(self, prefix: str) -> bytes:
        """What the keys of visible values begin with, of mapping keys below `prefix`."""
        return f"{self.namespace}/s/k{prefix}".encode()

    def mapping_key(self, key: bytes) -> str | None:
        """The mapping key whose visible value is under this key; None for anything else."""
        start = len(self.values(""))
        return key[start:-2].decode() if key.endswith(b"/v") else None


def write_number(number: int) -> bytes:
    """A height or priority as it is stored."""
    return varint.encode(number)


def read_number(data: bytes) -> int:
    """The inverse. Raises StorageError for what nobody wrote."""
    try:
        return varint.decode(data)[0]
    except DecodeError:
        raise StorageError(f"the replica's store is damaged: {data.hex()!r} is no number") from None
