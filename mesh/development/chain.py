"""A private chain in this process: py-evm with a token in its first block.

Blocks are made at once for each transaction, or every ``block_time_s`` when `mine` is called by whoever owns the clock.
Several blocks may have the same second, as on many rollups, so that the chain's time never runs ahead of the clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from mesh.development import token
from mesh.errors import MeshError, UsageError
from mesh.extras import keccak, load_chain, load_signing

if TYPE_CHECKING:
    from eth.abc import BlockAPI, BlockHeaderAPI, ReceiptAPI, SignedTransactionAPI

CHAIN_ID: Final = 84532
GAS_LIMIT: Final = 30_000_000
ETHER: Final = 10**18
FAUCET_KEY: Final = bytes.fromhex("6d65736820646576656c6f706d656e7420666175636574000000000000000001")
"""Whoever reads this may spend what the faucet has."""
MAX_WAITING: Final = 4096
MAX_LOGS: Final = 10_000


class Reverted(MeshError):  # noqa: N818 - a condition, as the machine names it
    """Code refused; the message is its reason."""

    code = "reverted"

    def __init__(self, message: str, output: bytes) -> None:
        super().__init__(message)
        self.output = output


class TransactionRefused(MeshError):  # noqa: N818
    """A transaction that no block can have; the message says why."""

    code = "transaction-refused"


@dataclass(frozen=True, slots=True)
class ChainPlan:
    """What a chain begins with. ``units`` are atomic units of the token by address of 20 bytes, ``wei`` the same for
    ether; with ``block_time_s`` of 0 every transaction has a block of its own at once."""

    chain_id: int = CHAIN_ID
    token: bytes = bytes.fromhex(token.SEPOLIA_ADDRESS[2:])
    block_time_s: float = 0.0
    units: Mapping[bytes, int] = field(default_factory=dict)
    wei: Mapping[bytes, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """One log entry, and where it stands."""

    address: bytes
    topics: tuple[bytes, ...]
    data: bytes
    block: BlockAPI
    transaction: bytes
    transaction_index: int
    index: int


@dataclass(frozen=True, slots=True)
class Mined:
    """A transaction in its block, with its receipt."""

    transaction: SignedTransactionAPI
    receipt: ReceiptAPI
    block: BlockAPI
    index: int
    gas_used: int
    logs_before: int


class PrivateChain:
    """A chain of one process; not safe for several threads. ``clock`` gives seconds since 1970."""

    def __init__(self, plan: ChainPlan, clock: Callable[[], float]) -> None:
        load_chain()
        load_signing()
        from eth_account import Account

        from mesh.development.machine import make_chain

        self.plan = plan
        self.shift_s = 0
        self.waiting: list[SignedTransactionAPI] = []
        self._clock = clock
        self._faucet = Account.from_key(FAUCET_KEY)
        wei = {**plan.wei, bytes.fromhex(self._faucet.address[2:]): 10**9 * ETHER}
        self._chain: Any = make_chain(plan, wei, self._now())
        self._places: dict[bytes, tuple[int, int]] = {}

    # -- what it is now ----------------------------------------------------------------------------------------------

    @property
    def head(self) -> BlockHeaderAPI:
        found: BlockHeaderAPI = self._chain.get_canonical_head()
        return found

    def header(self, number: int) -> BlockHeaderAPI | None:
        """The header of a block, or None for a block that is not there."""
        if not 0 <= number <= self.head.block_number:
            return None
        found: BlockHeaderAPI = self._chain.get_canonical_block_header_by_number(number)
        return found

    def block(self, number: int) -> BlockAPI | None:
        header = self.header(number)
        return None if header is None else self._chain.get_block_by_header(header)

    def block_named(self, block_hash: bytes) -> BlockAPI | None:
        from eth.exceptions import HeaderNotFound

        try:
            header = self._chain.get_block_header_by_hash(block_hash)
        except HeaderNotFound:
            return None
        there = self.header(header.block_number)
        return self.block(header.block_number) if there is not None and there.hash == block_hash else None

    def state(self, number: int | None = None) -> Any:
        """The accounts as they are after a block. Raises `UsageError` when there is no such block."""
        header = self.head if number is None else self.header(number)
        if header is None:
            raise UsageError(f"block {number} is not there; the latest is {self.head.block_number}")
        return self._chain.get_vm(header).state

    def mined(self, transaction_hash: bytes) -> Mined | None:
        """A transaction that is in a block, or None."""
        place = self._places.get(transaction_hash)
        block = None if place is None else self.block(place[0])
        if place is None or block is None:
            return None
        receipts = block.get_receipts(self._chain.chaindb)
        index = place[1]
        before = receipts[index - 1].gas_used if index else 0
        logs = sum(len(each.logs) for each in receipts[:index])
        receipt = receipts[index]
        return Mined(block.transactions[index], receipt, block, index, receipt.gas_used - before, logs)

    def entries(self, first: int, last: int) -> Iterator[Entry]:
        """All log entries of these blocks, in their order."""
        for number in range(max(first, 0), min(last, self.head.block_number) + 1):
            block = self.block(number)
            if block is None or not block.header.bloom:
                continue
            index = 0
            for place, receipt in enumerate(block.get_receipts(self._chain.chaindb)):
                for log in receipt.logs:
                    topics = tuple(each.to_bytes(32, "big") for each in log.topics)
                    transaction = block.transactions[place].hash
                    yield Entry(log.address, topics, log.data, block, transaction, place, index)
                    index += 1

    # -- what runs on it ---------------------------------------------------------------------------------------------

    def call(
        self, to: bytes, data: bytes, *, sender: bytes = bytes(20), value: int = 0, number: int | None = None
    ) -> tuple[bytes, int]:
        """Run code as in the block after ``number``, without keeping anything: its output, and the gas it took. Raises
        `Reverted`."""
        from eth.vm.spoof import SpoofTransaction

        parent = self.head if number is None else self.header(number)
        if parent is None:
            raise UsageError(f"block {number} is not there; the latest is {self.head.block_number}")
        header = self._next_header(parent)
        vm, price = self._chain.get_vm(header), base_fee(header)
        unsigned = vm.create_unsigned_transaction(
            nonce=vm.state.get_nonce(sender),
            gas_price=price,
            gas=GAS_LIMIT // 2,
            to=to,
            value=value,
            data=data,
        )
        vm.state.set_balance(sender, 10**9 * ETHER)
        spoof = SpoofTransaction(unsigned, from_=sender)
        try:
            computation = vm.state.apply_transaction(spoof)
        except RecursionError:
            raise Reverted("code that calls deeper than this interpreter goes", b"") from None
        if computation.is_error:
            raise Reverted(reason_of(computation.output, computation.error), computation.output)
        return computation.output, spoof.intrinsic_gas + computation.get_gas_used()

    def send(self, raw: bytes) -> bytes:
        """Take a signed transaction and give its hash; without a block time it is in a block by then. Raises
        `TransactionRefused`."""
        from eth.exceptions import UnrecognizedTransactionType
        from eth_keys.exceptions import BadSignature
        from eth_utils.exceptions import ValidationError
        from rlp.exceptions import DecodingError, DeserializationError

        try:
            transaction = self._chain.get_vm(self._next_header()).get_transaction_builder().decode(raw)
            transaction.validate()
            sender = transaction.sender
        except (
            ValidationError,
            DecodingError,
            DeserializationError,
            UnrecognizedTransactionType,
            BadSignature,
            IndexError,
            TypeError,
            ValueError,
        ) as error:
            raise TransactionRefused(f"this is no transaction: {error}") from None
        self._admit(transaction, sender)
        self.waiting.append(transaction)
        if not self.plan.block_time_s:
            self.mine()
        hashed: bytes = transaction.hash
        return hashed

    def next_nonce(self, address: bytes) -> int:
        """Of the next transaction that this address sends, those that wait counted."""
        nonce: int = self.state().get_nonce(address)
        return nonce + sum(each.sender == address for each in self.waiting)

    def mine(self) -> BlockHeaderAPI:
        """Make a block of what waits; a transaction that can no longer run is left out for good."""
        from eth_utils.exceptions import ValidationError

        chain, taken = self._chain, []
        chain.header = self._next_header()
        for each in self.waiting:
            try:
                chain.apply_transaction(each)
            except (ValidationError, RecursionError):
                continue
            taken.append(each)
        self.waiting.clear()
        chain.mine_block()
        number = self.head.block_number
        self._places.update((each.hash, (number, index)) for index, each in enumerate(taken))
        return self.head

    def go_back(self, number: int) -> None:
        """Forget every block after ``number``, as a reorganisation does. Raises `UsageError` when it is not there."""
        header = self.header(number)
        if header is None:
            raise UsageError(f"block {number} is not there; the latest is {self.head.block_number}")
        chaindb: Any = self._chain.chaindb
        chaindb._set_as_canonical_chain_head(chaindb.db, header, bytes(32))
        self._places = {key: place for key, place in self._places.items() if place[0] <= number}
        self.waiting.clear()

    def fund(self, address: bytes, wei: int, units: int) -> list[bytes]:
        """Ether from the faucet and newly minted units of the token; gives the transactions' hashes."""
        sent = []
        if wei:
            sent.append(self._from_faucet(address, wei, b""))
        if units:
            sent.append(self._from_faucet(self.plan.token, 0, token.mint_call(address, units)))
        return sent

    # -- within ------------------------------------------------------------------------------------------------------

    def _now(self) -> int:
        return int(self._clock()) + self.shift_s

    def _next_header(self, parent: BlockHeaderAPI | None = None) -> BlockHeaderAPI:
        """Of the block that would come after ``parent`` now."""
        parent = parent or self.head
        now = max(self._now(), parent.timestamp)
        made: BlockHeaderAPI = self._chain.create_header_from_parent(
            parent, timestamp=now, gas_limit=parent.gas_limit
        )
        return made

    def _admit(self, transaction: SignedTransactionAPI, sender: bytes) -> None:
        if len(self.waiting) >= MAX_WAITING:
            raise TransactionRefused(f"{MAX_WAITING} transactions wait already")
        if transaction.hash in self._places or any(each.hash == transaction.hash for each in self.waiting):
            raise TransactionRefused("already known")
        if transaction.chain_id not in (None, self.plan.chain_id):
            raise TransactionRefused(f"invalid chain id {transaction.chain_id}, this is {self.plan.chain_id}")
        wanted = self.next_nonce(sender)
        if transaction.nonce != wanted:
            which = "low" if transaction.nonce < wanted else "high"
            raise TransactionRefused(f"nonce too {which}: next nonce {wanted}, tx nonce {transaction.nonce}")
        header = self._next_header()
        if transaction.max_fee_per_gas < base_fee(header):
            raise TransactionRefused("max fee per gas less than block base fee")
        if transaction.gas > GAS_LIMIT or transaction.gas < transaction.intrinsic_gas:
            least = transaction.intrinsic_gas
            raise TransactionRefused(f"gas of {transaction.gas} is not between {least} and {GAS_LIMIT}")
        needed = transaction.value + transaction.gas * transaction.max_fee_per_gas
        if self.state().get_balance(sender) < needed:
            raise TransactionRefused("insufficient funds for gas * price + value")

    def _from_faucet(self, to: bytes, value: int, data: bytes) -> bytes:
        from eth_utils.address import to_checksum_address

        sender = bytes.fromhex(self._faucet.address[2:])
        signed = self._faucet.sign_transaction(
            {
                "chainId": self.plan.chain_id,
                "nonce": self.next_nonce(sender),
                "to": to_checksum_address(to),
                "value": value,
                "data": data,
                "gas": 200_000,
                "maxFeePerGas": 10**12,
                "maxPriorityFeePerGas": 0,
            }
        )
        return self.send(bytes(signed.raw_transaction))


def base_fee(header: BlockHeaderAPI) -> int:
    """Of a unit of gas, in wei."""
    return header.base_fee_per_gas or 0


def reason_of(output: bytes, error: object) -> str:
    """The text that code reverted with, else what the machine calls it."""
    if output[:4] == keccak(b"Error(string)")[:4] and len(output) >= 68:
        length = int.from_bytes(output[36:68], "big")
        return "execution reverted: " + output[68 : 68 + length].decode(errors="replace")
    return f"execution reverted ({type(error).__name__})"
