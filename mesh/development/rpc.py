"""JSON-RPC of a private chain, as Ethereum nodes answer it: requests in, answers out, no network.

Besides the `eth_` methods that wallets and libraries use there are those of development: `evm_mine`,
`evm_increaseTime` (seconds), `evm_snapshot` and `evm_revert` (which forgets later blocks, as a reorganisation does), and
`mesh_fund` (address, wei, units of the token).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from typing import TYPE_CHECKING, Any, Final

from mesh.development import rpc_shapes as shapes
from mesh.development.chain import (
    GAS_LIMIT,
    MAX_LOGS,
    PrivateChain,
    Reverted,
    TransactionRefused,
    base_fee,
)
from mesh.errors import UsageError

if TYPE_CHECKING:
    from eth.abc import BlockAPI

MAX_BATCH: Final = 100
MAX_TRANSACTION_BYTES: Final = 128 * 1024
PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
NO_SUCH_METHOD: Final = -32601
INVALID_PARAMETERS: Final = -32602
REFUSED: Final = -32000
REVERTED: Final = 3

Answer = dict[str, Any]


class ParametersInvalid(UsageError):  # noqa: N818
    """Parameters of a method are not what it takes."""


class ChainRpc:
    """What one chain answers."""

    def __init__(self, chain: PrivateChain) -> None:
        self._chain = chain
        self._methods: dict[str, Callable[..., Any]] = {
            "web3_clientVersion": lambda: "mesh/development",
            "net_version": lambda: str(chain.plan.chain_id),
            "eth_chainId": lambda: hex(chain.plan.chain_id),
            "eth_syncing": lambda: False,
            "eth_accounts": list,
            "eth_blockNumber": lambda: hex(chain.head.block_number),
            "eth_gasPrice": lambda: hex(base_fee(chain.head) + 1),
            "eth_maxPriorityFeePerGas": lambda: "0x1",
            "eth_feeHistory": self._fee_history,
            "eth_getBalance": self._balance,
            "eth_getCode": self._code,
            "eth_getStorageAt": self._storage,
            "eth_getTransactionCount": self._count,
            "eth_call": self._call,
            "eth_estimateGas": self._estimate,
            "eth_sendRawTransaction": self._send,
            "eth_getTransactionByHash": self._transaction,
            "eth_getTransactionReceipt": self._receipt,
            "eth_getBlockByNumber": self._block,
            "eth_getBlockByHash": self._block_named,
            "eth_getLogs": self._logs,
            "evm_mine": self._mine,
            "evm_increaseTime": self._increase_time,
            "evm_snapshot": lambda: hex(chain.head.block_number),
            "evm_revert": self._revert,
            "mesh_fund": self._fund,
        }

    def answer(self, body: bytes) -> bytes:
        """The answer to one request or to a batch, both JSON."""
        try:
            asked = json.loads(body)
        except (ValueError, RecursionError):
            return _encoded(_failure(None, PARSE_ERROR, "parse error"))
        if not isinstance(asked, list):
            return _encoded(self._one(asked))
        if not 0 < len(asked) <= MAX_BATCH:
            return _encoded(_failure(None, INVALID_REQUEST, f"a batch has 1 to {MAX_BATCH} requests"))
        return _encoded([self._one(each) for each in asked])

    def _one(self, asked: object) -> Answer:
        if not isinstance(asked, dict) or not isinstance(asked.get("method"), str):
            return _failure(None, INVALID_REQUEST, "invalid request")
        number, name, parameters = asked.get("id"), asked["method"], asked.get("params", [])
        method = self._methods.get(name)
        if method is None:
            return _failure(number, NO_SUCH_METHOD, f"the method {name} does not exist/is not available")
        if not isinstance(parameters, list):
            return _failure(number, INVALID_PARAMETERS, "parameters are a list")
        try:
            signature(method).bind(*parameters)
        except TypeError as error:
            return _failure(number, INVALID_PARAMETERS, str(error))
        try:
            return {"jsonrpc": "2.0", "id": number, "result": method(*parameters)}
        except Reverted as error:
            failed = _failure(number, REVERTED, str(error))
            failed["error"]["data"] = "0x" + error.output.hex()
            return failed
        except TransactionRefused as error:
            return _failure(number, REFUSED, str(error))
        except UsageError as error:
            return _failure(number, INVALID_PARAMETERS, str(error))

    # -- accounts ----------------------------------------------------------------------------------------------------

    def _balance(self, address: str, at: object = "latest") -> str:
        return hex(self._chain.state(self._number(at)).get_balance(_address(address)))

    def _code(self, address: str, at: object = "latest") -> str:
        return "0x" + bytes(self._chain.state(self._number(at)).get_code(_address(address))).hex()

    def _storage(self, address: str, slot: str, at: object = "latest") -> str:
        found: int = self._chain.state(self._number(at)).get_storage(_address(address), quantity(slot))
        return "0x" + found.to_bytes(32, "big").hex()

    def _count(self, address: str, at: object = "latest") -> str:
        if at == "pending":
            return hex(self._chain.next_nonce(_address(address)))
        return hex(self._chain.state(self._number(at)).get_nonce(_address(address)))

    # -- code --------------------------------------------------------------------------------------------------------

    def _call(self, asked: Mapping[str, Any], at: object = "latest", *_: object) -> str:
        return "0x" + self._run(asked, at)[0].hex()

    def _estimate(self, asked: Mapping[str, Any], at: object = "latest", *_: object) -> str:
        return hex(min(self._run(asked, at)[1] * 5 // 4, GAS_LIMIT))

    def _run(self, asked: Mapping[str, Any], at: object) -> tuple[bytes, int]:
        if not isinstance(asked, dict):
            raise ParametersInvalid("a call is an object")
        to = asked.get("to")
        return self._chain.call(
            b"" if to is None else _address(to),
            data_of(asked.get("input") or asked.get("data") or "0x"),
            sender=_address(asked["from"]) if asked.get("from") else bytes(20),
            value=quantity(asked.get("value") or "0x0"),
            number=self._number(at),
        )

    # -- transactions and blocks -------------------------------------------------------------------------------------

    def _send(self, raw: str) -> str:
        found = data_of(raw)
        if len(found) > MAX_TRANSACTION_BYTES:
            raise ParametersInvalid(f"a transaction has at most {MAX_TRANSACTION_BYTES} bytes")
        return "0x" + self._chain.send(found).hex()

    def _transaction(self, named: str) -> Answer | None:
        wanted = _hash(named)
        mined = self._chain.mined(wanted)
        if mined is not None:
            return shapes.transaction(mined.transaction, mined.block, mined.index)
        waiting = [each for each in self._chain.waiting if each.hash == wanted]
        return shapes.transaction(waiting[0], None, 0) if waiting else None

    def _receipt(self, named: str) -> Answer | None:
        mined = self._chain.mined(_hash(named))
        return None if mined is None else shapes.receipt(mined)

    def _block(self, at: object, full: bool = False) -> Answer | None:
        number = self._number(at)
        block = self._chain.block(self._chain.head.block_number if number is None else number)
        return self._shown(block, full)

    def _block_named(self, named: str, full: bool = False) -> Answer | None:
        return self._shown(self._chain.block_named(_hash(named)), full)

    def _shown(self, block: BlockAPI | None, full: object) -> Answer | None:
        return None if block is None else shapes.block(block, full=bool(full))

    def _logs(self, asked: Mapping[str, Any]) -> list[Answer]:
        if not isinstance(asked, dict):
            raise ParametersInvalid("a filter is an object")
        head = self._chain.head.block_number
        first, last = (
            self._number(asked.get("fromBlock", "latest")),
            self._number(asked.get("toBlock", "latest")),
        )
        if asked.get("blockHash"):
            block = self._chain.block_named(_hash(asked["blockHash"]))
            if block is None:
                raise ParametersInvalid("unknown block")
            first = last = block.number
        wanted = _filter(asked)
        found: list[Answer] = []
        for entry in self._chain.entries(head if first is None else first, head if last is None else last):
            if wanted(entry.address, entry.topics):
                found.append(shapes.log(entry))
            if len(found) > MAX_LOGS:
                raise ParametersInvalid(f"more than {MAX_LOGS} entries; ask for fewer blocks")
        return found

    def _fee_history(self, count: object, at: object = "latest", *_: object) -> Answer:
        last = self._number(at)
        last = self._chain.head.block_number if last is None else last
        first = max(0, last + 1 - min(quantity(count), 1024))
        fees = [base_fee(each) for each in map(self._chain.header, range(first, last + 1)) if each]
        return {
            "oldestBlock": hex(first),
            "baseFeePerGas": [hex(each) for each in (*fees, base_fee(self._chain.head))],
            "gasUsedRatio": [0.0] * len(fees),
        }

    # -- development -------------------------------------------------------------------------------------------------

    def _mine(self, *_: object) -> str:
        return hex(self._chain.mine().block_number)

    def _increase_time(self, seconds: object) -> str:
        self._chain.shift_s += quantity(seconds)
        return hex(self._chain.shift_s)

    def _revert(self, number: object) -> bool:
        self._chain.go_back(quantity(number))
        return True

    def _fund(self, address: str, wei: object, units: object) -> list[str]:
        sent = self._chain.fund(_address(address), quantity(wei), quantity(units))
        return ["0x" + each.hex() for each in sent]

    def _number(self, at: object) -> int | None:
        """Of a block; None for the latest one."""
        if isinstance(at, dict):
            at = at.get("blockNumber", "latest")
        if at in ("latest", "pending", "safe", "finalized", None):
            return None
        return 0 if at == "earliest" else quantity(at)


def quantity(found: object) -> int:
    """A number as JSON-RPC has it: hexadecimal with 0x, or a JSON number. Raises `ParametersInvalid`."""
    if isinstance(found, int) and not isinstance(found, bool) and 0 <= found < 1 << 256:
        return found
    try:
        if isinstance(found, str) and found.startswith("0x") and 3 <= len(found) <= 66:
            return int(found[2:], 16)
    except ValueError:
        pass
    raise ParametersInvalid(f"{str(found)[:80]!r} is no quantity")


def data_of(found: object) -> bytes:
    """Bytes in hexadecimal with 0x. Raises `ParametersInvalid`."""
    try:
        if isinstance(found, str) and found.startswith("0x"):
            return bytes.fromhex(found[2:])
    except ValueError:
        pass
    raise ParametersInvalid(f"{str(found)[:80]!r} is no data in hexadecimal")


def _address(found: object) -> bytes:
    given = data_of(found)
    if len(given) != 20:
        raise ParametersInvalid("an address has 20 bytes")
    return given


def _hash(found: object) -> bytes:
    given = data_of(found)
    if len(given) != 32:
        raise ParametersInvalid("a hash has 32 bytes")
    return given


def _filter(asked: Mapping[str, Any]) -> Callable[[bytes, Sequence[bytes]], bool]:
    """Whether an entry of this address and these topics is asked for."""
    addresses = asked.get("address") or []
    allowed = {_address(each) for each in (addresses if isinstance(addresses, list) else [addresses])}
    topics = asked.get("topics") or []
    if not isinstance(topics, list) or len(topics) > 4:
        raise ParametersInvalid("topics are a list of at most four")
    choices = [
        None if each is None else {_hash(one) for one in (each if isinstance(each, list) else [each])}
        for each in topics
    ]

    def fits(address: bytes, found: Sequence[bytes]) -> bool:
        if (allowed and address not in allowed) or len(found) < len(choices):
            return False
        return all(not wanted or topic in wanted for wanted, topic in zip(choices, found, strict=False))

    return fits


def _failure(number: object, code: int, message: str) -> Answer:
    return {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": message}}


def _encoded(answer: object) -> bytes:
    return json.dumps(answer).encode()
