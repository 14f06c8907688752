"""Packets come out later, in order, at the other end."""

from __future__ import annotations

from mesh.lab.delay_line import MAX_PACKETS, DelayLine


def test_each_packet_comes_out_at_the_other_end_when_it_is_due() -> None:
    line = DelayLine(3, 4, 0.02)
    assert line.rest_s(100.0) == -1
    line.take(3, b"one", 100.0)
    line.take(4, b"two", 100.01)
    assert line.due(100.015) == []
    assert abs(line.rest_s(100.0) - 0.02) < 1e-9
    assert line.due(100.025) == [(4, b"one")]
    assert line.due(100.035) == [(3, b"two")]


def test_jitter_keeps_the_order() -> None:
    line = DelayLine(3, 4, 0.01, 0.05)
    for number in range(100):
        line.take(3, bytes([number]), 100.0 + number / 1000)
    assert [packet[0] for _, packet in line.due(101.0)] == list(range(100))


def test_too_many_packets_are_lost() -> None:
    line = DelayLine(3, 4, 1.0)
    for _ in range(MAX_PACKETS + 5):
        line.take(3, b"", 100.0)
    assert len(line.due(102.0)) == MAX_PACKETS
