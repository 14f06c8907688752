"""The types of messages that the specification gives a structure (section 5.1), to hold our own messages to it.

What comes is taken whatever its structure, as stock daemons do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mesh.errors import UsageError

Kinds = Mapping[str, str]


def _fields(text: str) -> Kinds:
    """Names and kinds of a line of `name:kind`, with `?` behind those that may be absent."""
    return dict(part.split(":") for part in text.split())


FIELDS: Final[Mapping[str, Kinds]] = {
    "text": _fields("content:string replyTo:string?"),
    "request": _fields("service:string params:object maxWaitMs:integer?"),
    "response": _fields("requestId:string success:bool result:any? error:string?"),
    "error": _fields("code:any message:string details:any?"),
    "service:announce": _fields("services:objects"),
    "service:query": {},
    "service:list": {},
    "payment": _fields("txid:string vout:integer amount:integer toAddress:string memo:string? beef:string?"),
    "payment:ack": _fields("paymentId:string txid:string received:bool balance:number?"),
    "paid:request": _fields("channelId:string service:string params:object payment:object"),
    "paid:result": _fields(
        "requestId:string channelId:string success:bool result:any? error:string? paymentAccepted:any"
    ),
    "paid:refund": {},
    "channel:open": _fields(
        "channelId:string fundingTxHex:string ourPubKey:string proposedCapacity:integer proposedLockTime:integer"
    ),
    "channel:accept": _fields("channelId:string fundingTxHex:string theirPubKey:string"),
    "channel:reject": _fields("channelId:string reason:string"),
    "channel:update": _fields(
        "channelId:string sequence:integer ourBalance:integer theirBalance:integer commitmentTxHex:string "
        "signature:string"
    ),
    "channel:close": _fields("channelId:string finalTxHex:string cooperative:bool"),
    "close:request": _fields(
        "channelId:string fundingTxId:string fundingVout:integer capacity:integer initiatorBalance:integer "
        "responderBalance:integer fee:integer initiatorSignature:string initiatorPubKey:string responderPubKey:string"
    ),
    "close:accept": _fields("channelId:string responderSignature:string"),
    "close:complete": _fields("channelId:string closingTxId:string"),
}


def check_fields(kind: str, fields: Mapping[str, Any]) -> None:
    """Hold a message's fields to its type; types without a structure, and further fields, are free.

    Raises `UsageError` that names the field.
    """
    for name, wanted in FIELDS.get(kind, {}).items():
        if name not in fields:
            if not wanted.endswith("?"):
                raise UsageError(f"a {kind} message needs {name}")
        elif not _fits(fields[name], wanted.rstrip("?")):
            raise UsageError(f"{name} of a {kind} message is no {wanted.rstrip('?')}")


def _fits(value: Any, kind: str) -> bool:
    if kind == "any":
        return True
    if kind == "objects":
        return isinstance(value, list | tuple) and all(isinstance(each, Mapping) for each in value)
    if kind == "bool" or isinstance(value, bool):
        return kind == "bool" and isinstance(value, bool)
    wanted: dict[str, type | tuple[type, ...]] = {
        "string": str,
        "integer": int,
        "number": (int, float),
        "object": Mapping,
    }
    return isinstance(value, wanted[kind])
