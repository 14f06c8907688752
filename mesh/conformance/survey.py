"""Getting to know a target before the first case, and asking whether it still lives behind one."""

from __future__ import annotations

import asyncio

from mesh.codecs.identify import Identify
from mesh.conformance.attempt import Attempt, Options
from mesh.conformance.case import Case
from mesh.conformance.target import Target
from mesh.conformance.verdict import Deviation, Level, Skipped, Unprepared
from mesh.errors import DecodeError, TargetLost
from mesh.multiformats.multiaddr import Multiaddr

SECURITIES = ("noise", "tls")
LIMIT_S = 5.0
TRIES = 2
PAUSE_S = 2.0


async def _nothing(_attempt: Attempt) -> str | None:
    return None


SURVEY = Case("survey/0.0", "Survey", "answers identify", Level.MUST, "the harness", LIMIT_S, _nothing)


async def survey(target: Target, options: Options, preferred: str = "") -> None:
    """Learn the target's security protocols, agent, protocols and addresses. ``preferred`` is the security to use if the
    target speaks it. Raises `TargetLost` with every cause."""
    causes: list[str] = []
    spoken: list[str] = []
    if target.tcp is None:
        try:
            await _identify(target, options)
        except (Deviation, Unprepared) as reason:
            raise TargetLost(f"{target.address} cannot be tested: {reason}") from None
        if target.tcp is None:
            return
    for security in SECURITIES:
        target.security = security
        try:
            await _identify(target, options)
        except (Deviation, Unprepared, Skipped) as reason:
            causes.append(f"{security}: {reason}")
        else:
            spoken.append(security)
    if not spoken or (preferred and preferred not in spoken):
        raise TargetLost(f"{target.address} cannot be tested: {'; '.join(causes)}")
    target.securities = tuple(spoken)
    target.security = preferred or spoken[0]


async def _identify(target: Target, options: Options) -> None:
    async with Attempt(SURVEY, target, options) as attempt:
        message = await _answer(attempt)
    addresses = []
    for each in message.listen_addrs:
        try:
            addresses.append(Multiaddr.from_bytes(each))
        except DecodeError:
            continue
    target.learn(message.agent_version or "", message.protocols, addresses)


async def _answer(attempt: Attempt) -> Identify:
    """Identify over TCP if that is known, else over QUIC."""
    if attempt.target.tcp is None:
        return await attempt.identify(await attempt.quic_session())
    return await attempt.identify(await attempt.session())


async def survives(target: Target, options: Options) -> bool:
    """Whether a fresh connection still gets through to identify, at the second try at the latest."""
    for trial in range(TRIES):
        if trial:
            await asyncio.sleep(PAUSE_S)
        try:
            async with Attempt(SURVEY, target, options) as attempt:
                await _answer(attempt)
        except (Deviation, Unprepared):
            continue
        else:
            return True
    return False
