"""Every recorded multiformats case, in both directions."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.errors import DecodeError, Malformed
from mesh.multiformats import multihash, varint
from mesh.multiformats.cid import DAG_PB, LIBP2P_KEY, RAW, Cid
from mesh.multiformats.multiaddr import Multiaddr
from mesh.multiformats.multihash import Multihash
from mesh.multiformats.positional import b58encode
from tests.vectors import cases

Case = dict[str, Any]


@pytest.mark.parametrize("case", cases("uvarints"), ids=lambda case: str(case["bytes"]))
def test_uvarint(case: Case) -> None:
    data = bytes.fromhex(case["bytes"])
    if case.get("go") == "reject":
        with pytest.raises(DecodeError):
            varint.decode(data)
        return
    assert varint.decode(data) == (int(case["value"]), len(data))
    assert varint.encode(int(case["value"])) == data


@pytest.mark.parametrize("case", cases("multiaddrs"), ids=lambda case: str(case["text"])[:60])
def test_multiaddr(case: Case) -> None:
    address = Multiaddr.parse(case["text"])
    assert address.to_bytes().hex() == case["bytes"]
    assert str(address) == case["canonical_text"]
    again = Multiaddr.from_bytes(bytes.fromhex(case["bytes"]))
    assert again == address
    assert str(again) == case["canonical_text"]
    seen = [(each.code, each.name, each.value.hex(), each.text) for each in again.components]
    assert seen == [(c["code"], c["name"], c.get("raw_value", ""), c["value"]) for c in case["components"]]
    assert address.components == again.components


@pytest.mark.parametrize("case", cases("multiaddrs_published"), ids=lambda case: str(case["text"])[:60])
def test_published_multiaddr(case: Case) -> None:
    assert Multiaddr.parse(case["text"]).to_bytes().hex() == case["bytes"]
    assert str(Multiaddr.from_bytes(bytes.fromhex(case["bytes"]))) == case["text"]


@pytest.mark.parametrize("case", cases("multiaddrs_text_edge"), ids=lambda case: repr(case["text"]))
def test_odd_multiaddr_text(case: Case) -> None:
    if case["go"] == "reject":
        with pytest.raises(Malformed):
            Multiaddr.parse(case["text"])
        return
    address = Multiaddr.parse(case["text"])
    assert (address.to_bytes().hex(), str(address)) == (case["bytes"], case["canonical_text"])


@pytest.mark.parametrize("case", cases("multiaddrs_bytes_edge"), ids=lambda case: str(case["name"]))
def test_odd_multiaddr_bytes(case: Case) -> None:
    assert case["go"] == "reject"
    with pytest.raises(DecodeError):
        Multiaddr.from_bytes(bytes.fromhex(case["bytes"]))


@pytest.mark.parametrize("case", cases("cids"), ids=lambda case: repr(case["data"]))
def test_cid(case: Case) -> None:
    data = bytes.fromhex(case["data"])
    hashed = multihash.digest(data, "sha2-256")
    assert hashed.to_bytes().hex() == case["sha256_multihash"]
    assert multihash.digest(data, "identity").to_bytes().hex() == case["identity_multihash"]
    assert Multihash.from_bytes(bytes.fromhex(case["identity_multihash"])).digest == data
    assert str(Cid(0, DAG_PB, hashed)) == case["cidv0"]
    assert Cid.parse(case["cidv0"]) == Cid(0, DAG_PB, hashed)
    assert str(Cid.parse(case["cidv0"]).to_v1()) == case["cidv1_dagpb"]
    for codec, name in ((DAG_PB, "dagpb"), (RAW, "raw")):
        cid = Cid(1, codec, hashed)
        assert (str(cid), cid.to_bytes().hex()) == (case[f"cidv1_{name}"], case[f"cidv1_{name}_bytes"])
        assert Cid.parse(case[f"cidv1_{name}"]) == cid
        assert Cid.from_bytes(cid.to_bytes()) == cid


@pytest.mark.parametrize("case", cases("peer_ids"), ids=lambda case: str(case["text"])[:20])
def test_cid_forms_of_peer_ids(case: Case) -> None:
    hashed = Multihash.from_bytes(bytes.fromhex(case["bytes"]))
    told = case["multihash"]
    assert (hashed.code, hashed.name, hashed.digest.hex()) == (told["code"], told["name"], told["digest"])
    assert b58encode(hashed.to_bytes()) == case["base58"]
    cid = Cid(1, LIBP2P_KEY, hashed)
    assert cid.to_bytes().hex() == case["cid_bytes"]
    for base in ("base32", "base36"):
        assert cid.to_text(base) == case[f"cidv1_{base}"]
        assert Cid.parse(case[f"cidv1_{base}"]) == cid
