"""Limits and times of a yamux session; defaults are go-yamux's where it has one."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Settings:
    """One value for all sessions of a node. Sizes in bytes, times in seconds."""

    batch_bytes: int = 65519
    """Largest batch `output` builds: the plaintext of one Noise record."""

    max_window_bytes: int = 16 * MIB
    """A stream's receive window grows from 256 KiB to this by doubling."""

    max_growth_bytes: int = 64 * MIB
    """What all windows of one session may grow by together; the node's own counter may refuse before."""

    max_held_bytes: int = 64 * MIB
    """Unread payload one session may keep alive; the stream that passes it is reset with `RESOURCE_LIMIT`."""

    max_inbound_streams: int = 1024
    """Streams opened by the peer that are alive at once; more are reset with `RESOURCE_LIMIT`."""

    accept_backlog: int = 256
    """Streams opened and not yet acknowledged, each way: ours wait, theirs are reset."""

    max_queued_pongs: int = 32
    """Answers to pings that wait to leave; further pings go unanswered, as in go."""

    keepalive_s: float = 30.0
    """A ping is sent this long after the last one."""

    keepalive_timeout_s: float = 10.0
    """A ping that stays unanswered this long ends the session."""

    tuning_floor_s: float = 0.010
    """Windows double when updates follow each other within four round trips, or within this if that is longer."""
