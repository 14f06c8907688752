"""The parts of the Lethean mesh under mutated input: nothing escapes them but what they say, and what is read is written
and read again as it was."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from mesh.errors import DecodeError, Malformed
from mesh.framing.levin import HEADER_BYTES, Header, write_header
from mesh.protocols.lethean import smsg, stim, tarball
from mesh.protocols.lethean.decompression import MAX_TEXT_BYTES, decompress
from mesh.protocols.lethean.envelope import Envelope
from mesh.protocols.lethean.handshake import Accepted, Dialer, Listener, Own
from mesh.protocols.lethean.identity import NodeKey
from mesh.protocols.lethean.levin import LevinConnection, LevinNode
from mesh.protocols.lethean.messages import PAYLOADS
from mesh.protocols.lethean.portable_storage import decode_storage, encode_storage
from mesh.protocols.lethean.registry import PeerRegistry
from mesh.protocols.lethean.ueps import build_packet, read_packet
from tests.vectors import load

Conversation = tuple[bytes, ...]
Life = Callable[[Sequence[bytes]], object]

TS = "2026-01-02T03:04:05.6789Z"
CHALLENGE = bytes(range(32))
MAX_LEVIN_BYTES = 4096
KEYS = (NodeKey(bytes(range(32))), NodeKey(bytes(range(1, 33))))
OWN = tuple(Own(key, key.identity(name, TS)) for key, name in zip(KEYS, ("alice", "bob"), strict=True))


@cache
def group(name: str) -> Any:
    """A group of the recorded vectors."""
    return load(name, "lethean")


def envelopes(rng: random.Random) -> Conversation:
    """A message that Go wrote."""
    return (rng.choice(group("messages"))["envelope_json"].encode(),)


def live_envelope(parts: Sequence[bytes]) -> object:
    """The message and its payload as every record there is."""
    try:
        message = Envelope.decode(b"".join(parts))
    except Malformed as error:
        return str(error)
    again = Envelope.decode(message.encode())
    assert (again.id, again.type, again.ts, again.reply_to) == (
        message.id,
        message.type,
        message.ts,
        message.reply_to,
    )
    seen = []
    for name, record in PAYLOADS.items():
        try:
            payload = message.payload(record)
        except Malformed as error:
            seen.append((name, str(error)))
            continue
        text = payload.encode()
        assert record.decode(text).encode() == text
        seen.append((name, text))
    return seen


def containers(rng: random.Random) -> Conversation:
    """A container with a short message."""
    found = [case for case in group("smsg") if "container_base64" in case]
    return (base64.b64decode(rng.choice(found)["container_base64"])[:2000],)


def live_container(parts: Sequence[bytes]) -> object:
    """What a container says under a key that fits some of them, and as a bundle."""
    data = b"".join(parts)
    try:
        return repr(smsg.open_message(smsg.derive_key("k"), data))
    except DecodeError as error:
        said = str(error)
    try:
        stim.open_stim("secret", data)
    except DecodeError as error:
        return said, str(error)
    return said


def compressed(rng: random.Random) -> Conversation:
    """What Go compressed, by zstd or gzip, once or twice."""
    packed = [case for case in group("smsg") if '"compression"' in case.get("header_json", "")]
    return (bytes.fromhex(rng.choice(packed)["decrypted_payload_hex"]) * rng.choice((1, 2)),)


def live_compressed(parts: Sequence[bytes]) -> object:
    """What it becomes under either name, within the limit."""
    data, said = b"".join(parts), []
    for name in ("gzip", "zstd"):
        try:
            text = decompress(data, name)
        except Malformed as error:
            said.append(str(error))
        else:
            assert len(text) <= MAX_TEXT_BYTES
            said.append(text.hex()[:1000])
    return said


def handshakes(rng: random.Random) -> Conversation:
    """What a dialler says first, or what it is answered."""
    dialer = Dialer(OWN[0], "", CHALLENGE, "id", 0.0, TS)
    [asked] = dialer.output()
    if rng.random() < 0.5:
        return (asked.encode(),)
    listener = Listener(OWN[1], lambda _: True, "ack", 0.0)
    listener.receive(asked, 0.0, TS)
    return (listener.output()[0].encode(),)


def live_handshake(parts: Sequence[bytes]) -> object:
    """Both roles get the message; whoever is accepted claims the id of its key."""
    data = b"".join(parts)
    registry = PeerRegistry()
    listener = Listener(OWN[1], registry.admits, "ack", 0.0)
    listener.receive(data, 0.0, TS)
    dialer = Dialer(OWN[0], "", CHALLENGE, "id", 0.0, TS)
    dialer.receive(data, 0.0)
    events = [*listener.events(), *dialer.events()]
    assert len(events) == 2
    assert listener.finished
    assert dialer.finished
    for event in events:
        if isinstance(event, Accepted):
            assert event.identity.matches_key()
            registry.register(event.identity, 0.0, TS)
    registry.load(registry.encode())
    return repr(events), listener.output()


def packets(rng: random.Random) -> Conversation:
    """UEPS packets, built or recorded."""
    recorded = bytes.fromhex(rng.choice(group("ueps")["read"])["packet_hex"])
    built = build_packet(CHALLENGE, rng.randrange(256), rng.randbytes(rng.randrange(40)))
    return built, recorded, built


def live_packets(parts: Sequence[bytes]) -> object:
    """The packets of a stream under the secrets of both kinds."""
    data = b"".join(parts)
    seen: list[object] = []
    for secret in (CHALLENGE, bytes.fromhex(group("ueps")["read"][0]["secret_hex"])):
        offset = 0
        while True:
            try:
                packet, stop = read_packet(data, secret, offset)
            except DecodeError as error:
                seen.append(str(error))
                break
            assert offset < stop <= len(data)
            offset = stop
            seen.append(repr(packet))
    return seen


def storages(rng: random.Random) -> Conversation:
    """Storage that Go wrote."""
    found = [case["encoded_hex"] for case in group("levin")["storage_encode"] if case.get("encoded_hex")]
    return (bytes.fromhex(rng.choice(found)),)


def live_storage(parts: Sequence[bytes]) -> object:
    """What is read is written and read again."""
    try:
        found = decode_storage(b"".join(parts))
    except DecodeError as error:
        return str(error)
    data = encode_storage(found)
    assert encode_storage(decode_storage(data)) == data
    return repr(found)


def levin_node(number: int) -> LevinNode:
    """One end of a Levin connection."""
    return LevinNode(number, bytes(16), number, number, bytes(32), 0)


def levin_packets(rng: random.Random) -> Conversation:
    """What a dialler of ours says, and packets of an application's."""
    end = LevinConnection(levin_node(1), True, 0.0)
    end.ping(0.0)
    said = [bytes(piece) for piece in end.output()]
    for _ in range(rng.randrange(4)):
        payload = rng.randbytes(rng.randrange(60))
        command = rng.choice((1002, 1003, 2001, 2003))
        said += [write_header(Header(len(payload), rng.random() < 0.5, command)), payload]
    return tuple(said)


