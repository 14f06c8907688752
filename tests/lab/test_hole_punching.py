"""Hole punching between homes behind real NATs, ours and Go's in every part, over a relay of either.

One try of the plain cases in every run; three of each, and the other kinds, among the long tests. What is asserted is
how it ends, not when: direct on the first attempt, or relayed with a working echo.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import pytest

from mesh.lab import Lab, SitePlan, kind_named
from tests.lab.punching import LabPeer, Meeting, echoes, meeting
from tools.interop_peers.building import PEER, PeerMissing, ensure_built

TRIES = 3
DIRECT_S = 20.0
"""Longer than three attempts of five seconds."""
RELAYED_S = 17.0

OURS_AND_GO = [("ours", "ours"), ("ours", "go"), ("go", "ours")]


@pytest.fixture(scope="module")
def _go_program() -> str:
    """Why there is no Go peer; empty when there is one."""
    try:
        ensure_built(PEER)
    except PeerMissing as reason:
        return str(reason)
    return ""


@pytest.fixture(autouse=True)
def _laboratory(laboratory: None, _go_program: str, request: pytest.FixtureRequest) -> None:
    makers = request.node.callspec.params.values() if hasattr(request.node, "callspec") else ()
    if _go_program and "go" in str(list(makers)):
        pytest.skip(f"NOTHING WAS TESTED AGAINST GO PEERS: {_go_program}")


def homes(a: str, b: str, delay_ms: float = 20.0, **plan: bool | int) -> Lab:
    return Lab(*(SitePlan(kind_named(each), delay_ms, **plan) for each in (a, b)))  # type: ignore[arg-type]


async def attempts(peer: LabPeer) -> list[str]:
    """What became of each attempt, of ours; nothing of Go's."""
    if peer.maker == "go":
        return []
    reports = (await peer.call("state"))["reports"]
    return [f"{each['attempt']}: {each['transport'] or each['cause']}" for each in reports]


async def punched(meeting: Meeting, transport: str) -> None:
    """A direct connection came, at both ends, by the first attempt of ours, and it carries an echo."""
    a, b = meeting.a, meeting.b
    address = await a.direct(b.peer, DIRECT_S)
    told = [await attempts(each) for each in (a, b)]
    assert address is not None, told
    assert await b.direct(a.peer, DIRECT_S) is not None, told
    assert ("/udp/" in address) is (transport == "quic"), address
    assert await echoes(a, b)
    assert await echoes(b, a)
    for each in (a, b):
        if each.maker == "ours":
            await each.until(lambda state: state["reports"], "the report of the attempt")
            assert [line for line in await attempts(each) if not line.startswith("0:")] == [f"1: {transport}"]


async def stays_relayed(meeting: Meeting) -> None:
    """No direct connection within three attempts; the relayed one goes on."""
    a, b = meeting.a, meeting.b
    assert await a.direct(b.peer, RELAYED_S) is None, [await attempts(each) for each in (a, b)]
    assert await echoes(a, b)
    assert await echoes(b, a)
    for each in (a, b):
        if each.maker == "ours":
            tried = [line for line in await attempts(each) if not line.startswith("0:")]
            assert len(tried) <= 3
    if b.maker == "ours":
        await b.until(
            lambda state: state["counters"].get("dcutr.stays_relayed") == 1, "the word that it stays relayed"
        )


# --- the plain cases: the port is kept, or changed -------------------------------------------------------------------


FIRST_OF = [pytest.param(each, marks=[pytest.mark.long] * (each > 1)) for each in range(1, TRIES + 1)]
"""The first try in every run, the others among the long tests."""


@pytest.mark.parametrize("number", FIRST_OF)
@pytest.mark.parametrize(("a", "b"), OURS_AND_GO, ids=lambda each: each)
@pytest.mark.parametrize("transport", ["tcp", "quic"])
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("port-restricted", marks=pytest.mark.nat_set(1)),
        pytest.param("port-changed", marks=pytest.mark.nat_set(2)),
    ],
)
async def test_cone_to_cone_becomes_direct(kind: str, transport: str, a: str, b: str, number: int) -> None:
    with homes(kind, kind) as lab:
        async with meeting(lab, a, b, "ours", transport) as met:
            await punched(met, transport)


@pytest.mark.parametrize("number", FIRST_OF)
@pytest.mark.parametrize("transport", ["tcp", "quic"])
@pytest.mark.parametrize("relay", ["go"])
async def test_over_a_relay_of_go(transport: str, number: int, relay: str) -> None:
    with homes("b", "b") as lab:
        async with meeting(lab, "ours", "ours", relay, transport) as met:
            await punched(met, transport)


@pytest.mark.parametrize("number", FIRST_OF)
async def test_both_transports_are_tried_although_the_relay_was_dialled_over_tcp(number: int) -> None:
    with homes("b", "b") as lab:
        async with meeting(lab, transports="tcp,quic") as met:
            for each in (met.a, met.b):
                state = await each.until(
                    lambda state: state["reports"], "the report of the attempt", DIRECT_S
                )
                offered = [address for report in state["reports"] for address in report["addresses"]]
                assert any("/tcp/" in address for address in offered)
                assert any("/quic-v1" in address for address in offered)
            assert await met.a.direct(met.b.peer, DIRECT_S) is not None
            assert await echoes(met.a, met.b)


@pytest.mark.nat_set(3)
@pytest.mark.parametrize("number", FIRST_OF)
async def test_symmetric_to_symmetric_stays_relayed(number: int) -> None:
    with homes("c", "c") as lab:
        async with meeting(lab, transports="tcp,quic") as met:
            await stays_relayed(met)


