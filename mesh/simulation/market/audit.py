"""What must hold when the faults are over and everybody has reconciled."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from mesh.apps.market.payments import purchases, sales
from mesh.apps.market.payments.wallet import recover
from mesh.protocols.x402.amounts import Keccak
from mesh.protocols.x402.receipts import check_receipt
from mesh.protocols.x402.records import Outcome, Purchase, PurchaseState, Sale, SaleState
from mesh.simulation.market.chain import ModelChain
from mesh.simulation.market.parties import BuyerParty, SellerParty, output_for

_AFTERWARDS = (PurchaseState.DELIVERED, PurchaseState.PAID, PurchaseState.UNPAID, PurchaseState.REFUSED)


@dataclass(slots=True)
class Findings:
    """What was wrong, by kind, and how the purchases ended."""

    unpaid_deliveries: list[str] = field(default_factory=list)
    double_settlements: list[str] = field(default_factory=list)
    left_unknown: list[str] = field(default_factory=list)
    untrue: list[str] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)
    hits: Counter[str] = field(default_factory=Counter)

    @property
    def sound(self) -> bool:
        wrong = (self.unpaid_deliveries, self.double_settlements, self.left_unknown, self.untrue)
        return not any(wrong)


def audit(chain: ModelChain, buyer: BuyerParty, seller: SellerParty, cheat: str, keccak: Keccak) -> Findings:
    """Everything that is wrong with the end of a run; of a payer that cheats only what touches the seller."""
    found = Findings()
    bought = purchases.newest(buyer.database, 1000)
    sold = sales.newest(seller.database, 1000)
    _audit_sales(found, chain, seller, sold, keccak)
    settled = Counter((each.payer, each.nonce) for each in chain.transfers)
    found.double_settlements += [nonce.hex() for (_, nonce), count in settled.items() if count > 1]
    for purchase in bought:
        _audit_purchase(found, chain, purchase, sold, bool(cheat))
    owned = {each.authorization.nonce for each in bought if each.authorization is not None}
    strangers = [each for each in chain.transfers if each.nonce not in owned]
    if strangers and not cheat:
        found.untrue.append("a transfer that no purchase knows of")
    found.hits.update(buyer.hits)
    found.hits.update(seller.hits)
    return found


def _audit_sales(
    found: Findings, chain: ModelChain, seller: SellerParty, sold: list[Sale], keccak: Keccak
) -> None:
    found.unpaid_deliveries += seller.unpaid_works
    found.untrue += [f"{name}: worked on {count} times" for name, count in seller.works.items() if count > 1]
    paid = {(each.payer, each.nonce): each for each in chain.transfers}
    for sale in sold:
        transfer = paid.get(sale.key)
        ours = transfer is not None and transfer.payee == seller.wallet.address
        match sale.state:
            case SaleState.TAKEN | SaleState.RUNNING:
                found.left_unknown.append(f"sale {sale.purchase}: {sale.state.value}")
            case SaleState.DONE | SaleState.REFUND:
                if not ours:
                    found.unpaid_deliveries.append(sale.purchase)
            case SaleState.VOID:
                if ours:
                    found.untrue.append(f"sale {sale.purchase} was paid, and is void")
        found.ends[f"sale {sale.state.value}"] += 1
        receipt = sale.receipt
        if receipt is None:
            found.untrue.append(f"sale {sale.purchase} has no receipt")
        elif not check_receipt(receipt, keccak, recover):
            found.untrue.append(f"the receipt of sale {sale.purchase} is badly signed")
        elif (receipt.statement.outcome == Outcome.REFUND.value) != (sale.state is SaleState.REFUND):
            found.untrue.append(f"the receipt of sale {sale.purchase} says {receipt.statement.outcome}")
    known = {sale.key for sale in sold}
    for each in chain.transfers:
        if each.payee == seller.wallet.address and (each.payer, each.nonce) not in known:
            found.untrue.append("a payment that the seller has no record of")


def _audit_purchase(
    found: Findings, chain: ModelChain, purchase: Purchase, sold: list[Sale], cheated: bool
) -> None:
    name, state = f"purchase {purchase.id}", purchase.state
    found.ends[f"purchase {state.value}"] += 1
    if state not in _AFTERWARDS:
        found.left_unknown.append(f"{name}: {state.value}")
        return
    authorization = purchase.authorization
    if authorization is None:
        if state is not PurchaseState.REFUSED:
            found.untrue.append(f"{name} is {state.value} without an authorization")
        return
    used = (authorization.payer, authorization.nonce) in chain.used
    if state is PurchaseState.PAID and not used:
        found.untrue.append(f"{name} is paid, and its nonce unused")
    if state is PurchaseState.UNPAID and used:
        found.untrue.append(f"{name} is unpaid, and its nonce used")
    if purchase.settled is not used:
        found.untrue.append(f"{name}: settled {purchase.settled}, the chain says {used}")
    if state is PurchaseState.DELIVERED and purchase.output != output_for(purchase.input_text):
        found.untrue.append(f"{name} got another output")
    if state is PurchaseState.PAID and not cheated:
        sale = next((each for each in sold if each.key == (authorization.payer, authorization.nonce)), None)
        if sale is None:
            found.untrue.append(f"{name} is paid, and the seller has no record of it")
        elif sale.state is not SaleState.REFUND:
            found.untrue.append(f"{name} is paid, its sale {sale.state.value}, and no output came")
        elif purchase.receipt is None:
            found.untrue.append(f"{name} is paid, and has no refund record")
