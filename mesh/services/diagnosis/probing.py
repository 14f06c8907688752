"""Dials that show what an address is worth, by a stranger: a new identity on sockets of its own, so that nothing of the
node's own connections, limits and backoffs has a part in it, and nothing of them is changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from mesh.errors import DialError, MeshError
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.scope import Scope
from mesh.network.swarm import Swarm
from mesh.protocols.diagnosis import Attempt, Fault
from mesh.services.diagnosis.faults import attempt_at, fault_of, read_failure
from mesh.services.identify import PROTOCOL_ID as IDENTIFY

MAX_PROBED = 16
"""Addresses dialled for one diagnosis."""
PROBE_S = 6.0

MakeSwarm = Callable[[Scope], Swarm]


async def probe(make: MakeSwarm, addresses: Iterable[Multiaddr], limit_s: float = PROBE_S) -> list[Attempt]:
    """Dial each address once, all at a time, and close what was reached."""
    wanted = list(dict.fromkeys(addresses))[:MAX_PROBED]
    return await asyncio.gather(*(_probe_one(make, each, limit_s) for each in wanted))


async def _probe_one(make: MakeSwarm, address: Multiaddr, limit_s: float) -> Attempt:
    """A swarm for each: dials of one peer at the same time would share what comes of them."""
    scope = Scope("diagnosis")
    swarm = make(scope)
    try:
        return await _dial(swarm, address, limit_s)
    finally:
        await swarm.close()
        await scope.close()


async def _dial(swarm: Swarm, address: Multiaddr, limit_s: float) -> Attempt:
    data = address.peer_id_bytes()
    peer = PeerId.from_bytes(data) if data is not None else None
    try:
        async with asyncio.timeout(limit_s):
            connection = await swarm.dial(peer, [address.without_peer()])
            # Over QUIC and TLS a peer's refusal comes after this end has finished.
            stream = await connection.open([IDENTIFY])
            stream.reset()
            await connection.close()
    except DialError as error:
        if len(error.failures) == 1:
            failed = read_failure(error.failures[0])
            return attempt_at(address, failed.fault, failed.said, failed.found)
        faults = {read_failure(each).fault for each in error.failures}
        return attempt_at(address, faults.pop() if len(faults) == 1 else Fault.OTHER, str(error)[:300])
    except MeshError as error:
        fault, found = fault_of(error)
        return attempt_at(address, fault, str(error), found)
    except TimeoutError:
        return attempt_at(address, Fault.SILENT, f"no answer within {limit_s:g} s")
    return attempt_at(address, Fault.NONE)
