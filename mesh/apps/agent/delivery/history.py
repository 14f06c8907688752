"""A message's whole way, put together from outbox or inbox, receipts and what was written down."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from mesh.apps.agent.delivery import proofs, steps
from mesh.apps.agent.records import DeliveryState, Direction
from mesh.apps.agent.way import Step, Way
from mesh.codecs.agent_delivery import Receipt, State
from mesh.identity.envelope import open_envelope
from mesh.protocols.agent_delivery.progress import PROVEN
from mesh.protocols.agent_delivery.receipts import DOMAIN, PAYLOAD_TYPE

Outlook = Callable[[str], tuple[str, int]]
"""Why the last attempt at a peer failed, and when the next one is; empty and 0 where there is nothing to say."""


def ways(database: sqlite3.Connection, message_id: str, own: str, outlook: Outlook) -> list[Way]:
    """The ways of messages with that id, at most 64."""
    sent = database.execute(
        "SELECT peer_id, state, size, attempts, failures, queued_ms, answers, leased_until FROM outbox "
        "WHERE message_id = ? LIMIT 32",
        (message_id,),
    ).fetchall()
    came = database.execute(
        "SELECT peer_id, state, size, stored_ms, repeats, resumptions, proven FROM inbox WHERE message_id = ? LIMIT 32",
        (message_id,),
    ).fetchall()
    return [
        *(_outbound(database, message_id, row, outlook) for row in sent),
        *(_inbound(database, message_id, row, own) for row in came),
    ]


def _outbound(
    database: sqlite3.Connection,
    message_id: str,
    row: tuple[str, str, int, int, int, int, str, int],
    outlook: Outlook,
) -> Way:
    peer_id, state, size, attempts, failures, queued_ms, answers, leased_until = row
    found = [Step(queued_ms, "queued", f"answers message {answers}" if answers else "")]
    found += steps.of(database, peer_id, message_id)
    found += [_receipt_step(envelope, peer_id) for envelope in proofs.kept(database, peer_id, message_id)]
    problem, next_try = outlook(peer_id) if state == DeliveryState.QUEUED else ("", 0)
    return Way(
        message_id,
        peer_id,
        Direction.OUTBOUND,
        DeliveryState(state),
        size,
        attempts,
        next_try,
        _outbound_wait(DeliveryState(state), failures, problem, leased_until),
        tuple(sorted(found, key=lambda step: step.at)),
    )


def _inbound(
    database: sqlite3.Connection, message_id: str, row: tuple[str, str, int, int, int, int, int], own: str
) -> Way:
    peer_id, state, size, stored_ms, repeats, resumptions, proven = row
    found = steps.of(database, peer_id, message_id)
    unknown = []
    for envelope, known_ms in proofs.given(database, peer_id, message_id):
        found.append(_receipt_step(envelope, own))
        if known_ms:
            found.append(Step(known_ms, "receipt acknowledged", f"the sender has that of {found[-1].what}"))
        else:
            unknown.append(found[-1].what)
    if not proven:
        found.insert(0, Step(stored_ms, "stored", "by the stock protocol, which has no receipts"))
    if repeats:
        found.append(Step(stored_ms, "repeated", f"came {repeats} more times; nothing was done then"))
    if resumptions > 1:
        found.append(Step(stored_ms, "resumed again", f"{resumptions - 1} more calls"))
    waits = f"the sender, to acknowledge the receipts of {', '.join(unknown)}" if unknown else ""
    in_order = tuple(sorted(found, key=lambda step: step.at))
    return Way(message_id, peer_id, Direction.INBOUND, DeliveryState(state), size, 0, 0, waits, in_order)


def _receipt_step(envelope: bytes, signer: str) -> Step:
    """What a receipt of the database says; it was verified before it came there."""
    receipt = Receipt.decode(open_envelope(envelope, DOMAIN, PAYLOAD_TYPE).payload)
    return Step(receipt.at_ms, PROVEN[State(receipt.state)], receipt.evidence, signer)


def _outbound_wait(state: DeliveryState, failures: int, problem: str, leased_until: int) -> str:
    waits = {
        DeliveryState.STORED: "the receiver, to hear that its receipt is durable here",
        DeliveryState.DELIVERED: "the receiver's hook or command, to answer",
        DeliveryState.INVOKED: "the receiver's agent, to say that it has the message",
        DeliveryState.RESUMED: "a reply that names the message",
        DeliveryState.DEAD: "somebody to have it tried again",
    }
    if state is not DeliveryState.QUEUED:
        return waits.get(state, "")
    if problem:
        return f"its receiver: {problem}"
    if leased_until:
        return "its receiver's answer; it is being handed over"
    return f"its turn, after {failures} failures" if failures else "its turn"
