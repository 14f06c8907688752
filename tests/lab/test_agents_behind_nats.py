"""Two agent daemons behind two NATs: they hear of each other through a relay of ours, which passes on what they announce,
talk both ways, wake a gateway, and go on after each of them was killed."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mesh.lab import Lab, SitePlan, kind_named
from mesh.lab.topology import RELAY, RELAY_IP
from tests.lab.agents import TOKEN, DaemonProcess, LabAgent, Settings

pytestmark = [pytest.mark.usefixtures("laboratory"), pytest.mark.timeout(300)]

DELAY_MS = 10.0
KINDS = ("port-restricted", "symmetric")
PROVEN = ("stored", "delivered", "invoked", "resumed", "answered")


@contextlib.asynccontextmanager
async def two_agents(lab: Lab, folder: Path) -> AsyncIterator[tuple[LabAgent, LabAgent]]:
    """Alice at home A and Bob at home B, with a relay that passes on the agent topics."""
    (folder / "relay").mkdir()
    serving = ("relay", "--topics", "agent", "--listen", "/ip4/0.0.0.0/tcp/4001")
    async with DaemonProcess(lab, RELAY, folder / "relay", *serving) as relay:
        settings: Settings = {"relay": {"relays": [f"/ip4/{RELAY_IP}/tcp/4001/p2p/{relay.peer}"]}}
        alice = LabAgent(lab, "homeA", folder / "alice", settings, "Alice")
        bob = LabAgent(lab, "homeB", folder / "bob", settings, "Bob")
        async with alice.running(), bob.running():
            yield alice, bob


async def test_they_meet_talk_wake_and_outlive_a_crash(tmp_path: Path) -> None:
    with Lab(*(SitePlan(kind_named(each), DELAY_MS) for each in KINDS)) as lab:
        async with two_agents(lab, tmp_path) as (alice, bob):
            for one, other in ((alice, bob), (bob, alice)):
                await one.hears_of(other, at="/p2p-circuit/")
                await one.until("agent", "status", holds=lambda told: told["isHealthy"])
            sent = {
                await asks(alice, bob, "ask: are you Bob?"): (alice, bob),
                await asks(bob, alice, "ask: are you Alice?"): (bob, alice),
            }
            assert set(await alice.connections_to(bob)) <= {"relayed"}
            sent[await reaches_after_a_crash(bob, alice, "Alice, are you back?")] = (bob, alice)
            sent[await reaches_after_a_crash(alice, bob, "Bob, are you back?")] = (alice, bob)
            sent[await waits_out_its_own_crash(alice, bob, "I was away.")] = (alice, bob)
            for message_id, (sender, receiver) in sent.items():
                await sender.why(message_id, "resumed", "answered")
                assert len(receiver.keys_of(message_id)) == 1
            assert await bob.received(alice) == [
                "ask: are you Bob?",
                "yes",
                "Bob, are you back?",
                "I was away.",
            ]
            assert await alice.received(bob) == ["yes", "ask: are you Alice?", "Alice, are you back?"]


async def asks(sender: LabAgent, receiver: LabAgent, question: str) -> str:
    """A question wakes the other agent, which confirms and answers it; the question's id."""
    message_id = str((await sender.send(receiver, question))["messageId"])
    way = await sender.why(message_id, "answered")
    signed = {step["what"]: step["signedBy"] for step in way["steps"]}
    assert {name: signed.get(name) for name in PROVEN} == dict.fromkeys(PROVEN, receiver.peer), way
    [inbound] = (await receiver.tells("agent", "why", message_id))["ways"]
    assert (inbound["direction"], inbound["peerId"]) == ("inbound", sender.peer)
    call = await receiver.waked(message_id)
    assert (call["path"], call["authorization"]) == ("/hooks/agent", f"Bearer {TOKEN}")
    text = call["text"]
    assert text.startswith("=== PEER CONTEXT (auto-injected by bsv-p2p daemon) ===\n\nPeer: ")
    for line in (
        f"({sender.peer})",
        "Status: online",
        "=== END PEER CONTEXT ===\n\n---\n",
        f"\n> {question}\n",
    ):
        assert line in text
    return message_id


async def reaches_after_a_crash(sender: LabAgent, receiver: LabAgent, text: str) -> str:
    """What is sent while the receiver is dead waits, and comes when it is back; the id."""
    await receiver.end(signal.SIGKILL)
    answer = await sender.send(receiver, text, wait_s=1.0)
    assert answer["state"] == "queued"
    await receiver.start()
    await sender.why(answer["messageId"], "resumed")
    return str(answer["messageId"])


async def waits_out_its_own_crash(sender: LabAgent, receiver: LabAgent, text: str) -> str:
    """What a sender has in its outbox when both are killed is there when both are back; the id."""
    await receiver.end(signal.SIGKILL)
    message_id = str((await sender.send(receiver, text, wait_s=0.0))["messageId"])
    await sender.end(signal.SIGKILL)
    await receiver.start()
    await sender.start()
    await sender.why(message_id, "resumed")
    return message_id
