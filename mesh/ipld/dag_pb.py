"""Nodes of data and links (IPLD specs, codecs/dag-pb), stricter than protobuf.

Links are written before the data, a link's name and size even if they are empty. A reader takes the data on either
side of the links, but no field twice, out of order or unknown: what it took is written again and has to be the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mesh.codecs.dag_pb import PBLink, PBNode
from mesh.errors import Malformed
from mesh.multiformats.cid import Cid


@dataclass(frozen=True, slots=True)
class Link:
    """A named link; `total_bytes` is the size of all blocks below it, as the writer believes (Tsize)."""

    cid: Cid
    name: str = ""
    total_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Node:
    """What a block of codec dag-pb holds; no data is something else than empty data."""

    data: bytes | None = None
    links: tuple[Link, ...] = ()

    def encode(self) -> bytes:
        """The canonical bytes; links are sorted by the bytes of their names, those of one name keep their order.

        Raises UsageError when a limit of the format is passed.
        """
        ordered = sorted(self.links, key=lambda each: each.name.encode())
        links = [PBLink(hash=each.cid.to_bytes(), name=each.name, tsize=each.total_bytes) for each in ordered]
        return PBNode(links=links).encode() + PBNode(data=self.data).encode()

    @classmethod
    def decode(cls, data: bytes) -> Node:
        """Reads one node in any order the specification permits. Raises DecodeError."""
        found = PBNode.decode(data)
        links_first = PBNode(links=found.links).encode() + PBNode(data=found.data).encode()
        if data not in (links_first, found.encode()):
            raise Malformed("PBNode", None, "fields twice, out of order or unknown")
        return cls(found.data, tuple(map(_link, found.links)))


def links_of(data: bytes) -> Iterable[Cid]:
    """The CIDs that a node's bytes link to. Raises DecodeError."""
    return (each.cid for each in Node.decode(data).links)


def _link(found: PBLink) -> Link:
    return Link(Cid.from_bytes(found.hash), found.name or "", found.tsize or 0)
