"""Payments as the settings want them: wallet, ledger, facilitator, the store of both sides.

Without `market.rpc_url` and `market.facilitator_url` payments are off: free agents work, priced ones answer 2000 and
nothing is bought that costs. A node that only buys needs the chain alone. The wallet is made, and the extra `market`
needed, only where a chain is.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mesh.apps.market.payments.facilitator import WebFacilitator
from mesh.apps.market.payments.ledger import RpcLedger
from mesh.apps.market.payments.purse import Purse, Reach
from mesh.apps.market.payments.rules import USDC, Caps, check_chain
from mesh.apps.market.payments.store import PaymentStore
from mesh.apps.market.payments.till import Shop, Till
from mesh.apps.market.payments.wallet import Wallet
from mesh.errors import ConfigError
from mesh.protocols.market.listing import ATOMIC
from mesh.protocols.x402.records import Sale
from mesh.protocols.x402.typed_data import Token

if TYPE_CHECKING:
    from mesh.config.market import MarketSection

STORE_FILE: Final = "payments.db"
WALLET_FILE: Final = "wallet.key"
KEY_VARIABLE: Final = "ETHEREUM_PRIVATE_KEY"
"""64 hexadecimal digits, which win over the wallet's file; honoured where a program passes its environment in."""


class Money:
    """What a node pays and is paid with, from `start` to `stop`. ``key`` is the wallet's key in hexadecimal, if it does
    not come from a file."""

    def __init__(self, settings: MarketSection, folder: Path | None, key: str = "") -> None:
        """Raises `ConfigError` for a chain where money may not move, or a wallet that cannot be used."""
        self._settings = settings
        self._folder = folder
        self._stack = AsyncExitStack()
        self.caps = Caps(
            *map(_atomic, (settings.max_per_call, settings.max_per_peer_day, settings.max_per_day))
        )
        self.token = Token(settings.chain_id, _token_address(settings))
        self.wallet: Wallet | None = None
        self.ledger: RpcLedger | None = None
        if settings.rpc_url:
            urls = [each for each in (settings.rpc_url, settings.facilitator_url) if each]
            check_chain(settings.chain_id, urls, [int(each) for each in settings.allow_chain], self.caps)
            self.wallet = _wallet(settings, folder, key)
            self.ledger = RpcLedger(settings.rpc_url, self.token)

    @property
    def sells(self) -> bool:
        """Whether this node can be paid."""
        return self.wallet is not None and bool(self._settings.facilitator_url)

    async def start(
        self, shop: Shop, caller: str, reach: Reach, on_ended: Callable[[Sale], None]
    ) -> tuple[Till, Purse]:
        """Open the store; the seller's side and the buyer's. Raises `StorageError`."""
        settings, stack = self._settings, self._stack
        folder = self._folder
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mesh-market-")))
        store = await stack.enter_async_context(PaymentStore(folder / STORE_FILE))
        facilitator = None
        if self.ledger is not None:
            await stack.enter_async_context(self.ledger)
            if settings.facilitator_url:
                facilitator = await stack.enter_async_context(WebFacilitator(settings.facilitator_url))
        till = Till(
            shop,
            store,
            self.token,
            wallet=self.wallet,
            ledger=self.ledger,
            facilitator=facilitator,
            preemptive=settings.preemptive,
            on_ended=on_ended,
        )
        purse = Purse(
            store,
            self.token,
            wallet=self.wallet,
            ledger=self.ledger,
            caps=self.caps,
            caller=caller,
            reach=reach,
        )
        await stack.enter_async_context(till)
        await stack.enter_async_context(purse)
        return till, purse

    async def stop(self) -> None:
        """End both sides and close the store; safe to call twice."""
        await self._stack.aclose()


def _wallet(settings: MarketSection, folder: Path | None, key: str) -> Wallet:
    if key:
        return Wallet.from_text(key, KEY_VARIABLE)
    file = settings.wallet_file
    if file is None and folder is not None:
        file = folder / WALLET_FILE
    return Wallet(os.urandom(32)) if file is None else Wallet.load_or_create(file)


def _token_address(settings: MarketSection) -> bytes:
    if settings.token:
        return bytes.fromhex(settings.token.removeprefix("0x"))
    known = USDC.get(settings.chain_id)
    if known is None:
        raise ConfigError(
            f"market.token: the token's contract on chain {settings.chain_id} is not known; name it"
        )
    return known


def _atomic(text: str) -> int | None:
    return int(Decimal(text) * ATOMIC) if text else None
