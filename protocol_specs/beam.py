"""Beam's registry, gossip and tunnels, protocols of this project: signed records of services and names, rumours with a
hop count around a signed message, and the first message of a tunnel.

Records stand in the DHT of `/beam/kad/1.0.0` under `/beam/svc/...` and `/beam/name/...`, each in a signed envelope.
"""

from __future__ import annotations

from protocol_specs.grammar import Enum
from protocol_specs.module import Module
from protocol_specs.protobuf import Message, field

MAX_ID_BYTES = 255
MAX_PEER_BYTES = 128
MAX_ENDPOINTS = 16
MAX_ENDPOINT_BYTES = 512
MAX_METADATA_BYTES = 4096
MAX_RECORD_BYTES = 16 * 1024
"""Of a record in its envelope."""
MAX_TTL_S = 48 * 3600
"""The DHT keeps no value longer."""
MAX_MS = 2**53 - 1
MAX_PROVIDERS = 32
MAX_TRANSFERS = 8
MAX_TRANSFER_BYTES = 1024
MAX_TAGS = 16
MAX_TAG_BYTES = 64
MAX_DESCRIPTION_BYTES = 512
MAX_GOSSIP_BYTES = 64 * 1024
"""Of one signed gossip message."""
MAX_RUMOURS = 64
MAX_IDS = 512
MAX_HOPS = 255
MAX_FRAME_BYTES = 192 * 1024
MAX_REASON_BYTES = 512
MAX_OPENING_BYTES = MAX_ID_BYTES + 64
MAX_ANSWER_BYTES = MAX_REASON_BYTES + 64

SERVICE_TYPE = Enum(
    "ServiceType",
    {"OTHER": 0, "HTTP": 1, "TCP": 2, "UDP": 3, "WS": 4},
    closed=False,
    doc="What a service speaks; numbers that are not known count as OTHER.",
)
STATUS = Enum(
    "TunnelStatus",
    {"OK": 0, "UNKNOWN_SERVICE": 1, "NOT_ALLOWED": 2, "UNAVAILABLE": 3, "BUSY": 4},
    closed=False,
    doc="OK: the service's own bytes follow. UNAVAILABLE: it does not take connections. Other numbers are refusals too.",
)

SERVICE_RECORD = Message(
    "ServiceRecord",
    field(1, "service_id", "string", presence="required", max_bytes=MAX_ID_BYTES),
    field(2, "service_type", SERVICE_TYPE, presence="implicit"),
    field(
        3, "peer_id", "bytes", presence="required", max_bytes=MAX_PEER_BYTES, doc="the provider, who signs"
    ),
    field(
        4, "endpoints", "bytes", presence="repeated", max_bytes=MAX_ENDPOINT_BYTES, max_count=MAX_ENDPOINTS
    ),
    field(5, "metadata", "bytes", presence="implicit", max_bytes=MAX_METADATA_BYTES, doc="a JSON object"),
    field(6, "ttl_s", "uint32", presence="required", minimum=1, maximum=MAX_TTL_S),
    field(7, "seq", "uint64", presence="required", maximum=MAX_MS, doc="the greatest of a provider counts"),
    field(8, "created_ms", "uint64", presence="required", maximum=MAX_MS, doc="milliseconds since 1970"),
    field(9, "withdrawn", "bool", presence="implicit", doc="the provider offers it no more"),
    max_bytes=MAX_RECORD_BYTES,
    doc="A service of one provider.",
)

NAME_TRANSFER = Message(
    "NameTransfer",
    field(1, "name", "string", presence="required", max_bytes=MAX_ID_BYTES),
    field(2, "previous_owner", "bytes", presence="required", max_bytes=MAX_PEER_BYTES, doc="who signs"),
    field(3, "new_owner", "bytes", presence="required", max_bytes=MAX_PEER_BYTES),
    field(4, "at_ms", "uint64", presence="required", maximum=MAX_MS),
    field(
        5,
        "version",
        "uint64",
        presence="required",
        maximum=MAX_MS,
        doc="of the last record before the transfer",
    ),
    max_bytes=MAX_TRANSFER_BYTES,
    doc="The owner of a name gives it to somebody else.",
)

