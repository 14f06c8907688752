"""Dials for others: from sockets and an identity that have nothing to do with the node's own.

A dial from the node's own listening port, or by its own identity, would be let in by the very NAT that the asker wants to
know about, or join a connection that stands.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence

from mesh.errors import Closed, DialError, DialFailure, UsageError
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.connection import Connection
from mesh.network.scope import Scope
from mesh.network.swarm import Swarm

MakeSwarm = Callable[[Scope], Swarm]
Allows = Callable[[PeerId, Multiaddr], bool]


class DialBack:
    """``make`` gives a swarm of another identity; it is made at the first dial. ``allows`` are the node's own rules."""

    def __init__(self, make: MakeSwarm, allows: Allows) -> None:
        self._make = make
        self._allows = allows
        self._scope: Scope | None = None
        self._swarm: Swarm | None = None
        self._locks: dict[PeerId, asyncio.Lock] = {}
        self._waiting: Counter[PeerId] = Counter()

    def start(self, scope: Scope) -> None:
        """From now on it can dial."""
        self._scope = scope

    async def stop(self) -> None:
        """End every connection."""
        self._scope, swarm, self._swarm = None, self._swarm, None
        if swarm is not None:
            await swarm.close()

    def can_dial(self, peer: PeerId, address: Multiaddr) -> bool:
        """Whether there is a transport for the address and no rule against it."""
        return self._ready().can_dial(address) and self._allows(peer, address)

    async def reach(self, peer: PeerId, addresses: Sequence[Multiaddr], limit_s: float) -> Connection:
        """A new connection to ``peer`` at one of these, to be closed by the caller. Raises `DialError`.

        Dials of one peer come one after another: each has to try its own addresses.
        """
        lock = self._locks.setdefault(peer, asyncio.Lock())
        self._waiting[peer] += 1
        try:
            async with asyncio.timeout(limit_s), lock:
                return await self._ready().dial(peer, addresses)
        except TimeoutError:
            cause = f"not reached within {limit_s:g} s"
            failures = [DialFailure(str(each), "dial back", cause) for each in addresses]
            raise DialError(f"cannot dial {peer} back:", failures) from None
        except Closed as error:
            raise DialError(f"cannot dial {peer} back: {error}") from None
        finally:
            self._waiting[peer] -= 1
            if not self._waiting[peer]:
                del self._waiting[peer], self._locks[peer]

    def _ready(self) -> Swarm:
        if self._swarm is None:
            if self._scope is None:
                raise UsageError("AutoNAT is not running")
            self._swarm = self._make(self._scope)
        return self._swarm
