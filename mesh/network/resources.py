"""Who holds how much, and who is refused more: go-libp2p's resource scopes (libp2p digest, section 23).

Every connection counts in `system` and, until its peer is known, in `transient`, then in its peer's scope. Every stream
counts in `system`, in its peer's scope and, until its protocol is agreed on, in `transient`, then in `protocol` and
`protocol_peer`. A step that some scope refuses raises `LimitError` and leaves everything as it was.

    scope = resources.open_connection(inbound=True, remote_ip="192.0.2.7", now=now)
    scope.set_peer(peer)
    stream = scope.open_stream(inbound=True)
    stream.set_protocol("/ipfs/ping/1.0.0")
    stream.close()
    scope.close()

Nothing here waits, locks or reads a clock; a scope belongs to one loop. Times are seconds of any steady clock.
"""

from __future__ import annotations

from collections import Counter

from mesh.errors import LimitError, UsageError
from mesh.identity.peer_id import PeerId
from mesh.network.resource_limits import Limits
from mesh.network.resource_usage import ProtocolUsage, Standing, StreamUsage, Usage
from mesh.network.source_limits import Sources


class ConnectionScope:
    """What one connection holds. `close` may be called again, and in any order with its streams' `close`."""

    __slots__ = (
        "_attributed",
        "_closed",
        "_descriptors",
        "_inbound",
        "_resources",
        "_ticket",
        "memory_bytes",
    )

    def __init__(self, resources: Resources, inbound: bool, descriptors: int, ticket: int | None) -> None:
        self._resources = resources
        self._attributed = resources.transient
        self._inbound = inbound
        self._descriptors = descriptors
        self._ticket = ticket
        self._closed = False
        self.memory_bytes = 0

    def set_peer(self, peer: PeerId) -> None:
        """Count in the peer's scope instead of in `transient`. Raises `LimitError`: the connection is to be closed."""
        resources = self._resources
        if self._closed:
            return
        if self._attributed is not resources.transient:
            raise UsageError(f"the connection of {peer} has been attributed already")
        usage = resources.usage_of(peer)
        refused = usage.take_connection(self._inbound, self._descriptors)
        if not refused and self.memory_bytes and (refused := usage.take_memory(self.memory_bytes)):
            usage.return_connection(self._inbound, self._descriptors)
        if refused:
            resources.drop_idle(usage)
            raise resources.refusal(usage, refused)
        self._leave(self._attributed)
        self._attributed = usage

    def open_stream(self, inbound: bool) -> StreamScope:
        """`Resources.open_stream` for this connection's peer, without looking it up. Only after `set_peer`."""
        if self._closed or self._attributed is self._resources.transient:
            raise UsageError("streams are counted between set_peer and close of their connection")
        return self._resources.open_stream_of(self._attributed, inbound)

    def reserve_memory(self, size: int) -> None:
        """Count ``size`` more bytes held for this connection. Raises `LimitError`."""
        resources = self._resources
        limit = resources.limits.scopes["connection"].memory_bytes
        if self.memory_bytes + size > limit:
            key = resources.limits.key("connection", "", "memory_bytes")
            raise resources.refuse("connection", "memory_bytes", limit, key)
        resources.take_memory((resources.system, self._attributed), size)
        self.memory_bytes += size

    def release_memory(self, size: int) -> None:
        """Bytes that `reserve_memory` counted are gone."""
        self.memory_bytes -= size
        self._resources.system.memory_bytes -= size
        self._attributed.memory_bytes -= size

    def close(self) -> None:
        """Give everything back."""
        if self._closed:
            return
        self._closed = True
        resources = self._resources
        self._leave(resources.system)
        self._leave(self._attributed)
        resources.drop_idle(self._attributed)
        resources.sources.leave(self._ticket)
        self.memory_bytes = 0

    def _leave(self, usage: Usage) -> None:
        usage.return_connection(self._inbound, self._descriptors)
        usage.memory_bytes -= self.memory_bytes


