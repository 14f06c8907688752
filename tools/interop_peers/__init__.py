"""Peers of other implementations, and how to build and drive them from Python.

`building` makes the Go programs, `process` talks to any program that speaks the JSON lines of `peer`, `kad_network` to
a Kademlia network in it; `kubo` runs kubo, which `isolation` keeps in a network of its own.
"""
