"""`python -m tools.bench.payments`: what a paid call costs beside HTTP to facilitator and chain, and beside the work.

*Added* is the time from `Purse.buy` to its end with buyer and seller in one process, where facilitator and ledger answer
at once: frames, JSON, checks, two signatures and two recoveries, the commits of both stores. *Seller* is the CPU of a
process that sells over a real connection, asking a facilitator and a chain over real HTTP (a stand-in in a process of its
own, which answers from a table); buyers have signed before the clock starts.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final

import uvloop

from mesh.apps.market.frames import FrameService, exchange
from mesh.apps.market.payments.facilitator import WebFacilitator
from mesh.apps.market.payments.ledger import RpcLedger
from mesh.apps.market.payments.purse import Purse
from mesh.apps.market.payments.rules import USDC
from mesh.apps.market.payments.store import FILE_NAME, PaymentStore
from mesh.apps.market.payments.till import Till
from mesh.apps.market.payments.wallet import Wallet
from mesh.codecs.market import Frame
from mesh.config import Config, NetworkSection
from mesh.identity.peer_id import PeerId
from mesh.node import Node
from mesh.protocols.market import PAID_PROTOCOL_ID
from mesh.protocols.x402 import messages
from mesh.protocols.x402.amounts import read_hex
from mesh.protocols.x402.buyer import envelope_for
from mesh.protocols.x402.evidence import TRANSFER_TOPIC, USED_TOPIC, Event, Head, TransactionReceipt
from mesh.protocols.x402.records import PurchaseState
from mesh.protocols.x402.seller import Body
from mesh.protocols.x402.steps import SettleAnswer
from mesh.protocols.x402.typed_data import Authorization, Token, authorization_digest

TOKEN: Final = Token(84532, USDC[84532])
SELLER: Final = Wallet(b"\x22" * 32)
BUYER: Final = Wallet(b"\x11" * 32)
PEER: Final = PeerId(bytes.fromhex("0024080112200b") + bytes(31))
PRICE: Final = 1000
RESOURCE: Final = "agent"
PROMISED_ADDED_MS: Final = 5.0
PROMISED_CALLS: Final = 200


class Bench:
    """Sells nothing for a price."""

    def price(self, resource: str) -> int | None:
        return PRICE if resource == RESOURCE else None

    async def run(self, resource: str, input_text: str, caller: str, purchase_id: str) -> str:
        return "done"


class Tables:
    """A chain and a facilitator that answer at once."""

    def __init__(self) -> None:
        self.receipts: dict[bytes, TransactionReceipt] = {}
        self.used: set[bytes] = set()

    def transfer(self, payer: bytes, payee: bytes, amount: int, nonce: bytes) -> bytes:
        """Settle, whatever the signature; the transaction."""
        transaction = hashlib.sha256(payer + nonce).digest()
        wide = payer.rjust(32, b"\0")
        events = (
            Event(TOKEN.address, (USED_TOPIC, wide, nonce), b""),
            Event(
                TOKEN.address,
                (TRANSFER_TOPIC, wide, payee.rjust(32, b"\0")),
                amount.to_bytes(32, "big"),
            ),
        )
        self.receipts[transaction] = TransactionReceipt(transaction, True, 1, events)
        self.used.add(nonce)
        return transaction

    # -- as a ledger and a facilitator in this process ---------------------------------------------------------------

    async def chain_id(self) -> int:
        return TOKEN.chain_id

    async def head(self) -> Head:
        return Head(1, int(time.time()))

    async def recent_head(self) -> Head:
        return await self.head()

    async def receipt(self, transaction: bytes) -> TransactionReceipt | None:
        return self.receipts.get(transaction)

    async def authorization_state(self, payer: bytes, nonce: bytes, block: int) -> bool:
        return nonce in self.used

    async def authorization_transactions(
        self, payer: bytes, nonce: bytes, since_block: int
    ) -> Sequence[bytes]:
        return [hashlib.sha256(payer + nonce).digest()]

    async def token_balance(self, address: bytes) -> int:
        return 0

    async def balance(self, address: bytes) -> int:
        return 0

    async def verify(self, payment: messages.Payload, requirements: messages.Requirements) -> SettleAnswer:
        return SettleAnswer(True, None, "")

    async def settle(self, payment: messages.Payload, requirements: messages.Requirements) -> SettleAnswer:
        text = payment.authorization
        transaction = self.transfer(
            read_hex(text.payer, 20, "from"),
            read_hex(text.payee, 20, "to"),
            int(text.value),
            read_hex(text.nonce, 32, "nonce"),
        )
        return SettleAnswer(True, transaction, "")


# -- added time ------------------------------------------------------------------------------------------------------


async def added(calls: int) -> list[float]:
    """Milliseconds of each paid call, both sides in this process."""
    tables = Tables()
    with tempfile.TemporaryDirectory(prefix="mesh-bench-") as folder:
        async with (
            PaymentStore(Path(folder) / "seller" / FILE_NAME) as sold,
            PaymentStore(Path(folder) / "buyer" / FILE_NAME) as bought,
            Till(Bench(), sold, TOKEN, wallet=SELLER, ledger=tables, facilitator=tables) as till,
        ):
            purse = Purse(bought, TOKEN, wallet=BUYER, ledger=tables)

            async def put(kind: str, data: bytes) -> tuple[str, bytes]:
                return await till.answer(kind, data, PEER)

            spent = []
            for _ in range(calls):
                started = time.perf_counter()
                purchase = await purse.buy(PEER, RESOURCE, "2+2", PRICE, put)
                spent.append(1000 * (time.perf_counter() - started))
                if purchase.state is not PurchaseState.DELIVERED:
                    raise SystemExit(f"a purchase ended {purchase.state.value}: {purchase.reason}")
    return spent


async def disk(commits: int) -> float:
    """Milliseconds, in the median, of a commit that waits for the disk; a paid call waits for two."""
    with tempfile.TemporaryDirectory(prefix="mesh-bench-") as folder:
        async with PaymentStore(Path(folder) / FILE_NAME) as store:
            await store.run(lambda database: database.execute("CREATE TABLE t (a)").rowcount)
            spent = []
            for _ in range(commits):
                started = time.perf_counter()
                await store.run(lambda database: database.execute("INSERT INTO t VALUES (1)").rowcount, True)
                spent.append(1000 * (time.perf_counter() - started))
    return statistics.median(spent)


# -- the seller's CPU ------------------------------------------------------------------------------------------------


async def stand_in() -> None:
    """Facilitator and chain over HTTP: `/settle`, and JSON-RPC at any other path."""
    tables = Tables()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                size = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
                asked = json.loads(await reader.readexactly(size))
                settles = head.startswith(b"post /settle")
                answer = await (_settled(tables, asked) if settles else _told(tables, asked))
                body = json.dumps(answer).encode()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def _settled(tables: Tables, asked: Any) -> dict[str, Any]:
    read = messages.FacilitatorRequest.read(json.dumps(asked).encode())
    answer = await tables.settle(read.payment.payload, read.requirements)
    assert answer.transaction is not None
    return {"success": True, "transaction": "0x" + answer.transaction.hex()}


async def _told(tables: Tables, asked: Any) -> dict[str, Any]:
    method, parameters = asked["method"], asked["params"]
    result: Any = hex(TOKEN.chain_id)
    if method == "eth_getBlockByNumber":
        result = {"number": "0x1", "timestamp": hex(int(time.time()))}
    elif method == "eth_getTransactionReceipt":
        receipt = tables.receipts[bytes.fromhex(parameters[0][2:])]
        logs = [
            {
                "address": "0x" + event.address.hex(),
                "topics": ["0x" + topic.hex() for topic in event.topics],
                "data": "0x" + event.data.hex(),
            }
            for event in receipt.events
        ]
        result = {
            "transactionHash": "0x" + receipt.transaction.hex(),
            "status": "0x1",
            "blockNumber": "0x1",
            "logs": logs,
        }
    return {"jsonrpc": "2.0", "id": asked["id"], "result": result}


async def sell(url: str) -> None:
    """The seller's process: tells its address, then its CPU seconds for each line that it is sent."""
    with tempfile.TemporaryDirectory(prefix="mesh-bench-") as folder:
        config = Config(network=NetworkSection(listen=("/ip4/127.0.0.1/tcp/0",)))
        async with (
            PaymentStore(Path(folder) / FILE_NAME) as store,
            RpcLedger(url, TOKEN) as ledger,
            WebFacilitator(url) as facilitator,
            Till(Bench(), store, TOKEN, wallet=SELLER, ledger=ledger, facilitator=facilitator) as till,
            Node(config) as node,
        ):

            async def answer(kind: str, data: bytes, remote: PeerId) -> Frame:
                return Frame(*await till.answer(kind, data, remote))

            node.handle(PAID_PROTOCOL_ID, FrameService("market.paid", answer, node.counters).serve)
            print(f"{node.listen_addrs[0]}/p2p/{node.peer_id}", flush=True)
            loop = asyncio.get_running_loop()
            while await loop.run_in_executor(None, sys.stdin.readline):
                used = resource.getrusage(resource.RUSAGE_SELF)
                print(used.ru_utime + used.ru_stime, flush=True)


