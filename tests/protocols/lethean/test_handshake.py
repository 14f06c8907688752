"""Both roles against what Go sent and answered, and what ours refuses beyond it."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.errors import UsageError
from mesh.protocols.lethean.compat import COMPAT, SAFE, Strictness
from mesh.protocols.lethean.envelope import Envelope
from mesh.protocols.lethean.handshake import TIMEOUT_S, Accepted, Dialer, Listener, Own, Refused
from mesh.protocols.lethean.identity import Identity, NodeKey
from mesh.protocols.lethean.messages import Handshake, HandshakeAck
from tests.protocols.lethean.vectors import ALICE, BOB, TS, group

CREATED = "2026-01-02T03:04:05.6789Z"
OWN_ALICE = Own(ALICE, ALICE.identity("alice", CREATED, "controller"))
OWN_BOB = Own(BOB, BOB.identity("bob", CREATED, "worker"))
CHALLENGE = bytes(range(32))
SERVED = group("handshake")["go_server"]
DIALLED = [case for case in group("handshake")["go_client"] if "go_sent_text" in case]
STRICTER = {"claimed id does not match key: accepted", "empty id: accepted, not registered"}


def admit_all(identity: Identity) -> bool:
    return True


def listen(
    text: str, admit: Any = admit_all, strictness: Strictness = SAFE, ts: str = TS
) -> tuple[Listener, list[str], Accepted | Refused]:
    machine = Listener(OWN_BOB, admit, "ack-id", 0.0, strictness)
    machine.receive(text, 0.5, ts)
    [event] = machine.events()
    assert machine.finished
    assert machine.deadline() is None
    assert machine.events() == []
    return machine, machine.output(), event


@pytest.mark.parametrize("case", SERVED, ids=lambda case: case["name"])
def test_what_go_answered_we_answer(case: dict[str, Any]) -> None:
    refused = case["name"] == "allowlist mode, unknown"
    _, sent, event = listen(case["sent_text"], lambda _: not refused, COMPAT)
    if case.get("closed_without_reply"):
        assert sent == []
        assert isinstance(event, Refused)
        assert not event.told
        return
    go = Envelope.decode(case["reply_text"])
    [text] = sent
    go.id, go.ts = "ack-id", TS
    assert text == go.encode()
    assert isinstance(event, Accepted) == go.payload(HandshakeAck).accepted


@pytest.mark.parametrize(
    "case", [case for case in SERVED if case["name"] in STRICTER], ids=lambda case: case["name"]
)
def test_an_id_that_is_not_the_keys_is_refused_beyond_go(case: dict[str, Any]) -> None:
    _, [text], event = listen(case["sent_text"])
    assert isinstance(event, Refused)
    assert event.told
    ack = Envelope.decode(text).payload(HandshakeAck)
    assert (ack.accepted, ack.reason, ack.challenge_response) == (False, "peer not authorized", None)


@pytest.mark.parametrize("case", DIALLED, ids=lambda case: case["name"])
def test_go_as_dialer_is_answered(case: dict[str, Any]) -> None:
    _, [text], event = listen(case["go_sent_text"])
    assert isinstance(event, Accepted)
    assert event.identity == OWN_ALICE.identity
    dialer_asks = Envelope.decode(case["go_sent_text"])
    challenge = dialer_asks.payload(Handshake).challenge
    assert challenge is not None
    dialer = Dialer(OWN_ALICE, "", challenge, dialer_asks.id, 0.0, dialer_asks.ts)
    dialer.receive(text, 1.0)
    [accepted] = dialer.events()
    assert isinstance(accepted, Accepted)
    sealed = accepted.session.seal(dialer_asks, bytes(24), 1)
    assert event.session.open(sealed) == dialer_asks


@pytest.mark.parametrize("case", DIALLED, ids=lambda case: case["name"])
def test_we_dial_with_the_text_of_go(case: dict[str, Any]) -> None:
    go = Envelope.decode(case["go_sent_text"])
    challenge = go.payload(Handshake).challenge
    assert challenge is not None
    machine = Dialer(OWN_ALICE, "placeholder", challenge, go.id, 0.0, go.ts)
    assert machine.output() == [case["go_sent_text"]]


def ack(**changes: Any) -> str:
    _, [text], _ = listen(dialer().output()[0])
    message = Envelope.decode(text)
    payload = message.payload(HandshakeAck)
    for name, value in changes.items():
        setattr(payload, name, value)
    return Envelope.of(payload, id="i", type="handshake_ack", sender="", receiver="", ts=TS).encode()


def dialer(peer_id: str = "", strictness: Strictness = SAFE, peer_key: str = "") -> Dialer:
    return Dialer(OWN_ALICE, peer_id, CHALLENGE, "m", 0.0, TS, strictness, peer_key)


def go_error(name: str) -> str:
    [case] = [case for case in group("handshake")["go_client"] if case["name"] == name]
    return str(case["error"]).split("performHandshake: ")[1]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (ack(challenge_response=None), go_error("no challenge response")),
        (ack(challenge_response=b""), go_error("no challenge response")),
        (ack(challenge_response=bytes(32)), go_error("bad challenge response")),
        (ack(accepted=False, reason="peer not authorized"), go_error("rejected")),
        (ack().replace('"handshake_ack"', '"pong"'), go_error("wrong type")),
        (ack(identity=None), "publicKey"),
        (ack(identity=Identity(public_key="AAAA")), "publicKey"),
        ("hello", "Envelope"),
        (ack().replace('"accepted":true', '"accepted":1'), "accepted"),
    ],
)
@pytest.mark.parametrize("strictness", [SAFE, COMPAT])
def test_what_a_dialer_refuses(text: str, reason: str, strictness: Strictness) -> None:
    machine = dialer(strictness=strictness)
    machine.receive(text, 1.0)
    [event] = machine.events()
    assert isinstance(event, Refused)
    assert reason in event.reason


@pytest.mark.parametrize(
    ("peer_id", "peer_key"), [("placeholder", ""), (BOB.id, ALICE.public_text)], ids=["other id", "other key"]
)
def test_a_dialer_wants_whom_it_dialled_beyond_go(peer_id: str, peer_key: str) -> None:
    for strictness, wanted in ((SAFE, Refused), (COMPAT, Accepted)):
        machine = dialer(peer_id, strictness, peer_key)
        machine.receive(ack(), 1.0)
        [event] = machine.events()
        assert isinstance(event, wanted)


def test_an_id_of_another_key_in_the_ack_is_refused_beyond_go() -> None:
    identity = BOB.identity("bob", TS)
    identity.id = ALICE.id
    for strictness, wanted in ((SAFE, Refused), (COMPAT, Accepted)):
        machine = dialer(strictness=strictness)
        machine.receive(ack(identity=identity), 1.0)
        [event] = machine.events()
        assert isinstance(event, wanted)


def test_both_ends_of_ours_agree() -> None:
    machine = dialer(BOB.id, peer_key=BOB.public_text)
    _, [answer], accepted = listen(machine.output()[0])
    machine.receive(answer.encode(), 1.0)
    [event] = machine.events()
    assert isinstance(event, Accepted)
    assert isinstance(accepted, Accepted)
    assert event.session.password == accepted.session.password
    assert event.identity == OWN_BOB.identity
    assert event.session.password not in repr(event)


def test_ten_seconds_are_all() -> None:
    for machine in (dialer(), Listener(OWN_BOB, admit_all, "a", 0.0)):
        assert machine.deadline() == TIMEOUT_S
        machine.wake(TIMEOUT_S - 0.1)
        assert machine.events() == []
        machine.wake(TIMEOUT_S)
        [event] = machine.events()
        assert isinstance(event, Refused)
    late = dialer()
    late.wake(TIMEOUT_S)
    late.receive(ack(), 11.0)
    [event] = late.events()
    assert isinstance(event, Refused)


def test_the_order_of_a_listeners_checks() -> None:
    """A wrong version comes before a wrong key, a wrong key before the allowlist."""
    request = Envelope.decode(SERVED[0]["sent_text"])
    payload = request.payload(Handshake)
    assert payload.identity is not None
    payload.identity.public_key = "AAAA"
    key_only = Envelope.of(payload, id="", type="handshake", sender="", receiver="", ts=TS).encode()
    payload.version = "9"
    both = Envelope.of(payload, id="", type="handshake", sender="", receiver="", ts=TS).encode()
    asked: list[Identity] = []

    def admit(identity: Identity) -> bool:
        asked.append(identity)
        return False

    _, sent, event = listen(both, admit)
    assert "incompatible protocol version 9, supported: [1.0]" in sent[0]
    assert isinstance(event, Refused)
    _, sent, event = listen(key_only, admit)
    assert sent == []
    assert asked == []


def test_a_dialer_asks_for_a_proof() -> None:
    with pytest.raises(UsageError):
        Dialer(OWN_ALICE, "", b"", "m", 0.0, TS)


def test_a_key_of_low_order_ends_the_connection() -> None:
    identity = NodeKey(bytes(32)).identity("x", TS)
    identity.public_key = next(
        case["peer_public_key_base64"]
        for case in group("shared_secret")
        if "low order" in str(case.get("error"))
    )
    request = Handshake(identity=identity, version="1.0")
    text = Envelope.of(request, id="", type="handshake", sender="", receiver="", ts=TS).encode()
    _, sent, event = listen(text, strictness=COMPAT)
    assert sent == []
    assert isinstance(event, Refused)
