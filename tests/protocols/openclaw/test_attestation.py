"""The attestation of the specification's section 7.2, by its known answer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import Malformed
from mesh.identity.peer_id import PeerId
from mesh.protocols.openclaw.attestation import Attestation
from tests.vectors import load

KNOWN: Any = load("attestation", "bsv")
AT: int = KNOWN["timestamp"]
DAY = 24 * 3600 * 1000
HOUR = 3600 * 1000


def test_the_known_answer() -> None:
    made = Attestation.make(bytes.fromhex(KNOWN["bsv_private_key_hex"]), PeerId.parse(KNOWN["peerId"]), AT)
    assert made.signature.hex() == KNOWN["signature_der_hex"]
    assert made.document() == KNOWN["object"]
    assert str(made) == KNOWN["compact"]
    assert Attestation.parse(KNOWN["compact"]) == made == Attestation.from_document(KNOWN["object"])
    made.check(AT)


def test_it_holds_for_a_day_and_not_much_ahead() -> None:
    known = Attestation.parse(KNOWN["compact"])
    known.check(AT + DAY)
    known.check(AT - HOUR)
    with pytest.raises(Malformed, match="older"):
        known.check(AT + DAY + 1)
    with pytest.raises(Malformed, match="future"):
        known.check(AT - HOUR - 1)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (KNOWN["peerId"], "12D3KooWKVD1wsjMz6XwNenM6ajiE98qpetwBcbt5bEHRKhN2Hdd"),
        (str(AT), str(AT + 1)),
        (KNOWN["bsv_public_key"], "02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5"),
        (KNOWN["signature_der_hex"], KNOWN["signature_der_hex"][:-2] + "57"),
    ],
)
def test_a_changed_part_is_not_signed(old: str, new: str) -> None:
    changed = Attestation.parse(KNOWN["compact"].replace(old, new))
    with pytest.raises(Malformed, match="signature"):
        changed.check(AT)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1:2:3:4",
        KNOWN["compact"] + ":",
        "2" + KNOWN["compact"][1:],
        KNOWN["compact"].replace(KNOWN["peerId"], "nobody"),
        KNOWN["compact"].replace(str(AT), f"0{AT}" * 3),
        KNOWN["compact"].replace(str(AT), "\u0661"),
        KNOWN["compact"].upper(),
        KNOWN["compact"] + "zz",
        KNOWN["compact"] + "0" * 600,
    ],
)
def test_not_in_the_compact_form(text: str) -> None:
    with pytest.raises(Malformed):
        Attestation.parse(text)


@pytest.mark.parametrize(
    "value", [None, [], {}, {**KNOWN["object"], "timestamp": True}, {**KNOWN["object"], "version": "1"}]
)
def test_not_in_the_object_form(value: Any) -> None:
    with pytest.raises(Malformed):
        Attestation.from_document(value)


def test_a_key_that_is_no_point() -> None:
    with pytest.raises(Malformed):
        Attestation.parse(KNOWN["compact"].replace(KNOWN["bsv_public_key"], "ff" * 33)).check(AT)
    with pytest.raises(Malformed):
        Attestation.make(bytes(32), PeerId.parse(KNOWN["peerId"]), AT)


@given(st.text(alphabet="0123456789abcdef:", max_size=60))
def test_any_text_is_one_or_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        Attestation.parse(text)
