"""Signatures of many messages at once, on two processors where that pays."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from queue import SimpleQueue
from typing import Final

from mesh.codecs.gossip import Message
from mesh.identity.peer_id import PeerId
from mesh.protocols.gossip import Incoming
from mesh.protocols.gossip.signing import verify

SHARED_BATCH: Final = 16
"""From so many messages on, a second thread helps: libsodium runs without the interpreter's lock."""


class Verifier:
    """Tells good signatures from bad. A message without one passes: whether it may lack it is the policy's matter.

    ``threads`` is how many may be used. The second one starts with the first long batch and ends with `stop`. Both take
    messages one by one, so that a thread the system does not run holds nothing up but the one message it is at.
    """

    __slots__ = ("_batches", "_thread", "_threads")

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._thread: threading.Thread | None = None
        self._batches: SimpleQueue[_Batch | None] = SimpleQueue()

    def verify(self, messages: Sequence[Incoming[PeerId]]) -> list[bool]:
        """Whether each of the messages may pass."""
        if self._threads < 2 or len(messages) < SHARED_BATCH:
            return [_passes(each.message, each.wire) for each in messages]
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="gossip signatures", daemon=True)
            self._thread.start()
        batch = _Batch(messages)
        self._batches.put(batch)
        batch.work()
        return batch.results()

    def stop(self) -> None:
        """End the second thread, which is idle."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._batches.put(None)
            thread.join()

    def _serve(self) -> None:
        while (batch := self._batches.get()) is not None:
            try:
                batch.work()
            finally:
                batch.finished.put(None)


class _Batch:
    """Messages that two threads verify: each takes the next one from the same iterator, which the interpreter's lock
    keeps whole."""

    __slots__ = ("_good", "_left", "finished")

    def __init__(self, messages: Sequence[Incoming[PeerId]]) -> None:
        self._left: Iterator[tuple[int, Incoming[PeerId]]] = enumerate(messages)
        self._good: list[bool | None] = [None] * len(messages)
        self.finished: SimpleQueue[None] = SimpleQueue()

    def work(self) -> None:
        """Verify what is left."""
        good = self._good
        for index, each in self._left:
            good[index] = _passes(each.message, each.wire)

    def results(self) -> list[bool]:
        """Once nothing is left; waits for the one the other thread is at."""
        if None in self._good:
            self.finished.get()
        return [each is True for each in self._good]


def _passes(message: Message, wire: bytes) -> bool:
    return message.signature is None or verify(message, wire)
