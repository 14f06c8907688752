"""The dashboard in a real browser, served by a real agent that talks with another: no text becomes markup."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from mesh.api.agent_page import FILES
from mesh.api.agent_server import AgentApi
from mesh.apps.agent.agent import Agent
from mesh.apps.agent.records import Direction, MessageRecord, ServiceInfo
from mesh.apps.agent.store import address_book, message_log
from mesh.config import AgentSection, Config, GossipSection, NetworkSection
from mesh.node import Node
from tests.browser.chromium import Page, browser, found
from tests.network.live import PATIENCE_S, TCP, eventually

pytestmark = pytest.mark.skipif(
    found() is None, reason="THE DASHBOARD WAS NOT TESTED IN A BROWSER: chromium is not installed"
)

EVIL = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>\'"&lt;\u202egnp.exe\u200b'
WIDE = (
    "[...document.querySelectorAll('body *')].filter((each) => each.getBoundingClientRect().right > innerWidth)"
    ".map((each) => `${each.tagName}#${each.id}.${each.className}`).join(' ')"
)
CUT = (
    "[...document.querySelectorAll('button, input, textarea, nav a')].filter((each) => {"
    " const box = each.getBoundingClientRect();"
    " return each.offsetParent && !each.closest('.scroll') && (box.left < 0 || box.right > innerWidth); }).length"
)
PICTURES = os.environ.get("MESH_TEST_PICTURES", "")
"""Folder that screenshots are left in for people to look at."""


@dataclass
class World:
    """An agent with its API, a friend that it is connected to, and a tab that shows the dashboard."""

    agent: Agent
    friend: Agent
    api: AgentApi
    page: Page

    @property
    def friend_id(self) -> str:
        return str(self.friend.node.peer_id)

    async def open(self, width: int = 1280) -> None:
        await self.page.open(self.api.url + "/", width)
        await self.page.until("document.body.dataset.live === 'true'")

    async def talk(self) -> None:
        """Open the conversation with the friend."""
        await self.page.until(f"document.querySelector('[data-peer=\"{self.friend_id}\"]')")
        await self.page.value(f"document.querySelector('[data-peer=\"{self.friend_id}\"]').click()")
        await self.page.until("!document.getElementById('text').disabled")

    async def friend_has(self, content: str) -> None:
        """Wait until the friend has stored a message."""
        own = str(self.agent.node.peer_id)
        async with asyncio.timeout(PATIENCE_S):
            while True:
                last = await self.friend.store.read(lambda database: message_log.last(database, own, 5))
                if any(each.content == content for each in last):
                    return
                await asyncio.sleep(0.01)

    def is_clean(self) -> bool:
        """Nothing failed in the page, and it asked nobody but its API. A 503 of `/health` is the answer of a node that is
        not healthy yet; browsers write it down as a fault."""
        unhealthy = f"503 (Service Unavailable) {self.api.url.rstrip('/')}/health"
        assert [each for each in self.page.faults if not each.endswith(unhealthy)] == []
        assert all(each.startswith((self.api.url, "about:")) for each in self.page.asked), self.page.asked
        return True


def config(name: str, **agent: Any) -> Config:
    return Config(
        network=NetworkSection(listen=(TCP,)),
        gossip=GossipSection(enabled=True),
        agent=AgentSection(enabled=True, name=name, announce_interval_s=1.0, status_interval_s=1.0, **agent),
    )


@contextlib.asynccontextmanager
async def started(settings: Config) -> AsyncIterator[Agent]:
    async with Node(settings) as node, Agent(node, settings) as agent:
        yield agent


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chromium")


@pytest.fixture
async def devtools(profile: Path, tmp_path: Path) -> AsyncIterator[str]:
    async with browser(tmp_path) as url:
        yield url


@pytest.fixture
async def world(devtools: str) -> AsyncIterator[World]:
    async with (
        started(config("Alice")) as agent,
        started(config("Bob")) as friend,
        AgentApi(agent, "127.0.0.1:0") as api,
        Page(devtools) as page,
    ):
        await friend.register(ServiceInfo("poem", "Poems to order", 500, "bsv", "Four lines on any subject"))
        await agent.node.connect(friend.node.listen_addrs[0])
        yield World(agent, friend, api, page)


async def test_people_talk_through_it(world: World) -> None:
    await world.friend.send(str(world.agent.node.peer_id), "hello from Bob")
    await world.open()
    await world.page.until("document.querySelector('.badge')?.textContent === '1'")
    await world.talk()
    await world.page.until("document.querySelector('#thread .inbound p')?.textContent === 'hello from Bob'")
    await world.page.until("!document.querySelector('.badge')")
    await world.page.value("document.getElementById('text').focus()")
    await world.page.call("Input.insertText", text="hello from the page")
    await world.page.press("Enter", 13)
    await world.page.until(
        "document.querySelector('#thread .outbound p')?.textContent === 'hello from the page'"
    )
    own = str(world.agent.node.peer_id)
    await world.friend_has("hello from the page")
    await world.page.until(
        "/stored|delivered/.test(document.querySelector('#thread .outbound footer').textContent)"
    )
    await world.friend.send(own, "and back again")
    await world.page.until(
        "[...document.querySelectorAll('#thread .inbound p')].at(-1).textContent === 'and back again'"
    )
    assert await world.page.value("document.getElementById('text').value") == ""
    assert world.is_clean()


async def test_it_shows_who_is_there_and_how_the_node_does(world: World) -> None:
    await world.open()
    page, own = world.page, str(world.agent.node.peer_id)
    await page.until(f"document.getElementById('own-id').textContent === '{own}'")
    assert await page.value("document.getElementById('own-name').textContent") == "Alice"
    await page.until("document.querySelector('#peer-rows tr .dot.good')")
    await page.until("document.querySelector('#peer-rows')?.innerText.includes('Bob')")
    await page.until("document.getElementById('topology-caption').textContent.startsWith('1 connected')")
    await page.until("document.querySelectorAll('#topology circle').length === 2")
    await page.until(
        "document.getElementById('found-services').innerText.includes('Poems to order — 500 sats')"
    )
    await page.until("document.getElementById('health').innerText.includes('Connected peers')")
    await world.friend.send(own, "counted")
    await page.until("document.querySelector('#rates .in').getAttribute('d').includes(' 2')")
    assert world.is_clean()


async def test_services_are_offered_and_withdrawn(world: World) -> None:
    await world.open()
    await world.page.value(
        "(() => { const form = document.getElementById('offer'); form.id.value; "
        "form.elements.namedItem('id').value = 'sum'; form.elements.namedItem('name').value = 'Sums'; "
        "form.elements.namedItem('price').value = '7'; form.requestSubmit(); })()"
    )
    await world.page.until("document.getElementById('own-services').innerText.includes('Sums — 7 sats')")
    assert [each.id for each in world.agent.services] == ["sum"]
    await world.page.value("document.querySelector('#own-services button').click()")
    await world.page.until("document.getElementById('own-services').innerText.includes('None')")
    await eventually(lambda: not world.agent.services)
    assert world.is_clean()


async def test_nothing_that_peers_write_becomes_markup(world: World) -> None:
    """Names, tags, services, types and contents full of markup, on a page that would report any script of theirs."""
    evil = MessageRecord(0, world.friend_id, Direction.INBOUND, EVIL, EVIL[:100], 1, message_id=EVIL[:60])
    odd = MessageRecord(0, EVIL[:100], Direction.INBOUND, EVIL * 50, "text", 2)

    def work(database: Any) -> None:
        for each in (evil, odd):
            message_log.add(database, each)
        address_book.set_name(database, world.friend_id, EVIL, 1)
        address_book.set_tags(database, world.friend_id, [EVIL[:60], "<b>bold</b>"], 1)

    await world.agent.store.write(work)
    await world.agent.register(ServiceInfo(EVIL[:100], EVIL, 1, "<i>", EVIL))
    await world.friend.register(ServiceInfo(EVIL[:90], EVIL, 1, "<i>", EVIL))
    await world.open()
    await world.talk()
    await world.page.until(
        "document.querySelector('#thread .inbound p').textContent.startsWith('<img src=x')"
    )
    await world.page.until("document.getElementById('own-services').innerText.includes('<script>')")
    await world.page.until("document.getElementById('found-services').innerText.includes('<script>')")
    await world.page.until("document.getElementById('peer-rows').innerText.includes('<b>bold</b>')")
    await world.page.value("document.querySelectorAll('#conversations button')[1].click()")
    await world.page.until("document.querySelector('#thread-title').textContent.includes('<img')")
    assert await world.page.value("window.hacked") is None
    assert await world.page.value("document.querySelectorAll('img, b b, i, main script').length") == 0
    assert await world.page.value("/[\\u202e\\u200b]/.test(document.body.textContent)") is False
    assert world.is_clean()


async def test_a_policy_stands_against_scripts_all_the_same(world: World) -> None:
    await world.open()
    with pytest.raises(AssertionError, match="TrustedHTML"):
        await world.page.value("document.body.innerHTML = '<img src=x onerror=alert(1)>'")
    inline = "document.body.append(Object.assign(document.createElement('img'), {src: 'data:,'})); 1"
    assert await world.page.value(inline) == 1
    await eventually(lambda: any("Content Security Policy" in each for each in world.page.faults))
    async with httpx.AsyncClient(trust_env=False) as client:
        for name in ("", *(f"page/{each}" for each in FILES)):
            answer = await client.get(f"{world.api.url}/{name}")
            assert answer.status_code == 200
            assert "default-src 'none'" in answer.headers["content-security-policy"]
            assert answer.headers["x-content-type-options"] == "nosniff"
        for wrong in ("page/..%2fagent_page.py", "page/none.js", "page/%2e%2e/agent_page.py"):
            assert (await client.get(f"{world.api.url}/{wrong}")).status_code == 404


async def test_an_api_that_wants_its_token_is_given_it(devtools: str) -> None:
    async with (
        started(config("Alice", api_token="all")) as agent,
        AgentApi(agent, "127.0.0.1:0") as api,
        Page(devtools) as page,
    ):
        await page.open(api.url + "/")
        await page.until("!document.getElementById('login').hidden")
        assert await page.value("document.getElementById('own-id').textContent") == ""
        await page.value(
            f"document.getElementById('token').value = '{api.token}'; document.getElementById('login').requestSubmit()"
        )
        await page.until(f"document.getElementById('own-id').textContent === '{agent.node.peer_id}'")
        await page.until("document.body.dataset.live === 'true'")


@pytest.mark.parametrize("width", [1280, 390])
async def test_it_fits_the_window(world: World, width: int) -> None:
    """Nothing is wider than the window, nothing overlaps the header's links; a picture is left where one is wanted."""
    own = str(world.agent.node.peer_id)
    await fill(world)
    await world.friend.send(own, "Could you translate a page for me? " * 4)
    await world.agent.send(world.friend_id, "Gladly: 20 sats a page.")
    await world.open(width)
    await world.talk()
    await world.page.until("document.querySelectorAll('#thread .message').length >= 2")
    await world.page.until("document.querySelector('#found-services li button')")
    await world.page.until("document.querySelector('#topology line')")
    if PICTURES:
        picture = await world.page.picture()
        await asyncio.to_thread((Path(PICTURES) / f"dashboard-{width}.png").write_bytes, picture)
    assert await world.page.value("document.documentElement.scrollWidth") <= width, await world.page.value(
        WIDE
    )
    assert await world.page.value(CUT) == 0
    assert world.is_clean()


async def fill(world: World) -> None:
    """Some history and some peers that are not there now."""

    def work(database: Any) -> None:
        for number, name in enumerate(
            ["Carol", "Dave's archive", "weather-agent-with-a-rather-long-name", "Erin"]
        ):
            peer = f"12D3KooW{str(number + 2) * 44}"
            address_book.set_name(database, peer, name, 1_795_198_599_793)
            address_book.set_tags(database, peer, ["friend", "translator"][: number % 3], 1_795_198_599_793)
            record = MessageRecord(
                0, peer, Direction.INBOUND, f"Message of {name}", "text", 1_795_198_599_793
            )
            message_log.add(database, record)

    await world.agent.store.write(work)
