"""Namespaces and `/pk/`: every recorded verdict, and the registry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import UsageError
from mesh.identity.keys import KeyType, PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.protocols.kademlia import record_key
from mesh.protocols.kademlia.validators import InvalidRecordError, PublicKeyValidator, Validators
from tests.vectors import cases, load

NOW = 1_790_000_000.0
"""September 2026."""


class Longest:
    """A namespace of a private network: the longest value wins, empty ones are refused."""

    def validate(self, key: bytes, value: bytes, now: float) -> None:
        if not value:
            raise InvalidRecordError("empty")

    def select(self, key: bytes, values: Sequence[bytes]) -> int:
        return max(range(len(values)), key=lambda at: len(values[at]))


@pytest.mark.parametrize("case", cases("kad_validation"), ids=lambda case: case["name"])
def test_recorded_verdicts(case: dict[str, Any]) -> None:
    key, value = bytes.fromhex(case["key"]), bytes.fromhex(case["value"])
    if case["verdict"] == "accept":
        Validators.public().validate(key, value, NOW)
        return
    with pytest.raises(InvalidRecordError) as raised:
        Validators.public().validate(key, value, NOW)
    assert raised.value.code == "invalid-record"
    assert raised.value.protocol == "kad"


def test_recorded_selection() -> None:
    case = load("kad_validation")["select"]
    values = [bytes.fromhex(value) for value in case["values"]]
    assert Validators.public().select(bytes.fromhex(case["key"]), values) == case["best_index"]


@pytest.mark.parametrize("key_type", KeyType)
def test_public_keys_of_every_type(key_type: KeyType) -> None:
    key = PrivateKey.generate(key_type).public
    name = b"/pk/" + PeerId.from_public_key(key).to_bytes()
    PublicKeyValidator().validate(name, key.to_protobuf(), NOW)
    for value in (b"", key.to_protobuf()[:-1], PrivateKey.from_seed(bytes(32)).public.to_protobuf()):
        with pytest.raises(InvalidRecordError):
            PublicKeyValidator().validate(name, value, NOW)
    assert PublicKeyValidator().select(name, [b"a", b"b"]) == 0
    with pytest.raises(UsageError):
        PublicKeyValidator().select(name, [])


def test_a_network_registers_its_own() -> None:
    validators = Validators({"long": Longest()})
    assert validators.namespaces == ("long",)
    assert validators.knows(b"/long/x")
    validators.validate(b"/long/x", b"value", NOW)
    assert validators.select(b"/long/x", [b"1", b"333", b"22"]) == 1
    with pytest.raises(InvalidRecordError, match="empty"):
        validators.validate(b"/long/x", b"", NOW)
    with pytest.raises(UsageError, match="already"):
        validators.register("long", Longest())
    for name in ("", "a/b", "é"):
        with pytest.raises(UsageError, match="namespace"):
            validators.register(name, Longest())
    with pytest.raises(UsageError):
        validators.select(b"/long/x", [])


@pytest.mark.parametrize(
    "key", [b"", b"/", b"//x", b"pk/x", b"/pk", b"/other/x", b"/\xff/x", b"/pk/" + bytes(1024)]
)
def test_keys_without_a_known_namespace(key: bytes) -> None:
    validators = Validators.public()
    assert not validators.knows(key)
    with pytest.raises(InvalidRecordError):
        validators.validate(key, b"value", NOW)
    with pytest.raises(InvalidRecordError):
        validators.select(key, [b"value"])


@given(st.binary(max_size=40))
def test_any_key_is_split_or_refused(key: bytes) -> None:
    try:
        namespace, rest = record_key.split(key)
    except InvalidRecordError:
        return
    assert f"/{namespace}/".encode() + rest == key


@given(st.binary(max_size=80), st.binary(max_size=80), st.sampled_from([b"/pk/", b"/ipns/", b""]))
def test_nothing_but_the_typed_error_escapes(name: bytes, value: bytes, prefix: bytes) -> None:
    with pytest.raises(InvalidRecordError):
        Validators.public().validate(prefix + name, value, NOW)
