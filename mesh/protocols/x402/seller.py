"""The selling side (sections 3.1, 3.4, 3.6): one generator for each frame that comes, and one to recover a sale.

A sale that is under way is finished whether the buyer waits or not; whoever drives these generators runs each to its end.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import Any, Final

from mesh.errors import Malformed
from mesh.go_json import Record, member
from mesh.protocols.x402 import messages
from mesh.protocols.x402.amounts import Keccak, checksummed, read_hex
from mesh.protocols.x402.challenges import LIFETIME_S, Challenges, OpenChallenge
from mesh.protocols.x402.checks import TIMEOUT_S, Payment, Recover, Refused, check_payment
from mesh.protocols.x402.evidence import Finding, Head, NonceUse, Verdict
from mesh.protocols.x402.messages import (
    EXECUTION_FAILED,
    INVALID_MESSAGE,
    NONCE_EXPIRED,
    NONCE_MISMATCH,
    PAYMENT_INVALID,
    REQUIRED,
    SETTLEMENT_FAILED,
    error_answer,
)
from mesh.protocols.x402.receipts import Sign, receipt_text, sign_receipt
from mesh.protocols.x402.records import Outcome, Sale, SaleState
from mesh.protocols.x402.settling import look, settle
from mesh.protocols.x402.steps import (
    Answer,
    FindSale,
    KeepSale,
    ReadHead,
    ReadUse,
    Step,
    Steps,
    TakeSale,
    Work,
    Worked,
)
from mesh.protocols.x402.typed_data import Token

MAX_OUTPUT_BYTES: Final = 6_000_000
"""Of the body of a response, as JSON; in base64 it has to fit into a frame of 8 MiB."""
MAX_ID_CHARACTERS: Final = 128
MAX_CALLER_CHARACTERS: Final = 512
NOT_CONFIGURED: Final = "payment service not configured"
NO_PREEMPTION: Final = "pre-emptive payments are not taken: ask for a challenge first"
INTERRUPTED: Final = "the seller stopped during the work"
_PAID_PREFIX: Final = "payment verification/settlement failed: "
_PREEMPTIVE_PREFIX: Final = "settlement failed: "
_REFUSED_PREFIX: Final = "payment validation failed: "


@dataclass(frozen=True, slots=True)
class Body(Record, name="map[string]string"):
    """What is inside the body of a request: the task, and what it is for."""

    input: str = member("input")
    resource: str = member("resource")


@dataclass(frozen=True, slots=True)
class Output(Record, name="map[string]string"):
    """What is inside the body of a response."""

    output: str = member("output")


@dataclass(frozen=True, slots=True)
class SellerTerms:
    """How a seller is paid: the token, 20 bytes of its address, and whether it takes payments without a challenge."""

    token: Token
    payee: bytes
    preemptive: bool = False


@dataclass(frozen=True, slots=True)
class Crypto:
    """What the machines need done with keys: `entropy` gives so many random bytes."""

    keccak: Keccak
    recover: Recover
    sign: Sign
    entropy: Callable[[int], bytes]


class Seller:
    """The seller of one node. ``price`` is the amount for a resource, 0 for a free one, None for one that is not here;
    without terms only free work is done."""

    def __init__(
        self,
        terms: SellerTerms | None,
        price: Callable[[str], int | None],
        clock: Callable[[], float],
        crypto: Crypto,
    ) -> None:
        self._terms = terms
        self._price = price
        self._clock = clock
        self._crypto = crypto
        self._challenges = Challenges()
        self.under_way: set[tuple[bytes, bytes]] = set()
        """Keys of sales that a generator is at work on."""

    # -- frames ------------------------------------------------------------------------------------------------------

    def answer(self, kind: str, data: bytes, remote: bytes) -> Steps:
        """What to send back for a frame of a peer. Raises nothing for what the peer did."""
        try:
            match kind:
                case messages.REQUEST:
                    return (yield from self._request(messages.Request.read(data), remote))
                case messages.PAID_REQUEST:
                    return (yield from self._paid_request(messages.PaidRequest.read(data), remote))
                case messages.CLAIM:
                    return (yield from self._claim(messages.Claim.read(data), remote))
        except Malformed as error:
            return error_answer(INVALID_MESSAGE, f"failed to unmarshal {kind}: {error.reason}")
        return error_answer(INVALID_MESSAGE, f"unknown message type: {kind}")

    def _request(self, request: messages.Request, remote: bytes) -> Steps:
        purchase, resource = request.correlation_id, request.resource
        _check_lengths(purchase, request.caller_did)
        price = self._price(resource)
        if price is None:
            return error_answer(EXECUTION_FAILED, f"agent not found: {resource}", purchase)
        if price == 0:
            work = Work(resource, _body(request.body).input, request.caller_did, purchase)
            return (yield from self._free(work))
        if request.payment is not None:
            return (yield from self._preemptive(request.payment, price, resource, request, remote))
        terms = self._terms
        if terms is None:
            return error_answer(REQUIRED, NOT_CONFIGURED, purchase)
        now = self._clock()
        nonce = self._crypto.entropy(32)
        challenge = OpenChallenge(nonce, resource, price, now + LIFETIME_S)
        self._challenges.issue(remote, purchase, challenge, now)
        answer = messages.PaymentRequired(
            messages.VERSION,
            purchase,
            nonce.hex(),
            int(challenge.expires_at_s),
            requirements_for(terms.token, terms.payee, price, self._crypto.keccak),
            messages.PAYMENT_REQUIRED_TEXT,
            resource,
        )
        return messages.PAYMENT_REQUIRED, answer.write()

    def _free(self, work: Work) -> Steps:
        worked: Worked = yield work
        if worked.failure:
            return error_answer(EXECUTION_FAILED, worked.failure, work.purchase)
        return _response(work.purchase, work.resource, worked.output)

    def _paid_request(self, request: messages.PaidRequest, remote: bytes) -> Steps:
        purchase, envelope = request.correlation_id, request.payment
        _check_lengths(purchase, request.caller_did)
        body = _body(request.body)
        if envelope.server_nonce == messages.PREEMPTIVE:
            price = self._price(body.resource) if body.resource else None
            if not body.resource:
                return error_answer(INVALID_MESSAGE, "missing resource in body", purchase)
            if price is None:
                return error_answer(EXECUTION_FAILED, f"agent not found: {body.resource}", purchase)
            return (yield from self._preemptive(envelope, price, body.resource, request, remote))
        if self._terms is None:
            return error_answer(PAYMENT_INVALID, NOT_CONFIGURED, purchase)
        challenge = self._challenges.take(remote, purchase, self._clock())
        refusal = _unchallenged(challenge, envelope, purchase)
        if challenge is None or refusal is not None:
            return refusal or _unknown_challenge(purchase)
        if not body.resource:
            return error_answer(INVALID_MESSAGE, "missing resource in body", purchase)
        if body.resource != challenge.resource:
            reason = f"resource mismatch: expected '{challenge.resource}', got '{body.resource[:200]}'"
            return error_answer(SETTLEMENT_FAILED, _PAID_PREFIX + _REFUSED_PREFIX + reason, purchase)
        work = Work(challenge.resource, body.input, request.caller_did, purchase)
        return (yield from self._sell(envelope, challenge.amount, work, remote, _PAID_PREFIX))

    def _preemptive(
        self,
        envelope: messages.Envelope,
        price: int,
        resource: str,
        request: messages.Request | messages.PaidRequest,
        remote: bytes,
    ) -> Steps:
        terms, purchase = self._terms, request.correlation_id
        if terms is None or not terms.preemptive:
            return error_answer(REQUIRED, NOT_CONFIGURED if terms is None else NO_PREEMPTION, purchase)
        work = Work(resource, _body(request.body).input, request.caller_did, purchase)
        if price == 0:
            return (yield from self._free(work))
        return (yield from self._sell(envelope, price, work, remote, _PREEMPTIVE_PREFIX, challenged=False))

    # -- sales -------------------------------------------------------------------------------------------------------

    def _sell(
        self,
        envelope: messages.Envelope,
        amount: int,
        work: Work,
        remote: bytes,
        prefix: str,
        challenged: bool = True,
    ) -> Steps:
        terms, crypto = self._terms, self._crypto
        assert terms is not None
        try:
            payment = check_payment(
                envelope, amount, terms.payee, terms.token, self._clock(), crypto.keccak, crypto.recover
            )
            sale = yield from self._take(payment, work, remote, challenged)
        except Refused as refusal:
            return error_answer(SETTLEMENT_FAILED, f"{prefix}{_REFUSED_PREFIX}{refusal}", work.purchase)
        if sale is None:
            return error_answer(
                SETTLEMENT_FAILED, f"{prefix}the ledger cannot be reached; nothing was settled", work.purchase
            )
        try:
            finding, said = yield from settle(sale, self._clock)
            sale = yield from self._go_on(sale, finding, said)
        finally:
            self.under_way.discard(sale.key)
        return self._outcome(sale, prefix)

    def _take(
        self, payment: Payment, work: Work, remote: bytes, challenged: bool
    ) -> Generator[Step, Any, Sale | None]:
        """The sale on disk, before anybody is asked to settle it; None where the ledger is not there to decide.

        A nonce that came without a challenge may have been used on the chain before, for what a lost store knew of.
        """
        terms, authorization = self._terms, payment.authorization
        assert terms is not None
        head: Head | None = yield ReadHead()
        if head is None:
            return None
        if not challenged:
            use: NonceUse | None = yield ReadUse(authorization, head.number)
            if use is None:
                return None
            if use.used:
                raise Refused(f"nonce already used: 0x{authorization.nonce.hex()}")
        sale = Sale(
            SaleState.TAKEN,
            terms.token,
            authorization,
            payment.signature,
            work.purchase,
            remote,
            work.resource,
            work.input_text,
            work.caller,
            head.number,
            self._clock(),
        )
        if sale.key in self.under_way:
            raise Refused(f"nonce already used: 0x{authorization.nonce.hex()}")
        self.under_way.add(sale.key)
        refusal = "not taken"
        try:
            refusal = yield TakeSale(sale)
        finally:
            if refusal:
                self.under_way.discard(sale.key)
        if refusal:
            raise Refused(refusal)
        return sale

    def _go_on(self, sale: Sale, finding: Finding, said: str) -> Generator[Step, Any, Sale]:
        """From TAKEN to what the ledger's verdict allows."""
        match finding.verdict:
            case Verdict.PAID:
                sale = replace(sale, state=SaleState.RUNNING, transaction=finding.transaction)
                yield KeepSale(sale)
                worked: Worked = yield Work(sale.resource, sale.input_text, sale.caller, sale.purchase)
                sale = self._worked(sale, worked)
            case Verdict.OPEN:
                return replace(sale, reason=f"{said}; the ledger does not show the payment yet")
            case Verdict.EXPIRED:
                sale = self._void(sale, f"{said}; the authorization expired unused")
            case Verdict.USED_OTHERWISE:
                sale = self._void(sale, "the nonce was used for something else, or cancelled")
        yield KeepSale(sale)
        return sale

    def _worked(self, sale: Sale, worked: Worked) -> Sale:
        if len(Output(worked.output).write()) > MAX_OUTPUT_BYTES:
            worked = Worked("", f"an output of more than {MAX_OUTPUT_BYTES} bytes")
        if worked.failure:
            sale = replace(sale, state=SaleState.REFUND, reason=worked.failure)
            return self._signed(sale, Outcome.REFUND)
        done = replace(sale, state=SaleState.DONE, output=worked.output, reason="")
        return self._signed(done, Outcome.DELIVERED)

    def _void(self, sale: Sale, reason: str) -> Sale:
        """Of what was never paid the task is not kept."""
        void = replace(sale, state=SaleState.VOID, reason=reason, input_text="")
        return self._signed(void, Outcome.UNPAID)

    def _signed(self, sale: Sale, outcome: Outcome) -> Sale:
        crypto = self._crypto
        return replace(sale, receipt=sign_receipt(sale, outcome, self._clock(), crypto.keccak, crypto.sign))

    # -- afterwards --------------------------------------------------------------------------------------------------

    def recover(self, sale: Sale) -> Generator[Step, Any, Sale]:
        """Take up a sale that a crash or a silent ledger left behind; one that is under way is given back as it is.

        It is read anew, since it may have ended after it was read. Work that was begun is not begun again: the buyer gets
        a refund record.
        """
        if sale.key in self.under_way:
            return sale
        self.under_way.add(sale.key)
        try:
            known: Sale | None = yield FindSale(sale.remote, sale.authorization.nonce)
            if known is None or known.state.ended:
                return known or sale
            sale = known
            if sale.state is SaleState.RUNNING:
                sale = self._worked(sale, Worked("", INTERRUPTED))
                yield KeepSale(sale)
                return sale
            finding = yield from look(sale)
            return (yield from self._go_on(sale, finding, "asked again"))
        finally:
            self.under_way.discard(sale.key)

    def _claim(self, claim: messages.Claim, remote: bytes) -> Steps:
        purchase = claim.correlation_id
        _check_lengths(purchase, "")
        nonce = read_hex(claim.challenge_nonce, 32, "Claim.challenge_nonce")
        sale: Sale | None = yield FindSale(remote, nonce)
        if sale is None or sale.purchase != purchase:
            return error_answer(NONCE_EXPIRED, "no such purchase of this peer", purchase)
        if sale.key not in self.under_way:
            sale = yield from self.recover(sale)
        return self._outcome(sale, "")

    def _outcome(self, sale: Sale, prefix: str) -> Answer:
        """The frame that tells how a sale stands."""
        receipt = None if sale.receipt is None else receipt_text(sale.receipt, self._crypto.keccak)
        match sale.state:
            case SaleState.DONE if sale.reason:
                return error_answer(NONCE_EXPIRED, sale.reason, sale.purchase, receipt)
            case SaleState.DONE:
                transaction = "" if sale.transaction is None else "0x" + sale.transaction.hex()
                return _response(sale.purchase, sale.resource, sale.output, transaction, receipt)
            case SaleState.REFUND:
                return error_answer(EXECUTION_FAILED, sale.reason, sale.purchase, receipt)
            case SaleState.VOID:
                return error_answer(SETTLEMENT_FAILED, prefix + sale.reason, sale.purchase, receipt)
        reason = sale.reason or "the purchase is under way"
        return error_answer(SETTLEMENT_FAILED, prefix + reason, sale.purchase)


