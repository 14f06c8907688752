"""Multiaddr: a network address as a chain of protocols, `/ip4/192.0.2.1/tcp/4001/p2p/12D3Koo...`.

Binary: a run of components, each a uvarint code and its value: fixed width, or uvarint length and bytes
(libp2p digest, section 3). Values are checked on the way in, so that every Multiaddr has both forms.
MAX_CHARACTERS is the longest text that MAX_BYTES can print as.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache, total_ordering
from typing import NamedTuple

from mesh.errors import Malformed, Truncated, UsageError
from mesh.multiformats import varint
from mesh.multiformats.multiaddr_table import (
    BY_CODE,
    BY_NAME,
    IP4,
    IP6,
    IP6ZONE,
    P2P,
    P2P_CIRCUIT,
    TCP,
    UDP,
    UNIX,
    VARIABLE,
    Protocol,
)

MAX_BYTES = 4096
MAX_CHARACTERS = 9 * MAX_BYTES
COMMON_CHARACTERS = 256
"""Texts up to here are remembered: programs name the same addresses over and over."""


class Component(NamedTuple):
    """One protocol of an address and its value's bytes (empty for a protocol without one)."""

    protocol: Protocol
    value: bytes

    @property
    def code(self) -> int:
        return self.protocol.code

    @property
    def name(self) -> str:
        return self.protocol.name

    @property
    def text(self) -> str:
        """The value's canonical text, empty for a protocol without a value."""
        return self.protocol.render(self.value)

    def to_bytes(self) -> bytes:
        if self.protocol.size == VARIABLE:
            return self.protocol.prefix + varint.encode(len(self.value)) + self.value
        return self.protocol.prefix + self.value

    def __str__(self) -> str:
        if self.protocol.size == 0:
            return "/" + self.protocol.name
        separator = "" if self.protocol.code == UNIX else "/"
        return f"/{self.protocol.name}{separator}{self.text}"


