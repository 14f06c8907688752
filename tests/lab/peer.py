"""A node of this project as a process that is told what to do, with the lines the Go peer has (`-m tests.lab.peer`).

``{"cmd": "connect", "addr": …}``, ``{"cmd": "echo", "peer": …, "bytes": …}`` and ``{"cmd": "state"}``; the answers have
the request's id. Each connection is an event, `connected` and `disconnected`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from mesh.errors import MeshError
from mesh.identity.peer_id import PeerId
from mesh.network.connection import Connection
from mesh.node import Node
from mesh.protocols.dcutr import PROTOCOL
from mesh.services import echo
from tests.network.live import configured

ECHO_S = 20.0


def tell(**message: Any) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def shown(connection: Connection) -> dict[str, Any]:
    return {
        "peer": str(connection.peer),
        "addr": str(connection.remote),
        "direction": "inbound" if connection.inbound else "outbound",
        "relayed": connection.relay is not None,
        "transport": "quic" if connection.muxer == "quic" else "tcp",
        "streams": connection.stream_count,
        "punches": PROTOCOL in (connection.remote_protocols or ()),
    }


class Peer:
    """Carries out commands on one node."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def connect(self, addr: str) -> dict[str, Any]:
        return shown(await self._node.connect(addr))

    async def echo(self, peer: str, bytes: int) -> dict[str, Any]:
        connection = self._node.swarm.connection_to(PeerId.parse(peer))
        if connection is None:
            raise MeshError(f"{peer} is not connected")
        payload = os.urandom(bytes)
        async with asyncio.timeout(ECHO_S):
            stream = await connection.open([echo.PROTOCOL_ID], allow_limited=True)
            await stream.write(payload)
            same = await stream.read_exactly(bytes) == payload
            await stream.close()
        return {"same": same, "relayed": connection.relay is not None}

    async def state(self) -> dict[str, Any]:
        node = self._node
        punching, relaying = node.hole_punching, node.relaying
        held = relaying.client.held if relaying is not None and relaying.client is not None else []
        reports = [
            {
                "started": each.started,
                "attempt": each.attempt,
                "addresses": [str(address) for address in each.addresses],
                "transport": each.transport,
                "cause": each.cause,
                "seconds": each.seconds,
                "round_trip": each.round_trip_s,
            }
            for each in (punching.reports if punching is not None else ())
        ]
        return {
            "connections": [shown(each) for each in node.connections],
            "reports": reports,
            "held": [str(each) for each in held],
            "outside": [str(each) for each in node.reachability.punchable()],
            "nat": {each.transport: each.kind.value for each in node.reachability.nat},
            "table": len(node.dht.table) if node.config.kademlia.mode != "off" else 0,
            "mapping": self._mapping(),
            "reachability": node.reachability.state.value,
            "announced": [str(each) for each in node.own_addresses],
            "stun": {name: each.nat_class.value for name, each in node.reachability.stun.behaviours.items()},
            "counters": node.counters.snapshot(),
        }

    def _mapping(self) -> dict[str, Any]:
        found = self._node.reachability.mapping.status
        return {
            "state": found.state,
            "protocol": found.protocol,
            "outside": {
                each.port.transport.value: f"{each.host}:{each.external_port}"
                for each in found.ports
                if each.host
            },
            "codes": sorted({each.code for each in found.ports}),
        }


async def answer(peer: Peer, request: dict[str, Any]) -> None:
    number, command = request.pop("id"), request.pop("cmd")
    request.pop("timeout_ms", None)
    works: dict[str, Callable[..., Awaitable[dict[str, Any]]]] = {
        "connect": peer.connect,
        "echo": peer.echo,
        "state": peer.state,
    }
    work = works[command]
    try:
        result = await work(**request)
    except (MeshError, TimeoutError) as error:
        tell(id=number, ok=False, error=str(error) or type(error).__name__)
    else:
        tell(id=number, ok=True, **result)


async def run(options: argparse.Namespace) -> None:
    node = Node(
        configured(
            *options.listen,
            relays=tuple(options.relay),
            relay_serve=options.relay_serve,
            hole_punching=options.hole_punching,
            autonat_serve=options.autonat_serve,
            wanted=options.wanted,
            bootstrap=tuple(options.bootstrap),
            mode=options.dht,
            prefix="/lab",
            addresses="all",
            max_reservations_per_ip=64,
            quic_keepalive_s=options.keepalive,
            stun_servers=tuple(options.stun),
            port_mapping=options.map,
            lease_s=options.lease,
        )
    )
    node.handle(echo.PROTOCOL_ID, echo.serve, limited=True)
    async with node, asyncio.TaskGroup() as group:
        node.swarm.observers.connected.append(lambda each: tell(event="connected", **shown(each)))
        node.swarm.observers.disconnected.append(lambda each: tell(event="disconnected", **shown(each)))
        tell(event="ready", peer=str(node.peer_id), addrs=[str(each) for each in node.listen_addrs])
        peer = Peer(node)
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
        )
        while line := await reader.readline():
            group.create_task(answer(peer, json.loads(line)))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", action="append", default=[])
    parser.add_argument("--relay", action="append", default=[])
    parser.add_argument("--wanted", type=int, default=2)
    parser.add_argument("--bootstrap", action="append", default=[])
    parser.add_argument("--dht", default="off")
    parser.add_argument("--relay-serve", action="store_true")
    parser.add_argument("--hole-punching", action="store_true")
    parser.add_argument("--keepalive", type=float, default=15.0)
    parser.add_argument("--autonat-serve", action="store_true")
    parser.add_argument("--stun", action="append", default=[])
    parser.add_argument("--map", default="off")
    parser.add_argument("--lease", type=float, default=600.0)
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
