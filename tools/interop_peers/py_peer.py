"""A py-libp2p node for the conformance harness, which runs in the library's own environment and imports nothing of this
project. Arguments: the topics of gossipsub to join. It prints `ready` as the other peers do, and ends with its input.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import multiaddr  # type: ignore[import-not-found]
import trio  # type: ignore[import-not-found]
from libp2p import generate_new_ed25519_identity, new_host  # type: ignore[import-not-found]
from libp2p.crypto.x25519 import create_new_key_pair  # type: ignore[import-not-found]
from libp2p.host.ping import handle_ping  # type: ignore[import-not-found]
from libp2p.kad_dht.kad_dht import DHTMode, KadDHT  # type: ignore[import-not-found]
from libp2p.perf import PerfService  # type: ignore[import-not-found]
from libp2p.pubsub.gossipsub import GossipSub  # type: ignore[import-not-found]
from libp2p.pubsub.pubsub import Pubsub  # type: ignore[import-not-found]
from libp2p.relay.circuit_v2.protocol import CircuitV2Protocol  # type: ignore[import-not-found]
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE  # type: ignore[import-not-found]
from libp2p.security.noise.transport import Transport as Noise
from libp2p.security.tls.transport import PROTOCOL_ID as TLS  # type: ignore[import-not-found]
from libp2p.security.tls.transport import TLSTransport
from libp2p.tools.anyio_service import background_trio_service  # type: ignore[import-not-found]

LISTEN = "/ip4/127.0.0.1/tcp/0"
PING = "/ipfs/ping/1.0.0"
MANY = 1_000_000
VERSIONS = ["/meshsub/1.2.0", "/meshsub/1.1.0", "/meshsub/1.0.0"]


def make_host() -> Any:
    """Noise and TLS over TCP, yamux; limits out of the way, for the harness is one address that connects often."""
    key = generate_new_ed25519_identity()
    noise = Noise(key, noise_privkey=create_new_key_pair().private_key)
    return new_host(key_pair=key, sec_opt={NOISE: noise, TLS: TLSTransport(key)}, muxer_preference="YAMUX")


async def until_the_end_of_input() -> None:
    async for _ in trio.lowlevel.FdStream(os.dup(0)):
        pass


async def main(topics: list[str]) -> None:
    """Serve until the end of the input."""
    host = make_host()
    router = GossipSub(VERSIONS, 6, 5, 12, heartbeat_interval=1)
    async with host.run(listen_addrs=[multiaddr.Multiaddr(LISTEN)]):
        host.set_stream_handler(PING, handle_ping)
        await PerfService(host).start()
        pubsub = Pubsub(host, router)
        services = (
            pubsub,
            router,
            KadDHT(host, DHTMode.SERVER, strict_validation=True),
            CircuitV2Protocol(host, allow_hop=True),
        )
        async with (
            background_trio_service(services[0]),
            background_trio_service(services[1]),
            background_trio_service(services[2]),
            background_trio_service(services[3]),
        ):
            await pubsub.wait_until_ready()
            for topic in topics:
                await pubsub.subscribe(topic)
            peer = str(host.get_id())
            addresses = [str(each).split("/p2p/")[0] for each in host.get_transport_addrs()]
            ready = {"event": "ready", "peer": peer, "addrs": [f"{each}/p2p/{peer}" for each in addresses]}
            sys.stdout.write(json.dumps(ready) + "\n")
            sys.stdout.flush()
            await until_the_end_of_input()


if __name__ == "__main__":
    trio.run(main, sys.argv[1:])
