"""Values: put at the closest peers, got from them, and set right at those that hold a worse one (libp2p specs kad-dht,
"Value storage and retrieval")."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final

from mesh.codecs.kademlia import Answer, Message, MessageType, ValueRecord
from mesh.errors import LimitError, MeshError, RecordNotFound, UsageError
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.protocols.kademlia import records
from mesh.protocols.kademlia.record_key import InvalidRecordError
from mesh.protocols.kademlia.records import StoredValue
from mesh.protocols.kademlia.validators import Validators
from mesh.services.kademlia.links import OnOutcome, Outcome
from mesh.services.kademlia.search import OnStep, Search
from mesh.services.kademlia.writes import Write
from mesh.storage.record_store import RecordStore

PUT_S: Final = 30.0
MAX_ACKNOWLEDGED: Final = 4096
"""Values and peers that said they hold them: who does not give one afterwards is told of."""


class Values:
    """Puts and gets. ``clock`` gives Unix seconds."""

    def __init__(
        self, search: Search, store: RecordStore, validators: Validators, clock: Callable[[], float]
    ) -> None:
        self._search = search
        self._store = store
        self._validators = validators
        self._clock = clock
        self._acknowledged: dict[tuple[bytes, PeerId], bytes] = {}

    async def put(self, key: bytes, value: bytes, on_step: OnStep | None = None) -> Write:
        """Keep a value here and at the closest peers; returns once a majority of them holds it.

        Raises `UsageError` when the validator refuses it or a better one is held here, `LimitError` when it is too long.
        """
        record = ValueRecord(key, value)
        try:
            await self._store.update(
                key, None, lambda held: records.admit(key, record, held, self._validators, self._clock())
            )
        except InvalidRecordError as error:
            raise UsageError(f"the value cannot be put: {error}") from error
        return await self._put_at_closest(key, record, on_step)

    async def get(self, key: bytes, quorum: int = 0, on_step: OnStep | None = None) -> bytes:
        """The best value of a key that the network holds; stale holders among the closest peers are sent it.

        ``quorum`` ends the search after that many further answers with a value; 0 asks everybody there is to ask.
        Raises `RecordNotFound`, `UsageError` for a key of an unknown namespace.
        """
        if not self._validators.knows(key):
            raise UsageError(f"nobody can judge values of {key!r}: its namespace has no validator")
        now = self._clock()
        own = records.current(await self._store.get(key), self._validators, now)
        held: dict[PeerId, bytes | None] = {}
        refused: set[PeerId] = set()
        values = [own.value] if own is not None else []

        def on_answer(peer: PeerId, answer: Answer) -> bool:
            held[peer] = None
            if answer.record is not None:
                try:
                    held[peer] = value = records.check(key, answer.record, self._validators, now)
                except InvalidRecordError:
                    refused.add(peer)
                    return False
                values.append(value)
            return bool(quorum) and len(values) > quorum

        def judge() -> Mapping[PeerId, bool]:
            best = records.best(key, values, self._validators, now)
            acknowledged = {
                peer: self._acknowledged[key, peer] for peer in held if (key, peer) in self._acknowledged
            }
            return records.contradictions(held, refused, acknowledged, best)

        result = await self._search.run(key, Message(MessageType.GET_VALUE, key), on_answer, on_step, judge)
        best = records.best(key, values, self._validators, now)
        if best is None:
            raise RecordNotFound(f"no value of {key!r} was found at {len(held)} peers")
        closest = [each.peer for each in result.closest]
        correction = Message(MessageType.PUT_VALUE, key, ValueRecord(key, best)).encode()
        for peer in records.stale_holders(closest, held, best):
            self._search.links.ask(peer, (), correction, PUT_S, partial(self._stored, key, best, peer))
        if own is not None and own.value != best:
            await self._improve(key, best)
        return best

    async def republish(self, key: bytes) -> Write | None:
        """Put a value of ours again; None when it is no longer held."""
        stored = records.current(await self._store.get(key), self._validators, self._clock())
        if stored is None:
            return None
        await self._store.put(StoredValue(key, stored.value, self._clock()))
        return await self._put_at_closest(key, ValueRecord(key, stored.value), None)

    async def _improve(self, key: bytes, value: bytes) -> None:
        """Hold a better value for whom the former one was held, unless a still better one came or there is no room."""
        record = ValueRecord(key, value)
        with contextlib.suppress(InvalidRecordError, LimitError):
            await self._store.update(
                key,
                self._store.sender_of(key),
                lambda held: records.admit(key, record, held, self._validators, self._clock()),
            )

    async def _put_at_closest(self, key: bytes, record: ValueRecord, on_step: OnStep | None) -> Write:
        message = Message(MessageType.PUT_VALUE, key, record).encode()

        def send(peer: PeerId, addresses: Iterable[Multiaddr], told: OnOutcome) -> None:
            def settle(outcome: Outcome) -> None:
                self._stored(key, record.value, peer, outcome)
                told(outcome)

            self._search.links.ask(peer, addresses, message, PUT_S, settle)

        return await self._search.place(key, send, on_step)

    def _stored(self, key: bytes, value: bytes, peer: PeerId, outcome: Outcome) -> None:
        """What a peer answered to a put; one that fails is set right by the next lookup of the value."""
        self._acknowledged.pop((key, peer), None)
        if not isinstance(outcome, MeshError):
            self._acknowledged[key, peer] = value
            if len(self._acknowledged) > MAX_ACKNOWLEDGED:
                del self._acknowledged[next(iter(self._acknowledged))]
