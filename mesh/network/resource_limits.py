"""How much of everything each scope may hold: go-libp2p's table, scaled to the machine (libp2p digest, section 23).

A limit is found by scope and, where there is one, name: ``limits.of("protocol_peer", "/ipfs/ping/1.0.0")``. Its setting
is `limits.<scope>.<field>`, or `limits.<scope>.<name>.<field>` for one protocol or peer; the word "unlimited" lifts it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from mesh.config.values import near
from mesh.errors import ConfigError

MIB: Final = 1024 * 1024
GIB: Final = 1024 * MIB
UNLIMITED: Final = 2**63 - 1
MEMORY_SHARE: Final = 8
"""One part in so many of the machine's memory is libp2p's."""
DESCRIPTOR_SHARE: Final = 2


@dataclass(frozen=True, slots=True)
class Limit:
    """Most that one scope may hold at once; inbound and outbound have limits of their own below the sum's."""

    conns_inbound: int = UNLIMITED
    conns_outbound: int = UNLIMITED
    conns: int = UNLIMITED
    streams_inbound: int = UNLIMITED
    streams_outbound: int = UNLIMITED
    streams: int = UNLIMITED
    memory_bytes: int = UNLIMITED
    descriptors: int = UNLIMITED


@dataclass(frozen=True, slots=True)
class SourceLimits:
    """Connections by the network they come from: how many at once, and how often a new one (burst, then one per
    interval). IPv6 is counted by /56 and by /48."""

    conns_ipv4: int = 8
    conns_ipv6_56: int = 8
    conns_ipv6_48: int = 64
    burst_ipv4: int = 16
    burst_ipv6_56: int = 16
    burst_ipv6_48: int = 80
    interval_ipv4_s: float = 5.0
    interval_ipv6_56_s: float = 5.0
    interval_ipv6_48_s: float = 2.0


@dataclass(frozen=True, slots=True)
class _Row:
    """Base and growth per GiB of `conns` and `streams` as (in, out, all), and of memory in bytes; descriptors have a
    base and the share of those available."""

    conns: tuple[int, int, int] = (UNLIMITED,) * 3
    streams: tuple[int, int, int] = (UNLIMITED,) * 3
    memory: int = UNLIMITED
    descriptors: int = UNLIMITED
    more_conns: tuple[int, int, int] = (0, 0, 0)
    more_streams: tuple[int, int, int] = (0, 0, 0)
    more_memory: int = 0
    descriptor_part: float = 0.0

    def scaled(self, mebibytes: int, descriptors: int) -> Limit:
        return Limit(
            *_grown(self.conns, self.more_conns, mebibytes),
            *_grown(self.streams, self.more_streams, mebibytes),
            self.memory + self.more_memory * mebibytes // 1024,
            max(self.descriptors, int(self.descriptor_part * descriptors)),
        )


def _grown(base: tuple[int, int, int], more: tuple[int, int, int], mebibytes: int) -> tuple[int, int, int]:
    return (
        base[0] + more[0] * mebibytes // 1024,
        base[1] + more[1] * mebibytes // 1024,
        base[2] + more[2] * mebibytes // 1024,
    )


def _named(
    streams: tuple[int, int, int],
    memory_mib: int,
    more_streams: tuple[int, int, int] = (0, 0, 0),
    more_mib: int = 0,
) -> _Row:
    return _Row(
        streams=streams, memory=memory_mib * MIB, more_streams=more_streams, more_memory=more_mib * MIB
    )


_SCOPES: Final = {
    "system": _Row(
        conns=(64, 128, 128),
        streams=(1024, 2048, 2048),
        memory=128 * MIB,
        descriptors=256,
        more_conns=(64, 128, 128),
        more_streams=(1024, 2048, 2048),
        more_memory=GIB,
        descriptor_part=1.0,
    ),
    "transient": _Row(
        conns=(32, 64, 64),
        streams=(128, 256, 256),
        memory=32 * MIB,
        descriptors=64,
        more_conns=(16, 32, 32),
        more_streams=(128, 256, 256),
        more_memory=128 * MIB,
        descriptor_part=0.25,
    ),
    "peer": _Row(
        conns=(8, 8, 8),
        streams=(256, 512, 512),
        memory=64 * MIB,
        descriptors=4,
        more_streams=(128, 256, 256),
        more_memory=128 * MIB,
        descriptor_part=1 / 64,
    ),
    "service": _named((1024, 4096, 4096), 64, (512, 2048, 2048), 128),
    "service_peer": _named((128, 256, 256), 16, (4, 8, 8), 4),
    "protocol": _named((512, 2048, 2048), 64, (256, 512, 512), 164),
    "protocol_peer": _named((64, 128, 256), 16, (4, 8, 16)),
    "connection": _Row(memory=32 * MIB),
    "stream": _Row(memory=16 * MIB),
}

_SMALL_PEER: Final = _named((2, 2, 2), 1)
_IDENTIFY: Final = _named((64, 64, 128), 4, (64, 64, 128), 4)
_IDENTIFY_PEER: Final = _named((16, 16, 32), 1)
_RELAY: Final = _named((640, 640, 640), 16, (640, 640, 640), 16)
_RELAY_PEER: Final = _named((64, 64, 64), 1)
_AUTONAT: Final = _named((64, 64, 64), 4, (4, 4, 4), 2)

