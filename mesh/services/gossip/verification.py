"""Signatures of many messages at once, on two processors where that pays."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from queue import SimpleQueue
from typing import Final

from mesh.identity.keys import PublicKey
from mesh.identity.peer_id import PeerId
from mesh.protocols.gossip import Incoming
from mesh.protocols.gossip.signing import claim

SHARED_BATCH: Final = 32
"""From so many messages on, a second thread helps: `PublicKey.verify_beside` runs without the interpreter's lock."""

Claim = tuple[PublicKey, bytes, bytes]


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
        claims = [
            (None if each.message.signature is None else claim(each.message, each.wire, each.signed_bytes))
            for each in messages
        ]
        if self._threads > 1 and len(claims) >= SHARED_BATCH:
            verified = iter(self._verified_beside([each for each in claims if each is not None]))
            good = [claimed is not None and next(verified) for claimed in claims]
        else:
            good = [claimed is not None and claimed[0].verify(claimed[1], claimed[2]) for claimed in claims]
        if None in claims:
            return [
                passes or each.message.signature is None for passes, each in zip(good, messages, strict=True)
            ]
        return good

    def _verified_beside(self, claims: list[Claim]) -> list[bool]:
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="gossip signatures", daemon=True)
            self._thread.start()
        batch = _Batch(claims)
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

    def __init__(self, claims: list[Claim]) -> None:
        self._left: Iterator[tuple[int, Claim]] = enumerate(claims)
        self._good: list[bool | None] = [None] * len(claims)
        self.finished: SimpleQueue[None] = SimpleQueue()

    def work(self) -> None:
        """Verify what is left."""
        good = self._good
        for index, (key, signed, signature) in self._left:
            good[index] = key.verify_beside(signed, signature)

    def results(self) -> list[bool]:
        """Once nothing is left; waits for the one the other thread is at."""
        if None in self._good:
            self.finished.get()
        return [each is True for each in self._good]
