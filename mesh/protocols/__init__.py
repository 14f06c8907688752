"""Protocols as pure machines: see `mesh.protocols.machine` for the contract."""
