"""The machine against a router, in virtual time: held, renewed, lost and asked for again, given back."""

from __future__ import annotations

import math

import pytest

from mesh.codecs import nat_pmp, pcp
from mesh.errors import UsageError
from mesh.protocols.port_mapping.mapper import SERVER_PORT, GaveUp, Mapper, OutsideChanged
from mesh.protocols.port_mapping.mapping import Port, Refused, Silent, Transport
from tests.protocols.port_mapping.router import Router

GATEWAY = "192.168.1.1"
AT = (GATEWAY, SERVER_PORT)
TCP = Port(Transport.TCP, 4001)
UDP = Port(Transport.UDP, 4001)
BOTH = ("pcp", "nat-pmp")


def nonce(port: Port) -> bytes:
    return f"{port.transport}{port.number:09}".encode()


class Life:
    """A machine and its router, and the clock they share."""

    def __init__(
        self, router: Router, *protocols: str, lease_s: float = 3600.0, entropy: float = 0.5
    ) -> None:
        self.router = router
        self.mapper = Mapper(protocols or BOTH, GATEWAY, "192.168.1.10", lease_s, nonce, lambda: entropy)
        self.now = 1000.0
        self.router.started_at = 0.0
        self.sent: list[tuple[float, bytes]] = []
        self.said: list[object] = []

    def settle(self) -> None:
        """Let everything that is due be asked and answered."""
        while (request := self.mapper.output(self.now)) is not None:
            self.sent.append((self.now, request))
            answer = self.router.answer(request, self.now)
            if answer is not None:
                self.mapper.receive(answer, AT, self.now)
        self.said += self.mapper.events()

    def run(self, seconds: float) -> None:
        """Let time pass, woken as the machine wants to be."""
        end = self.now + seconds
        self.settle()
        while (deadline := self.mapper.deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.settle()
        self.now = end
        self.settle()

    @property
    def outside(self) -> dict[Port, tuple[str, int]]:
        return {
            row.port: (row.granted.host, row.granted.external_port)
            for row in self.mapper.rows
            if row.granted is not None
        }


def started(
    router: Router | None = None, *protocols: str, lease_s: float = 3600.0, entropy: float = 0.5
) -> Life:
    life = Life(router or Router(), *protocols, lease_s=lease_s, entropy=entropy)
    life.mapper.want((TCP, UDP), life.now)
    life.settle()
    return life


@pytest.mark.parametrize("protocol", BOTH)
def test_ports_are_held_and_told(protocol: str) -> None:
    life = started(Router((protocol,), shift=26605), protocol)
    assert life.outside == {TCP: ("11.3.1.2", 30606), UDP: ("11.3.1.2", 30606)}
    assert life.said == [OutsideChanged(), OutsideChanged()]
    assert life.mapper.protocol == protocol
    assert set(life.router.held) == {TCP, UDP}


@pytest.mark.parametrize("protocol", BOTH)
def test_a_lease_is_renewed_in_its_second_half_and_outlives_its_time(protocol: str) -> None:
    life = started(Router((protocol,)), protocol, lease_s=600.0)
    asked = len(life.sent)
    life.run(299.0)
    assert len(life.sent) == asked
    life.run(76.0)
    assert len(life.sent) > asked, "not later than five eighths"
    life.run(100_000.0)
    assert set(life.outside) == {TCP, UDP}
    assert life.said == [OutsideChanged(), OutsideChanged()], "renewing changes nothing"
    renewals = (len(life.sent) - asked) / 2
    assert 100_375 / 375 - 2 <= renewals <= 2 * 100_375 / 300 + 2


def test_the_router_may_grant_less_or_more_than_was_asked() -> None:
    life = started(Router(longest_s=60), lease_s=3600.0)
    life.run(120.0)
    assert set(life.outside) == {TCP, UDP}
    assert len(life.sent) >= 2 * 4
    generous = Router(longest_s=2**32 - 1)
    life = started(generous, lease_s=600.0)
    generous.held = {port: (each[0], 2**32 - 1, each[2]) for port, each in generous.held.items()}
    before = len(life.sent)
    life.run(400.0)
    assert len(life.sent) == before + 2, "renewed by the lease that was asked for"


@pytest.mark.parametrize("protocol", BOTH)
def test_what_a_new_start_of_the_router_loses_is_asked_for_again(protocol: str) -> None:
    router = Router((protocol,))
    life = started(router, protocol, lease_s=600.0)
    life.run(100.0)
    router.restart(life.now)
    life.run(280.0)
    assert set(router.held) == {TCP, UDP}
    before = len(life.sent)
    life.run(30.0)
    assert len(life.sent) == before


def test_one_answer_tells_that_all_is_lost() -> None:
    """The renewal of the first shows the new start; the second is asked for at once, long before its own time."""
    router = Router(("pcp",))
    life = Life(router, "pcp", lease_s=600.0)
    life.mapper.want((TCP,), life.now)
    life.settle()
    life.run(200.0)
    life.mapper.want((TCP, UDP), life.now)
    life.settle()
    life.run(50.0)
    router.restart(life.now)
    life.run(100.0)
    assert set(router.held) == {TCP, UDP}


@pytest.mark.parametrize("protocol", BOTH)
def test_an_announcement_is_reason_to_ask_again_within_seconds(protocol: str) -> None:
    router = Router((protocol,))
    life = started(router, protocol)
    life.run(100.0)
    router.restart(life.now - 1)
    router.host = "11.3.1.9"
    life.mapper.announced(router.announcement(life.now, protocol), AT, life.now)
    life.run(5.0)
    assert life.outside == {TCP: ("11.3.1.9", 4001), UDP: ("11.3.1.9", 4001)}
    assert set(router.held) == {TCP, UDP}
    sent = len(life.sent)
    life.mapper.announced(Router(started_at=life.now).announcement(life.now, protocol), AT, life.now)
    life.run(9.0)
    assert (len(life.sent), life.mapper.ignored["announced too often"]) == (sent, 1)


def test_announcements_of_strangers_and_without_news_change_nothing() -> None:
    life = started()
    sent = len(life.sent)
    life.mapper.announced(life.router.announcement(life.now), AT, life.now)
    life.mapper.announced(life.router.announcement(life.now, "nat-pmp"), AT, life.now)
    life.mapper.announced(
        Router(started_at=life.now).announcement(life.now), ("192.168.1.66", 5351), life.now
    )
    life.mapper.announced(b"\x02nonsense", AT, life.now)
    life.run(60.0)
    assert len(life.sent) == sent
    assert life.mapper.ignored == {"stranger": 1, "malformed": 1}


def test_a_new_address_is_noticed_when_ports_are_renewed() -> None:
    for protocol in BOTH:
        router = Router((protocol,))
        life = started(router, protocol, lease_s=100.0)
        router.host = "11.3.1.7"
        life.run(63.0)
        assert set(life.outside.values()) == {("11.3.1.7", 4001)}
        assert OutsideChanged() in life.said[2:]


def test_a_router_that_speaks_the_older_protocol_alone_is_believed_at_once() -> None:
    life = started(Router(("nat-pmp",)))
    assert (life.mapper.protocol, set(life.outside)) == ("nat-pmp", {TCP, UDP})
    assert [each[:1] for _, each in life.sent] == [b"\2", b"\0", b"\0", b"\0"]
    life = started(Router(("pcp",)), "nat-pmp", "pcp")
    assert (life.mapper.protocol, set(life.outside)) == ("pcp", {TCP, UDP})


def test_a_router_that_speaks_neither_is_given_up() -> None:
    life = started(Router(("nat-pmp",)), "pcp")
    assert life.said == [GaveUp(Refused(1, "unsupported version"))]
    life = Life(Router(silent=True))
    life.mapper.want((TCP,), life.now)
    life.run(3.9)
    assert life.mapper.protocol == "pcp"
    life.run(4.2)
    assert life.said == [GaveUp(Silent())]
    assert life.mapper.deadline() is None
    times = [at - 1000.0 for at, each in life.sent if each[:1] == b"\2"]
    assert times == [0.0, 3.0]
    times = [round(at - 1004.0, 3) for at, each in life.sent if each[:1] == b"\0"]
    assert times == [0.0, 0.25, 0.75, 1.75, 3.75], "each time twice as long (RFC 6886 section 3.1)"


@pytest.mark.parametrize(("protocol", "code"), [("pcp", 2), ("nat-pmp", 2), ("pcp", 77), ("nat-pmp", 99)])
def test_a_refusal_is_kept_and_asked_again_later_and_later(protocol: str, code: int) -> None:
    life = started(Router((protocol,), result=code), protocol)
    refused = [row.refused for row in life.mapper.rows]
    assert [each and each.code for each in refused] == [code, code]
    assert not life.outside
    sent = len(life.sent)
    life.run(29.0)
    assert len(life.sent) == sent
    life.run(3600.0)
    # After 30, 60, 120, ... seconds: 30, 90, 210, 450, 930, 1890, then every half hour.
    assert 5 * 2 <= len(life.sent) - sent <= 2 * 8 * 2
    life.router.result = 0
    life.run(1900.0)
    assert set(life.outside) == {TCP, UDP}


def test_a_router_says_how_long_it_wants_to_be_left_alone() -> None:
    life = started(Router(("pcp",), result=8, refusal_s=900))
    sent = len(life.sent)
    life.run(890.0)
    assert len(life.sent) == sent
    life.run(20.0)
    assert len(life.sent) > sent
    life = started(Router(("pcp",), result=8, refusal_s=2**32 - 1))
    sent = len(life.sent)
    life.run(1810.0)
    assert len(life.sent) > sent, "half an hour at most"


@pytest.mark.parametrize("protocol", BOTH)
def test_a_router_that_goes_silent_keeps_a_port_until_its_time_is_over(protocol: str) -> None:
    router = Router((protocol,))
    life = started(router, protocol, lease_s=600.0)
    router.silent = True
    life.run(590.0)
    assert set(life.outside) == {TCP, UDP}
    life.run(15.0)
    assert not life.outside
    life.run(300.0)
    assert life.said[-1] == GaveUp(Silent())


def test_silence_that_ends_in_time_costs_nothing() -> None:
    router = Router()
    life = started(router, lease_s=600.0)
    router.silent = True
    life.run(400.0)
    router.silent = False
    life.run(400.0)
    assert set(life.outside) == {TCP, UDP}
    assert life.said == [OutsideChanged(), OutsideChanged()]


@pytest.mark.parametrize("protocol", BOTH)
def test_ports_that_are_not_wanted_any_more_are_given_back(protocol: str) -> None:
    router = Router((protocol,))
    life = started(router, protocol)
    life.mapper.want((UDP,), life.now)
    life.settle()
    assert (set(router.held), set(life.outside)) == ({UDP}, {UDP})
    life.mapper.close(life.now)
    life.settle()
    assert (router.held, life.mapper.rows, life.mapper.done) == ({}, [], True)
    if protocol == "nat-pmp":
        last = nat_pmp.MapRequest.decode(router.requests[-1])
        assert (last.lifetime, last.external_port) == (0, 0)
    else:
        closing = pcp.MapRequest.decode(router.requests[-1])
        assert (closing.lifetime, closing.nonce) == (0, nonce(UDP))


def test_a_request_that_is_under_way_when_it_all_ends_is_taken_back() -> None:
    life = Life(Router(), "pcp")
    life.mapper.want((TCP,), life.now)
    request = life.mapper.output(life.now)
    assert request is not None
    life.mapper.close(life.now)
    life.router.answer(request, life.now)
    assert life.router.held, "granted, and the answer is lost"
    life.settle()
    assert not life.router.held
    assert life.mapper.done


def test_what_is_wanted_again_before_it_was_given_back_is_kept() -> None:
    life = started()
    life.mapper.want((), life.now)
    life.mapper.want((TCP, UDP), life.now)
    life.settle()
    assert set(life.router.held) == {TCP, UDP}


def test_answers_that_are_not_the_routers_or_not_ours_change_nothing() -> None:
    life = Life(Router(), "pcp")
    life.mapper.want((TCP,), life.now)
    request = life.mapper.output(life.now)
    assert request is not None
    good = life.router.answer(request, life.now)
    assert good is not None
    mapping = pcp.Mapping.decode(pcp.Answer.decode(good).data)
    for strange in (("192.168.1.66", 5351), (GATEWAY, 5350)):
        life.mapper.receive(good, strange, life.now)
    forged = good[:24] + bytes(12) + good[36:]
    other = good[:24] + mapping.nonce + bytes((17,)) + good[37:]
    for data in (forged, other, good[:-1], b"", b"\2" * 1101, b"\x02\x82" + good[2:], b"\0\x81" + bytes(14)):
        life.mapper.receive(data, AT, life.now)
    assert not life.outside
    assert life.mapper.ignored == {"stranger": 2, "nonce": 1, "unasked": 3, "malformed": 3}
    life.mapper.receive(good, AT, life.now)
    assert life.outside == {TCP: ("11.3.1.2", 4001)}
    life.mapper.receive(good, AT, life.now)
    assert life.mapper.ignored["unasked"] == 4


def test_a_grant_of_no_time_or_of_no_port_is_none() -> None:
    for longest_s, shift in ((0, 0), (600, -4001)):
        life = started(Router(("pcp",), longest_s=longest_s, shift=shift), "pcp")
        assert not life.outside


def test_deadlines_are_ahead_or_due_and_never_without_end() -> None:
    life = started(lease_s=600.0)
    for _ in range(1000):
        deadline = life.mapper.deadline()
        assert deadline is not None
        assert life.now < deadline < math.inf
        life.now = deadline
        life.settle()


def test_what_cannot_be_spoken_is_refused() -> None:
    for protocols in ((), ("upnp",), ("pcp", "igd")):
        with pytest.raises(UsageError):
            Mapper(protocols, GATEWAY, "192.168.1.10", 3600.0, nonce, lambda: 0.5)


def test_the_same_seed_says_the_same() -> None:
    lives = [started(Router(), lease_s=600.0, entropy=0.3) for _ in range(2)]
    for life in lives:
        life.run(5000.0)
    assert lives[0].sent == lives[1].sent
