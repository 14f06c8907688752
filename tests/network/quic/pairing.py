"""Two engines with a link between them, in virtual time: nothing here opens a socket or waits.

``ENGINES`` is the one list of engines; a test that takes ``pairing`` as an argument (see the conftest) runs for every
ordered pair of them.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import product
from random import Random
from typing import Final

from mesh.identity import certificate
from mesh.identity.keys import PrivateKey, PublicKey
from mesh.network.quic.aioquic.engine import AioquicEngine
from mesh.network.quic.engine import Address, Engine, MakeEngine, Settings, Termination
from mesh.network.quic.qh3.engine import Qh3Engine

ENGINES: Final[dict[str, MakeEngine]] = {"qh3": Qh3Engine, "aioquic": AioquicEngine}
PAIRINGS: Final = {
    f"{dialer}-{listener}": (ENGINES[dialer], ENGINES[listener])
    for dialer, listener in product(ENGINES, repeat=2)
}
"""Dialer and listener."""

UNIX_NOW: Final = 1_800_000_000.0
DIALER: Final[Address] = ("192.0.2.1", 4001)
LISTENER: Final[Address] = ("192.0.2.2", 4001)
START: Final = 1000.0
BATCH: Final = 16


def reset_token(connection_id: bytes) -> bytes:
    return hashlib.sha256(b"token" + connection_id).digest()[:16]


def verify(chain: Sequence[bytes]) -> PublicKey:
    return certificate.verify(chain, UNIX_NOW)


def make_settings(identity: PrivateKey | None = None, **changes: object) -> Settings:
    """Settings as a node has them, with a certificate for ``identity`` or a new key."""
    issued = certificate.issue(identity or PrivateKey.generate(), UNIX_NOW)
    values: dict[str, object] = {
        "certificate": issued.der,
        "certificate_key": issued.key,
        "verify": verify,
        "reset_token": reset_token,
        **changes,
    }
    return Settings(**values)  # type: ignore[arg-type]


@dataclass
class End:
    """An owner that writes everything down, and reads at once unless it ``rests``, or as to streams ``resting``."""

    name: str
    engine: Engine | None = None
    key: PublicKey | None = None
    data: dict[int, bytearray] = field(default_factory=dict, repr=False)
    ended: set[int] = field(default_factory=set, repr=False)
    resets: list[tuple[int, int]] = field(default_factory=list)
    stops: list[tuple[int, int]] = field(default_factory=list)
    openings: int = 0
    issued: list[bytes] = field(default_factory=list)
    retired: list[bytes] = field(default_factory=list)
    terminations: list[Termination] = field(default_factory=list)
    rests: bool = False
    resting: set[int] = field(default_factory=set)
    unread: dict[int, int] = field(default_factory=dict)
    echoes: bool = False
    keeps: bool = True
    received: int = 0

    @property
    def up(self) -> Engine:
        assert self.engine is not None
        return self.engine

    @property
    def termination(self) -> Termination | None:
        assert len(self.terminations) <= 1, "told of the end twice"
        return self.terminations[0] if self.terminations else None

    def read(self, stream_id: int) -> int:
        """Consume what waits on a stream; how much that was."""
        size = self.unread.pop(stream_id, 0)
        self.up.consumed(stream_id, size)
        return size

    def _check(self) -> None:
        assert not self.terminations, "told of something after the end"

    def handshake_finished(self, key: PublicKey) -> None:
        self._check()
        assert self.key is None
        self.key = key

    def stream_data(self, stream_id: int, data: bytes, fin: bool) -> None:
        self._check()
        assert self.key is not None, "data before the handshake"
        assert data or fin, "nothing to tell"
        assert stream_id not in self.ended, "data after the end"
        held = self.data.setdefault(stream_id, bytearray())
        if self.keeps:
            held += data
        self.received += len(data)
        if fin:
            self.ended.add(stream_id)
        if self.rests or stream_id in self.resting:
            self.unread[stream_id] = self.unread.get(stream_id, 0) + len(data)
        else:
            self.up.consumed(stream_id, len(data))
        if self.echoes:
            self.up.write(stream_id, data, fin)

    def stream_reset(self, stream_id: int, code: int) -> None:
        self._check()
        self.resets.append((stream_id, code))

    def stream_stopped(self, stream_id: int, code: int) -> None:
        self._check()
        self.stops.append((stream_id, code))

    def openable(self) -> None:
        self._check()
        self.openings += 1

    def connection_id_issued(self, connection_id: bytes) -> None:
        self._check()
        self.issued.append(connection_id)

    def connection_id_retired(self, connection_id: bytes) -> None:
        self._check()
        self.retired.append(connection_id)

    def terminated(self, how: Termination) -> None:
        self.terminations.append(how)


@dataclass
class Link:
    """What the way does to datagrams, the same for the same seed. Times in seconds, shares from 0 to 1."""

    delay_s: float = 0.01
    loss: float = 0.0
    reordering: float = 0.0
    duplication: float = 0.0
    largest: int = 65_535
    seed: int = 1
    severed: bool = False

    def __post_init__(self) -> None:
        self.random = Random(self.seed)

    def arrivals(self, datagram: bytes) -> list[float]:
        """After how long each copy of a datagram arrives."""
        draw = self.random.random
        if self.severed or len(datagram) > self.largest or draw() < self.loss:
            return []
        delays = [self.delay_s * (1 + 2 * draw()) if draw() < self.reordering else self.delay_s]
        if draw() < self.duplication:
            delays.append(self.delay_s * (1 + 3 * draw()))
        return delays


class Pair:
    """A dialer and a listener. The listener's engine is made when the first datagram reaches it.

    ``where`` is the address of each; what was sent to another one is lost and stands in ``astray``, as sender, address
    and size.
    """

    def __init__(
        self,
        engines: tuple[MakeEngine, MakeEngine],
        link: Link | None = None,
        *,
        dialer_settings: Settings | None = None,
        listener_settings: Settings | None = None,
        coalesce: bool = False,
    ) -> None:
        self.now = START
        self.link = link or Link()
        self.coalesce = coalesce
        self.dialer, self.listener = End("dialer"), End("listener")
        self.sent: dict[str, list[int]] = {"dialer": [], "listener": []}
        self._make_listener = engines[1]
        self._listener_settings = listener_settings or make_settings()
        self.where: dict[str, Address] = {"dialer": DIALER, "listener": LISTENER}
        self.astray: list[tuple[str, Address, int]] = []
        self._way: list[tuple[float, int, End, bytes, Address]] = []
        self._count = 0
        self.dialer.engine = engines[0](
            dialer_settings or make_settings(), self.dialer, LISTENER, self.now, dialer=True
        )

    @property
    def ends(self) -> tuple[End, End]:
        return self.dialer, self.listener

    def start(self) -> Pair:
        self.dialer.up.start(self.now)
        return self

    def connect(self) -> Pair:
        """Handshake, and a while for what follows it."""
        self.start()
        self.run(lambda: self.dialer.key is not None and self.listener.key is not None)
        self.pass_time(0.2)
        return self

    def run(self, until: Callable[[], bool], within_s: float = 60.0) -> None:
        """Let time pass until something is so; fail when it is not within that time."""
        limit = self.now + within_s
        self._flush()
        while not until():
            assert self._step(limit), f"not within {within_s} s: {self.ends}"

    def pass_time(self, seconds: float) -> None:
        limit = self.now + seconds
        self._flush()
        while self._step(limit):
            pass
        self.now = limit

    def inject(self, to: End, datagram: bytes, source: Address | None = None) -> None:
        """Give an end a datagram from nowhere, or from ``source``, now."""
        self._deliver(to, datagram, source or self._peer_of(to))
        self._flush()

    def take(self, end: End) -> list[bytes]:
        """Catch what an end has to send now."""
        caught: list[bytes] = []
        while datagrams := end.up.transmit(self.now, BATCH):
            caught += [datagram for datagram, _ in datagrams]
        return caught

    def touch(self) -> None:
        """Send what commands have queued."""
        self._flush()

    def _step(self, limit: float) -> bool:
        due: list[tuple[float, End | None]] = [(self._way[0][0], None)] if self._way else []
        for end in self.ends:
            deadline = None if end.engine is None else end.engine.deadline()
            if deadline is not None:
                due.append((max(deadline, self.now), end))
        if not due:
            return False
        when, who = min(due, key=lambda entry: entry[0])
        if when > limit:
            return False
        self.now = max(self.now, when)
        if who is None:
            _, _, to, datagram, source = heapq.heappop(self._way)
            batch = [datagram]
            while (
                self.coalesce
                and self._way
                and self._way[0][0] <= self.now
                and self._way[0][2] is to
                and self._way[0][4] == source
            ):
                following = self._way[0][3]
                if len(following) > len(datagram) or len(batch) == BATCH:
                    break
                batch.append(heapq.heappop(self._way)[3])
                if len(following) < len(datagram):
                    break
            self._deliver(to, b"".join(batch), source, len(datagram) if len(batch) > 1 else 0)
        else:
            who.up.wake(self.now)
        self._flush()
        return True

    def _peer_of(self, end: End) -> Address:
        return self.where["listener" if end is self.dialer else "dialer"]

    def _deliver(self, to: End, datagram: bytes, address: Address, segment: int = 0) -> None:
        if to.engine is None:
            original_id = datagram[6 : 6 + datagram[5]]
            to.engine = self._make_listener(
                self._listener_settings, to, address, self.now, dialer=False, original_id=original_id
            )
        if segment:
            to.engine.receive_coalesced(datagram, segment, address, self.now)
        else:
            to.engine.receive(datagram, address, self.now)

    def _flush(self) -> None:
        for end in self.ends:
            if end.engine is None:
                continue
            while datagrams := end.engine.transmit(self.now, BATCH):
                assert len(datagrams) <= BATCH
                self._send(end, datagrams)

    def _send(self, end: End, datagrams: Iterable[tuple[bytes, Address]]) -> None:
        to = self.listener if end is self.dialer else self.dialer
        for datagram, address in datagrams:
            self.sent[end.name].append(len(datagram))
            if address != self._peer_of(end):
                self.astray.append((end.name, address, len(datagram)))
                continue
            for delay in self.link.arrivals(datagram):
                self._count += 1
                source = self.where[end.name]
                heapq.heappush(self._way, (self.now + delay, self._count, to, datagram, source))


def push(
    pair: Pair, end: End, stream_id: int, data: bytes, fin: bool = True, high_water: int = 1 << 20
) -> None:
    """Write as a patient writer does: a piece at a time, while little of the stream waits."""
    view = memoryview(data)
    while view:
        pair.run(lambda: end.up.unsent_bytes(stream_id) < high_water)
        piece, view = view[:65536], view[65536:]
        end.up.write(stream_id, piece, fin and not view)
        pair.touch()
    if fin and not data:
        end.up.write(stream_id, b"", True)
        pair.touch()
