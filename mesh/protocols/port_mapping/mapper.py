"""Outside ports of one router by NAT-PMP and PCP: what is wanted is asked for, renewed, asked for again when the router
has lost it, and given back at the end.

One request is under way at a time. The protocols given are tried in order until one is answered; a router that names
another version is believed at once (RFC 6887 section 9, appendix A). What does not come from the router, or answers
nothing we asked, changes nothing and is counted in `ignored`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from mesh.codecs.nat_pmp import ANNOUNCEMENT_PORT, SERVER_PORT
from mesh.errors import DecodeError, UsageError
from mesh.protocols.port_mapping import nat_pmp, pcp
from mesh.protocols.port_mapping.epoch import Epoch
from mesh.protocols.port_mapping.exchange import Exchange, nat_pmp_waits, pcp_waits
from mesh.protocols.port_mapping.leases import Lease, Leases
from mesh.protocols.port_mapping.mapping import ANY_HOST, Errand, Granted, Outcome, Port, Refused, Silent

__all__ = ["ANNOUNCEMENT_PORT", "SERVER_PORT", "GaveUp", "Mapper", "OutsideChanged"]

PROBE_S: Final = 4.0
"""For the first answer of a router to one protocol."""
PATIENCE_S: Final = 128.0
"""For an answer of one that has answered before."""
ADDRESS_FRESH_S: Final = 30.0
"""NAT-PMP: the outside address is asked for again before a port is, when it is older."""
ANNOUNCED_WITHIN_S: Final = 5.0
"""After an announcement ports are asked for again at a random time up to this (RFC 6887 section 14.1.3)."""
ANNOUNCEMENT_SPACING_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class OutsideChanged:
    """The outside addresses are others than before."""


@dataclass(frozen=True, slots=True)
class GaveUp:
    """The router speaks none of the protocols, or no more: ``outcome`` is its last word."""

    outcome: Refused | Silent


Event = OutsideChanged | GaveUp
HostPort = tuple[str, int]


class Mapper:
    """``protocols`` are `pcp` and `nat-pmp` in the order to try. ``own_ip`` is this machine's address towards the router
    at ``gateway``; ``nonce`` gives the 12 bytes that PCP knows a port by; ``entropy`` numbers from 0 up to 1."""

    def __init__(
        self,
        protocols: Sequence[str],
        gateway: str,
        own_ip: str,
        lease_s: float,
        nonce: Callable[[Port], bytes],
        entropy: Callable[[], float],
    ) -> None:
        if not protocols or set(protocols) - {pcp.NAME, nat_pmp.NAME}:
            raise UsageError(f"no protocols of port mapping: {protocols}")
        self._untried = list(protocols)
        self.protocol = self._untried.pop(0)
        self._router: HostPort = (gateway, SERVER_PORT)
        self._own_ip = own_ip
        self._nonce = nonce
        self._entropy = entropy
        self._leases = Leases(lease_s, entropy)
        self._epoch = Epoch()
        self._exchange: Exchange | None = None
        self._errand: Errand | None = None
        """What the exchange is about; None for the outside address."""
        self._host = ANY_HOST
        self._host_at: float | None = None
        self._announced_at: float | None = None
        self._events: list[Event] = []
        self.contact = False
        """Whether the router has answered in `protocol`."""
        self.failed = False
        self.ignored: Counter[str] = Counter()

    # -- commands ----------------------------------------------------------------------------------------------------

    def want(self, ports: Iterable[Port], now: float) -> None:
        """Hold these ports, and no others."""
        self._leases.want(ports, now)

    def close(self, now: float) -> None:
        """Give everything back; it is done once `done`."""
        self._leases.want((), now)
        self._exchange = None

    # -- doors -------------------------------------------------------------------------------------------------------

    def receive(self, datagram: bytes, source: HostPort, now: float) -> None:
        """A datagram came to the socket that requests leave from."""
        if source != self._router:
            self.ignored["stranger"] += 1
        elif self._exchange is None or self.failed:
            self.ignored["unasked"] += 1
        else:
            try:
                self._read(datagram, now)
            except DecodeError:
                self.ignored["malformed"] += 1

    def announced(self, datagram: bytes, source: HostPort, now: float) -> None:
        """A datagram came to the group that routers tell of a new start or a new address (ports 5350 and 5351). It is no
        more than a reason to ask again."""
        if source != self._router:
            self.ignored["stranger"] += 1
            return
        try:
            news = self._is_news(datagram, now)
        except DecodeError:
            self.ignored["malformed"] += 1
            return
        last = self._announced_at
        if not news or self.failed or not self.contact:
            return
        if last is not None and now - last < ANNOUNCEMENT_SPACING_S:
            self.ignored["announced too often"] += 1
            return
        self._announced_at = now
        self._host_at = None
        self._leases.ask_again(now, ANNOUNCED_WITHIN_S)

    def output(self, now: float) -> bytes | None:
        """The datagram to send to the router, if one is due."""
        self.wake(now)
        if self._exchange is None:
            self._begin(now)
        while self._exchange is not None:
            request = self._exchange.output(now)
            if request is not None or not self._exchange.over:
                return request
            self._silence(now)
            self._begin(now)
        return None

    def wake(self, now: float) -> None:
        """Time has passed: what has run out is let go of."""
        if self._leases.expire(now):
            self._changed()

    def deadline(self) -> float | None:
        """When to call `output` next, None for never."""
        if self.failed:
            return None
        if self._exchange is not None:
            return min([self._exchange.deadline(), *self._ends()])
        return self._leases.deadline()

    def events(self) -> list[Event]:
        """What happened since the last call."""
        events, self._events = self._events, []
        return events

    # -- what is known -----------------------------------------------------------------------------------------------

    @property
    def rows(self) -> list[Lease]:
        """Each port that is wanted, and what the router says to it."""
        return self._leases.rows

    @property
    def done(self) -> bool:
        """Whether there is nothing left to hold or to give back."""
        return self._leases.empty

    # -- asking ------------------------------------------------------------------------------------------------------

    def _begin(self, now: float) -> None:
        """The next exchange, if one is due."""
        if self.failed:
            return
        errand = self._leases.due(now)
        if errand is None:
            return
        patience_s = PATIENCE_S if self.contact else PROBE_S
        if self.protocol == pcp.NAME:
            host = "" if self._host == ANY_HOST else self._host
            request = pcp.write_map_request(errand, self._own_ip, self._nonce(errand.port), host)
            self._exchange = Exchange(request, pcp_waits(self._entropy()), now, patience_s)
            self._errand = errand
            return
        stale = self._host_at is None or now - self._host_at > ADDRESS_FRESH_S
        self._errand = None if stale and errand.lease_s else errand
        request = (
            nat_pmp.write_address_request()
            if self._errand is None
            else nat_pmp.write_map_request(self._errand)
        )
        self._exchange = Exchange(request, nat_pmp_waits(), now, patience_s)

    def _silence(self, now: float) -> None:
        """The router did not answer."""
        self._exchange = None
        if not self.contact:
            self._next_protocol(Silent())
            return
        errand = self._errand or self._leases.due(now)
        if errand is not None:
            self._note(errand, Silent(), now)
        if not any(row.granted for row in self._leases.rows):
            self._give_up(Silent())

    def _next_protocol(self, outcome: Refused | Silent) -> None:
        self._exchange = None
        if self._untried:
            self.protocol = self._untried.pop(0)
        else:
            self._give_up(outcome)

    def _give_up(self, outcome: Refused | Silent) -> None:
        self.failed = True
        self._exchange = None
        self._events.append(GaveUp(outcome))

    # -- hearing -----------------------------------------------------------------------------------------------------

    def _read(self, datagram: bytes, now: float) -> None:
        """An answer of the router while an exchange is under way. Raises `DecodeError`."""
        old = datagram[:1] == b"\x00"
        if old is not (self.protocol == nat_pmp.NAME):
            self._other_version(datagram, old=old)
        elif old:
            self._read_nat_pmp(datagram, now)
        else:
            self._read_pcp(datagram, now)

    def _other_version(self, datagram: bytes, *, old: bool) -> None:
        """A router that knows one protocol only says so in that one. Raises `DecodeError`."""
        if old:
            refused = nat_pmp.read_version_refusal(datagram)
        else:
            refused = isinstance(pcp.read_answer(datagram), pcp.VersionRefused)
        if not refused or self.contact:
            self.ignored["unasked"] += 1
            return
        self._next_protocol(Refused(1, "unsupported version"))

    def _read_nat_pmp(self, datagram: bytes, now: float) -> None:
        told = nat_pmp.read_answer(datagram, self._host)
        if isinstance(told, nat_pmp.AddressTold) and self._errand is None:
            self._hear(told.epoch_s, now)
            self._address(told, now)
            return
        errand = self._errand
        mine = (
            isinstance(told, nat_pmp.MapTold)
            and errand is not None
            and told.transport is errand.port.transport
            and told.port in (None, errand.port)
        )
        if not mine or errand is None or not isinstance(told, nat_pmp.MapTold):
            self.ignored["unasked"] += 1
            return
        self._hear(told.epoch_s, now)
        self._note(errand, told.outcome, now)

    def _address(self, told: nat_pmp.AddressTold, now: float) -> None:
        self._exchange = None
        if told.host is None:
            errand = self._leases.due(now)
            if errand is not None and told.refused is not None:
                self._note(errand, told.refused, now)
            return
        self._host, self._host_at = told.host, now
        if self._leases.move(told.host):
            self._changed()

    def _read_pcp(self, datagram: bytes, now: float) -> None:
        told = pcp.read_answer(datagram)
        errand = self._errand
        if isinstance(told, pcp.VersionRefused) and not self.contact:
            self._next_protocol(Refused(1, "unsupported version"))
            return
        if not isinstance(told, pcp.MapTold) or errand is None or told.port not in (None, errand.port):
            self.ignored["unasked"] += 1
            return
        if told.port is not None and told.nonce != self._nonce(errand.port):
            self.ignored["nonce"] += 1
            return
        self._hear(told.epoch_s, now)
        if isinstance(told.outcome, Granted) and errand.lease_s:
            self._host = told.outcome.host
        self._note(errand, told.outcome, now)

    def _is_news(self, datagram: bytes, now: float) -> bool:
        """Whether an announcement tells of something new. Raises `DecodeError`."""
        if datagram[:1] == b"\x00":
            told = nat_pmp.read_answer(datagram, self._host)
            if not isinstance(told, nat_pmp.AddressTold) or told.host is None:
                return False
            own = self.protocol == nat_pmp.NAME
            return told.host != self._host or (own and not self._epoch.follows(told.epoch_s, now))
        news = pcp.read_answer(datagram)
        return isinstance(news, pcp.Announced) and not self._epoch.follows(news.epoch_s, now)

    def _hear(self, epoch_s: int, now: float) -> None:
        self.contact = True
        if not self._epoch.follows(epoch_s, now):
            self._leases.ask_again(now)

    def _note(self, errand: Errand, outcome: Outcome, now: float) -> None:
        self._exchange = None
        if isinstance(outcome, Granted) and errand.lease_s and not outcome.lease_s:
            outcome = Refused(0, "granted for no time")
        if self._leases.note(errand, outcome, now):
            self._changed()

    def _changed(self) -> None:
        self._events.append(OutsideChanged())

    def _ends(self) -> list[float]:
        return [row.ends_at for row in self._leases.rows if row.granted is not None]
