"""Every payload is read from Go's text and written again byte for byte; what is strict is strict."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import Malformed, UsageError
from mesh.protocols.lethean.envelope import Envelope, require_payload
from mesh.protocols.lethean.messages import (
    PAYLOADS,
    Deploy,
    GetLogs,
    Handshake,
    Logs,
    MinerStats,
    Ping,
    Pong,
    StartMiner,
    Stats,
)
from tests.protocols.lethean.vectors import TS, group

MESSAGES = group("messages")


@pytest.mark.parametrize("case", MESSAGES, ids=lambda case: case["name"])
def test_payloads_are_written_as_go_writes_them(case: dict[str, Any]) -> None:
    message = Envelope.decode(case["envelope_json"])
    again = Envelope.of(
        message.payload(PAYLOADS[message.type]) if message.type in PAYLOADS else None,
        id=message.id,
        type=message.type,
        sender=message.sender,
        receiver=message.receiver,
        ts=message.ts,
        reply_to=message.reply_to,
    )
    assert again.encode() == case["envelope_json"]
    assert again == message


def test_every_type_has_a_vector() -> None:
    assert {Envelope.decode(case["envelope_json"]).type for case in MESSAGES} == {*PAYLOADS, "get_stats"}


def test_miners_in_stats() -> None:
    miner = MinerStats(name="m", type="t", hashrate=1234.5, shares=1, pool="p", algorithm="rx/0")
    text = Stats(node_id="n", miners=[miner]).encode()
    assert text == (
        '{"nodeId":"n","nodeName":"","miners":[{"name":"m","type":"t","hashrate":1234.5,"shares":1,"rejected":0,'
        '"uptime":0,"pool":"p","algorithm":"rx/0"}],"uptime":0}'
    )
    assert Stats.decode(text).miners == [miner]
    assert Stats().encode() == '{"nodeId":"","nodeName":"","miners":[],"uptime":0}'


def test_null_and_missing_lines() -> None:
    assert Logs.decode('{"minerName":"m","lines":null}').lines is None
    assert Logs.decode('{"LINES":["a",null]}').lines == ["a", ""]
    assert Logs(miner_name="m").encode() == '{"minerName":"m","lines":null,"hasMore":false}'


def test_a_configuration_stays_the_text_it_came_as() -> None:
    message = Envelope.decode(
        '{"type":"start_miner","payload":{"minerType":"x","config": {"n": 1.0, "n": 1e3}}}'
    )
    found = message.payload(StartMiner)
    assert found.config == '{"n": 1.0, "n": 1e3}'
    assert found.encode() == '{"minerType":"x","config":{"n":1.0,"n":1e3}}'
    assert StartMiner.decode('{"config":null}').config == "null"
    assert StartMiner.decode("{}").config is None


def test_integers_have_64_bits() -> None:
    assert Ping.decode('{"sentAt":-9223372036854775808}').sent_at_ms == -(2**63)
    for text in ("9223372036854775808", "1.5", "true", '"1"', "[1]", "{}"):
        with pytest.raises(Malformed, match=r"Ping\.sentAt"):
            Ping.decode(f'{{"sentAt":{text}}}')
    with pytest.raises(UsageError):
        Ping(sent_at_ms=2**63).encode()
    with pytest.raises(UsageError, match="has no"):
        Ping(sent_at=1)


def test_bytes_are_standard_base64_with_padding() -> None:
    assert Deploy.decode('{"data":"AA\\nE="}').data == b"\0\1"
    assert Deploy().encode() == '{"type":"","data":null,"checksum":"","name":""}'
    for text in ("AAE", "AA-_", "A", "é==="):
        with pytest.raises(Malformed):
            Deploy.decode(f'{{"data":"{text}"}}')


def test_a_reply_mirrors_the_request() -> None:
    request = Envelope.of(Ping(sent_at_ms=1), id="q", type="ping", sender="x", receiver="y", ts=TS)
    answer = request.reply(Pong(sent_at_ms=1, received_at_ms=2), id="r", type="pong", ts=TS)
    assert (answer.sender, answer.receiver, answer.reply_to) == ("y", "x", "q")
    require_payload(answer, "pong")
    with pytest.raises(Malformed, match="expected ping, got pong"):
        require_payload(answer, "ping")


def test_a_missing_identity_is_one_of_zero_values() -> None:
    assert Handshake.decode("{}").identity is None
    assert Handshake(version="1.0").encode() == (
        '{"identity":{"id":"","name":"","publicKey":"","createdAt":"0001-01-01T00:00:00Z","role":""},"version":"1.0"}'
    )
    assert GetLogs.decode("null") == GetLogs()


@given(st.text(), st.text(), st.text(), st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)))
def test_what_is_written_reads_as_it_was(id: str, sender: str, reply_to: str, number: int | None) -> None:
    payload = None if number is None else Ping(sent_at_ms=number)
    message = Envelope.of(payload, id=id, type="ping", sender=sender, receiver="", ts=TS, reply_to=reply_to)
    found = Envelope.decode(message.encode())
    assert found == message
    assert found.payload(Ping).sent_at_ms == (number or 0)
    assert found.encode() == message.encode()


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_malformed(data: bytes) -> None:
    try:
        Envelope.decode(data)
    except Malformed:
        return
    Envelope.decode(data).encode()
