"""What agents tell of others in the directory topic."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import DecodeError, Malformed, PeerError
from mesh.identity.peer_id import PeerId
from mesh.protocols.openclaw.announcement import MAX_SAID_BYTES
from mesh.protocols.openclaw.listing import MAX_LISTED, Listed, read_listing, write_listing

TELLER = PeerId.parse("12D3KooWKVD1wsjMz6XwNenM6ajiE98qpetwBcbt5bEHRKhN2Hdd")
OTHER = "12D3KooWAcdYkneggrQd3eWBMdcjqHiTNSV81HABRcgrvXywcnDs"
POEM = {"id": "poem", "name": "Poems", "price": 50, "currency": "bsv"}
LISTED = Listed(OTHER, ("/ip4/1.2.3.4/tcp/1",), (POEM,), 1_795_198_842_588)


def test_written_and_read() -> None:
    data = write_listing([LISTED])
    assert json.loads(data) == {
        "peers": [
            {
                "peerId": OTHER,
                "multiaddrs": ["/ip4/1.2.3.4/tcp/1"],
                "services": [POEM],
                "lastSeen": 1_795_198_842_588,
            }
        ]
    }
    assert read_listing(data, TELLER) == (LISTED,)
    assert read_listing(write_listing([]), TELLER) == ()


def test_no_more_is_written_than_is_read() -> None:
    assert len(read_listing(write_listing([LISTED] * 60), TELLER)) == MAX_LISTED
    long = Listed(OTHER, ("/" + "x" * 1000,) * 60, (), 1)
    data = write_listing([long, long, LISTED])
    assert len(data) <= MAX_SAID_BYTES
    assert read_listing(data, TELLER) == (long, LISTED)


@pytest.mark.parametrize(
    "peers",
    [
        None,
        {},
        [5],
        [{**json.loads(write_listing([LISTED]))["peers"][0], "peerId": "nobody"}],
        [{**json.loads(write_listing([LISTED]))["peers"][0], "services": [{"id": ""}]}],
        [{**json.loads(write_listing([LISTED]))["peers"][0], "services": None}],
        [{**json.loads(write_listing([LISTED]))["peers"][0], "multiaddrs": [5]}],
        [{**json.loads(write_listing([LISTED]))["peers"][0], "lastSeen": "now"}],
        json.loads(write_listing([LISTED]))["peers"] * (MAX_LISTED + 1),
    ],
)
def test_no_listing(peers: Any) -> None:
    with pytest.raises(Malformed):
        read_listing(json.dumps({"peers": peers}).encode(), TELLER)


def test_what_nobody_signed_and_what_is_too_long() -> None:
    with pytest.raises(PeerError, match="nobody signed"):
        read_listing(write_listing([LISTED]), None)
    with pytest.raises(Malformed, match="bytes"):
        read_listing(b" " * (MAX_SAID_BYTES + 1), TELLER)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        read_listing(data, TELLER)
