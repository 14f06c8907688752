"""Blocks, transactions, receipts and log entries as JSON-RPC shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eth_utils.address import to_checksum_address

from mesh.development.chain import base_fee

if TYPE_CHECKING:
    from eth.abc import BlockAPI, SignedTransactionAPI

    from mesh.development.chain import Entry, Mined

Shape = dict[str, Any]


def block(found: BlockAPI, *, full: bool) -> Shape:
    header = found.header
    return {
        "number": hex(header.block_number),
        "hash": _hex(header.hash),
        "parentHash": _hex(header.parent_hash),
        "sha3Uncles": _hex(header.uncles_hash),
        "miner": to_checksum_address(header.coinbase),
        "stateRoot": _hex(header.state_root),
        "transactionsRoot": _hex(header.transaction_root),
        "receiptsRoot": _hex(header.receipt_root),
        "logsBloom": _bloom(header.bloom),
        "difficulty": hex(header.difficulty),
        "totalDifficulty": "0x0",
        "gasLimit": hex(header.gas_limit),
        "gasUsed": hex(header.gas_used),
        "timestamp": hex(header.timestamp),
        "extraData": _hex(header.extra_data),
        "mixHash": _hex(header.mix_hash),
        "nonce": _hex(header.nonce),
        "baseFeePerGas": hex(base_fee(header)),
        "size": "0x400",
        "uncles": [],
        "transactions": [
            transaction(each, found, index) if full else _hex(each.hash)
            for index, each in enumerate(found.transactions)
        ],
    }


def transaction(found: SignedTransactionAPI, within: BlockAPI | None, index: int) -> Shape:
    """A transaction in a block, or one that waits."""
    price = _price(found, within)
    shown: Shape = {
        "hash": _hex(found.hash),
        "type": hex(found.type_id or 0),
        "nonce": hex(found.nonce),
        "from": to_checksum_address(found.sender),
        "to": to_checksum_address(found.to) if found.to else None,
        "value": hex(found.value),
        "gas": hex(found.gas),
        "gasPrice": hex(price),
        "input": _hex(found.data),
        "v": hex(found.y_parity if found.type_id else getattr(found, "v", found.y_parity)),
        "r": hex(found.r),
        "s": hex(found.s),
        "blockHash": None if within is None else _hex(within.hash),
        "blockNumber": None if within is None else hex(within.number),
        "transactionIndex": None if within is None else hex(index),
    }
    if found.chain_id is not None:
        shown["chainId"] = hex(found.chain_id)
    if found.type_id:
        shown["yParity"] = hex(found.y_parity)
        shown["accessList"] = [
            {"address": _hex(address), "storageKeys": [_hex(key.to_bytes(32, "big")) for key in keys]}
            for address, keys in found.access_list
        ]
    if found.type_id == 2:
        shown["maxFeePerGas"] = hex(found.max_fee_per_gas)
        shown["maxPriorityFeePerGas"] = hex(found.max_priority_fee_per_gas)
    return shown


def receipt(mined: Mined) -> Shape:
    found, within, index = mined.transaction, mined.block, mined.index
    created = None if found.to else _created(found)
    return {
        "type": hex(found.type_id or 0),
        "status": hex(int.from_bytes(mined.receipt.state_root, "big")),
        "transactionHash": _hex(found.hash),
        "transactionIndex": hex(index),
        "blockHash": _hex(within.hash),
        "blockNumber": hex(within.number),
        "from": to_checksum_address(found.sender),
        "to": to_checksum_address(found.to) if found.to else None,
        "contractAddress": created,
        "cumulativeGasUsed": hex(mined.receipt.gas_used),
        "gasUsed": hex(mined.gas_used),
        "effectiveGasPrice": hex(_price(found, within)),
        "logsBloom": _bloom(mined.receipt.bloom),
        "logs": [
            _log(
                each.address,
                [topic.to_bytes(32, "big") for topic in each.topics],
                each.data,
                within,
                found.hash,
                index,
                mined.logs_before + place,
            )
            for place, each in enumerate(mined.receipt.logs)
        ],
    }


def log(entry: Entry) -> Shape:
    return _log(
        entry.address,
        list(entry.topics),
        entry.data,
        entry.block,
        entry.transaction,
        entry.transaction_index,
        entry.index,
    )


def _log(
    address: bytes,
    topics: list[bytes],
    data: bytes,
    within: BlockAPI,
    transaction_hash: bytes,
    transaction_index: int,
    index: int,
) -> Shape:
    return {
        "address": to_checksum_address(address),
        "topics": [_hex(each) for each in topics],
        "data": _hex(data),
        "blockNumber": hex(within.number),
        "blockHash": _hex(within.hash),
        "transactionHash": _hex(transaction_hash),
        "transactionIndex": hex(transaction_index),
        "logIndex": hex(index),
        "removed": False,
    }


def _price(found: SignedTransactionAPI, within: BlockAPI | None) -> int:
    fee = 0 if within is None else base_fee(within.header)
    return min(found.max_fee_per_gas, fee + found.max_priority_fee_per_gas)


def _created(found: SignedTransactionAPI) -> str:
    from eth._utils.address import generate_contract_address

    return to_checksum_address(generate_contract_address(found.sender, found.nonce))


def _bloom(found: int) -> str:
    return _hex(found.to_bytes(256, "big"))


def _hex(found: bytes) -> str:
    return "0x" + bytes(found).hex()
