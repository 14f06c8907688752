"""The DHT's server as a machine: the bytes of one stream in; answers, stores and the stream's end out."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, NoReturn

from mesh.codecs.kademlia import Message, MessageType, Peer, ValueRecord
from mesh.errors import MeshError
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats import varint
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.stream import Stream
from mesh.protocols.kademlia import PROTOCOL_ID, RoutingTable, TableSettings, candidate_of, ipns
from mesh.protocols.kademlia.reply import closer_peer
from mesh.protocols.kademlia.validators import Validators
from mesh.services.kademlia.links import Links
from mesh.services.kademlia.membership import Membership
from mesh.services.kademlia.server import Server
from mesh.storage.memory_datastore import MemoryDatastore
from mesh.storage.provider_store import ProviderLimits, ProviderStore
from mesh.storage.record_store import RecordLimits, RecordStore
from mesh.telemetry.counters import Counters

NOW_S = 1_800_000_000.0
KEYS = [PrivateKey.from_seed(bytes([number]) * 32) for number in range(1, 9)]
OWN, ASKER, *MEMBERS = [PeerId.from_public_key(key.public) for key in KEYS]
ADDRESS = Multiaddr.parse("/ip4/192.0.2.7/tcp/4001").to_bytes()
ENTRIES = 4
MAX_REQUEST_BYTES = 4096
IPNS = [ipns.create(KEYS[2], b"/ipfs/bafkqaaa", number, NOW_S + 600, 60) for number in (1, 2)]


class Fed(Stream):
    """A stream that gives the server these parts and then ends."""

    def __init__(self, parts: Sequence[bytes]) -> None:
        self.connection: Any = SimpleNamespace(peer=ASKER)
        self.protocol = PROTOCOL_ID
        self._parts = [part for part in parts if part]
        self._leftover = b""
        self._state: Any = SimpleNamespace(queued_bytes=0, read_closed=True, reset_code=None)
        self._negotiation = self._failure = None
        self.said = b""
        self.ended = "open"

    async def read(self, max_bytes: int = 65536) -> bytes:
        if not self._leftover and self._parts:
            self._leftover = self._parts.pop(0)
        taken, self._leftover = self._leftover[:max_bytes], self._leftover[max_bytes:]
        return taken

    async def write(self, data: Any) -> None:
        self.said += bytes(data)

    def reset(self, code: int = 0) -> None:
        self.ended = "reset"


def live_server(parts: Sequence[bytes]) -> object:
    """A new server's life with one stream; nothing but a `MeshError` may come out of it."""
    return asyncio.run(_live(parts))


async def _live(parts: Sequence[bytes]) -> object:
    records = RecordStore(MemoryDatastore(), lambda: NOW_S, RecordLimits(ENTRIES, 8192, ENTRIES, 8192, 2048))
    providers = ProviderStore(
        MemoryDatastore(), lambda: NOW_S, OWN, ProviderLimits(ENTRIES, 8192, ENTRIES, 8192, 2)
    )
    stream = Fed(parts)
    try:
        await _server(records, providers).serve(stream)
    except MeshError as error:
        stream.ended = error.code
    for store in (records, providers):
        assert store.strangers.entries == len(store) <= ENTRIES
        assert store.strangers.bytes <= 8192
    return stream.said, stream.ended, len(records), len(providers)


def _server(records: RecordStore, providers: ProviderStore) -> Server:
    table: RoutingTable[PeerId] = RoutingTable(OWN.to_bytes(), TableSettings(diverse=False))
    for peer in MEMBERS:
        table.admit(candidate_of(peer), 0.0, useful=True, payload=closer_peer(peer.to_bytes(), [ADDRESS]))
    host: Any = SimpleNamespace(
        peer_id=OWN, own_addresses=[], connection_to=lambda _peer: None, addresses_of=lambda _peer: ()
    )
    counters = Counters()
    links = Links(host, PROTOCOL_ID, _nothing_is_spawned, counters)
    membership = Membership(host, table, links, PROTOCOL_ID, list, _nothing_is_spawned, counters)
    return Server(
        table, membership, records, providers, Validators.public(), lambda: NOW_S, counters, MAX_REQUEST_BYTES
    )


def _nothing_is_spawned(_work: object, name: str) -> NoReturn:
    raise AssertionError(f"an answer started {name}")


def requests(rng: random.Random) -> tuple[bytes, ...]:
    """What an asker sends on one stream: requests of every kind, all of them in order."""
    key = rng.choice(KEYS)
    name = b"/pk/" + PeerId.from_public_key(key.public).to_bytes()
    path = ipns.key_of(MEMBERS[0])
    multihash = b"\x12\x20" + bytes([rng.randrange(3)]) * 32
    own = Peer(ASKER.to_bytes(), [ADDRESS])
    kinds = [
        Message(MessageType.FIND_NODE, rng.choice(MEMBERS).to_bytes()),
        Message(MessageType.FIND_NODE, OWN.to_bytes()),
        Message(MessageType.PUT_VALUE, name, ValueRecord(name, key.public.to_protobuf())),
        Message(MessageType.GET_VALUE, name),
        Message(MessageType.PUT_VALUE, path, ValueRecord(path, IPNS[1])),
        Message(MessageType.GET_VALUE, path),
        Message(MessageType.ADD_PROVIDER, multihash, provider_peers=[own]),
        Message(MessageType.GET_PROVIDERS, multihash),
        Message(MessageType.PING),
    ]
    chosen = [kinds[rng.randrange(len(kinds))].encode() for _ in range(rng.randrange(2, 8))]
    return tuple(varint.encode(len(each)) + each for each in chosen)