NAME_RECORD = Message(
    "NameRecord",
    field(1, "id", "bytes", presence="required", max_bytes=16, doc="a random UUID"),
    field(2, "name", "string", presence="required", max_bytes=MAX_ID_BYTES),
    field(3, "owner", "bytes", presence="required", max_bytes=MAX_PEER_BYTES, doc="peer id of who signs"),
    field(
        4, "tunnel_id", "string", presence="implicit", max_bytes=MAX_ID_BYTES, doc="the service it leads to"
    ),
    field(5, "tunnel_protocol", "string", presence="implicit", max_bytes=16),
    field(
        6,
        "addresses",
        "bytes",
        presence="repeated",
        max_bytes=MAX_ENDPOINT_BYTES,
        max_count=MAX_ENDPOINTS,
        doc="the first is the address of choice",
    ),
    field(7, "created_ms", "uint64", presence="required", maximum=MAX_MS),
    field(8, "updated_ms", "uint64", presence="required", maximum=MAX_MS),
    field(9, "ttl_s", "uint32", presence="required", minimum=1, maximum=MAX_TTL_S),
    field(
        10, "version", "uint64", presence="required", maximum=MAX_MS, doc="the greatest of an owner counts"
    ),
    field(11, "description", "string", presence="implicit", max_bytes=MAX_DESCRIPTION_BYTES),
    field(12, "tags", "string", presence="repeated", max_bytes=MAX_TAG_BYTES, max_count=MAX_TAGS),
    field(
        13,
        "providers",
        "bytes",
        presence="repeated",
        max_bytes=MAX_PEER_BYTES,
        max_count=MAX_PROVIDERS,
        doc="peers besides the owner that may serve the name",
    ),
    field(
        14,
        "transfers",
        "bytes",
        presence="repeated",
        max_bytes=MAX_TRANSFER_BYTES,
        max_count=MAX_TRANSFERS,
        doc="each a NameTransfer in a signed envelope, the latest last",
    ),
    field(15, "revoked", "bool", presence="implicit", doc="the owner gives the name up"),
    max_bytes=MAX_RECORD_BYTES,
    doc="Whose a name is and what it leads to.",
)

RUMOUR = Message(
    "Rumour",
    field(1, "hops", "uint32", presence="implicit", maximum=MAX_HOPS, doc="that it may still make"),
    field(2, "message", "bytes", presence="required", max_bytes=MAX_GOSSIP_BYTES, doc="a signed envelope"),
    max_bytes=MAX_GOSSIP_BYTES + 16,
)

IDS = Message(
    "Ids",
    field(1, "ids", "bytes", presence="repeated", max_bytes=32, max_count=MAX_IDS),
    max_bytes=MAX_IDS * 34,
    doc="SHA-256 digests of signed messages.",
)

GOSSIP_FRAME = Message(
    "GossipFrame",
    field(1, "rumours", RUMOUR, presence="repeated", max_count=MAX_RUMOURS),
    field(2, "digest", IDS, doc="what the sender heard lately"),
    field(3, "wanted", IDS, doc="what the sender asks for"),
    field(4, "offered", IDS, doc="with an answer to a digest: what that left out"),
    max_bytes=MAX_FRAME_BYTES,
    doc="One frame between neighbours.",
)

OPENING = Message(
    "Opening",
    field(1, "service_id", "string", presence="required", max_bytes=MAX_ID_BYTES),
    max_bytes=MAX_OPENING_BYTES,
    doc="The first message of a tunnel, and all of a probe.",
)

ANSWER = Message(
    "TunnelAnswer",
    field(1, "status", STATUS, presence="implicit"),
    field(2, "reason", "string", presence="implicit", max_bytes=MAX_REASON_BYTES),
    max_bytes=MAX_ANSWER_BYTES,
    doc="What the provider says to it.",
)

MODULE = Module(
    "beam",
    "Beam's registry, gossip and tunnels: signed records, rumours, the opening of a tunnel.",
    "this project: protocol_specs/beam.py",
    items={
        "service_record": SERVICE_RECORD,
        "name_transfer": NAME_TRANSFER,
        "name_record": NAME_RECORD,
        "rumour": RUMOUR,
        "ids": IDS,
        "gossip_frame": GOSSIP_FRAME,
        "opening": OPENING,
        "answer": ANSWER,
    },
    enums=(SERVICE_TYPE, STATUS),
    constants={
        "MAX_ID_BYTES": MAX_ID_BYTES,
        "MAX_ENDPOINTS": MAX_ENDPOINTS,
        "MAX_METADATA_BYTES": MAX_METADATA_BYTES,
        "MAX_RECORD_BYTES": MAX_RECORD_BYTES,
        "MAX_TTL_S": MAX_TTL_S,
        "MAX_PROVIDERS": MAX_PROVIDERS,
        "MAX_TRANSFERS": MAX_TRANSFERS,
        "MAX_GOSSIP_BYTES": MAX_GOSSIP_BYTES,
        "MAX_RUMOURS": MAX_RUMOURS,
        "MAX_IDS": MAX_IDS,
        "MAX_HOPS": MAX_HOPS,
        "MAX_FRAME_BYTES": MAX_FRAME_BYTES,
        "MAX_REASON_BYTES": MAX_REASON_BYTES,
        "MAX_OPENING_BYTES": MAX_OPENING_BYTES,
        "MAX_ANSWER_BYTES": MAX_ANSWER_BYTES,
    },
)
