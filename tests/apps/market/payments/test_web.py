"""Asking facilitator and ledger over HTTP: answers that are none cost an error, in time and within bounds."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from mesh.apps.market.payments import web
from mesh.apps.market.payments.facilitator import WebFacilitator
from mesh.apps.market.payments.ledger import RpcLedger
from mesh.apps.market.payments.web import WebService
from mesh.errors import ConfigError, NetworkError, TimedOut
from mesh.protocols.x402.messages import Payload, Requirements
from tests.protocols.x402.vectors import USDC

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def served(serve: Serve) -> AsyncIterator[str]:
    """A server that does with each connection what it is told."""
    ended: list[asyncio.Task[None]] = []

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        ended.append(task)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(one, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in ended:
            task.cancel()
        await asyncio.gather(*ended, return_exceptions=True)


async def request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """The head and the body of a request."""
    head = await reader.readuntil(b"\r\n\r\n")
    size = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    return head, await reader.readexactly(size)


def answering(answer: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(answer)
        await writer.drain()
        await reader.read()

    return serve


def with_body(body: bytes, status: str = "200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\ncontent-length: %d\r\n\r\n" % (status.encode(), len(body)) + body


async def test_json_there_and_back_over_one_connection() -> None:
    heads: list[bytes] = []
    lines = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal lines
        lines += 1
        while True:
            head, body = await request(reader)
            heads.append(head)
            writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n" % len(body) + body)
            writer.write(b"\r\n0\r\n\r\n")

    async with served(serve) as url, WebService(url + "/under/", "the service", 5) as service:
        for number in range(5):
            assert await service.post("/settle", b"[%d]" % number) == [number]
    assert lines == 1
    assert heads[0].startswith(b"POST /under/settle HTTP/1.1\r\n")


async def test_a_kept_connection_that_is_closed_is_replaced() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(with_body(b"1"))
        await writer.drain()

    async with served(serve) as url, WebService(url, "the service", 5) as service:
        assert [await service.post("", b"{}") for _ in range(4)] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (with_body(b"{}", "500 Internal Server Error"), "status 500"),
        (b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 2\r\n\r\n{}", "status 302"),
        (with_body(b"<html>"), "no JSON"),
        (with_body(b"[" * 200_000), "no JSON"),
        (with_body(b"\xff\xfe"), "no JSON"),
        (with_body(b" " * (web.MAX_ANSWER_BYTES + 1)), "more than"),
        (b"nonsense\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000, "not HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n{}", "no answer within"),
        (b"", "no answer within"),
    ],
)
async def test_what_is_no_answer(answer: bytes, reason: str) -> None:
    async with served(answering(answer)) as url, WebService(url, "the service", 1) as service:
        with pytest.raises(NetworkError, match=reason):
            await service.post("", b"{}")


async def test_brackets_end_no_process_whatever_the_limit_of_recursion() -> None:
    """Libraries raise that limit for the whole process: nesting is counted before anything is read."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)
    try:
        async with (
            served(answering(with_body(b"[" * web.MAX_ANSWER_BYTES))) as url,
            WebService(url, "the service", 5) as service,
        ):
            with pytest.raises(NetworkError, match="no JSON"):
                await service.post("", b"{}")
    finally:
        sys.setrecursionlimit(limit)


async def test_an_answer_without_end_is_cut_off() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b" " * 65536)
            await writer.drain()

    async with served(serve) as url, WebService(url, "the service", 20) as service:
        with pytest.raises(NetworkError, match="more than"):
            await service.post("", b"{}")


async def test_nobody_and_nothing() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)

    async with served(serve) as url:
        async with WebService(url, "the service", 5) as service:
            with pytest.raises(NetworkError, match="closed without an answer"):
                await service.post("", b"{}")
        with pytest.raises(NetworkError, match="not open"):
            await service.post("", b"{}")
    async with WebService(url, "the service", 5) as service:
        with pytest.raises(NetworkError, match="the service"):
            await service.post("", b"{}")


