"""Keys as people write them."""

from __future__ import annotations

import pytest

from mesh.api.dht_keys import any_key, content_key, value_key
from mesh.errors import UsageError
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats.cid import RAW, Cid
from mesh.multiformats.multihash import digest
from mesh.multiformats.positional import b58encode
from mesh.protocols.kademlia import ipns

HASH = digest(b"content")
LONG = digest(b"content", "sha2-512")
CID = Cid(1, RAW, HASH)
PEER = PeerId.from_public_key(PrivateKey.from_seed(bytes(32)).public)


@pytest.mark.parametrize(
    "text",
    [
        str(CID),
        CID.to_text("base16"),
        CID.to_text("base36"),
        b58encode(HASH.to_bytes()),
        HASH.to_bytes().hex(),
        HASH.to_bytes().hex().upper(),
    ],
)
def test_every_form_of_content(text: str) -> None:
    assert content_key(text) == any_key(text) == HASH.to_bytes()


def test_other_hashes() -> None:
    assert content_key(b58encode(LONG.to_bytes())) == content_key(LONG.to_bytes().hex()) == LONG.to_bytes()


@pytest.mark.parametrize("text", ["", "Qm", "1220", "1220" + "00" * 31, "bafy", "/ipfs/x", "0", "no content"])
def test_what_names_no_content(text: str) -> None:
    with pytest.raises(UsageError):
        content_key(text)


@pytest.mark.parametrize("name", [str(PEER), PEER.to_cid(), PEER.to_cid("base36")])
def test_keys_of_peers(name: str) -> None:
    assert value_key(f"/ipns/{name}") == ipns.key_of(PEER)
    assert value_key(f"/pk/{name}") == b"/pk/" + PEER.to_bytes()
    assert any_key(name) == PEER.to_bytes()


def test_other_values() -> None:
    assert value_key("/v/one/two") == any_key("/v/one/two") == b"/v/one/two"
    assert value_key("/v/é") == "/v/é".encode()
    assert value_key("2f762f00", raw=True) == any_key("2f762f00", raw=True) == b"/v/\0"


@pytest.mark.parametrize(
    ("text", "raw", "message"),
    [
        ("v/one", False, "/namespace/rest"),
        ("/v", False, "/namespace/rest"),
        ("/v/", False, "/namespace/rest"),
        ("//x", False, "/namespace/rest"),
        ("/pk/nobody", False, "no peer id"),
        ("/ipns/bafkqaaa", False, "no peer id"),
        ("/v/" + "x" * 1022, False, "at most 1024"),
        ("2f7", True, "not hexadecimal"),
        ("/v/one", True, "not hexadecimal"),
        ("", True, "empty"),
    ],
)
def test_what_names_no_value(text: str, raw: bool, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        value_key(text, raw)
