"""The protocols a multiaddr can name: code, width and the two forms of the value.

Each value has a text form and bytes. `parse` turns text into bytes, `render` bytes into canonical text, and
`check` looks at bytes that did not come from `parse`; all three raise ValueError with the reason. Verdicts
follow go-multiaddr, except that text in bytes must be UTF-8 without control characters, since addresses of
strangers end up on terminals and in logs.
"""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mesh.multiformats import multibase, peer_multihash, varint
from mesh.multiformats.multihash import Multihash
from mesh.multiformats.positional import b58encode

VARIABLE: Final = -1

IP4: Final = 4
TCP: Final = 6
IP6: Final = 41
IP6ZONE: Final = 42
DNS: Final = 53
DNS4: Final = 54
DNS6: Final = 55
DNSADDR: Final = 56
UDP: Final = 273
P2P_CIRCUIT: Final = 290
UNIX: Final = 400
P2P: Final = 421

_GARLIC64_MIN_BYTES: Final = 386
_UNRESERVED: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~")


@dataclass(frozen=True, slots=True, eq=False)
class Protocol:
    """One row of the table. `size` is the value's width in bytes, 0 for none, VARIABLE behind its length."""

    name: str
    code: int
    size: int
    parse: Callable[[str], bytes]
    render: Callable[[bytes], str]
    check: Callable[[bytes], None] | None
    prefix: bytes

    def __repr__(self) -> str:
        return f"<protocol {self.name} {self.code}>"


# --- the value forms ----------------------------------------------------------------------------------------


def _parse_number(text: str, size: int) -> bytes:
    digits = text.lstrip("0") or text[:1]
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError("not a decimal number")
    if len(digits) > 20 or int(digits) >= 1 << (8 * size):
        raise ValueError(f"above {(1 << (8 * size)) - 1}")
    return int(digits).to_bytes(size, "big")


def _render_number(value: bytes) -> str:
    return str(int.from_bytes(value, "big"))


def _parse_ip4(text: str) -> bytes:
    if ":" not in text:
        return ipaddress.IPv4Address(text).packed
    mapped = ipaddress.IPv6Address(text).ipv4_mapped
    if mapped is None or "%" in text:
        raise ValueError("an IPv6 address")
    return mapped.packed


def render_ip4(value: bytes) -> str:
    """Dotted decimal of four bytes."""
    return ".".join(map(str, value))


def _parse_ip6(text: str) -> bytes:
    if "%" in text:
        raise ValueError("the zone belongs into an ip6zone component before it")
    if ":" not in text:
        return bytes(10) + b"\xff\xff" + ipaddress.IPv4Address(text).packed
    return ipaddress.IPv6Address(text).packed


def render_ip6(value: bytes) -> str:
    """The form of RFC 5952; addresses that map IPv4 end in dotted decimal."""
    if value[:12] == b"\0\0\0\0\0\0\0\0\0\0\xff\xff":
        return "::ffff:" + render_ip4(value[12:])
    return str(ipaddress.IPv6Address(value))


def _check_plain(value: bytes) -> None:
    text = value.decode()
    if not text.isprintable() and any(character < " " or "\x7f" <= character <= "\x9f" for character in text):
        raise ValueError("has control characters")


def _check_name(value: bytes) -> None:
    _check_plain(value)
    if b"/" in value:
        raise ValueError("has a slash")


def _check_path(value: bytes) -> None:
    _check_plain(value)
    if len(value) < 2 or value[0] != 0x2F or value[-1] == 0x2F:
        raise ValueError("a path starts with a slash and does not end in one")


def _check_multihash(value: bytes) -> None:
    Multihash.from_bytes(value)


def _render_certhash(value: bytes) -> str:
    return multibase.encode("base64url", value)


def _parse_http_path(text: str) -> bytes:
    out = bytearray()
    raw, at = text.encode(), 0
    while at < len(raw):
        byte = raw[at]
        if byte == 0x25:
            digits = raw[at + 1 : at + 3]
            if len(digits) < 2 or not all(digit in b"0123456789abcdefABCDEF" for digit in digits):
                raise ValueError("a percent sign needs two hexadecimal digits")
            byte, at = int(digits, 16), at + 2
        elif byte == 0x2B:
            byte = 0x20
        out.append(byte)
        at += 1
    return bytes(out)


def _render_http_path(value: bytes) -> str:
    return "".join(
        chr(byte) if byte in _UNRESERVED else "+" if byte == 0x20 else f"%{byte:02X}" for byte in value
    )


