"""Binding requests and answers, read and written whole (RFC 8489; the attributes of RFC 5780).

A request we send says our software and ends in a fingerprint. An answer is taken without its password attributes: which
server answers is known by the transaction id, of 96 random bits, and by where it comes from.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from mesh.codecs import stun
from mesh.codecs.stun import AttributeType, MessageType
from mesh.errors import DecodeError, Malformed

SOFTWARE: Final = "mesh"
_UNDERSTOOD: Final = frozenset(
    (
        AttributeType.MAPPED_ADDRESS,
        AttributeType.XOR_MAPPED_ADDRESS,
        AttributeType.CHANGE_REQUEST,
        AttributeType.ERROR_CODE,
        AttributeType.UNKNOWN_ATTRIBUTES,
        AttributeType.PADDING,
    )
)
_HOST_BYTES: Final = {stun.Family.IPV4: 4, stun.Family.IPV6: 16}
_COOKIE: Final = stun.MAGIC_COOKIE.to_bytes(4, "big")
UNKNOWN_ATTRIBUTE: Final = 420

HostPort = tuple[str, int]
"""A numeric host and a port."""


@dataclass(frozen=True, slots=True)
class Request:
    """A binding request as a server reads it. ``unknown`` are the types it would have to understand."""

    transaction_id: bytes
    change_address: bool
    change_port: bool
    unknown: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered. ``error`` is 0 for success, else `mapped` is None; ``other`` is its second address."""

    transaction_id: bytes
    mapped: HostPort | None = None
    other: HostPort | None = None
    origin: HostPort | None = None
    software: str = ""
    error: int = 0
    reason: str = ""
    unknown: tuple[int, ...] = ()


def looks_like_stun(datagram: bytes) -> bool:
    """Whether a datagram can be STUN: both highest bits are zero, and the cookie is in its place (RFC 9443)."""
    return len(datagram) >= stun.HEADER_LENGTH and datagram[0] < 0x40 and datagram[4:8] == _COOKIE


def write_request(transaction_id: bytes, *, change_address: bool = False, change_port: bool = False) -> bytes:
    """A binding request. With a change the answer is to come from the server's other address, other port, or both."""
    attributes = [(int(AttributeType.SOFTWARE), SOFTWARE.encode())]
    flags = stun.CHANGE_ADDRESS * change_address | stun.CHANGE_PORT * change_port
    if flags:
        attributes.append((int(AttributeType.CHANGE_REQUEST), stun.ChangeRequest(flags).encode()))
    return _write(MessageType.BINDING_REQUEST, transaction_id, attributes)


def write_success(
    transaction_id: bytes,
    mapped: HostPort,
    *,
    other: HostPort | None = None,
    origin: HostPort | None = None,
    masked: bool = True,
) -> bytes:
    """An answer that tells a client its address; ``masked`` false writes it as RFC 3489 did."""
    kind = AttributeType.XOR_MAPPED_ADDRESS if masked else AttributeType.MAPPED_ADDRESS
    attributes = [(int(kind), _write_address(mapped, transaction_id if masked else None))]
    for attribute, address in ((AttributeType.RESPONSE_ORIGIN, origin), (AttributeType.OTHER_ADDRESS, other)):
        if address is not None:
            attributes.append((int(attribute), _write_address(address, None)))
    return _write(MessageType.BINDING_SUCCESS, transaction_id, attributes)


