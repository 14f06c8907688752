"""Agent delivery without a world: who offers what, what is answered, what a receipt proves.

=============  ===========================================================================================================
module         what it is
=============  ===========================================================================================================
``offering``   the side that hands messages over: a window of offers, pieces of large ones, verdicts in order
``taking``     the side that takes them: what a peer may send next, and pieces put together
``receipts``   a receipt signed, opened and held against its message
``progress``   the states of a message and when a failed attempt is repeated
=============  ===========================================================================================================

The protocol is described in ``protocol_specs/agent_delivery.py``. Both machines live as long as a stream; what lasts
longer is in tables of `mesh.apps.agent.delivery`.
"""