def _parse_onion(text: str, size: int) -> bytes:
    host, colon, port = text.partition(":")
    if not colon:
        raise ValueError("the port is missing")
    value = base64.b32decode(host.encode("ascii"), casefold=True)
    if len(value) != size:
        raise ValueError(f"an onion name of {len(value)} bytes instead of {size}")
    value += _parse_number(port, 2)
    _check_onion(value)
    return value


def _render_onion(value: bytes) -> str:
    return f"{base64.b32encode(value[:-2]).decode().lower()}:{int.from_bytes(value[-2:], 'big')}"


def _check_onion(value: bytes) -> None:
    if value[-2:] == b"\0\0":
        raise ValueError("port 0")


def _parse_garlic64(text: str) -> bytes:
    return base64.b64decode(text.encode("ascii"), b"-~", validate=True)


def _render_garlic64(value: bytes) -> str:
    return base64.b64encode(value, b"-~").decode()


def _check_garlic64(value: bytes) -> None:
    if len(value) < _GARLIC64_MIN_BYTES:
        raise ValueError(f"{len(value)} bytes; an I2P destination has at least {_GARLIC64_MIN_BYTES}")


def _parse_garlic32(text: str) -> bytes:
    if text != text.lower():
        raise ValueError("not lower case")
    return base64.b32decode(text.upper().encode("ascii") + b"=" * (-len(text) % 8))


def _render_garlic32(value: bytes) -> str:
    return base64.b32encode(value).decode().rstrip("=").lower()


def _check_garlic32(value: bytes) -> None:
    if len(value) < 35 and len(value) != 32:
        raise ValueError(f"{len(value)} bytes; an I2P name has 32, or 35 and more")


# --- the table ----------------------------------------------------------------------------------------------


def _row(
    name: str,
    code: int,
    size: int = 0,
    parse: Callable[[str], bytes] = str.encode,
    render: Callable[[bytes], str] = bytes.decode,
    check: Callable[[bytes], None] | None = None,
) -> Protocol:
    return Protocol(name, code, size, parse, render, check, varint.encode(code))


def _number(name: str, code: int, size: int) -> Protocol:
    return _row(name, code, size, lambda text: _parse_number(text, size), _render_number)


def _name(name: str, code: int) -> Protocol:
    return _row(name, code, VARIABLE, str.encode, bytes.decode, _check_name)


PROTOCOLS: Final = (
    _row("ip4", IP4, 4, _parse_ip4, render_ip4),
    _number("tcp", TCP, 2),
    _number("dccp", 33, 2),
    _row("ip6", IP6, 16, _parse_ip6, render_ip6),
    _name("ip6zone", IP6ZONE),
    _number("ipcidr", 43, 1),
    _name("dns", DNS),
    _name("dns4", DNS4),
    _name("dns6", DNS6),
    _name("dnsaddr", DNSADDR),
    _number("sctp", 132, 2),
    _number("udp", UDP, 2),
    _row("p2p-webrtc-direct", 276),
    _row("webrtc-direct", 280),
    _row("webrtc", 281),
    _row("p2p-circuit", P2P_CIRCUIT),
    _row("udt", 301),
    _row("utp", 302),
    _row("unix", UNIX, VARIABLE, str.encode, bytes.decode, _check_path),
    _row("p2p", P2P, VARIABLE, peer_multihash.parse, b58encode, peer_multihash.check),
    _row("https", 443),
    _row("onion", 444, 12, lambda text: _parse_onion(text, 10), _render_onion, _check_onion),
    _row("onion3", 445, 37, lambda text: _parse_onion(text, 35), _render_onion, _check_onion),
    _row("garlic64", 446, VARIABLE, _parse_garlic64, _render_garlic64, _check_garlic64),
    _row("garlic32", 447, VARIABLE, _parse_garlic32, _render_garlic32, _check_garlic32),
    _row("tls", 448),
    _name("sni", 449),
    _row("noise", 454),
    _row("quic", 460),
    _row("quic-v1", 461),
    _row("webtransport", 465),
    _row("certhash", 466, VARIABLE, multibase.decode, _render_certhash, _check_multihash),
    _row("ws", 477),
    _row("wss", 478),
    _row("http", 480),
    _row("http-path", 481, VARIABLE, _parse_http_path, _render_http_path),
    _number("memory", 777, 8),
    _row("plaintextv2", 7367777),
)

BY_CODE: Final = {protocol.code: protocol for protocol in PROTOCOLS}
BY_NAME: Final = {protocol.name: protocol for protocol in PROTOCOLS}
BY_NAME["ipfs"] = BY_CODE[P2P]
