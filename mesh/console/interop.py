"""`mesh interop`: this node under the test plans that libp2p's implementations share.

Transport: environment variables say which part to play; the two ends meet at a Redis server; standard output has the
result alone. Performance: options as those plans give them. `interop/Containerfile` makes the image they start.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from mesh.console.output import say, say_json
from mesh.errors import NetworkError, UsageError

if TYPE_CHECKING:
    from mesh.config import Config
    from mesh.multiformats.multiaddr import Multiaddr
    from mesh.node import Node

TRANSPORTS = {
    "tcp": "/ip{version}/{host}/tcp/{port}",
    "ws": "/ip{version}/{host}/tcp/{port}/ws",
    "quic-v1": "/ip{version}/{host}/udp/{port}/quic-v1",
}
SECURED_BY_ITSELF = ("quic-v1",)
TIMEOUT_S = 180.0
KNOWN_SEED = bytes(32)
"""Of the performance server's identity, which its clients know beforehand."""


@dataclass(frozen=True, slots=True)
class Part:
    """What the environment asks for. ``key`` is where the address is left; ``unified``: in the newer form, where results
    are YAML and the address is a value, not a list."""

    dialer: bool
    transport: str
    security: str
    host: str
    redis: str
    key: str
    timeout_s: float
    unified: bool

    @classmethod
    def of(cls, variables: Mapping[str, str]) -> Part:
        """From either form of the contract. Raises `UsageError` for what is missing or not to be had."""
        unified = "IS_DIALER" in variables
        names = _UNIFIED if unified else _ORIGINAL
        found = {name: variables.get(variable, "") for name, variable in names.items()}
        if not found["dialer"] or not found["transport"]:
            raise UsageError(f"{names['dialer']} and {names['transport']} must be set: see `mesh interop -h`")
        if unified and not found["key"]:
            raise UsageError("TEST_KEY must be set")
        if found["transport"] not in TRANSPORTS:
            raise UsageError(f"{names['transport']}={found['transport']}: one of {', '.join(TRANSPORTS)}")
        own = found["transport"] in SECURED_BY_ITSELF
        security = found["security"] or "noise"
        if not own and (security not in ("noise", "tls") or found["muxer"] not in ("", "yamux")):
            raise UsageError(f"no {security} with {found['muxer'] or 'no muxer'}: noise or tls, with yamux")
        return cls(
            found["dialer"] == "true",
            found["transport"],
            security,
            found["host"] or "0.0.0.0",
            found["redis"] or "redis:6379",
            f"{found['key']}_listener_multiaddr" if unified else "listenerAddr",
            float(found["timeout"] or TIMEOUT_S),
            unified,
        )


_ORIGINAL = {
    "dialer": "is_dialer",
    "transport": "transport",
    "security": "security",
    "muxer": "muxer",
    "host": "ip",
    "redis": "redis_addr",
    "timeout": "test_timeout_seconds",
    "key": "",
}
_UNIFIED = {
    "dialer": "IS_DIALER",
    "transport": "TRANSPORT",
    "security": "SECURE_CHANNEL",
    "muxer": "MUXER",
    "host": "LISTENER_IP",
    "redis": "REDIS_ADDR",
    "timeout": "TEST_TIMEOUT_SECS",
    "key": "TEST_KEY",
}


def interop(
    run_server: Annotated[bool, typer.Option("--run-server", help="Performance: be the server.")] = False,
    server_address: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Performance: of the server.")
    ] = "",
    transport: Annotated[str, typer.Option(metavar="tcp|quic-v1|ws", help="Performance.")] = "tcp",
    upload_bytes: Annotated[int, typer.Option(metavar="N", min=0, help="Performance.")] = 0,
    download_bytes: Annotated[int, typer.Option(metavar="N", min=0, help="Performance.")] = 0,
) -> None:
    """Take a part in the test plans that libp2p's implementations share.

    Transport: is_dialer, transport, security, muxer, ip, redis_addr and test_timeout_seconds in the environment, or
    IS_DIALER, TRANSPORT, SECURE_CHANNEL, MUXER, LISTENER_IP, REDIS_ADDR, TEST_TIMEOUT_SECS and TEST_KEY. Performance:
    the options.
    """
    from mesh.console.running import run_async

    if not server_address:
        run_async(play(Part.of(os.environ)))
    elif transport not in TRANSPORTS:
        raise UsageError(f"--transport {transport}: one of {', '.join(TRANSPORTS)}")
    elif run_server:
        run_async(_serve(_bare_address(transport, server_address)))
    else:
        run_async(_measure(_bare_address(transport, server_address), upload_bytes, download_bytes))


