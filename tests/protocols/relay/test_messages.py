"""What is read from and written to relays, vouchers and grants."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.codecs.relay import HopMessage, HopType, Peer, Reservation, Status, StopMessage, StopType
from mesh.codecs.relay import Limit as WireLimit
from mesh.errors import DecodeError, Malformed, PeerError
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.protocols import relay
from mesh.protocols.relay import Connect, Incoming, Limit, Refusal, Reserve
from mesh.protocols.relay.requests import RESERVE, status_name
from tests.vectors import cases

RELAY_KEY, PEER_KEY, OTHER_KEY = (PrivateKey.generate() for _ in range(3))
RELAY, PEER, OTHER = (PeerId.from_public_key(each.public) for each in (RELAY_KEY, PEER_KEY, OTHER_KEY))
NOW = 1_800_000_000.0
LATER = int(NOW) + 3600
RECORDED = {case["name"]: bytes.fromhex(case["protobuf"]) for case in cases("circuit_v2")}
VOUCHER: dict[str, Any] = next(each for each in cases("envelopes") if "relay" in each)


def grant(**fields: Any) -> bytes:
    parts: dict[str, Any] = {"expire": LATER, "voucher": relay.make_voucher(RELAY_KEY, PEER, LATER), **fields}
    return relay.answer_hop(Status.OK, Reservation(**parts), Limit(120, 1 << 17))


def test_requests_as_go_writes_them() -> None:
    assert RECORDED["hop RESERVE"] == RESERVE
    assert relay.read_hop(RESERVE) == Reserve()
    asked = relay.read_hop(RECORDED["hop CONNECT to alice"])
    assert isinstance(asked, Connect)
    assert relay.ask_connect(asked.target) == RECORDED["hop CONNECT to alice"]
    announced = relay.read_stop(RECORDED["stop CONNECT from bob"])
    assert isinstance(announced, Incoming)
    assert announced.limit == Limit(120, 131072)
    assert relay.ask_stop(announced.source, announced.limit) == RECORDED["stop CONNECT from bob"]


def test_answers_as_go_writes_them() -> None:
    assert relay.answer_hop(Status.OK, limit=Limit(120, 131072)) == RECORDED["hop STATUS OK to CONNECT"]
    assert relay.answer_hop(Status.MALFORMED_MESSAGE) == RECORDED["hop STATUS MALFORMED_MESSAGE"]
    assert relay.answer_stop(Status.OK) == RECORDED["stop STATUS OK"]
    assert relay.read_stop_status(RECORDED["stop STATUS OK"]) == 100
    recorded = relay.read_grant(
        RECORDED["hop STATUS OK to RESERVE"],
        PeerId.parse(VOUCHER["relay"]),
        PeerId.parse(VOUCHER["peer"]),
        VOUCHER["expiration"] - 3600.0,
    )
    assert recorded.expires_at == VOUCHER["expiration"]
    assert recorded.limit == Limit(120, 131072)
    assert recorded.addresses == (Multiaddr.parse("/ip4/203.0.113.9/tcp/4001"),)


def test_no_limit_is_not_written_and_zeros_are_a_limit_when_read() -> None:
    assert HopMessage.decode(relay.answer_hop(Status.OK, limit=Limit(0, 0))).limit is None
    zeros = StopMessage(type=StopType.CONNECT, peer=Peer(id=PEER.to_bytes()), limit=WireLimit())
    assert relay.read_stop(zeros.encode()) == Incoming(PEER, Limit(0, 0))
    assert relay.read_stop(relay.ask_stop(PEER, Limit(0, 0))) == Incoming(PEER, None)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\xff" * 9,
        HopMessage(status=Status.OK).encode(),
        HopMessage(type=HopType.STATUS, status=Status.OK).encode(),
        HopMessage(type=HopType.CONNECT).encode(),
        HopMessage(type=HopType.CONNECT, peer=Peer()).encode(),
        HopMessage(type=HopType.CONNECT, peer=Peer(id=b"\x12\x20short")).encode(),
        HopMessage(type=HopType.CONNECT, peer=Peer(id=PEER.to_bytes())).encode()[:-1],
        b"\x08\x07",
    ],
    ids=["empty", "garbage", "untyped", "status", "no peer", "no id", "bad id", "cut", "unknown type"],
)
def test_what_is_no_request_of_a_relay_is_malformed(message: bytes) -> None:
    found = relay.read_hop(message)
    assert isinstance(found, Refusal)
    assert found.status is Status.MALFORMED_MESSAGE


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (StopMessage(type=StopType.STATUS, status=Status.OK).encode(), Status.UNEXPECTED_MESSAGE),
        (b"", Status.UNEXPECTED_MESSAGE),
        (b"\x08\x05", Status.MALFORMED_MESSAGE),
        (StopMessage(type=StopType.CONNECT).encode(), Status.MALFORMED_MESSAGE),
        (StopMessage(type=StopType.CONNECT, peer=Peer(id=b"x")).encode(), Status.MALFORMED_MESSAGE),
    ],
)
def test_what_is_no_announcement(message: bytes, status: Status) -> None:
    found = relay.read_stop(message)
    assert isinstance(found, Refusal)
    assert found.status is status


@given(st.binary(max_size=80))
def test_reading_requests_never_raises(data: bytes) -> None:
    assert isinstance(relay.read_hop(data), Reserve | Connect | Refusal)
    assert isinstance(relay.read_stop(data), Incoming | Refusal)


@given(st.integers(1, 2**32 - 1), st.integers(0, 2**64 - 1))
def test_limits_arrive_as_they_were_sent(duration_s: int, data_bytes: int) -> None:
    limit = Limit(duration_s, data_bytes)
    assert relay.read_stop(relay.ask_stop(PEER, limit)) == Incoming(PEER, limit)


def test_a_voucher_is_good_for_its_relay_its_peer_and_its_time() -> None:
    recorded = bytes.fromhex(VOUCHER["envelope"])
    signer, peer = PeerId.parse(VOUCHER["relay"]), PeerId.parse(VOUCHER["peer"])
    relay.check_voucher(recorded, signer, peer, VOUCHER["expiration"])
    voucher = relay.make_voucher(RELAY_KEY, PEER, LATER)
    relay.check_voucher(voucher, RELAY, PEER, LATER)
    for wrong in ((OTHER, PEER, LATER), (RELAY, OTHER, LATER), (RELAY, PEER, LATER + 1)):
        with pytest.raises(Malformed):
            relay.check_voucher(voucher, *wrong)
    with pytest.raises(DecodeError):
        relay.check_voucher(voucher[:-1] + bytes([voucher[-1] ^ 1]), RELAY, PEER, LATER)


def test_a_grant_is_read() -> None:
    suffix = Multiaddr.parse(f"/p2p/{RELAY}")
    good = Multiaddr.parse("/ip4/192.0.2.7/tcp/4001")
    others = ["/ip4/192.0.2.8/tcp/1/p2p/" + str(OTHER), f"/ip4/192.0.2.9/tcp/1/p2p/{RELAY}/p2p-circuit"]
    addresses = [(good / suffix).to_bytes(), b"\xff\xff", suffix.to_bytes()]
    addresses += [Multiaddr.parse(each).to_bytes() for each in others]
    found = relay.read_grant(grant(addrs=addresses), RELAY, PEER, NOW)
    assert found == relay.Grant(LATER, (good,), Limit(120, 1 << 17))


def test_a_grant_without_a_voucher_counts_and_is_not_believed_for_ever() -> None:
    found = relay.read_grant(grant(voucher=None, expire=2**63 - 1), RELAY, PEER, NOW)
    assert found.expires_at == int(NOW) + 7 * 86400


@pytest.mark.parametrize(
    "answer",
    [
        grant(expire=int(NOW), voucher=None),
        grant(expire=None, voucher=None),
        grant(expire=LATER + 1),
        grant(voucher=relay.make_voucher(OTHER_KEY, PEER, LATER)),
        grant(voucher=relay.make_voucher(RELAY_KEY, OTHER, LATER)),
        grant(voucher=b"no envelope"),
        relay.answer_hop(Status.OK),
        RESERVE,
        b"",
    ],
    ids=["expired", "no time", "other time", "forged", "for others", "garbage", "bare", "request", "empty"],
)
def test_an_answer_that_grants_nothing(answer: bytes) -> None:
    with pytest.raises(DecodeError):
        relay.read_grant(answer, RELAY, PEER, NOW)


def test_a_refusal_says_its_status() -> None:
    with pytest.raises(PeerError, match=r"RESERVATION_REFUSED \(200\)") as caught:
        relay.read_grant(relay.answer_hop(Status.RESERVATION_REFUSED), RELAY, PEER, NOW)
    assert caught.value.wire_code == 200
    assert status_name(999) == "status 999"
