"""The marketplace's page in a real browser: what is on offer is shown, as text, at both widths."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mesh.api.market_server import MarketApi
from tests.apps.market.markets import Markets, join, shouting
from tests.browser.chromium import Page, browser, found
from tests.network.live import eventually

pytestmark = pytest.mark.skipif(
    found() is None, reason="THE MARKETPLACE'S PAGE WAS NOT TESTED IN A BROWSER: chromium is not installed"
)

EVIL = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'
WIDE = (
    "[...document.querySelectorAll('body *')].some((each) => each.getBoundingClientRect().right > innerWidth)"
)
PICTURES = os.environ.get("MESH_TEST_PICTURES", "")


@pytest.mark.parametrize("width", [1280, 390])
async def test_what_is_on_offer(tmp_path: Path, width: int) -> None:
    async with Markets() as markets, browser(tmp_path) as devtools:
        market, other = await markets.market(), await markets.market()
        await join(market, other)
        await market.register(*shouting("shout"))
        sold = await other.register(*shouting(EVIL, price=2.5))
        await eventually(lambda: len(market.all_listings()) == 2, "both listings")
        async with MarketApi(market, "127.0.0.1:0") as api, Page(devtools) as page:
            await page.open(api.url + "/dashboard", width)
            await page.until("document.querySelectorAll('#agents li .price').length === 2")
            shown = str(await page.value("document.getElementById('agents').textContent"))
            assert EVIL in shown
            assert "2.5 USDC" in shown
            assert "free" in shown
            assert str(market.node.peer_id) in str(await page.value("document.body.textContent"))
            assert await page.value("document.querySelectorAll('#own li .price').length") == 1
            assert not await page.value(WIDE)
            assert not await page.value("window.hacked")
            assert page.faults == []
            assert all(each.startswith((api.url, "about:")) for each in page.asked), page.asked
            if PICTURES:
                (Path(PICTURES) / f"market-{width}.png").write_bytes(await page.picture())
            await other.withdraw(sold.did)
            await page.until("document.querySelectorAll('#agents li .price').length === 1")
