"""Peers of other implementations, and how to build and drive them from Python.

`building` makes the Go program, `process` talks to any program that speaks its JSON lines.
"""
