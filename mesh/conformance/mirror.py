"""Mirror mode: the harness listens, and every connection that the peer under test makes is the next case's.

The peer has to dial the harness again and again; whatever makes it do so is no part of this.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol

from mesh.conformance.attempt import Attempt, Options
from mesh.conformance.case import Case
from mesh.conformance.catalogue import select
from mesh.conformance.quic_mirror import QuicDoor
from mesh.conformance.runner import Plan, Report, outcome, run_attempt, unasked
from mesh.conformance.target import Target
from mesh.conformance.tcp_mirror import TcpDoor
from mesh.conformance.verdict import Result, Verdict
from mesh.errors import NetworkError, UsageError
from mesh.identity.keys import PrivateKey
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.addresses import quic_endpoint, tcp_endpoint


class Door(Protocol):
    """Where the harness listens. ``deserted``: nobody dialed for so long that nobody will."""

    deserted: bool

    @property
    def address(self) -> Multiaddr:
        """With the id that the harness has for the whole run."""

    def attempt(self, case: Case, target: Target, options: Options) -> Attempt:
        """An attempt that takes its connections from here."""

    def close(self) -> None:
        """Listen no more."""


def mirrored_cases(ids: Sequence[str], address: Multiaddr) -> list[Case]:
    """The cases of these ids for who dials such an address. Raises `UsageError` when there are none."""
    transport = "tcp" if quic_endpoint(address.without_peer()) is None else "quic"
    found = [each for each in select(ids, mirrored=True) if each.transport == transport]
    if not found:
        raise UsageError(
            f"no such case is for {address}; `mesh conform --list --listen {address}` has those that are"
        )
    return found


async def open_door(address: Multiaddr, identity: PrivateKey) -> Door:
    """Listen. Raises `UsageError` for an address neither of TCP nor QUIC, `NetworkError` if it cannot be had."""
    bare = address.without_peer()
    try:
        if (tcp := tcp_endpoint(bare)) is not None:
            return await TcpDoor.open(tcp, identity)
        if (quic := quic_endpoint(bare)) is not None:
            return await QuicDoor.open(quic, identity)
    except OSError as error:
        raise NetworkError(f"cannot listen on {address}: {error.strerror or error}") from error
    raise UsageError(f"{address}: only TCP and QUIC addresses can be listened on")


async def run_mirror(door: Door, plan: Plan, options: Options, on_result: Callable[[Result], None]) -> Report:
    """Run the mirrored cases of a plan one after another, each on connections of its own. A dialer that dials no more has
    not survived."""
    target = Target.parse(str(door.address))
    target.agent = "the dialer"
    report = Report(target, options, plan.strict, datetime.now(UTC), mirrored=True)
    began = time.monotonic()
    stopped = ""
    for case in plan.cases:
        if door.deserted:
            result = outcome(case, Verdict.ERROR, stopped)
        elif stopped:
            result = unasked(case, stopped)
        else:
            result = await run_attempt(door.attempt(case, target, options))
            report.survived = not door.deserted
            if door.deserted:
                stopped = f"nobody dials any more since {case.id}"
            elif plan.fail_fast and result.verdict is Verdict.FAIL:
                stopped = f"stopped at the first failure, {case.id}"
        report.results.append(result)
        on_result(result)
    report.seconds = time.monotonic() - began
    return report
