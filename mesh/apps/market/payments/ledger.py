"""A chain over JSON-RPC (section 3.9): what was settled, what is used, what time it is there.

Every answer is read against what it must be, and an answer that is not is like none: `NetworkError`. Before it is asked
anything else, and again after each failure, the chain must say that it is the one that was meant.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Final, Protocol, Self

from mesh.apps.market.payments.web import MAX_ANSWER_BYTES, WebService
from mesh.errors import DecodeError, Malformed, NetworkError
from mesh.protocols.x402.amounts import read_hex
from mesh.protocols.x402.evidence import CANCELED_TOPIC, USED_TOPIC, Event, Head, TransactionReceipt
from mesh.protocols.x402.typed_data import Token

CALL_LIMIT_S: Final = 5.0
RECENT_S: Final = 2.0
MAX_EVENTS: Final = 10_000
MAX_TRANSACTIONS: Final = 16
_BALANCE_OF: Final = bytes.fromhex("70a08231")
"""Selector of `balanceOf(address)`."""
_AUTHORIZATION_STATE: Final = bytes.fromhex("e94a0102")
"""Selector of `authorizationState(address,bytes32)`."""
_MAX_WORD: Final = 2**256


class Ledger(Protocol):
    """A chain with one token on it. Addresses are 20 bytes, nonces and transactions 32. All raise `NetworkError`."""

    async def chain_id(self) -> int: ...

    async def head(self) -> Head: ...

    async def recent_head(self) -> Head:
        """One that is at most `RECENT_S` old: what happens from now on is in no block before it."""
        ...

    async def receipt(self, transaction: bytes) -> TransactionReceipt | None:
        """Of a transaction that is in a block; else None."""
        ...

    async def authorization_state(self, payer: bytes, nonce: bytes, block: int) -> bool:
        """Whether the nonce was used or cancelled, as of a block."""
        ...

    async def authorization_transactions(
        self, payer: bytes, nonce: bytes, since_block: int
    ) -> Sequence[bytes]:
        """The transactions in which the token says so."""
        ...

    async def token_balance(self, address: bytes) -> int:
        """In atomic units."""
        ...

    async def balance(self, address: bytes) -> int:
        """Of the chain's own coin, in wei."""
        ...


