"""The table of JSON messages and the code that reads and writes them say the same."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import Malformed
from mesh.protocols.lethean.bundle import BundleFile
from mesh.protocols.lethean.envelope import Envelope
from mesh.protocols.lethean.identity import Identity
from mesh.protocols.lethean.json_record import JsonRecord
from mesh.protocols.lethean.messages import PAYLOADS, MinerStats
from mesh.protocols.lethean.peer import Peer
from protocol_specs.lethean import ENVELOPE, KINDS, MESSAGES, OBJECTS, JsonKey
from tests.protocols.lethean.vectors import TS, group

RECORDS: dict[str, type[JsonRecord]] = {
    each.__name__: each for each in (Identity, MinerStats, Peer, BundleFile)
}
DEFINED = {**MESSAGES, **OBJECTS}
CODE = {**PAYLOADS, **RECORDS}
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\u2028\u2029"), max_size=12)
BY_KIND: dict[str, st.SearchStrategy[Any]] = {
    "string": TEXTS,
    "integer": st.integers(-(2**63), 2**63 - 1),
    "number": st.integers(-(10**6), 10**6).map(lambda number: number / 8),
    "bool": st.booleans(),
    "bytes": st.binary(max_size=9).map(lambda data: base64.b64encode(data).decode()),
    "time": st.just(TS),
    "strings": st.lists(TEXTS, max_size=3),
    "any": st.recursive(st.none() | st.booleans() | TEXTS, st.lists, max_leaves=4),
}


def values(keys: tuple[JsonKey, ...]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects as JSON has them, with every key."""
    made = {}
    for key in keys:
        one = BY_KIND[key.kind] if key.kind in KINDS else values(DEFINED[key.kind])
        made[key.name] = st.lists(one, max_size=2) if key.many else one
    return st.fixed_dictionaries(made)


def written(value: dict[str, Any], keys: tuple[JsonKey, ...]) -> dict[str, Any]:
    """What is written of an object: in the table's order, without what is left out; floats without a fraction of 0."""
    found = {}
    for key in keys:
        item = value[key.name]
        if key.omit and not item and key.kind != "any":
            continue
        if key.kind not in KINDS:
            item = (
                [written(each, DEFINED[key.kind]) for each in item]
                if key.many
                else written(item, DEFINED[key.kind])
            )
        elif key.kind == "number" and item == int(item):
            item = int(item)
        found[key.name] = item
    return found


def dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def test_the_same_messages_are_defined() -> None:
    assert MESSAGES.keys() == PAYLOADS.keys()


@pytest.mark.parametrize("name", DEFINED)
def test_keys_and_what_is_left_out(name: str) -> None:
    assert [(key.name, key.omit) for key in CODE[name].KEYS] == [
        (key.name, key.omit) for key in DEFINED[name]
    ]


@pytest.mark.parametrize("name", DEFINED)
@given(data=st.data())
def test_both_write_the_same(name: str, data: st.DataObject) -> None:
    value = data.draw(values(DEFINED[name]))
    found = CODE[name].decode(dumped(value))
    assert found.encode() == dumped(written(value, DEFINED[name]))
    assert CODE[name].decode(found.encode()).encode() == found.encode()


@pytest.mark.parametrize("name", DEFINED)
@given(data=st.data())
def test_other_kinds_are_refused(name: str, data: st.DataObject) -> None:
    key = data.draw(st.sampled_from([key for key in DEFINED[name] if key.kind != "any"]))
    other = data.draw(st.sampled_from([kind for kind in ("bool", "number", "strings") if kind != key.kind]))
    value = data.draw(values(DEFINED[name])) | {
        key.name: {"bool": True, "number": 0.5, "strings": ["x"]}[other]
    }
    with pytest.raises(Malformed, match=f"{key.name}|{key.kind}"):
        CODE[name].decode(dumped(value))


def test_the_envelope() -> None:
    for case in group("messages"):
        names = list(json.loads(case["envelope_json"]))
        assert names == [key.name for key in ENVELOPE if key.name in names]
        assert {key.name for key in ENVELOPE if not key.omit} <= set(names)


@given(values(ENVELOPE), st.text(" \n\t", max_size=2))
def test_the_quick_and_the_general_reading_agree(value: dict[str, Any], space: str) -> None:
    text = dumped(written(value, ENVELOPE))
    quick, general = Envelope.decode(text), Envelope.decode(" " + text + space)
    assert quick == general
    assert quick.encode() == general.encode() == text
