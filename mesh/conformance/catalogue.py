"""All cases there are, and the choice of them by id."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

from mesh.conformance.case import Case, Section
from mesh.conformance.cases import (
    gossip_advisories,
    gossip_mesh,
    gossip_messages,
    gossip_streams,
    identify_answers,
    identify_push,
    kademlia_limits,
    kademlia_queries,
    kademlia_storing,
    multistream_framing,
    multistream_header,
    multistream_proposals,
    multistream_streams,
    noise_handshake,
    noise_identity,
    noise_muxers,
    noise_records,
    perf_transfer,
    ping_echo,
    relay_hop,
    relay_stop,
    tls_certificates,
    tls_handshake,
    tls_records,
    yamux_closing,
    yamux_frames,
    yamux_liveness,
    yamux_opening,
    yamux_windows,
)
from mesh.errors import UsageError

MODULES = (
    multistream_header,
    multistream_proposals,
    multistream_framing,
    multistream_streams,
    noise_handshake,
    noise_identity,
    noise_muxers,
    noise_records,
    tls_handshake,
    tls_certificates,
    tls_records,
    yamux_frames,
    yamux_opening,
    yamux_windows,
    yamux_closing,
    yamux_liveness,
    identify_answers,
    identify_push,
    ping_echo,
    kademlia_queries,
    kademlia_storing,
    kademlia_limits,
    gossip_streams,
    gossip_messages,
    gossip_mesh,
    gossip_advisories,
    relay_hop,
    relay_stop,
    perf_transfer,
)


@cache
def sections() -> tuple[Section, ...]:
    """Every section, in the order of the catalogue."""
    return tuple(each.SECTION for each in MODULES)


@cache
def cases() -> tuple[Case, ...]:
    """Every case, section by section."""
    found = [case for section in sections() for case in sorted(section.cases, key=lambda each: each.order)]
    names = [each.id for each in found]
    twice = {each for each in names if names.count(each) > 1}
    if twice:
        raise UsageError(f"several cases are called {', '.join(sorted(twice))}")
    return tuple(found)


def title_of(section_id: str) -> str:
    """The title of a section."""
    return next((each.title for each in sections() if each.id == section_id), "")


def select(prefixes: Sequence[str], among: Iterable[Case] | None = None) -> list[Case]:
    """Cases whose id a prefix names: a suite, a section or one case; all for no prefix. Raises `UsageError` for a prefix
    that names nothing."""
    chosen = list(cases() if among is None else among)
    for prefix in prefixes:
        if not any(_names(prefix, each.id) for each in chosen):
            raise UsageError(f"no case is called {prefix}, or begins so; `mesh conform --list` has them all")
    return [each for each in chosen if not prefixes or any(_names(prefix, each.id) for prefix in prefixes)]


def _names(prefix: str, case_id: str) -> bool:
    return case_id == prefix or case_id.startswith((f"{prefix}/", f"{prefix}."))
