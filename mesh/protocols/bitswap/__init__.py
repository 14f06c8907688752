"""Bitswap 1.0.0 to 1.2.0: blocks by their CIDs, asked of peers and given to them. Two pure machines that know nothing of
each other; messages go one way on a stream, answers on another.

=============  ======================================================================================================
module         decision
=============  ======================================================================================================
`version`      what a protocol id means: whether HAVE and DONT_HAVE are spoken, how a block is written
`message`      what a message from outside says, checked; what one to a peer is made of
`supplier`     a peer as the client sees it: what was asked of it, how quick it is
`client`       whom to ask for which block, when to ask others, when to ask again
`debtor`       a peer as the server sees it: its wants, and the answers that wait for it
`ledger`       which want is answered by what, and whose turn it is
=============  ======================================================================================================
"""
