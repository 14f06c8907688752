"""The calls that were recorded of a stock node, put to our till: the recorded answers, but for a list of differences."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mesh.protocols.x402 import messages
from tests.apps.market.payments.conftest import BUYER_PEER, Market, Markets
from tests.protocols.x402.vectors import LIVE
from tests.vectors import load

CALLS: list[dict[str, Any]] = LIVE["x402"]
NOW = 1_795_199_409
AGENT = "did:key:z6Mkn9pM6KKYq36caNdECnb2viGjjru7vU5F8sts9bNcmYQV"
DIFFERENCES: dict[str, dict[str, str]] = load("x402", "betar_differences")
"""By the name of a call: each key of its answer that is another one, and why. `answer` is all of it."""
PREEMPTIVE_DIFFERENCES: dict[str, dict[str, str]] = load("x402_preemptive", "betar_differences")
"""The same where such payments are allowed. Where no recorded call shows it: the group `behaviour`."""


def challenge_nonces() -> list[str]:
    """The nonces that the recorded node drew, in their order; of the payments where its answers were left out."""
    found = []
    for call in CALLS:
        answer, asked = (
            json.loads(call["response_json"]),
            json.loads(call["request_json"] + "}" * (call["request_json"] == "{")),
        )
        nonce = answer.get("challenge_nonce")
        if nonce is None and call["request_type"] == messages.PAID_REQUEST and isinstance(asked, dict):
            nonce = asked["payment"]["server_nonce"]
        if nonce is not None and len(nonce) == 64 and nonce not in found and set(nonce) != {"0"}:
            found.append(nonce)
    return found


async def replay(market: Market) -> list[tuple[dict[str, Any], str, Any]]:
    """Every call with the answer of our till; a challenge that the recording left out is asked for first."""
    market.shop.prices = {AGENT: 1000}
    asked: set[str] = set()
    answers = []
    for call in CALLS:
        text = json.loads(call["request_json"]) if call["request_json"] not in ("{", "[]") else {}
        purchase = text.get("correlation_id", "")
        if call["request_type"] == messages.REQUEST:
            asked.add(purchase)
        elif (
            call["request_type"] == messages.PAID_REQUEST
            and purchase not in ("", "corr-04", "corr-21")
            and purchase not in asked
        ):
            asked.add(purchase)
            request = messages.Request("1.0", purchase, AGENT, "execute", body=b"{}")
            await market.till.answer(messages.REQUEST, request.write(), BUYER_PEER)
        kind, data = await market.till.answer(call["request_type"], call["request_json"].encode(), BUYER_PEER)
        answers.append((call, kind, json.loads(data)))
    return answers


def differences(call: dict[str, Any], kind: str, found: dict[str, Any]) -> set[str]:
    """The keys in which an answer is another than the recorded one; `answer` where it is of another kind."""
    recorded = json.loads(call["response_json"])
    if kind != call["response_type"] or found.get("error_code") != recorded.get("error_code"):
        return {"answer"}
    return {key for key in {*recorded, *found} if recorded.get(key) != found.get(key)}


@pytest.fixture
async def recorded_market(markets: Markets) -> Market:
    return await opened(markets, preemptive=False)


async def opened(markets: Markets, preemptive: bool) -> Market:
    nonces = iter(challenge_nonces())
    return await markets.open(
        clock=lambda: NOW, preemptive=preemptive, entropy=lambda size: bytes.fromhex(next(nonces))
    )


async def test_the_recorded_calls_get_the_recorded_answers(recorded_market: Market) -> None:
    found = {}
    for call, kind, answer in await replay(recorded_market):
        other = differences(call, kind, answer)
        if other:
            found[call["name"]] = other
    assert found == {name: set(reasons) for name, reasons in DIFFERENCES.items()}
    assert await recorded_market.paid() == 2000
    assert len(recorded_market.shop.done) == 2


async def test_with_preemptive_payments_allowed_there_are_fewer_differences(markets: Markets) -> None:
    market = await opened(markets, preemptive=True)
    found = {call["name"]: differences(call, kind, answer) for call, kind, answer in await replay(market)}
    wanted = {**DIFFERENCES, **PREEMPTIVE_DIFFERENCES, "pre-emptive payment replayed": {}}
    assert {name: other for name, other in found.items() if other} == {
        name: set(reasons) for name, reasons in wanted.items() if reasons
    }
    assert await market.paid() == 4000


async def test_a_facilitator_is_asked_as_the_recorded_one_but_for_v(recorded_market: Market) -> None:
    from mesh.apps.market.payments import facilitator

    bodies: list[bytes] = []
    write = facilitator.settle_body

    def kept(*arguments: Any) -> bytes:
        bodies.append(write(*arguments))
        return bodies[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(facilitator, "settle_body", kept)
        await replay(recorded_market)
    recorded = LIVE["facilitator"]["request"]["body"]
    signature = json.loads(recorded)["paymentPayload"]["payload"]["signature"]
    assert signature.endswith("01")
    assert bodies[0].decode() == recorded.replace(signature, signature[:-2] + "1c")
