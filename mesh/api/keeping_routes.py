"""How the node stays connected: how many peers there are to be, how good each is and where it stands."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from mesh.api.desk import AtDesk, Desk
from mesh.identity.peer_id import PeerId
from mesh.protocols.keeping.settings import Lifecycle, Standing

router = APIRouter(prefix="/swarm", tags=["swarm"])


class KeptPeer(BaseModel):
    """One peer. `lifecycle` is discovery, handshake, encrypted channel, monitoring, optimisation or closing; `state` is
    connecting, connected, hole punching, relayed, closed or failed, and nothing for one that was only named.

    `value` is the quality, 0 to 1, less what others of its network take from it; `next_s` is when it is pinged or dialled
    next; `used` tells a relay or a route in use."""

    peer: str
    lifecycle: str
    state: str | None
    network: str
    value: float
    latency_ms: float | None
    reliability: float
    missed_pings: int
    failures: int
    used: bool
    protected: bool
    next_s: float | None


class KeptShown(BaseModel):
    """`low` and `high` are the bounds of `connected`; `enabled` is whether the rules are on."""

    enabled: bool
    low: int
    high: int
    connected: int
    peers: list[KeptPeer]


@router.get("/kept")
async def show_kept(desk: AtDesk) -> KeptShown:
    """Everybody who is connected, was and is to be again, or waits to be dialled."""
    settings, discovery = desk.node.config.keeping, desk.node.discovery
    keeping = discovery.keeping
    shown = [] if keeping is None else [_kept(desk, each) for each in keeping.standings()]
    if keeping is not None:
        known = {each.peer for each in shown}
        dialling = keeping.keeper.dialled
        named = [each for each in [*dialling, *discovery.found.names] if str(each) not in known]
        shown += [_candidate(each, dialling=each in dialling) for each in named]
    return KeptShown(
        enabled=keeping is not None,
        low=settings.low,
        high=settings.high,
        connected=len(desk.node.swarm.peers),
        peers=shown,
    )


def _kept(desk: Desk, standing: Standing) -> KeptPeer:
    latency_s, next_s = standing.latency_s, standing.next_s
    return KeptPeer(
        peer=str(standing.peer),
        lifecycle=standing.lifecycle.value,
        state=_state(desk, standing),
        network=standing.network,
        value=round(standing.value, 3),
        latency_ms=None if latency_s is None else round(latency_s * 1000, 3),
        reliability=round(standing.reliability, 3),
        missed_pings=standing.misses,
        failures=standing.failures,
        used=standing.used,
        protected=standing.protected,
        next_s=None if next_s is None else round(next_s, 1),
    )


def _candidate(peer: PeerId, *, dialling: bool) -> KeptPeer:
    return KeptPeer(
        peer=str(peer),
        lifecycle=(Lifecycle.HANDSHAKE if dialling else Lifecycle.DISCOVERY).value,
        state="connecting" if dialling else None,
        network="",
        value=0.0,
        latency_ms=None,
        reliability=0.0,
        missed_pings=0,
        failures=0,
        used=False,
        protected=False,
        next_s=None,
    )


def _state(desk: Desk, standing: Standing) -> str:
    swarm, punching = desk.node.swarm, desk.node.hole_punching
    if swarm.connection_to(standing.peer, direct=True) is not None:
        return "connected"
    if swarm.is_connected(standing.peer):
        at_it = punching is not None and punching.is_at(standing.peer)
        return "hole punching" if at_it else "relayed"
    if standing.lifecycle is Lifecycle.HANDSHAKE:
        return "connecting"
    return "failed" if standing.failures else "closed"
