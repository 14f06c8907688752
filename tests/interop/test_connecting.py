"""Connecting and identifying in both directions, with every type of key on either side."""

from __future__ import annotations

import pytest

from mesh import __version__
from mesh.codecs.keys import KeyType
from mesh.errors import DialError
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.network.connection import Connection
from mesh.node import Node
from mesh.services.identify import PeerInfo
from tests.interop.peers import DIRECTIONS, SECURITY, GoPeer, meet
from tests.network.live import Nodes, eventually
from tools.interop_peers.process import Answer, CommandFailed

pytestmark = pytest.mark.interop

KEY_TYPES = {"ed25519": "Ed25519", "secp256k1": "Secp256k1", "ecdsa": "ECDSA", "rsa": "RSA"}
"""What the Go peer calls each type on its command line and in its answers."""
GO_PROTOCOLS = frozenset(
    {
        "/count/1.0.0",
        "/echo/1.0.0",
        "/ipfs/id/1.0.0",
        "/ipfs/id/push/1.0.0",
        "/ipfs/ping/1.0.0",
        "/perf/1.0.0",
    }
)


PROTOCOLS = {"noise": "/noise", "tls": "/tls/1.0.0"}
PAIRS = [("noise", ours, theirs) for ours in KEY_TYPES for theirs in KEY_TYPES] + [
    ("tls", ours, theirs) for ours, theirs in zip(KEY_TYPES, reversed(KEY_TYPES), strict=True)
]
"""Every pair over Noise; over TLS, where either end's key is proven by itself, each type on each end."""


def new_key(name: str) -> PrivateKey:
    return PrivateKey.generate(KeyType[name.upper()])


def without_peer(address: object) -> str:
    return str(address).rpartition("/p2p/")[0]


def check_what_we_learned(connection: Connection, go: GoPeer) -> None:
    """Our view of the Go peer after identify."""
    info = connection.remote_info
    assert isinstance(info, PeerInfo)
    assert str(info.peer) == go.peer == str(connection.peer)
    assert PeerId.from_public_key(connection.remote_key) == connection.peer
    assert info.agent_version.startswith("go-libp2p/v0.")
    assert frozenset(info.protocols) == GO_PROTOCOLS
    assert connection.remote_protocols == GO_PROTOCOLS
    assert [str(each) for each in info.listen_addrs] == [without_peer(each) for each in go.addresses]
    assert info.observed_addr == connection.local
    assert info.signed_record
    assert info.record_seq > 0


def check_what_go_learned(told: Answer, event: Answer, node: Node, connection: Connection) -> None:
    """The Go peer's view of our node: its event, and what its peerstore answers."""
    addresses = [without_peer(each) for each in node.listen_addrs]
    for view in (event, told):
        assert view["peer"] == str(node.peer_id)
        assert sorted(view["protocols"]) == node.protocols
        assert view["agent"] == f"mesh/{__version__}"
        assert view["protocol_version"] == node.config.identify.protocol_version
        assert view["signed_record"] is True
        assert set(addresses) <= set(view["addrs"])
    assert event["addrs"] == addresses
    assert event["observed_addr"] == str(connection.remote)


async def check_both_ways(
    node: Node, go: GoPeer, security: str, our_key: str, go_key: str, *, we_dial: bool
) -> None:
    connection = await meet(node, go, we_dial=we_dial)
    assert (connection.security, connection.muxer) == (security, "yamux")
    agreed = await go.call("connect", addr=str(node.listen_addrs[0]))
    assert agreed["dialed"] is False
    assert agreed["early_muxer"] is connection.early_muxer is True
    assert (agreed["security"], agreed["muxer"]) == (PROTOCOLS[security], "/yamux/1.0.0")
    assert connection.remote_key.type is KeyType[go_key.upper()]
    check_what_we_learned(connection, go)
    told = await go.about(node)
    assert told["key_type"] == KEY_TYPES[our_key]
    check_what_go_learned(told, await go.identified_us(node), node, connection)
    assert [each async for each in node.ping(connection, count=100, interval_s=0)].count(None) == 0
    pinged = await go.call("ping", peer=str(node.peer_id), count=100)
    assert (pinged["count"], pinged["lost"]) == (100, 0)
    assert (await go.call("close", peer=str(node.peer_id)))["closed"] == 1
    await eventually(lambda: not node.connections, "the end of the connection")


