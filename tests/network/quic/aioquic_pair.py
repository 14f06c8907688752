"""Two engines on aioquic in memory, on a clock that jumps: what the wire does is up to each test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from mesh.identity.certificate import issue, verify
from mesh.identity.keys import PrivateKey, PublicKey
from mesh.network.quic.aioquic_engine import AioquicEngine
from mesh.network.quic.engine import Address, Settings, Termination

CLOCK_S = 1_800_000_000.0
DELAY_S = 0.005
DIALER: Address = ("192.0.2.1", 4001)
LISTENER: Address = ("192.0.2.2", 4001)
KEYS = [PrivateKey.from_seed(bytes([number]) * 32) for number in (1, 2)]
CERTIFICATES = [issue(key, CLOCK_S) for key in KEYS]
Datagram = tuple[float, int, bytes]
DIAL, LISTEN = 0, 1


def settings(side: int, **changes: object) -> Settings:
    own = CERTIFICATES[side]
    made = Settings(
        certificate=own.der,
        certificate_key=own.key,
        verify=lambda chain: verify(chain, CLOCK_S),
        reset_token=lambda connection_id: connection_id * 2,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


class Told:
    """What an engine has told, and a reader that takes everything unless ``reading`` is off."""

    def __init__(self) -> None:
        self.key: PublicKey | None = None
        self.data: dict[int, bytearray] = {}
        self.ended: set[int] = set()
        self.resets: dict[int, int] = {}
        self.stops: dict[int, int] = {}
        self.issued: list[bytes] = []
        self.retired: list[bytes] = []
        self.openable_count = 0
        self.ends: list[Termination] = []
        self.unread: dict[int, int] = {}

    def handshake_finished(self, key: PublicKey) -> None:
        assert self.key is None
        self.key = key

    def stream_data(self, stream_id: int, data: bytes, fin: bool) -> None:
        self.data.setdefault(stream_id, bytearray()).extend(data)
        self.unread[stream_id] = self.unread.get(stream_id, 0) + len(data)
        if fin:
            self.ended.add(stream_id)

    def stream_reset(self, stream_id: int, code: int) -> None:
        self.resets[stream_id] = code

    def stream_stopped(self, stream_id: int, code: int) -> None:
        self.stops[stream_id] = code

    def openable(self) -> None:
        self.openable_count += 1

    def connection_id_issued(self, connection_id: bytes) -> None:
        self.issued.append(connection_id)

    def connection_id_retired(self, connection_id: bytes) -> None:
        self.retired.append(connection_id)

    def terminated(self, how: Termination) -> None:
        self.ends.append(how)


class Pair:
    """A dialer and a listener; ``carry`` decides what becomes of a datagram: the pieces that arrive, and how late."""

    def __init__(self, *, dialer: Settings | None = None, listener: Settings | None = None) -> None:
        self.now = 1000.0
        self.told = (Told(), Told())
        self.settings = (dialer or settings(DIAL), listener or settings(LISTEN))
        self.engines: list[AioquicEngine] = [
            AioquicEngine(self.settings[DIAL], self.told[DIAL], LISTENER, self.now, dialer=True)
        ]
        self.wire: list[Datagram] = []
        self.sent = [0, 0]
        self.sizes: set[int] = set()
        self.carry: Callable[[int, bytes], list[tuple[float, bytes]]] = lambda side, datagram: [
            (0.0, datagram)
        ]
        self.reading: Callable[[int, int], bool] = lambda side, stream_id: True
        self.engines[DIAL].start(self.now)

    @property
    def dialer(self) -> AioquicEngine:
        return self.engines[DIAL]

    @property
    def listener(self) -> AioquicEngine:
        return self.engines[LISTEN]

    def flush(self) -> None:
        for side, engine in enumerate(self.engines):
            for stream_id in list(self.told[side].unread):
                if self.reading(side, stream_id):
                    engine.consumed(stream_id, self.told[side].unread.pop(stream_id))
            while sent := engine.transmit(self.now, 16):
                assert len(sent) <= 16
                for datagram, _ in sent:
                    self.sent[side] += len(datagram)
                    self.sizes.add(len(datagram))
                    for late_s, arriving in self.carry(side, datagram):
                        self.wire.append((self.now + DELAY_S + late_s, side, arriving))

    def deliver(self, side: int, datagram: bytes) -> None:
        if side == LISTEN:
            self.dialer.receive(datagram, LISTENER, self.now)
        elif len(self.engines) == 1:
            original_id = datagram[6 : 6 + datagram[5]]
            self.engines.append(
                AioquicEngine(
                    self.settings[LISTEN],
                    self.told[LISTEN],
                    DIALER,
                    self.now,
                    dialer=False,
                    original_id=original_id,
                )
            )
            self.listener.receive(datagram, DIALER, self.now)
        else:
            self.listener.receive(datagram, DIALER, self.now)

    def step(self, before: float = float("inf")) -> bool:
        """One instant further; False when nothing is to happen before that time."""
        self.flush()
        instants = [late for late, _, _ in self.wire]
        instants += [due for engine in self.engines if (due := engine.deadline()) is not None]
        if not instants or min(instants) > before:
            return False
        self.now = max(self.now, min(instants))
        arriving = [each for each in self.wire if each[0] <= self.now]
        self.wire = [each for each in self.wire if each[0] > self.now]
        for _, side, datagram in sorted(arriving, key=lambda each: each[0]):
            self.deliver(side, datagram)
        for engine in self.engines:
            due = engine.deadline()
            if due is not None and due <= self.now:
                engine.wake(self.now)
        return True

    def until(self, met: Callable[[], bool], within_s: float = 20.0) -> None:
        end = self.now + within_s
        while not met():
            assert self.step(end), f"not met within {within_s} s; {[told.ends for told in self.told]}"

    def run(self, for_s: float) -> None:
        end = self.now + for_s
        while self.step(end):
            pass
        self.now = end

    def connected(self) -> Pair:
        self.until(lambda: self.told[DIAL].key is not None and self.told[LISTEN].key is not None)
        return self

    def open(self, data: bytes = b"", fin: bool = False) -> int:
        stream_id = self.dialer.open_stream()
        if data or fin:
            self.dialer.write(stream_id, data, fin)
        return stream_id
