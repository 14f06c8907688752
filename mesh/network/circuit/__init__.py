"""Connections through a relay (`…/p2p/<relay>/p2p-circuit`), in both roles (libp2p circuit relay v2).

A circuit is a stream to the relay that the relay joins to a stream of its own to the other end. Over it the two ends do
the same as over TCP: negotiate, authenticate and multiplex, so that the relay sees nothing of what they say.
"""
