"""Which protocols this node serves, and by what."""

from __future__ import annotations

from collections.abc import Callable

from mesh.codecs.multistream import MAX_TOKEN_BYTES
from mesh.errors import UsageError
from mesh.network.environment import Handler


class Registry:
    """Protocol id to handler. ``on_change`` is called after every addition and removal."""

    __slots__ = ("_handlers", "_limited", "_names", "on_change")

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}
        self._limited: set[str] = set()
        self._names: list[str] = []
        self.on_change: Callable[[], None] = lambda: None

    def add(self, protocol: str, handler: Handler, *, limited: bool = False) -> None:
        """Serve ``protocol``; ``limited``: also over connections that a relay limits in time and bytes. Raises
        `UsageError` for a name that cannot be negotiated or is served already."""
        if not protocol or "\n" in protocol or len(protocol.encode()) >= MAX_TOKEN_BYTES:
            raise UsageError(
                f"{protocol[:64]!r} is not a protocol id: it needs 1 to {MAX_TOKEN_BYTES - 1} bytes, no line end"
            )
        if protocol in self._handlers:
            raise UsageError(f"{protocol} is served already; remove it first")
        self._handlers[protocol] = handler
        self._names = sorted(self._handlers)
        if limited:
            self._limited.add(protocol)
        self.on_change()

    def remove(self, protocol: str) -> None:
        """Serve ``protocol`` no more; streams in service go on. Raises `UsageError` when it was not served."""
        if self._handlers.pop(protocol, None) is None:
            raise UsageError(f"{protocol} is not served")
        self._names.remove(protocol)
        self._limited.discard(protocol)
        self.on_change()

    def supports(self, protocol: str) -> bool:
        return protocol in self._handlers

    def supports_limited(self, protocol: str) -> bool:
        return protocol in self._limited

    def handler(self, protocol: str) -> Handler:
        return self._handlers[protocol]

    @property
    def protocols(self) -> list[str]:
        """Every protocol served, in order of name."""
        return self._names.copy()
