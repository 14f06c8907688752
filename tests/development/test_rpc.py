"""JSON-RPC over HTTP, as wallets and libraries ask."""

from __future__ import annotations

import json

import httpx
import pytest

from mesh.development import token
from mesh.development.chain import ETHER, ChainPlan, PrivateChain
from mesh.development.chain_server import ChainServer
from mesh.development.rpc import MAX_BATCH, ChainRpc
from mesh.errors import UsageError
from tests.development.world import (
    BUYER,
    BUYER_UNITS,
    SELLER,
    SETTLER,
    RpcClient,
    bytes_of,
    make_chain,
    signed,
    transaction,
)

NONCE = bytes(range(32))
TOKEN = token.SEPOLIA_ADDRESS


async def test_a_payment_over_http(chain: PrivateChain, rpc: RpcClient) -> None:
    raw = transaction(chain, token.transfer_call(*signed(chain, NONCE)))
    sent = await rpc.ask("eth_sendRawTransaction", "0x" + raw.hex())
    receipt = await rpc.ask("eth_getTransactionReceipt", sent)
    assert (receipt["status"], receipt["blockNumber"], receipt["from"]) == ("0x1", "0x1", SETTLER.address)
    assert len(receipt["logsBloom"]) == 2 + 512
    used, moved = receipt["logs"]
    payer, payee = (bytes_of(each).rjust(32, b"\0").hex() for each in (BUYER, SELLER))
    event = "0x" + token.event_topic(token.AUTHORIZATION_USED).hex()
    assert used["topics"] == [event, f"0x{payer}", f"0x{NONCE.hex()}"]
    assert moved["topics"][1:] == [f"0x{payer}", f"0x{payee}"]
    assert int(moved["data"], 16) == 1000
    call = {"to": TOKEN, "data": "0x" + token.state_call(bytes_of(BUYER), NONCE).hex()}
    assert int(await rpc.ask("eth_call", call, "latest"), 16) == 1
    found = await rpc.ask("eth_getLogs", {"fromBlock": "0x0", "address": TOKEN, "topics": [event, None]})
    assert found == [used]
    block = await rpc.ask("eth_getBlockByNumber", "latest", False)
    assert block["transactions"] == [sent]
    assert await rpc.ask("eth_getBlockByHash", block["hash"], False) == block
    whole = await rpc.ask("eth_getBlockByNumber", "0x1", True)
    assert whole["transactions"] == [await rpc.ask("eth_getTransactionByHash", sent)]


async def test_what_there_is_not_is_null(rpc: RpcClient) -> None:
    unknown = "0x" + "ab" * 32
    for method in ("eth_getTransactionReceipt", "eth_getTransactionByHash", "eth_getBlockByHash"):
        assert await rpc.ask(method, unknown) is None
    assert await rpc.ask("eth_getBlockByNumber", "0x999", False) is None


async def test_accounts(rpc: RpcClient) -> None:
    assert await rpc.ask("eth_chainId") == hex(84532)
    assert await rpc.ask("eth_getTransactionCount", SETTLER.address, "pending") == "0x0"
    assert await rpc.ask("eth_getBalance", SELLER.address, "latest") == "0x0"
    assert len(await rpc.ask("mesh_fund", SELLER.address, hex(ETHER), hex(5))) == 2
    assert await rpc.ask("eth_getBalance", SELLER.address, "latest") == hex(ETHER)
    call = {"to": TOKEN, "data": "0x" + token.balance_call(bytes_of(SELLER)).hex()}
    assert int(await rpc.ask("eth_call", call), 16) == 5
    assert int(await rpc.ask("eth_call", call, "0x0"), 16) == 0
    assert await rpc.ask("eth_getCode", TOKEN, "latest") == "0x" + token.code().hex()
    assert int(await rpc.ask("eth_getStorageAt", TOKEN, "0x1", "latest"), 16) == BUYER_UNITS + 5


