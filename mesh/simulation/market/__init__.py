"""Purchases under faults, in virtual time: the machines of `mesh.protocols.x402` on the tables of the payments file.

A run is a buyer, a seller, a facilitator and a chain with a token. Each party but the chain may stop at any step of its
machines and come back later with what its tables hold; frames, settlements and ledger answers are lost, late or doubled;
the facilitator lies; payers cheat. The faults end, time passes, everybody reconciles, and what is left is held against
the chain.

============  ===========================================================================================================
module        what it is
============  ===========================================================================================================
``agenda``    the clock
``chain``     the ledger: a token of EIP-3009, blocks, receipts
``plan``      what goes wrong in a run; the seed alone decides
``process``   a party that runs machines and can stop at any step
``parties``   buyer, seller and facilitator
``audit``     what must hold at the end
``runs``      one run, and many
``report``    the figures as text
============  ===========================================================================================================
"""
