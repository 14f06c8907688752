"""The test of a NAT against every kind of it, simulated."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product

import pytest

from mesh.protocols.stun.behaviour import (
    Behaviour,
    BehaviourTest,
    Filtering,
    Mapping,
    NatClass,
    Question,
)
from mesh.protocols.stun.message import Answer, HostPort

ONE, TWO = ("11.2.1.2", 3478), ("11.22.1.2", 3479)
PLAIN = ("11.50.0.1", 3478)
INSIDE = ("192.168.1.10", 4001)
E, A, P = "endpoint-independent", "address-dependent", "address-and-port-dependent"


@dataclass
class Nat:
    """A NAT that maps and filters by these names; ``translates`` false is a firewall or nothing at all."""

    mapping: str
    filtering: str
    translates: bool = True
    ports: dict[object, int] = field(default_factory=dict)

    def outside(self, inner: int, towards: HostPort) -> HostPort:
        if not self.translates:
            return INSIDE[0], inner
        key = {E: (inner,), A: (inner, towards[0]), P: (inner, *towards)}[self.mapping]
        return "11.3.1.2", self.ports.setdefault(key, 40_000 + len(self.ports))

    def lets_in(self, sent_to: set[HostPort], source: HostPort) -> bool:
        hosts = {each[0] for each in sent_to}
        return {E: True, A: source[0] in hosts, P: source in sent_to}[self.filtering]


def answer(nat: Nat, question: Question, sent_to: set[HostPort], inner: int) -> Answer | None:
    """What comes back through the NAT."""
    sent_to.add(question.server)
    source = question.server
    other = TWO if question.server in product_of(ONE, TWO) else None
    if question.change_port or question.change_address:
        assert other is not None
        source = (TWO[0] if question.change_address else ONE[0], TWO[1])
    if not nat.lets_in(sent_to, source) or source not in question.sources:
        return None
    return Answer(bytes(12), nat.outside(inner, question.server), other)


def product_of(one: HostPort, two: HostPort) -> set[HostPort]:
    return set(product((one[0], two[0]), (one[1], two[1])))


def examine(nat: Nat, *servers: HostPort) -> Behaviour:
    test = BehaviourTest(list(servers), frozenset({INSIDE[0]}), INSIDE[1])
    main: set[HostPort] = set()
    fresh: set[HostPort] = set()
    while (question := test.question) is not None:
        inner = 50_000 if question.fresh else INSIDE[1]
        test.note(answer(nat, question, fresh if question.fresh else main, inner))
    return test.result


@pytest.mark.parametrize(("mapping", "filtering"), list(product((E, A, P), (E, A, P))))
def test_mapping_and_filtering_are_found(mapping: str, filtering: str) -> None:
    found = examine(Nat(mapping, filtering), ONE)
    assert (found.mapping, found.filtering) == (Mapping(mapping), Filtering(filtering))
    cone = NatClass.FULL_CONE if filtering == E else NatClass.RESTRICTED
    assert found.nat_class is (cone if mapping == E else NatClass.SYMMETRIC)
    assert found.translated


def test_without_a_nat() -> None:
    assert examine(Nat(E, E, translates=False), ONE).nat_class is NatClass.OPEN
    firewall = examine(Nat(E, P, translates=False), ONE)
    assert (firewall.nat_class, firewall.translated) == (NatClass.RESTRICTED, False)


def test_servers_without_a_second_address_tell_the_mapping_between_them() -> None:
    assert examine(Nat(E, P), PLAIN, ("11.51.0.1", 3478)).mapping is Mapping.ENDPOINT_INDEPENDENT
    two = examine(Nat(P, P), PLAIN, ("11.51.0.1", 3478))
    assert (two.mapping, two.nat_class) == (Mapping.ADDRESS_AND_PORT_DEPENDENT, NatClass.SYMMETRIC)
    one = examine(Nat(E, E), PLAIN)
    assert (one.mapping, one.filtering, one.nat_class) == (
        Mapping.UNKNOWN,
        Filtering.UNKNOWN,
        NatClass.UNKNOWN,
    )


def test_nobody_answers() -> None:
    test = BehaviourTest([ONE, PLAIN], frozenset(), 4001)
    assert test.result == Behaviour()
    assert Behaviour().nat_class is NatClass.UNKNOWN
    while test.question is not None:
        test.note(None)
    assert test.result == Behaviour(asked=2)
    assert test.result.nat_class is NatClass.BLOCKED
    test.note(None)


def test_a_server_that_refuses_is_as_good_as_none() -> None:
    test = BehaviourTest([ONE], frozenset(), 4001)
    test.note(Answer(bytes(12), error=401))
    assert test.question is None
    assert test.result.nat_class is NatClass.BLOCKED


@pytest.mark.parametrize(
    "other",
    [
        ("127.0.0.1", 3479),
        ("192.168.1.1", 3479),
        ("11.2.1.2", 3479),
        ("11.9.9.9", 3478),
        ("2001:4860::1", 1),
        ("11.9.9.9", 0),
    ],
    ids=str,
)
def test_a_second_address_that_cannot_be_the_servers_is_not_asked(other: HostPort) -> None:
    test = BehaviourTest([ONE], frozenset(), 4001)
    test.note(Answer(bytes(12), ("11.3.1.2", 4001), other))
    assert test.question is None
