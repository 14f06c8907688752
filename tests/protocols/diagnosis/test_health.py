"""Whether a node does well."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mesh.protocols.diagnosis import AddressSeen, Fault, NatEvidence, RelaySeen, conditions

ADDRESS = AddressSeen("/ip4/11.3.1.2/tcp/4001", told=True, configured=False, reached=1, missed=0, observed=0)
WELL = NatEvidence(listens_beyond=True, peers=3, addresses=(ADDRESS,))


def unmet(own: NatEvidence, lag_s: float = 0.001, reachability: str = "unknown") -> list[str]:
    return [each.name for each in conditions(own, lag_s, reachability) if not each.holds]


def test_all_is_well() -> None:
    assert unmet(WELL) == []


@pytest.mark.parametrize(
    ("own", "name"),
    [
        (replace(WELL, listens_beyond=False), "listening"),
        (replace(WELL, peers=0), "peers"),
        (replace(WELL, addresses=()), "reachable"),
        (replace(WELL, relays=(RelaySeen("12D3KooWRelay", False, Fault.EXPIRED),)), "clock"),
    ],
)
def test_each_condition_can_fail(own: NatEvidence, name: str) -> None:
    assert unmet(own) == [name]


def test_a_late_loop_is_not_well() -> None:
    assert unmet(WELL, lag_s=0.5) == ["loop"]


def test_a_relay_or_a_verdict_will_do_for_an_address() -> None:
    hidden = replace(WELL, addresses=())
    assert unmet(replace(hidden, relays=(RelaySeen("12D3KooWRelay", True, Fault.NONE),))) == []
    assert unmet(hidden, reachability="public") == []