@total_ordering
class Multiaddr:
    """An immutable address; equality, hash and order are those of its bytes.

    `parse`, `from_bytes` and the other class methods make one. Only `decapsulate` and `without_peer` can give
    an empty address, which is false, has no components and prints as nothing; it is never read from outside.
    """

    __slots__ = ("_bytes", "_components", "_text")

    _bytes: bytes
    _components: tuple[Component, ...]
    _text: str | None

    @classmethod
    def _build(cls, components: tuple[Component, ...], data: bytes | None = None) -> Multiaddr:
        address = cls.__new__(cls)
        address._components = components
        address._bytes = b"".join([each.to_bytes() for each in components]) if data is None else data
        address._text = None
        if len(address._bytes) > MAX_BYTES:
            raise Malformed("multiaddr", None, f"longer than {MAX_BYTES} bytes")
        return address

    @classmethod
    def of(cls, *parts: tuple[int, bytes]) -> Multiaddr:
        """Made of codes and values that are known to be right, like a socket's own address."""
        return cls._build(tuple([Component(BY_CODE[code], value) for code, value in parts]))

    @classmethod
    def parse(cls, text: str) -> Multiaddr:
        """Reads the text form; trailing slashes are dropped. Raises Malformed with the character position."""
        if len(text) > MAX_CHARACTERS:
            raise Malformed("multiaddr", None, f"longer than {MAX_CHARACTERS} characters")
        return _parsed(text) if len(text) <= COMMON_CHARACTERS else cls._read(text)

    @classmethod
    def _read(cls, text: str) -> Multiaddr:
        words = text.rstrip("/").split("/")
        if words[0]:
            raise Malformed("multiaddr", 0, "does not start with a slash")
        if len(words) == 1:
            raise Malformed("multiaddr", 0, "empty")
        components: list[Component] = []
        at, index = 1, 1
        while index < len(words):
            name = words[index]
            protocol = BY_NAME.get(name)
            if protocol is None:
                what = f"unknown protocol {name[:40]!r}" if name else "empty component"
                raise Malformed("multiaddr", at, what)
            index += 1
            at += len(name) + 1
            value = b""
            if protocol.size:
                if index == len(words):
                    raise Malformed("multiaddr", at - 1, f"{name} has no value")
                word = words[index] if protocol.code != UNIX else "/" + "/".join(words[index:])
                index = index + 1 if protocol.code != UNIX else len(words)
                value = _parse_value(protocol, word, at)
                at += len(word) + 1
            components.append(Component(protocol, value))
        return cls._build(tuple(components))

    @classmethod
    def from_bytes(cls, data: bytes) -> Multiaddr:
        """Reads the binary form. Raises Truncated or Malformed with the byte position."""
        end = len(data)
        if not 0 < end <= MAX_BYTES:
            raise Malformed("multiaddr", 0, f"longer than {MAX_BYTES} bytes" if end else "empty")
        data = bytes(data)
        components: list[Component] = []
        offset = 0
        while offset < end:
            start, code = offset, data[offset]
            if code < 128:
                offset += 1
            else:
                code, offset = varint.decode(data, offset)
            protocol = BY_CODE.get(code)
            if protocol is None:
                raise Malformed("multiaddr", start, f"unknown protocol code {code}")
            size = protocol.size
            if size == VARIABLE:
                size, offset = varint.decode(data, offset)
                if size == 0:
                    raise Malformed(f"multiaddr {protocol.name}", start, "empty value")
            value = data[offset : offset + size]
            if len(value) < size:
                reason = f"value of {size} bytes has {len(value)}"
                raise Truncated(f"multiaddr {protocol.name}", start, reason)
            offset += size
            if protocol.check is not None:
                _check_value(protocol, value, start)
            if code == UNIX and offset < end:
                raise Malformed("multiaddr", offset, "a component follows a unix path")
            components.append(Component(protocol, value))
        return cls._build(tuple(components), data)

    @classmethod
    def from_tcp(cls, host: str, port: int) -> Multiaddr:
        """`/ip4/<host>/tcp/<port>`, ip6 alike; `host` is numeric, `%zone` allowed. Raises UsageError."""
        return cls._from_endpoint(host, port, TCP)

    @classmethod
    def from_udp(cls, host: str, port: int) -> Multiaddr:
        """`/ip4/<host>/udp/<port>`, ip6 alike; `host` is numeric, `%zone` allowed. Raises UsageError."""
        return cls._from_endpoint(host, port, UDP)

    @classmethod
    def _from_endpoint(cls, host: str, port: int, transport: int) -> Multiaddr:
        numeric, _, zone = host.partition("%")
        try:
            packed = ipaddress.ip_address(numeric).packed
            number = port.to_bytes(2, "big")
            zones = (Component(BY_CODE[IP6ZONE], _parse_value(BY_CODE[IP6ZONE], zone, 0)),) if zone else ()
        except (ValueError, OverflowError) as error:
            raise UsageError(f"no numeric host and port: {host!r}, {port}: {error}") from None
        family = BY_CODE[IP4 if len(packed) == 4 else IP6]
        return cls._build((*zones, Component(family, packed), Component(BY_CODE[transport], number)))

    @property
    def components(self) -> tuple[Component, ...]:
        return self._components

    def to_bytes(self) -> bytes:
        return self._bytes

    def __str__(self) -> str:
        if self._text is None:
            self._text = "".join([str(component) for component in self._components])
        return self._text

    def __repr__(self) -> str:
        return f"Multiaddr({str(self)!r})"

    def __bool__(self) -> bool:
        return bool(self._components)

    def __hash__(self) -> int:
        return hash(self._bytes)

    def __eq__(self, other: object) -> bool:
        return self._bytes == other._bytes if isinstance(other, Multiaddr) else NotImplemented

    def __lt__(self, other: Multiaddr) -> bool:
        return self._bytes < other._bytes if isinstance(other, Multiaddr) else NotImplemented

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Multiaddr.from_bytes, (self._bytes,)) if self._bytes else (Multiaddr._build, ((),))

    def value(self, name: str) -> str | None:
        """Text of the first component called `name`; empty if it takes no value, None if it is not there."""
        for component in self._components:
            if component.protocol.name == name:
                return component.text
        return None

    def has(self, name: str) -> bool:
        """Whether a component is called `name`."""
        for component in self._components:  # noqa: SIM110 - no generator: every connection asks this often
            if component.protocol.name == name:
                return True
        return False

    def encapsulate(self, other: Multiaddr | str) -> Multiaddr:
        """This address followed by `other`. Raises UsageError behind a unix path, Malformed for bad text."""
        inner = Multiaddr.parse(other) if isinstance(other, str) else other
        if inner and self._components and self._components[-1].protocol.code == UNIX:
            raise UsageError(f"nothing can follow a unix path: {self}")
        return Multiaddr._build(self._components + inner._components, self._bytes + inner._bytes)

    __truediv__ = encapsulate

    def decapsulate(self, name: str) -> Multiaddr:
        """What stands before the last component called `name`; the address itself when there is none."""
        for index in range(len(self._components) - 1, -1, -1):
            if self._components[index].protocol.name == name:
                return Multiaddr._build(self._components[:index])
        return self

    def peer_id_bytes(self) -> bytes | None:
        """Multihash of the peer this leads to: the last p2p component, unless p2p-circuit follows it."""
        for component in reversed(self._components):
            if component.protocol.code == P2P:
                return component.value
            if component.protocol.code == P2P_CIRCUIT:
                return None
        return None

    def without_peer(self) -> Multiaddr:
        """The address without the p2p component at its end; a relay's, before p2p-circuit, stays."""
        if self._components and self._components[-1].protocol.code == P2P:
            last = len(self._components[-1].to_bytes())
            return Multiaddr._build(self._components[:-1], self._bytes[:-last])
        return self


@lru_cache(maxsize=1024)
def _parsed(text: str) -> Multiaddr:
    return Multiaddr._read(text)


def _parse_value(protocol: Protocol, word: str, at: int) -> bytes:
    try:
        value = protocol.parse(word)
        if not value:
            raise ValueError("empty value")
        if protocol.check is not None:
            protocol.check(value)
    except ValueError as error:
        raise Malformed(f"multiaddr {protocol.name}", at, _reason(error)) from None
    return value


def _check_value(protocol: Protocol, value: bytes, at: int) -> None:
    assert protocol.check is not None
    try:
        protocol.check(value)
    except ValueError as error:
        raise Malformed(f"multiaddr {protocol.name}", at, _reason(error)) from None


def _reason(error: ValueError) -> str:
    return "characters that are not allowed" if isinstance(error, UnicodeError) else str(error)[:160]
