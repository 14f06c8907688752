"""Gossip messages: what each kind carries, who may say it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mesh.errors import DecodeError, Malformed, UsageError
from mesh.identity.envelope import seal
from mesh.protocols.beam import gossip_message
from mesh.protocols.beam.gossip_message import (
    ANNOUNCE,
    DEPARTURE,
    HEARTBEAT,
    NAMES_TOPIC,
    QUERY,
    ROUTE_UPDATE,
    SERVICES_TOPIC,
    open_message,
    record_body,
    sign_message,
)
from tests.protocols.beam.signers import KEYS, NOW_MS, NOW_S, PEERS, name, service

LINK = {"peer": str(PEERS[1]), "latency_ms": 12.5, "bandwidth": 1e6, "reliability": 1, "congestion": 0}


def sealed(document: Any, who: int = 0) -> bytes:
    payload = document if isinstance(document, bytes) else json.dumps(document).encode()
    return seal(KEYS[who], gossip_message.DOMAIN, gossip_message.PAYLOAD_TYPE, payload)


def document(kind: str = HEARTBEAT, **more: Any) -> dict[str, Any]:
    body = {"services": ["myapp.local"]}
    return {"type": kind, "id": "1", "origin": str(PEERS[0]), "ts": NOW_MS, "ttl": 8, "body": body} | more


def test_each_kind_says_what_it_carries() -> None:
    said = sign_message(KEYS[0], ANNOUNCE, "1", NOW_MS, record_body(service()))
    assert open_message(said.envelope) == said
    assert said.record == service()
    assert said.topic == SERVICES_TOPIC
    assert len(said.digest) == 32
    owned = sign_message(KEYS[0], ANNOUNCE, "2", NOW_MS, record_body(name()))
    assert owned.topic == NAMES_TOPIC
    assert owned.record == name()
    gone = sign_message(KEYS[0], DEPARTURE, "3", NOW_MS, record_body(service(0, 2, withdrawn=True)))
    assert gone.record is not None
    assert gone.record == service(0, 2, withdrawn=True)
    beat = sign_message(KEYS[0], HEARTBEAT, "4", NOW_MS, {"services": ["a.local", "b.local"]})
    assert beat.services == ("a.local", "b.local")
    update = sign_message(KEYS[0], ROUTE_UPDATE, "5", NOW_MS, {"links": [LINK]})
    assert update.links[0].document() == LINK
    assert update.forwards
    provider = sign_message(KEYS[0], ROUTE_UPDATE, "6", NOW_MS, {"links": [LINK], "forwards": False})
    assert not provider.forwards
    assert sign_message(KEYS[0], QUERY, "6", NOW_MS, {"services": ["a.local"]}).topic == "beam-queries"


@pytest.mark.parametrize(("spelling", "kind"), gossip_message.SPELLINGS.items())
def test_the_enum_spelling_is_understood(spelling: str, kind: str) -> None:
    bodies = {
        ANNOUNCE: record_body(service()),
        DEPARTURE: record_body(service(0, 2, withdrawn=True)),
        HEARTBEAT: {"services": []},
        ROUTE_UPDATE: {"links": []},
    }
    assert open_message(sealed(document(spelling, body=bodies[kind]))).kind == kind


def test_freshness() -> None:
    said = open_message(sealed(document()))
    assert said.fresh(NOW_S)
    assert said.fresh(NOW_S + 120)
    assert said.fresh(NOW_S - 120)
    assert not said.fresh(NOW_S + 121)
    assert not said.fresh(NOW_S - 121)


def test_nobody_speaks_for_others() -> None:
    with pytest.raises(Malformed, match="signed by"):
        open_message(sealed(document(), who=1))
    with pytest.raises(UsageError, match="tells of a record"):
        sign_message(KEYS[1], ANNOUNCE, "1", NOW_MS, record_body(service(0)))
    with pytest.raises(UsageError, match="does not belong"):
        sign_message(KEYS[0], DEPARTURE, "1", NOW_MS, record_body(service(0)))
    with pytest.raises(UsageError, match="does not belong"):
        sign_message(KEYS[0], ANNOUNCE, "1", NOW_MS, record_body(service(0, 2, withdrawn=True)))


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"[]",
        b"[" * 20_000,
        document("SHOUT"),
        document(5),  # type: ignore[arg-type]
        document(body=[]),
        document(body={}),
        document(body={"services": ["A B"]}),
        document(body={"services": [1]}),
        document(body={"services": ["a.local"] * 257}),
        document(id=""),
        document(id="x" * 65),
        document(ts=-1),
        document(ts=True),
        document(ts="1"),
        document(ttl=256),
        document(origin="nobody"),
        document(ANNOUNCE, body={"record": "!"}),
        document(ANNOUNCE, body={"record": ""}),
        document(ROUTE_UPDATE, body={"links": [LINK, LINK]}),
        document(ROUTE_UPDATE, body={"links": [LINK | {"peer": str(PEERS[0])}]}),
        document(ROUTE_UPDATE, body={"links": [LINK | {"reliability": 1.01}]}),
        document(ROUTE_UPDATE, body={"links": [LINK | {"latency_ms": float("nan")}]}),
        document(ROUTE_UPDATE, body={"links": [LINK | {"bandwidth": float("inf")}]}),
        document(ROUTE_UPDATE, body={"links": ["x"]}),
        document(ROUTE_UPDATE, body={"links": [], "forwards": 0}),
    ],
)
def test_what_no_message_is(broken: Any) -> None:
    with pytest.raises(DecodeError):
        open_message(sealed(broken))


def test_a_message_that_is_too_long() -> None:
    with pytest.raises(Malformed, match="at most"):
        open_message(bytes(64 * 1024 + 1))
