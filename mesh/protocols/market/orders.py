"""Orders: notes between buyer and seller, with no link to payment (section 2.1).

As the real node answers: blanks are filled, an unknown order is taken in whatever state it is said to be. Stricter: an
order that is known can be changed by the peer that made it alone, and one that has ended stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from mesh.errors import Malformed
from mesh.go_json import Record, member
from mesh.go_json.writing import write_json

STATUS_OF: Final = {"new": "pending", "accept": "accepted", "complete": "completed", "cancel": "cancelled"}
REQUESTS: Final = {
    "order.create": "new",
    "order.accept": "accept",
    "order.complete": "complete",
    "order.cancel": "cancel",
}
"""The type of a frame, and the type that its message has when it names none."""
ENDED: Final = frozenset(["completed", "cancelled"])
MAX_ORDER_BYTES: Final = 16 * 1024


@dataclass(frozen=True, slots=True)
class Order(Record, name="marketplace.Order"):
    """An order; ``timestamp`` is Unix seconds."""

    order_id: str = member("orderId")
    agent_id: str = member("agentId")
    buyer_id: str = member("buyerId")
    seller_id: str = member("sellerId", omit=True)
    price: float = member("price", 0.0)
    status: str = member("status")
    timestamp: int = member("timestamp", 0)


@dataclass(frozen=True, slots=True)
class OrderMessage(Record, name="marketplace.OrderMessage"):
    """What a peer says of an order."""

    type: str = member("type")
    order_id: str = member("orderId")
    agent_id: str = member("agentId")
    buyer_id: str = member("buyerId")
    seller_id: str = member("sellerId", omit=True)
    price: float = member("price", 0.0)
    status: str = member("status")
    timestamp: int = member("timestamp", 0)


@dataclass(frozen=True, slots=True)
class OrderAnswer(Record, name="marketplace.OrderAnswer"):
    """`{"order": ...}` or `{"error": ...}`."""

    order: Order | None = member("order", None)
    error: str = member("error", omit=True)


@dataclass(frozen=True, slots=True)
class KeptOrder(Record, name="mesh.KeptOrder"):
    """An order as it is stored, with the peer that made it."""

    order: Order | None = member("order", None)
    made_by: str = member("madeBy")


class OrderRefused(Malformed):
    """A message about an order that is not followed; ``reason`` is what its sender is told."""

    code = "order-refused"


def judge_order(
    request: str,
    data: bytes,
    remote: str,
    own: str,
    now_s: int,
    known: Callable[[str], KeptOrder | None],
) -> KeptOrder:
    """What is stored for a message in a frame of the type ``request`` from ``remote``. Raises `OrderRefused`."""
    if len(data) > MAX_ORDER_BYTES:
        raise OrderRefused("OrderMessage", None, f"invalid request: more than {MAX_ORDER_BYTES} bytes")
    try:
        message = OrderMessage.read(data)
    except Malformed as error:
        raise OrderRefused("OrderMessage", None, f"invalid request: {error.reason}") from None
    if not message.order_id:
        raise OrderRefused("OrderMessage", None, "order ID is required")
    kept = known(message.order_id)
    if kept is not None:
        _check_change(message, kept, remote)
    order = Order(
        message.order_id,
        message.agent_id,
        message.buyer_id or remote,
        message.seller_id or own,
        message.price,
        message.status or STATUS_OF[REQUESTS[request]],
        message.timestamp or now_s,
    )
    return KeptOrder(order, kept.made_by if kept is not None else remote)


def _check_change(message: OrderMessage, kept: KeptOrder, remote: str) -> None:
    if kept.made_by != remote:
        raise OrderRefused("OrderMessage", None, f"order {message.order_id[:64]} belongs to another peer")
    status = "" if kept.order is None else kept.order.status
    if status in ENDED:
        raise OrderRefused("OrderMessage", None, f"order {message.order_id[:64]} is {status}")


def write_order(order: Order) -> bytes:
    """The answer that has it."""
    return b'{"order":' + order.write() + b"}"


def write_refusal(reason: str) -> bytes:
    """The answer that says no."""
    return write_json({"error": reason})


def read_answer(data: bytes) -> Order:
    """The order in an answer. Raises `Malformed` for what is none, `OrderRefused` for a refusal."""
    answer = OrderAnswer.read(data)
    if answer.error:
        raise OrderRefused("OrderAnswer", None, answer.error[:1024])
    if answer.order is None:
        raise Malformed("OrderAnswer", None, "neither an order nor an error")
    return answer.order


def create(order: Order) -> OrderMessage:
    """The message that makes an order."""
    return OrderMessage(
        "new",
        order.order_id,
        order.agent_id,
        order.buyer_id,
        order.seller_id,
        order.price,
        order.status,
        order.timestamp,
    )


def blank_order(
    order_id: str, agent_id: str, buyer_id: str, seller_id: str, price: float, now_s: int
) -> Order:
    """An order that has just been made."""
    return Order(order_id, agent_id, buyer_id, seller_id, price, STATUS_OF["new"], now_s)


def with_status(order: Order, status: str) -> Order:
    """The order in another state."""
    return replace(order, status=status)
