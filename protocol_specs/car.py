"""Content-addressable archives, version 1 (IPLD specs, transport/car/carv1): sections one after another.

The first section is a header in DAG-CBOR, each other a CID and the bytes of its block.
"""

from __future__ import annotations

from protocol_specs.dag_pb import MAX_BLOCK_BYTES, MAX_CID_BYTES
from protocol_specs.grammar import Delimited
from protocol_specs.module import Module

MAX_SECTION_BYTES = MAX_BLOCK_BYTES + MAX_CID_BYTES
MAX_ROOTS = 1024

SECTION = Delimited(MAX_SECTION_BYTES, min_bytes=1)

MODULE = Module(
    "car",
    "Sections of content-addressable archives.",
    "ipld/specs transport/car/carv1",
    items={"section": SECTION},
    constants={"MAX_ROOTS": MAX_ROOTS},
)
