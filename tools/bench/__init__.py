"""Benchmarks: this node and go-libp2p in every pairing, interleaved, each end a process of its own.

`python -m tools.bench` prints a Markdown table. `rows` says what is measured, `pairs` which programs are at the two
ends, `measure` runs it (`memory` and `alone` those rows that are not an amount of work in a time), `report` writes it
down and `compact` does so for a README. A further row is an entry in `rows.ROWS`; what it asks of a client is a command
that the workers answer (`mesh_worker`, the Go peer's README, and for `--peers py-libp2p` `py_libp2p_worker`).
"""
