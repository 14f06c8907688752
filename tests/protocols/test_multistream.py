"""multistream-select: the conformance tables as data, both ends, limits, and independence of where input is cut."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.codecs.multistream import encode_token
from mesh.codecs.wire import encode_varint
from mesh.errors import ProtocolNotSupported, UsageError
from mesh.protocols.multistream import (
    HEADER,
    MAX_PROPOSALS,
    NOT_AVAILABLE,
    Failed,
    Initiator,
    Responder,
    Selected,
    opening,
)
from tests.protocols import cut, flipped, ways
from tests.vectors import cases

KNOWN = "/noise"
HELLO = encode_token(HEADER)
NA = encode_token(NOT_AVAILABLE)
ECHO = encode_token(KNOWN)


def tokens(*names: str) -> bytes:
    return b"".join(map(encode_token, names))


def raw_token(size: int) -> bytes:
    """A token of ``size`` bytes with its newline, whatever our own encoder would say."""
    return encode_varint(size) + b"/" + b"x" * (size - 2) + b"\n"


@dataclass(frozen=True)
class Result:
    output: bytes
    kind: str
    detail: str
    leftover: bytes


def negotiate(machine: Initiator | Responder, pieces: Iterable[bytes]) -> Result:
    """Feed until the end; what comes behind the end belongs to the protocol and is counted as leftover."""
    output = b"".join(machine.output())
    behind = b""
    for piece in pieces:
        if machine.outcome is not None:
            behind += piece
            continue
        machine.receive(piece)
        output += b"".join(machine.output())
    assert machine.output() == []
    match machine.outcome:
        case Selected(protocol, leftover):
            return Result(output, "selected", protocol, leftover + behind)
        case Failed(error):
            return Result(output, type(error).__name__, str(error), b"")
        case None:
            return Result(output, "open", "", b"")


def respond(*pieces: bytes) -> Result:
    return negotiate(Responder(KNOWN.__eq__), pieces)


def propose(names: list[str], *pieces: bytes) -> Result:
    return negotiate(Initiator(names), pieces)


@pytest.mark.parametrize("case", cases("multistream"), ids=lambda case: case["text"])
def test_recorded_tokens(case: dict[str, str]) -> None:
    sent = bytes.fromhex(case["bytes"])
    assert opening(case["text"]) == HELLO + sent
    accepting = negotiate(Responder(case["text"].__eq__), [HELLO + sent + b"data"])
    if case["text"] != HEADER:
        assert accepting == Result(HELLO + sent, "selected", case["text"], b"data")


TABLE = {
    # id: (what is sent, answers behind the header, outcome, leftover or part of the reason)
    "1.1 nothing": (b"", b"", "open", ""),
    "1.2 header": (HELLO, b"", "open", ""),
    "1.3 version 2": (tokens("/multistream/2.0.0"), b"", "PeerError", "first token"),
    "1.4 no header": (ECHO, b"", "PeerError", "first token is '/noise'"),
    "1.6 one write": (HELLO + ECHO + b"\x00\x20rest", ECHO, "selected", "\x00\x20rest"),
    "1.7 http": (b"GET / HTTP/1.1\r\n\r\n", b"", "open", ""),
    "1.7 long http": (b"GET /" + b"x" * 100, b"", "PeerError", "does not end in 0a"),
    "2.1 known": (HELLO + ECHO, ECHO, "selected", ""),
    "2.2 unknown, known": (HELLO + tokens("/tls/1.0.0", KNOWN), NA + ECHO, "selected", ""),
    "2.3 letter case": (HELLO + tokens("/Noise"), NA, "open", ""),
    "2.4 header twice": (HELLO + HELLO + ECHO, NA + ECHO, "selected", ""),
    "2.5 ls": (HELLO + tokens("ls"), NA, "open", ""),
    "2.6 simultaneous": (HELLO + tokens("/libp2p/simultaneous-connect", KNOWN), NA + ECHO, "selected", ""),
    "2.7 muxer": (HELLO + tokens("/yamux/1.0.0"), NA, "open", ""),
    "2.8 plaintext": (HELLO + tokens("/plaintext/2.0.0"), NA, "open", ""),
    "2.10 two known": (HELLO + ECHO + ECHO, ECHO, "selected", ECHO.decode()),
    "2.11 na proposed": (HELLO + NA + ECHO, NA + ECHO, "selected", ""),
    "3.1 1024 bytes": (HELLO + raw_token(1024) + ECHO, NA + ECHO, "selected", ""),
    "3.2 1025 bytes": (HELLO + raw_token(1025), b"", "PeerError", "1024"),
    "3.2 1025, length alone": (HELLO + encode_varint(1025), b"", "PeerError", "1024"),
    "3.3 length 2^31": (HELLO + encode_varint(2**31), b"", "PeerError", "1024"),
    "3.4 no newline": (HELLO + b"\x06/noise", b"", "PeerError", "does not end in 0a"),
    "3.5 length 0": (HELLO + b"\x00", b"", "PeerError", "cannot be read"),
    "3.6 non-minimal": (HELLO + b"\x87\x00/noise\n", b"", "PeerError", "shortest form"),
    "3.7 continuation": (HELLO + b"\xff" * 10, b"", "PeerError", "cannot be read"),
    "3.8 half a token": (HELLO + ECHO[:4], b"", "open", ""),
    "3.10 not text": (HELLO + b"\x03\xff\xfe\n", b"", "PeerError", "UTF-8"),
    "3.11 header without newline": (b"\x13" + HEADER.encode() + b" ", b"", "PeerError", "does not end in 0a"),
    "3.12 newline alone": (HELLO + b"\x01\n", NA, "open", ""),
}


@pytest.mark.parametrize("name", TABLE)
def test_conformance_tables_against_the_responder(name: str) -> None:
    sent, answers, kind, detail = TABLE[name]
    for pieces in ([sent], [sent[index : index + 1] for index in range(len(sent))]):
        result = respond(*pieces)
        assert result.output == HELLO + answers
        assert result.kind == kind
        if kind == "selected":
            assert (result.detail, result.leftover) == (KNOWN, detail.encode())
        else:
            assert detail in result.detail


def test_refused_proposals_are_counted() -> None:
    names = [f"/{number}" for number in range(MAX_PROPOSALS + 1)]
    most = HELLO + tokens(*names[:MAX_PROPOSALS])
    assert respond(most) == Result(HELLO + NA * MAX_PROPOSALS, "open", "", b"")
    assert respond(most + ECHO).kind == "selected"
    over = respond(HELLO + tokens(*names) + ECHO)
    assert over.output == HELLO + NA * MAX_PROPOSALS
    assert (over.kind, over.detail) == ("PeerError", "multistream: more than 256 proposals")


def test_initiator_falls_through_its_candidates() -> None:
    result = propose(["/a", "/b", "/c"], HELLO, NA, NA, encode_token("/c") + b"data")
    assert result == Result(HELLO + tokens("/a", "/b", "/c"), "selected", "/c", b"data")


def test_initiator_does_not_wait_for_the_header() -> None:
    machine = Initiator([KNOWN])
    assert b"".join(machine.output()) == HELLO + ECHO == opening(KNOWN)
    machine.receive(HELLO)
    assert machine.output() == []
    assert machine.outcome is None


def test_refusal_of_all_names_them() -> None:
    machine = Initiator(["/a", "/b"])
    machine.receive(HELLO + NA + NA)
    assert isinstance(machine.outcome, Failed)
    error = machine.outcome.error
    assert isinstance(error, ProtocolNotSupported)
    assert str(error) == "peer supports none of /a, /b"
    assert error.protocol == "/a, /b"
    assert error.clause


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (HELLO + tokens("/b"), "answer to /a is '/b'"),
        (HELLO + tokens("/A"), "answer to /a is '/A'"),
        (HELLO + HELLO, "answer to /a is '/multistream"),
        (HELLO + raw_token(1024), "answer to /a is '/xxx"),
        (NA, "first token is 'na'"),
        (tokens("/a"), "first token is '/a'"),
        (HELLO + b"\x02/a", "does not end in 0a"),
        (HELLO + raw_token(1025), "1024"),
        (HELLO + NA + tokens("/a"), "answer to /b is '/a'"),
    ],
)
def test_bad_answers(answer: bytes, reason: str) -> None:
    result = propose(["/a", "/b"], answer)
    assert result.kind == "PeerError"
    assert reason in result.detail
    assert len(result.detail) < 200


def test_own_mistakes_are_usage_errors() -> None:
    with pytest.raises(UsageError):
        Initiator([])
    with pytest.raises(UsageError):
        Initiator(["/" + "x" * 1023])
    machine = Responder(KNOWN.__eq__)
    machine.receive(HELLO + ECHO)
    with pytest.raises(UsageError):
        machine.receive(b"")


def test_longest_name_of_our_own() -> None:
    name = "/" + "x" * 1022
    assert propose([name], HELLO + encode_token(name)).detail == name
    assert negotiate(Responder(name.__eq__), [opening(name)]).detail == name


NAMES = st.sampled_from([KNOWN, "/a", "/b", NOT_AVAILABLE, HEADER, "ls", "", "/é"])
SPEECH = st.lists(NAMES, max_size=6).map(lambda names: tokens(HEADER, *names))
POINTS = st.lists(st.integers(0, 400), max_size=6)
INPUT = st.one_of(
    st.tuples(SPEECH, st.binary(max_size=20)).map(b"".join),
    st.tuples(SPEECH, st.integers(0, 400), st.integers(1, 255)).map(
        lambda drawn: flipped(drawn[0], drawn[1] % len(drawn[0]), drawn[2])
    ),
    st.binary(max_size=60),
)


@settings(max_examples=150, deadline=None)
@given(INPUT, POINTS)
def test_cuts_do_not_matter_to_the_responder(data: bytes, points: list[int]) -> None:
    results = [negotiate(Responder(KNOWN.__eq__), pieces()) for pieces in ways(data, points)]
    assert results == [results[0]] * len(results)


@settings(max_examples=150, deadline=None)
@given(INPUT, POINTS, st.lists(st.sampled_from([KNOWN, "/a", "/b"]), min_size=1, max_size=3, unique=True))
def test_cuts_do_not_matter_to_the_initiator(data: bytes, points: list[int], names: list[str]) -> None:
    results = [negotiate(Initiator(names), pieces()) for pieces in ways(data, points)]
    assert results == [results[0]] * len(results)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from(["/a", "/b", "/c"]), min_size=1, max_size=3, unique=True),
    st.sets(st.sampled_from(["/a", "/b", "/c"])),
    POINTS,
)
def test_both_ends_agree_on_the_first_common_name(
    names: list[str], served: set[str], points: list[int]
) -> None:
    initiator, responder = Initiator(names), Responder(served.__contains__)
    while initiator.outcome is None or responder.outcome is None:
        moved = False
        for writer, reader in ((initiator, responder), (responder, initiator)):
            data = b"".join(writer.output())
            for piece in cut(data, points):
                if piece and reader.outcome is None:
                    reader.receive(piece)
                    moved = True
        if not moved:
            break
    common = [name for name in names if name in served]
    if common:
        assert initiator.outcome == responder.outcome == Selected(common[0], b"")
    else:
        assert isinstance(initiator.outcome, Failed)
        assert responder.outcome is None


def test_a_failed_negotiation_holds_nothing() -> None:
    responder = Responder(lambda _name: False)
    responder.receive(encode_token(HEADER) + b"\x00" + bytes(100_000))
    assert isinstance(responder.outcome, Failed)
    assert not responder._buffer
