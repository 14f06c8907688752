"""The buying side (section 3.5): one generator buys, one finds out what became of a purchase.

Errors of a seller after the payment left are not believed: it may still settle what it refused. Only its output ends a
purchase at once; what else there is to know, the ledger knows.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import Any, Final

from mesh.errors import Malformed
from mesh.go_json.parsing import Members, parse
from mesh.protocols.x402 import messages
from mesh.protocols.x402.amounts import checksummed, read_hex
from mesh.protocols.x402.checks import Refused, authorization_for, check_challenge
from mesh.protocols.x402.evidence import Head, NonceUse, Verdict, found
from mesh.protocols.x402.receipts import receipt_for
from mesh.protocols.x402.records import Outcome, Purchase, PurchaseState
from mesh.protocols.x402.seller import Body, Crypto
from mesh.protocols.x402.steps import (
    Answer,
    Exchange,
    FindPurchase,
    KeepPurchase,
    ReadHead,
    ReadUse,
    ReservePurchase,
    Step,
)
from mesh.protocols.x402.typed_data import Authorization, Token, authorization_digest

METHOD: Final = "execute"
CLAIM_KEPT_S: Final = 24 * 3600.0
"""An output that was paid for is asked for so long."""
_MAX_REASON_CHARACTERS: Final = 500

Buying = Generator[Step, Any, Purchase]


@dataclass(frozen=True, slots=True)
class BuyerTerms:
    """How a buyer pays: the token, and 20 bytes of its address."""

    token: Token
    payer: bytes


class Buyer:
    """The buyer of one node; without terms it takes only what is free."""

    def __init__(self, terms: BuyerTerms | None, clock: Callable[[], float], crypto: Crypto) -> None:
        self._terms = terms
        self._clock = clock
        self._crypto = crypto

    # -- buying ------------------------------------------------------------------------------------------------------

    def buy(self, purchase: Purchase) -> Buying:
        """Buy what an INTENDED purchase names, for at most its limit. It may come back UNKNOWN or PAID; `resolve` goes on
        from there."""
        yield KeepPurchase(purchase)
        body = Body(purchase.input_text, purchase.resource).write()
        request = messages.Request(
            messages.VERSION,
            purchase.id,
            purchase.resource,
            METHOD,
            body=body,
            caller_did=purchase.caller,
        )
        answer: Answer | None = yield Exchange(purchase.seller, messages.REQUEST, request.write())
        try:
            purchase, envelope = yield from self._commit(purchase, answer)
        except (Refused, Malformed) as refusal:
            purchase = _ended(purchase, PurchaseState.REFUSED, str(refusal))
        if not purchase.state.open:
            yield KeepPurchase(purchase)
            return purchase
        paid = messages.PaidRequest(messages.VERSION, purchase.id, envelope, body, purchase.caller)
        answer = yield from self._pay(purchase, paid.write())
        purchase = self._heard(purchase, answer)
        yield KeepPurchase(purchase)
        return (yield from self.resolve(purchase))

    def _pay(self, purchase: Purchase, paid: bytes) -> Generator[Step, Any, Answer | None]:
        """Send the payment; once more, the very same, where the seller says that it never got it."""
        answer: Answer | None = yield Exchange(purchase.seller, messages.PAID_REQUEST, paid)
        if answer is None:
            answer = yield self._claim(purchase)
            if _error_code(answer) == messages.NONCE_EXPIRED:
                answer = yield Exchange(purchase.seller, messages.PAID_REQUEST, paid)
        return answer

    def _claim(self, purchase: Purchase) -> Exchange:
        nonce = _authorization(purchase).nonce.hex()
        claim = messages.Claim(messages.VERSION, purchase.id, nonce)
        return Exchange(purchase.seller, messages.CLAIM, claim.write())

    def _commit(
        self, purchase: Purchase, answer: Answer | None
    ) -> Generator[Step, Any, tuple[Purchase, messages.Envelope]]:
        """The purchase with its authorization on disk and the payment signed; or delivered, where it is free. Raises
        `Refused` or `Malformed` before anything was signed."""
        if answer is None:
            raise Refused("the seller did not answer")
        kind, data = answer
        if kind == messages.RESPONSE:
            response = messages.Response.read(data)
            if response.correlation_id != purchase.id:
                raise Refused("the answer is for another request")
            delivered = replace(purchase, state=PurchaseState.DELIVERED, output=output_of(response.body))
            return delivered, messages.Envelope()
        if kind == messages.ERROR:
            raise Refused(_told(messages.ErrorMessage.read(data)))
        if kind != messages.PAYMENT_REQUIRED:
            raise Refused(f"the seller answered {kind[:60]!r}")
        terms = self._terms
        if terms is None:
            raise Refused("the seller asks for a payment, and payments are off")
        head: Head | None = yield ReadHead()
        if head is None:
            raise Refused("the ledger cannot be reached; nothing was signed")
        now = self._clock()
        asked = check_challenge(
            messages.PaymentRequired.read(data),
            purchase.id,
            purchase.resource,
            terms.token,
            terms.payer,
            purchase.limit,
            now,
        )
        authorization = authorization_for(asked, terms.payer, now)
        authorized = replace(
            purchase,
            state=PurchaseState.AUTHORIZED,
            amount=asked.amount,
            token=terms.token,
            authorization=authorization,
            since_block=head.number,
        )
        refusal: str = yield ReservePurchase(authorized)
        if refusal:
            raise Refused(refusal)
        return authorized, self._signed(terms.token, authorization)

    def _signed(self, token: Token, authorization: Authorization) -> messages.Envelope:
        crypto = self._crypto
        signature = crypto.sign(authorization_digest(token, authorization, crypto.keccak))
        return envelope_for(token, authorization, signature, authorization.nonce.hex(), crypto)

    # -- finding out -------------------------------------------------------------------------------------------------

    def resolve(self, purchase: Purchase) -> Buying:
        """What became of a purchase, as far as seller and ledger tell now. One that was INTENDED when a crash came is
        REFUSED: nothing was signed. It is read anew, since it may have gone on after it was read."""
        known: Purchase | None = yield FindPurchase(purchase.id)
        purchase = known or purchase
        if purchase.state is PurchaseState.INTENDED:
            purchase = _ended(purchase, PurchaseState.REFUSED, "the buyer stopped before anything was signed")
            yield KeepPurchase(purchase)
            return purchase
        before = purchase
        if self._claims(purchase):
            answer: Answer | None = yield self._claim(purchase)
            purchase = self._heard(purchase, answer)
        if purchase.authorization is not None and purchase.settled is None:
            use: NonceUse | None = yield ReadUse(purchase.authorization, purchase.since_block)
            purchase = self._judged(purchase, use)
        if purchase != before:
            yield KeepPurchase(purchase)
        return purchase

    def _claims(self, purchase: Purchase) -> bool:
        """Whether the seller may have an output that is not here."""
        waiting = purchase.state.open or (purchase.state is PurchaseState.PAID and not _refunded(purchase))
        return waiting and self._clock() < purchase.created_at_s + CLAIM_KEPT_S

    def _heard(self, purchase: Purchase, answer: Answer | None) -> Purchase:
        """The purchase after an answer that came once the payment had left."""
        reason = "the seller did not answer"
        text: messages.ReceiptText | None = None
        try:
            if answer is not None and answer[0] == messages.RESPONSE:
                response = messages.Response.read(answer[1])
                if response.correlation_id == purchase.id:
                    return self._delivered(purchase, response)
                reason = "the answer is for another request"
            elif answer is not None and answer[0] == messages.ERROR:
                error = messages.ErrorMessage.read(answer[1])
                reason, text = _told(error), error.receipt
            elif answer is not None:
                reason = f"the seller answered {answer[0][:60]!r}"
        except Malformed as error:
            reason = f"the seller's answer cannot be read: {error}"
        crypto = self._crypto
        receipt = receipt_for(purchase, text, crypto.keccak, crypto.recover) or purchase.receipt
        state = PurchaseState.UNKNOWN if purchase.state.open else purchase.state
        return replace(purchase, state=state, reason=reason[:_MAX_REASON_CHARACTERS], receipt=receipt)

    def _delivered(self, purchase: Purchase, response: messages.Response) -> Purchase:
        crypto = self._crypto
        try:
            transaction: bytes | None = read_hex(response.tx_hash, 32, "tx_hash")
        except Malformed:
            transaction = None
        return replace(
            purchase,
            state=PurchaseState.DELIVERED,
            output=output_of(response.body),
            transaction=purchase.transaction or transaction,
            receipt=receipt_for(purchase, response.receipt, crypto.keccak, crypto.recover)
            or purchase.receipt,
            reason="",
        )

    def _judged(self, purchase: Purchase, use: NonceUse | None) -> Purchase:
        """The purchase after the ledger was asked. Its payer signs nothing else with this nonce."""
        authorization, token = _authorization(purchase), purchase.token
        assert token is not None
        if use is None:
            return purchase
        finding = found(use, token, authorization)
        if use.used:
            state = PurchaseState.PAID if purchase.state.open else purchase.state
            transaction = finding.transaction if finding.verdict is Verdict.PAID else None
            return replace(
                purchase, state=state, settled=True, transaction=transaction or purchase.transaction
            )
        if finding.verdict is not Verdict.EXPIRED:
            return purchase
        if not purchase.state.open:
            return replace(purchase, settled=False, transaction=None)
        return replace(purchase, state=PurchaseState.UNPAID, settled=False)


def envelope_for(
    token: Token, authorization: Authorization, signature: bytes, server_nonce: str, crypto: Crypto
) -> messages.Envelope:
    """A payment as it is sent."""
    payer = checksummed(authorization.payer, crypto.keccak)
    text = messages.AuthorizationText(
        payer,
        checksummed(authorization.payee, crypto.keccak),
        str(authorization.amount),
        str(authorization.valid_after),
        str(authorization.valid_before),
        "0x" + authorization.nonce.hex(),
    )
    payload = messages.Payload("0x" + signature.hex(), text)
    return messages.Envelope(
        messages.X402_VERSION, messages.SCHEME, token.network, server_nonce, payer, payload
    )


def output_of(body: bytes | None) -> str:
    """The output in a response's body: of an object of strings its member, else the body as text."""
    data = body or b""
    try:
        tree = parse(data)
    except Malformed:
        return data.decode("utf-8", "replace")
    if type(tree) is Members and all(type(value) is str for _, value in tree):
        return str(dict(tree).get("output", ""))
    return data.decode("utf-8", "replace")


def _error_code(answer: Answer | None) -> int:
    """The code of a refusal, 0 for any other answer."""
    if answer is None or answer[0] != messages.ERROR:
        return 0
    try:
        return messages.ErrorMessage.read(answer[1]).error_code
    except Malformed:
        return 0


def _authorization(purchase: Purchase) -> Authorization:
    assert purchase.authorization is not None
    return purchase.authorization


def _refunded(purchase: Purchase) -> bool:
    """Whether the seller signed that it owes the amount: there is no output to wait for."""
    receipt = purchase.receipt
    return receipt is not None and receipt.statement.outcome == Outcome.REFUND.value


def _ended(purchase: Purchase, state: PurchaseState, reason: str) -> Purchase:
    return replace(purchase, state=state, reason=reason[:_MAX_REASON_CHARACTERS])


def _told(error: messages.ErrorMessage) -> str:
    return f"the seller refused: {error.error_code} {error.error_name}: {error.message}"