class StreamScope:
    """What one stream holds. `close` may be called again."""

    __slots__ = ("_closed", "_inbound", "_peer", "_protocol", "_resources", "memory_bytes")

    def __init__(self, resources: Resources, peer: Usage, inbound: bool) -> None:
        self._resources = resources
        self._peer = peer
        self._inbound = inbound
        self._protocol: ProtocolUsage | None = None
        self._closed = False
        self.memory_bytes = 0

    def set_protocol(self, protocol: str) -> None:
        """Count in the protocol's scopes instead of in `transient`; once. Raises `LimitError`: reset the stream."""
        if self._closed:
            return
        if self._protocol is not None:
            raise UsageError(f"the stream counts for {self._protocol.name} already")
        resources, peer, inbound = self._resources, self._peer, self._inbound
        usage = resources.protocols.get(protocol) or resources.usage_of_protocol(protocol)
        both = usage.by_peer.get(peer)
        if both is None:
            both = StreamUsage("protocol_peer", protocol, resources.limits.of("protocol_peer", protocol))
        if refused := usage.take_stream(inbound):
            raise resources.refusal(usage, refused)
        if refused := both.take_stream(inbound):
            usage.return_stream(inbound)
            raise resources.refusal(both, refused)
        if self.memory_bytes:
            try:
                resources.take_memory((usage, both), self.memory_bytes)
            except LimitError:
                usage.return_stream(inbound)
                both.return_stream(inbound)
                raise
            resources.transient.memory_bytes -= self.memory_bytes
        usage.by_peer[peer] = both
        resources.transient.return_stream(inbound)
        self._protocol = usage

    def reserve_memory(self, size: int) -> None:
        """Count ``size`` more bytes held for this stream. Raises `LimitError`."""
        resources = self._resources
        limit = resources.limits.scopes["stream"].memory_bytes
        if self.memory_bytes + size > limit:
            key = resources.limits.key("stream", "", "memory_bytes")
            raise resources.refuse("stream", "memory_bytes", limit, key)
        resources.take_memory(self._scopes(), size)
        self.memory_bytes += size

    def release_memory(self, size: int) -> None:
        """Bytes that `reserve_memory` counted are gone."""
        self.memory_bytes -= size
        for usage in self._scopes():
            usage.memory_bytes -= size

    def close(self) -> None:
        """Give everything back."""
        if self._closed:
            return
        if self.memory_bytes:
            self.release_memory(self.memory_bytes)
        self._closed = True
        resources, peer, protocol, inbound = self._resources, self._peer, self._protocol, self._inbound
        resources.system.return_stream(inbound)
        peer.return_stream(inbound)
        if protocol is None:
            resources.transient.return_stream(inbound)
        else:
            protocol.return_stream(inbound)
            both = protocol.by_peer[peer]
            both.return_stream(inbound)
            if not (both.streams_inbound or both.streams_outbound):
                del protocol.by_peer[peer]
        if not (peer.conns_inbound or peer.conns_outbound):
            resources.drop_idle(peer)

    def _scopes(self) -> tuple[StreamUsage, ...]:
        resources, protocol = self._resources, self._protocol
        last = (resources.transient,) if protocol is None else (protocol, protocol.by_peer[self._peer])
        return (resources.system, self._peer, *last)


MAX_IDLE_PROTOCOLS = 256
"""Scopes of protocols without streams that are kept for their figures."""