@pytest.mark.parametrize(
    "url", ["", "ftp://a", "http://", "http://a:99999", "127.0.0.1:80", "http://[", "file:///a"]
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(ConfigError, match="the service wants"):
        WebService(url, "the service", 5)


@pytest.mark.parametrize("url", ["http://a..b", "http://a b", "http://" + "x" * 300])
async def test_names_that_no_host_can_have(url: str) -> None:
    async with WebService(url, "the service", 5) as service:
        with pytest.raises(NetworkError, match="the service"):
            await service.post("", b"{}")


def rpc(results: dict[str, Any], changes: dict[str, Any] | None = None) -> Serve:
    """A node that answers each method with what it is told."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            _, body = await request(reader)
            asked = json.loads(body)
            answer = {"jsonrpc": "2.0", "id": asked["id"], "result": results.get(asked["method"])}
            if asked["method"] != "eth_chainId":
                answer |= changes or {}
            writer.write(with_body(json.dumps(answer).encode()))

    return serve


RIGHT: dict[str, Any] = {
    "eth_chainId": "0x14a34",
    "eth_getBlockByNumber": {"number": "0x10", "timestamp": "0x65"},
    "eth_call": "0x" + "00" * 31 + "01",
    "eth_getLogs": [{"transactionHash": "0x" + "ab" * 32}],
    "eth_getTransactionReceipt": {
        "transactionHash": "0x" + "ab" * 32,
        "status": "0x1",
        "blockNumber": "0x10",
        "logs": [{"address": "0x" + "11" * 20, "topics": ["0x" + "22" * 32], "data": "0x"}],
    },
    "eth_getBalance": "0x5",
}


async def everything(ledger: RpcLedger) -> list[Any]:
    return [
        await ledger.head(),
        await ledger.receipt(b"\xab" * 32),
        await ledger.authorization_state(b"\x01" * 20, b"\x02" * 32, 16),
        await ledger.authorization_transactions(b"\x01" * 20, b"\x02" * 32, 1),
        await ledger.token_balance(b"\x01" * 20),
        await ledger.balance(b"\x01" * 20),
    ]


async def test_a_ledger_is_read() -> None:
    async with served(rpc(RIGHT)) as url, RpcLedger(url, USDC) as ledger:
        head, receipt, used, transactions, units, wei = await everything(ledger)
    assert (head.number, head.time_s) == (16, 101)
    assert receipt.succeeded
    assert receipt.events[0].topics == (b"\x22" * 32,)
    assert (used, transactions, units, wei) == (True, [b"\xab" * 32], 1, 5)


RECEIPT = RIGHT["eth_getTransactionReceipt"]
WRONG: list[dict[str, Any]] = [
    {"eth_chainId": "0x1"},
    {"eth_chainId": 84532},
    {"eth_chainId": "0x"},
    {"eth_getBlockByNumber": None},
    {"eth_getBlockByNumber": {"number": "0x10"}},
    {"eth_getBlockByNumber": {"number": "-0x10", "timestamp": "0x1"}},
    {"eth_getBlockByNumber": {"number": "0x" + "f" * 70, "timestamp": "0x1"}},
    {"eth_call": "0x"},
    {"eth_call": "0x" + "00" * 31 + "02"},
    {"eth_call": None},
    {"eth_getLogs": {}},
    {"eth_getLogs": [{}] * 17},
    {"eth_getLogs": [{"transactionHash": "0xab"}]},
    {"eth_getTransactionReceipt": {**RECEIPT, "transactionHash": "0x" + "cd" * 32}},
    {"eth_getTransactionReceipt": {**RECEIPT, "logs": None}},
    {"eth_getTransactionReceipt": {**RECEIPT, "logs": [{"address": "0x1"}]}},
    {"eth_getTransactionReceipt": {**RECEIPT, "logs": [{**RECEIPT["logs"][0], "topics": ["0x1"]}]}},
    {"eth_getTransactionReceipt": {**RECEIPT, "logs": [{**RECEIPT["logs"][0], "data": "0x1"}]}},
    {"eth_getTransactionReceipt": {**RECEIPT, "status": None}},
    {"eth_getTransactionReceipt": [1]},
]


@pytest.mark.parametrize("change", WRONG, ids=lambda change: json.dumps(change)[:60])
async def test_a_ledger_that_answers_nonsense(change: dict[str, Any]) -> None:
    async with served(rpc({**RIGHT, **change})) as url, RpcLedger(url, USDC) as ledger:
        with pytest.raises(NetworkError, match="the ledger"):
            await everything(ledger)


@pytest.mark.parametrize("change", [{"id": 99}, {"error": {"code": -1, "message": "no"}}, {"error": "no"}])
async def test_a_ledger_that_refuses_or_answers_another_request(change: dict[str, Any]) -> None:
    async with served(rpc(RIGHT, change)) as url, RpcLedger(url, USDC) as ledger:
        with pytest.raises(NetworkError, match="the ledger"):
            await ledger.head()


async def test_a_recent_head_is_asked_for_once_in_a_while() -> None:
    now = 0.0
    results = dict(RIGHT)
    async with served(rpc(results)) as url, RpcLedger(url, USDC, lambda: now) as ledger:
        assert (await ledger.recent_head()).number == 16
        results["eth_getBlockByNumber"] = {"number": "0x11", "timestamp": "0x66"}
        assert (await ledger.recent_head()).number == 16
        assert (await ledger.head()).number == 17
        now = 3.0
        assert (await ledger.recent_head()).number == 17


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ({"success": True, "transaction": "0x" + "ab" * 32}, (True, b"\xab" * 32, "")),
        ({"success": False, "errorReason": "no", "errorMessage": "money"}, (False, None, "no: money")),
        ({"success": False, "invalidReason": "old"}, (False, None, "old")),
        ({"success": True, "transaction": ""}, (True, None, "")),
    ],
)
async def test_a_facilitators_answers(answer: dict[str, Any], found: tuple[bool, bytes | None, str]) -> None:
    body = with_body(json.dumps(answer).encode())
    async with served(answering(body)) as url, WebFacilitator(url) as facilitator:
        told = await facilitator.settle(Payload(), Requirements())
    assert (told.success, told.transaction, told.reason) == found


@pytest.mark.parametrize("answer", [b"[]", b"null", b"{}", b'{"success":"yes"}', b'{"success":1}'])
async def test_what_is_no_answer_of_a_facilitator(answer: bytes) -> None:
    async with served(answering(with_body(answer))) as url, WebFacilitator(url) as facilitator:
        with pytest.raises(NetworkError, match="without success"):
            await facilitator.settle(Payload(), Requirements())


async def test_a_facilitator_verifies() -> None:
    async with (
        served(answering(with_body(b'{"isValid":false,"invalidReason":"expired"}'))) as url,
        WebFacilitator(url) as facilitator,
    ):
        told = await facilitator.verify(Payload(), Requirements())
    assert (told.success, told.reason) == (False, "expired")


async def test_a_slow_service_is_given_up() -> None:
    async with served(answering(b"")) as url, WebService(url, "the service", 0.2) as service:
        with pytest.raises(TimedOut):
            await service.post("", b"{}")
