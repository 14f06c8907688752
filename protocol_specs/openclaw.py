"""The stock agent protocols (bsv-p2p daemon 16eb4dd): the frame of both, and the keys of their JSON messages.

JSON is no construct: `MESSAGES` is the definition of what we write and of what a well-formed message carries;
`mesh.protocols.openclaw` is the code, and a test holds it to this table. Stock daemons take any object.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from protocol_specs.grammar import Delimited
from protocol_specs.lethean import JsonKey, keys
from protocol_specs.module import Module

MAX_FRAME_BYTES = 4 * 1024 * 1024
"""What a stock daemon's decoder takes; above, it resets the stream."""
MAX_MESSAGE_BYTES = 1024 * 1024
"""What a stock daemon keeps; above, it drops the message without a word."""

ENVELOPE: Final = keys("id:string type:string timestamp:integer from:string to:string?")
"""Of every message. Optional keys that are not set are left out, not null."""

_OUTCOME = "requestId:string success:bool result:any? error:string?"

MESSAGES: Final[Mapping[str, tuple[JsonKey, ...]]] = {
    "text": keys("content:string replyTo:string?"),
    "request": keys("service:string params:object maxWaitMs:integer?"),
    "response": keys(_OUTCOME),
    "error": keys("code:any message:string details:any?"),
    "service:announce": keys("services:objects"),
    "service:query": (),
    "service:list": (),
    "payment": keys("txid:string vout:integer amount:integer toAddress:string memo:string? beef:string?"),
    "payment:ack": keys("paymentId:string txid:string received:bool balance:number?"),
    "paid:request": keys("channelId:string service:string params:object payment:object"),
    "paid:result": keys(
        "requestId:string channelId:string success:bool result:any? error:string? paymentAccepted:any"
    ),
    "paid:refund": (),
    "channel:open": keys(
        "channelId:string fundingTxHex:string ourPubKey:string proposedCapacity:integer proposedLockTime:integer"
    ),
    "channel:accept": keys("channelId:string fundingTxHex:string theirPubKey:string"),
    "channel:reject": keys("channelId:string reason:string"),
    "channel:update": keys(
        "channelId:string sequence:integer ourBalance:integer theirBalance:integer commitmentTxHex:string "
        "signature:string"
    ),
    "channel:close": keys("channelId:string finalTxHex:string cooperative:bool"),
    "close:request": keys(
        "channelId:string fundingTxId:string fundingVout:integer capacity:integer initiatorBalance:integer "
        "responderBalance:integer fee:integer initiatorSignature:string initiatorPubKey:string "
        "responderPubKey:string"
    ),
    "close:accept": keys("channelId:string responderSignature:string"),
    "close:complete": keys("channelId:string closingTxId:string"),
}
"""Keys besides the envelope's, by type. Types without structure, and all others, carry what they like."""

PING: Final = keys("type:string ts:any?")
PONG: Final = keys("type:string timestamp:integer from:string inResponseTo:any?")

ANNOUNCEMENT: Final = keys(
    "peerId:string bsvIdentityKey:string services:objects multiaddrs:strings timestamp:integer signature:string "
    "attestation:string?"
)
"""In the announcement topic; `attestation` is ours, in its compact form."""
NODE_STATUS: Final = keys(
    "peerId:string name:string multiaddrs:strings services:strings version:string uptime:integer "
    "connectedPeers:integer timestamp:integer"
)

MODULE = Module(
    "openclaw",
    "The frame of the stock agent protocols: JSON behind its length.",
    "bsv-p2p daemon specification, section 5",
    items={"frame": Delimited(MAX_FRAME_BYTES)},
    constants={"MAX_MESSAGE_BYTES": MAX_MESSAGE_BYTES},
)