class Seller:
    """The seller's process, seen from the buyers'."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def line(self) -> str:
        assert self._process.stdout is not None
        return (await self._process.stdout.readline()).decode().strip()

    async def cpu_s(self) -> float:
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        await self._process.stdin.drain()
        return float(await self.line())


@contextlib.asynccontextmanager
async def running(*arguments: str) -> AsyncIterator[Seller]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tools.bench.payments",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Seller(process)
    finally:
        process.kill()
        await process.wait()


async def sellers_cpu(calls: int, at_once: int) -> tuple[float, float, float]:
    """Milliseconds of the seller's CPU for a challenge and for a payment, and calls a second by the clock."""
    async with running("--stand-in") as service, running("--sell", await service.line()) as seller:
        address = await seller.line()
        async with Node(Config(network=NetworkSection(listen=()))) as node:
            peer = PeerId.parse(address.rpartition("/p2p/")[2])
            await node.connect(address)
            turns = asyncio.Semaphore(at_once)

            async def put(kind: str, data: bytes) -> Frame:
                async with turns:
                    return await exchange(node, peer, PAID_PROTOCOL_ID, Frame(kind, data), typed=True)

            await asyncio.gather(*(_pay(put, f"warm-{number}") for number in range(50)))
            ids = [f"p-{number}" for number in range(calls)]
            before = await seller.cpu_s()
            asked = await asyncio.gather(*(_ask(put, each) for each in ids))
            middle = await seller.cpu_s()
            signed = [_sign(each, challenge) for each, challenge in zip(ids, asked, strict=True)]
            started, signed_cpu = time.perf_counter(), await seller.cpu_s()
            answers = await asyncio.gather(*(put(messages.PAID_REQUEST, each) for each in signed))
            elapsed, after = time.perf_counter() - started, await seller.cpu_s()
            if any(answer.kind != messages.RESPONSE for answer in answers):
                raise SystemExit("a payment was refused")
    return 1000 * (middle - before) / calls, 1000 * (after - signed_cpu) / calls, calls / elapsed


