"""Why others do not reach the node, or it does not reach a peer, and whether it does well."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field

from mesh.api.desk import AtDesk, Desk
from mesh.api.nat_routes import NatShown, PunchShown, punches_of, shown_nat
from mesh.api.shapes import Asked, Text
from mesh.api.targets import target_of
from mesh.errors import UsageError
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.protocols.diagnosis import Attempt, NatEvidence, Verdict

MAX_ADDRESSES = 16

router = APIRouter(prefix="/diag", tags=["diag"])

Wait = Annotated[
    float, Field(ge=0, le=110, description="Seconds to wait for what others find, or for a hole punch.")
]


class StepShown(BaseModel):
    """Something to do, `where`: here, at the peer, at the relay, in the router, on this machine. `act`: `run` the
    command, `set` a value of the settings, `forward` a port, `allow` it in a firewall, or `mend` what the text says."""

    where: str
    act: str
    text: str
    command: str | None


class VerdictShown(BaseModel):
    """A cause by its name, `healthy` and `unknown` among them, with a confidence of 0 to 3."""

    cause: str
    summary: str
    confidence: int
    evidence: list[str]
    remedy: list[StepShown]


class NatDiagnosed(NatShown):
    """What is known of the NAT, and the verdict."""

    diagnosis: VerdictShown


class PathAsked(Asked):
    target: Annotated[Text, Field(description="Peer id, or a multiaddr that ends in it.")]
    addrs: Annotated[list[Text], Field(default_factory=list, max_length=MAX_ADDRESSES)]
    wait_s: Wait = 20.0


class NatAsked(Asked):
    wait_s: Wait = 20.0


class AttemptShown(BaseModel):
    addr: str
    outcome: str
    cause: str


class PathShown(BaseModel):
    """`path` is direct, relayed or none. What the relay leaves of a relayed one is null where it sets no limit."""

    peer: str
    path: str
    addr: str | None
    relay: str | None
    limited: bool
    remaining_s: float | None
    remaining_send_bytes: int | None
    remaining_receive_bytes: int | None
    attempts: list[AttemptShown]
    diagnosis: VerdictShown


class ConditionShown(BaseModel):
    name: str
    holds: bool
    seen: str


class HealthShown(BaseModel):
    """Whether all conditions hold, and each of them."""

    healthy: bool
    conditions: list[ConditionShown]


class RelayShown(BaseModel):
    """A relay of the settings, or one that was found: whether it holds a reservation, and if not, why."""

    relay: str
    held: bool
    cause: str | None


class RouterShown(BaseModel):
    distance: int
    addr: str
    private: bool


class ExaminedShown(NatDiagnosed):
    """All that is known of how this node is reached."""

    relays: list[RelayShown]
    begins_with: list[AttemptShown]
    routers: list[RouterShown]
    longest_packet_bytes: int | None
    punching: bool
    punches: list[PunchShown]
    conditions: list[ConditionShown]


@router.post("/nat")
async def diagnose_nat(desk: AtDesk, asked: NatAsked) -> NatDiagnosed:
    """Why others reach this node or not. Peers of the settings that are not connected are dialled, a few datagrams of a
    short life are sent towards one, and answers of others are waited for."""
    verdict, _ = await desk.diagnosis.nat(asked.wait_s)
    return NatDiagnosed(**shown_nat(desk).model_dump(), diagnosis=_verdict(verdict))


@router.post("/path")
async def diagnose_path(desk: AtDesk, asked: PathAsked) -> PathShown:
    """What the path to a peer is, and why. The peer is dialled unless it is connected."""
    peer, addresses = _peer_and_addresses([asked.target, *asked.addrs])
    if peer == desk.node.peer_id:
        raise UsageError(f"{peer} is this node itself")
    found = await desk.diagnosis.path(peer, addresses, asked.wait_s)
    return PathShown(
        peer=str(found.peer),
        path=found.path,
        addr=found.address or None,
        relay=found.relay or None,
        limited=found.limited,
        remaining_s=found.rest_s,
        remaining_send_bytes=found.rest_send_bytes,
        remaining_receive_bytes=found.rest_receive_bytes,
        attempts=[_attempt(each) for each in found.attempts],
        diagnosis=_verdict(found.verdict),
    )


@router.get("/healthy")
async def show_conditions(desk: AtDesk) -> HealthShown:
    """Whether the node does well, by what it knows at this moment."""
    found = _conditions(desk)
    return HealthShown(healthy=all(each.holds for each in found), conditions=found)


@router.post("/examination")
async def examine(desk: AtDesk, asked: NatAsked) -> ExaminedShown:
    """Everything about how this node is reached: addresses, mapping, relays, punches, the verdict and what to do."""
    verdict, seen = await desk.diagnosis.nat(asked.wait_s)
    return ExaminedShown(
        **shown_nat(desk).model_dump(),
        diagnosis=_verdict(verdict),
        relays=_relays(seen),
        begins_with=[_attempt(each) for each in seen.begins_with],
        routers=[
            RouterShown(distance=distance, addr=address, private=private)
            for distance, address, private in seen.route.routers
        ],
        longest_packet_bytes=seen.route.longest_bytes or None,
        punching=seen.punching,
        punches=punches_of(desk),
        conditions=_conditions(desk),
    )


def _conditions(desk: Desk) -> list[ConditionShown]:
    found = desk.diagnosis.healthy(desk.watch.lag.p99_s)
    return [ConditionShown(name=each.name, holds=each.holds, seen=each.seen) for each in found]


def _relays(seen: NatEvidence) -> list[RelayShown]:
    return [
        RelayShown(
            relay=each.relay, held=each.held, cause=None if each.held else each.said or "not answered yet"
        )
        for each in seen.relays
    ]


def _attempt(attempt: Attempt) -> AttemptShown:
    return AttemptShown(addr=attempt.address, outcome=attempt.fault.value, cause=attempt.said)


def _verdict(verdict: Verdict) -> VerdictShown:
    return VerdictShown(
        cause=verdict.cause,
        summary=verdict.summary,
        confidence=verdict.confidence,
        evidence=list(verdict.evidence),
        remedy=[
            StepShown(where=each.where.value, act=each.act, text=each.text, command=each.command or None)
            for each in verdict.remedy
        ],
    )


def _peer_and_addresses(texts: list[str]) -> tuple[PeerId, list[Multiaddr]]:
    """The one peer that all of them name. Raises `UsageError`."""
    peers: dict[PeerId, None] = {}
    addresses: list[Multiaddr] = []
    for text in texts:
        target = target_of(text)
        if isinstance(target, PeerId):
            peers[target] = None
            continue
        data = target.peer_id_bytes()
        if data is None or target.components[-1].name == "p2p-circuit":
            raise UsageError(f"{text!r} does not end in a peer id")
        peers[PeerId.from_bytes(data)] = None
        if address := target.without_peer():
            addresses.append(address)
    if len(peers) > 1:
        raise UsageError(f"these name {len(peers)} peers: {', '.join(map(str, peers))}")
    return next(iter(peers)), addresses
