"""Every error mesh raises, on one page.

Two questions order the tree: *whose fault is it*, and *what can I do*. A message always says which address or peer,
which stage, and which cause. ``code`` is the process exit status and the problem type of the control API.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


class MeshError(Exception):
    """Base of everything raised on purpose.

    ``code`` is stable: scripts may match on it. ``exit_status`` is what the command line returns.
    """

    code = "mesh"
    exit_status = 1


class UsageError(MeshError):
    """The caller asked for something that can never work; nothing was changed."""

    code = "usage"
    exit_status = 2


class ConfigError(MeshError):
    """A setting, a key file or a path is wrong; the message names it and where its value came from."""

    code = "config"
    exit_status = 3


class StorageError(MeshError):
    """A file or database on this machine could not be read or written."""

    code = "storage"
    exit_status = 3


class PaymentError(MeshError):
    """A payment was refused or its outcome is not known."""

    code = "payment"


# --- bytes that are not what their format says ---------------------------------------------------------------------


class DecodeError(MeshError, ValueError):
    """Bytes or text do not follow their format.

    ``field`` names the element (``"Identify.listen_addrs"``), ``offset`` is where it starts in the input, or None when
    the position says nothing (text forms give the character position).
    """

    code = "decode"
    exit_status = 2

    def __init__(self, field: str, offset: int | None, reason: str) -> None:
        where = "" if offset is None else f" at {offset}"
        super().__init__(f"{field}{where}: {reason}")
        self.field = field
        self.offset = offset
        self.reason = reason


class Truncated(DecodeError):  # noqa: N818 - a condition of the input, named as the specifications do
    """The input ended inside an element: more bytes could complete it."""

    code = "truncated"

    def __init__(
        self, field: str, offset: int | None, reason: str = "input ends inside this element"
    ) -> None:
        super().__init__(field, offset, reason)


class Malformed(DecodeError):  # noqa: N818
    """No further input can make these bytes valid."""

    code = "malformed"


# --- the peer -------------------------------------------------------------------------------------------------------


class PeerError(MeshError):
    """The remote peer broke a protocol, or refused.

    ``protocol`` is the protocol id or stage, ``wire_code`` the code to answer with (or that was received), ``clause``
    the place in the specification.
    """

    code = "peer"

    def __init__(
        self, message: str, *, protocol: str = "", wire_code: int | None = None, clause: str = ""
    ) -> None:
        super().__init__(message)
        self.protocol = protocol
        self.wire_code = wire_code
        self.clause = clause


class ProtocolNotSupported(PeerError):  # noqa: N818
    """The peer answered `na` to every protocol that was proposed."""

    code = "protocol-not-supported"


class WrongPeer(PeerError):  # noqa: N818
    """Another peer than the one that was dialled answered; ``found`` is its id."""

    code = "wrong-peer"

    def __init__(self, message: str, *, found: str, protocol: str = "", wire_code: int | None = None) -> None:
        super().__init__(message, protocol=protocol, wire_code=wire_code)
        self.found = found


class CertificateRefused(PeerError):  # noqa: N818
    """The peer's TLS certificates do not prove who it is; ``wire_code`` is the TLS alert that tells it so."""

    code = "certificate-refused"


class RelayRefused(PeerError):  # noqa: N818
    """A relay granted no reservation or no circuit; ``wire_code`` is its status."""

    code = "relay-refused"


class StreamReset(PeerError):  # noqa: N818
    """The stream was reset; ``wire_code`` is the peer's reason (0 when it gave none)."""

    code = "stream-reset"


# --- the network ----------------------------------------------------------------------------------------------------


class NetworkError(MeshError):
    """Something between here and the peer failed."""

    code = "network"


class Closed(NetworkError):  # noqa: N818
    """The connection, stream or node has ended; the message says who ended it and why."""

    code = "closed"


class TurnedAway(Closed):
    """The other end closed or reset the connection before it had sent a byte, as a listener at its limit does."""

    code = "turned-away"


class CutOff(Closed):
    """The connection ended without the end that its security protocol has: what came last may be missing."""

    code = "cut-off"


class EndOfStream(Closed):
    """The peer ended the stream in order, between messages."""

    code = "end-of-stream"


class RecordNotFound(NetworkError):  # noqa: N818
    """Nobody who was asked holds it."""

    code = "not-found"


class LimitedConnection(NetworkError):  # noqa: N818
    """The peer is connected only through a relay that limits the connection, and this is not for such a one."""

    code = "limited-connection"


class TimedOut(NetworkError, TimeoutError):  # noqa: N818
    """A stage did not finish in its time; the message names the stage and the limit."""

    code = "timed-out"


@dataclass(frozen=True, slots=True)
class DialFailure:
    """Why one address could not be used: the stage that failed, the cause in words, and the error behind it if it came
    from this process."""

    address: str
    stage: str
    cause: str
    error: Exception | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.address}: {self.stage}: {self.cause}"


class DialError(NetworkError):
    """No address of a peer could be used; ``failures`` holds one stage and cause for each."""

    code = "dial"

    def __init__(self, message: str, failures: Sequence[DialFailure] = ()) -> None:
        self.failures = tuple(failures)
        super().__init__("\n  ".join([message, *map(str, self.failures)]))


class TargetLost(NetworkError):  # noqa: N818
    """A peer that is to be tested cannot be reached, or no longer answers."""

    code = "target-lost"
    exit_status = 3


class AddressInUse(NetworkError):  # noqa: N818
    """A listen address is taken by another program."""

    code = "address-in-use"
    exit_status = 3


class LimitError(MeshError):
    """One of our own limits was reached.

    ``scope`` says whose (``node``, ``connection``, ``peer``...), ``limit`` which, ``value`` its size, ``key`` the setting
    that raises it; the message says how: limits of resource scopes are elements of one setting.
    """

    code = "limit"

    def __init__(self, scope: str, limit: str, value: int, key: str) -> None:
        scoped = key.removeprefix("limits.")
        where = key if scoped == key else f"{scoped} in limits.overrides"
        super().__init__(f"{scope}: {limit} is limited to {value} (raise {where})")
        self.scope = scope
        self.limit = limit
        self.value = value
        self.key = key