def requirements_for(token: Token, payee: bytes, amount: int, keccak: Keccak) -> messages.Requirements:
    """What is asked of a buyer, and shown to a facilitator."""
    return messages.Requirements(
        messages.SCHEME,
        token.network,
        str(amount),
        checksummed(token.address, keccak),
        checksummed(payee, keccak),
        TIMEOUT_S,
        messages.Domain(token.name, token.version),
    )


def _check_lengths(purchase: str, caller: str) -> None:
    """What is kept of a frame is short. Raises `Malformed`."""
    if len(purchase) > MAX_ID_CHARACTERS:
        raise Malformed(
            "correlation_id", None, f"a correlation_id of more than {MAX_ID_CHARACTERS} characters"
        )
    if len(caller) > MAX_CALLER_CHARACTERS:
        raise Malformed("caller_did", None, f"a caller_did of more than {MAX_CALLER_CHARACTERS} characters")


def _body(data: bytes | None) -> Body:
    """The task in a request's body; one that cannot be read is empty."""
    try:
        return Body.read(data or b"")
    except Malformed:
        return Body()


def _response(
    purchase: str,
    resource: str,
    output: str,
    transaction: str = "",
    receipt: messages.ReceiptText | None = None,
) -> Answer:
    answer = messages.Response(
        messages.VERSION,
        purchase,
        "",
        transaction,
        Output(output).write(),
        resource,
        receipt=receipt,
    )
    return messages.RESPONSE, answer.write()


def _unknown_challenge(purchase: str) -> Answer:
    reason = f"challenge expired or unknown: challenge not found for correlation_id: {purchase}"
    return error_answer(NONCE_EXPIRED, reason, purchase)


def _unchallenged(
    challenge: OpenChallenge | None, envelope: messages.Envelope, purchase: str
) -> Answer | None:
    """The refusal of a payment that is not the answer to this challenge."""
    if challenge is None:
        return _unknown_challenge(purchase)
    wanted = challenge.nonce.hex()
    if envelope.server_nonce != wanted:
        reason = f"nonce mismatch: expected {wanted}, got {envelope.server_nonce[:200]}"
        return error_answer(NONCE_MISMATCH, reason, purchase)
    if envelope.payload is not None:
        nonce = envelope.payload.authorization.nonce.removeprefix("0x")
        if nonce and nonce != wanted:
            reason = "EIP-712 auth nonce does not match challenge nonce"
            return error_answer(NONCE_MISMATCH, reason, purchase)
    return None
