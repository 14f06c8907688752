"""Having an agent work, whether it is this node's or another's (sections 3.5, 7.5).

What is bought has to be its seller's to sell: the agent's id follows from the seller's key and the agent's name. The most
that is paid is what the listing says, or less if the caller says so.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mesh.apps.market.frames import exchange
from mesh.apps.market.payments.till import WorkFailed
from mesh.codecs.market import Frame
from mesh.errors import DecodeError, MeshError, PaymentError, UsageError
from mesh.go_json import write_instant
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.protocols.market import PAID_PROTOCOL_ID
from mesh.protocols.market.listing import Listing, atomic_price, resource_of, sold_by_streams
from mesh.protocols.market.naming import is_owned, node_did
from mesh.protocols.market.sessions import LOCAL_CALLER, PaymentRecord
from mesh.protocols.x402.amounts import checksummed
from mesh.protocols.x402.records import Purchase, PurchaseState, Sale, SaleState

if TYPE_CHECKING:
    from mesh.apps.market.agents import OwnAgents
    from mesh.apps.market.listings import Listings
    from mesh.apps.market.payments.purse import Exchanging, Purse
    from mesh.apps.market.sessions import Sessions
    from mesh.node import Node
    from mesh.protocols.x402.amounts import Keccak

log = logging.getLogger(__name__)

MAX_ADDRESSES: Final = 16
MAX_INPUT_BYTES: Final = 1024 * 1024


class UnknownAgent(UsageError):  # noqa: N818 - a condition, as the API names it
    """Neither this node nor a listing has an agent with that id."""

    code = "unknown-agent"


class PurchaseFailed(PaymentError):  # noqa: N818
    """A call that gave no output; ``purchase`` says whether money moved, as far as is known."""

    code = "purchase-failed"

    def __init__(self, purchase: Purchase) -> None:
        super().__init__(
            f"purchase {purchase.id} is {purchase.state.value}: {purchase.reason or 'no answer'}"
        )
        self.purchase = purchase


@dataclass(frozen=True, slots=True)
class Outcome:
    """An agent's output, and the purchase if it is another node's agent."""

    output: str
    purchase: Purchase | None = None


class Desk:
    """The shop that payments sell from: the node's own agents, with a session written for each free task.

    What was paid for is written down by `Calls.sold`, when the sale has come to its end.
    """

    def __init__(self, agents: OwnAgents, sessions: Sessions) -> None:
        self._agents = agents
        self._sessions = sessions

    def price(self, resource: str) -> int | None:
        """See `Shop`."""
        return self._agents.price(resource)

    async def run(self, resource: str, input_text: str, caller: str, purchase_id: str) -> str:
        """See `Shop`."""
        free = self._agents.price(resource) == 0
        output = error = ""
        try:
            output = await self._agents.run(resource, input_text, caller, purchase_id)
        except WorkFailed as failure:
            error = str(failure)
            raise
        finally:
            if free:
                await self._sessions.add(resource, caller, purchase_id, input_text, output, error)
        return output


class Calls:
    """Runs tasks: of own agents at once, of others by a purchase."""

    def __init__(
        self, node: Node, agents: OwnAgents, listings: Listings, sessions: Sessions, keccak: Keccak | None
    ) -> None:
        self._node = node
        self._agents = agents
        self._listings = listings
        self._sessions = sessions
        self._keccak = keccak
        self._own_did = node_did(node.key.public)
        self.purse: Purse | None = None

    def cost(self, agent_id: str) -> int:
        """Atomic units that a task of an agent costs, by its listing; own ones cost nothing. Raises `UnknownAgent`."""
        return 0 if self._agents.get(agent_id) is not None else atomic_price(self._listing(agent_id).price)

    async def execute(
        self, agent_id: str, input_text: str, limit: int | None = None, purchase_id: str | None = None
    ) -> Outcome:
        """Have an agent work. The same ``purchase_id`` again is the same purchase: nothing is paid twice.

        Raises `UnknownAgent`, `UsageError`, `WorkFailed`, `PurchaseFailed`, `DialError`, `StorageError`.
        """
        if not input_text or len(input_text.encode()) > MAX_INPUT_BYTES:
            raise UsageError(f"a task has 1 to {MAX_INPUT_BYTES} bytes of text")
        own = self._agents.get(agent_id)
        if own is not None:
            return Outcome(await self._execute_here(own.did, input_text))
        return await self._buy(self._listing(agent_id), input_text, limit, purchase_id)

    def reach(self, peer: PeerId, addresses: Sequence[str] = ()) -> Exchanging:
        """A way to exchange frames with a seller, which is dialled when it is not connected; without ``addresses`` at
        those of its listings."""

        async def put(kind: str, data: bytes) -> tuple[str, bytes]:
            await self._connect(peer, addresses)
            frame = await exchange(self._node, peer, PAID_PROTOCOL_ID, Frame(kind, data), typed=True)
            return frame.kind, frame.data

        return put

    async def sold(self, sale: Sale) -> None:
        """Write down a sale that came to its end. Raises `StorageError`."""
        if sale.state is SaleState.VOID:
            return
        payer = sale.authorization.payer
        record = PaymentRecord(
            "",
            "" if sale.transaction is None else f"0x{sale.transaction.hex()}",
            str(sale.authorization.amount),
            "" if self._keccak is None else checksummed(payer, self._keccak),
            write_instant(int(sale.taken_at_s * 10**9)),
        )
        await self._sessions.add(
            sale.resource, sale.caller, sale.purchase, sale.input_text, sale.output, sale.reason, record
        )

    # -- within ------------------------------------------------------------------------------------------------------

    def _listing(self, agent_id: str) -> Listing:
        entry = self._listings.board.get(agent_id)
        if entry is None or entry.listing.seller_id == str(self._node.peer_id):
            raise UnknownAgent(f"agent not found: {agent_id[:256]}")
        return entry.listing

    async def _execute_here(self, did: str, input_text: str) -> str:
        request_id = f"local-{time.time_ns()}"
        output = error = ""
        try:
            output = await self._agents.run(did, input_text, LOCAL_CALLER, request_id)
        except WorkFailed as failure:
            error = str(failure)
            raise
        finally:
            await self._sessions.add(did, LOCAL_CALLER, request_id, input_text, output, error)
        return output

    async def _buy(
        self, listing: Listing, input_text: str, limit: int | None, purchase_id: str | None
    ) -> Outcome:
        assert self.purse is not None
        if not is_owned(listing):
            raise UsageError(
                f"the agent {listing.id} is not its seller's: its id does not follow from its name"
            )
        if not sold_by_streams(listing):
            raise UsageError(f"the agent {listing.id} is not sold over {PAID_PROTOCOL_ID}")
        price = atomic_price(listing.price)
        most = price if limit is None else min(price, limit)
        seller, resource = PeerId.parse(listing.seller_id), resource_of(listing)
        reach = self.reach(seller, listing.addrs)
        purchase = await self.purse.buy(seller, resource, input_text, most, reach, purchase_id)
        await self._note(purchase)
        if purchase.state is not PurchaseState.DELIVERED:
            raise PurchaseFailed(purchase)
        return Outcome(purchase.output, purchase)

    async def _note(self, purchase: Purchase) -> None:
        """Write down what was bought, under this node's own name."""
        record = None
        if purchase.authorization is not None:
            payer = purchase.authorization.payer
            record = PaymentRecord(
                "",
                purchase.tx_hash,
                str(purchase.amount),
                "" if self._keccak is None else checksummed(payer, self._keccak),
                write_instant(time.time_ns()),
            )
        await self._sessions.add(
            purchase.resource,
            self._own_did,
            purchase.id,
            purchase.input_text,
            purchase.output,
            purchase.reason,
            record,
        )

    async def _connect(self, peer: PeerId, addresses: Sequence[str]) -> None:
        """A connection to a seller, by its listings' addresses and those the node knows. Raises `MeshError`."""
        if self._node.swarm.is_connected(peer):
            return
        known = list(addresses)
        if not known:
            own = (entry.listing for entry in self._listings.board if entry.listing.seller_id == str(peer))
            known = [address for listing in own for address in listing.addrs]
        usable = [each for each in map(_address, dict.fromkeys(known)) if each is not None]
        await self._node.connect(peer, usable[:MAX_ADDRESSES])


def _address(text: str) -> Multiaddr | None:
    try:
        return Multiaddr.parse(text).without_peer()
    except (DecodeError, MeshError):
        return None
