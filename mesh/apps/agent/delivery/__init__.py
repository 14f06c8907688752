"""Delivery that can be proven: outbox, inbox and receipts in tables of ``agent.db``, and the exchanges that move them on.

===============  =====================================================================================================
module           what it is
===============  =====================================================================================================
``tables``       the tables
``ledger``       what delivery asks of the rest of the agent within its transactions
``outbox``       messages to hand over: order, leases, attempts, dead letters
``inbox``        messages that were handed to us: one row an id, pieces of large ones
``proofs``       receipts: those that we signed and who still lacks them, those that others signed for us
``steps``        what else happened to a message, for `why`
``history``      a message's whole way, put together
``handover``     one exchange by our protocol, as the side that opened it
``stock_wire``   messages by the stock protocol, one a stream
``reaching``     a connection to a peer: known addresses, announced ones, relays
``courier``      what waits for one peer is brought to it: attempts, pauses, dead letters
``couriers``     one courier for each peer that something waits for
``reception``    exchanges that others opened
===============  =====================================================================================================

Functions of a connection run within a transaction of the store and commit nothing. Instants are milliseconds since 1970.
"""