# --- further kinds, among the long tests -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Case:
    """Kinds of A and B, what they speak, and how it ends: `tcp`, `quic`, or nothing for relayed."""

    a: str
    b: str
    transports: str
    ends: str
    delay_ms: float = 20.0
    versions: tuple[str, str] = ("4", "4")
    nat_set: int = 0

    def __str__(self) -> str:
        return f"{self.a}:{self.b}:{self.transports}:{self.delay_ms:g}"


CASES = [
    Case("c", "b", "tcp", "", nat_set=3),
    Case("c", "b", "quic", "", nat_set=3),
    Case("c", "a", "tcp", "tcp", nat_set=4),
    Case("c", "a", "quic", "quic", nat_set=4),
    Case("c", "r", "tcp", "tcp", nat_set=4),
    Case("c", "r", "quic", "quic", nat_set=4),
    Case("a", "c", "tcp", "tcp"),
    Case("a", "c", "quic", "quic"),
    Case("r", "c", "tcp", "tcp"),
    Case("r", "c", "quic", "quic"),
    Case("b", "bb", "tcp", "tcp", 0.0),
    Case("b", "bb", "quic", "quic", 0.0),
    Case("bb", "b", "tcp", "tcp", 0.0),
    Case("b", "u", "tcp,quic", "tcp", nat_set=7),
    Case("fw", "b", "tcp", "tcp", 0.0),
    Case("fw", "b", "quic", "quic", 0.0),
    Case("v6", "fw", "tcp", "tcp", 0.0, ("6", "46"), nat_set=7),
    Case("v6", "fw", "quic", "quic", 0.0, ("6", "46"), nat_set=7),
    Case("v6", "b", "tcp", "", 0.0, ("6", "4"), nat_set=7),
]


def marked(case: Case) -> object:
    """A parameter that belongs to its set."""
    return pytest.param(case, marks=[pytest.mark.nat_set(case.nat_set)] * bool(case.nat_set), id=str(case))


async def ended(met: Meeting, case: Case) -> None:
    if not case.ends:
        await stays_relayed(met)
        return
    address = await met.a.direct(met.b.peer, DIRECT_S)
    assert address is not None, [await attempts(each) for each in (met.a, met.b)]
    assert ("/udp/" in address) is (case.ends == "quic"), address
    assert await echoes(met.a, met.b)
    assert await echoes(met.b, met.a)


@pytest.mark.long
@pytest.mark.parametrize("number", range(1, TRIES + 1))
@pytest.mark.parametrize("case", list(map(marked, CASES)))
async def test_other_kinds(case: Case, number: int) -> None:
    with homes(case.a, case.b, case.delay_ms) as lab:
        async with meeting(lab, transports=case.transports, versions=case.versions) as met:
            await ended(met, case)


@pytest.mark.long
@pytest.mark.parametrize("number", range(1, TRIES + 1))
@pytest.mark.parametrize(("a", "b"), OURS_AND_GO[1:], ids=lambda each: each)
@pytest.mark.parametrize("case", [marked(each) for each in CASES if each.nat_set == 4])
async def test_symmetric_to_open_cones_with_go(case: Case, a: str, b: str, number: int) -> None:
    with homes(case.a, case.b, case.delay_ms) as lab:
        async with meeting(lab, a, b, transports=case.transports) as met:
            await ended(met, case)


@pytest.mark.long
@pytest.mark.nat_set(5)
@pytest.mark.parametrize("number", range(1, TRIES + 1))
@pytest.mark.parametrize(
    ("transport", "delay_ms"), list(itertools.product(["tcp", "quic"], [0.0, 20.0])), ids=str
)
async def test_routers_that_answer_end_in_direct_or_relayed(
    transport: str, delay_ms: float, number: int
) -> None:
    with homes("b", "b", delay_ms, wan_accept=True) as lab:
        async with meeting(lab, transports=transport) as met:
            await met.a.direct(met.b.peer, RELAYED_S)
            assert await echoes(met.a, met.b)
            assert await echoes(met.b, met.a)


@pytest.mark.long
@pytest.mark.nat_set(10)
@pytest.mark.parametrize("number", range(1, TRIES + 1))
@pytest.mark.parametrize("transport", ["tcp", "quic"])
async def test_a_lossy_line_ends_in_direct_or_relayed(transport: str, number: int) -> None:
    with homes("b", "b", 50.0, loss_per_mille=10) as lab:
        async with meeting(lab, transports=transport) as met:
            await met.a.direct(met.b.peer, RELAYED_S)
            assert await echoes(met.a, met.b)
            assert await echoes(met.b, met.a)


@pytest.mark.long
@pytest.mark.parametrize("number", range(1, TRIES + 1))
@pytest.mark.parametrize("transport", ["tcp", "quic"])
@pytest.mark.parametrize("kind", ["full-cone-hairpin", "port-restricted"])
async def test_two_hosts_behind_one_nat(kind: str, transport: str, number: int) -> None:
    """Only a NAT that serves its own hosts lets them meet at its outer address; else they stay relayed."""
    with Lab(SitePlan(kind_named(kind), hosts=2)) as lab:
        async with meeting(lab, transports=transport, places=("homeA", "homeA2"), ports=(4001, 4002)) as met:
            if kind == "port-restricted":
                await stays_relayed(met)
                return
            assert await met.a.direct(met.b.peer, DIRECT_S) is not None, [
                await attempts(each) for each in (met.a, met.b)
            ]
            assert await echoes(met.a, met.b)
            assert await echoes(met.b, met.a)
