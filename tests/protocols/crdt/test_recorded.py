"""Every recorded step of two original replicas, by two of ours: nodes, broadcasts, heads, values, whole stores."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from typing import Any

from mesh.codecs.crdt import Broadcast, Delta, Element
from mesh.ipld.block import Block
from mesh.multiformats.cid import Cid
from mesh.protocols.crdt.delta import make_block, read_block
from mesh.protocols.crdt.replica import read_broadcast, write_broadcast
from mesh.protocols.crdt.values import Mapping
from tests.protocols.crdt.network import Host
from tests.vectors import load

RECORDED: dict[str, Any] = load("crdt", "betar")
NODES = {each["cid"]: each for each in RECORDED["nodes"]}
VERSION = {"key": "/marketplace/crdt_version", "value_hex": "02"}


class Ordered(Mapping):
    """Deletes in the order that the original's store happened to have; receivers do not care."""

    def removal(self, key: str) -> list[Element]:
        return sorted(super().removal(key), key=lambda each: ORDER.index((key, each.id)))


ORDER = [(each["key"], each["id"]) for node in RECORDED["nodes"] for each in node["delta"]["tombstones"]]


def key_of(name: str) -> str:
    return "/agents/" + urlsafe_b64encode(name.encode()).decode().rstrip("=")


def test_nodes_both_ways() -> None:
    for case in RECORDED["nodes"]:
        block = Block.verified(Cid.parse(case["cid"]), bytes.fromhex(case["node_hex"]))
        change = read_block(block)
        assert change.height == case["delta"]["priority"]
        assert [str(each) for each in change.links] == case["links"]
        assert change.delta.encode() == bytes.fromhex(case["delta_hex"])
        assert make_block(change.delta, change.links).data == block.data


def test_broadcasts_and_deltas_both_ways() -> None:
    for case in [*RECORDED["encodings"], *RECORDED["newer_encodings"]]:
        data = bytes.fromhex(case["hex"])
        if case["kind"] == "delta":
            assert Delta.decode(data).encode() == data
            assert Delta.decode(data).dag_name == case.get("dag_name", "")
        else:
            heads = read_broadcast(data)
            assert [str(each) for each in heads] == case["heads"]
            assert Broadcast.decode(data).encode() == data
            if not case.get("dag_name"):
                assert write_broadcast(heads) == data


def test_a_bare_cid_of_old_versions() -> None:
    for case in RECORDED["bare_cid_broadcasts"]:
        host = Host()
        host.replica.receive(bytes.fromhex(case["hex"]), b"peer", 0.0)
        followed = not case["protobuf_error"]
        assert host.replica.counts["heads_followed"] == followed
        assert host.replica.counts["broadcasts_refused"] == (not followed)


def test_every_step_of_two_replicas() -> None:
    hosts = {name: Host(namespace="/marketplace") for name in "AB"}
    for host in hosts.values():
        replica = host.replica
        replica._mapping = Ordered(replica._draft, replica._layout)
    for step in RECORDED["steps"]:
        host = hosts[step.get("replica") or step["to"]]
        if step["op"] == "deliver":
            host.hear(bytes.fromhex(step["broadcast_hex"]), hosts[step["from"]])
            host.hear(b"")
        else:
            host.sent.clear()
            made = act(host, step)
            host.settle()
            assert made == ([step["node_cid"]] if step["node_cid"] else [])
            assert [each.hex() for each in host.sent] == (step["broadcast_hex"] or [])
        assert sorted(map(str, host.replica.heads)) == sorted(step["heads_after"])
        assert {key: value.decode() for key, value in host.mapping.items()} == step["state_after"]
    for name, host in hosts.items():
        assert [VERSION, *host.dump()] == sorted(
            RECORDED[f"datastore_{name}"], key=lambda each: (each != VERSION, each["key"])
        )
        assert set(map(str, host.replica.heads)) == set(RECORDED["final_heads"])
        assert not host.replica.behind


def act(host: Host, step: dict[str, Any]) -> list[str]:
    """Do what a local step says, with the value that its recorded node holds."""
    node = NODES.get(step["node_cid"] or "")
    values = {each["key"]: each["value_text"].encode() for each in node["delta"]["elements"]} if node else {}
    words = step["op"].removeprefix("batch: ").split(", ")
    changes = []
    for word in words:
        verb, name = word.split(" ")
        changes.append((key_of(name), values[key_of(name)] if verb == "put" else None))
    if step["op"].startswith("batch"):
        return list(map(str, host.replica.batch(changes)))
    key, value = changes[0]
    made = host.replica.delete(key) if value is None else host.replica.put(key, value)
    return [str(made)] if made else []
