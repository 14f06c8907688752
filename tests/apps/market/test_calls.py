"""Agents at work: here, bought for nothing from another node, in workflows; who works and what goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mesh.apps.market import work
from mesh.apps.market import workflows as runner
from mesh.apps.market.agents import Offer
from mesh.apps.market.agents_file import read_agents
from mesh.apps.market.calls import PurchaseFailed, UnknownAgent
from mesh.apps.market.market import Market
from mesh.apps.market.payments.till import WorkFailed
from mesh.apps.market.work import CallableWorker, CommandWorker, Function, HttpWorker, Task
from mesh.config import BlocksSection, GossipSection
from mesh.errors import ConfigError, LimitError, UsageError
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.node import Node
from mesh.protocols.market.listing import ListingMessage
from mesh.protocols.market.naming import node_did
from mesh.protocols.market.workflows import steps_of
from tests.apps.market.markets import Markets, join, shouting
from tests.apps.starts import noted_start, written
from tests.network.live import eventually

TASK = Task("what", "did:key:z", "p-1")
PYTHON = sys.executable


async def seen(buyer: Market, agent_id: str) -> None:
    await eventually(lambda: buyer.get(agent_id) is not None, "the listing")


async def test_a_node_without_what_the_marketplace_needs(markets: Markets) -> None:
    """It says so, and leaves nothing open."""
    whole = markets.config()
    for config in (
        replace(whole, gossip=GossipSection(enabled=False)),
        replace(whole, blocks=BlocksSection(enabled=False)),
    ):
        node = Node(config, memory=markets.memory)
        markets.push_async_callback(node.stop)
        await node.start()
        before = node.protocols
        with pytest.raises(UsageError, match=r"gossip\.enabled|blocks\.enabled"):
            async with Market(node, config, offered=[shouting()]):
                raise AssertionError
        assert node.protocols == before


async def test_a_free_agent_of_another_node(markets: Markets) -> None:
    seller, buyer = await markets.market(), await markets.market()
    agent = await seller.register(*shouting())
    await join(buyer, seller)
    await seen(buyer, agent.did)
    outcome = await buyer.execute(agent.did, "hello")
    assert outcome.output == "HELLO"
    assert outcome.purchase is not None
    assert outcome.purchase.amount == 0
    again = await buyer.execute(
        f"{seller.node.peer_id}/{agent.did}", "hello", purchase_id=outcome.purchase.id
    )
    assert again.output == "HELLO"
    own_did = node_did(buyer.node.key.public)
    bought = await buyer.sessions.get(agent.did, own_did)
    assert bought is not None
    assert bought.exchanges is not None
    assert (bought.exchanges[0].input, bought.exchanges[0].output) == ("hello", "HELLO")
    [sold] = await seller.sessions.of_agent(agent.did)
    assert sold.caller_id == own_did
    assert sold.exchanges is not None
    assert sold.exchanges[0].request_id == outcome.purchase.id


async def test_an_agent_of_this_node(markets: Markets) -> None:
    market = await markets.market()
    agent = await market.register(*shouting(price=5.0))
    outcome = await market.execute(agent.did, "hello")
    assert (outcome.output, outcome.purchase) == ("HELLO", None)
    assert (await market.execute(f"{market.node.peer_id}/{agent.did}", "you")).output == "YOU"
    session = await market.sessions.get(agent.did, "local")
    assert session is not None
    assert session.exchanges is not None
    assert [each.output for each in session.exchanges] == ["HELLO", "YOU"]
    assert session.exchanges[0].request_id.startswith("local-")


async def test_a_priced_agent_without_payments(markets: Markets) -> None:
    """A node without payments answers 2000; one that would buy pays nothing and says so."""
    seller, buyer = await markets.market(), await markets.market()
    agent = await seller.register(*shouting(price=0.5))
    await join(buyer, seller)
    await seen(buyer, agent.did)
    with pytest.raises(PurchaseFailed, match="refused") as failure:
        await buyer.execute(agent.did, "hello")
    assert failure.value.purchase.amount == 0
    assert not failure.value.purchase.state.open


async def test_what_cannot_be_executed(markets: Markets) -> None:
    market = await markets.market()
    agent = await market.register(*shouting())
    for text in ("", "x" * (1024 * 1024 + 1)):
        with pytest.raises(UsageError, match="task"):
            await market.execute(agent.did, text)
    with pytest.raises(UnknownAgent, match="agent not found: nobody"):
        await market.execute("nobody", "x")
    seller = PrivateKey.generate()
    stolen = ListingMessage("list", "did:key:zStolen", "n", 0.0, "", peer_of(seller))
    market.listings.take(stolen, "")
    with pytest.raises(UsageError, match="not its seller's"):
        await market.execute(stolen.agent_id, "x")


def peer_of(key: PrivateKey) -> str:
    return str(PeerId.from_public_key(key.public))


async def test_a_seller_that_is_gone(markets: Markets) -> None:
    seller, buyer = await markets.market(), await markets.market()
    agent = await seller.register(*shouting())
    await join(buyer, seller)
    await seen(buyer, agent.did)
    await markets.end(seller)
    with pytest.raises(PurchaseFailed):
        await buyer.execute(agent.did, "hello")


async def test_an_agent_that_fails_at_its_seller(markets: Markets) -> None:
    seller, buyer = await markets.market(settings={"work_timeout_s": 0.2}), await markets.market()

    def fail(text: str) -> str:
        raise RuntimeError("no " + text)

    async def sleep(text: str) -> str:
        await asyncio.sleep(60)
        return text

    failing = await seller.register(Offer("fail", ""), CallableWorker(fail))
    sleeping = await seller.register(Offer("sleep", ""), CallableWorker(sleep))
    await join(buyer, seller)
    await seen(buyer, failing.did)
    await seen(buyer, sleeping.did)
    with pytest.raises(PurchaseFailed, match="RuntimeError: no way"):
        await buyer.execute(failing.did, "way")
    with pytest.raises(PurchaseFailed, match=r"did not finish within 0\.2 s"):
        await buyer.execute(sleeping.did, "well")
    session = await seller.sessions.get(failing.did, node_did(buyer.node.key.public))
    assert session is not None
    assert session.exchanges is not None
    assert session.exchanges[0].error == "RuntimeError: no way"


async def test_a_workflow_of_two_agents_on_two_nodes(markets: Markets) -> None:
    first, second, buyer = [await markets.market() for _ in range(3)]
    shout = await first.register(*shouting())
    turn = await second.register(Offer("turn", ""), CallableWorker(lambda text: text[::-1]))
    for seller, agent in ((first, shout), (second, turn)):
        await join(buyer, seller)
        await seen(buyer, agent.did)
    flow = await buyer.workflows.create([shout.did, turn.did], "abc")
    assert flow.status == "pending"
    flow = await buyer.workflows.ended(flow.id)
    assert (flow.status, flow.output, flow.total_cost) == ("completed", "CBA", "")
    assert [each.input for each in steps_of(flow)] == ["abc", "ABC"]


async def test_a_workflow_that_fails_or_costs_too_much(markets: Markets) -> None:
    seller, buyer = await markets.market(), await markets.market()
    shout = await seller.register(*shouting())
    dear = await seller.register(*shouting("dear", 2.0))
    await join(buyer, seller)
    await seen(buyer, dear.did)
    flow = await buyer.workflows.create([shout.did, dear.did, shout.did], "abc", budget=1.5)
    flow = await buyer.workflows.ended(flow.id)
    assert [each.status for each in steps_of(flow)] == ["completed", "failed", "skipped"]
    assert "1500000 are left" in steps_of(flow)[1].error
    flow = await buyer.workflows.ended((await buyer.workflows.create(["nobody"], "abc")).id)
    assert steps_of(flow)[0].error == "agent not found: nobody"
    with pytest.raises(runner.UnknownWorkflow, match="workflow none not found"):
        buyer.workflows.get("none")
    with pytest.raises(UsageError):
        await buyer.workflows.cancel(flow.id)


async def test_a_workflow_is_cancelled_between_steps(markets: Markets) -> None:
    market = await markets.market()
    begun, go = asyncio.Event(), asyncio.Event()

    async def wait(text: str) -> str:
        begun.set()
        await go.wait()
        return text

    waiting = await market.register(Offer("wait", ""), CallableWorker(wait))
    shout = await market.register(*shouting())
    flow = await market.workflows.create([waiting.did, shout.did], "abc")
    await begun.wait()
    await market.workflows.cancel(flow.id)
    go.set()
    flow = await market.workflows.ended(flow.id)
    assert flow.status == "canceled"
    assert [each.status for each in steps_of(flow)] == ["completed", "skipped"]


async def test_a_workflow_goes_on_after_a_restart(markets: Markets, tmp_path: Path) -> None:
    key, seller = PrivateKey.generate(), await markets.market()
    stuck, runs = asyncio.Event(), []

    async def work(text: str) -> str:
        runs.append(text)
        if len(runs) == 1:
            stuck.set()
            await asyncio.sleep(60)
        return text + "!"

    shout = await seller.register(*shouting())
    slow = await seller.register(Offer("slow", ""), CallableWorker(work))
    buyer = await markets.market(key=key, folder=tmp_path)
    await join(buyer, seller)
    await seen(buyer, slow.did)
    flow = await buyer.workflows.create([shout.did, slow.did], "abc")
    await stuck.wait()
    await markets.end(buyer)
    again = await markets.market(key=key, folder=tmp_path)
    await join(again, seller)
    await eventually(lambda: again.workflows.get(flow.id).status == "completed", "the end")
    assert again.workflows.get(flow.id).output == "ABC!"
    assert runs == ["ABC", "ABC"]


# -- who works ---------------------------------------------------------------------------------------------------------


async def test_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await CommandWorker(["tr", "a-z", "A-Z"]).run(TASK, 100) == "WHAT"
    told = "import os,sys; print(os.environ['MARKET_CALLER'], os.environ['MARKET_PURCHASE_ID'], sorted(os.environ))"
    output = await CommandWorker([PYTHON, "-c", told]).run(TASK, 10_000)
    assert output.startswith("did:key:z p-1")
    assert "ETHEREUM_PRIVATE_KEY" not in output
    big = await CommandWorker(["cat"]).run(Task("x" * 900_000), 1_000_000)
    assert len(big) == 900_000
    assert await CommandWorker(["true"]).run(Task("x" * 900_000), 100) == ""


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["/nowhere/at/all"], "cannot be run"),
        (["sh", "-c", "echo first >&2; echo second >&2; exit 3"], "^second$"),
        (["false"], "ended with status 1"),
        (["cat", "/dev/zero"], "longer than 100 bytes"),
        (["sh", "-c", "kill -9 $$"], "status -9"),
    ],
)
async def test_commands_that_fail(arguments: list[str], reason: str) -> None:
    with pytest.raises(WorkFailed, match=reason):
        await CommandWorker(arguments).run(TASK, 100)


async def test_a_command_that_says_too_much_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    head = work._head

    async def late(pipe: asyncio.StreamReader, most: int) -> bytes:
        await eventually(lambda: pipe._paused, "a pipe that is full")  # type: ignore[attr-defined]
        return await head(pipe, most)

    monkeypatch.setattr(work, "_head", late)
    async with asyncio.timeout(30):
        with pytest.raises(WorkFailed, match="longer than 100 bytes"):
            await CommandWorker(["cat", "/dev/zero"]).run(TASK, 100)


@pytest.mark.parametrize("soon", [False, True], ids=["while it runs", "before its start is known"])
async def test_a_command_that_is_given_up_leaves_no_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, soon: bool
) -> None:
    """What it started itself is ended too."""
    mark = tmp_path / "pid"
    begun = noted_start(monkeypatch)
    worker = CommandWorker(["sh", "-c", f"sleep 300 & echo $! > {mark}; wait"])
    running = asyncio.create_task(worker.run(TASK, 100))
    await begun.wait()
    number = await written(mark, "\n", turns=not soon)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    child = Path(f"/proc/{number}/stat")
    await eventually(lambda: not child.exists() or " Z " in child.read_text(), "the end of the child")


async def test_functions() -> None:
    async def later(text: str) -> str:
        return text + text

    async def run(function: Function, most: int = 100) -> str:
        with contextlib.closing(CallableWorker(function)) as worker:
            return await worker.run(TASK, most)

    assert await run(later) == "whatwhat"
    assert await run(str.title) == "What"
    with pytest.raises(WorkFailed, match="gave a int, not text"):
        await run(len)  # type: ignore[arg-type]
    with pytest.raises(WorkFailed, match="longer than 3 bytes"):
        await run(str.title, 3)
    with pytest.raises(WorkFailed, match="ZeroDivisionError"):
        await run(lambda text: str(1 / 0))


async def _http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: bytes) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    size = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    body = await reader.readexactly(size)
    writer.write(answer.replace(b"BODY", body))
    await writer.drain()
    writer.close()


OK = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: "


@pytest.mark.parametrize(
    ("answer", "output"),
    [
        (OK + b'application/json\r\n\r\n{"output":"yes"}', "yes"),
        (OK + b'application/json\r\n\r\n{"other":1}', '{"other":1}'),
        (OK + b"text/plain\r\n\r\nplain", "plain"),
        (OK + b"text/plain\r\n\r\nBODY", '{"input":"what","caller":"did:key:z","purchaseId":"p-1"}'),
        (b"HTTP/1.1 500 Oh\r\nconnection: close\r\n\r\n", None),
        (OK + b"application/json\r\n\r\n{", None),
        (OK + b"application/json\r\n\r\n" + b"[" * 20_000, None),
        (OK + b"text/plain\r\n\r\n" + b"x" * 100_000, None),
        (b"nonsense\r\n\r\n", None),
        (b"", None),
    ],
)
async def test_endpoints(answer: bytes, output: str | None) -> None:
    server = await asyncio.start_server(lambda reader, writer: _http(reader, writer, answer), "127.0.0.1", 0)
    async with server:
        worker = HttpWorker(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/work")
        if output is None:
            with pytest.raises(WorkFailed):
                await worker.run(TASK, 50_000)
        else:
            assert await worker.run(TASK, 50_000) == output


# -- what may be offered -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "offer",
    [
        Offer("", ""),
        Offer(" x", ""),
        Offer("x" * 257, ""),
        Offer("a\nb", ""),
        Offer("x", "d" * 5000),
        Offer("x", "", -1.0),
        Offer("x", "", float("nan")),
        Offer("x", "", capabilities=("",)),
        Offer("x", "", capabilities=("c",) * 33),
    ],
)
async def test_what_cannot_be_offered(markets: Markets, offer: Offer) -> None:
    market = await markets.market()
    with pytest.raises(UsageError):
        await market.register(offer, CallableWorker(str))
    assert market.agents.all == []
    assert market.find() == []


async def test_workers_of_offers(markets: Markets) -> None:
    market = await markets.market(settings={"max_agents": 1})
    for offer in (
        Offer("x", ""),
        Offer("x", "", command=("a",), url="http://b"),
        Offer("x", "", url="file:///x"),
    ):
        with pytest.raises(ConfigError):
            await market.register(offer)
    await market.register(Offer("x", "", command=("cat",)))
    await market.register(Offer("x", "other", command=("cat",)))
    with pytest.raises(LimitError):
        await market.register(Offer("y", "", command=("cat",)))


def test_a_file_of_agents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "market_agents_of_a_test.py").write_text("def work(text):\n    return text * 2\n")
    file = tmp_path / "agents.toml"
    file.write_text(
        '[[agent]]\nname = "a"\nprice = 1\ncommand = ["cat"]\ncapabilities = ["c"]\n'
        '[[agent]]\nname = "b"\ndescription = "d"\npython = "market_agents_of_a_test:work"\n'
        '[[agent]]\nname = "c"\nurl = "http://127.0.0.1:1/"\n'
    )
    [(first, one), (second, two), (_, three)] = read_agents(file)
    assert first == Offer("a", "", 1.0, "", ("c",), ("cat",))
    assert second == Offer("b", "d")
    assert [type(each) for each in (one, two, three)] == [CommandWorker, CallableWorker, HttpWorker]
    assert replace(first, price=2.0).price == 2.0


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "a = 1",
        "agent = 1",
        "agent = [1]",
        "[[agent]]",
        '[[agent]]\nname = "a"',
        '[[agent]]\nname = "a"\nprize = 1\ncommand = ["cat"]',
        '[[agent]]\nname = 1\ncommand = ["cat"]',
        '[[agent]]\nname = "a"\ncommand = "cat"',
        '[[agent]]\nname = "a"\nprice = "1"\ncommand = ["cat"]',
        '[[agent]]\nname = "a"\nprice = -1\ncommand = ["cat"]',
        '[[agent]]\nname = "a"\npython = "os:no_such_thing"',
        '[[agent]]\nname = "a"\npython = "no_such_module_at_all"',
        '[[agent]]\nname = "a"\npython = "os:sep"',
        '[[agent]]\nname = "a"\npython = "os:getcwd"\ncommand = ["cat"]',
        '[[agent]]\nname = "a"\ncommand = ["cat"]\n[[agent]]\nname = "a"\ncommand = ["cat"]',
    ],
)
def test_files_that_are_no_agents(tmp_path: Path, text: str) -> None:
    file = tmp_path / "agents.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"agents\.toml"):
        read_agents(file)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_agents(tmp_path / "none.toml")