class RpcLedger:
    """The chain behind an http address, for the length of an `async with`."""

    def __init__(self, url: str, token: Token, clock: Callable[[], float] = time.monotonic) -> None:
        self._web = WebService(url, "the ledger", CALL_LIMIT_S)
        self._token = token
        self._ids = itertools.count(1)
        self._verified = False
        self._clock = clock
        self._head: Head | None = None
        self._head_at_s = 0.0

    async def __aenter__(self) -> Self:
        await self._web.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._web.__aexit__(kind, error, trace)

    async def chain_id(self) -> int:
        return _number(await self._call("eth_chainId"), "eth_chainId")

    async def head(self) -> Head:
        block = _object(await self._ask("eth_getBlockByNumber", "latest", False), "block")
        return Head(
            _number(block.get("number"), "block.number"), _number(block.get("timestamp"), "block.timestamp")
        )

    async def recent_head(self) -> Head:
        now = self._clock()
        if self._head is None or now - self._head_at_s > RECENT_S:
            self._head, self._head_at_s = await self.head(), now
        return self._head

    async def receipt(self, transaction: bytes) -> TransactionReceipt | None:
        found = await self._ask("eth_getTransactionReceipt", "0x" + transaction.hex())
        if found is None:
            return None
        receipt = _object(found, "receipt")
        if receipt.get("blockNumber") is None:
            return None
        events = receipt.get("logs")
        if not isinstance(events, list) or len(events) > MAX_EVENTS:
            raise NetworkError("the ledger: a receipt without its list of events")
        named = _octets(receipt.get("transactionHash"), 32, "receipt.transactionHash")
        if named != transaction:
            raise NetworkError("the ledger: a receipt of another transaction than was asked for")
        return TransactionReceipt(
            named,
            _number(receipt.get("status"), "receipt.status") == 1,
            _number(receipt.get("blockNumber"), "receipt.blockNumber"),
            tuple(_event(each) for each in events),
        )

    async def authorization_state(self, payer: bytes, nonce: bytes, block: int) -> bool:
        word = await self._read_token(_AUTHORIZATION_STATE + payer.rjust(32, b"\0") + nonce, hex(block))
        if word not in (0, 1):
            raise NetworkError("the ledger: the token at this address knows no authorizations")
        return word == 1

    async def authorization_transactions(
        self, payer: bytes, nonce: bytes, since_block: int
    ) -> Sequence[bytes]:
        topics = [
            ["0x" + USED_TOPIC.hex(), "0x" + CANCELED_TOPIC.hex()],
            "0x" + payer.rjust(32, b"\0").hex(),
            "0x" + nonce.hex(),
        ]
        wanted = {
            "address": "0x" + self._token.address.hex(),
            "fromBlock": hex(since_block),
            "toBlock": "latest",
            "topics": topics,
        }
        found = await self._ask("eth_getLogs", wanted)
        if not isinstance(found, list) or len(found) > MAX_TRANSACTIONS:
            raise NetworkError("the ledger: no list of events")
        events = [_object(each, "event") for each in found]
        return [_octets(each.get("transactionHash"), 32, "event.transactionHash") for each in events]

    async def token_balance(self, address: bytes) -> int:
        return await self._read_token(_BALANCE_OF + address.rjust(32, b"\0"), "latest")

    async def balance(self, address: bytes) -> int:
        return _number(await self._ask("eth_getBalance", "0x" + address.hex(), "latest"), "eth_getBalance")

    async def _read_token(self, data: bytes, block: str) -> int:
        call = {"to": "0x" + self._token.address.hex(), "data": "0x" + data.hex()}
        return int.from_bytes(_octets(await self._ask("eth_call", call, block), 32, "eth_call"))

    async def _ask(self, method: str, *parameters: Any) -> Any:
        """The result of a method, of the right chain."""
        if not self._verified:
            chain_id = await self.chain_id()
            if chain_id != self._token.chain_id:
                raise NetworkError(
                    f"the ledger is chain {chain_id}, not {self._token.chain_id}; check ETHEREUM_RPC_URL"
                )
            self._verified = True
        return await self._call(method, *parameters)

    async def _call(self, method: str, *parameters: Any) -> Any:
        number = next(self._ids)
        request = {"jsonrpc": "2.0", "id": number, "method": method, "params": parameters}
        try:
            answer = await self._web.post("", json.dumps(request).encode())
        except NetworkError:
            self._verified, self._head = False, None
            raise
        body = _object(answer, method)
        if body.get("id") != number:
            raise NetworkError(f"the ledger: the answer to {method} is one to another request")
        error = body.get("error")
        if error is not None:
            reason = error.get("message") if isinstance(error, dict) else error
            raise NetworkError(f"the ledger refuses {method}: {str(reason)[:200]}")
        return body.get("result")


def _object(value: Any, field: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise NetworkError(f"the ledger: {field} is no object")
    return value


def _number(value: Any, field: str) -> int:
    """A quantity: 0x and hexadecimal digits."""
    try:
        if not isinstance(value, str) or not value.startswith("0x") or len(value) > 66:
            raise ValueError
        number = int(value[2:], 16)
    except ValueError:
        raise NetworkError(f"the ledger: {field} is no number") from None
    if not 0 <= number < _MAX_WORD:
        raise NetworkError(f"the ledger: {field} is out of range")
    return number


def _octets(value: Any, size: int, field: str) -> bytes:
    try:
        if not isinstance(value, str):
            raise Malformed(field, None, "no text")
        return read_hex(value, size, field)
    except DecodeError as error:
        raise NetworkError(f"the ledger: {error}") from None


def _event(value: Any) -> Event:
    event = _object(value, "event")
    topics, data = event.get("topics"), event.get("data")
    if not isinstance(topics, list) or len(topics) > 4 or not isinstance(data, str):
        raise NetworkError("the ledger: an event without topics or data")
    if len(data) > MAX_ANSWER_BYTES or len(data) % 2:
        raise NetworkError("the ledger: an event with odd data")
    return Event(
        _octets(event.get("address"), 20, "event.address"),
        tuple(_octets(topic, 32, "event.topic") for topic in topics),
        _octets(data, len(data.removeprefix("0x")) // 2, "event.data"),
    )
