"""What waits to be sent to one peer, by priority, put together into RPCs.

Nothing is encoded twice, and a message is not encoded at all: it waits as the bytes it has in an RPC, the same object
in the queues of all peers. Messages are sorted into batches as they come, so that to take an RPC of messages is to join
one list.

An RPC is filled in this order: extensions, subscriptions, GRAFT and PRUNE; IDONTWANT; a batch of messages, own and
passed on, as they came; IWANT and IHAVE. Messages that were asked for take turns with batches, RPC by RPC, when both
wait; all these take turns with RPCs that nothing may be added to. A batch leaves a quarter of the RPC free for the
rest. What did not fit all the same, a long message or a long list of ids, has the next RPC for itself: so nothing waits
for ever where something else never ends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from enum import Enum
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from mesh.codecs.gossip import (
    Control,
    ExchangedPeer,
    Extensions,
    Graft,
    IDontWant,
    IHave,
    IWant,
    Prune,
    Rpc,
    Subscription,
)
from mesh.codecs.wire import encode_varint
from mesh.protocols.gossip.message import PartSupport
from mesh.protocols.gossip.settings import Limits
from mesh.protocols.gossip.version import Version

CONTROL_BYTES = 15 * 1024
"""Of one RPC, all but messages: rust takes 16 KiB. A single entry may be longer."""

BATCH_MESSAGES = 4096
"""Of one RPC: rust looks at 5,000."""

DECLINED_IDS = 10
"""Ids of IDONTWANT in one RPC: go looks at no more."""

WAITING_DECLINED_IDS = 1000
"""Ids of IDONTWANT that wait: behind so many, one would come too late."""

WRAPPING_BYTES = 4
"""Tag and length of an RPC's control part."""

ENTRY_BYTES = CONTROL_BYTES // 2
"""Of one IHAVE or IWANT: longer lists are split, so that two go into an RPC, or one into what is left of it. A topic or
an id may make it longer."""

ENTRY_HEAD_BYTES = 12
"""Tags and lengths of an entry, without those of its ids."""

LEAST_IDS_BYTES = 1024
"""Of one entry, whatever its topic takes."""


def as_field(wire: bytes) -> bytes:
    """An encoded message as it stands in an RPC."""
    return _head(len(wire)) + wire


@lru_cache(maxsize=4096)
def _head(size: int) -> bytes:
    """What stands before a message of so many bytes."""
    return b"\x12" + encode_varint(size)


class Entries(NamedTuple):
    """Encoded entries of a control message, ready for any number of queues."""

    kind: str
    encoded: tuple[bytes, ...]
    size: int


def announcement(topic: str, ids: Sequence[bytes]) -> Entries:
    """IHAVE of messages in a topic."""
    return _entries(
        "ihave", [Control(ihave=[IHave(topic, part)]).encode() for part in _split(ids, len(topic.encode()))]
    )


def _request(ids: Sequence[bytes]) -> Entries:
    return _entries("iwant", [Control(iwant=[IWant(part)]).encode() for part in _split(ids)])


def _entries(kind: str, encoded: list[bytes]) -> Entries:
    return Entries(kind, tuple(encoded), sum(map(len, encoded)))


