"""How much of a store each sender may fill, and all of them together."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.errors import LimitError


@dataclass(frozen=True, slots=True)
class QuotaLimits:
    """Greatest numbers of entries and of bytes, in all and for one sender. `key` is the setting's prefix in errors."""

    entries: int
    bytes: int
    sender_entries: int
    sender_bytes: int
    key: str


@dataclass(slots=True)
class Usage:
    """What is held."""

    entries: int = 0
    bytes: int = 0


class Quota:
    """Counts entries by sender; the sender None is this node, which is counted but not limited."""

    def __init__(self, scope: str, limits: QuotaLimits) -> None:
        self._scope = scope
        self._limits = limits
        self._senders: dict[bytes, Usage] = {}
        self.strangers = Usage()
        """All senders but ourselves."""
        self.own = Usage()

    def of(self, sender: bytes) -> Usage:
        """What a sender holds."""
        return self._senders.get(sender) or Usage()

    def check(
        self, sender: bytes | None, size: int, replaced: tuple[bytes | None, int] | None = None
    ) -> None:
        """Whether an entry of `size` bytes fits, in the place of `replaced` (its sender and size) when there is one.

        Raises LimitError naming the limit; nothing is counted.
        """
        if sender is None:
            return
        limits, held = self._limits, self.of(sender)
        freed = 0 if replaced is None or replaced[0] is None else replaced[1]
        freed_here = freed if replaced is not None and replaced[0] == sender else 0
        for scope, limit, name, value in (
            ("peer", limits.sender_entries, "peer_entries", held.entries + (0 if freed_here else 1)),
            ("peer", limits.sender_bytes, "peer_bytes", held.bytes - freed_here + size),
            ("node", limits.entries, "entries", self.strangers.entries + (0 if freed else 1)),
            ("node", limits.bytes, "bytes", self.strangers.bytes - freed + size),
        ):
            if value > limit:
                what = "entries" if name.endswith("entries") else "bytes"
                raise LimitError(scope, f"{what} of {self._scope}", limit, f"{limits.key}_{name}")

    def add(self, sender: bytes | None, size: int) -> None:
        """Count an entry."""
        usages = [self.own] if sender is None else [self.strangers, self._senders.setdefault(sender, Usage())]
        for usage in usages:
            usage.entries += 1
            usage.bytes += size

    def remove(self, sender: bytes | None, size: int) -> None:
        """Count an entry no more."""
        usages = [self.own] if sender is None else [self.strangers, self._senders[sender]]
        for usage in usages:
            usage.entries -= 1
            usage.bytes -= size
        if sender is not None and not self._senders[sender].entries:
            del self._senders[sender]
