"""Where the node can be reached, and what stands between."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from mesh.api.desk import AtDesk, Desk
from mesh.services.port_mapping import MappingStatus

router = APIRouter(prefix="/nat", tags=["state"])


class AddressShown(BaseModel):
    """One address: how many networks saw the node there, and the verdict with its source and a confidence of 0 to 3."""

    addr: str
    state: str
    source: str
    confidence: int
    observers: int


class TransportShown(BaseModel):
    """What observers tell of the NAT before one transport's sockets: `cone`, `symmetric` or `unknown`."""

    transport: str
    kind: str
    observers: int


class StunShown(BaseModel):
    """What STUN servers found for one family, `ip4` or `ip6`."""

    family: str
    nat_class: str
    mapping: str
    filtering: str
    outside: str | None
    translated: bool | None


class MappedPortShown(BaseModel):
    """One port that is listened on, `tcp` or `udp`: the outside address that the router forwards to it and the seconds
    left of that (null: until it is given back), or why not, with the protocol's number for it."""

    transport: str
    port: int
    outside: str | None
    left_s: float | None
    code: int
    reason: str


class MappingShown(BaseModel):
    """Ports of the router. `state` is off, searching, mapped, refused, silent, no router, not needed, or private: the
    router's own outside address is not a public one. `protocol` is `pcp`, `nat-pmp`, `upnp`, or empty."""

    state: str
    protocol: str
    gateway: str
    ports: list[MappedPortShown]


class NatShown(BaseModel):
    """All of it; `nat_class` is open, full cone, restricted, symmetric, blocked or unknown."""

    reachability: str
    source: str
    confidence: int
    nat_class: str
    transports: list[TransportShown]
    stun: list[StunShown]
    mapping: MappingShown
    addresses: list[AddressShown]
    advice: list[str]


class PunchShown(BaseModel):
    """One attempt at a direct connection; 0 is the plain dial before the first. `transport` is `tcp` or `quic` when it
    came to stand, else `cause` says what failed at each address. `started`: this node began it."""

    peer: str
    started: bool
    attempt: int
    transport: str | None
    cause: str | None
    seconds: float
    round_trip_s: float | None
    addrs: list[str]


class PunchesShown(BaseModel):
    """The latest attempts, oldest first; `enabled` is whether there are any to be."""

    enabled: bool
    punches: list[PunchShown]


@router.get("")
async def show_nat(desk: AtDesk) -> NatShown:
    """Reachability of the node and of each address, the kind of NAT, and what to do next."""
    return shown_nat(desk)


@router.post("/test")
async def test_nat(desk: AtDesk) -> NatShown:
    """The same after the configured STUN servers have been asked, which may take a minute if they are silent."""
    await desk.node.reachability.stun.test()
    return shown_nat(desk)


@router.get("/punches")
async def show_punches(desk: AtDesk) -> PunchesShown:
    """What became of each attempt to turn a relayed connection into a direct one."""
    return PunchesShown(enabled=desk.node.hole_punching is not None, punches=punches_of(desk))


def punches_of(desk: Desk) -> list[PunchShown]:
    """The latest attempts, oldest first."""
    punching = desk.node.hole_punching
    return [
        PunchShown(
            peer=str(each.peer),
            started=each.started,
            attempt=each.attempt,
            transport=each.transport or None,
            cause=each.cause or None,
            seconds=each.seconds,
            round_trip_s=each.round_trip_s,
            addrs=[str(address) for address in each.addresses],
        )
        for each in (punching.reports if punching is not None else ())
    ]


def shown_nat(desk: Desk) -> NatShown:
    """What is known at this moment."""
    found = desk.node.reachability
    return NatShown(
        reachability=found.state.value,
        source=found.source,
        confidence=found.confidence,
        nat_class=found.nat_class.value,
        transports=[
            TransportShown(transport=each.transport, kind=each.kind.value, observers=each.observers)
            for each in found.nat
        ],
        stun=[
            StunShown(
                family=family,
                nat_class=each.nat_class.value,
                mapping=each.mapping.value,
                filtering=each.filtering.value,
                outside=None if each.outside is None else _host_port(*each.outside),
                translated=each.translated,
            )
            for family, each in found.stun.behaviours.items()
        ],
        mapping=_mapping_shown(found.mapping.status),
        addresses=[
            AddressShown(
                addr=str(each.address),
                state=each.state.value,
                source=each.source,
                confidence=each.confidence,
                observers=each.observers,
            )
            for each in found.addresses
        ],
        advice=found.advice,
    )


def _mapping_shown(status: MappingStatus) -> MappingShown:
    return MappingShown(
        state=status.state,
        protocol=status.protocol,
        gateway=status.gateway,
        ports=[
            MappedPortShown(
                transport=each.port.transport.value,
                port=each.port.number,
                outside=None if each.host is None else _host_port(each.host, each.external_port),
                left_s=each.left_s,
                code=each.code,
                reason=each.reason,
            )
            for each in status.ports
        ],
    )


def _host_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
