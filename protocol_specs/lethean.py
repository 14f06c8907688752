"""The JSON messages of the Lethean mesh: keys, in the order they are written, their kinds, and which are left out.

JSON is no construct: this table is the definition, `mesh.protocols.lethean.messages` the code, and a test writes the same
values by both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

REFERENCE: Final = "the Lethean mesh, sections 2.3, 6.1, 7, 11.4 and 12.1 (go-p2p e6e7fe0)"
MAX_MESSAGE_BYTES: Final = 1_048_576
"""A whole WebSocket message, after encryption."""

KINDS: Final = frozenset(["string", "integer", "number", "bool", "bytes", "time", "strings", "any"])


@dataclass(frozen=True, slots=True)
class JsonKey:
    """One key. `kind` is one of `KINDS`, or the name of another object; `many` for an array of those."""

    name: str
    kind: str
    omit: bool = False
    many: bool = False


def keys(text: str) -> tuple[JsonKey, ...]:
    """Keys of a line: `name:kind`, with `?` behind those that are left out when zero, `[]` behind arrays of objects."""
    found = []
    for part in text.split():
        name, _, kind = part.partition(":")
        found.append(JsonKey(name, kind.rstrip("?").removesuffix("[]"), kind.endswith("?"), "[]" in kind))
    return tuple(found)


OBJECTS: Final[Mapping[str, tuple[JsonKey, ...]]] = {
    "Identity": keys("id:string name:string publicKey:string createdAt:time role:string"),
    "MinerStats": keys(
        "name:string type:string hashrate:number shares:integer rejected:integer uptime:integer pool:string "
        "algorithm:string cpuThreads:integer?"
    ),
    "Peer": keys(
        "id:string name:string publicKey:string address:string role:string addedAt:time lastSeen:time pingMs:number "
        "hops:integer geoKm:number score:number"
    ),
    "BundleFile": keys("type:string name:string data:bytes checksum:string"),
}
"""Objects inside messages and files."""

ENVELOPE: Final = keys("id:string type:string from:string to:string ts:time payload:any replyTo:string?")

MESSAGES: Final[Mapping[str, tuple[JsonKey, ...]]] = {
    "handshake": keys("identity:Identity challenge:bytes? version:string"),
    "handshake_ack": keys("identity:Identity challengeResponse:bytes? accepted:bool reason:string?"),
    "ping": keys("sentAt:integer"),
    "pong": keys("sentAt:integer receivedAt:integer"),
    "disconnect": keys("reason:string code:integer"),
    "stats": keys("nodeId:string nodeName:string miners:MinerStats[] uptime:integer"),
    "start_miner": keys("minerType:string profileId:string? config:any?"),
    "stop_miner": keys("minerName:string"),
    "miner_ack": keys("success:bool minerName:string? error:string?"),
    "deploy": keys("type:string data:bytes checksum:string name:string"),
    "deploy_ack": keys("success:bool name:string? error:string?"),
    "get_logs": keys("minerName:string lines:integer since:integer?"),
    "logs": keys("minerName:string lines:strings hasMore:bool"),
    "error": keys("code:integer message:string details:string?"),
}
"""Payloads by type; that of `get_stats` is null."""
