"""Sessions: what one caller asked of one agent, and got (section 3.10). `caller_did` is not proven by anything."""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from typing import Final

from mesh.go_json import Record, member, write_instant

PREFIX: Final = "/sessions"
LOCAL_CALLER: Final = "local"
MAX_EXCHANGES: Final = 100
"""Kept in a session; the oldest go."""
MAX_KEPT_TEXT: Final = 16 * 1024
"""Characters of a task, and of its outcome, that a session keeps."""


@dataclass(frozen=True, slots=True)
class PaymentRecord(Record, name="session.PaymentRecord"):
    """What was paid for an exchange; ``amount`` is atomic units in decimal."""

    payment_id: str = member("paymentId")
    tx_hash: str = member("txHash")
    amount: str = member("amount")
    payer: str = member("payer")
    paid_at: str = member("paidAt")


@dataclass(frozen=True, slots=True)
class Exchange(Record, name="session.Exchange"):
    """One task and what came of it; ``timestamp`` is RFC 3339."""

    request_id: str = member("requestId")
    input: str = member("input")
    output: str = member("output")
    error: str = member("error", omit=True)
    timestamp: str = member("timestamp")
    payment: PaymentRecord | None = member("payment", None, omit=True)


@dataclass(frozen=True, slots=True)
class Session(Record, name="session.Session"):
    """All exchanges between a caller and an agent."""

    id: str = member("id")
    agent_id: str = member("agentId")
    caller_id: str = member("callerId")
    created_at: str = member("createdAt")
    updated_at: str = member("updatedAt")
    exchanges: tuple[Exchange, ...] | None = member("exchanges", None)


def session_key(agent_id: str, caller_id: str) -> str:
    """Where it is stored."""
    return f"{agent_prefix(agent_id)}{_segment(caller_id)}"


def agent_prefix(agent_id: str) -> str:
    """Where all sessions of an agent are stored."""
    return f"{PREFIX}/{_segment(agent_id)}/"


def add_exchange(session: Session, exchange: Exchange, now_ns: int) -> Session:
    """The session with one exchange more."""
    shortened = replace(
        exchange, input=exchange.input[:MAX_KEPT_TEXT], output=exchange.output[:MAX_KEPT_TEXT]
    )
    exchanges = (*(session.exchanges or ()), shortened)[-MAX_EXCHANGES:]
    return replace(session, exchanges=exchanges, updated_at=write_instant(now_ns))


def new_session(id: str, agent_id: str, caller_id: str, now_ns: int) -> Session:
    """A session without exchanges."""
    now = write_instant(now_ns)
    return Session(id, agent_id, caller_id, now, now, ())


def _segment(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
