"""The trace: one JSON object a line, as go-libp2p-pubsub writes it."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from mesh.codecs.gossip import Control, Graft, IDontWant, IHave, IWant, Prune, Rpc
from mesh.errors import StorageError
from mesh.identity.peer_id import PeerId
from mesh.services.gossip import Message, Verdict
from mesh.services.gossip.tracer import FIELDS
from tests.network.live import Nodes, eventually
from tests.services.gossip.network import HEARTBEAT_S, gossip_node, make_node, meshed, stranger, take


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def bodies(path: Path, name: str) -> list[dict[str, Any]]:
    """The events of a kind, without what all have."""
    return [line[name] for line in lines_of(path) if FIELDS[line["type"]] == name]


def b64(data: bytes | PeerId) -> str:
    return base64.b64encode(data if isinstance(data, bytes) else data.to_bytes()).decode()


def refuse(message: Message) -> Verdict:
    return {b"r": Verdict.REJECT, b"i": Verdict.IGNORE}.get(message.data[:1], Verdict.ACCEPT)


async def test_what_happens_is_written_as_go_writes_it(nodes: Nodes, tmp_path: Path) -> None:
    trace = tmp_path / "trace.json"
    node, other = await gossip_node(nodes, trace_file=trace), await stranger(nodes)
    topic = node.pubsub.join("x", validator=refuse)
    reader = topic.subscribe()
    await other.enter(node, "x")
    await meshed(topic)
    await topic.publish(b"own")
    fine, bad = other.message("x", b"fine"), other.message("x", b"fin")
    forged = bad[:-1] + bytes([bad[-1] ^ 1])
    await other.send(
        Rpc(publish=[fine, fine, forged, other.message("x", b"rejected"), other.message("x", b"ignored")])
    )
    (message,) = await take(reader, 1)
    await eventually(lambda: node.pubsub.counts()["ignored"], "the last message")
    await eventually(lambda: any(each.publish for each in other.received), "the own message sent")
    await topic.leave()
    await node.stop()
    own, theirs = b64(node.peer_id), b64(other.node.peer_id)
    assert all(each["peerID"] == own and each["timestamp"] > 1.6e18 for each in lines_of(trace))
    assert all(set(each) == {"type", "peerID", "timestamp", FIELDS[each["type"]]} for each in lines_of(trace))
    assert bodies(trace, "join") == bodies(trace, "leave") == [{"topic": "x"}]
    assert bodies(trace, "onNewOutboundStream") == [{"peerID": theirs, "proto": other.protocol}]
    assert bodies(trace, "onClosedOutboundStream") == [{"peerID": theirs}]
    assert bodies(trace, "graft") == bodies(trace, "prune") == [{"peerID": theirs, "topic": "x"}]
    (published,) = bodies(trace, "publishMessage")
    assert published["topic"] == "x"
    assert bodies(trace, "deliverMessage") == [
        {"messageID": b64(message.id), "topic": "x", "receivedFrom": theirs}
    ]
    assert bodies(trace, "duplicateMessage") == [
        {"messageID": b64(message.id), "receivedFrom": theirs, "topic": "x"}
    ]
    reasons = [each["reason"] for each in bodies(trace, "rejectMessage")]
    assert reasons == ["invalid signature", "validation failed", "validation ignored"]
    sent = [each["meta"] for each in bodies(trace, "sendRPC")]
    assert sent[0] == {"subscription": [{"subscribe": True, "topic": "x"}]}
    assert {"messages": [{"messageID": published["messageID"], "topic": "x"}]} in sent
    received = bodies(trace, "recvRPC")
    assert all(each["receivedFrom"] == theirs for each in received)
    assert [len(each["meta"].get("messages", ())) for each in received] == [0, 5]


async def test_control_is_traced_with_what_it_names(nodes: Nodes, tmp_path: Path) -> None:
    trace = tmp_path / "trace.json"
    node, other = await gossip_node(nodes, trace_file=trace), await stranger(nodes)
    await other.enter(node, "x")
    control = Control(
        ihave=[IHave("x", [b"id"])],
        iwant=[IWant([b"id"])],
        graft=[Graft("x")],
        prune=[Prune("x")],
        idontwant=[IDontWant([b"id"])],
    )
    await other.send(Rpc(control=control))
    await other.send(Rpc(control=Control(graft=[Graft("last")])))
    await eventually(lambda: trace.read_text().count('"last"'), "the trace")
    ids = {"messageIDs": [b64(b"id")]}
    assert {
        "ihave": [{"topic": "x", **ids}],
        "iwant": [ids],
        "graft": [{"topic": "x"}],
        "prune": [{"topic": "x"}],
        "idontwant": [ids],
    } in [each["meta"].get("control") for each in bodies(trace, "recvRPC")]


async def test_full_queues_are_traced(nodes: Nodes, tmp_path: Path) -> None:
    trace = tmp_path / "trace.json"
    node, other = (
        await gossip_node(nodes, trace_file=trace, publish_patience_s=HEARTBEAT_S),
        await stranger(nodes),
    )
    topic = node.pubsub.join("x")
    await other.enter(node, "x")
    await meshed(topic)
    other.reads.clear()
    for _ in range(80):
        await topic.publish(bytes(64 * 1024))
    await eventually(lambda: '"dropRPC"' in trace.read_text(), "a line of it")
    assert bodies(trace, "dropRPC")[0] == {"sendTo": b64(other.node.peer_id), "meta": {}}


async def test_a_trace_that_cannot_be_written_is_an_error_at_the_start(nodes: Nodes, tmp_path: Path) -> None:
    node = make_node(nodes, trace_file=tmp_path / "missing" / "trace.json")
    with pytest.raises(StorageError, match=r"trace\.json"):
        await node.start()
