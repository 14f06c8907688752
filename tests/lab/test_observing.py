"""What a node learns of the NAT before it from others, and what keeps the NAT's memory of it alive."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from mesh.lab import Lab, SitePlan, kind_named
from mesh.lab.topology import RELAY, RELAY_IP
from tests.lab.punching import LabPeer, echoes, listening
from tools.interop_peers.process import CommandFailed

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("laboratory")]

TRIES = pytest.mark.parametrize("number", range(1, 4))
OBSERVERS = {"relay": RELAY_IP, "homeB": "11.4.1.2", "homeC": "11.5.1.2", "homeD": "11.6.1.2"}
COLLIDING = {"homeE": "11.7.1.2", "homeF": "11.8.1.2", "homeG": "11.9.1.2", "homeH": "11.10.1.2"}


def on(transport: str) -> list[str]:
    return [flag for each in listening(transport) for flag in ("--listen", each)]


async def kind_of_nat(peer: LabPeer) -> str:
    found: dict[str, Any] = await peer.call("state")
    return str(found["nat"]["udp"])


@pytest.mark.nat_set(6)
@TRIES
async def test_the_kind_of_nat_is_judged_anew_when_observers_disagree(number: int) -> None:
    """Two hosts behind one NAT use the same port: where the other was first, ours gets another port for that peer alone.
    The NAT keeps ports for four observers, and is symmetric in effect for the next four."""
    plans = [SitePlan(kind_named("b"), hosts=2), *(SitePlan(kind_named("open")) for _ in range(7))]
    with Lab(*plans) as lab:
        async with contextlib.AsyncExitStack() as stack:

            async def start(place: str) -> LabPeer:
                return await stack.enter_async_context(LabPeer(lab, place, "ours", *on("quic")))

            seen = {place: await start(place) for place in (*OBSERVERS, *COLLIDING)}
            other, peer = await start("homeA2"), await start("homeA")
            for place, ip in COLLIDING.items():
                await other.call("connect", addr=f"/ip4/{ip}/udp/4001/quic-v1/p2p/{seen[place].peer}")
            for place, ip in OBSERVERS.items():
                await peer.call("connect", addr=f"/ip4/{ip}/udp/4001/quic-v1/p2p/{seen[place].peer}")
            await peer.until(lambda state: state["counters"].get("observed.counted") == 4, "four observers")
            assert await kind_of_nat(peer) == "cone"
            for place, ip in COLLIDING.items():
                await peer.call("connect", addr=f"/ip4/{ip}/udp/4001/quic-v1/p2p/{seen[place].peer}")
            await peer.until(lambda state: state["counters"].get("observed.counted") == 8, "eight observers")
            assert await kind_of_nat(peer) == "symmetric"


@pytest.mark.nat_set(9)
@TRIES
@pytest.mark.parametrize("keepalive_s", [1.0, 60.0], ids=["often", "rarely"])
async def test_keepalives_hold_the_mapping(keepalive_s: float, number: int) -> None:
    """The NAT forgets after 2 s, after 3 s what was answered: with keepalives in time the relay still reaches us, else
    its packets find nobody. The mapping has another port each time, so that it does not come back by itself."""
    with Lab("b'") as lab:
        for name, seconds in (("udp_timeout", 2), ("udp_timeout_stream", 3)):
            path = f"/proc/sys/net/netfilter/nf_conntrack_{name}"
            lab.run("natA", "sh", "-c", f"echo {seconds} > {path}")
        far = str(60.0)
        async with (
            LabPeer(lab, RELAY, "ours", *on("quic"), "--keepalive", far) as relay,
            LabPeer(lab, "homeA", "ours", *on("quic"), "--keepalive", str(keepalive_s)) as home,
        ):
            await home.call("connect", addr=f"/ip4/{RELAY_IP}/udp/4001/quic-v1/p2p/{relay.peer}")
            assert await echoes(relay, home)
            with contextlib.suppress(TimeoutError):
                ended = await home.event("disconnected", within_s=7.0)
                pytest.fail(f"the connection ended: {ended}")
            if keepalive_s > 3:
                with pytest.raises(CommandFailed, match="echo"):
                    await relay.call("echo", peer=home.peer, bytes=100)
            else:
                assert await echoes(relay, home)
