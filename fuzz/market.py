"""The marketplace fed with what peers say: frames in pieces, announcements, answers to `info`, orders.

Nothing but the errors they announce may escape, and what was taken is written and read again as it was.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from mesh.codecs.market import Frame
from mesh.errors import DecodeError, Malformed
from mesh.framing.typed import FrameReader
from mesh.go_json import read_records
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.protocols.market.board import Board
from mesh.protocols.market.listing import DELIST, LIST, UPDATE, Listing, announce, read_message
from mesh.protocols.market.naming import agent_did
from mesh.protocols.market.orders import REQUESTS, KeptOrder, judge_order
from mesh.protocols.market.signing import sign_listing
from tests.vectors import load

Conversation = tuple[bytes, ...]
Life = Callable[[Sequence[bytes]], object]

NOW_S = 1_800_000_000
KEY = PrivateKey.from_seed(bytes(32))
SELLER = str(PeerId.from_public_key(KEY.public))
KNOWN = Listing(agent_did(KEY.public, "tea"), "tea", 1.0, "", SELLER, timestamp=NOW_S)


def vectors(group: str) -> Any:
    return load(group, "betar")


def frames(rng: random.Random) -> Conversation:
    """A frame of the real node's, in two pieces."""
    data = bytes.fromhex(rng.choice(vectors("frames")["x402_libp2p_1_0_0"]["cases"])["response_hex"])
    turn = rng.randrange(len(data))
    return data[:turn], data[turn:]


def live_frames(parts: Sequence[bytes]) -> object:
    """The frame, or why there is none; it holds no more than what came."""
    reader, size = FrameReader(), 0
    for part in parts:
        size += len(part)
        try:
            frame = reader.receive(part)
        except Malformed as error:
            return str(error)
        assert reader.pending_bytes <= size
        if frame is not None:
            assert FrameReader().receive(frame.encode()) == frame
            return frame
    return None


def announcements(rng: random.Random) -> Conversation:
    """What real nodes and ours say of listings, signed and not."""
    recorded = [each["json"].encode() for each in vectors("marketplace")["json"] if "Message" in each["kind"]]
    kind = rng.choice((LIST, UPDATE, DELIST))
    return (rng.choice([*recorded, announce(kind, sign_listing(KNOWN, KEY, kind)).write()]),)


def live_announcement(parts: Sequence[bytes]) -> object:
    """What becomes of a signed listing, and of what was said."""
    board = Board()
    board.put(sign_listing(KNOWN, KEY), SELLER, NOW_S)
    try:
        message = read_message(b"".join(parts))
    except Malformed as error:
        return str(error)
    assert read_message(message.write()) == message
    changed = board.hear(message, "a stranger", NOW_S)
    entry = board.get(KNOWN.id)
    if entry is not None and entry.verified:
        assert entry.listing.seller_id == SELLER
    return changed, repr([each.listing for each in board])


def answers(rng: random.Random) -> Conversation:
    """A recorded answer to `info`."""
    return (vectors("live")["marketplace"][rng.randrange(2)]["response_text"].encode(),)


def live_answer(parts: Sequence[bytes]) -> object:
    """The listings in it; each is written and read again."""
    try:
        found = read_records(Listing, b"".join(parts))
    except Malformed as error:
        return str(error)
    assert all(Listing.read(each.write()) == each for each in found)
    return repr(found)


def order_messages(rng: random.Random) -> Conversation:
    """A recorded message about an order."""
    cases = [each for each in vectors("frames")["marketplace_1_0_0"]["cases"] if each["type"] in REQUESTS]
    return (bytes.fromhex(rng.choice(cases)["request_hex"]),)


def live_orders(parts: Sequence[bytes]) -> object:
    """What is kept, or what its sender is told."""
    try:
        frame = Frame.decode(b"".join(parts))
        request = frame.kind if frame.kind in REQUESTS else "order.create"
        kept = judge_order(request, frame.data, "buyer", "seller", NOW_S, lambda order_id: None)
    except DecodeError as error:
        return str(error)
    assert KeptOrder.read(kept.write()) == kept
    return repr(kept)


PARTS: dict[str, tuple[Callable[[random.Random], Conversation], Life]] = {
    "frame": (frames, live_frames),
    "announcement": (announcements, live_announcement),
    "info": (answers, live_answer),
    "order": (order_messages, live_orders),
}
"""By name: what is said, and who listens."""
