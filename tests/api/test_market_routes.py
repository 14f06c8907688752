"""The marketplace's API on a live node: the real node's routes, and that nothing is spent or registered without token."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from mesh.api.market_page import FILES
from mesh.api.market_server import MarketApi, make_market_application
from mesh.apps.market.market import Market
from mesh.errors import UsageError
from tests.apps.market.markets import Markets, join, shouting
from tests.network.live import eventually, nothing_left

LOOKS = {"GET", "HEAD"}


@dataclass
class Rig:
    """A marketplace, its API, and who calls it from loopback; ``bearer`` are the headers of who has the token."""

    markets: Markets
    market: Market
    api: MarketApi
    caller: httpx.AsyncClient

    @property
    def bearer(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.api.token}"}

    async def ask(
        self, method: str, path: str, body: Any = None, status: int = 200, token: bool = True
    ) -> Any:
        """The answer's JSON, or its text where it is an error, after a look at its status."""
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        headers = self.bearer if token else {}
        answer = await self.caller.request(method, path, content=data, headers=headers)
        assert answer.status_code == status, answer.text
        assert answer.text.endswith("\n")
        return answer.json() if status == 200 else answer.text.rstrip("\n")


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with nothing_left(), Markets() as markets:
        market = await markets.market(settings={"api_origins": ("https://pages.example",)})
        async with (
            MarketApi(market, "127.0.0.1:0", tmp_path) as api,
            httpx.AsyncClient(base_url=api.url, trust_env=False, timeout=10) as caller,
        ):
            yield Rig(markets, market, api, caller)


def routes(market: Market) -> list[tuple[str, str]]:
    """Method and path of all that an application serves."""
    paths = make_market_application(market).openapi()["paths"]
    return [(method.upper(), path) for path, operations in paths.items() for method in operations]