async def test_estimated_gas_is_enough(chain: PrivateChain, rpc: RpcClient) -> None:
    estimate = int(await rpc.ask("eth_estimateGas", {"to": TOKEN, "data": _mint()}), 16)
    raw = transaction(chain, token.mint_call(bytes_of(SELLER), 1), gas=estimate)
    sent = await rpc.ask("eth_sendRawTransaction", "0x" + raw.hex())
    assert (await rpc.ask("eth_getTransactionReceipt", sent))["status"] == "0x1"


async def test_time_and_reorganisation(chain: PrivateChain, rpc: RpcClient) -> None:
    before = int((await rpc.ask("eth_getBlockByNumber", "latest"))["timestamp"], 16)
    snapshot = await rpc.ask("evm_snapshot")
    await rpc.ask("evm_increaseTime", 100)
    await rpc.ask("evm_mine")
    assert int((await rpc.ask("eth_getBlockByNumber", "latest"))["timestamp"], 16) >= before + 100
    assert await rpc.ask("evm_revert", snapshot) is True
    assert await rpc.ask("eth_blockNumber") == snapshot


async def test_a_block_time_makes_blocks() -> None:
    async with ChainServer(make_chain(block_time_s=0.01)) as server, httpx.AsyncClient() as http:
        rpc = RpcClient(server.url, http)
        while int(await rpc.ask("eth_blockNumber"), 16) < 3:
            pass


@pytest.mark.parametrize(
    ("method", "parameters", "code"),
    [
        ("eth_nothing", [], -32601),
        ("eth_getBalance", [], -32602),
        ("eth_getBalance", ["0x12", "latest"], -32602),
        ("eth_getBalance", [5, "latest"], -32602),
        ("eth_getBalance", [SELLER.address, "0x99"], -32602),
        ("eth_getBalance", [SELLER.address, "0x" + "f" * 65], -32602),
        ("eth_call", ["0x", "latest"], -32602),
        ("eth_call", [{"to": TOKEN, "data": "0x70a08231"}, "latest"], 3),
        ("eth_getLogs", [{"topics": "x"}], -32602),
        ("eth_getLogs", [{"topics": [["0x12"]]}], -32602),
        ("eth_sendRawTransaction", ["0xzz"], -32602),
        ("eth_sendRawTransaction", ["0x" + "00" * 131_073], -32602),
        ("eth_sendRawTransaction", ["0x1234"], -32000),
        ("eth_getTransactionReceipt", [None], -32602),
        ("evm_revert", ["0x5"], -32602),
    ],
)
async def test_bad_parameters_are_an_error_of_the_call(
    rpc: RpcClient, method: str, parameters: list[object], code: int
) -> None:
    assert (await rpc.ask(method, *parameters))["code"] == code
    assert await rpc.ask("eth_blockNumber") == "0x0"


def test_batches_and_what_is_no_request(chain: PrivateChain) -> None:
    rpc = ChainRpc(chain)
    ask = {"jsonrpc": "2.0", "id": "a", "method": "eth_chainId"}
    answers = json.loads(rpc.answer(json.dumps([ask, {"id": 2}, 5]).encode()))
    assert answers[0] == {"jsonrpc": "2.0", "id": "a", "result": "0x14a34"}
    assert [each["error"]["code"] for each in answers[1:]] == [-32600, -32600]
    assert json.loads(rpc.answer(b"{"))["error"]["code"] == -32700
    assert json.loads(rpc.answer(b"[" * 100_000))["error"]["code"] == -32700
    assert json.loads(rpc.answer(b"[]"))["error"]["code"] == -32600
    assert json.loads(rpc.answer(json.dumps([ask] * (MAX_BATCH + 1)).encode()))["error"]["code"] == -32600


async def test_a_page_of_another_origin_gets_nothing(chain_server: ChainServer) -> None:
    async with httpx.AsyncClient() as http:
        refused = await http.post(chain_server.url, content=b"{}", headers={"Host": "attacker.example"})
    assert refused.status_code == 403


def test_it_listens_on_loopback_alone() -> None:
    with pytest.raises(UsageError, match="loopback"):
        ChainServer(PrivateChain(ChainPlan(), lambda: 1_000_000.0), "0.0.0.0:0")


def _mint() -> str:
    return "0x" + token.mint_call(bytes_of(SELLER), 1).hex()
