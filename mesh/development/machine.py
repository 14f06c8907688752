"""The virtual machine and the first block of a private chain. Importing this needs the extra `chain`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from eth.abc import BlockHeaderAPI
from eth.chains.base import MiningChain
from eth.constants import BLANK_ROOT_HASH, POST_MERGE_DIFFICULTY, POST_MERGE_MIX_HASH, POST_MERGE_NONCE
from eth.db import get_db_backend
from eth.vm.forks.paris import ParisVM

from mesh.development import token

if TYPE_CHECKING:
    from mesh.development.chain import ChainPlan

GENESIS_GAS_LIMIT = 30_000_000


class LedgerVM(ParisVM):
    """Paris rules, but several blocks may have the same second."""

    @classmethod
    def validate_header(cls, header: BlockHeaderAPI, parent_header: BlockHeaderAPI) -> None:
        earlier = min(parent_header.timestamp, header.timestamp - 1)
        super().validate_header(header, parent_header.copy(timestamp=earlier))


def make_chain(plan: ChainPlan, wei: Mapping[bytes, int], now: int) -> Any:
    """A `MiningChain` whose first block has the token and these balances."""
    kind: Any = type(
        "LedgerChain", (MiningChain,), {"chain_id": plan.chain_id, "vm_configuration": ((0, LedgerVM),)}
    )
    accounts: dict[bytes, Any] = {
        address: {"balance": balance, "nonce": 0, "code": b"", "storage": {}}
        for address, balance in wei.items()
    }
    accounts[plan.token] = {
        "balance": 0,
        "nonce": 1,
        "code": token.code(),
        "storage": token.first_storage(plan.units),
    }
    parameters = {
        "coinbase": bytes(20),
        "difficulty": POST_MERGE_DIFFICULTY,
        "extra_data": b"",
        "gas_limit": GENESIS_GAS_LIMIT,
        "mix_hash": POST_MERGE_MIX_HASH,
        "nonce": POST_MERGE_NONCE,
        "receipt_root": BLANK_ROOT_HASH,
        "timestamp": now,
        "transaction_root": BLANK_ROOT_HASH,
    }
    return kind.from_genesis(get_db_backend(), parameters, accounts)
