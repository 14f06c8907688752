"""What a lookup tells of itself: its steps when traced, and its result. Times in seconds of the caller's clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Generic

from mesh.protocols.kademlia.key import Candidate, PeerT


class Ending(Enum):
    """Why a lookup is over; the value is a reason to print."""

    CONVERGED = "the closest peers have answered"
    STARVED = "nobody is left to ask"
    STOPPED = "stopped by the caller"
    REQUEST_LIMIT = "asked as many peers as it may"
    TIME_LIMIT = "ran as long as it may"


@dataclass(slots=True)
class Asked(Generic[PeerT]):
    """A request left. `hop` is 1 for the peers we knew, else one more than that of who named it first."""

    at: float
    peer: PeerT
    hop: int
    path: int
    named_by: PeerT | None
    prefix_length: int
    """How many leading bits its key shares with the target."""
    timeout_s: float


@dataclass(slots=True)
class Answered(Generic[PeerT]):
    """An answer came; `late` if the request was overdue. `new` of the `named` peers were not known to the lookup."""

    at: float
    peer: PeerT
    hop: int
    rtt_s: float
    named: int
    new: int
    late: bool


@dataclass(slots=True)
class Failed(Generic[PeerT]):
    """A request came to nothing; `cause` is the caller's word, or `timeout`."""

    at: float
    peer: PeerT
    hop: int
    cause: str


@dataclass(slots=True)
class Overdue(Generic[PeerT]):
    """A request took longer than its peer usually needs: another is asked meanwhile, a late answer still counts."""

    at: float
    peer: PeerT
    hop: int


@dataclass(slots=True)
class Ended:
    """The lookup is over; answers still to come are not used."""

    at: float
    ending: Ending


Step = Asked[PeerT] | Answered[PeerT] | Failed[PeerT] | Overdue[PeerT] | Ended


@dataclass(frozen=True, slots=True)
class Result(Generic[PeerT]):
    """What a lookup found."""

    closest: Sequence[Candidate[PeerT]]
    """Up to k peers that answered, nearest first."""
    path_lengths: Sequence[int]
    """The hop of each of them."""
    ending: Ending
    requests: int
    answers: int
    failures: int
    overdue: int
    """Requests that took longer than their timeout, whatever came of them."""
    duration_s: float

    @property
    def hops(self) -> int:
        """The longest of the paths to the peers found, 0 when there are none."""
        return max(self.path_lengths, default=0)
