"""The daemon's own ping, against what was recorded."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.codecs.openclaw import decode_frame, encode_frame
from mesh.errors import Malformed, PeerError
from mesh.identity.peer_id import PeerId
from mesh.protocols.openclaw.ping import answer, check_pong, write_ping
from tests.vectors import load

RECORDED: Any = load("ping_protocol", "bsv")
DAEMON = PeerId.parse("12D3KooWD2ZthCxWx2pGVZ9onqGttXipu9b8QX525V62kKUid3xU")


@pytest.mark.parametrize("case", RECORDED["exchanges"], ids=lambda case: case["name"])
def test_we_answer_as_the_daemon_did(case: dict[str, Any]) -> None:
    asked = decode_frame(bytes.fromhex(case["sent_hex"]))[0]
    pong = answer(asked, DAEMON, case["received_json"]["timestamp"])
    assert encode_frame(pong).hex() == case["received_hex"]
    check_pong(pong, 1700000000000, DAEMON)


def test_what_is_echoed() -> None:
    assert b"inResponseTo" not in answer(b"{}", DAEMON, 1)
    assert answer(b'{"ts":{"a":[]},"timestamp":3}', DAEMON, 1).endswith(b'"inResponseTo":{"a":[]}}')
    with pytest.raises(Malformed):
        answer(b"no json", DAEMON, 1)


def test_we_ask_as_was_recorded() -> None:
    assert encode_frame(write_ping(1700000000000)).hex() == RECORDED["exchanges"][0]["sent_hex"]


@pytest.mark.parametrize(
    "pong", [b"", b"{}", b'{"type":"pong","inResponseTo":8}', b'{"type":"ping","inResponseTo":7}']
)
def test_another_answer_is_the_peers_fault(pong: bytes) -> None:
    with pytest.raises(PeerError, match="answered the ping wrongly"):
        check_pong(pong, 7, DAEMON)