async def _ask(put: Any, purchase: str) -> messages.PaymentRequired:
    body = Body("2+2", RESOURCE).write()
    request = messages.Request("1.0", purchase, RESOURCE, "execute", body=body)
    frame = await put(messages.REQUEST, request.write())
    return messages.PaymentRequired.read(frame.data)


def _sign(purchase: str, challenge: messages.PaymentRequired) -> bytes:
    now = int(time.time())
    nonce = bytes.fromhex(challenge.challenge_nonce)
    authorization = Authorization(BUYER.address, SELLER.address, PRICE, now - 5, now + 60, nonce)
    crypto = BUYER.crypto()
    signature = crypto.sign(authorization_digest(TOKEN, authorization, crypto.keccak))
    envelope = envelope_for(TOKEN, authorization, signature, challenge.challenge_nonce, crypto)
    return messages.PaidRequest("1.0", purchase, envelope, Body("2+2", RESOURCE).write()).write()


async def _pay(put: Any, purchase: str) -> None:
    await put(messages.PAID_REQUEST, _sign(purchase, await _ask(put, purchase)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print both figures beside what was promised."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.payments")
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--at-once", type=int, default=16)
    parser.add_argument("--stand-in", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--sell", metavar="URL", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.stand_in:
        uvloop.run(stand_in())
        return 0
    if given.sell:
        uvloop.run(sell(given.sell))
        return 0
    uvloop.run(added(20))
    spent = sorted(uvloop.run(added(given.calls)))
    print(
        f"added to a call: {statistics.median(spent):.2f} ms in the median, {spent[len(spent) // 10]:.2f} at the best "
        f"tenth, {spent[-len(spent) // 10]:.2f} at the worst (promised: less than {PROMISED_ADDED_MS:g} ms); "
        f"it waits twice for this disk, {uvloop.run(disk(100)):.2f} ms each time"
    )
    challenge_ms, payment_ms, rate = uvloop.run(sellers_cpu(given.calls, given.at_once))
    print(
        f"seller's CPU: {challenge_ms:.2f} ms for a challenge, {payment_ms:.2f} ms for a payment: "
        f"{1000 / (challenge_ms + payment_ms):.0f} paid calls a second (promised: {PROMISED_CALLS}); "
        f"{rate:.0f} payments a second by the clock"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