def live_levin(parts: Sequence[bytes]) -> object:
    """A listener; nothing it holds outgrows the longest packet."""
    end = LevinConnection(levin_node(2), False, 0.0, MAX_LEVIN_BYTES)
    out, events = b"", []
    for part in parts:
        end.receive(part, 1.0)
        out += b"".join(end.output())
        events += end.events()
        assert len(end._buffer) <= HEADER_BYTES + MAX_LEVIN_BYTES
    return out, repr(events), end.deadline() if b"".join(parts)[HEADER_BYTES:] else None


def archives(rng: random.Random) -> Conversation:
    """An archive that Go or ours wrote."""
    entries = [
        tarball.Entry(each["name"], b"x" * 9, kind=each["type"])
        for each in rng.choice(group("tim")["extraction"])["entries"]
    ]
    ours = tarball.write_tar(entries, 0)
    return (rng.choice((ours, base64.b64decode(rng.choice(group("tim")["create_tarball"])["tar_base64"]))),)


def live_archive(parts: Sequence[bytes]) -> object:
    """What would be extracted stays inside."""
    try:
        planned = tarball.plan(tarball.read_tar(b"".join(parts)))
    except DecodeError as error:
        return str(error)
    for each in planned:
        assert not each.path.startswith("/")
        assert not {"", ".", ".."} & set(each.path.split("/"))
    return repr(planned)


PARTS: dict[str, tuple[Callable[[random.Random], Conversation], Life]] = {
    "envelope": (envelopes, live_envelope),
    "container": (containers, live_container),
    "compressed": (compressed, live_compressed),
    "handshake": (handshakes, live_handshake),
    "ueps": (packets, live_packets),
    "storage": (storages, live_storage),
    "levin": (levin_packets, live_levin),
    "archive": (archives, live_archive),
}
"""The parts by name: what they are told, and how they live with it."""
