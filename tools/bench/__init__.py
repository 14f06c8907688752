"""Benchmarks: this node and go-libp2p in every pairing, interleaved, each end a process of its own.

`python -m tools.bench` prints a Markdown table. `rows` says what is measured, `pairs` which programs are at the two
ends, `measure` runs it, `report` writes it down. A further row is an entry in `rows.ROWS`; what it asks of a client is
a command both workers answer (`mesh_worker`, and the Go peer's README).
"""
