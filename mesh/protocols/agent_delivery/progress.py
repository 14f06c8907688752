"""How far a message of ours has come, and when to try again. Instants are milliseconds of one clock."""

from __future__ import annotations

from typing import Final

from mesh.codecs.agent_delivery import State

QUEUED: Final = "queued"
SENT: Final = "sent"
DEAD: Final = "dead"
PROVEN: Final = {
    State.STORED: "stored",
    State.DELIVERED: "delivered",
    State.INVOKED: "invoked",
    State.RESUMED: "resumed",
    State.ANSWERED: "answered",
}
"""The names of what receipts prove."""
_RANK: Final = {name: rank for rank, name in enumerate([DEAD, QUEUED, SENT, *PROVEN.values()])}

FIRST_DELAY_MS: Final = 1000
LONGEST_DELAY_MS: Final = 300_000


def advanced(state: str, proven: State) -> str:
    """The state of a message once a receipt proves ``proven``: never less than before, and a dead one lives."""
    name = PROVEN[proven]
    return name if _RANK[name] > _RANK[state] else state


def retry_delay_ms(failures: int, chance: float) -> int:
    """How long to wait after so many failures in a row (1 or more): twice as long each time, from one second to five
    minutes, a quarter more or less by ``chance`` (0 to 1)."""
    delay = min(FIRST_DELAY_MS << min(failures - 1, 10), LONGEST_DELAY_MS)
    return int(delay * (0.75 + 0.5 * chance))
