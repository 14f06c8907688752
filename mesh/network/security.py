"""How a byte stream is secured: `/noise` or `/tls/1.0.0`, each as a handshake that ends in a channel.

A security protocol is data for the upgrade: its id, the name that people know it by, and how to begin. TLS brings OpenSSL
with it, whose bindings load when the first TLS handshake begins.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from mesh.errors import ConfigError, MeshError
from mesh.identity import x25519
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.protocols import noise
from mesh.protocols.machine import Buffer, Role
from mesh.protocols.noise import Established, Failed

if TYPE_CHECKING:
    from mesh.network.tls_engine import TlsIdentity

TLS_PROTOCOL_ID = "/tls/1.0.0"


class Channel(Protocol):
    """An encrypted byte stream; `mesh.protocols.noise.Session` tells what the doors do."""

    @property
    def failure(self) -> MeshError | None: ...

    def receive(self, data: Buffer) -> list[bytes]: ...

    def seal(self, frames: list[Buffer]) -> list[Buffer]: ...

    def output(self) -> list[Buffer]:
        """What it has to say by itself: answers and alerts. To be taken after `receive`."""

    def close(self) -> list[Buffer]:
        """What tells the peer that nothing follows; nothing can be sealed after it."""

    def cut_off(self) -> MeshError | None:
        """What it means that the byte stream ended here, if more than that."""


class Handshake(Protocol):
    """Two ends get to know each other; `mesh.protocols.noise.Handshake` tells what the doors do."""

    @property
    def outcome(self) -> Established | Failed | None: ...

    def output(self) -> list[Buffer]: ...

    def receive(self, data: Buffer) -> None: ...

    def finish(self) -> tuple[Channel, bytes]: ...


class Security(Protocol):
    """One security protocol of a node. ``batch_bytes``: the plaintext that fills its records."""

    @property
    def protocol(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def batch_bytes(self) -> int: ...

    def begin(self, role: Role, expected_peer: PeerId | None) -> Handshake:
        """A new handshake; ``expected_peer`` is the id that was dialled, if one was."""


@dataclass(frozen=True, slots=True)
class NoiseSecurity:
    """Noise XX. ``fresh`` makes the key of one handshake."""

    credentials: noise.Credentials
    fresh: Callable[[], x25519.Secret] = x25519.fresh

    name = "noise"
    protocol = noise.PROTOCOL_ID
    batch_bytes = noise.Session.BATCH_BYTES

    def begin(self, role: Role, expected_peer: PeerId | None) -> noise.Handshake:
        return noise.Handshake(role, self.credentials, self.fresh(), expected_peer=expected_peer)


@dataclass(slots=True)
class TlsSecurity:
    """TLS 1.3 with both certificates. ``clock`` gives Unix time, for the periods of certificates."""

    identity: PrivateKey
    muxers: tuple[str, ...]
    clock: Callable[[], float] = time.time
    _made: TlsIdentity | None = field(default=None, init=False)

    name = "tls"
    protocol = TLS_PROTOCOL_ID
    batch_bytes = 128 * 1024

    def begin(self, role: Role, expected_peer: PeerId | None) -> Handshake:
        from mesh.network.tls_engine import TlsIdentity
        from mesh.network.tls_handshake import TlsHandshake

        if self._made is None:
            self._made = TlsIdentity(self.identity, self.muxers, self.clock)
        return TlsHandshake(role, self._made, expected_peer)


def make_security(names: Sequence[str], identity: PrivateKey, muxers: Sequence[str]) -> tuple[Security, ...]:
    """The protocols of ``names`` (`noise`, `tls`) in that order, for a node with this key; ``muxers`` in order of liking
    are offered inside the handshakes. Raises `ConfigError` for no names."""
    if not names:
        raise ConfigError("network.security names no protocol: noise, tls, or both")
    makers: dict[str, Callable[[], Security]] = {
        "noise": lambda: NoiseSecurity(noise.credentials(identity, x25519.fresh(), muxers)),
        "tls": lambda: TlsSecurity(identity, tuple(muxers)),
    }
    return tuple(makers[name]() for name in dict.fromkeys(names))