@pytest.mark.parametrize(("security", "our_key", "go_key"), PAIRS)
async def test_every_pair_of_key_types_meets_in_both_directions(
    nodes: Nodes, security: str, our_key: str, go_key: str
) -> None:
    async with GoPeer("--security", security, "--key", go_key) as go:
        for we_dial in (True, False):
            node = await nodes.start(key=new_key(our_key))
            await check_both_ways(node, go, security, our_key, go_key, we_dial=we_dial)


@pytest.mark.both_loops
@SECURITY
@DIRECTIONS
async def test_both_loops_connect_and_identify(nodes: Nodes, security: str, we_dial: bool) -> None:
    node = await nodes.start(key=new_key("ed25519"))
    async with GoPeer("--security", security) as go:
        await check_both_ways(node, go, security, "ed25519", "ed25519", we_dial=we_dial)


@pytest.mark.parametrize("ours", [("noise", "tls"), ("tls", "noise"), ("tls",)], ids="-".join)
@DIRECTIONS
async def test_the_dialer_has_the_choice(nodes: Nodes, ours: tuple[str, ...], we_dial: bool) -> None:
    """Where both ends speak both; go prefers TLS."""
    node = await nodes.start(security=ours)
    async with GoPeer("--security", "both") as go:
        connection = await meet(node, go, we_dial=we_dial)
        assert connection.security == (ours[0] if we_dial else "tls")
        assert connection.early_muxer


@SECURITY
@DIRECTIONS
async def test_muxer_is_negotiated_on_the_secured_connection_when_not_in_the_handshake(
    nodes: Nodes, security: str, we_dial: bool
) -> None:
    node = await nodes.start()
    async with GoPeer("--security", security, "--no-early-muxer") as go:
        connection = await meet(node, go, we_dial=we_dial)
        agreed = await go.call("connect", addr=str(node.listen_addrs[0]))
        assert agreed["early_muxer"] is connection.early_muxer is False
        assert agreed["muxer"] == "/yamux/1.0.0"
        check_what_we_learned(connection, go)
        assert [each async for each in node.ping(connection, count=10, interval_s=0)].count(None) == 0


async def test_asking_again_tells_the_same(nodes: Nodes, go: GoPeer) -> None:
    node = await nodes.start()
    connection = await meet(node, go)
    assert await node.identify(connection) == connection.remote_info


@SECURITY
async def test_wrong_peer_id_in_the_address_is_refused(nodes: Nodes, security: str) -> None:
    node = await nodes.start(security=(security,))
    stranger = PeerId.from_public_key(new_key("ed25519").public)
    async with GoPeer("--security", security) as go:
        with pytest.raises(DialError, match=f"{security}: dialled {stranger} but {go.peer} answered"):
            await node.connect(f"{without_peer(go.address)}/p2p/{stranger}")
        assert not node.connections
        await meet(node, go)


@SECURITY
async def test_a_peer_that_speaks_nothing_of_ours_says_so(nodes: Nodes, security: str) -> None:
    other = "noise" if security == "tls" else "tls"
    node = await nodes.start(security=(other,))
    async with GoPeer("--security", security) as go:
        with pytest.raises(DialError, match="the peer supports none of"):
            await node.connect(go.address)
        with pytest.raises(CommandFailed):
            await go.call("connect", addr=str(node.listen_addrs[0]))
    assert not node.connections


async def test_protocol_handled_after_connecting_is_pushed(nodes: Nodes, go: GoPeer) -> None:
    node = await nodes.start()
    await meet(node, go)
    told_before = len(go.events)

    @node.protocol("/later/1.0.0")
    async def later(stream: object) -> None:
        """Never opened here."""

    event = await go.identified_us(node, after=told_before)
    assert "/later/1.0.0" in event["protocols"]
    assert event["signed_record"] is True
    assert "/later/1.0.0" in (await go.about(node))["protocols"]
    told_before = len(go.events)
    node.unhandle("/later/1.0.0")
    event = await go.identified_us(node, after=told_before)
    assert sorted(event["protocols"]) == node.protocols
