"""The agent's protocols under mutated input: messages and announcements, and both sides of a delivery."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from mesh.codecs.agent_delivery import Frame, Piece, Verdict, VerdictCode
from mesh.codecs.openclaw import decode_frame
from mesh.errors import DecodeError, PeerError
from mesh.identity.peer_id import PeerId
from mesh.protocols.agent_delivery.offering import MAX_OUTSTANDING, Offering, Outgoing
from mesh.protocols.agent_delivery.taking import Offered, PieceCame, Taking
from mesh.protocols.openclaw import ping
from mesh.protocols.openclaw.announcement import read_announcement, read_status
from mesh.protocols.openclaw.attestation import Attestation
from mesh.protocols.openclaw.listing import read_listing, write_listing
from mesh.protocols.openclaw.message import check_sender, read_message
from tests.vectors import load

Conversation = tuple[bytes, ...]
Life = Callable[[Sequence[bytes]], object]

BODIES = (b"short", bytes(40_000), b"another")


@cache
def group(name: str) -> Any:
    """A group of the recorded vectors."""
    return load(name, "bsv")


def messages(rng: random.Random) -> Conversation:
    """A message that a stock daemon or its peer wrote."""
    recorded = [*group("message_protocol")["daemon_to_peer"], *group("message_protocol")["peer_to_daemon"]]
    framed = [case["stream_bytes_hex"] for case in recorded if case.get("frames", True)]
    return (decode_frame(bytes.fromhex(rng.choice(framed)))[0],)


def live_message(parts: Sequence[bytes]) -> object:
    """The message as one, as a ping, and as what is said in the topics; what is read has a form as JSON again."""
    data, seen = b"".join(parts), []
    own = PeerId.parse(group("attestation")["peerId"])
    readers: tuple[Callable[[bytes], object], ...] = (
        _message,
        lambda given: ping.answer(given, own, 1),
        lambda given: read_announcement(given, own).encode(),
        lambda given: read_status(given, own).encode(),
        lambda given: write_listing(read_listing(given, own)),
        lambda given: str(Attestation.parse(given.decode("latin-1"))),
    )
    for read in readers:
        try:
            seen.append(read(data))
        except (DecodeError, PeerError) as error:
            seen.append(str(error))
    return seen


def _message(data: bytes) -> object:
    message = read_message(data)
    text = message.content.encode()
    assert len(message.id) <= 128
    check_sender(message, PeerId.parse(group("attestation")["peerId"]))
    return message.id, message.type, message.timestamp, message.answers, text


def sayings(rng: random.Random) -> Conversation:
    """What the topics carried, and an attestation."""
    said = [each["data_json"] for each in group("gossip")["messages"]]
    recorded = [bytes.fromhex(each["signed_bytes_hex"]) for each in group("gossip")["messages"]]
    assert said
    texts = [data[data.index(b"{") : data.rindex(b"}") + 1] for data in recorded]
    return (rng.choice([*texts, group("attestation")["compact"].encode()]),)


def verdicts(rng: random.Random) -> Conversation:
    """What a receiver says to three offers, the second a large one."""
    frames = [
        Frame(verdict=Verdict(message_id="0", receipt=b"r")),
        Frame(verdict=Verdict(message_id="1", code=VerdictCode.MORE, offset=rng.randrange(40_000))),
        Frame(verdict=Verdict(message_id="1", receipt=b"r")),
        Frame(receipts=[b"r"] * rng.randrange(3)),
        Frame(verdict=Verdict(message_id="2", code=rng.randrange(5), retry_ms=5)),
    ]
    return tuple(_framed(frame) for frame in frames)


def live_offering(parts: Sequence[bytes]) -> object:
    """An offerer of three messages; what it writes stays within what it was given."""
    offering = Offering()
    for number, body in enumerate(BODIES):
        offering.offer(Outgoing(str(number), body, hashlib.sha256(body).digest(), 1))
    seen: list[object] = []
    written = 0
    for frame in _frames(b"".join(parts), seen):
        for _ in range(MAX_OUTSTANDING):
            made = offering.next_frame()
            if made is None:
                break
            written += len(made.encode())
        try:
            seen += map(repr, offering.receive(frame))
        except PeerError as error:
            seen.append(str(error))
            break
    assert written < 3 * sum(map(len, BODIES)) + 10_000
    return seen, written


def offers(rng: random.Random) -> Conversation:
    """Offers as we write them, and the pieces of a large one."""
    offering = Offering()
    for number, body in enumerate(BODIES):
        offering.offer(Outgoing(str(number), body, hashlib.sha256(body).digest(), 1))
    frames = [frame for frame in (offering.next_frame(), offering.next_frame()) if frame is not None]
    frames += [
        Frame(piece=Piece(offset=at, data=BODIES[1][at : at + 16_384])) for at in range(0, 40_000, 16_384)
    ]
    return tuple(_framed(frame) for frame in frames[: rng.randrange(1, len(frames) + 1)])


def live_taking(parts: Sequence[bytes]) -> object:
    """A taker that wants every large message from its beginning; no body is longer than was offered."""
    taking, seen = Taking(), list[object]()
    sizes: dict[str, int] = {}
    for frame in _frames(b"".join(parts), seen):
        try:
            came = taking.receive(frame)
        except PeerError as error:
            seen.append(str(error))
            break
        for each in came:
            seen.append(repr(each)[:200])
            if isinstance(each, Offered) and each.body is None:
                sizes[each.message_id] = each.size
                taking.expect(each, 0)
            elif isinstance(each, PieceCame):
                assert each.offset + len(each.data) <= sizes[each.message_id]
    return seen


def _framed(frame: Frame) -> bytes:
    encoded = frame.encode()
    return len(encoded).to_bytes(3, "big") + encoded


def _frames(data: bytes, seen: list[object]) -> list[Frame]:
    """The frames behind lengths of three bytes, up to the first that is none."""
    found, at = [], 0
    while at + 3 <= len(data):
        size = int.from_bytes(data[at : at + 3], "big")
        try:
            found.append(Frame.decode(data[at + 3 : at + 3 + size]))
        except DecodeError as error:
            seen.append(str(error))
            break
        at += 3 + size
    return found


PARTS: dict[str, tuple[Callable[[random.Random], Conversation], Life]] = {
    "message": (messages, live_message),
    "saying": (sayings, live_message),
    "offering": (verdicts, live_offering),
    "taking": (offers, live_taking),
}
"""By name: what is said, and who listens."""
