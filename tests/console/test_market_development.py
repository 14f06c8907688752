"""`mesh market chain` and `mesh market facilitator` as processes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from mesh.console.application import run
from tests.development.world import BUYER, SELLER, make_chain, settle_body, signed

NONCE = bytes(range(32))


@asynccontextmanager
async def running(*words: str) -> AsyncIterator[dict[str, str]]:
    """What a verb of the market says before it is ready, by the first word of each line."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "mesh", "market", *words, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        said: dict[str, str] = {}
        async with asyncio.timeout(60):
            while (line := (await process.stdout.readline()).decode().strip()) != "ready":
                assert line, "ended before it was ready"
                said[line.partition(" ")[0]] = line.rpartition(" ")[2]
        yield said
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 30) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_payment_between_processes() -> None:
    body = settle_body(make_chain(), *signed(make_chain(), NONCE))
    async with (
        running("chain", "--listen", "127.0.0.1:0", "--fund", f"{BUYER.address}=5.5") as chain,
        running(
            "facilitator", "--listen", "127.0.0.1:0", "--ledger", chain["url"], "--fault", "down"
        ) as facilitator,
        httpx.AsyncClient(trust_env=False) as http,
    ):
        assert (chain["chain"], chain["token"]) == ("84532", facilitator["token"])
        assert (await http.post(f"{facilitator['url']}/settle", json=body)).status_code == 503
        done = (await http.post(f"{facilitator['url']}/settle", json=body)).json()
        assert done["success"], done
        ask = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "eth_getTransactionReceipt",
            "params": [done["transaction"]],
        }
        assert (await http.post(chain["url"], json=ask)).json()["result"]["status"] == "0x1"


@pytest.mark.parametrize(
    "words",
    [
        ("chain", "--listen", "0.0.0.0:0"),
        ("chain", "--fund", SELLER.address),
        ("chain", "--fund", "0x12=5"),
        ("chain", "--fund", f"{SELLER.address}=1.0000001"),
        ("chain", "--token", "nothing"),
        ("facilitator", "--fault", "nothing"),
        ("facilitator", "--listen", "nowhere"),
    ],
)
def test_what_cannot_be_meant_is_refused(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["market", *words]) == 2
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize(
    ("words", "module", "extra"),
    [
        (["market", "chain"], "eth", "chain"),
        (["market", "facilitator"], "coincurve", "market"),
        (["demo", "market"], "eth", "chain"),
    ],
)
def test_a_missing_extra_is_named(
    words: list[str],
    module: str,
    extra: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    assert run(words) == 3
    assert f"mesh[{extra}]" in capsys.readouterr().err