# -- transport -------------------------------------------------------------------------------------------------------


async def play(part: Part) -> None:
    """Listen until ended from outside, or dial, ping once and say how long it took."""
    from mesh.node import Node

    listen = () if part.dialer else (TRANSPORTS[part.transport].format(version=4, host=part.host, port=0),)
    async with Node(_config(listen, part.security)) as node:
        if part.dialer:
            await _dial(node, part)
        else:
            await _listen(node, part)


def _config(listen: tuple[str, ...], security: str = "") -> Config:
    from mesh.config import Config

    config = Config()
    network = replace(config.network, listen=listen)
    if security:
        network = replace(network, security=(security,))
    services = replace(config.services, serve=("perf",))
    return replace(config, network=network, services=services)


async def _listen(node: Node, part: Part) -> None:
    import asyncio

    from mesh.console.meeting_point import meeting_point

    address = str(reachable(node.listen_addrs))
    async with meeting_point(part.redis) as place:
        if part.unified:
            await place.put(part.key, address)
        else:
            await place.push(part.key, address)
    sys.stderr.write(f"listening at {address}\n")
    await asyncio.sleep(part.timeout_s)
    raise NetworkError(f"nobody ended this listener within {part.timeout_s:g} s")


def reachable(addresses: list[Multiaddr]) -> Multiaddr:
    """The address to tell another machine: not of loopback, where there is such a one."""
    from mesh.multiformats.ip_ranges import is_loopback

    return next((each for each in addresses if not is_loopback(each)), addresses[0])


async def _dial(node: Node, part: Part) -> None:
    import asyncio
    from contextlib import aclosing

    from mesh.console.meeting_point import meeting_point
    from mesh.services.ping import Ping

    async with meeting_point(part.redis) as place:
        wait = place.read if part.unified else place.pop
        address = await wait(part.key, part.timeout_s)
    async with asyncio.timeout(part.timeout_s):
        started = time.perf_counter()
        connection = await node.connect(address)
        async with aclosing(Ping(part.timeout_s).ping(connection, 2, 0.0)) as trips:
            first = await anext(trips)
            both_s = time.perf_counter() - started
            second = await anext(trips)
    if first is None or second is None:
        raise NetworkError("the listener did not answer a ping")
    _tell(part, both_s * 1000, second * 1000)


def _tell(part: Part, handshake_ms: float, ping_ms: float) -> None:
    if part.unified:
        say("# Measurements from dialer")
        say("latency:")
        say(f"  handshake_plus_one_rtt: {handshake_ms:.3f}")
        say(f"  ping_rtt: {ping_ms:.3f}")
        say("  unit: ms")
    else:
        say_json({"handshakePlusOneRTTMillis": round(handshake_ms, 3), "pingRTTMilllis": round(ping_ms, 3)})


# -- performance -----------------------------------------------------------------------------------------------------


def _bare_address(transport: str, place: str) -> str:
    """``host:port`` as an address of a transport. Raises `UsageError`."""
    from ipaddress import ip_address

    host, _, port = place.rpartition(":")
    host = host.strip("[]")
    try:
        return TRANSPORTS[transport].format(version=ip_address(host).version, host=host, port=int(port))
    except ValueError:
        raise UsageError(f"--server-address {place}: an IP address and a port") from None


async def _serve(address: str) -> None:
    import asyncio

    from mesh.identity.keys import PrivateKey
    from mesh.node import Node

    async with Node(_config((address,)), key=PrivateKey.from_seed(KNOWN_SEED)) as node:
        sys.stderr.write(f"listening at {node.listen_addrs[0]}\n")
        await asyncio.Event().wait()


async def _measure(address: str, upload_bytes: int, download_bytes: int) -> None:
    from contextlib import aclosing

    from mesh.identity.keys import PrivateKey
    from mesh.identity.peer_id import PeerId
    from mesh.node import Node
    from mesh.services import perf

    server = PeerId.from_public_key(PrivateKey.from_seed(KNOWN_SEED).public)
    async with Node(_config(())) as node:
        report = perf.Report()
        connection = await node.connect(f"{address}/p2p/{server}")
        lines = perf.reported(
            lambda: connection.open([perf.PROTOCOL_ID]), upload_bytes, download_bytes, report
        )
        async with aclosing(lines):
            async for line in lines:
                if line["type"] != "transfer":
                    say_json(line)
