"""What is said in the topics, against the recorded frames."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.codecs.gossip import Message, Rpc
from mesh.errors import DecodeError, Malformed, PeerError
from mesh.identity.peer_id import PeerId
from mesh.protocols.openclaw.announcement import (
    ANNOUNCE_TOPIC,
    MAX_SAID_BYTES,
    STATUS_TOPIC,
    read_announcement,
    read_status,
)
from tests.vectors import load

RECORDED: Any = load("gossip", "bsv")
BY_TOPIC = {each["topic"]: each for each in RECORDED["messages"]}


def said(topic: str) -> tuple[bytes, PeerId]:
    """The data of the recorded frame, and its author."""
    frame = bytes.fromhex(BY_TOPIC[topic]["frame_hex"])
    [encoded] = Rpc.decode(frame[2:]).publish
    message = Message.decode(encoded)
    assert message.data is not None
    assert message.sender is not None
    return message.data, PeerId.from_bytes(message.sender)


def test_the_recorded_announcement_read_and_written() -> None:
    data, author = said(ANNOUNCE_TOPIC)
    found = read_announcement(data, author)
    assert found.encode() == data
    assert [each["id"] for each in found.services] == ["poem"]


def test_the_recorded_status_read_and_written() -> None:
    data, author = said(STATUS_TOPIC)
    assert read_status(data, author).encode() == data


@pytest.mark.parametrize(
    ("topic", "read"), [(ANNOUNCE_TOPIC, read_announcement), (STATUS_TOPIC, read_status)]
)
def test_in_the_name_of_another(topic: str, read: Any) -> None:
    data, _ = said(topic)
    other = PeerId.parse("12D3KooWKVD1wsjMz6XwNenM6ajiE98qpetwBcbt5bEHRKhN2Hdd")
    for author in (other, None):
        with pytest.raises(PeerError, match="in the name of"):
            read(data, author)


@pytest.mark.parametrize(
    "changed",
    [
        {"peerId": "nobody"},
        {"peerId": 5},
        {"services": None},
        {"services": {}},
        {"services": ["poem"]},
        {"services": [{"id": "", "name": "x"}]},
        {"services": [{"id": "x"}]},
        {"services": [{"id": "x" * 129, "name": "x"}]},
        {"services": [{"id": "x", "name": "x"}] * 65},
        {"multiaddrs": "/ip4/1.2.3.4"},
        {"multiaddrs": [5]},
        {"multiaddrs": ["/ip4/1.2.3.4"] * 65},
        {"multiaddrs": ["x" * 1025]},
        {"timestamp": "now"},
        {"timestamp": -1},
        {"timestamp": 1e300},
        {"timestamp": True},
        {"bsvIdentityKey": 7},
        {"attestation": "x" * 5000},
    ],
)
def test_no_announcement(changed: dict[str, Any]) -> None:
    data, author = said(ANNOUNCE_TOPIC)
    with pytest.raises(Malformed):
        read_announcement(json.dumps({**json.loads(data), **changed}).encode(), author)


def test_what_is_too_long() -> None:
    data, author = said(STATUS_TOPIC)
    long = json.dumps({**json.loads(data), "more": "x" * MAX_SAID_BYTES}).encode()
    for read in (read_announcement, read_status):
        with pytest.raises(Malformed, match="bytes"):
            read(long, author)


def test_a_long_name_is_cut() -> None:
    data, author = said(STATUS_TOPIC)
    named = json.dumps({**json.loads(data), "name": "n" * 1000}).encode()
    assert read_status(named, author).name == "n" * 256


@settings(deadline=None)
@given(
    st.binary(max_size=100), st.dictionaries(st.sampled_from(["peerId", "services", "timestamp"]), st.text())
)
def test_any_bytes_are_one_or_refused(data: bytes, document: dict[str, str]) -> None:
    for each in (data, json.dumps(document).encode()):
        for read in (read_announcement, read_status):
            with pytest.raises((DecodeError, PeerError)):
                read(each, None)
