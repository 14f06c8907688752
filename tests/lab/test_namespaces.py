"""Namespaces that lead nowhere, are gone at the end, and are told from those of others."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mesh.errors import UsageError
from mesh.lab import Lab, SitePlan, kind_named, missing_ability, namespaces
from mesh.lab.kinds import filter_table, loss_table, nat_table
from mesh.lab.namespaces import PREFIX, LabError

pytestmark = pytest.mark.usefixtures("laboratory")


@pytest.fixture
def dead() -> int:
    """The number of a process that is gone."""
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def test_a_link_to_the_machine_itself_is_found() -> None:
    with Lab("b") as lab:
        names = [lab.namespace(each) for each in lab.places]
        namespaces.prove_isolated(names)
        device = f"{PREFIX[:7]}-out"
        peer = ("peer", "name", "out", "netns", lab.namespace("relay"))
        namespaces.run("ip", "link", "add", device, "type", "veth", *peer)
        try:
            with pytest.raises(
                LabError, match=r"relay: out is linked to a namespace without a name.*not started"
            ):
                namespaces.prove_isolated(names)
        finally:
            namespaces.run("ip", "link", "del", device)
        namespaces.prove_isolated(names)


def test_a_namespace_of_somebody_else_is_a_way_out() -> None:
    with Lab("b") as lab, Lab("b", name="other") as other:
        names = [lab.namespace(each) for each in lab.places]
        peer = ("peer", "name", "in", "netns", other.namespace("relay"))
        namespaces.run("ip", "link", "add", "out", "netns", names[1], "type", "veth", *peer)
        with pytest.raises(LabError, match="linked to"):
            namespaces.prove_isolated(names)


def test_nothing_is_left_when_building_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_names: list[str]) -> None:
        raise LabError("a way out")

    monkeypatch.setattr(namespaces, "prove_isolated", refuse)
    with pytest.raises(LabError, match="a way out"), Lab(SitePlan(kind_named("b"), delay_ms=5)):
        pytest.fail("it was built")
    assert not namespaces.named_own()


def test_only_leftovers_of_the_dead_are_swept(dead: int) -> None:
    left = f"{PREFIX}{dead}-relay"
    namespaces.add(left)
    with Lab("b") as lab:
        assert left not in namespaces.named_ours()
        assert lab.namespace("relay") in namespaces.named_ours()


def test_what_a_killed_laboratory_leaves_is_swept_by_the_next() -> None:
    script = "import sys, time; from mesh.lab import *; Lab(SitePlan(kind_named('b'), delay_ms=5)).build();"
    script += " sys.stdout.write('built\\n'); sys.stdout.flush(); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == b"built\n"
        left = f"{PREFIX}{killed.pid}-homeA"
        assert left in namespaces.named_ours()
        killed.kill()
    assert left in namespaces.named_ours()
    with Lab("b"):
        assert not [each for each in namespaces.named_ours() if namespaces.owner_of(each) == killed.pid]


def test_rules_with_a_mistake_fail_and_say_where() -> None:
    with Lab("b") as lab, pytest.raises(LabError, match="syntax error"):
        namespaces.load_rules(lab.namespace("natA"), "table ip n { chain }")


def test_the_network_is_what_was_asked_for() -> None:
    with Lab(SitePlan(kind_named("bb"), hosts=2), "fw", "v6") as lab:
        assert lab.places == [
            "inet",
            "relay",
            "pub2",
            "cgnA",
            "natA",
            "homeA",
            "homeA2",
            "fwB",
            "homeB",
            "homeC",
        ]
        assert lab.outer_ip("A") == "11.3.1.2"
        assert lab.outer_ip("B") == lab.home_ip("B") == "11.54.1.2"
        assert lab.home_ip("C") == "3fff:0:5::2"
        assert "100.64.0.1" in lab.run("natA", "ip", "route", "show", "default")
        with pytest.raises(UsageError, match="homeA2"):
            lab.command("homeZ", "true")
        with pytest.raises(LabError, match="status 3"):
            lab.run("homeA", "sh", "-c", "exit 3")


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_name: str, _rules: str) -> None:
        raise LabError("nft: Operation not supported")

    monkeypatch.setattr(namespaces, "load_rules", refuse)
    assert missing_ability() == "nft masquerade refused: nft: Operation not supported"
    assert not namespaces.named_own()


def test_tables_have_the_addresses_filled_in() -> None:
    assert "snat to 11.3.1.2:50001" in nat_table(kind_named("b''"), "11.3.1.2", "192.168.1.10")
    assert "drop" not in filter_table(kind_named("b"), wan_accept=True).replace("policy drop", "")
    assert "mod 1000 < 10 drop" in loss_table("to-natA", 10)