def write_error(transaction_id: bytes, code: int, reason: str, unknown: tuple[int, ...] = ()) -> bytes:
    """A refusal, ``code`` 300 to 699; with 420 the attributes that were not understood."""
    attributes = [
        (int(AttributeType.ERROR_CODE), stun.ErrorCode(0, code // 100, code % 100, reason).encode())
    ]
    if unknown:
        attributes.append(
            (int(AttributeType.UNKNOWN_ATTRIBUTES), stun.UnknownAttributes(list(unknown)).encode())
        )
    return _write(MessageType.BINDING_ERROR, transaction_id, attributes)


def read_request(datagram: bytes) -> Request | None:
    """A binding request, None for anything else. Raises `DecodeError` for what is not a STUN message."""
    message, values = _read(datagram)
    if message.type != MessageType.BINDING_REQUEST:
        return None
    change = values.get(AttributeType.CHANGE_REQUEST)
    flags = 0 if change is None else stun.ChangeRequest.decode(change).flags
    return Request(
        message.transaction_id,
        bool(flags & stun.CHANGE_ADDRESS),
        bool(flags & stun.CHANGE_PORT),
        _not_understood(values),
    )


def read_answer(datagram: bytes) -> Answer | None:
    """An answer to a binding request, None for anything else. Raises `DecodeError` for what is not a STUN message, for a
    success without an address, and for one with an attribute that has to be understood and is not."""
    message, values = _read(datagram)
    identity = message.transaction_id
    if message.type == MessageType.BINDING_ERROR:
        return _read_error(identity, values)
    if message.type != MessageType.BINDING_SUCCESS:
        return None
    unknown = _not_understood(values)
    if unknown:
        raise Malformed("stun answer", None, f"attribute {unknown[0]:#06x} has to be understood and is not")
    mapped = _address(values, AttributeType.XOR_MAPPED_ADDRESS, identity)
    if mapped is None:
        mapped = _address(values, AttributeType.MAPPED_ADDRESS, None)
    if mapped is None:
        raise Malformed("stun answer", None, "it tells no address")
    software = values.get(AttributeType.SOFTWARE, b"")
    return Answer(
        identity,
        mapped,
        _address(values, AttributeType.OTHER_ADDRESS, None),
        _address(values, AttributeType.RESPONSE_ORIGIN, None),
        software.decode(errors="replace"),
    )


def _read_error(identity: bytes, values: dict[int, bytes]) -> Answer:
    encoded = values.get(AttributeType.ERROR_CODE)
    if encoded is None:
        raise Malformed("stun error", None, "it has no code")
    code = stun.ErrorCode.decode(encoded)
    listed = values.get(AttributeType.UNKNOWN_ATTRIBUTES, b"")
    return Answer(
        identity,
        error=(code.hundreds & 7) * 100 + code.rest,
        reason=code.reason,
        unknown=tuple(stun.UnknownAttributes.decode(listed).types),
    )


def _read(datagram: bytes) -> tuple[stun.Message, dict[int, bytes]]:
    """The message and the first value of each attribute; the fingerprint, if there is one, must be right and last."""
    message = stun.Message.decode(datagram)
    if message.length != len(datagram) - stun.HEADER_LENGTH:
        raise Malformed("stun message", 2, f"says {message.length} bytes of attributes")
    values: dict[int, bytes] = {}
    for at, (kind, value) in enumerate(message.attributes):
        if kind == AttributeType.FINGERPRINT:
            last = at == len(message.attributes) - 1
            if not last or stun.Fingerprint.decode(value).checksum != _checksum(datagram[:-8]):
                raise Malformed("stun message", None, "the fingerprint is wrong")
        values.setdefault(kind, value)
    return message, values


def _write(kind: MessageType, transaction_id: bytes, attributes: list[tuple[int, bytes]]) -> bytes:
    length = sum(4 + len(value) + -len(value) % 4 for _, value in attributes) + 8
    front = stun.Message(kind, length, transaction_id, attributes).encode()
    mark = stun.Fingerprint(_checksum(front)).encode()
    return stun.Message(
        kind, length, transaction_id, [*attributes, (int(AttributeType.FINGERPRINT), mark)]
    ).encode()


def _checksum(front: bytes) -> int:
    return zlib.crc32(front) ^ stun.FINGERPRINT_MASK


def _not_understood(values: dict[int, bytes]) -> tuple[int, ...]:
    return tuple(kind for kind in values if kind < stun.FIRST_OPTIONAL and kind not in _UNDERSTOOD)


def _address(values: dict[int, bytes], kind: AttributeType, masked_by: bytes | None) -> HostPort | None:
    """The address in an attribute, None when it is not there or of a family that is unknown."""
    encoded = values.get(kind)
    if encoded is None:
        return None
    address = stun.Address.decode(encoded)
    size = _HOST_BYTES.get(stun.Family(address.family)) if address.family in (1, 2) else None
    if size is None:
        return None
    if len(address.host) != size:
        raise Malformed(f"stun {kind.name}", None, f"a host of {len(address.host)} bytes")
    host, port = address.host, address.port
    if masked_by is not None:
        host, port = _mask(host, masked_by), port ^ (stun.MAGIC_COOKIE >> 16)
    return str(ip_address(host)), port


def _write_address(address: HostPort, masked_by: bytes | None) -> bytes:
    host, port = ip_address(address[0]).packed, address[1]
    family = stun.Family.IPV4 if len(host) == 4 else stun.Family.IPV6
    if masked_by is not None:
        host, port = _mask(host, masked_by), port ^ (stun.MAGIC_COOKIE >> 16)
    return stun.Address(0, family, port, host).encode()


def _mask(host: bytes, transaction_id: bytes) -> bytes:
    return bytes(own ^ other for own, other in zip(host, _COOKIE + transaction_id, strict=False))


def answer_request(datagram: bytes, answer: Callable[[Request], bytes | None]) -> bytes | None:
    """What a server sends back: an error for attributes it must understand and does not, else what ``answer`` makes of
    the request; None for what is not a binding request, which nobody answers."""
    try:
        request = read_request(datagram)
    except DecodeError:
        return None
    if request is None:
        return None
    if request.unknown:
        return write_error(request.transaction_id, UNKNOWN_ATTRIBUTE, "Unknown Attribute", request.unknown)
    return answer(request)
