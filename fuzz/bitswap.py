"""A peer of bitswap as a machine: the bytes of its stream in; what client and server make of them out."""

from __future__ import annotations

import random
from collections.abc import Sequence

from mesh.codecs.bitswap import Block as WireBlock
from mesh.codecs.bitswap import BlockPresence, Entry, Message, Wantlist, WantType
from mesh.errors import DecodeError, Truncated
from mesh.framing import delimited
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.ipld.block import Block
from mesh.multiformats import varint
from mesh.multiformats.cid import RAW
from mesh.protocols.bitswap import message
from mesh.protocols.bitswap.client import Client
from mesh.protocols.bitswap.debtor import MAX_WANTS
from mesh.protocols.bitswap.ledger import OUTSTANDING_BYTES, Ledger
from mesh.protocols.bitswap.version import Version

PEER, OTHER = [PeerId.from_public_key(PrivateKey.from_seed(bytes([each]) * 32).public) for each in (1, 2)]
OURS = [Block.of(bytes([each]) * size, RAW) for each, size in enumerate((10, 1024, 1025, 40_000))]
THEIRS = [Block.of(bytes([100 + each]) * 2000, RAW) for each in range(4)]
HELD = {each.cid: len(each.data) for each in OURS}
MAX_BYTES = 64 * 1024


def messages(rng: random.Random) -> tuple[bytes, ...]:
    """What a working peer says: wants, cancels, presences and blocks."""
    said = []
    for _ in range(rng.randint(1, 4)):
        named = rng.sample([*OURS, *THEIRS], rng.randint(0, 4))
        entries = [
            Entry(
                each.cid.to_bytes(),
                rng.randint(0, 9),
                rng.random() < 0.2,
                rng.choice(list(WantType)),
                rng.random() < 0.5,
            )
            for each in named
        ]
        given = rng.sample(THEIRS, rng.randint(0, 2))
        told = rng.sample(THEIRS, rng.randint(0, 2))
        wire = Message(
            Wantlist(entries, rng.random() < 0.2),
            payload=[WireBlock(message.prefix_of(each.cid), each.data) for each in given],
            block_presences=[BlockPresence(each.cid.to_bytes(), rng.randint(0, 1)) for each in told],
        )
        said.append(delimited.encode(wire.encode()))
    return tuple(said)


def live_peer(parts: Sequence[bytes]) -> object:
    """A new client's and server's life with the stream of one peer, a second being there as well."""
    client, ledger = Client(), Ledger(HELD.get)
    for peer in (PEER, OTHER):
        client.connected(peer, Version.V1_2, 0.0)
    client.want(1, [each.cid for each in THEIRS], 0.0)
    life: list[object] = []
    now, unread = 0.0, b""
    for part in parts:
        unread += part
        try:
            while (cut := _first(unread)) is not None:
                received, unread = message.read(unread[cut[0] : cut[1]]), unread[cut[1] :]
                now += 0.5
                life.append([str(each.cid) for each in client.receive(PEER, received, now)])
                if not ledger.receive(PEER, received.entries, received.full):
                    return [*life, "disconnected"]
                life += _turns(ledger)
                client.wake(now)
                life += [(peer, client.output(peer)) for peer in client.due()]
                _check(client, ledger)
        except DecodeError as error:
            return [*life, type(error).__name__]
    return [*life, client.wanted, client.deadline()]


def _first(data: bytes) -> tuple[int, int] | None:
    """Where the first message begins and ends; None while it is not all there. Raises Malformed."""
    try:
        size, start = varint.decode(data, 0, MAX_BYTES)
    except Truncated:
        return None
    return (start, start + size) if len(data) >= start + size else None


def _turns(ledger: Ledger) -> list[object]:
    found: list[object] = []
    while (turn := ledger.next_reply()) is not None:
        found.append((turn[1].blocks, turn[1].presences, turn[1].cost))
        ledger.sent(*turn, 0)
    return found


def _check(client: Client, ledger: Ledger) -> None:
    debtor = ledger.debtor(PEER)
    assert debtor is not None
    assert len(debtor.wants) <= MAX_WANTS
    assert debtor.waiting_bytes == 0 <= debtor.outstanding_bytes <= OUTSTANDING_BYTES
    assert 0 <= client.wanted <= len(THEIRS)
