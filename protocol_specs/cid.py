"""Content identifiers (multiformats/cid). The implementation is written by hand."""

from __future__ import annotations

from protocol_specs.grammar import Choice, Layout, UVarint
from protocol_specs.module import Module
from protocol_specs.multihash import MAX_CODE, MULTIHASH, SHA2_256, whole

CID_V1 = Layout("CidV1", "codec" / UVarint(MAX_CODE), "multihash" / MULTIHASH)

CID = Layout(
    "Cid",
    "version" / UVarint(MAX_CODE),
    "rest" / Choice("version", {1: CID_V1, SHA2_256: whole(32)}),
    doc="Version 0 is a bare sha2-256 multihash, so that its code stands where the version is.",
)

MODULE = Module(
    "cid",
    "Content identifiers.",
    "multiformats/cid",
    items={"cid": CID},
    implementation="mesh.multiformats.cid",
)