_PROTOCOLS: Final = {
    "/ipfs/id/1.0.0": (_IDENTIFY, _IDENTIFY_PEER),
    "/ipfs/id/push/1.0.0": (_IDENTIFY, _IDENTIFY_PEER),
    "/ipfs/ping/1.0.0": (_named((64, 64, 64), 4, (64, 64, 64), 4), _named((2, 3, 4), 16)),
    "/libp2p/autonat/1.0.0": (_AUTONAT, _SMALL_PEER),
    "/libp2p/autonat/2/dial-request": (_AUTONAT, _SMALL_PEER),
    "/libp2p/autonat/2/dial-back": (_AUTONAT, _SMALL_PEER),
    "/libp2p/dcutr": (_named((32, 32, 64), 4, (8, 8, 16), 4), _SMALL_PEER),
    "/libp2p/circuit/relay/0.2.0/hop": (_RELAY, _RELAY_PEER),
    "/libp2p/circuit/relay/0.2.0/stop": (_RELAY, _RELAY_PEER),
}

_FIELDS: Final = tuple(each.name for each in fields(Limit))
_SOURCE_FIELDS: Final = tuple(each.name for each in fields(SourceLimits))
_NAMED_SCOPES: Final = frozenset({"peer", "service", "service_peer", "protocol", "protocol_peer"})


class Limits:
    """The limits of every scope. ``scopes`` are the defaults, ``named`` those of one protocol, peer or service."""

    __slots__ = ("named", "scopes", "source")

    def __init__(
        self,
        scopes: Mapping[str, Limit],
        named: Mapping[tuple[str, str], Limit] | None = None,
        source: SourceLimits | None = None,
    ) -> None:
        self.scopes = {scope: scopes.get(scope, Limit()) for scope in _SCOPES}
        self.named = dict(named or {})
        self.source = source or SourceLimits()

    def of(self, scope: str, name: str = "") -> Limit:
        """The limit of a scope, or the one that ``name`` has in it."""
        return self.named.get((scope, name)) or self.scopes[scope]

    def has_names(self, scope: str) -> bool:
        """Whether anything in this scope has a limit of its own."""
        return any(each == scope for each, _ in self.named)

    def key(self, scope: str, name: str, field: str) -> str:
        """The setting that this limit comes from."""
        middle = f".{name}" if (scope, name) in self.named else ""
        return f"limits.{scope}{middle}.{field}"

    def with_settings(self, settings: Mapping[str, object]) -> Limits:
        """These limits with some of them set: `{"limits.peer.conns": 16}`. Defaults of a scope apply before the limits
        of its names. Raises `ConfigError` that names the key."""
        scopes, named, source = dict(self.scopes), dict(self.named), self.source
        parsed = sorted((_parse_key(key), key, value) for key, value in settings.items())
        for (scope, name, field), key, value in parsed:
            if scope == "source":
                source = _replaced(source, field, _number(key, value, whole=not field.endswith("_s")))
            elif name:
                before = named.get((scope, name)) or scopes[scope]
                named[scope, name] = replace(before, **{field: int(_number(key, value))})
            else:
                scopes[scope] = replace(scopes[scope], **{field: int(_number(key, value))})
        return Limits(scopes, named, source)


def scaled_limits(memory_bytes: int, descriptors: int) -> Limits:
    """Limits for a machine with so much memory, where a process may have so many descriptors open.

    An eighth of the memory and half of the descriptors count; below 128 MiB of that eighth the base holds.
    """
    share = memory_bytes // MEMORY_SHARE
    mebibytes = share // MIB if share > 128 * MIB else 0
    available = descriptors // DESCRIPTOR_SHARE
    named = {
        (scope, protocol): row.scaled(mebibytes, available)
        for protocol, rows in _PROTOCOLS.items()
        for scope, row in zip(("protocol", "protocol_peer"), rows, strict=True)
    }
    return Limits({scope: row.scaled(mebibytes, available) for scope, row in _SCOPES.items()}, named)


def unlimited() -> Limits:
    """Nothing is limited except what `with_settings` adds; for measurements and closed networks."""
    free = SourceLimits(*(UNLIMITED,) * 6, 0.0, 0.0, 0.0)
    return Limits({}, source=free)


def _parse_key(key: str) -> tuple[str, str, str]:
    """Scope, name and field of a setting; protocol names contain dots."""
    first, _, rest = key.partition(".")
    scope, _, rest = rest.partition(".")
    name, _, field = rest.rpartition(".")
    known = [*_SCOPES, "source"]
    if first != "limits" or scope not in known:
        raise ConfigError(
            f"{key}: a limit is limits.<scope>.<field>; {scope!r} is no scope{near(scope, known)}"
        )
    possible = _SOURCE_FIELDS if scope == "source" else _FIELDS
    if field not in possible:
        raise ConfigError(f"{key}: {field!r} is not one of {', '.join(possible)}{near(field, possible)}")
    if name and scope not in _NAMED_SCOPES:
        raise ConfigError(f"{key}: {scope} has no names below it; write limits.{scope}.{field}")
    return scope, name, field


def _replaced(source: SourceLimits, field: str, value: float) -> SourceLimits:
    change: dict[str, Any] = {field: value}
    return replace(source, **change)


def _number(key: str, value: object, whole: bool = True) -> int | float:
    if value == "unlimited":
        return UNLIMITED if whole else 0.0
    kinds = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not 0 <= value <= UNLIMITED:
        raise ConfigError(f'{key}: {value!r} is not a number from 0 or "unlimited"')
    return value
