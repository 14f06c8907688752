"""What a worker answers (specification, section 9), once it is known that the peer may ask.

Failures are `error` 1004 in the words of a Go node; 1002 is for what a peer may not ask, which a Go node never refuses.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn, TypeVar

from mesh.apps.lethean.deployments import Deployments
from mesh.apps.lethean.miners import MinerFigures, Miners, Profiles
from mesh.apps.lethean.permissions import EXECUTE, VERB_OF_TYPE, Permissions
from mesh.errors import MeshError, PeerError
from mesh.protocols.lethean.envelope import Envelope
from mesh.protocols.lethean.go_json import write_text
from mesh.protocols.lethean.json_record import JsonRecord
from mesh.protocols.lethean.messages import (
    Deploy,
    DeployAck,
    ErrorCode,
    ErrorReply,
    GetLogs,
    Logs,
    MinerAck,
    MinerStats,
    Ping,
    Pong,
    StartMiner,
    Stats,
    StopMiner,
)

MOST_LINES: Final = 10_000
MOST_LOG_BYTES: Final = 1_000_000
NO_MINERS: Final = "node: miner manager not configured"
_GO_KINDS: Final = {str: "string", bool: "bool", int: "number", float: "number", list: "array"}

RecordT = TypeVar("RecordT", bound=JsonRecord)
Answer = tuple[str, JsonRecord]


class Worker:
    """Answers requests. ``miners`` and ``profiles`` are the application's; without them their commands fail.

    ``unix_ms`` tells the time, ``own_id`` and ``own_name`` go into stats.
    """

    def __init__(
        self,
        own_id: str,
        own_name: str,
        permissions: Permissions,
        deployments: Deployments,
        *,
        miners: Miners | None = None,
        profiles: Profiles | None = None,
        unix_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._own_id = own_id
        self._own_name = own_name
        self._permissions = permissions
        self._deployments = deployments
        self._miners = miners
        self._profiles = profiles
        self._unix_ms = unix_ms
        self._since_ms = unix_ms()
        self._answers: dict[str, Callable[[Envelope, str, str], Awaitable[Answer]]] = {
            "ping": self._ping,
            "get_stats": self._stats,
            "start_miner": self._start,
            "stop_miner": self._stop,
            "get_logs": self._logs,
            "deploy": self._deploy,
        }

    async def answer(self, request: Envelope, peer: str, password: str) -> Answer | None:
        """Type and payload of the answer; None for what is answered by nothing.

        ``peer`` is the node id that was checked against the connection's key, ``password`` opens its bundles.
        """
        known = self._answers.get(request.type)
        if known is None:
            return None
        if not self._permissions.permits(peer, VERB_OF_TYPE[request.type]):
            return "error", ErrorReply(
                code=int(ErrorCode.UNAUTHORIZED), message=f"not authorized: {request.type}", details=""
            )
        try:
            return await known(request, peer, password)
        except MeshError as error:
            return "error", ErrorReply(code=int(ErrorCode.OPERATION_FAILED), message=str(error), details="")

    async def _ping(self, request: Envelope, peer: str, password: str) -> Answer:
        asked = _payload(request, Ping, "handlePing", "ping")
        return "pong", Pong(sent_at_ms=asked.sent_at_ms, received_at_ms=self._unix_ms())

    async def _stats(self, request: Envelope, peer: str, password: str) -> Answer:
        figures = self._miners.figures() if self._miners is not None else ()
        return "stats", Stats(
            node_id=self._own_id,
            node_name=self._own_name,
            miners=[_stats_of(each) for each in figures],
            uptime_s=(self._unix_ms() - self._since_ms) // 1000,
        )

    async def _start(self, request: Envelope, peer: str, password: str) -> Answer:
        miners = self._working_miners()
        asked = _payload(request, StartMiner, "handleStartMiner", "start miner")
        if not asked.miner_type:
            _fail("handleStartMiner", "miner type is required")
        config = asked.config
        if config is None:
            if self._profiles is None:
                _fail("handleStartMiner", "no config provided and no profile manager configured")
            config = self._profiles.get(asked.profile_id)
            if config is None:
                _fail("handleStartMiner", f"profile not found: {asked.profile_id}")
        try:
            name = await miners.start(asked.miner_type, config)
        except MeshError as error:
            return "miner_ack", MinerAck(success=False, miner_name="", error=str(error))
        return "miner_ack", MinerAck(success=True, miner_name=name, error="")

    async def _stop(self, request: Envelope, peer: str, password: str) -> Answer:
        miners = self._working_miners()
        asked = _payload(request, StopMiner, "handleStopMiner", "stop miner")
        fault = ""
        try:
            await miners.stop(asked.miner_name)
        except MeshError as error:
            fault = str(error)
        return "miner_ack", MinerAck(success=not fault, miner_name=asked.miner_name, error=fault)

    async def _logs(self, request: Envelope, peer: str, password: str) -> Answer:
        miners = self._working_miners()
        asked = _payload(request, GetLogs, "handleGetLogs", "get logs")
        wanted = asked.lines if 0 < asked.lines <= MOST_LINES else MOST_LINES
        lines = miners.log(asked.miner_name, wanted, asked.since_ms)
        if lines is None:
            _fail("handleGetLogs", f"miner not found: {asked.miner_name}")
        fitting = _fitting(lines)
        more = len(lines) >= wanted or len(fitting) < len(lines)
        return "logs", Logs(miner_name=asked.miner_name, lines=fitting or None, has_more=more)

    async def _deploy(self, request: Envelope, peer: str, password: str) -> Answer:
        asked = _payload(request, Deploy, "handleDeploy", "deploy")
        if asked.type not in ("profile", "miner", "full"):
            _fail("handleDeploy", f"unknown bundle type: {asked.type}")
        executable = self._permissions.permits(peer, EXECUTE)
        fault = ""
        if asked.type == "profile":
            if self._profiles is None:
                _fail("handleDeploy", "profile manager not configured")
            config = await self._deployments.open_profile(asked, password)
            try:
                self._profiles.save(asked.name, config)
            except MeshError as error:
                fault = str(error)
        else:
            await self._deployments.unpack(asked, password, self._profiles, executable=executable)
        return "deploy_ack", DeployAck(success=not fault, name=asked.name, error=fault)

    def _working_miners(self) -> Miners:
        if self._miners is None:
            raise PeerError(NO_MINERS)
        return self._miners


def _fitting(lines: list[str]) -> list[str]:
    """The last lines that fit into one message, each in quotes within quotes."""
    left = MOST_LOG_BYTES
    for at in range(len(lines) - 1, -1, -1):
        left -= len(write_text(write_text(lines[at]), html=True).encode(errors="replace")) + 1
        if left < 0:
            return lines[at + 1 :]
    return lines


def _stats_of(figures: MinerFigures) -> MinerStats:
    return MinerStats(
        name=figures.name,
        type=figures.type,
        hashrate=figures.hashrate,
        shares=figures.shares,
        rejected=figures.rejected,
        uptime_s=figures.uptime_s,
        pool=figures.pool,
        algorithm=figures.algorithm,
        cpu_threads=figures.cpu_threads,
    )


def _payload(request: Envelope, record: type[RecordT], step: str, noun: str) -> RecordT:
    """The payload, or a failure in a Go node's words."""
    try:
        return request.payload(record)
    except MeshError as error:
        value = json.loads(request.raw or "null")
        kind = _GO_KINDS.get(type(value))
        cause = str(error)
        if kind is not None:
            cause = f"json: cannot unmarshal {kind} into Go value of type node.{record.__name__}Payload"
        _fail(step, f"invalid {noun} payload: {cause}")


def _fail(step: str, cause: str) -> NoReturn:
    raise PeerError(f"Worker.{step}: {cause}")
