"""A facilitator for development: it truly verifies, and settles on the ledger it is given.

It pays the gas from a key of its own, which the private chain's faucet fills. One authorization is settled by one
transaction; asked again, it says so. What it answers is worth nothing to anybody who can ask the ledger.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from mesh.development import token
from mesh.development.payment import X402_VERSION, Payment, contract_form, fault_of, read_payment
from mesh.development.rpc_caller import LedgerRefused, RpcCaller
from mesh.errors import Malformed, NetworkError
from mesh.extras import load_signing

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

GAS: Final = 150_000
RECEIPT_S: Final = 20.0
FILL_WEI: Final = 10**18
LOW_WEI: Final = 10**17

Answer = dict[str, Any]


class Facilitator:
    """Verifies and settles for the token at ``contract``. Without a ``key`` it makes one."""

    def __init__(
        self,
        ledger: RpcCaller,
        *,
        contract: str = token.SEPOLIA_ADDRESS,
        key: bytes | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        load_signing()
        from eth_account import Account

        self.ledger = ledger
        self.chain_id = 0
        self.account: LocalAccount = Account.create() if key is None else Account.from_key(key)
        self.last_transaction = ""
        self._contract = contract
        self._clock = clock
        self._sending = asyncio.Lock()

    async def start(self) -> None:
        """Learn the chain, and have ether from its faucet if it has one. Raises `NetworkError`."""
        self.chain_id = await self.ledger.number("eth_chainId")
        await self._fill()

    def supported(self) -> Answer:
        kind = {"x402Version": X402_VERSION, "scheme": "exact", "network": self._network}
        return {"kinds": [kind], "extensions": [], "signers": {"eip155:*": [self.account.address]}}

    async def verify(self, body: object) -> Answer:
        """Of `/verify`: `isValid`, and else `invalidReason`."""
        payment, why = await self._judged(body)
        answer: Answer = {"isValid": not why}
        if why:
            answer |= {"invalidReason": why, "invalidMessage": why}
        return answer | _payer(payment)

    async def settle(self, body: object, *, times: int = 1) -> Answer:
        """Of `/settle`: `success` and `transaction`, else `errorReason`. The transaction is sent ``times`` times."""
        payment, why = await self._judged(body)
        if payment is None or why:
            return self._failed(why, payment)
        try:
            sent, *_ = [await self._send(payment) for _ in range(times)]
        except LedgerRefused as error:
            return self._failed("unexpected_settle_error", payment, str(error))
        receipt = await self.ledger.receipt(sent, RECEIPT_S)
        if receipt is None or receipt.get("status") != "0x1":
            return self._failed("invalid_transaction_state", payment, sent=sent)
        self.last_transaction = sent
        return {"success": True, "transaction": sent, "network": self._network} | _payer(payment)

    # -- within ------------------------------------------------------------------------------------------------------

    @property
    def _network(self) -> str:
        return f"eip155:{self.chain_id}"

    async def _judged(self, body: object) -> tuple[Payment | None, str]:
        """A payment and why it is not good; the ledger is asked last."""
        try:
            payment = read_payment(body)
        except Malformed as error:
            version = error.field == "x402Version"
            return None, "invalid_x402_version" if version else "invalid_payload"
        now = max(int(self._clock()), await self.ledger.latest_time())
        why = fault_of(payment, self.chain_id, bytes.fromhex(self._contract[2:]), now)
        if why:
            return payment, why
        signed = payment.authorization
        if any(await self.ledger.call(self._contract, token.state_call(signed.payer, signed.nonce))):
            return payment, "invalid_transaction_state"
        has = int.from_bytes(await self.ledger.call(self._contract, token.balance_call(signed.payer)), "big")
        return payment, "insufficient_funds" if has < signed.value else ""

    async def _fill(self) -> None:
        """A ledger that was started anew has forgotten who pays the gas."""
        if await self.ledger.number("eth_getBalance", self.account.address, "latest") < LOW_WEI:
            await self.ledger.ask("mesh_fund", self.account.address, hex(FILL_WEI), "0x0")

    async def _send(self, payment: Payment) -> str:
        """Send the transfer. One at a time: each transaction has the next nonce."""
        data = token.transfer_call(payment.authorization, contract_form(payment.signature))
        async with self._sending:
            await self._fill()
            fields: dict[str, Any] = {
                "chainId": self.chain_id,
                "nonce": await self.ledger.number("eth_getTransactionCount", self.account.address, "pending"),
                "to": self._contract,
                "value": 0,
                "data": data,
                "gas": GAS,
                "maxFeePerGas": 2 * await self.ledger.number("eth_gasPrice"),
                "maxPriorityFeePerGas": 0,
            }
            signed = self.account.sign_transaction(fields)
            found = await self.ledger.ask(
                "eth_sendRawTransaction", "0x" + bytes(signed.raw_transaction).hex()
            )
        if not isinstance(found, str):
            raise NetworkError("the ledger takes a transaction without giving its hash")
        return found

    def _failed(self, why: str, payment: Payment | None, message: str = "", sent: str = "") -> Answer:
        """`invalidReason` repeats the reason for readers that know version 1 only."""
        return {
            "success": False,
            "errorReason": why,
            "errorMessage": message or why,
            "invalidReason": why,
            "transaction": sent,
            "network": self._network,
        } | _payer(payment)


def _payer(payment: Payment | None) -> Answer:
    from eth_utils.address import to_checksum_address

    return {} if payment is None else {"payer": to_checksum_address(payment.authorization.payer)}
