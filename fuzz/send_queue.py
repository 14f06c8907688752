"""The queue of what is sent to one peer, driven by commands read from bytes and held against a plain model.

Every RPC must decode and keep its limits; what was not dropped comes out once, each kind in the order it came in, and
no kind waits for ever.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from mesh.codecs.gossip import Control, Extensions, Rpc
from mesh.codecs.wire import decode_uvarint
from mesh.protocols.gossip.send_queue import DECLINED_IDS, SendQueue, as_field
from mesh.protocols.gossip.settings import Limits
from mesh.protocols.gossip.version import Version

LIMITS = Limits(own_rpc_bytes=16384, queue_bytes=120_000, queue_messages=300)
SIZES = (9, 20, 200, 1000, 4000, 12_000, 13_000, 17_000)
ID_COUNTS = (1, 2, 9, 200, 500)
PATIENCE = 6
"""RPCs in which a kind that waits may be left out."""


class Model:
    """A queue, and what is expected to come out of it."""

    def __init__(self, version: Version) -> None:
        self.queue = SendQueue(LIMITS, version)
        self.version = version
        self.messages: list[bytes] = []
        self.answers: list[bytes] = []
        self.iwant: list[bytes] = []
        self.ihave: list[bytes] = []
        self.declined: list[bytes] = []
        self.subscriptions: dict[str, bool] = {}
        self.meshes: dict[str, int | None] = {}
        self.extensions = False
        self.left_out = dict.fromkeys(("urgent", "messages", "answers", "gossip"), 0)
        self.count = 0
        self.said = b""

    def unique(self, size: int) -> bytes:
        self.count += 1
        return self.count.to_bytes(8, "big") + bytes(size - 8)

    # --- commands ---------------------------------------------------------------------------------------

    def publish(self, argument: int, own: bool) -> None:
        message = self.unique(SIZES[argument % len(SIZES)])
        had_room = self.queue.has_room
        taken = self.putting(lambda: self.queue.publish(as_field(message), own))
        assert taken or not own or not had_room, "an own message is refused though there was room"
        if taken:
            self.messages.append(message)

    def answer(self, argument: int) -> None:
        message = self.unique(SIZES[argument % len(SIZES)])
        if self.putting(lambda: self.queue.answer(as_field(message))):
            self.answers.append(message)

    def putting(self, put: Callable[[], bool]) -> bool:
        """Put a message, for which gossip may be dropped."""
        before = dict(self.queue.dropped)
        taken = put()
        if self.queue.dropped["ihave"] > before["ihave"]:
            self.ihave.clear()
        if self.queue.dropped["idontwant"] > before["idontwant"]:
            self.declined.clear()
        return taken

    def tell(self, argument: int) -> None:
        topic, kind = f"topic {argument % 7}", argument // 7 % 4
        if kind == 0:
            on = bool(argument & 1)
            self.queue.subscribe(topic, on)
            self.subscriptions[topic] = on
            return
        backoff_s = None
        if kind == 1:
            self.queue.graft(topic)
        else:
            self.queue.prune(topic, argument, ())
            backoff_s = argument if self.version.exchanges else -1
        if self.version.meshes:
            self.meshes[topic] = backoff_s

    def gossip(self, argument: int) -> None:
        ids = [self.unique(46) for _ in range(ID_COUNTS[argument // 3 % len(ID_COUNTS)])]
        kind = argument % 3
        if kind == 0 and self.queue.ihave("topic", ids):
            self.ihave += ids
        elif kind == 1 and self.queue.iwant(ids):
            self.iwant += ids
        elif kind == 2 and self.queue.idontwant(ids[:20]):
            self.declined += ids[:20]

    # --- what comes out ---------------------------------------------------------------------------------

    def take(self) -> bool:
        """Take an RPC and compare it; False when nothing waited."""
        waited = bool(self.queue)
        framed = self.queue.take()
        self.said += framed
        assert bool(framed) == waited
        if not framed:
            return False
        size, start = decode_uvarint(framed)
        assert start + size == len(framed)
        rpc = Rpc.decode(framed, start)
        control = rpc.control or Control()
        entries = len(rpc.publish) + len(rpc.subscriptions) + len(control.ihave) + len(control.iwant)
        entries += len(control.graft) + len(control.prune) + len(control.idontwant)
        assert size <= LIMITS.own_rpc_bytes or entries == 1
        waiting = {
            "urgent": bool(self.subscriptions or self.meshes or self.declined),
            "messages": bool(self.messages),
            "answers": bool(self.answers),
            "gossip": bool(self.iwant or self.ihave),
        }
        moved = self.compare(rpc, control)
        for kind, waits in waiting.items():
            self.left_out[kind] = 0 if moved[kind] or not waits else self.left_out[kind] + 1
            assert self.left_out[kind] <= PATIENCE, f"{kind} waits for ever"
        return True

    def compare(self, rpc: Rpc, control: Control) -> dict[str, bool]:
        """Take what an RPC holds from what is expected; returns which kinds it held."""
        for each in rpc.subscriptions:
            assert self.subscriptions.pop(each.topic) == each.subscribe
        for graft in control.graft:
            assert self.meshes.pop(graft.topic) is None
        for prune in control.prune:
            assert self.meshes.pop(prune.topic) == (-1 if prune.backoff is None else prune.backoff)
        assert (control.extensions is not None) == self.extensions, "extensions belong into the first RPC"
        self.extensions = False
        declined = [id for entry in control.idontwant for id in entry.message_ids]
        assert len(declined) <= DECLINED_IDS
        self.expect(self.declined, declined)
        held = "messages" if rpc.publish and rpc.publish[0] in self.messages[:1] else "answers"
        self.expect(self.messages if held == "messages" else self.answers, rpc.publish)
        wanted = [id for entry in control.iwant for id in entry.message_ids]
        self.expect(self.iwant, wanted)
        told = [id for each in control.ihave for id in each.message_ids]
        self.expect(self.ihave, told)
        moved = bool(rpc.publish)
        return {
            "urgent": bool(rpc.subscriptions or control.graft or control.prune or declined),
            "messages": moved and held == "messages",
            "answers": moved and held == "answers",
            "gossip": bool(wanted or told),
        }

    @staticmethod
    def expect(waiting: list[bytes], found: list[bytes]) -> None:
        assert waiting[: len(found)] == found
        del waiting[: len(found)]


def live_send_queue(parts: Sequence[bytes]) -> object:
    """Obey the commands in the bytes, two each; the first byte is the peer's version."""
    data = b"".join(parts)
    model = Model(list(Version)[data[0] % len(Version)] if data else Version.V1_3)
    if model.version.extends:
        model.queue.extensions(Extensions(partial_messages=True))
        model.extensions = True
    for at in range(1, len(data) - 1, 2):
        command, argument = data[at] % 8, data[at + 1]
        if command <= 2:
            model.publish(argument, own=command == 0)
        elif command == 3:
            model.answer(argument)
        elif command == 4:
            model.tell(argument)
        elif command <= 6:
            model.gossip(argument)
        else:
            model.take()
        assert model.queue.waiting_bytes <= 2 * LIMITS.queue_bytes
    while model.take():
        pass
    assert model.queue.waiting_bytes == 0
    assert not any((model.messages, model.answers, model.iwant, model.ihave, model.declined))
    assert not any((model.subscriptions, model.meshes, model.extensions))
    return model.said, model.queue.dropped


def commands(rng: random.Random) -> tuple[bytes, ...]:
    """A life of a queue: filled more often than emptied."""
    version = bytes([rng.randrange(5)])
    return version, *(rng.randbytes(2) for _ in range(rng.choice((10, 60, 180))))
