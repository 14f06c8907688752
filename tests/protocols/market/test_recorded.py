"""What the real node wrote, read and written again: JSON, keys, prices, names."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.errors import DecodeError, Malformed, UsageError
from mesh.go_json import Record, read_records
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.protocols.market import listing as listings
from mesh.protocols.market.listing import (
    Listing,
    ListingMessage,
    agent_id_of,
    announce,
    atomic_price,
    key_of,
    read_listing,
    read_message,
)
from mesh.protocols.market.naming import agent_did, is_owned, node_did
from mesh.protocols.market.orders import Order, OrderMessage
from tests.vectors import load

MARKET: dict[str, Any] = load("marketplace", "betar")
LIVE: dict[str, Any] = load("live", "betar")
KEYS: list[dict[str, Any]] = load("identity", "betar")["keys"]
KINDS: dict[str, type[Record]] = {
    "AgentListing": Listing,
    "AgentListingMessage": ListingMessage,
    "Order": Order,
    "OrderMessage": OrderMessage,
}


@pytest.mark.parametrize("case", MARKET["json"], ids=lambda case: case["kind"].split()[0])
def test_json(case: dict[str, str]) -> None:
    data = case["json"].encode()
    kind = KINDS[case["kind"].split()[0]]
    found = kind.read(data)
    assert found.write() == data
    assert found != kind()


@pytest.mark.parametrize("case", [each for each in LIVE["marketplace"] if each["type"] == "info"])
def test_recorded_answers_to_info(case: dict[str, str]) -> None:
    [found] = read_records(Listing, case["response_text"].encode())
    assert b"[" + found.write() + b"]" == case["response_text"].encode()
    assert found.name == "math-agent"
    assert is_owned(found)


@pytest.mark.parametrize(
    "case", [each for each in LIVE["gossip"] if "data_text" in each], ids=lambda case: case["seqno_hex"]
)
def test_recorded_announcements(case: dict[str, str]) -> None:
    message = read_message(bytes.fromhex(case["data_hex"]))
    assert message.write() == case["data_text"].encode()
    assert message.seller_id == case["from"]
    assert announce(message.type, message.listing) == message
    assert is_owned(message.listing)


@pytest.mark.parametrize("case", MARKET["keys"], ids=lambda case: case["base64url"])
def test_keys(case: dict[str, str]) -> None:
    if not case["agent_id"]:
        with pytest.raises(UsageError):
            key_of("")
        return
    assert key_of(case["agent_id"]) == case["crdt_key"]
    assert agent_id_of(case["crdt_key"]) == case["agent_id"]


@pytest.mark.parametrize(
    "key", ["/agents", "/other/YQ", "/agents/Y Q", "/agents/Y", "/agents/YQ/x", "/agents/_w"]
)
def test_keys_that_name_no_agent(key: str) -> None:
    with pytest.raises(Malformed):
        agent_id_of(key)


@pytest.mark.parametrize("case", MARKET["price_to_atomic"], ids=lambda case: case["price"])
def test_prices(case: dict[str, str]) -> None:
    assert str(atomic_price(float(case["price"]))) == case["atomic"] == case["USDCToAtomic"]


@pytest.mark.parametrize("price", [-1.0, float("nan"), float("inf"), 1e10])
def test_no_prices(price: float) -> None:
    with pytest.raises(UsageError):
        atomic_price(price)


@pytest.mark.parametrize("case", KEYS, ids=lambda case: case["kind"])
def test_names(case: dict[str, str]) -> None:
    data = bytes.fromhex(case["key_file_hex"])
    key = PrivateKey.from_protobuf(data)
    assert key.to_protobuf() == data
    assert key.public.raw.hex() == case["public_key_raw_hex"]
    assert str(PeerId.from_public_key(key.public)) == case["peer_id"]
    assert agent_did(key.public, "math-agent") == case["did_key_math_agent"]
    assert node_did(key.public) == case["did_key_node"]


def test_one_derivation_in_its_steps() -> None:
    case = load("identity", "betar")["did_derivation"]
    raw = bytes.fromhex(case["peer_public_key_raw_hex"])
    assert bytes.fromhex(case["hash_input_hex"]) == b"betar/math-agent/" + raw
    derived = PrivateKey.from_seed(bytes.fromhex(case["ed25519_seed_hex"])).public
    assert derived.raw.hex() == case["derived_public_key_hex"]
    assert (
        agent_did(PrivateKey.from_protobuf(bytes.fromhex(KEYS[0]["key_file_hex"])).public, case["name"])
        == case["did"]
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b'{"id":""}',
        b'{"id":"a","price":-1}',
        b'{"id":"a","price":1e300}',
        b'{"id":"a","price":"1"}',
        b'{"id":"' + b"a" * 1025 + b'"}',
        b'{"id":"a"}x',
        b'{"id":"a","name":"' + b"n" * listings.MAX_LISTING_BYTES + b'"}',
    ],
)
def test_no_listings(data: bytes) -> None:
    with pytest.raises(DecodeError):
        read_listing(data)
    with pytest.raises(DecodeError):
        read_message(data.replace(b'"id"', b'"agentId"'))
