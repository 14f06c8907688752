"""The recorded exchanges of Go nodes, with our node in the place of either side."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest

from mesh.apps.lethean.carrier import MAX_MESSAGE_BYTES, Carrier
from mesh.apps.lethean.node import LetheanNode
from mesh.errors import Closed, DialError
from mesh.protocols.lethean.handshake import Own
from mesh.protocols.lethean.identity import NodeKey, answer_challenge
from mesh.protocols.lethean.peer import Peer
from tests.apps.lethean.live import ALICE, ALICE_ID, node, worker
from tests.apps.lethean.raw_client import raw_client, raw_listener
from tests.network.live import eventually
from tests.vectors import load

CREATED = "2026-01-02T03:04:05.6789Z"
BOB = Own(
    NodeKey(bytes.fromhex(load("identity", "lethean")[1]["private_key_hex"])),  # type: ignore[index]
    NodeKey(bytes.fromhex(load("identity", "lethean")[1]["private_key_hex"])).identity(  # type: ignore[index]
        "bob", CREATED, "worker"
    ),
)
ALICE_OWN = Own(NodeKey(ALICE), NodeKey(ALICE).identity("alice", CREATED, "controller"))
SERVER_CASES: list[dict[str, Any]] = load("handshake", "lethean")["go_server"]
CLIENT_CASES: list[dict[str, Any]] = load("handshake", "lethean")["go_client"]
WORKER_CASES: list[dict[str, Any]] = load("worker", "lethean")  # type: ignore[assignment]
STRICTER = {"claimed id does not match key: accepted", "empty id: accepted, not registered"}
"""What we refuse and Go does not, unless `lethean.compat` is on."""


def settled(text: str) -> str:
    """A message without what is fresh in it."""
    message = json.loads(text)
    message["id"] = message["ts"] = ""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"))


def known(of: LetheanNode) -> list[dict[str, Any]]:
    """The registry as the vectors tell it."""
    connected = of.registry.connected()
    return [
        {
            "address": peer.address,
            "connected": peer.id in connected,
            "id": peer.id,
            "name": peer.name,
            "score": peer.score,
        }
        for peer in of.registry.peers()
    ]


@pytest.mark.parametrize("compat", [True, False])
@pytest.mark.parametrize("case", SERVER_CASES, ids=lambda case: case["name"])
async def test_our_listener_answers_as_a_go_listener_did(case: dict[str, Any], compat: bool) -> None:
    name = case["name"]
    mode = "allowlist" if name.startswith("allowlist") else "open"
    allow = [ALICE_OWN.key.public_text] if name == "allowlist mode, key allowed" else []
    bob = node(BOB, compat=compat, mode=mode, allow=allow)
    if "id registered" in name:
        bob.registry.add(Peer(id=ALICE_ID, name="pre", public_key=ALICE_OWN.key.public_text), 0.0, CREATED)
    async with bob, raw_client(bob, ALICE_OWN) as client:
        sent = case["sent_text"].encode()
        if name == "over 1 MiB":
            sent = b"a" * (MAX_MESSAGE_BYTES + 1)
        await client.carrier.send(sent, text=case["sent_frame"] == "text")
        if case.get("closed_without_reply"):
            with pytest.raises(Closed):
                await client.clear()
            assert known(bob) == case["registry_after"] == []
            return
        answer = (await client.carrier.receive()).decode()
        if name in STRICTER and not compat:
            assert json.loads(answer)["payload"]["reason"] == "peer not authorized"
            await client.until_ended()
            assert len(bob.registry) == 0
            return
        assert settled(answer) == settled(case["reply_text"])
        if case["then"] != "no more data":
            await client.until_ended()
            assert bob.counters["lethean.handshake:refused"] == 1
            assert known(bob) == case["registry_after"] == []
            return
        if not compat:
            assert not bob.links
            await client.send("ping")
        await eventually(lambda: bob.links, "the peer to be proven, or to be believed")
        assert known(bob) == case["registry_after"]


@pytest.mark.parametrize("case", CLIENT_CASES, ids=lambda case: case["name"])
async def test_our_dialler_sends_and_judges_as_a_go_dialler_did(case: dict[str, Any]) -> None:
    name, heard = case["name"], []

    async def serve(carrier: Carrier) -> None:
        asked = (await carrier.receive()).decode()
        heard.append(asked)
        if name == "closed":
            carrier.end()
            return
        challenge = json.loads(asked)["payload"]["challenge"]
        secret = BOB.key.shared_secret(ALICE_OWN.key.public_text)
        proof = answer_challenge(secret, base64.b64decode(challenge))
        if name == "bad challenge response":
            proof = bytes(32)
        ack: dict[str, Any] = {
            "identity": json.loads(BOB.identity.encode()),
            "challengeResponse": base64.b64encode(proof).decode(),
            "accepted": True,
        }
        if name == "no challenge response":
            del ack["challengeResponse"]
        if name == "rejected":
            ack = {"identity": ack["identity"], "accepted": False, "reason": "peer not authorized"}
        type = "pong" if name == "wrong type" else "handshake_ack"
        answer = {
            "id": "1",
            "type": type,
            "from": BOB.identity.id,
            "to": ALICE_ID,
            "ts": CREATED,
            "payload": ack,
        }
        await carrier.send(json.dumps(answer).encode(), text=True)
        await carrier.receive()

    async with raw_listener(serve) as address, node(ALICE_OWN, listen="off") as alice:
        if case["error"] is None:
            link = await alice.connect(address)
            assert link.peer.id == BOB.identity.id
            entries = {(each["id"], each["name"]) for each in case["registry_after"]}
            assert {(each["id"], each["name"]) for each in known(alice)} == entries
            assert (
                link.session.password == base64.b64encode(bytes.fromhex(case["shared_secret_hex"])).decode()
            )
        else:
            with pytest.raises(DialError) as failed:
                await alice.connect(address)
            cause = case["error"].rpartition("performHandshake: ")[2]
            if name not in ("closed",):
                assert cause in str(failed.value)
    ours, theirs = json.loads(heard[0]), json.loads(case["go_sent_text"])
    for message in (ours, theirs):
        message["payload"]["challenge"] = message["to"] = ""
    assert settled(json.dumps(ours)) == settled(json.dumps(theirs))


@pytest.mark.parametrize("managed", [False, True])
async def test_a_worker_of_ours_answers_as_a_go_worker_did(tmp_path: Path, managed: bool) -> None:
    """Each recorded request over a connection, in order; its answer to the byte, but for its id and its times."""
    made = worker(BOB, tmp_path, managed=managed)
    async with node(BOB, answering=made) as bob, raw_client(bob, ALICE_OWN) as client:
        await client.shake()
        for case in WORKER_CASES:
            if case["managers_configured"] is not managed:
                continue
            asked = client.message(case["request_type"], id=case["request_id"])
            asked.raw = json.dumps(case["request_payload"])
            await client.carrier.send(client.sealed(asked))
            if case["response_type"] is None:
                ping = await client.send("ping")
                assert (await client.receive()).reply_to == ping.id
                continue
            answer = await client.receive()
            assert answer.type == case["response_type"]
            assert (answer.sender, answer.receiver) == (case["response_from"], case["response_to"])
            assert answer.reply_to == case["response_replyTo"]
            recorded = json.dumps(case["response_payload"], ensure_ascii=False, separators=(",", ":"))
            assert timeless(answer.raw or "") == timeless(recorded)
    made._deployments.close()


def timeless(text: str) -> str:
    """Without times, and without what Go's JSON parser says of a text that is none."""
    return re.sub(r'("receivedAt":|"uptime":(?=\d+}$)|invalid profile data JSON: ).*', r"\1", text)


async def test_recorded_containers_are_answered() -> None:
    """Each recorded message of alice, byte for byte as Go sealed it, reaches bob's handler."""
    messages: list[dict[str, Any]] = load("messages", "lethean")  # type: ignore[assignment]
    async with node(BOB) as bob, raw_client(bob, ALICE_OWN) as client:
        await client.shake()
        for case in messages:
            await client.carrier.send(base64.b64decode(case["container_base64"]))
        await client.send("ping", id="last")
        client.carrier.end()
        await client.until_ended()
        await eventually(lambda: not bob.connections, "the end of the link")
        assert bob.counters["lethean.taken"] == len(messages) + 1
        assert bob.counters.total("lethean.dropped") == 0
