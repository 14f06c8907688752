"""Messages for the tests of the store."""

from __future__ import annotations

from mesh.apps.agent.records import DeliveryState, Direction, MessageRecord

ALICE = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"
BOB = "12D3KooWD2ZthCxWx2pGVZ9onqGttXipu9b8QX525V62kKUid3xU"
START = 1_795_198_537_430
DAY = 86_400_000


def message(
    content: str,
    peer: str = ALICE,
    direction: Direction = Direction.INBOUND,
    at: int = START,
    message_type: str = "text",
    state: DeliveryState = DeliveryState.STORED,
    message_id: str = "",
) -> MessageRecord:
    return MessageRecord(0, peer, direction, content, message_type, at, state=state, message_id=message_id)
