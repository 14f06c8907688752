"""Every kind of NAT does what the table says, as a probe from behind it finds."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from mesh.errors import UsageError
from mesh.lab import KINDS, Lab, SitePlan, kind_named
from mesh.lab.topology import PUBLIC

PROBED = [each for each in KINDS.values() if each.form != "v6only"]


@contextlib.contextmanager
def probe_server(lab: Lab) -> Iterator[None]:
    command = lab.command(PUBLIC, sys.executable, "-m", "mesh.lab.probe", "serve")
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == b"ready\n"
            yield
        finally:
            server.kill()


def probe(lab: Lab, place: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(lab.run(place, sys.executable, "-m", "mesh.lab.probe", "ask"))
    return found


@pytest.mark.usefixtures("laboratory")
@pytest.mark.parametrize("kind", PROBED, ids=lambda each: each.name)
def test_a_kind_is_what_the_table_says(kind: Any) -> None:
    with Lab(kind) as lab, probe_server(lab):
        found = probe(lab, "homeA")
        expected = {"mapping": kind.mapping, "filtering": kind.filtering, "keeps_port": kind.keeps_port}
        assert found["tcp"].pop("seen")[0] == lab.outer_ip("A")
        assert found["tcp"] == expected
        if not kind.udp:
            assert found["udp"] == {"mapping": "blocked"}
            return
        assert found["udp"].pop("seen")[0] == lab.outer_ip("A")
        assert found["udp"] == expected


@pytest.mark.usefixtures("laboratory")
def test_a_delayed_and_lossy_line_changes_nothing_but_time() -> None:
    with Lab(SitePlan(kind_named("b'"), delay_ms=20, loss_per_mille=10)) as lab, probe_server(lab):
        found = probe(lab, "homeA")
        assert (found["udp"]["mapping"], found["tcp"]["mapping"]) == ("EIM", "EIM")
        assert found["udp"]["keeps_port"] is False


def test_kinds_go_by_name_and_by_letter() -> None:
    assert kind_named("symmetric") is kind_named("c")
    with pytest.raises(UsageError, match="port-restricted"):
        kind_named("carrier")