async def test_no_route_spends_or_registers_without_the_token(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every route that is there is asked without a token, with a wrong one, and with one that is not a bearer's; whatever
    costs, commits or changes something in the marketplace is watched."""
    done: list[str] = []
    watched = {
        rig.market: ("register", "withdraw", "execute"),
        rig.market.calls: ("execute",),
        rig.market.calls.purse: ("buy", "reconcile"),
        rig.market.orders: ("create", "answer"),
        rig.market.workflows: ("create", "cancel"),
        rig.market.agents: ("add", "remove", "run"),
    }
    for part, names in watched.items():
        for name in names:

            async def spent(*given: Any, _name: str = name, **named: Any) -> None:
                done.append(_name)
                raise UsageError("spent")

            monkeypatch.setattr(part, name, spent)
    asked = 0
    bodies = [
        b"",
        b"{}",
        b'{"agentId":"a","input":"x","agentIds":["a"],"name":"n","command":["cat"],"price":1}',
    ]
    for method, template in routes(rig.market):
        path = template.replace("{agent_id}", "a").replace("{caller_id}", "b").replace("{workflow_id}", "w")
        for headers in ({}, {"authorization": "Bearer x"}, {"authorization": rig.api.token}):
            for body in bodies:
                answer = await rig.caller.request(method, path, content=body, headers=headers)
                asked += 1
                if method not in LOOKS:
                    assert answer.status_code == 401, (method, path)
                    assert "market.token" in answer.text
    assert done == []
    assert asked == 9 * len(routes(rig.market)) >= 9 * 22
    for method, path in (("POST", "/agents/a/execute"), ("POST", "/orders"), ("POST", "/workflows")):
        await rig.caller.request(method, path, content=bodies[2], headers=rig.bearer)
    assert len(done) == 3, "with the token they are reached"


async def test_every_route_that_is_no_look_is_a_known_one(rig: Rig) -> None:
    """A new one has to be thought of here, and whether it needs more than the token."""
    assert {each for each in routes(rig.market) if each[0] not in LOOKS} == {
        ("POST", "/agents"),
        ("DELETE", "/agents/{agent_id}"),
        ("POST", "/agents/{agent_id}/execute"),
        ("POST", "/orders"),
        ("POST", "/workflows"),
        ("DELETE", "/workflows/{workflow_id}"),
    }


async def test_no_wildcard_and_no_foreign_page(rig: Rig) -> None:
    for origin in ("https://evil.example", "null"):
        for method, path in (("GET", "/agents"), ("POST", "/agents"), ("OPTIONS", "/agents")):
            answer = await rig.caller.request(method, path, headers={**rig.bearer, "origin": origin})
            assert answer.status_code == 403
            assert "access-control-allow-origin" not in answer.headers
    named = {"origin": "https://pages.example"}
    answer = await rig.caller.get("/agents", headers=named)
    assert answer.headers["access-control-allow-origin"] == "https://pages.example"
    assert (await rig.caller.options("/agents", headers=named)).status_code == 204
    assert (await rig.caller.post("/agents", headers=named)).status_code == 401
    assert (await rig.caller.get("/agents", headers={"host": "evil.example"})).status_code == 403
    plain = await rig.caller.get("/agents")
    assert "access-control-allow-origin" not in plain.headers


async def test_the_token_is_in_the_data_folder(rig: Rig, tmp_path: Path) -> None:
    file = tmp_path / MarketApi.token_file
    assert file.read_text().strip() == rig.api.token
    assert file.stat().st_mode & 0o077 == 0
    assert json.loads((tmp_path / MarketApi.note_file).read_text())["url"] == rig.api.url
    assert rig.api.token not in str(os.environ)


async def test_agents_from_registering_to_withdrawing(rig: Rig) -> None:
    peer = rig.market.node.peer_id
    assert await rig.ask("GET", "/agents", token=False) == []
    assert await rig.ask("GET", "/.well-known/agent.json", token=False) is None
    body = b'{"NAME":"up","description":"d","price":0.5,"command":["tr","a-z","A-Z"],"services":[{"name":"text"}],"x":1}'
    made = await rig.ask("POST", "/agents", body)
    assert made["id"] == f"{peer}/{made['agentID']}"
    assert list(made) == [
        "id",
        "name",
        "description",
        "price",
        "metadataCID",
        "agentID",
        "status",
        "createdAt",
    ]
    assert await rig.ask("GET", "/agents/local", token=False) == [made]
    [listed] = await rig.ask("GET", "/agents", token=False)
    assert (listed["id"], listed["price"], listed["sellerId"]) == (made["agentID"], 0.5, str(peer))
    [found] = await rig.ask("GET", "/listings?text=UP&capability=text&verified=true&sort=price", token=False)
    assert (found["verified"], found["trust"], found["listing"]) == (True, "signed", listed)
    assert (await rig.ask("GET", f"/listings/{made['agentID']}", token=False))["listing"] == listed
    [card] = await rig.ask("GET", "/.well-known/agent.json", token=False)
    assert card["skills"] == [{"id": "protocol-0", "name": "/x402/libp2p/1.0.0"}]
    done = await rig.ask("POST", f"/agents/{made['agentID']}/execute", {"input": "hello"})
    assert done == {"output": "HELLO"}
    [session] = await rig.ask("GET", f"/sessions/{made['agentID']}", token=False)
    assert session["callerId"] == "local"
    assert await rig.ask("GET", f"/sessions/{made['agentID']}/local", token=False) == session
    assert await rig.ask("DELETE", f"/agents/{made['agentID']}") == made
    assert await rig.ask("GET", "/agents", token=False) == []


async def test_an_agent_of_another_node(rig: Rig) -> None:
    seller = await rig.markets.market()
    agent = await seller.register(*shouting())
    await join(rig.market, seller)
    await eventually(lambda: rig.market.get(agent.did), "the listing")
    done = await rig.ask("POST", f"/agents/{agent.did}/execute", {"input": "hello", "limit": 0.5})
    assert done["output"] == "HELLO"
    again = await rig.ask(
        "POST", f"/agents/{agent.did}/execute", {"input": "hello", "purchaseId": done["purchaseId"]}
    )
    assert again == done
    [bought] = await rig.ask("GET", "/purchases", token=False)
    assert (bought["id"], bought["state"], bought["amount"]) == (done["purchaseId"], "delivered", "0")
    assert await rig.ask("GET", "/sales", token=False) == []
    [peer] = await rig.ask("GET", "/peers", token=False)
    assert peer["id"] == str(seller.node.peer_id)
    order = await rig.ask("POST", "/orders", {"agentId": agent.did, "price": 0.5})
    assert await rig.ask("GET", "/orders", token=False) == [order]
    assert [each.order_id for each in seller.orders.all] == [order["orderId"]]
    flow = await rig.ask(
        "POST", "/workflows", {"agentIds": [agent.did, agent.did], "input": "a", "budget": 1}
    )
    assert (flow["status"], flow["budget"]) == ("pending", "1")
    await rig.market.workflows.ended(flow["id"])
    flow = await rig.ask("GET", f"/workflows/{flow['id']}", token=False)
    assert (flow["status"], flow["output"]) == ("completed", "A")
    assert await rig.ask("GET", "/workflows", token=False) == [flow]


async def test_this_node(rig: Rig) -> None:
    assert await rig.ask("GET", "/health", token=False) == {"status": "ok"}
    status = await rig.ask("GET", "/status", token=False)
    assert list(status) == ["peerId", "addresses", "connectedPeers", "walletAddress", "dataDir"]
    assert status["peerId"] == str(rig.market.node.peer_id)
    assert (status["walletAddress"], status["connectedPeers"]) == ("", 0)
    assert await rig.ask("GET", "/peers", token=False) == []


REFUSED = [
    ("GET", "/wallet/balance", None, 503, "payments are off: set market.rpc_url"),
    ("GET", "/agents/reputation/x", None, 400, "invalid tokenId"),
    ("GET", "/agents/reputation/1", None, 503, "this node asks no registry of reputation"),
    ("POST", "/agents", b"{", 400, "invalid request: unexpected end of JSON input"),
    ("POST", "/agents", b'{"name":"x"}', 400, "the agent 'x' has either a command or an endpoint (url)"),
    ("POST", "/agents", b'{"command":["cat"]}', 400, None),
    ("POST", "/agents", b'{"name":1}', 400, None),
    ("POST", "/agents/nobody/execute", b"[]", 400, None),
    ("POST", "/agents/nobody/execute", b'{"input":"x"}', 500, "execution failed: agent not found: nobody"),
    ("POST", "/agents/nobody/execute", b'{"input":"x","limit":-1}', 500, None),
    ("POST", "/orders", b"{}", 400, "agentId is required"),
    ("POST", "/orders", b'{"agentId":"a","price":-1}', 400, None),
    ("POST", "/orders", b"[" * 1000, 400, None),
    ("POST", "/workflows", b'{"agentIds":["a"]}', 400, None),
    ("POST", "/workflows", b'{"agentIds":[],"input":"x"}', 400, None),
    ("POST", "/workflows", b'{"agentIds":["a"],"input":"x","budget":-1}', 400, None),
    ("GET", "/workflows/none", None, 404, "workflow none not found"),
    ("DELETE", "/workflows/none", None, 404, "workflow none not found"),
    ("DELETE", "/agents/none", None, 400, "this node has no agent none"),
    ("GET", "/sessions/a/b", None, 404, "session not found"),
    ("GET", "/listings/none", None, 404, "agent not found: none"),
    ("GET", "/listings?sort=size", None, 400, None),
    ("GET", "/listings?max_price=x", None, 400, None),
    ("GET", "/agents/a%2Fb/execute", None, 404, "404 page not found"),
    ("GET", "/nothing", None, 404, "404 page not found"),
    ("PUT", "/agents", b"{}", 404, "404 page not found"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "text"), REFUSED)
async def test_refusals(
    rig: Rig, method: str, path: str, body: bytes | None, status: int, text: str | None
) -> None:
    told = await rig.ask(method, path, body, status)
    assert text in (None, told)
    assert [*rig.market.agents.all, *rig.market.orders.all, *rig.market.workflows.all] == []


async def test_the_page_and_its_parts(rig: Rig) -> None:
    page = await rig.caller.get("/dashboard")
    assert page.status_code == 200
    assert "script-src 'self'" in page.headers["content-security-policy"]
    for name in FILES:
        part = await rig.caller.get(f"/dashboard/{name}")
        assert part.status_code == 200
        assert part.headers["x-content-type-options"] == "nosniff"
    for name in ("..%2fpage%2fmain.js", "main.js", ""):
        assert (await rig.caller.get(f"/dashboard/{name}")).status_code == 404