def _split(ids: Sequence[bytes], topic_bytes: int = 0) -> list[list[bytes]]:
    """The ids in lists that fill entries of `ENTRY_BYTES` with such a topic."""
    room = max(ENTRY_BYTES - ENTRY_HEAD_BYTES - topic_bytes, LEAST_IDS_BYTES)
    sizes = set(map(len, ids))
    if len(sizes) == 1:
        count = max(1, room // _id_field_bytes(sizes.pop()))
        return [list(ids[start : start + count]) for start in range(0, len(ids), count)]
    parts: list[list[bytes]] = []
    left = 0
    for id in ids:
        size = _id_field_bytes(len(id))
        if size > left:
            parts.append([])
            left = room
        parts[-1].append(id)
        left -= size
    return parts


def _id_field_bytes(size: int) -> int:
    """What an id of so many bytes takes in an entry."""
    return 1 + len(encode_varint(size)) + size


_DROPPED = ("own", "forwarded", "answer", "alone", "idontwant", "iwant", "ihave")


class _Owed(Enum):
    """What the next RPC is for, because there was no place for it in the last."""

    NOTHING = 0
    MESSAGES = 1
    GOSSIP = 2


class SendQueue:
    """What waits for one peer; the owner takes as much as the peer's stream accepts.

    What is told of topics and meshes is always kept: one entry a topic, a later one replaces an earlier one. All else is
    bounded by ``limits``: when three quarters of it are used, IHAVE and IDONTWANT that wait are dropped first, then what
    is new is refused; the last quarter is for own messages. What the peer's version does not know is left out.
    """

    __slots__ = (
        "_alone",
        "_alone_next",
        "_answers",
        "_answers_next",
        "_batches",
        "_control",
        "_control_bytes",
        "_declined",
        "_extensions",
        "_forward_bytes",
        "_forward_messages",
        "_held_bytes",
        "_held_messages",
        "_ihave",
        "_iwant",
        "_last",
        "_last_bytes",
        "_limits",
        "_most_batch_bytes",
        "_most_control_bytes",
        "_owed",
        "_sizes",
        "_subscriptions",
        "_version",
        "dropped",
    )

    def __init__(self, limits: Limits, version: Version) -> None:
        self._limits = limits
        self._version = version
        self._forward_bytes = limits.queue_bytes * 3 // 4
        self._forward_messages = limits.queue_messages * 3 // 4
        self._most_batch_bytes = limits.own_rpc_bytes * 3 // 4
        self._most_control_bytes = min(CONTROL_BYTES, limits.own_rpc_bytes // 4 - WRAPPING_BYTES)
        self._extensions = b""
        self._subscriptions: dict[str, bytes] = {}
        self._control: dict[str, bytes] = {}
        self._control_bytes = 0
        self._declined: dict[bytes, None] = {}
        self._batches: list[list[bytes]] = []
        self._sizes: list[int] = []  # of all batches but the last
        self._last: list[bytes] = []
        self._last_bytes = self._most_batch_bytes
        self._answers: list[bytes] = []
        self._answers_next = False
        self._alone: deque[bytes] | None = None
        self._alone_next = False
        self._iwant: list[bytes] = []
        self._ihave: list[bytes] = []
        self._owed = _Owed.NOTHING
        self._held_bytes = 0
        self._held_messages = 0
        self.dropped = dict.fromkeys(_DROPPED, 0)
        """What was refused or dropped: messages, ids of IDONTWANT, entries of IWANT and IHAVE."""

    @property
    def waiting_bytes(self) -> int:
        """All that waits, without what an RPC puts around it."""
        return self._held_bytes + self._control_bytes

    @property
    def has_room(self) -> bool:
        """Whether an own message would be taken."""
        limits = self._limits
        return self._held_bytes < limits.queue_bytes and self._held_messages < limits.queue_messages

    def __bool__(self) -> bool:
        return bool(self._held_bytes or self._control_bytes or self._declined)

    # --- topics and meshes: always kept -----------------------------------------------------------------

    def subscribe(self, topic: str, on: bool, parts: PartSupport = PartSupport.NONE) -> None:
        """Tell that this node joined or left a topic, and what it does with parts of messages there."""
        entry = Subscription(on, topic)
        if parts is not PartSupport.NONE:
            entry.requests_partial, entry.supports_sending_partial = parts is PartSupport.WANTS, True
        self._keep(self._subscriptions, topic, Rpc(subscriptions=[entry]).encode())

    def extensions(self, extensions: Extensions) -> None:
        """Tell which extensions this node has, in the next RPC; the protocol wants it to be the first, and once."""
        if self._version.extends:
            self._control_bytes -= len(self._extensions)
            self._extensions = Control(extensions=extensions).encode()
            self._control_bytes += len(self._extensions)

    def graft(self, topic: str) -> None:
        """Tell the peer that it is in the mesh of a topic."""
        if self._version.meshes:
            self._keep(self._control, topic, Control(graft=[Graft(topic)]).encode())

    def prune(
        self, topic: str, backoff_s: int | None = None, exchanged: Sequence[ExchangedPeer] = ()
    ) -> None:
        """Tell the peer that it is no longer in the mesh of a topic, for how many seconds, and whom it may call."""
        if not self._version.meshes:
            return
        entry = Prune(topic, list(exchanged), backoff_s) if self._version.exchanges else Prune(topic)
        self._keep(self._control, topic, Control(prune=[entry]).encode())

    def _keep(self, table: dict[str, bytes], topic: str, encoded: bytes) -> None:
        self._control_bytes += len(encoded) - len(table.get(topic, b""))
        table[topic] = encoded

    # --- messages ---------------------------------------------------------------------------------------

    def publish(self, field: bytes, own: bool) -> bool:
        """Queue a message (`as_field`), an own one or one passed on; False when it was dropped for want of room."""
        full = self._held_bytes >= self._forward_bytes or self._held_messages >= self._forward_messages
        if full and not self._makes_room(own):
            self.dropped["own" if own else "forwarded"] += 1
            return False
        size = len(field)
        if self._last_bytes + size > self._most_batch_bytes or len(self._last) > BATCH_MESSAGES:
            self._begin_batch()
        self._last.append(field)
        self._last_bytes += size
        self._held_bytes += size
        self._held_messages += 1
        return True

    def pass_on(self, fields: list[bytes]) -> int:
        """`publish` of messages that are passed on; returns how many were taken."""
        size, count = sum(map(len, fields)), len(fields)
        if (
            self._held_bytes + size > self._forward_bytes
            or self._held_messages + count > self._forward_messages
            or size > self._most_batch_bytes
            or count > BATCH_MESSAGES
        ):
            return sum(self.publish(field, own=False) for field in fields)
        if self._last_bytes + size > self._most_batch_bytes or len(self._last) + count > BATCH_MESSAGES + 1:
            self._begin_batch()
        self._last += fields
        self._last_bytes += size
        self._held_bytes += size
        self._held_messages += count
        return count

    def _begin_batch(self) -> None:
        if self._batches:
            self._sizes.append(self._last_bytes)
        self._last = [b""]  # the place of the length
        self._batches.append(self._last)
        self._last_bytes = 0

    def answer(self, field: bytes) -> bool:
        """Queue a message that the peer asked for; False when it was dropped for want of room."""
        full = self._held_bytes >= self._forward_bytes or self._held_messages >= self._forward_messages
        if full and not self._makes_room(own=False):
            self.dropped["answer"] += 1
            return False
        self._answers.append(field)
        self._held_bytes += len(field)
        self._held_messages += 1
        return True

    def alone(self, rpc: bytes) -> bool:
        """Queue an encoded RPC that nothing may be added to; False when it was dropped for want of room."""
        if self._alone is None:
            self._alone = deque()
        full = self._held_bytes >= self._forward_bytes
        if len(self._alone) >= self._forward_messages or (full and not self._makes_room(own=False)):
            self.dropped["alone"] += 1
            return False
        self._alone.append(rpc)
        self._held_bytes += len(rpc)
        return True

    def _makes_room(self, own: bool) -> bool:
        """Drop what can be dropped; whether another message may come then."""
        if self._ihave or self._declined:
            self._drop_gossip()
        if own:
            return self.has_room
        return self._held_bytes < self._forward_bytes and self._held_messages < self._forward_messages

    def _drop_gossip(self) -> None:
        for kind, waiting in (("ihave", self._ihave), ("idontwant", self._declined)):
            self.dropped[kind] += len(waiting)
            self._held_bytes -= sum(map(len, waiting))
            waiting.clear()

    # --- gossip -----------------------------------------------------------------------------------------

    def ihave(self, topic: str, ids: Sequence[bytes]) -> bool:
        """Tell of messages; False when that was left out."""
        return self.announce(announcement(topic, ids))

    def announce(self, entries: Entries) -> bool:
        """`ihave` encoded before by `announcement`; False when it was left out."""
        return self._gossip(self._ihave, entries)

    def iwant(self, ids: Sequence[bytes]) -> bool:
        """Ask for messages; False when that was left out. What was taken is not dropped any more."""
        return self._gossip(self._iwant, _request(ids))

    def _gossip(self, waiting: list[bytes], entries: Entries) -> bool:
        if not self._version.meshes:
            return False
        if self._held_bytes + entries.size > self._forward_bytes:
            self.dropped[entries.kind] += len(entries.encoded)
            return False
        waiting.extend(entries.encoded)
        self._held_bytes += entries.size
        return True

    def idontwant(self, ids: Sequence[bytes]) -> bool:
        """Ask not to be sent messages; False when that was left out."""
        if not self._version.declines:
            return False
        declined = self._declined
        if len(declined) + len(ids) > WAITING_DECLINED_IDS or self._held_bytes >= self._forward_bytes:
            self.dropped["idontwant"] += len(ids)
            return False
        for id in ids:
            if id not in declined:
                declined[id] = None
                self._held_bytes += len(id)
        return True

    # --- sending ----------------------------------------------------------------------------------------

    def take(self) -> bytes:
        """The next RPC behind its length, at most `own_rpc_bytes` unless one entry alone is longer; b"" when nothing
        waits."""
        mixed = self._control_bytes or self._declined or self._answers or self._iwant or self._ihave
        if self._alone and (self._alone_next or not (mixed or self._batches)):
            return self._take_alone(self._alone)
        self._alone_next = True
        if mixed:
            return self._mixed()
        if not self._batches:
            return b""
        batch, size = self._take_batch()
        batch[0] = encode_varint(size)
        return b"".join(batch)

    def _take_alone(self, waiting: deque[bytes]) -> bytes:
        self._alone_next = False
        rpc = waiting.popleft()
        self._held_bytes -= len(rpc)
        return encode_varint(len(rpc)) + rpc

    def _take_batch(self) -> tuple[list[bytes], int]:
        """The oldest batch, whose first element is the place of the length, and its size."""
        batch = self._batches.pop(0)
        if self._sizes:
            size = self._sizes.pop(0)
        else:
            size = self._last_bytes
            self._last = []
            self._last_bytes = self._most_batch_bytes
        self._held_bytes -= size
        self._held_messages -= len(batch) - 1
        return batch, size

    def _mixed(self) -> bytes:
        """An RPC that is more than messages. What found no place in one gets the next, without what is urgent."""
        parts: list[bytes] = [b""]
        control: list[bytes] = []
        owed, self._owed = self._owed, _Owed.NOTHING
        if owed is _Owed.MESSAGES and self._held_messages:
            told, carried = 0, self._take_messages(parts, 0)
        elif owed is _Owed.GOSSIP and (self._iwant or self._ihave):
            told = carried = 0
        else:
            told = self._take_urgent(parts, control)
            carried = self._take_messages(parts, told)
        if not carried and self._held_messages and owed is not _Owed.GOSSIP:
            self._owed = _Owed.MESSAGES
        if not self._take_gossip(control, told, carried) and self._owed is _Owed.NOTHING:
            self._owed = _Owed.GOSSIP
        if control:
            body = b"".join(control)
            parts += (b"\x1a", encode_varint(len(body)), body)
        parts[0] = encode_varint(sum(map(len, parts)))
        return b"".join(parts)

    def _take_urgent(self, parts: list[bytes], control: list[bytes]) -> int:
        """Add what is told of topics and meshes, and IDONTWANT; returns how many bytes that is."""
        told = len(self._extensions)
        if told:
            control.append(self._extensions)
            self._control_bytes -= told
            self._extensions = b""
        told = self._take_kept(self._subscriptions, parts, told)
        told = self._take_kept(self._control, control, told)
        if self._declined and told < self._most_control_bytes:
            ids = list(islice(self._declined, DECLINED_IDS))
            for id in ids:
                del self._declined[id]
                self._held_bytes -= len(id)
            control.append(Control(idontwant=[IDontWant(ids)]).encode())
            told += len(control[-1])
        return told

    def _take_kept(self, table: dict[str, bytes], parts: list[bytes], used: int) -> int:
        """Move entries from a table to an RPC which has ``used`` bytes of such; returns how many it has then."""
        taken = []
        for topic, encoded in table.items():
            if used and used + len(encoded) > self._most_control_bytes:
                break
            taken.append(topic)
            parts.append(encoded)
            used += len(encoded)
            self._control_bytes -= len(encoded)
        for topic in taken:
            del table[topic]
        return used

    def _take_messages(self, parts: list[bytes], told: int) -> int:
        """Add a batch, or messages that were asked for, where ``told`` bytes are; returns how many bytes were added."""
        room = self._limits.own_rpc_bytes - WRAPPING_BYTES - told
        if self._batches and not (self._answers and self._answers_next):
            if told and (self._sizes[0] if self._sizes else self._last_bytes) > room:
                return 0
            batch, size = self._take_batch()
            parts += batch
            self._answers_next = True
            return size
        carried = 0
        room = min(room, self._most_batch_bytes)
        given = 0
        for answer in self._answers:
            if len(parts) > BATCH_MESSAGES or (carried + len(answer) > room and (told or carried)):
                break
            carried += len(answer)
            given += 1
            parts.append(answer)
        del self._answers[:given]
        self._held_messages -= given
        self._held_bytes -= carried
        if carried:
            self._answers_next = False
        return carried

    def _take_gossip(self, control: list[bytes], told: int, carried: int) -> bool:
        """Add IWANT and IHAVE where there is room; False if none was added though some waits."""
        room = min(self._most_control_bytes, self._limits.own_rpc_bytes - WRAPPING_BYTES - carried) - told
        added = 0
        for waiting in (self._iwant, self._ihave):
            taken = 0
            for encoded in waiting:
                if added + len(encoded) > room and (told or carried or added):
                    break
                added += len(encoded)
                taken += 1
                control.append(encoded)
            del waiting[:taken]
        self._held_bytes -= added
        return added > 0 or not (self._iwant or self._ihave)
