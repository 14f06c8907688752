"""The payloads of the mesh's messages, one record a type (section 7), and the numbers in them.

`PAYLOADS` maps the name of a type to its record. `get_stats` has none: its payload is `null`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import ClassVar, Final

from mesh.protocols.lethean.identity import Identity
from mesh.protocols.lethean.json_record import (
    BINARY,
    FLAG,
    INTEGER,
    NUMBER,
    RAW,
    TEXT,
    TEXTS,
    JsonRecord,
    Key,
    nested,
    records,
)


class ErrorCode(IntEnum):
    """Why a request failed. Go sends OPERATION_FAILED alone."""

    UNKNOWN = 1000
    INVALID_MESSAGE = 1001
    UNAUTHORIZED = 1002
    NOT_FOUND = 1003
    OPERATION_FAILED = 1004
    TIMEOUT = 1005


class DisconnectCode(IntEnum):
    """Why a connection is ended in order. Go sends SERVER_SHUTDOWN alone."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    IDLE_TIMEOUT = 1003
    SERVER_SHUTDOWN = 1004


class Handshake(JsonRecord):
    """`handshake`: who dials, bytes to be answered (None for no challenge), the version it speaks."""

    __slots__ = ("challenge", "identity", "version")
    identity: Identity | None
    challenge: bytes | None
    version: str
    KEYS: ClassVar = (
        Key("identity", "identity", nested(Identity)),
        Key("challenge", "challenge", BINARY, omit=True),
        Key("version", "version", TEXT),
    )


class HandshakeAck(JsonRecord):
    """`handshake_ack`: who listens, its answer to the challenge, or why it refuses."""

    __slots__ = ("accepted", "challenge_response", "identity", "reason")
    identity: Identity | None
    challenge_response: bytes | None
    accepted: bool
    reason: str
    KEYS: ClassVar = (
        Key("identity", "identity", nested(Identity)),
        Key("challenge_response", "challengeResponse", BINARY, omit=True),
        Key("accepted", "accepted", FLAG),
        Key("reason", "reason", TEXT, omit=True),
    )


class Ping(JsonRecord):
    """`ping`: Unix milliseconds on the sender's clock."""

    __slots__ = ("sent_at_ms",)
    sent_at_ms: int
    KEYS: ClassVar = (Key("sent_at_ms", "sentAt", INTEGER),)


class Pong(JsonRecord):
    """`pong`: the ping's time again, and when it came, in Unix milliseconds."""

    __slots__ = ("received_at_ms", "sent_at_ms")
    sent_at_ms: int
    received_at_ms: int
    KEYS: ClassVar = (Key("sent_at_ms", "sentAt", INTEGER), Key("received_at_ms", "receivedAt", INTEGER))


class Disconnect(JsonRecord):
    """`disconnect`: why this connection ends, see `DisconnectCode`."""

    __slots__ = ("code", "reason")
    reason: str
    code: int
    KEYS: ClassVar = (Key("reason", "reason", TEXT), Key("code", "code", INTEGER))


class MinerStats(JsonRecord):
    """One miner in `stats`."""

    __slots__ = (
        "algorithm",
        "cpu_threads",
        "hashrate",
        "name",
        "pool",
        "rejected",
        "shares",
        "type",
        "uptime_s",
    )
    name: str
    type: str
    hashrate: float
    shares: int
    rejected: int
    uptime_s: int
    pool: str
    algorithm: str
    cpu_threads: int
    KEYS: ClassVar = (
        Key("name", "name", TEXT),
        Key("type", "type", TEXT),
        Key("hashrate", "hashrate", NUMBER),
        Key("shares", "shares", INTEGER),
        Key("rejected", "rejected", INTEGER),
        Key("uptime_s", "uptime", INTEGER),
        Key("pool", "pool", TEXT),
        Key("algorithm", "algorithm", TEXT),
        Key("cpu_threads", "cpuThreads", INTEGER, omit=True),
    )


