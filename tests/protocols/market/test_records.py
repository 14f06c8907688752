"""Orders, sessions, workflows and cards: what follows from what."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mesh.errors import Malformed, UsageError
from mesh.go_json import write_instant
from mesh.protocols.market import workflows
from mesh.protocols.market.cards import AgentRegistration, Service, cards_of
from mesh.protocols.market.listing import Listing
from mesh.protocols.market.orders import (
    KeptOrder,
    OrderRefused,
    blank_order,
    create,
    judge_order,
    read_answer,
    with_status,
    write_order,
    write_refusal,
)
from mesh.protocols.market.sessions import (
    MAX_EXCHANGES,
    Exchange,
    Session,
    add_exchange,
    agent_prefix,
    new_session,
    session_key,
)
from mesh.protocols.market.workflows import StepPayment
from tests.vectors import load

NOW_NS = 1_800_000_000 * 10**9
FRAMES: dict[str, Any] = load("frames", "betar")["marketplace_1_0_0"]
BUYER, SELLER = FRAMES["client_peer_id"], FRAMES["server_peer_id"]
RECORDED = [case for case in FRAMES["cases"] if case["type"].startswith("order.")]


def answer(request: str, data: bytes, remote: str = BUYER, known: KeptOrder | None = None) -> bytes:
    try:
        kept = judge_order(request, data, remote, SELLER, 1_795_198_693, lambda order_id: known)
    except OrderRefused as refusal:
        return write_refusal(refusal.reason)
    assert kept.order is not None
    return write_order(kept.order)


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: case["name"][:30])
def test_recorded_orders(case: dict[str, str]) -> None:
    assert answer(case["type"], case["data_text"].encode()) == case["response_text"].encode()


def test_an_order_is_its_makers() -> None:
    order = blank_order("o-1", "did:key:z", BUYER, SELLER, 0.5, 1)
    made = judge_order("order.create", create(order).write(), BUYER, SELLER, 1, lambda _: None)
    assert (made.order, made.made_by) == (order, BUYER)
    assert read_answer(write_order(order)) == order
    assert b"belongs to another peer" in answer("order.cancel", b'{"orderId":"o-1"}', SELLER, made)
    assert b'"status":"cancelled"' in answer("order.cancel", b'{"orderId":"o-1"}', BUYER, made)
    ended = KeptOrder(with_status(order, "completed"), BUYER)
    assert b"o-1 is completed" in answer("order.accept", b'{"orderId":"o-1"}', BUYER, ended)


def test_answers_about_orders() -> None:
    with pytest.raises(OrderRefused, match="not today"):
        read_answer(write_refusal("not today"))
    with pytest.raises(Malformed, match="neither"):
        read_answer(b"{}")
    with pytest.raises(Malformed):
        read_answer(b"unknown message type: order.create")
    assert b"more than" in answer("order.create", b'{"orderId":"' + b"x" * 20000 + b'"}')


def test_sessions_keep_the_last_exchanges() -> None:
    session = new_session("id", "did:key:a/b", "12D3", NOW_NS)
    assert json.loads(session.write())["exchanges"] == []
    for number in range(MAX_EXCHANGES + 3):
        exchange = Exchange(f"r{number}", "x" * 20_000, "out", timestamp=write_instant(NOW_NS))
        session = add_exchange(session, exchange, NOW_NS + number)
    assert session.exchanges is not None
    assert len(session.exchanges) == MAX_EXCHANGES
    assert session.exchanges[-1].request_id == f"r{MAX_EXCHANGES + 2}"
    assert len(session.exchanges[0].input) == 16 * 1024
    assert Session.read(session.write()) == session
    assert session_key("did:key:a/b", "12D3") == "/sessions/ZGlkOmtleTphL2I/MTJEMw"
    assert session_key("a", "b").startswith(agent_prefix("a"))


def test_a_workflow_from_beginning_to_end() -> None:
    flow = workflows.new_workflow("w", ["a", "b"], "in", NOW_NS, 0.3)
    assert workflows.left(flow) == 300_000
    flow = workflows.begin_step(flow, 0, "in", NOW_NS)
    assert flow.status == workflows.RUNNING
    flow = workflows.finish_step(flow, 0, "mid", StepPayment("p", "100000", "0xab"), NOW_NS)
    assert (flow.total_cost, workflows.left(flow)) == ("0.1", 200_000)
    flow = workflows.finish_step(workflows.begin_step(flow, 1, "mid", NOW_NS), 1, "out", None, NOW_NS)
    assert (flow.status, flow.output, flow.completed_at) == ("completed", "out", write_instant(NOW_NS))
    assert workflows.Workflow.read(flow.write()) == flow
    with pytest.raises(UsageError, match="is completed"):
        workflows.cancel(flow, NOW_NS)


def test_a_failure_skips_the_rest() -> None:
    flow = workflows.new_workflow("w", ["a", "b", "c"], "in", NOW_NS, None)
    assert workflows.left(flow) is None
    flow = workflows.fail_step(workflows.begin_step(flow, 0, "in", NOW_NS), 0, "boom", NOW_NS)
    assert [each.status for each in workflows.steps_of(flow)] == ["failed", "skipped", "skipped"]
    assert flow.status == "failed"
    cancelled = workflows.cancel(workflows.new_workflow("w", ["a"], "in", NOW_NS, None), NOW_NS)
    assert [each.status for each in workflows.steps_of(cancelled)] == ["skipped"]


@pytest.mark.parametrize(
    ("agents", "text", "budget"),
    [([], "x", None), ([""], "x", None), (["a"] * 101, "x", None), (["a"], "", None), (["a"], "x", -1.0)],
)
def test_no_workflows(agents: list[str], text: str, budget: float | None) -> None:
    with pytest.raises(UsageError):
        workflows.new_workflow("w", agents, text, NOW_NS, budget)


def test_cards_and_metadata() -> None:
    [card] = cards_of([Listing("a", "n", 0.0, "", "12D3", ("/ip4/1.1.1.1/tcp/1",), ("/x402/libp2p/1.0.0",))])
    assert card.write() == (
        b'{"name":"n","url":"/ip4/1.1.1.1/tcp/1","skills":[{"id":"protocol-0","name":"/x402/libp2p/1.0.0"}]}'
    )
    assert cards_of([Listing("a", "n", 0.0, "", "12D3")])[0].write() == b'{"name":"n","url":"12D3"}'
    registration = AgentRegistration(name="n", services=(Service("s"),), active=True)
    assert registration.write() == (
        b'{"type":"Agent","name":"n","description":"","services":[{"name":"s"}],"x402Support":false,"active":true}'
    )
    assert b'"services":null' in AgentRegistration().write()
