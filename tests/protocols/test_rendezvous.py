"""What a rendezvous point accepts, and how its answers go on."""

from __future__ import annotations

import pytest

from mesh.codecs.rendezvous import MAX_RECORD_BYTES
from mesh.errors import UsageError
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.identity.peer_record import PeerRecord
from mesh.multiformats.multiaddr import Multiaddr
from mesh.protocols.rendezvous import (
    DEFAULT_TTL_S,
    LEAST_TTL_S,
    LONGEST_TTL_S,
    MAX_ANSWER_BYTES,
    Refusal,
    Registration,
    answer_limit,
    check_namespace,
    check_record,
    check_usage,
    fitting,
    granted_ttl,
    make_cookie,
    read_cookie,
)

KEY, OTHER = PrivateKey.from_seed(bytes(32)), PrivateKey.from_seed(b"\x01" * 32)
PEER, STRANGER = PeerId.from_public_key(KEY.public), PeerId.from_public_key(OTHER.public)
HERE = Multiaddr.parse("/ip4/192.0.2.1/tcp/4001")


def refused(refusal: pytest.ExceptionInfo[Refusal]) -> int | None:
    return refusal.value.wire_code


@pytest.mark.parametrize("namespace", ["a", "x" * 255, "ü" * 127])
def test_namespaces(namespace: str) -> None:
    assert check_namespace(namespace) == namespace


@pytest.mark.parametrize("namespace", ["", "x" * 256, "ü" * 128])
def test_namespaces_that_are_refused(namespace: str) -> None:
    with pytest.raises(Refusal) as refusal:
        check_namespace(namespace)
    assert refused(refusal) == 100
    with pytest.raises(UsageError):
        check_usage(namespace)


def test_no_namespace_means_all_where_that_is_possible() -> None:
    assert check_namespace("", all_of_them=True) == ""


@pytest.mark.parametrize(
    ("wanted_s", "granted_s"),
    [(None, DEFAULT_TTL_S), (0, DEFAULT_TTL_S), (LEAST_TTL_S, LEAST_TTL_S), (LONGEST_TTL_S, LONGEST_TTL_S)],
)
def test_times_to_live(wanted_s: int | None, granted_s: int) -> None:
    assert granted_ttl(wanted_s) == granted_s


@pytest.mark.parametrize("wanted_s", [1, LEAST_TTL_S - 1, LONGEST_TTL_S + 1, 2**63 - 1])
def test_times_to_live_that_are_refused(wanted_s: int) -> None:
    with pytest.raises(Refusal) as refusal:
        granted_ttl(wanted_s)
    assert refused(refusal) == 102
    with pytest.raises(UsageError):
        check_usage("a", wanted_s)


def test_a_peer_registers_only_itself() -> None:
    envelope = PeerRecord(PEER, 1, (HERE,)).seal(KEY)
    assert check_record(envelope, PEER).addresses == (HERE,)
    with pytest.raises(Refusal) as refusal:
        check_record(envelope, STRANGER)
    assert refused(refusal) == 200


@pytest.mark.parametrize(
    "envelope",
    [
        None,
        b"",
        b"nonsense",
        PeerRecord(PEER, 1, ()).seal(KEY),
        PeerRecord(PEER, 1, (HERE,)).seal(KEY)[:-1] + b"\xff",
        bytes(MAX_RECORD_BYTES + 1),
    ],
)
def test_records_that_are_refused(envelope: bytes | None) -> None:
    with pytest.raises(Refusal) as refusal:
        check_record(envelope, PEER)
    assert refused(refusal) == 101


def test_cookies_resume() -> None:
    assert read_cookie(None, "a", 7) == read_cookie(b"", "a", 7) == 0
    assert read_cookie(make_cookie(7, "a"), "a", 7) == 7
    assert read_cookie(make_cookie(0, ""), "", 0) == 0


@pytest.mark.parametrize(
    "cookie", [b"short", make_cookie(7, "b"), make_cookie(7, ""), make_cookie(8, "a"), b"\xff" * 40]
)
def test_cookies_that_are_refused(cookie: bytes) -> None:
    with pytest.raises(Refusal) as refusal:
        read_cookie(cookie, "a", 7)
    assert refused(refusal) == 103


def test_an_answer_is_bounded_in_number_and_size() -> None:
    assert [answer_limit(each) for each in (None, 0, 5, 1000, 2**40)] == [1000, 1000, 5, 1000, 1000]
    small = [Registration("a", PEER, bytes(100), 0.0, number) for number in range(5000)]
    assert fitting(small, 1000) == small[:1000]
    large = [Registration("a", PEER, bytes(8192), 0.0, number) for number in range(5000)]
    assert len(fitting(large, 1000)) == MAX_ANSWER_BYTES // large[0].size