class Stats(JsonRecord):
    """`stats`: the node and its miners; None for miners is written as no miners."""

    __slots__ = ("miners", "node_id", "node_name", "uptime_s")
    node_id: str
    node_name: str
    miners: list[MinerStats] | None
    uptime_s: int
    KEYS: ClassVar = (
        Key("node_id", "nodeId", TEXT),
        Key("node_name", "nodeName", TEXT),
        Key("miners", "miners", records(MinerStats)),
        Key("uptime_s", "uptime", INTEGER),
    )


class StartMiner(JsonRecord):
    """`start_miner`: the type, and a configuration as JSON text or the id of a profile that holds it."""

    __slots__ = ("config", "miner_type", "profile_id")
    miner_type: str
    profile_id: str
    config: str | None
    KEYS: ClassVar = (
        Key("miner_type", "minerType", TEXT),
        Key("profile_id", "profileId", TEXT, omit=True),
        Key("config", "config", RAW, omit=True),
    )


class StopMiner(JsonRecord):
    """`stop_miner`."""

    __slots__ = ("miner_name",)
    miner_name: str
    KEYS: ClassVar = (Key("miner_name", "minerName", TEXT),)


class MinerAck(JsonRecord):
    """`miner_ack`: what came of starting or stopping."""

    __slots__ = ("error", "miner_name", "success")
    success: bool
    miner_name: str
    error: str
    KEYS: ClassVar = (
        Key("success", "success", FLAG),
        Key("miner_name", "minerName", TEXT, omit=True),
        Key("error", "error", TEXT, omit=True),
    )


class Deploy(JsonRecord):
    """`deploy`: a bundle, also the form of a bundle in a file; `checksum` is SHA-256 of `data` in lower-case hex."""

    __slots__ = ("checksum", "data", "name", "type")
    type: str
    data: bytes | None
    checksum: str
    name: str
    KEYS: ClassVar = (
        Key("type", "type", TEXT),
        Key("data", "data", BINARY),
        Key("checksum", "checksum", TEXT),
        Key("name", "name", TEXT),
    )


class DeployAck(JsonRecord):
    """`deploy_ack`."""

    __slots__ = ("error", "name", "success")
    success: bool
    name: str
    error: str
    KEYS: ClassVar = (
        Key("success", "success", FLAG),
        Key("name", "name", TEXT, omit=True),
        Key("error", "error", TEXT, omit=True),
    )


class GetLogs(JsonRecord):
    """`get_logs`: how many lines at most, and from which Unix millisecond on (0: from any)."""

    __slots__ = ("lines", "miner_name", "since_ms")
    miner_name: str
    lines: int
    since_ms: int
    KEYS: ClassVar = (
        Key("miner_name", "minerName", TEXT),
        Key("lines", "lines", INTEGER),
        Key("since_ms", "since", INTEGER, omit=True),
    )


class Logs(JsonRecord):
    """`logs`; Go says None for no lines."""

    __slots__ = ("has_more", "lines", "miner_name")
    miner_name: str
    lines: list[str] | None
    has_more: bool
    KEYS: ClassVar = (
        Key("miner_name", "minerName", TEXT),
        Key("lines", "lines", TEXTS),
        Key("has_more", "hasMore", FLAG),
    )


class ErrorReply(JsonRecord):
    """`error`: a request that failed, see `ErrorCode`."""

    __slots__ = ("code", "details", "message")
    code: int
    message: str
    details: str
    KEYS: ClassVar = (
        Key("code", "code", INTEGER),
        Key("message", "message", TEXT),
        Key("details", "details", TEXT, omit=True),
    )


PAYLOADS: Final[Mapping[str, type[JsonRecord]]] = {
    "handshake": Handshake,
    "handshake_ack": HandshakeAck,
    "ping": Ping,
    "pong": Pong,
    "disconnect": Disconnect,
    "stats": Stats,
    "start_miner": StartMiner,
    "stop_miner": StopMiner,
    "miner_ack": MinerAck,
    "deploy": Deploy,
    "deploy_ack": DeployAck,
    "get_logs": GetLogs,
    "logs": Logs,
    "error": ErrorReply,
}
