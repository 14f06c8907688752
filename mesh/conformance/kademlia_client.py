"""Requests of Kademlia on a stream that is there already, and records to put."""

from __future__ import annotations

from mesh.codecs.kademlia import Message, MessageType, Peer, ValueRecord
from mesh.conformance.attempt import Attempt
from mesh.conformance.verdict import Deviation, Skipped
from mesh.conformance.yamux_session import Session, Stream
from mesh.errors import DecodeError
from mesh.framing import delimited
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr

PROTOCOLS = ("/ipfs/kad/1.0.0", "/ipfs/lan/kad/1.0.0")
MAX_MESSAGE_BYTES = 4 * 2**20
UNROUTABLE = Multiaddr.parse("/ip4/192.0.2.1/tcp/4001")
"""An address for documentation, which leads nowhere."""


def protocol_of(attempt: Attempt) -> str:
    """The DHT that the target serves: the public one, or that of a local network."""
    for each in PROTOCOLS:
        if attempt.target.serves(each):
            return each
    raise Skipped("the target serves no DHT")


async def opened(attempt: Attempt) -> tuple[Session, Stream]:
    """A fresh session and a stream of Kademlia on it."""
    protocol = protocol_of(attempt)
    session = await attempt.session()
    return session, await session.open(protocol)


async def ask(stream: Stream, request: Message | bytes, what: str = "answer") -> Message:
    """The answer to one request, of the request's type. Raises `Deviation`."""
    message = request if isinstance(request, bytes) else request.encode()
    stream.send(delimited.encode(message))
    answer = await answered(stream, what)
    if isinstance(request, Message) and answer.type is not request.type:
        raise Deviation(f"{request.type.name} was answered by {answer.type.name}")
    return answer


async def answered(stream: Stream, what: str = "answer") -> Message:
    """The next message of the target."""
    received = await stream.message(MAX_MESSAGE_BYTES, what)
    try:
        return Message.decode(received)
    except DecodeError as error:
        raise Deviation(f"{what} cannot be read: {error}") from None


async def refused(session: Session, stream: Stream, request: bytes) -> str:
    """Send ``request`` in its frame; the stream ends without an answer and the session lives."""
    stream.send(request)
    await stream.until(lambda: stream.ending or (bytes(stream.buffer) or None), "end of the stream")
    if stream.buffer:
        raise Deviation(f"it was answered, with {len(stream.buffer)} bytes")
    await session.alive()
    return stream.state


def peer_ids(peers: list[Peer], what: str) -> list[PeerId]:
    """The ids of peers in an answer. Raises `Deviation` for one that is no peer id."""
    try:
        return [PeerId.from_bytes(each.id) for each in peers]
    except DecodeError as error:
        raise Deviation(f"{what} holds an id that is none: {error}") from None


def id_of(identity: PrivateKey) -> bytes:
    """The peer id of a key, as bytes."""
    return PeerId.from_public_key(identity.public).to_bytes()


def find_node(key: bytes) -> Message:
    return Message(MessageType.FIND_NODE, key)


def get_value(key: bytes) -> Message:
    return Message(MessageType.GET_VALUE, key)


def get_providers(key: bytes) -> Message:
    return Message(MessageType.GET_PROVIDERS, key)


def put_value(key: bytes, value: bytes, time_received: str = "", under: bytes | None = None) -> Message:
    """PUT_VALUE of a record; ``under`` is the message's key where it is another than the record's."""
    record = ValueRecord(key, value, time_received)
    return Message(MessageType.PUT_VALUE, key if under is None else under, record)


def public_key_record(identity: PrivateKey) -> tuple[bytes, bytes]:
    """Key and value of `/pk/` for an identity."""
    return b"/pk/" + id_of(identity), identity.public.to_protobuf()


def add_provider(key: bytes, provider: bytes, addrs: list[bytes]) -> Message:
    return Message(MessageType.ADD_PROVIDER, key, provider_peers=[Peer(provider, addrs)])
