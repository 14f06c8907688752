"""The Lethean mesh: its peers, and what a controller asks of workers."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from mesh.api.desk import AtDesk, Desk
from mesh.api.problem import NotAvailable
from mesh.api.shapes import Asked, Text
from mesh.apps.lethean.errands import run_errand
from mesh.apps.lethean.overview import known_peers, own_state
from mesh.apps.lethean.service import LetheanService

router = APIRouter(prefix="/lethean", tags=["lethean"])

Target = Annotated[
    str, Field(max_length=512, description="Node id, HOST:PORT, NODE-ID@HOST:PORT, or best: the best worker.")
]
Name = Annotated[str, Field(min_length=1, max_length=64)]


class TargetAsked(Asked):
    target: Target = "best"


class StartAsked(TargetAsked):
    type: Name
    profile: Annotated[str, Field(max_length=64)] = ""
    config: Annotated[Any, Field(description="Values of the program's parameters.")] = None


class MinerAsked(TargetAsked):
    miner: Name


class LogsAsked(MinerAsked):
    lines: Annotated[int, Field(ge=1, le=10_000)] = 100
    since_ms: Annotated[int, Field(ge=0, le=2**53)] = 0


class DeployAsked(TargetAsked):
    name: Name
    type: Annotated[str, Field(pattern="^(profile|miner|full)$")] = "miner"
    profile: Any = None
    files: Annotated[
        dict[str, str],
        Field(default_factory=dict, description="Name of each file, and its content in base64."),
    ]
    plain: Annotated[bool, Field(description="Leave a profile unsealed inside its message.")] = False


class KeyAsked(Asked):
    public_key: Text
    revoke: bool = False


@router.get("")
async def show_lethean(desk: AtDesk) -> dict[str, Any]:
    """Who this node is on the mesh, where it listens, how many know it."""
    return own_state(_service(desk))


@router.get("/peers")
async def list_lethean_peers(desk: AtDesk) -> dict[str, Any]:
    """Known peers, the best first."""
    return {"peers": known_peers(_service(desk))}


@router.post("/connect")
async def connect_lethean(desk: AtDesk, asked: TargetAsked) -> dict[str, Any]:
    """Connect to a peer, or answer with the connection that is there."""
    return await _run(desk, "connect", asked)


@router.post("/ping")
async def ping_lethean(desk: AtDesk, asked: TargetAsked) -> dict[str, Any]:
    """The round trip of an encrypted ping."""
    return await _run(desk, "ping", asked)


@router.post("/stats")
async def ask_lethean_stats(desk: AtDesk, asked: TargetAsked) -> dict[str, Any]:
    """A worker's miners and figures."""
    return await _run(desk, "stats", asked)


@router.post("/start")
async def start_lethean_miner(desk: AtDesk, asked: StartAsked) -> dict[str, Any]:
    """Start a miner on a worker."""
    return await _run(desk, "start", asked)


@router.post("/stop")
async def stop_lethean_miner(desk: AtDesk, asked: MinerAsked) -> dict[str, Any]:
    """Stop a miner on a worker."""
    return await _run(desk, "stop", asked)


@router.post("/logs")
async def read_lethean_logs(desk: AtDesk, asked: LogsAsked) -> dict[str, Any]:
    """The last lines of a miner."""
    return await _run(desk, "logs", asked)


@router.post("/deploy")
async def deploy_lethean_bundle(desk: AtDesk, asked: DeployAsked) -> dict[str, Any]:
    """Send a bundle to a worker, sealed for the connection to it."""
    return await _run(desk, "deploy", asked)


@router.post("/allow")
async def allow_lethean_key(desk: AtDesk, asked: KeyAsked) -> dict[str, Any]:
    """Put a public key on the allowlist, or take it off; connections that stand are left alone."""
    service = _service(desk)
    if asked.revoke:
        service.revoke(asked.public_key)
    else:
        service.allow(asked.public_key)
    return {"allowed": service.registry.allowlist.keys()}


async def _run(desk: Desk, verb: str, asked: Asked) -> dict[str, Any]:
    return await run_errand(_service(desk).controller, verb, asked.model_dump())


def _service(desk: Desk) -> LetheanService:
    if desk.lethean is None:
        raise NotAvailable("the Lethean mesh is off: set lethean.listen, or start with: mesh lethean serve")
    return desk.lethean
