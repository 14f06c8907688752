"""How long Beam's route table takes to rank routes to a peer, where it knows of a thousand."""

from __future__ import annotations

import random
import time
from statistics import median
from typing import Final

from mesh.identity.peer_id import PeerId
from mesh.protocols.beam.gossip_message import Link
from mesh.protocols.beam.path_quality import Quality
from mesh.protocols.beam.route_table import RouteTable

RELAYS: Final = 100
LINKS: Final = 10
"""Of each relay besides the one to the destination: with those, a thousand that are told of by others."""
STEPS: Final = (*range(-(LINKS // 2) + 1, 0), *range(1, LINKS // 2), RELAYS // 2)
"""In a ring, to those that each has links with: they have them with it, too."""
ROUNDS: Final = 20


def route_calculation() -> tuple[float, int]:
    """The median time to rank them in ms, and how many routes came out."""
    chance = random.Random(1)
    peers = [_peer(number) for number in range(RELAYS + 2)]
    own, destination, relays = peers[0], peers[1], peers[2:]
    table = RouteTable(own)
    ring = chance.sample(relays, RELAYS)
    for place, each in enumerate(ring):
        others = [ring[(place + step) % RELAYS] for step in STEPS]
        table.update(each, 1, [_link(peer, chance) for peer in (destination, *others)], 0.0)
    own_links = {each: Quality(chance.uniform(0.01, 0.2), 1e6, 1.0, 0.0) for each in relays}
    taken, found = [], 0
    for _ in range(ROUNDS):
        began = time.perf_counter()
        found = len(table.routes(destination, own_links, 1.0))
        taken.append(1000 * (time.perf_counter() - began))
    return median(taken), found


def _peer(number: int) -> PeerId:
    return PeerId(b"\x00\x24\x08\x01\x12\x20" + number.to_bytes(32, "big"))


def _link(peer: PeerId, chance: random.Random) -> Link:
    return Link(peer, chance.uniform(5, 100), chance.uniform(1e5, 1e6), 1.0, 0.0)
