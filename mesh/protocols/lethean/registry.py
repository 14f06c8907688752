"""The peers a node knows: kept by id, rated, selected, and saved some time after a change (section 12).

The registry says when its file is to be written and what goes into it; `mesh.apps.lethean.peers_file` writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mesh.errors import LimitError, Malformed, UsageError
from mesh.protocols.lethean import go_json, scores, selection
from mesh.protocols.lethean.allowlist import Allowlist, AuthMode
from mesh.protocols.lethean.compat import SAFE, Strictness
from mesh.protocols.lethean.identity import Identity
from mesh.protocols.lethean.kd_tree import KdTree, Point
from mesh.protocols.lethean.names import check_peer_name
from mesh.protocols.lethean.peer import Peer
from mesh.protocols.lethean.scores import Outcome
from mesh.protocols.lethean.timestamp import ZERO

SAVE_DELAY_S: Final = 5.0
MAX_PEERS: Final = 100_000


class PeerRegistry:
    """Known peers. Callers get copies; changes go through the doors, so that the order of selection stays right."""

    __slots__ = (
        "_connected",
        "_peers",
        "_ranked",
        "_save_at",
        "_scores_then",
        "_strictness",
        "_tree",
        "allowlist",
        "max_peers",
        "mode",
    )

    def __init__(self, strictness: Strictness = SAFE, max_peers: int = MAX_PEERS) -> None:
        self._peers: dict[str, Peer] = {}
        self._connected: set[str] = set()
        self._strictness = strictness
        self._ranked: list[str] | None = None
        self._tree: KdTree | None = None
        self._scores_then: dict[str, float] = {}
        self._save_at: float | None = None
        self.allowlist = Allowlist()
        self.mode = AuthMode.OPEN
        self.max_peers = max_peers

    # -- who is known ---------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._peers)

    def __contains__(self, peer_id: str) -> bool:
        return peer_id in self._peers

    def get(self, peer_id: str) -> Peer | None:
        """A copy of what is known of a peer."""
        peer = self._peers.get(peer_id)
        return None if peer is None else _copy(peer)

    def peers(self) -> list[Peer]:
        """Copies of all, in the order they were added."""
        return [_copy(peer) for peer in self._peers.values()]

    def add(self, peer: Peer, now: float, ts: str) -> None:
        """Enters a peer. Raises UsageError for an empty or known id, Malformed for a bad name, LimitError when full."""
        if not peer.id:
            raise UsageError("peer ID is required")
        check_peer_name(peer.name)
        if peer.id in self._peers:
            raise UsageError(f"peer {peer.id} already exists")
        if len(self._peers) >= self.max_peers:
            raise LimitError("node", "known peers", self.max_peers, "lethean.max_peers")
        entered = _copy(peer)
        if entered.added_at == ZERO:
            entered.added_at = ts
        if entered.score == 0:
            entered.score = scores.START
        self._peers[peer.id] = entered
        self._change(now)

    def register(self, claimed: Identity, now: float, ts: str) -> bool:
        """Enters a peer that connected to us, unless it is known; whether it is known then. What cannot be entered (no
        id, a bad name, no room) is no reason to end the connection."""
        if claimed.id in self._peers:
            return True
        peer = Peer(id=claimed.id, name=claimed.name, public_key=claimed.public_key, role=claimed.role)
        try:
            self.add(peer, now, ts)
        except (UsageError, Malformed, LimitError):
            return False
        return True

    def update(self, peer: Peer, now: float) -> None:
        """Replaces what is known of a peer. Raises UsageError for an unknown id."""
        self._find(peer.id)
        self._peers[peer.id] = _copy(peer)
        self._change(now)

    def remove(self, peer_id: str, now: float) -> None:
        """Forgets a peer. Raises UsageError for an unknown id."""
        self._find(peer_id)
        del self._peers[peer_id]
        self._connected.discard(peer_id)
        self._change(now)

    def set_connected(self, peer_id: str, connected: bool, ts: str) -> None:
        """Marks a peer; unknown ones are ignored. Marks alone save nothing."""
        peer = self._peers.get(peer_id)
        if peer is None:
            return
        if connected:
            self._connected.add(peer_id)
            peer.last_seen = ts
        else:
            self._connected.discard(peer_id)

    def connected(self) -> list[str]:
        """The ids of the peers that are marked, in the order of the registry."""
        return [peer_id for peer_id in self._peers if peer_id in self._connected]

    # -- what is known of them ------------------------------------------------------------------------------------

    def update_metrics(
        self, peer_id: str, now: float, ts: str, *, ping_ms: float, hops: int, geo_km: float
    ) -> None:
        """Sets ping, hops and distance, and that the peer was seen. Raises UsageError for an unknown id."""
        peer = self._find(peer_id)
        for name, value in (("ping_ms", ping_ms), ("geo_km", geo_km), ("hops", hops)):
            if not 0 <= value < 2**53:
                raise UsageError(f"{name}: {value} is no measure of a peer")
        peer.ping_ms, peer.hops, peer.geo_km, peer.last_seen = ping_ms, hops, geo_km, ts
        self._change(now)

    def update_score(self, peer_id: str, score: float, now: float) -> None:
        """Sets a score, clamped to 0 to 100. Raises UsageError for an unknown id."""
        self._find(peer_id).score = scores.clamp(score)
        self._change(now)

    def rate(self, peer_id: str, outcome: Outcome, now: float, ts: str) -> None:
        """What came of dealing with a peer; unknown ones are ignored. Where Go's verdicts are wanted, selection does not
        hear of it before the next change of another kind."""
        peer = self._peers.get(peer_id)
        if peer is None:
            return
        then = peer.score
        peer.score = scores.rated(then, outcome)
        if outcome is Outcome.SUCCESS:
            peer.last_seen = ts
        if self._strictness.fresh_scores:
            self._change(now)
        else:
            self._scores_then.setdefault(peer_id, then)
            self._wait_to_save(now)

    # -- which to choose ------------------------------------------------------------------------------------------

    def nearest(self, count: int, query: Point | None = None) -> list[Peer]:
        """The `count` best peers, best first; from another point than the origin, the nearest to it."""
        if count <= 0:
            return []
        if query is None:
            if self._ranked is None:
                self._ranked = [peer.id for peer in selection.rank(self._selected())]
            ids = self._ranked[:count]
        else:
            if self._tree is None:
                self._tree = selection.tree(self._selected())
            ids = self._tree.nearest(query, count)
        return [_copy(self._peers[peer_id]) for peer_id in ids]

    def best(self) -> Peer | None:
        """The best peer."""
        found = self.nearest(1)
        return found[0] if found else None

    def by_score(self) -> list[Peer]:
        """All peers by descending score."""
        return [_copy(peer) for peer in selection.rank_by_score(self._peers.values())]

    # -- who may connect ------------------------------------------------------------------------------------------

    def admits(self, claimed: Identity) -> bool:
        """Whether an inbound peer may connect. A registered id with another key is refused unless Go's verdicts are
        wanted."""
        known = self._peers.get(claimed.id)
        if known is not None and self._strictness.key_is_known and known.public_key != claimed.public_key:
            return False
        if self.mode is AuthMode.OPEN:
            return True
        return known is not None or claimed.public_key in self.allowlist

    # -- what is kept ---------------------------------------------------------------------------------------------

    def deadline(self) -> float | None:
        """When the file is to be written: 5 s after the first change since the last time; None without changes."""
        return self._save_at

    def take_save(self, now: float, closing: bool = False) -> str | None:
        """The text to write if it is time, or if there are changes at all when `closing`."""
        if self._save_at is None or (now < self._save_at and not closing):
            return None
        self._save_at = None
        return self.encode()

    def fail_save(self, now: float) -> None:
        """The text that `take_save` gave could not be written; it is tried again later."""
        self._save_at = now + SAVE_DELAY_S

    def encode(self) -> str:
        """The text of `peers.json`: indented by two spaces, HTML characters escaped, no newline at the end."""
        found = ",\n".join(f"  {peer.encode_indented('  ')}" for peer in self._peers.values())
        return f"[\n{found}\n]" if found else "[]"

    def load(self, text: str) -> None:
        """Takes the peers of a file's text in place of those known; nothing is validated but types. Raises Malformed."""
        found = go_json.read(go_json.whole_surrogates(text), "peers")
        if found is not None and not isinstance(found, list):
            raise Malformed("peers", None, "not an array")
        peers = [Peer.read(each) for each in found or () if each is not None]
        self._peers = {peer.id: peer for peer in peers[: self.max_peers]}
        self._connected &= self._peers.keys()
        self._reorder()

    def _find(self, peer_id: str) -> Peer:
        peer = self._peers.get(peer_id)
        if peer is None:
            raise UsageError(f"peer {peer_id} not found")
        return peer

    def _selected(self) -> Iterator[Peer]:
        """All peers, with the scores that selection goes by."""
        for peer in self._peers.values():
            if peer.id in self._scores_then:
                peer = _copy(peer)
                peer.score = self._scores_then[peer.id]
            yield peer

    def _change(self, now: float) -> None:
        self._reorder()
        self._wait_to_save(now)

    def _reorder(self) -> None:
        self._ranked = self._tree = None
        self._scores_then.clear()

    def _wait_to_save(self, now: float) -> None:
        if self._save_at is None:
            self._save_at = now + SAVE_DELAY_S


def _copy(peer: Peer) -> Peer:
    return Peer(**{key.attribute: getattr(peer, key.attribute) for key in Peer.KEYS})
