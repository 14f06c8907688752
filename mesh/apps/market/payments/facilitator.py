"""The service that settles a payment on the chain for a seller (section 3.8): a hint each answer, the ledger decides."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Protocol, Self

from mesh.apps.market.payments.web import WebService
from mesh.errors import Malformed, NetworkError
from mesh.protocols.x402.amounts import Keccak, checksummed, read_hex
from mesh.protocols.x402.messages import (
    AuthorizationText,
    FacilitatorPayment,
    FacilitatorRequest,
    Payload,
    Requirements,
)
from mesh.protocols.x402.records import Sale
from mesh.protocols.x402.seller import requirements_for
from mesh.protocols.x402.steps import SettleAnswer
from mesh.protocols.x402.typed_data import Authorization

SETTLE_LIMIT_S: Final = 10.0
_MAX_REASON_CHARACTERS: Final = 300


class Facilitator(Protocol):
    """Who verifies and settles. Both raise `NetworkError` where no answer came."""

    async def verify(self, payment: Payload, requirements: Requirements) -> SettleAnswer:
        """Whether it would settle this; ``success`` is its word for valid."""
        ...

    async def settle(self, payment: Payload, requirements: Requirements) -> SettleAnswer:
        """Have the transfer made."""
        ...


class WebFacilitator:
    """The facilitator behind an http address, for the length of an `async with`."""

    def __init__(self, url: str) -> None:
        self._web = WebService(url, "the facilitator", SETTLE_LIMIT_S)

    async def __aenter__(self) -> Self:
        await self._web.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._web.__aexit__(kind, error, trace)

    async def verify(self, payment: Payload, requirements: Requirements) -> SettleAnswer:
        answer = await self._web.post("/verify", settle_body(payment, requirements))
        return _read(answer, "isValid", ("invalidReason", "invalidMessage"))

    async def settle(self, payment: Payload, requirements: Requirements) -> SettleAnswer:
        answer = await self._web.post("/settle", settle_body(payment, requirements))
        return _read(answer, "success", ("errorReason", "errorMessage", "invalidReason"))


def settle_body(payment: Payload, requirements: Requirements) -> bytes:
    """The body of both requests."""
    shown = FacilitatorPayment(accepted=requirements, payload=payment)
    return FacilitatorRequest(payment=shown, requirements=requirements).write()


def payload_of(authorization: Authorization, signature: bytes, keccak: Keccak) -> Payload:
    """A payment in text."""
    return Payload(
        "0x" + signature.hex(),
        AuthorizationText(
            checksummed(authorization.payer, keccak),
            checksummed(authorization.payee, keccak),
            str(authorization.amount),
            str(authorization.valid_after),
            str(authorization.valid_before),
            "0x" + authorization.nonce.hex(),
        ),
    )


def settlement_of(sale: Sale, keccak: Keccak) -> tuple[Payload, Requirements]:
    """What a facilitator is shown of a sale."""
    authorization = sale.authorization
    return (
        payload_of(authorization, sale.signature, keccak),
        requirements_for(sale.token, authorization.payee, authorization.amount, keccak),
    )


def _read(answer: Any, verdict: str, reasons: tuple[str, ...]) -> SettleAnswer:
    if not isinstance(answer, Mapping) or not isinstance(answer.get(verdict), bool):
        raise NetworkError(f"the facilitator: an answer without {verdict}")
    told = [answer[key] for key in reasons if isinstance(answer.get(key), str) and answer[key]]
    transaction = None
    if isinstance(answer.get("transaction"), str) and answer["transaction"]:
        try:
            transaction = read_hex(answer["transaction"], 32, "transaction")
        except Malformed as error:
            told.append(str(error))
    return SettleAnswer(answer[verdict], transaction, ": ".join(told)[:_MAX_REASON_CHARACTERS])