class Resources:
    """All scopes of a node. ``refusals`` counts by scope and limit, ``("system", "conns_inbound")``; ``refused_at`` is
    the value that the limit had at the latest."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.system = Usage("system", "", limits.of("system"))
        self.transient = Usage("transient", "", limits.of("transient"))
        self.sources = Sources(limits.source)
        self.protocols: dict[str, ProtocolUsage] = {}
        self.refusals: Counter[tuple[str, str]] = Counter()
        self.refused_at: dict[tuple[str, str], int] = {}
        self._peers: dict[PeerId, Usage] = {}
        self._peers_have_limits = limits.has_names("peer")

    def open_connection(
        self, inbound: bool, remote_ip: str | None, now: float, *, descriptors: int = 1
    ) -> ConnectionScope:
        """Count a new connection; ``remote_ip`` None is one without an IP address, ``now`` paces its network.

        Raises `LimitError`.
        """
        try:
            ticket = self.sources.enter(remote_ip, inbound, now)
        except LimitError as error:
            self._note_refusal("source", error.key.rpartition(".")[2], error.value)
            raise
        taken: list[Usage] = []
        for usage in (self.system, self.transient):
            if refused := usage.take_connection(inbound, descriptors):
                for earlier in taken:
                    earlier.return_connection(inbound, descriptors)
                self.sources.leave(ticket)
                raise self.refusal(usage, refused)
            taken.append(usage)
        return ConnectionScope(self, inbound, descriptors, ticket)

    def open_stream(self, peer: PeerId, inbound: bool) -> StreamScope:
        """Count a new stream of a peer. Raises `LimitError`: reset the stream."""
        return self.open_stream_of(self._peers.get(peer) or self.usage_of(peer), inbound)

    def refuse(self, scope: str, limit: str, value: int, key: str) -> LimitError:
        """Counts a refusal because of a limit that is checked elsewhere; the error is to be raised."""
        self._note_refusal(scope, limit, value)
        return LimitError(scope, limit, value, key)

    def snapshot(self, peers: bool = False) -> dict[str, Standing]:
        """What each scope holds and may hold: `system`, `transient`, `protocol:<id>`, and on demand `peer:<id>`, which
        must not become labels of metrics."""
        standings = {"system": self.system.standing, "transient": self.transient.standing}
        standings |= {f"protocol:{name}": usage.standing for name, usage in sorted(self.protocols.items())}
        if peers:
            standings |= {f"peer:{peer}": usage.standing for peer, usage in self._peers.items()}
        return standings

    # -- the scopes' side --------------------------------------------------------------------------------------------

    def open_stream_of(self, usage: Usage, inbound: bool) -> StreamScope:
        system, transient = self.system, self.transient
        if refused := system.take_stream(inbound):
            at: Usage = system
        elif refused := transient.take_stream(inbound):
            system.return_stream(inbound)
            at = transient
        elif refused := usage.take_stream(inbound):
            system.return_stream(inbound)
            transient.return_stream(inbound)
            at = usage
        else:
            return StreamScope(self, usage, inbound)
        self.drop_idle(usage)
        raise self.refusal(at, refused)

    def usage_of(self, peer: PeerId) -> Usage:
        usage = self._peers.get(peer)
        if usage is None:
            limit = self.limits.of("peer", str(peer) if self._peers_have_limits else "")
            usage = self._peers[peer] = Usage("peer", peer, limit)
        return usage

    def usage_of_protocol(self, protocol: str) -> ProtocolUsage:
        if len(self.protocols) >= MAX_IDLE_PROTOCOLS:
            self.protocols = {name: usage for name, usage in self.protocols.items() if not usage.idle}
        usage = self.protocols[protocol] = ProtocolUsage(protocol, self.limits.of("protocol", protocol))
        return usage

    def drop_idle(self, usage: Usage) -> None:
        """Forget a peer's scope that holds nothing any more."""
        if usage.kind == "peer" and usage.idle and isinstance(usage.name, PeerId):
            self._peers.pop(usage.name, None)

    def take_memory(self, usages: tuple[StreamUsage, ...], size: int) -> None:
        for index, usage in enumerate(usages):
            if refused := usage.take_memory(size):
                for earlier in usages[:index]:
                    earlier.memory_bytes -= size
                raise self.refusal(usage, refused)

    def refusal(self, usage: StreamUsage, field: str) -> LimitError:
        """Counts a refusal and names the limit behind it."""
        value = getattr(usage.limit, field)
        self._note_refusal(usage.kind, field, value)
        name = str(usage.name)
        scope = f"{usage.kind} {name}" if name else usage.kind
        return LimitError(scope, field, value, self.limits.key(usage.kind, name, field))

    def _note_refusal(self, scope: str, limit: str, value: int) -> None:
        self.refusals[scope, limit] += 1
        self.refused_at[scope, limit] = value
